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
//!
//! What is said of partitions holds for places: partitions of any topic. A topic as a whole can be owed
//! something, too: while its partitions are not known, and after their number has changed, since what was
//! passed over for a partition may belong to another one then ([`Skips::numbered`]).

use std::collections::{BTreeMap, BTreeSet};

use crate::topics::{Place, Placed, TopicIndex};

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
    pub firsts: BTreeMap<Place, u64>,
    /// Whether the partition of any of them is not known.
    pub is_any_unknown: bool,
}

impl Recalled {
    /// Takes in one more record, in the order in which they were sent.
    pub fn add(&mut self, seq: u64, place: Option<Place>) {
        self.front.get_or_insert(seq);
        match place {
            Some(place) => drop(self.firsts.entry(place).or_insert(seq)),
            None => self.is_any_unknown = true,
        }
    }

    /// The first record of a place; for all of a topic, the first of any of its partitions.
    fn first_of(&self, place: Place) -> Option<u64> {
        if place.is_whole() {
            let of_topic = self.firsts.iter().filter(|(p, _)| p.topic == place.topic);
            of_topic.map(|(_, first)| *first).min()
        } else {
            self.firsts.get(&place).copied()
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
    /// Place to the number from which on it is owed every record.
    owed: BTreeMap<Place, u64>,
    /// The owed places that the present pass sends to behind `clear`.
    catching_up: BTreeSet<Place>,
    /// How many partitions each topic had when a record of it was met last.
    totals: BTreeMap<TopicIndex, i32>,
    /// Topics that had another number of partitions when some of what is in flight was sent.
    renumbered: BTreeSet<TopicIndex>,
}

impl Skips {
    /// Books for a spool that is done below `start`.
    #[must_use]
    pub fn new(start: u64) -> Self {
        Self {
            next: start,
            clear: start,
            owed: BTreeMap::new(),
            catching_up: BTreeSet::new(),
            totals: BTreeMap::new(),
            renumbered: BTreeSet::new(),
        }
    }

    /// Whether any partition is owed something.
    #[must_use]
    pub fn is_any_owed(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Judges record `seq`, which goes to `placed`; `None` for a record of which that cannot be read, which
    /// is never held. A record to be passed is dealt with by this.
    pub fn meet(&mut self, seq: u64, placed: Option<Placed>, is_held: impl Fn(Place) -> bool) -> Step {
        let step = match placed {
            Some(placed) => {
                self.numbered(placed);
                self.judge(seq, placed.place, is_held)
            }
            None if seq < self.clear => Step::Pass,
            None => Step::Send,
        };
        if step == Step::Pass {
            self.sent(seq);
        }
        step
    }

    /// Takes in how many partitions a topic has. After a change what any partition was owed is owed by the
    /// topic as a whole, and so is what a recall brings back of what was sent before the change.
    fn numbered(&mut self, Placed { place, total }: Placed) {
        let topic = place.topic;
        let before = self.totals.insert(topic, total);
        if before.is_none_or(|before| before == 0 || before == total) {
            return;
        }
        self.renumbered.insert(topic);
        self.catching_up.retain(|p| p.topic != topic);
        let of_topic = self.owed.iter().filter(|(p, _)| p.topic == topic);
        let first = of_topic.map(|(_, first)| *first).min();
        self.owed.retain(|p, _| p.topic != topic);
        self.owed.extend(first.map(|first| (Place::whole(topic), first)));
    }

    fn judge(&mut self, seq: u64, place: Place, is_held: impl Fn(Place) -> bool) -> Step {
        let held = place.is_whole() || is_held(place);
        if seq < self.clear {
            return self.judge_behind(seq, place, held);
        }
        if self.owed.contains_key(&place) || self.owed.contains_key(&Place::whole(place.topic)) {
            return Step::Pass;
        }
        if held {
            self.owed.insert(place, seq);
            return Step::Pass;
        }
        Step::Send
    }

    /// Behind `clear` only what this pass catches up with is sent.
    fn judge_behind(&mut self, seq: u64, place: Place, held: bool) -> Step {
        let whole = Place::whole(place.topic);
        let owed_by_topic = self.caught_up_from(whole).filter(|first| seq >= *first);
        let is_due = owed_by_topic.is_some() || self.caught_up_from(place).is_some_and(|first| seq >= first);
        let waits = self.owed.contains_key(&place) && !self.catching_up.contains(&place);
        if is_due && !held && !waits {
            return Step::Send;
        }
        if is_due {
            // Owed from the first again: what of it is in flight may come back. What the topic was owed of
            // it, it is owed itself from now on.
            self.catching_up.remove(&place);
            if let Some(first) = owed_by_topic.and_then(|_| self.owed.get(&whole).copied()) {
                self.owed.entry(place).and_modify(|owed| *owed = first.min(*owed)).or_insert(first);
            }
        }
        Step::Pass
    }

    /// From where on the present pass sends to a place.
    fn caught_up_from(&self, place: Place) -> Option<u64> {
        self.catching_up.get(&place).and_then(|place| self.owed.get(place)).copied()
    }

    /// Notes that record `seq` is in flight.
    pub fn sent(&mut self, seq: u64) {
        self.next = seq + 1;
        self.clear = self.clear.max(self.next);
    }

    /// Whether a place that is owed something is no longer held, so that a pass should begin.
    #[must_use]
    pub fn wants_pass(&self, is_held: impl Fn(Place) -> bool) -> bool {
        self.catching_up.is_empty() && self.owed.keys().any(|place| !is_held(*place))
    }

    /// Begins a pass; nothing of the spool is in flight, and the reader is back at `from`, the first
    /// record that is not acknowledged.
    pub fn begin_pass(&mut self, from: u64, is_held: impl Fn(Place) -> bool) {
        self.next = from;
        self.renumbered.clear();
        self.catching_up = self.owed.keys().copied().filter(|place| !is_held(*place)).collect();
    }

    /// Whether the pass has sent all that was owed and now comes to `seq`: once nothing is in flight,
    /// [`Self::end_catching_up`] must be called.
    #[must_use]
    pub fn is_at_barrier(&self, seq: u64) -> bool {
        !self.catching_up.is_empty() && seq >= self.clear
    }

    /// The places that were caught up with are like all others again.
    pub fn end_catching_up(&mut self) {
        for place in std::mem::take(&mut self.catching_up) {
            self.owed.remove(&place);
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
            for (place, first) in &back.firsts {
                let is_renumbered = self.renumbered.contains(&place.topic);
                let place = if is_renumbered { Place::whole(place.topic) } else { *place };
                self.owed.entry(place).and_modify(|owed| *owed = *first.min(owed)).or_insert(*first);
            }
            if let Some(front) = back.front.filter(|_| back.is_any_unknown) {
                self.owed.values_mut().for_each(|owed| *owed = front.min(*owed));
                self.clear = front;
            }
            return;
        }
        for place in catching_up {
            let first = back.first_of(place).unwrap_or(self.next);
            self.owed.entry(place).and_modify(|owed| *owed = first.max(*owed));
        }
    }
}

#[cfg(test)]
mod tests;
