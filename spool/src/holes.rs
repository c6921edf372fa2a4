//! The ranges of sequence numbers that are known to be lost.
//!
//! Guarantees: a lost record is counted once, whoever finds it first and however often it is found again; ranges
//! never overlap or touch. Never does I/O.

use std::collections::BTreeMap;
use std::ops::Range;

/// Lost ranges ahead of the acknowledged position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Holes {
    /// Start of each range and its exclusive end.
    ranges: BTreeMap<u64, u64>,
}

impl Holes {
    /// Adds a range. Returns how many of its records were not known to be lost before.
    pub(crate) fn add(&mut self, range: Range<u64>) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let (mut start, mut end) = (range.start, range.end);
        let mut known = 0;
        // Every range that overlaps or touches the new one is merged into it.
        while let Some((&from, &to)) = self.ranges.range(..=end).next_back().filter(|(_, to)| **to >= start) {
            known += to.min(range.end).saturating_sub(from.max(range.start));
            self.ranges.remove(&from);
            start = start.min(from);
            end = end.max(to);
        }
        self.ranges.insert(start, end);
        (range.end - range.start) - known
    }

    /// The end of the lost range that `seq` lies in.
    pub(crate) fn end_of(&self, seq: u64) -> Option<u64> {
        self.ranges.range(..=seq).next_back().map(|(_, end)| *end).filter(|end| *end > seq)
    }

    /// Lost records in a range.
    pub(crate) fn count_in(&self, range: Range<u64>) -> u64 {
        self.ranges
            .range(..range.end)
            .map(|(from, to)| to.min(&range.end).saturating_sub(*from.max(&range.start)))
            .sum()
    }

    /// Forgets everything before `seq`.
    pub(crate) fn forget_before(&mut self, seq: u64) {
        while let Some((&from, &to)) = self.ranges.first_key_value().filter(|(from, _)| **from < seq) {
            self.ranges.remove(&from);
            if to > seq {
                self.ranges.insert(seq, to);
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.ranges.iter().map(|(from, to)| *from..*to)
    }

    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_like_a_set_of_numbers(ranges in prop::collection::vec((0_u64..60, 0_u64..12), 0..20), cut in 0_u64..80) {
            let mut holes = Holes::default();
            let mut model = BTreeSet::new();
            for (start, len) in ranges {
                let fresh = (start..start + len).filter(|seq| model.insert(*seq)).count();
                prop_assert_eq!(holes.add(start..start + len), fresh as u64);
            }
            prop_assert_eq!(holes.count_in(10..40), model.range(10..40).count() as u64);
            holes.forget_before(cut);
            model.retain(|seq| *seq >= cut);
            let kept: BTreeSet<u64> = holes.iter().flatten().collect();
            prop_assert_eq!(&kept, &model);
            for seq in 0..80 {
                let end = model.contains(&seq).then(|| (seq..).find(|next| !model.contains(next)).unwrap());
                prop_assert_eq!(holes.end_of(seq), end);
            }
        }
    }
}
