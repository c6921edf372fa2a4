//! Did everything arrive that a streaming service served, and is known exactly what it did not serve?
//!
//! Judged from the service's own history, record by record. A client must have got:
//! - every record of a stream that ended in a way that lets it read all of it;
//! - of a stream that broke, every record before the last one it got: what it reads has no holes;
//! - from a service that serves everything again on demand, every record from its first stream on.
//!
//! What is left are gaps: what was published while the client was away, or was on its way when the
//! connection broke, at a service that cannot serve it again. [`reported`] compares them with what the
//! client itself reports.

pub mod reported;
#[cfg(test)]
mod tests;

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
    /// How many bytes must arrive.
    pub len: usize,
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
    /// A record of which all but its end was written: it may arrive.
    pub unended: Option<u64>,
    /// It broke in a way in which the client may not have read the last of them.
    pub may_lose: bool,
    /// Whether it ended in the middle of a record.
    pub torn: Torn,
    /// How it ended, for people.
    pub end: String,
}

impl Session {
    /// All that may arrive of it.
    fn possible(&self) -> impl Iterator<Item = u64> + '_ {
        self.served.iter().copied().chain(self.unended)
    }
}

/// What a client has of a torn record at the end of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Torn {
    /// Nothing: there is none, or its bytes never came.
    #[default]
    No,
    /// Perhaps a part.
    Perhaps,
    /// A part.
    Part,
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
        if copies > 0 && !book.possible.contains(&item.number) {
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
    /// What was served, or may be read as if it was.
    possible: HashSet<u64>,
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
            for number in session.possible() {
                sessions.entry(number).or_default().insert(index);
            }
        }
        let own = |session: &Session| {
            let mut seen = HashSet::new();
            let data = session.possible().filter(|number| items.get(number).is_some_and(|item| item.data));
            data.filter(|number| sessions[number].len() == 1 && seen.insert(*number)).collect()
        };
        let own = history.sessions.iter().map(own).collect();
        let possible = sessions.keys().copied().collect();
        let served = history.sessions.iter().flat_map(|session| &session.served).copied().collect();
        Self { history, own, items, arrived, foreign, served, possible }
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
