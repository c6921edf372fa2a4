//! Items in flight, in the order they were sent, under dense tickets.
//!
//! A ticket is the item's number in its ring, so that finding it is an index and not a search. Slots
//! at the front go as soon as they are done: the ring is as long as the oldest item is far behind.

use std::collections::VecDeque;
use std::time::Instant;

/// Number of an item in its ring; never reused.
pub type Ticket = u64;

/// How an item ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Kafka acknowledged it.
    Acked,
    /// Kafka refused it for itself, and it is kept elsewhere.
    Refused,
}

/// Items that are done and left the ring, by their end.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Acknowledged.
    pub acked: u64,
    /// Refused.
    pub refused: u64,
}

impl Tally {
    fn count(&mut self, end: End) {
        match end {
            End::Acked => self.acked += 1,
            End::Refused => self.refused += 1,
        }
    }
}

/// Items in flight.
#[derive(Debug)]
pub struct Ring<T> {
    base: Ticket,
    slots: VecDeque<Slot<T>>,
    pending: usize,
    tally: Tally,
}

#[derive(Debug)]
enum Slot<T> {
    /// Sent and not reported.
    Pending(T, Instant),
    /// Reported as not delivered; the item waits to be recalled.
    Failed(T),
    /// Nothing left to do.
    Done(End),
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { base: 0, slots: VecDeque::new(), pending: 0, tally: Tally::default() }
    }
}

impl<T> Ring<T> {
    /// Adds an item that is about to be sent at `now`.
    pub fn admit(&mut self, item: T, now: Instant) -> Ticket {
        self.slots.push_back(Slot::Pending(item, now));
        self.pending += 1;
        self.base + self.slots.len() as u64 - 1
    }

    /// Takes back the item that was admitted last, since it was not sent after all.
    pub fn withdraw_last(&mut self) -> Option<T> {
        match self.slots.pop_back()? {
            Slot::Pending(item, _) => {
                self.pending -= 1;
                Some(item)
            }
            other => {
                self.slots.push_back(other);
                None
            }
        }
    }

    /// Ends the item and takes it out. `None` for a ticket that has ended or is unknown.
    pub fn finish(&mut self, ticket: Ticket, end: End) -> Option<T> {
        let slot = self.slot(ticket)?;
        if matches!(slot, Slot::Done(_)) {
            return None;
        }
        let item = match std::mem::replace(slot, Slot::Done(end)) {
            Slot::Pending(item, _) => {
                self.pending -= 1;
                Some(item)
            }
            Slot::Failed(item) => Some(item),
            Slot::Done(_) => None,
        };
        self.trim();
        item
    }

    /// The item, while it has not ended.
    #[must_use]
    pub fn peek(&mut self, ticket: Ticket) -> Option<&T> {
        match self.slot(ticket)? {
            Slot::Pending(item, _) | Slot::Failed(item) => Some(item),
            Slot::Done(_) => None,
        }
    }

    /// What left the front since the last call.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Notes that the item was not delivered; it stays until it is recalled.
    pub fn fail(&mut self, ticket: Ticket) {
        let Some(slot) = self.slot(ticket) else { return };
        match std::mem::replace(slot, Slot::Done(End::Refused)) {
            Slot::Pending(item, _) => {
                *slot = Slot::Failed(item);
                self.pending -= 1;
            }
            other => *slot = other,
        }
    }

    /// Takes all items that are left, in the order they were sent. Those that are done behind them count
    /// now: nothing of them comes back.
    pub fn recall(&mut self) -> Vec<T> {
        self.base += self.slots.len() as u64;
        self.pending = 0;
        let mut left = Vec::new();
        for slot in self.slots.drain(..) {
            match slot {
                Slot::Pending(item, _) | Slot::Failed(item) => left.push(item),
                Slot::Done(end) => self.tally.count(end),
            }
        }
        left
    }

    /// The oldest item that is left, reported or not.
    #[must_use]
    pub fn front(&self) -> Option<&T> {
        // A slot that is done never stays at the front.
        self.slots.front().and_then(|slot| match slot {
            Slot::Pending(item, _) | Slot::Failed(item) => Some(item),
            Slot::Done(_) => None,
        })
    }

    /// When the oldest item without a report was sent.
    #[must_use]
    pub fn oldest(&self) -> Option<Instant> {
        self.slots.iter().find_map(|slot| if let Slot::Pending(_, at) = slot { Some(*at) } else { None })
    }

    /// Items without a report.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Whether nothing is left, neither pending nor failed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn slot(&mut self, ticket: Ticket) -> Option<&mut Slot<T>> {
        let at = usize::try_from(ticket.checked_sub(self.base)?).ok()?;
        self.slots.get_mut(at)
    }

    fn trim(&mut self) {
        while let Some(Slot::Done(end)) = self.slots.front() {
            self.tally.count(*end);
            self.slots.pop_front();
            self.base += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(n: u32) -> Ring<u32> {
        let mut ring = Ring::default();
        for i in 0..n {
            assert_eq!(ring.admit(i, Instant::now()), u64::from(i));
        }
        ring
    }

    #[test]
    fn reports_in_any_order_leave_the_rest_in_order() {
        let mut ring = ring(5);
        assert_eq!(ring.finish(1, End::Acked), Some(1));
        assert_eq!(ring.finish(1, End::Acked), None, "a second report of the same item");
        assert_eq!((ring.front().copied(), ring.take_tally()), (Some(0), Tally::default()));
        ring.fail(2);
        assert_eq!((ring.pending(), ring.finish(0, End::Refused)), (3, Some(0)));
        assert_eq!((ring.front().copied(), ring.take_tally()), (Some(2), Tally { acked: 1, refused: 1 }));
        assert_eq!(ring.finish(3, End::Acked), Some(3));
        assert_eq!((ring.recall(), ring.take_tally()), (vec![2, 4], Tally { acked: 1, refused: 0 }));
        assert!(ring.is_empty());
        assert_eq!((ring.pending(), ring.oldest()), (0, None));
        assert_eq!(ring.finish(4, End::Acked), None, "a late report of a recalled item");
        assert_eq!(ring.admit(9, Instant::now()), 5, "tickets are never reused");
    }

    #[test]
    fn only_the_last_item_can_be_withdrawn_and_only_before_its_report() {
        let mut ring = ring(2);
        assert_eq!(ring.withdraw_last(), Some(1));
        assert_eq!(ring.admit(7, Instant::now()), 1);
        ring.fail(1);
        assert_eq!(ring.withdraw_last(), None);
        assert_eq!(ring.recall(), [0, 7]);
    }
}
