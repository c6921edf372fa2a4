//! Did everything arrive that a streaming service served, and is known exactly what it did not serve?
//!
//! Judged from the service's own history, record by record. A client must have got:
//! - every record of a stream that ended in a way that lets it read all of it;
//! - of a stream that broke, every record before the last one it got: what it reads has no holes;
//! - from a service that serves everything again on demand, every record from its first stream on.
//!
//! What is left are gaps: what was published while the client was away, or was on its way when the
//! connection broke, at a service that cannot serve it again.

use std::collections::{HashMap, HashSet};

/// A published record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Counted from 1, without gaps.
    pub number: u64,
    /// [`crate::hash`] of the bytes that must arrive.
    pub hash: u64,
    /// Its own time, milliseconds since 1970.
    pub event_ms: i64,
    /// It must arrive; else it is a message about the stream.
    pub data: bool,
}

/// One stream to the client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    /// The first record of the stream.
    pub from: u64,
    /// The records that were wholly written, in their order, repeated ones too.
    pub served: Vec<u64>,
    /// It broke in a way in which the client may not have read the last of them.
    pub may_lose: bool,
}

/// All that a service did for one client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Every record, by its number.
    pub records: Vec<Item>,
    /// The streams, one after the other.
    pub sessions: Vec<Session>,
    /// Every record can be served again.
    pub resumable: bool,
}

/// What a client without resume could not get between two streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The newest record that arrived before it.
    pub before: u64,
    /// The oldest newer record that arrived after it.
    pub after: u64,
    /// The event time of the first.
    pub from_ms: i64,
    /// The event time of the second.
    pub to_ms: i64,
    /// The data between them that did not arrive; none if the client was quick enough.
    pub missed: Vec<u64>,
}

/// The result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Data that must have arrived and did not, by number.
    pub lost: Vec<u64>,
    /// Data that arrived although it was never wholly served.
    pub torn: Vec<u64>,
    /// Messages about the stream that arrived as data; one entry a copy.
    pub messages: Vec<u64>,
    /// Arrivals that are no record of the service, or not its bytes; by hash.
    pub foreign: Vec<u64>,
    /// Further copies of data that is there.
    pub duplicates: u64,
    /// One between each two streams of which something arrived.
    pub gaps: Vec<Gap>,
}

impl Verdict {
    /// Nothing is lost, torn, changed or invented. Messages and duplicates are judged apart.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.lost.is_empty() && self.torn.is_empty() && self.foreign.is_empty()
    }

    /// The data that could not arrive, in all gaps.
    #[must_use]
    pub fn missed(&self) -> Vec<u64> {
        self.gaps.iter().flat_map(|gap| gap.missed.iter().copied()).collect()
    }
}

/// Compares what a service did with what arrived: the hashes of the payloads, in any order, one for
/// each copy.
#[must_use]
pub fn judge(history: &History, arrived: &[u64]) -> Verdict {
    let book = Book::new(history, arrived);
    let mut verdict = Verdict { foreign: book.foreign.clone(), ..Verdict::default() };
    for item in &history.records {
        let copies = book.copies(item.number);
        if !item.data {
            verdict.messages.extend(std::iter::repeat_n(item.number, copies));
            continue;
        }
        verdict.duplicates += copies.saturating_sub(1) as u64;
        if copies > 0 && !book.served.contains(&item.number) {
            verdict.torn.push(item.number);
        }
    }
    let mut lost: Vec<u64> = book.owed().into_iter().filter(|number| book.copies(*number) == 0).collect();
    lost.sort_unstable();
    lost.dedup();
    verdict.lost = lost;
    verdict.gaps = book.gaps();
    verdict
}

/// The history, looked up by number.
struct Book<'a> {
    history: &'a History,
    items: HashMap<u64, Item>,
    /// Copies that arrived, by number.
    arrived: HashMap<u64, usize>,
    foreign: Vec<u64>,
    served: HashSet<u64>,
    /// For each session its data that no other session served, in its order, each once.
    own: Vec<Vec<u64>>,
}

impl<'a> Book<'a> {
    fn new(history: &'a History, hashes: &[u64]) -> Self {
        let items: HashMap<_, _> = history.records.iter().map(|item| (item.number, *item)).collect();
        // Messages may be alike; the first of them stands for all.
        let mut numbers = HashMap::new();
        for item in &history.records {
            numbers.entry(item.hash).or_insert(item.number);
        }
        let (mut arrived, mut foreign) = (HashMap::new(), Vec::new());
        for hash in hashes {
            match numbers.get(hash) {
                Some(number) => *arrived.entry(*number).or_insert(0) += 1,
                None => foreign.push(*hash),
            }
        }
        let mut sessions: HashMap<u64, HashSet<usize>> = HashMap::new();
        for (index, session) in history.sessions.iter().enumerate() {
            for number in &session.served {
                sessions.entry(*number).or_default().insert(index);
            }
        }
        let own = |session: &Session| {
            let mut seen = HashSet::new();
            let data = session.served.iter().filter(|number| items.get(number).is_some_and(|item| item.data));
            let once = data.filter(|number| sessions[number].len() == 1 && seen.insert(**number));
            once.copied().collect()
        };
        let own = history.sessions.iter().map(own).collect();
        let served = sessions.keys().copied().collect();
        Self { history, own, items, arrived, foreign, served }
    }

    fn copies(&self, number: u64) -> usize {
        self.arrived.get(&number).copied().unwrap_or(0)
    }

