//! What can go wrong with an upstream, by script or drawn from a seed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::rng::Rng;

/// How a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// HTTP's end mark, then a FIN: the client sees a complete answer.
    Complete,
    /// A FIN without the end mark: the client sees an answer that broke off.
    Fin,
    /// An RST: what the client has not read yet may be gone.
    Reset,
}

/// Where a record is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// At about its half.
    Middle,
    /// Inside of a letter of several bytes.
    Letter,
    /// Before its end: only the line end is missing.
    End,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The connection ends between two records.
    End(Close),
    /// The connection ends in the middle of a record.
    Torn(Cut, Close),
    /// Not a byte for this long; then it goes on, if the client is still there.
    Stall(Duration),
    /// The next records come in pieces with a pause after each.
    Throttle {
        /// How many records.
        records: u64,
        /// The size of a piece in bytes.
        piece: usize,
        /// The pause after each.
        pause: Duration,
    },
    /// The connection ends, and the next requests for the stream are refused.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// How many requests.
        times: usize,
        /// The answer tells to wait this many seconds, the service's way.
        wait_s: Option<u64>,
    },
    /// The next record that is published is this large, in bytes.
    Big(usize),
    /// The records that were served last are served again, this many.
    Repeat(u64),
    /// The event time of what is published from now on jumps by this many milliseconds.
    Jump(i64),
    /// The service says in the stream that it ends it, and does.
    Told,
    /// A message in the stream that is no data.
    Message,
    /// The connection ends; the next one is compressed if the client accepts gzip.
    Gzip,
}

impl Kind {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::End(Close::Complete) => "end",
            Self::End(Close::Fin) => "fin",
            Self::End(Close::Reset) => "rst",
            Self::Torn(Cut::Middle, _) => "torn: middle",
            Self::Torn(Cut::Letter, _) => "torn: letter",
            Self::Torn(Cut::End, _) => "torn: end",
            Self::Stall(_) => "stall",
            Self::Throttle { .. } => "throttle",
            Self::Refuse { status: 401, .. } => "401",
            Self::Refuse { status: 429, .. } => "429",
            Self::Refuse { status: 503, .. } => "503",
            Self::Refuse { .. } => "refuse",
            Self::Big(_) => "big",
            Self::Repeat(_) => "repeat",
            Self::Jump(_) => "jump",
            Self::Told => "told",
            Self::Message => "message",
            Self::Gzip => "gzip",
        }
    }
}

/// A fault and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// It happens when this many records were served, over all connections, repeated ones too.
    pub after: u64,
    /// What happens.
    pub kind: Kind,
}

/// How long random faults last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// From one fault to the next, on average, in records.
    pub apart: u64,
    /// The length of a stall. Longer than the client's patience, or it will not be noticed.
    pub stall: Duration,
    /// The pause of a throttled connection.
    pub pause: Duration,
    /// What a refusal tells to wait, in seconds.
    pub wait_s: u64,
    /// How large a large record is, in bytes.
    pub big: usize,
    /// How many of the faults are a 401: a client that keeps the rules waits a minute or more after it.
    pub denials: usize,
}

impl Default for Measure {
    fn default() -> Self {
        Self {
            apart: 50,
            stall: Duration::from_millis(1_500),
            pause: Duration::from_millis(2),
            wait_s: 1,
            big: 10 * 1024 * 1024,
            denials: 0,
        }
    }
}

