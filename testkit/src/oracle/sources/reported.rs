//! Does a client report exactly what happened to it? Compares its own figures - what it received,
//! recognised as repeated, missed, left out - with the history of the service.
//!
//! Where a connection was reset nobody can know how much of it the client read: there a figure must lie
//! between the least and the most that is possible. Everything else must be equal.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use serde_json::Value;

use super::{History, Session, Torn, Verdict, judge};

/// What a client says of one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reported {
    /// Records taken.
    pub received: u64,
    /// Records that an earlier connection had given, left out.
    pub duplicates: u64,
    /// Torn records, left out.
    pub torn: u64,
    /// Records over the limit, left out.
    pub too_long: u64,
    /// Missing spans.
    pub gaps: u64,
    /// Their length, milliseconds.
    pub gap_ms: u64,
    /// Their begins and ends, unix milliseconds, as the log tells them.
    pub spans: Vec<(i64, i64)>,
}

impl Reported {
    /// Reads what `/status` and the log say of the source `name`; `None` when something is missing.
    #[must_use]
    pub fn read(status: &Value, log: &str, name: &str) -> Option<Self> {
        let sources = status.get("sources")?.as_array()?;
        let own = sources.iter().find(|source| source.get("name").and_then(Value::as_str) == Some(name))?;
        let number = |key: &str| own.get(key)?.as_u64();
        Some(Self {
            received: number("received")?,
            duplicates: number("duplicates")?,
            torn: number("torn")?,
            too_long: number("too_long")?,
            gaps: number("gaps")?,
            gap_ms: number("gap_ms")?,
            spans: spans(log, name),
        })
    }
}

/// The missing spans of the source that the log tells of, in its order.
#[must_use]
pub fn spans(log: &str, name: &str) -> Vec<(i64, i64)> {
    let field = |line: &str, key: &str| -> Option<String> {
        let value = line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))?;
        Some(value.trim_matches('"').to_owned())
    };
    let span = |line: &str| {
        let is_ours = field(line, "event")? == "source_gap" && field(line, "source")? == name;
        let number = |key| field(line, key)?.parse().ok();
        is_ours.then_some((number("from_ms")?, number("to_ms")?))
    };
    log.lines().filter_map(span).collect()
}

/// What is to be compared.
#[derive(Debug)]
pub struct Case<'a> {
    /// What the service did; for a client that cannot resume it, `resumable` is false.
    pub history: History,
    /// The longest record that the client takes; longer ones it leaves out.
    pub record_max: usize,
    /// What is in Kafka, each copy: the payload's hash, and when it was received.
    pub arrived: &'a [(u64, Option<i64>)],
    /// Kafka was away meanwhile: what it did not answer in time was sent again.
    pub resent: bool,
    /// What the client says.
    pub reported: &'a Reported,
}

