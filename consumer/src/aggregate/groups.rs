//! The groups of one pane by their names, packed: an open window may hold a million of them, so what each
//! takes besides its counts matters. Groups are added and never removed. No I/O, no clock.
//!
//! ```text
//!   slots: 0 . 3 . . 1 .      where a name's hash leads: the place of its group, plus one; half are free
//!                |
//!                v
//!   blocks: [ names "osloromebonn", groups (end of name, hash, metrics) x 256 ] [ ... ]
//! ```
//! A group costs its metrics, the bytes of its name and 16 to 24 bytes, where a map of boxed names and boxed
//! metrics takes 80 to 100 more.

use std::hash::{BuildHasher as _, RandomState};

use crate::metrics::Metrics;

/// Groups in a block: when one is full the next is begun, so nothing large is ever moved or half empty.
const BLOCK: usize = 256;
/// Slots of the smallest table.
const SLOTS_MIN: usize = 4;

/// See the module.
#[derive(Debug, Default, Clone)]
pub(crate) struct Groups {
    /// A power of two of them, at least twice as many as groups; none at first.
    slots: Vec<u32>,
    blocks: Vec<Block>,
    len: usize,
    /// Random for each, so that nobody can make names that lead to one slot.
    hasher: RandomState,
}

#[derive(Debug, Default, Clone)]
struct Block {
    /// One after the other.
    names: String,
    groups: Vec<Group>,
}

#[derive(Debug, Clone)]
struct Group {
    /// Where its name ends; it begins where the one before it ends.
    name_end: u32,
    /// Of its name: names are compared, and slots found again, by it first.
    hash: u32,
    metrics: Metrics,
}

impl Block {
    fn name(&self, i: usize) -> &str {
        let begin = i.checked_sub(1).map_or(0, |before| self.groups[before].name_end);
        &self.names[begin as usize..self.groups[i].name_end as usize]
    }

    fn has_room(&self, name: &str) -> bool {
        self.groups.len() < BLOCK && u32::try_from(self.names.len() + name.len()).is_ok()
    }
}

impl Groups {
    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The group of a name; a new one when there is none.
    pub(crate) fn entry(&mut self, name: &str) -> &mut Metrics {
        if (self.len + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let hash = self.hash(name);
        let place = match self.find(name, hash) {
            Ok(place) => place,
            Err(slot) => self.add(name, hash, slot),
        };
        &mut self.blocks[place / BLOCK].groups[place % BLOCK].metrics
    }

    /// The group of a name.
    fn get(&self, name: &str) -> Option<&Metrics> {
        if self.is_empty() {
            return None;
        }
        let place = self.find(name, self.hash(name)).ok()?;
        Some(&self.blocks[place / BLOCK].groups[place % BLOCK].metrics)
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    fn hash(&self, name: &str) -> u32 {
        self.hasher.hash_one(name) as u32
    }

    /// The place of a name's group, or else the slot that is free for it. There must be slots.
    fn find(&self, name: &str, hash: u32) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        // Half of the slots are free.
        while self.slots[slot] != 0 {
            let place = self.slots[slot] as usize - 1;
            let (block, i) = (&self.blocks[place / BLOCK], place % BLOCK);
            if block.groups[i].hash == hash && block.name(i) == name {
                return Ok(place);
            }
            slot = (slot + 1) & mask;
        }
        Err(slot)
    }

    #[expect(clippy::cast_possible_truncation, reason = "so many groups take 256 GiB, and names are checked")]
    fn add(&mut self, name: &str, hash: u32, slot: usize) -> usize {
        if self.blocks.last().is_none_or(|block| !block.has_room(name)) {
            if let Some(full) = self.blocks.last_mut() {
                full.names.shrink_to_fit();
            }
            self.blocks.push(Block::default());
        }
        let at = self.blocks.len() - 1;
        let block = &mut self.blocks[at];
        block.names.push_str(name);
        block.groups.push(Group { name_end: block.names.len() as u32, hash, metrics: Metrics::default() });
        let place = at * BLOCK + block.groups.len() - 1;
        self.slots[slot] = place as u32 + 1;
        self.len += 1;
        place
    }

    /// Makes twice as many slots.
    fn grow(&mut self) {
        let slots = (self.slots.len() * 2).max(SLOTS_MIN);
        let before = std::mem::replace(&mut self.slots, vec![0; slots]);
        let mask = slots - 1;
        for filled in before.into_iter().filter(|slot| *slot != 0) {
            let place = filled as usize - 1;
            let mut slot = self.blocks[place / BLOCK].groups[place % BLOCK].hash as usize & mask;
            while self.slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = filled;
        }
    }

    /// The groups, as they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Metrics)> {
        self.blocks
            .iter()
            .flat_map(|block| (0..block.groups.len()).map(move |i| (block.name(i), &block.groups[i].metrics)))
    }

