//! Since when the oldest record waits on disk. What is on disk says itself when it was written, but reading it
//! for every scrape would be too much: here are a few records with their times, and the first one that is not
//! delivered is at most as old as the nearest before it. Pure: times come in as arguments.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Two marks are at least this far apart, in milliseconds.
const APART_MS: u64 = 1_000;
/// When there are so many, they are thinned out to twice the distance: so it is about a thousandth of the time
/// that they span.
const MARKS_MAX: usize = 2_048;

/// When records of the spool were written, by their numbers. Writers: spill at the tail, replay at what it reads.
#[derive(Debug)]
pub(crate) struct Ages(Mutex<Marks>);

#[derive(Debug)]
struct Marks {
    apart_ms: u64,
    /// When a record was written, unix milliseconds, by its number.
    written: BTreeMap<u64, u64>,
}

impl Default for Ages {
    fn default() -> Self {
        Self(Mutex::new(Marks { apart_ms: APART_MS, written: BTreeMap::new() }))
    }
}

impl Ages {
    /// The record `seq`, and those after it, were written at `unix_ms`.
    pub(crate) fn note(&self, seq: u64, unix_ms: u64) {
        let mut marks = self.lock();
        let apart_ms = marks.apart_ms;
        let is_near = |(_, at): (&u64, &u64)| unix_ms.abs_diff(*at) < apart_ms;
        if !marks.written.range(..=seq).next_back().is_some_and(is_near) {
            marks.written.insert(seq, unix_ms);
        }
        if marks.written.len() > MARKS_MAX {
            marks.thin_out();
        }
    }

    /// When the record `head`, the first that waits, was written, unix milliseconds, or a little earlier; `None`
    /// when that is not known. What is before it is forgotten.
    pub(crate) fn oldest(&self, head: u64) -> Option<u64> {
        let mut marks = self.lock();
        let (nearest, at) = marks.written.range(..=head).next_back().map(|(seq, at)| (*seq, *at))?;
        marks.written = marks.written.split_off(&nearest);
        if marks.written.len() == 1 {
            marks.apart_ms = APART_MS;
        }
        Some(at)
    }

    /// Nothing before the record `tail` waits.
    pub(crate) fn forget_before(&self, tail: u64) {
        let mut marks = self.lock();
        marks.written = marks.written.split_off(&tail);
    }

    fn lock(&self) -> MutexGuard<'_, Marks> {
        // Every step leaves the marks whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Marks {
    fn thin_out(&mut self) {
        self.apart_ms = self.apart_ms.saturating_mul(2);
        let (apart_ms, mut last) = (self.apart_ms, None::<u64>);
        self.written.retain(|_, at| {
            let is_kept = last.is_none_or(|last| at.abs_diff(last) >= apart_ms);
            last = if is_kept { Some(*at) } else { last };
            is_kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_as_old_as_the_mark_before_it() {
        let ages = Ages::default();
        assert_eq!(ages.oldest(0), None);
        ages.note(100, 50_000);
        ages.note(110, 50_999);
        ages.note(120, 51_000);
        assert_eq!((ages.oldest(99), ages.oldest(100), ages.oldest(119)), (None, Some(50_000), Some(50_000)));
        assert_eq!(ages.oldest(500), Some(51_000));
        assert_eq!(ages.oldest(110), None, "forgotten");
        ages.note(600, 60_000);
        ages.forget_before(600);
        assert_eq!((ages.oldest(599), ages.oldest(600)), (None, Some(60_000)));
    }

    #[test]
    fn what_replay_reads_of_an_earlier_run_is_known_beside_what_spill_writes() {
        let ages = Ages::default();
        ages.note(1_000, 900_000);
        ages.note(10, 5_000);
        ages.note(20, 7_000);
        assert_eq!(
            (ages.oldest(15), ages.oldest(20), ages.oldest(1_001)),
            (Some(5_000), Some(7_000), Some(900_000))
        );
    }

    #[test]
    fn a_long_outage_takes_bounded_memory_and_is_never_made_younger() {
        let ages = Ages::default();
        for second in 0..100_000_u64 {
            ages.note(second * 7, second * 1_000);
        }
        assert!(ages.lock().written.len() <= MARKS_MAX);
        for seq in (0..700_000_u64).step_by(997) {
            let written = seq / 7 * 1_000;
            let said = ages.oldest(seq).unwrap();
            assert!(said <= written && written - said <= 128_000, "{seq}: {written}, not {said}");
        }
    }
}