impl Case<'_> {
    /// The verdict, and everything that is wrong; nothing if all is as it must be.
    #[must_use]
    pub fn check(mut self) -> (Verdict, Vec<String>) {
        for item in &mut self.history.records {
            item.data &= item.len <= self.record_max;
        }
        let hashes: Vec<u64> = self.arrived.iter().map(|(hash, _)| *hash).collect();
        let verdict = judge(&self.history, &hashes);
        let mut wrong = Vec::new();
        let mut unless = |holds: bool, what: String| {
            if !holds {
                wrong.push(what);
            }
        };
        let Verdict { lost, torn, messages, foreign, .. } = &verdict;
        unless(lost.is_empty(), format!("lost: {lost:?}; {}", self.server_of(lost)));
        unless(torn.is_empty(), format!("torn records arrived: {torn:?}"));
        unless(foreign.is_empty(), format!("{} payloads are no records of the service", foreign.len()));
        unless(messages.is_empty(), format!("messages or too long records arrived as data: {messages:?}"));
        let repeated = self.repeated();
        unless(repeated.is_empty(), format!("more copies than one connection gave: {repeated:?}"));
        let arrived = self.arrived.len() as u64;
        let Reported { received, duplicates, torn, too_long, .. } = *self.reported;
        let is_right = received == arrived || self.resent && received < arrived;
        unless(is_right, format!("received {received}, and {arrived} are in Kafka"));
        for (name, given, expected) in [
            ("duplicates", duplicates, self.duplicates()),
            ("torn", torn, self.torn()),
            ("too_long", too_long, self.too_long()),
        ] {
            unless(expected.contains(&given), format!("{name}: {given} reported, expected {expected:?}"));
        }
        wrong.extend(self.gaps(&verdict));
        (verdict, wrong)
    }

    /// The streams that served the first of these, for people.
    fn server_of(&self, numbers: &[u64]) -> String {
        let served =
            |session: &&Session| numbers.first().is_some_and(|number| session.served.contains(number));
        let described = |session: &Session| {
            let Session { from, served, end, .. } = session;
            format!(
                "a stream from {from} served {} up to {:?} and ended with {end}",
                served.len(),
                served.last()
            )
        };
        self.history.sessions.iter().filter(served).map(described).collect::<Vec<_>>().join("; ")
    }

    /// The missing spans, if what is reported of them is not exactly so.
    fn gaps(&self, verdict: &Verdict) -> Option<String> {
        let expected: Vec<(i64, i64)> = match self.history.resumable {
            true => Vec::new(),
            false => verdict.gaps.iter().map(|gap| (gap.from_ms, gap.to_ms)).collect(),
        };
        let length = |(from, to): &(i64, i64)| u64::try_from(to - from).unwrap_or(0);
        let whole: u64 = expected.iter().map(length).sum();
        let Reported { gaps, gap_ms, spans, .. } = self.reported;
        if *spans == expected && *gaps == expected.len() as u64 && *gap_ms == whole {
            return None;
        }
        let at = spans.iter().zip(&expected).position(|(told, due)| told != due);
        let at = at.unwrap_or_else(|| spans.len().min(expected.len()));
        Some(format!(
            "gaps: {gaps} of {gap_ms} ms reported, {} of {whole} ms expected; number {at} is {:?} instead of {:?}",
            expected.len(),
            spans.get(at),
            expected.get(at)
        ))
    }

    /// Records with more copies than any single connection gave. What was sent again has the time of receipt
    /// of the first copy.
    fn repeated(&self) -> Vec<u64> {
        let mut most: HashMap<u64, usize> = HashMap::new();
        for session in &self.history.sessions {
            for (number, times) in times(session) {
                let most = most.entry(number).or_default();
                *most = times.max(*most);
            }
        }
        let mut copies: HashMap<u64, usize> = HashMap::new();
        let mut seen = HashSet::new();
        for copy in self.arrived {
            if seen.insert(copy) || !self.resent {
                *copies.entry(copy.0).or_default() += 1;
            }
        }
        let data = self.history.records.iter().filter(|item| item.data);
        let has_more = |number: u64, hash: u64| {
            copies.get(&hash).is_some_and(|copies| *copies > most.get(&number).copied().unwrap_or(0))
        };
        data.filter(|item| has_more(item.number, item.hash)).map(|item| item.number).collect()
    }

    /// How many records a client may recognise as given by an earlier connection.
    fn duplicates(&self) -> RangeInclusive<u64> {
        let data: HashSet<u64> =
            self.history.records.iter().filter(|item| item.data).map(|item| item.number).collect();
        // Given by an earlier stream for sure, or perhaps.
        let (mut sure, mut perhaps) = (HashSet::new(), HashSet::new());
        let (mut least, mut most) = (0, 0);
        for session in &self.history.sessions {
            let own: Vec<u64> = session.possible().filter(|number| data.contains(number)).collect();
            let among =
                |seen: &HashSet<u64>| own.iter().filter(|number| seen.contains(number)).count() as u64;
            most += among(&perhaps);
            if !session.may_lose {
                least += among(&sure);
                sure.extend(session.served.iter().copied());
            }
            perhaps.extend(own);
        }
        least..=most
    }

    fn torn(&self) -> RangeInclusive<u64> {
        let of = |kinds: &[Torn]| {
            self.history.sessions.iter().filter(|session| kinds.contains(&session.torn)).count() as u64
        };
        of(&[Torn::Part])..=of(&[Torn::Part, Torn::Perhaps])
    }

    fn too_long(&self) -> RangeInclusive<u64> {
        let long = |item: &&super::Item| item.len > self.record_max;
        let long: HashSet<u64> = self.history.records.iter().filter(long).map(|item| item.number).collect();
        let of =
            |session: &Session| session.served.iter().filter(|number| long.contains(number)).count() as u64;
        let sessions = &self.history.sessions;
        let least = sessions.iter().filter(|session| !session.may_lose).map(of).sum();
        // The part of a torn one may be too long already.
        let parts = sessions.iter().filter(|session| session.torn != Torn::No).count() as u64;
        let parts = if long.is_empty() { 0 } else { parts };
        least..=sessions.iter().map(of).sum::<u64>() + parts
    }
}

/// How often each record was given by one connection.
fn times(session: &Session) -> HashMap<u64, usize> {
    let mut times = HashMap::new();
    for number in session.possible() {
        *times.entry(number).or_default() += 1;
    }
    times
}

#[cfg(test)]
mod tests {
    use super::super::Item;
    use super::*;

    /// Record `n` has the hash 100 + n and the time 1000 n; 7 is large.
    fn history(resumable: bool, sessions: Vec<Session>) -> History {
        let len = |n: u64| if n == 7 { 5_000 } else { 10 };
        let item = |n: u64| Item {
            number: n,
            hash: 100 + n,
            event_ms: i64::try_from(1_000 * n).unwrap(),
            len: len(n),
            data: true,
        };
        History { records: (1..=20).map(item).collect(), sessions, resumable }
    }