    /// Gives each group away, as they came.
    pub(crate) fn give(self, mut to: impl FnMut(&str, Metrics)) {
        for Block { names, groups } in self.blocks {
            let mut begin = 0;
            for group in groups {
                let end = group.name_end as usize;
                to(&names[begin..end], group.metrics);
                begin = end;
            }
        }
    }
}

impl PartialEq for Groups {
    /// Whatever order they came in.
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().all(|(name, metrics)| other.get(name) == Some(metrics))
    }
}

impl Eq for Groups {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::event::Kind;
    use crate::metrics::{Kind as Of, Plan, Reading, Value};
    use crate::testing::event;

    fn plan() -> Plan {
        Plan::new(vec![Of::Events])
    }

    fn count(groups: &mut Groups, name: &str) {
        groups.entry(name).observe(&plan(), &Reading::new(&event("1", 0, "ann", Kind::Original)));
    }

    fn counts(groups: &Groups) -> BTreeMap<String, Vec<Value>> {
        let all: Vec<_> =
            groups.iter().map(|(name, metrics)| (name.to_owned(), metrics.values(&plan()))).collect();
        let map: BTreeMap<_, _> = all.iter().cloned().collect();
        assert_eq!((all.len(), map.len()), (groups.len(), groups.len()), "each comes once");
        map
    }

    fn expected<'a>(names: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, Vec<Value>> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        names.into_iter().for_each(|name| *counts.entry(name.clone()).or_default() += 1);
        counts.into_iter().map(|(name, n)| (name, vec![Value::Count(n)])).collect()
    }

    #[test]
    fn many_groups_are_kept_apart_over_many_blocks() {
        let names: Vec<String> = (0..3_000).map(|i| format!("{}{i}", "x".repeat(i % 40))).collect();
        let mut groups = Groups::default();
        names.iter().chain(&names[..1_000]).for_each(|name| count(&mut groups, name));
        assert_eq!(counts(&groups), expected(names.iter().chain(&names[..1_000])));
        let mut given = BTreeMap::new();
        groups.give(|name, metrics| drop(given.insert(name.to_owned(), metrics.values(&plan()))));
        assert_eq!(given, expected(names.iter().chain(&names[..1_000])));
    }

    #[test]
    fn a_group_stays_small() {
        assert_eq!(size_of::<Group>(), 64, "what a million keys take depends on it");
    }

    proptest! {
        #[test]
        fn it_is_a_map(names in proptest::collection::vec("[abé]{0,3}", 0..200)) {
            let mut groups = Groups::default();
            names.iter().for_each(|name| count(&mut groups, name));
            prop_assert_eq!(counts(&groups), expected(&names));
            prop_assert_eq!(groups.is_empty(), names.is_empty());

            let mut backwards = Groups::default();
            names.iter().rev().for_each(|name| count(&mut backwards, name));
            prop_assert_eq!(&groups, &backwards);
            count(&mut backwards, "a");
            prop_assert_ne!(&groups, &backwards);
        }
    }
}
