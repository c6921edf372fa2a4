//! How far a resumable source is durable: the cursor of the last record before the first one that is
//! neither in Kafka nor on disk.
//!
//! Records end in any order; the frontier moves over the longest ended prefix. Costs one byte per
//! record in memory. Does nothing when the source cannot resume.

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
    },
}

/// The frontier of one source.
#[derive(Debug, Default)]
pub struct Frontier {
    state: Option<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Sequence number of the first entry of `ended`.
    base: Seq,
    ended: VecDeque<bool>,
    /// Cursors that hold once all records up to and including their number have ended.
    cursors: VecDeque<(Seq, Cursor)>,
    durable: Option<Cursor>,
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
        if state.ended.is_empty() {
            state.base = seq;
        }
        debug_assert_eq!(seq, state.base + state.ended.len() as u64, "records begin in sequence");
        state.ended.push_back(false);
    }

    pub(crate) fn end(&self, seq: Seq) {
        let Some(mut state) = self.lock() else { return };
        let at = seq.checked_sub(state.base).and_then(|at| usize::try_from(at).ok());
        if let Some(ended) = at.and_then(|at| state.ended.get_mut(at)) {
            *ended = true;
        }
        while state.ended.front() == Some(&true) {
            state.ended.pop_front();
            state.base += 1;
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
    fn advance(&mut self) {
        while self.cursors.front().is_some_and(|(seq, _)| *seq < self.base || self.ended.is_empty()) {
            self.durable = self.cursors.pop_front().map(|(_, cursor)| cursor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Cursor {
        Cursor::File { device: 1, inode: 2, offset }
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
}
