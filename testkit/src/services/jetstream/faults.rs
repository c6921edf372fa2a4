//! What can go wrong with a Jetstream, by script or drawn from a seed.

use std::time::Duration;

use crate::rng::Rng;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The connection ends with a FIN, without a close frame.
    Drop,
    /// The connection ends with an RST: what the client has not read yet may be gone.
    Reset,
    /// The connection ends with a close frame of this code.
    Close(u16),
    /// The connection ends in the middle of a frame.
    Torn,
    /// Not a byte for this long; then it goes on, if the client is still there.
    Stall(Duration),
    /// The connection ends, and the next upgrades are refused.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// How many.
        times: usize,
        /// The `Retry-After` of the answer, in seconds.
        retry_after_s: Option<u64>,
    },
    /// The next event that is published is this large, in bytes.
    Big(usize),
    /// This many of the events served last are served again.
    Repeat(usize),
    /// The time of what is published from now on jumps by this many microseconds.
    Jump(i64),
    /// A frame that the standard forbids, then the end.
    Garbage,
}

impl Kind {
    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Drop => "fin",
            Self::Reset => "rst",
            Self::Close(_) => "close",
            Self::Torn => "torn: middle",
            Self::Stall(_) => "stall",
            Self::Refuse { status: 429, .. } => "429",
            Self::Refuse { status: 503, .. } => "503",
            Self::Refuse { .. } => "refuse",
            Self::Big(_) => "big",
            Self::Repeat(_) => "repeat",
            Self::Jump(_) => "jump",
            Self::Garbage => "garbage",
        }
    }
}

/// A fault and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// It happens when this many events were served, over all connections, repeated ones too.
    pub after: u64,
    /// What happens.
    pub kind: Kind,
}

/// `n` faults of the seed, `apart` events from one to the next on average. Stalls last `stall`.
#[must_use]
pub fn random(seed: u64, n: usize, apart: u64, stall: Duration) -> Vec<Fault> {
    let mut rng = Rng::new(seed);
    let mut after = 0;
    let fault = |_| {
        after += 1 + rng.below(2 * apart);
        Fault { after, kind: draw(&mut rng, stall) }
    };
    (0..n).map(fault).collect()
}

/// Few stall or refuse: those cost the most time.
fn draw(rng: &mut Rng, stall: Duration) -> Kind {
    let refuse = |status, retry_after_s| Kind::Refuse { status, times: 1, retry_after_s };
    match rng.below(100) {
        0..14 => Kind::Drop,
        14..28 => Kind::Reset,
        28..40 => Kind::Close(rng.pick(&[1000, 1001, 1008, 1011, 1012, 1013, 4000])),
        40..56 => Kind::Torn,
        56..60 => Kind::Stall(stall),
        60..64 => refuse(429, Some(1)),
        64..70 => refuse(503, None),
        70..73 => Kind::Big(10 << 20),
        73..85 => Kind::Repeat(1 + rng.index(20)),
        85..92 => Kind::Jump(if rng.chance(0.5) { 3_600_000_000 } else { -3_600_000_000 }),
        _ => Kind::Garbage,
    }
}
