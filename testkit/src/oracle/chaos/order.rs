//! Are the first copies of each partition in the order of their numbers?
//!
//! A first copy behind a later number is explained if every later number that stands before it stands
//! behind it once more: then a whole batch was repeated in its order, of which the first attempt arrived
//! in part. Anything else is disorder.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Found;

/// A first copy that stands behind a later record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disorder {
    /// The partition.
    pub partition: i32,
    /// The offset of the record that came too late.
    pub offset: i64,
    /// Its number.
    pub number: u64,
    /// The highest number before it.
    pub behind: u64,
}

/// Disorder, and what is explained.
pub(super) fn check(topic: &[Found]) -> (Vec<Disorder>, Vec<Disorder>) {
    let mut partitions: BTreeMap<i32, Vec<(i64, u64)>> = BTreeMap::new();
    for found in topic {
        if let Ok(n) = found.number {
            partitions.entry(found.partition).or_default().push((found.offset, n));
        }
    }
    let (mut wrong, mut explained) = (Vec::new(), Vec::new());
    for (partition, entries) in &partitions {
        check_partition(*partition, entries, &mut wrong, &mut explained);
    }
    (wrong, explained)
}

fn check_partition(
    partition: i32,
    entries: &[(i64, u64)],
    wrong: &mut Vec<Disorder>,
    explained: &mut Vec<Disorder>,
) {
    let last: HashMap<u64, i64> = entries.iter().map(|(offset, n)| (*n, *offset)).collect();
    let mut before: BTreeSet<u64> = BTreeSet::new();
    for (offset, number) in entries {
        if !before.insert(*number) {
            continue;
        }
        let Some(behind) = before.last().copied().filter(|behind| behind > number) else { continue };
        let found = Disorder { partition, offset: *offset, number: *number, behind };
        let repeated = before.range(number + 1..).all(|later| last.get(later).is_some_and(|at| at > offset));
        if repeated { explained.push(found) } else { wrong.push(found) }
    }
}