    fn session(served: impl IntoIterator<Item = u64>, torn: Torn) -> Session {
        let served: Vec<u64> = served.into_iter().collect();
        Session { from: served[0], served, torn, ..Session::default() }
    }

    fn wrong(history: &History, arrived: &[u64], reported: &Reported) -> Vec<String> {
        let arrived: Vec<_> = (0..).zip(arrived).map(|(at, n)| (100 + n, Some(at))).collect();
        let case =
            Case { history: history.clone(), record_max: 1_000, arrived: &arrived, resent: false, reported };
        case.check().1
    }

    #[test]
    fn every_figure_of_a_stream_without_resume_is_compared() {
        let history = history(false, vec![session([1, 2, 2, 3], Torn::Part), session(6..=9, Torn::No)]);
        let right = Reported {
            received: 7,
            torn: 1,
            too_long: 1,
            gaps: 1,
            gap_ms: 3_000,
            spans: vec![(3_000, 6_000)],
            ..Reported::default()
        };
        let arrived = [1, 2, 2, 3, 6, 8, 9];
        assert_eq!(wrong(&history, &arrived, &right), [""; 0]);
        for other in [
            Reported { received: 8, ..right.clone() },
            Reported { duplicates: 1, ..right.clone() },
            Reported { torn: 0, ..right.clone() },
            Reported { too_long: 0, ..right.clone() },
            Reported { gaps: 2, ..right.clone() },
            Reported { gap_ms: 2_999, ..right.clone() },
            Reported { spans: vec![(3_000, 6_001)], ..right.clone() },
        ] {
            assert_eq!(wrong(&history, &arrived, &other).len(), 1, "{other:?}");
        }
    }

    #[test]
    fn a_resumed_stream_has_no_gaps_and_no_copies() {
        let history = history(true, vec![session(1..=4, Torn::No), session(3..=6, Torn::No)]);
        let right = Reported { received: 6, duplicates: 2, ..Reported::default() };
        assert_eq!(wrong(&history, &[1, 2, 3, 4, 5, 6], &right), [""; 0]);
        assert_eq!(wrong(&history, &[1, 2, 3, 4, 5], &Reported { received: 5, ..right.clone() }).len(), 1);
        let doubled = Reported { received: 8, duplicates: 0, ..right };
        assert_eq!(
            wrong(&history, &[1, 2, 3, 3, 4, 4, 5, 6], &doubled).len(),
            2,
            "copies, and not recognised"
        );
    }

    #[test]
    fn what_was_sent_again_is_no_copy_of_the_source() {
        let history = history(false, vec![session(1..=2, Torn::No)]);
        let reported = Reported { received: 2, ..Reported::default() };
        let wrong = |second_ms, resent| {
            let arrived = [(101, Some(5)), (102, Some(5)), (102, Some(second_ms))];
            let case = Case {
                history: history.clone(),
                record_max: 100,
                arrived: &arrived,
                resent,
                reported: &reported,
            };
            case.check().1.len()
        };
        assert_eq!((wrong(5, true), wrong(6, true), wrong(5, false)), (0, 1, 2));
    }

    #[test]
    fn what_was_reset_leaves_a_range() {
        let reset = Session { may_lose: true, ..session(1..=4, Torn::Perhaps) };
        let history = history(true, vec![reset, session(3..=6, Torn::No)]);
        for duplicates in 0..=3 {
            let reported = Reported { received: 6, duplicates, ..Reported::default() };
            assert_eq!(wrong(&history, &[1, 2, 3, 4, 5, 6], &reported).len(), usize::from(duplicates == 3));
        }
    }

    #[test]
    fn the_log_and_the_status_are_read() {
        let log = "T WARN spillwayd: event=\"source_gap\" source=x from_ms=-5 to_ms=7 missing_ms=12 \"text\"\n\
                   T WARN spillwayd: event=\"source_gap\" source=\"y\" from_ms=1 to_ms=2 missing_ms=1\n\
                   T WARN spillwayd: event=\"other\" source=x from_ms=1 to_ms=2\n";
        assert_eq!(spans(log, "x"), [(-5, 7)]);
        assert_eq!(spans(log, "y"), [(1, 2)]);
        let status = serde_json::json!({"sources": [{"name": "x", "received": 1, "duplicates": 2, "torn": 3,
            "too_long": 4, "gaps": 5, "gap_ms": 6}]});
        let reported = Reported::read(&status, log, "x").unwrap();
        assert_eq!((reported.too_long, reported.spans.len()), (4, 1));
        assert_eq!(Reported::read(&status, log, "y"), None);
    }
}