/// Faults in the order of their time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// None.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One fault after each of these numbers of records.
    #[must_use]
    pub fn script(faults: impl IntoIterator<Item = (u64, Kind)>) -> Self {
        let mut faults: Vec<_> = faults.into_iter().map(|(after, kind)| Fault { after, kind }).collect();
        faults.sort_by_key(|fault| fault.after);
        Self(faults)
    }

    /// `n` faults of the seed.
    #[must_use]
    pub fn random(seed: u64, n: usize, measure: &Measure) -> Self {
        let mut rng = Rng::new(seed);
        let mut after = 0;
        let fault = |_| {
            after += 1 + rng.below(2 * measure.apart);
            Fault { after, kind: draw(&mut rng, measure) }
        };
        let mut faults: Vec<Fault> = (0..n).map(fault).collect();
        for _ in 0..measure.denials.min(n) {
            let at = rng.index(n);
            faults[at].kind = Kind::Refuse { status: 401, times: 1, wait_s: None };
        }
        Self(faults)
    }

    /// A message in the place of each jump in time: for clients that tell by its time whether a record is
    /// new.
    #[must_use]
    pub fn in_time(mut self) -> Self {
        let jumps = self.0.iter_mut().filter(|fault| matches!(fault.kind, Kind::Jump(_)));
        jumps.for_each(|fault| fault.kind = Kind::Message);
        self
    }

    /// How many there are of each kind, by name.
    #[must_use]
    pub fn tally(&self) -> BTreeMap<&'static str, usize> {
        let mut tally = BTreeMap::new();
        for fault in &self.0 {
            *tally.entry(fault.kind.name()).or_default() += 1;
        }
        tally
    }
}

/// Cheap faults come often, dear ones seldom: a large record, a stall, and a refusal that does not tell how
/// long to wait, so that the client waits as long as its rules say.
fn draw(rng: &mut Rng, measure: &Measure) -> Kind {
    let close = rng.pick(&[Close::Fin, Close::Reset]);
    let refuse = |status, wait_s| Kind::Refuse { status, times: 1, wait_s };
    match rng.below(100) {
        0..13 => Kind::End(rng.pick(&[Close::Complete, Close::Fin, Close::Reset])),
        13..21 => Kind::Torn(Cut::Middle, close),
        21..29 => Kind::Torn(Cut::Letter, close),
        29..35 => Kind::Torn(Cut::End, close),
        35..38 => Kind::Stall(measure.stall),
        38..44 => {
            Kind::Throttle { records: 1 + rng.below(5), piece: 1 + rng.index(300), pause: measure.pause }
        }
        44..48 => refuse(429, Some(measure.wait_s)),
        48..51 => refuse(503, Some(measure.wait_s)),
        51..52 => refuse(503, None),
        52..55 => Kind::Big(measure.big),
        55..69 => Kind::Repeat(1 + rng.below(20)),
        69..75 => Kind::Jump(if rng.chance(0.5) { 3_600_000 } else { -3_600_000 }),
        75..83 => Kind::Told,
        83..92 => Kind::Message,
        _ => Kind::Gzip,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::mem::discriminant;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_faults_and_many_give_every_kind() {
        let measure = Measure::default();
        let faults = Faults::random(7, 200, &measure);
        assert_eq!(faults, Faults::random(7, 200, &measure));
        assert_ne!(faults, Faults::random(8, 200, &measure));
        assert!(faults.0.is_sorted_by_key(|fault| fault.after));
        let last = faults.0.last().unwrap().after;
        assert!((7_500..12_500).contains(&last), "200 faults, 50 apart, end at {last}");
        let kinds: HashSet<_> = faults.0.iter().map(|fault| discriminant(&fault.kind)).collect();
        assert_eq!(kinds.len(), 11, "some kind never came: {faults:?}");
    }

    #[test]
    fn as_many_are_denials_as_are_asked_for() {
        let faults = |denials| Faults::random(3, 50, &Measure { denials, ..Measure::default() });
        assert_eq!(faults(0).tally().get("401"), None);
        assert_eq!(faults(1).tally()["401"], 1);
        assert_eq!(faults(0).tally().values().sum::<usize>(), 50);
    }

    #[test]
    fn a_script_is_put_in_order() {
        let script = Faults::script([(9, Kind::Told), (3, Kind::Message)]);
        assert_eq!(script.0[0], Fault { after: 3, kind: Kind::Message });
    }
}