    fn is_data(&self, number: u64) -> bool {
        self.items.get(&number).is_some_and(|item| item.data)
    }

    /// What must have arrived.
    fn owed(&self) -> Vec<u64> {
        let mut owed = Vec::new();
        for (session, own) in self.history.sessions.iter().zip(&self.own) {
            let data = session.served.iter().copied().filter(|number| self.is_data(*number));
            if session.may_lose {
                // What another session served as well proves nothing about this one.
                let last = own.iter().rposition(|number| self.copies(*number) > 0);
                owed.extend(own.iter().take(last.unwrap_or(0)));
            } else {
                owed.extend(data);
            }
        }
        if self.history.resumable {
            let first = self.history.sessions.first().map_or(1, |session| session.from);
            let last = self.served.iter().copied().max().unwrap_or(0);
            owed.extend((first..=last).filter(|number| self.is_data(*number)));
        }
        owed
    }

    fn gaps(&self) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let mut newest: Option<u64> = None;
        for own in &self.own {
            let there: Vec<u64> = own.iter().copied().filter(|number| self.copies(*number) > 0).collect();
            let after = there.iter().copied().filter(|number| newest.is_none_or(|n| *number > n)).min();
            if let (Some(before), Some(after)) = (newest, after) {
                gaps.push(self.gap(before, after));
            }
            newest = newest.max(there.iter().copied().max());
        }
        gaps
    }

    fn gap(&self, before: u64, after: u64) -> Gap {
        let time = |number| self.items.get(&number).map_or(0, |item| item.event_ms);
        let missing = |number: &u64| self.is_data(*number) && self.copies(*number) == 0;
        let missed = (before + 1..after).filter(missing).collect();
        Gap { before, after, from_ms: time(before), to_ms: time(after), missed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Record `n` has the hash 100 + n and the time 1000 n; number 5 is a message.
    fn history(resumable: bool, sessions: Vec<Session>) -> History {
        let item = |n: u64| Item {
            number: n,
            hash: 100 + n,
            event_ms: i64::try_from(1_000 * n).unwrap(),
            data: n != 5,
        };
        History { records: (1..=20).map(item).collect(), sessions, resumable }
    }

    fn session(served: impl IntoIterator<Item = u64>, may_lose: bool) -> Session {
        let served: Vec<u64> = served.into_iter().collect();
        Session { from: served[0], served, may_lose }
    }

    fn hashes(numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
        numbers.into_iter().map(|n| 100 + n).collect()
    }

    #[test]
    fn of_a_stream_that_ended_in_order_everything_is_owed() {
        let history = history(false, vec![session(1..=4, false), session(8..=10, false)]);
        let all = judge(&history, &hashes([1, 2, 3, 4, 8, 9, 10]));
        assert!(all.is_complete());
        assert_eq!(all.gaps, [Gap { before: 4, after: 8, from_ms: 4_000, to_ms: 8_000, missed: vec![6, 7] }]);
        assert_eq!(judge(&history, &hashes([1, 2, 3, 8, 9, 10])).lost, [4], "the last of a stream");
        assert_eq!(judge(&history, &hashes([1, 2, 3, 4, 8, 9])).lost, [10], "the last of all");
    }

    #[test]
    fn of_a_stream_that_broke_the_last_may_be_missing_but_no_hole() {
        let history = history(false, vec![session(1..=4, true), session(8..=10, false)]);
        let tail = judge(&history, &hashes([1, 2, 8, 9, 10]));
        assert!(tail.is_complete());
        assert_eq!(
            tail.gaps[0],
            Gap { before: 2, after: 8, from_ms: 2_000, to_ms: 8_000, missed: vec![3, 4, 6, 7] }
        );
        assert_eq!(judge(&history, &hashes([1, 3, 4, 8, 9, 10])).lost, [2]);
        // The whole stream may be unread; then there is no gap that a client could know of.
        assert_eq!(judge(&history, &hashes([8, 9, 10])).gaps, []);
    }

    #[test]
    fn repeated_records_prove_nothing_about_what_was_read() {
        // 1 and 2 come again behind 4, of which nothing was read.
        let repeated = history(false, vec![session([1, 2, 3, 4, 1, 2], true), session(8..=9, false)]);
        assert!(judge(&repeated, &hashes([1, 2, 8, 9])).is_complete());
        // A backfill serves 3 and 4 again, but no longer 2.
        let backfilled = history(false, vec![session(1..=4, true), session([4, 3, 6, 3], false)]);
        assert!(judge(&backfilled, &hashes([1, 3, 4, 6])).is_complete());
        assert_eq!(judge(&backfilled, &hashes([1, 3, 6])).lost, [4]);
    }

    #[test]
    fn a_service_with_resume_owes_everything_from_its_first_stream_on() {
        let history = history(true, vec![session(3..=6, true), session(9..=10, false)]);
        assert_eq!(judge(&history, &hashes([3, 4, 6, 9, 10])).lost, [7, 8]);
        assert!(judge(&history, &hashes([3, 4, 6, 9, 10, 7, 8])).lost.is_empty());
    }

    #[test]
    fn what_must_not_be_there_is_found() {
        let history = history(false, vec![session(1..=6, false)]);
        let verdict = judge(&history, &hashes([1, 2, 2, 2, 3, 4, 5, 6, 7, 99]));
        assert_eq!((verdict.duplicates, verdict.messages), (2, vec![5]));
        assert_eq!((verdict.torn, verdict.foreign), (vec![7], vec![199]));
        assert!(verdict.lost.is_empty());
    }
}
