//! The ids of the overlap window: after a resume an upstream repeats some records, and these are told by
//! the ids that an earlier connection gave. Pure.
//!
//! Only a record of an earlier connection counts as repeated. What an upstream gives twice within one
//! connection passes as it came. Ids are kept as 128-bit fingerprints with a secret of the process: a
//! collision, which would lose a record, is as likely as nothing else that can go wrong.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

/// Whether an id is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is new.
    First,
    /// This connection gave it before.
    Again,
    /// An earlier connection gave it first.
    Earlier,
}

/// The newest ids, with the connection that gave them first.
#[derive(Debug)]
pub struct Overlap {
    max: usize,
    secrets: [RandomState; 2],
    connection: u32,
    seen: HashMap<u128, u32, BuildHasherDefault<Already>>,
    order: VecDeque<u128>,
}

impl Overlap {
    /// Keeps the newest `max` ids, about 60 bytes each.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            max,
            secrets: [RandomState::new(), RandomState::new()],
            connection: 0,
            seen: HashMap::default(),
            order: VecDeque::new(),
        }
    }

    /// A new connection: from here on the ids so far are those of earlier ones.
    pub fn connected(&mut self) {
        self.connection = self.connection.wrapping_add(1);
    }

    /// Notes the id; returns whether an earlier connection gave it.
    pub fn is_repeated(&mut self, id: &str) -> bool {
        self.note(id) == Seen::Earlier
    }

    /// Notes the id; returns who gave it first.
    pub fn note(&mut self, id: &str) -> Seen {
        let [high, low] = &self.secrets;
        let print = u128::from(high.hash_one(id)) << 64 | u128::from(low.hash_one(id));
        match self.seen.entry(print) {
            Entry::Occupied(first) if *first.get() == self.connection => Seen::Again,
            Entry::Occupied(_) => Seen::Earlier,
            Entry::Vacant(free) => {
                free.insert(self.connection);
                self.order.push_back(print);
                if self.order.len() > self.max
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.seen.remove(&oldest);
                }
                Seen::First
            }
        }
    }
}

/// The keys are hashes already.
#[derive(Debug, Default)]
struct Already(u64);

impl Hasher for Already {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u128(&mut self, print: u128) {
        self.0 = u64::try_from(print & u128::from(u64::MAX)).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_earlier_connection_gave_is_repeated() {
        let mut overlap = Overlap::new(100);
        overlap.connected();
        assert_eq!((overlap.note("a"), overlap.note("a")), (Seen::First, Seen::Again));
        assert!(!overlap.is_repeated("a"), "twice within one connection is the upstream's business");
        assert!(!overlap.is_repeated("b"));
        overlap.connected();
        assert!(overlap.is_repeated("b") && overlap.is_repeated("a") && overlap.is_repeated("a"));
        assert!(!overlap.is_repeated("c"));
        overlap.connected();
        assert!(overlap.is_repeated("c") && overlap.is_repeated("b"));
    }

    #[test]
    fn the_oldest_ids_are_forgotten_and_the_memory_is_bounded() {
        let mut overlap = Overlap::new(100);
        overlap.connected();
        for n in 0..10_000 {
            assert!(!overlap.is_repeated(&n.to_string()));
            assert!(overlap.seen.len() <= 100 && overlap.order.len() <= 100);
        }
        overlap.connected();
        assert!(!overlap.is_repeated("1"));
        assert!(overlap.is_repeated("9999"));
        assert_eq!(overlap.seen.len(), overlap.order.len());
    }
}
