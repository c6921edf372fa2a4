//! What replay has passed over. A partition without a leader, or whose leader does not answer, must not
//! stop the others: its records stay on disk while replay goes on behind them, and are sent in a pass of
//! their own once the partition is back. Pure, and small whatever the backlog: a number a partition.
//!
//! ```text
//!   spool:   | done | owed by p, the others done | not read yet
//!                   ^ first owed                 ^ clear
//! ```
//!
//! A pass reads the spool forward from the first record that is not done. Behind `clear` it sends only
//! what the partitions that it catches up with are owed; from `clear` on it sends everything but the
//! records of partitions that are held or owed. So each partition sees its records in the spool's order.
//!
//! Between the two parts, and before a pass begins, nothing of the spool may be in flight: the caller
//! waits for that ([`Skips::is_at_barrier`]). Within a pass numbers only grow, therefore all below the
//! first record in flight is done, but for what is owed ([`Skips::floor`]).

use std::collections::{BTreeMap, BTreeSet};

/// What to do with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send it, then say so with [`Skips::sent`].
    Send,
    /// Leave it: it is done, or owed to a partition that is held.
    Pass,
}

/// What a recall took out of flight.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recalled {
    /// The first record.
    pub front: Option<u64>,
    /// The first record of each partition. Kafka takes those of one partition in order, so all before it
    /// are done.
    pub firsts: BTreeMap<i32, u64>,
    /// Whether the partition of any of them is not known.
    pub is_any_unknown: bool,
}

impl Recalled {
    /// Takes in one more record, in the order in which they were sent.
    pub fn add(&mut self, seq: u64, partition: Option<i32>) {
        self.front.get_or_insert(seq);
        match partition {
            Some(p) => drop(self.firsts.entry(p).or_insert(seq)),
            None => self.is_any_unknown = true,
        }
    }
}

/// The books of replay.
#[derive(Debug)]
pub struct Skips {
    /// The number after the last record that this pass has dealt with.
    next: u64,
    /// All below was dealt with once, and is done or in flight but for what is owed.
    clear: u64,
    /// Partition to the number from which on it is owed every record.
    owed: BTreeMap<i32, u64>,
    /// The owed partitions that the present pass sends to behind `clear`.
    catching_up: BTreeSet<i32>,
}

impl Skips {
    /// Books for a spool that is done below `start`.
    #[must_use]
    pub fn new(start: u64) -> Self {
        Self { next: start, clear: start, owed: BTreeMap::new(), catching_up: BTreeSet::new() }
    }

    /// Whether any partition is owed something.
    #[must_use]
    pub fn is_any_owed(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Judges record `seq` of `partition`; `None` for a record whose partition is not known, which is
    /// never held. A record to be passed is dealt with by this.
    pub fn meet(&mut self, seq: u64, partition: Option<i32>, is_held: impl Fn(i32) -> bool) -> Step {
        let step = self.judge(seq, partition, is_held);
        if step == Step::Pass {
            self.sent(seq);
        }
        step
    }

    fn judge(&mut self, seq: u64, partition: Option<i32>, is_held: impl Fn(i32) -> bool) -> Step {
        let behind = seq < self.clear;
        let Some(p) = partition else { return if behind { Step::Pass } else { Step::Send } };
        if behind {
            if !self.catching_up.contains(&p) || self.owed.get(&p).is_none_or(|first| seq < *first) {
                return Step::Pass;
            }
            if is_held(p) {
                // Owed from the first again: what of it is in flight may come back.
                self.catching_up.remove(&p);
                return Step::Pass;
            }
            return Step::Send;
        }
        if self.owed.contains_key(&p) || is_held(p) {
            self.owed.entry(p).or_insert(seq);
            return Step::Pass;
        }
        Step::Send
    }

    /// Notes that record `seq` is in flight.
    pub fn sent(&mut self, seq: u64) {
        self.next = seq + 1;
        self.clear = self.clear.max(self.next);
    }

    /// Whether a partition that is owed something is no longer held, so that a pass should begin.
    #[must_use]
    pub fn wants_pass(&self, is_held: impl Fn(i32) -> bool) -> bool {
        self.catching_up.is_empty() && self.owed.keys().any(|p| !is_held(*p))
    }

    /// Begins a pass; nothing of the spool is in flight, and the reader is back at `from`, the first
    /// record that is not acknowledged.
    pub fn begin_pass(&mut self, from: u64, is_held: impl Fn(i32) -> bool) {
        self.next = from;
        self.catching_up = self.owed.keys().copied().filter(|p| !is_held(*p)).collect();
    }

    /// Whether the pass has sent all that was owed and now comes to `seq`: once nothing is in flight,
    /// [`Self::end_catching_up`] must be called.
    #[must_use]
    pub fn is_at_barrier(&self, seq: u64) -> bool {
        !self.catching_up.is_empty() && seq >= self.clear
    }

    /// The partitions that were caught up with are like all others again.
    pub fn end_catching_up(&mut self) {
        for p in std::mem::take(&mut self.catching_up) {
            self.owed.remove(&p);
        }
    }

    /// All below this number is done; `front` is the first record of the spool in flight.
    #[must_use]
    pub fn floor(&self, front: Option<u64>) -> u64 {
        let owed = self.owed.iter().filter(|(p, _)| !self.catching_up.contains(p)).map(|(_, first)| *first);
        owed.chain([front.unwrap_or(self.next)]).min().unwrap_or(self.next)
    }

    /// The session was recalled: nothing is in flight any more. The next pass begins with
    /// [`Self::begin_pass`] and sends again what came back, and nothing of what was acknowledged behind it.
    pub fn recalled(&mut self, back: &Recalled) {
        let catching_up = std::mem::take(&mut self.catching_up);
        if catching_up.is_empty() && self.next == self.clear {
            for (p, first) in &back.firsts {
                self.owed.entry(*p).and_modify(|owed| *owed = *first.min(owed)).or_insert(*first);
            }
            if let Some(front) = back.front.filter(|_| back.is_any_unknown) {
                self.owed.values_mut().for_each(|owed| *owed = front.min(*owed));
                self.clear = front;
            }
            return;
        }
        for p in catching_up {
            let first = back.firsts.get(&p).copied().unwrap_or(self.next);
            self.owed.entry(p).and_modify(|owed| *owed = first.max(*owed));
        }
    }
}

#[cfg(test)]
mod tests;
