//! How far a resumable source is durable: the cursor of the last record before the first one that is
//! neither in Kafka nor on disk.
//!
//! Records end in any order; the frontier moves over the longest ended prefix. Their numbers grow but may
//! have holes, which are the records of other sources. Costs eight bytes for each record in memory. Does
//! nothing when the source cannot resume.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::record::Seq;

/// Where a source goes on after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cursor {
    /// A file, told apart from another of the same name by its inode.
    File {
        /// Device and inode.
        device: u64,
        /// Inode number.
        inode: u64,
        /// The first byte that was not read.
        offset: u64,
        /// A checksum of what stands before it, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tail: Option<u32>,
    },
    /// A stream of server-sent events.
    Sse {
        /// The id of the last event.
        last_event_id: String,
    },
    /// A Jetstream server.
    Jetstream {
        /// The latest time of an event so far, unix microseconds.
        time_us: u64,
        /// The server: the times of others differ a little.
        host: String,
    },
    /// A stream without places, of which only the time is known.
    Time {
        /// When the last record was received, unix milliseconds.
        received_ms: i64,
    },
}

/// The frontier of one source.
#[derive(Debug, Default)]
pub struct Frontier {
    state: Option<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The records from the first one that has not ended, in their order.
    records: VecDeque<Entry>,
    /// Cursors that hold once all records up to and including their number have ended.
    cursors: VecDeque<(Seq, Cursor)>,
    durable: Option<Cursor>,
}

/// A record's number, and in the lowest bit whether it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry(u64);

impl Entry {
    const fn open(seq: Seq) -> Self {
        Self(seq << 1)
    }

    const fn seq(self) -> Seq {
        self.0 >> 1
    }

    const fn has_ended(self) -> bool {
        self.0 & 1 == 1
    }

    fn end(&mut self) {
        self.0 |= 1;
    }
}

impl Frontier {
    pub(crate) fn new(track: bool) -> Self {
        Self { state: track.then(Mutex::default) }
    }

    /// Whether cursors are of any use here.
    #[must_use]
    pub fn tracks(&self) -> bool {
        self.state.is_some()
    }

    fn lock(&self) -> Option<MutexGuard<'_, State>> {
        // A panic elsewhere leaves the numbers as they were: still a true lower bound.
        self.state.as_ref().map(|s| s.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn begin(&self, seq: Seq) {
        let Some(mut state) = self.lock() else { return };
        debug_assert!(state.records.back().is_none_or(|last| last.seq() < seq), "numbers grow");
        state.records.push_back(Entry::open(seq));
    }

    pub(crate) fn end(&self, seq: Seq) {
        let Some(mut state) = self.lock() else { return };
        let Ok(at) = state.find(seq) else { return };
        if let Some(entry) = state.records.get_mut(at) {
            entry.end();
        }
        while state.records.front().is_some_and(|first| first.has_ended()) {
            state.records.pop_front();
        }
        state.advance();
    }

    /// Says that `cursor` holds once all records up to and including `seq` have ended.
    pub fn mark(&self, seq: Seq, cursor: Cursor) {
        let Some(mut state) = self.lock() else { return };
        state.cursors.push_back((seq, cursor));
        state.advance();
    }

    /// The newest cursor that may be persisted.
    #[must_use]
    pub fn durable(&self) -> Option<Cursor> {
        self.lock()?.durable.clone()
    }
}

impl State {
    /// Records end nearly in their order: the first is looked at first.
    fn find(&self, seq: Seq) -> Result<usize, usize> {
        match self.records.front() {
            Some(first) if first.seq() == seq => Ok(0),
            _ => self.records.binary_search_by_key(&seq, |entry| entry.seq()),
        }
    }

    fn advance(&mut self) {
        let first_open = self.records.front().map_or(Seq::MAX, |first| first.seq());
        while self.cursors.front().is_some_and(|(seq, _)| *seq < first_open) {
            self.durable = self.cursors.pop_front().map(|(_, cursor)| cursor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Cursor {
        Cursor::File { device: 1, inode: 2, offset, tail: None }
    }

    #[test]
    fn the_cursor_waits_for_the_slowest_record() {
        let frontier = Frontier::new(true);
        for seq in 1..=4 {
            frontier.begin(seq);
            frontier.mark(seq, at(seq * 10));
        }
        frontier.end(2);
        frontier.end(3);
        assert_eq!(frontier.durable(), None);
        frontier.end(1);
        assert_eq!(frontier.durable(), Some(at(30)));
        frontier.end(4);
        assert_eq!(frontier.durable(), Some(at(40)));
    }

    #[test]
    fn a_cursor_without_open_records_holds_at_once() {
        let frontier = Frontier::new(true);
        frontier.mark(0, at(5));
        assert_eq!(frontier.durable(), Some(at(5)));
        frontier.begin(1);
        frontier.end(1);
        frontier.mark(1, at(9));
        assert_eq!(frontier.durable(), Some(at(9)));
    }

    #[test]
    fn numbers_of_other_sources_are_holes() {
        let frontier = Frontier::new(true);
        for seq in [3, 7, 8, 20] {
            frontier.begin(seq);
            frontier.mark(seq, at(seq));
        }
        frontier.end(5);
        frontier.end(8);
        assert_eq!(frontier.durable(), None, "5 is of another source");
        frontier.end(3);
        assert_eq!(frontier.durable(), Some(at(3)));
        frontier.end(7);
        assert_eq!(frontier.durable(), Some(at(8)));
        frontier.end(20);
        assert_eq!(frontier.durable(), Some(at(20)));
    }
}
