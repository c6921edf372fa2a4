//! Which ids were seen where: a set of hashes of 128 bits, with a byte of notes for each.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use super::Side;

/// A hash stands for the id. Its bytes are as random as any hash of it could be.
type Key = [u8; 16];

/// The keys are hashes already: the first eight bytes do.
#[derive(Debug, Default, Clone, Copy)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }
    /// The length of the key, which is always the same.
    fn write_usize(&mut self, _: usize) {}
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ids {
    seen: HashMap<Key, Notes, BuildHasherDefault<Hashed>>,
    /// Two functions of 64 bits each, chosen at random, so that no input can be made to collide.
    halves: [RandomState; 2],
}

/// Where an id was seen, and whether it has been named.
#[derive(Debug, Clone, Copy, Default)]
struct Notes(u8);

const NAMED: u8 = 4;

impl Notes {
    fn flag(side: Side) -> u8 {
        1 << side.index()
    }

    /// Sets a flag; whether it was not set before.
    fn set(&mut self, flag: u8) -> bool {
        let is_new = self.0 & flag == 0;
        self.0 |= flag;
        is_new
    }
}

/// What an id is to the inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// Seen for the first time.
    New,
    /// The other input has it too.
    Shared,
    /// This input had it before.
    Again,
}

impl Default for Ids {
    fn default() -> Self {
        Self { seen: HashMap::default(), halves: [RandomState::new(), RandomState::new()] }
    }
}

impl Ids {
    fn key(&self, id: &str) -> Key {
        let mut key = Key::default();
        for (half, bytes) in self.halves.iter().zip(key.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&half.hash_one(id).to_le_bytes());
        }
        key
    }

    /// Notes that `side` has `id`.
    pub(super) fn see(&mut self, side: Side, id: &str) -> Sight {
        let flag = Notes::flag(side);
        match self.seen.entry(self.key(id)) {
            Entry::Vacant(free) => {
                free.insert(Notes(flag));
                Sight::New
            }
            Entry::Occupied(mut notes) => match notes.get_mut().set(flag) {
                true => Sight::Shared,
                false => Sight::Again,
            },
        }
    }

    /// Whether only `side` has `id` and this is asked for the first time.
    pub(super) fn is_news(&mut self, side: Side, id: &str) -> bool {
        let key = self.key(id);
        let only = |notes: &&mut Notes| notes.0 & !NAMED == Notes::flag(side);
        self.seen.get_mut(&key).filter(only).is_some_and(|notes| notes.set(NAMED))
    }

    /// Memory that the table takes, in bytes: the keys and notes, and a byte of the table's own for each
    /// place. A table is at most seven eighths full.
    pub(super) fn memory_bytes(&self) -> usize {
        self.seen.capacity().saturating_mul(8) / 7 * (size_of::<(Key, Notes)>() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::BYTES_PER_ID;
    use super::*;

    #[test]
    fn an_id_is_new_then_shared_then_again() {
        let mut ids = Ids::default();
        assert_eq!(ids.see(Side::A, "x"), Sight::New);
        assert_eq!(ids.see(Side::A, "x"), Sight::Again);
        assert!(ids.is_news(Side::A, "x"));
        assert!(!ids.is_news(Side::A, "x"), "once");
        assert!(!ids.is_news(Side::B, "x"));
        assert_eq!(ids.see(Side::B, "x"), Sight::Shared);
        assert_eq!(ids.see(Side::B, "x"), Sight::Again);
        assert!(!ids.is_news(Side::A, "x") && !ids.is_news(Side::A, "never seen"));
    }

    #[test]
    fn an_id_costs_what_is_said() {
        let mut ids = Ids::default();
        let (least, most) = BYTES_PER_ID;
        for n in 1..=300_000_usize {
            assert_eq!(ids.see(Side::A, &n.to_string()), Sight::New, "different ids have different hashes");
            let cost = ids.memory_bytes() / n;
            assert!(n < 1_000 || (least - 1..=most + 1).contains(&cost), "{n} ids cost {cost} bytes each");
        }
    }
}
