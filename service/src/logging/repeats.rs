//! Holds back messages that repeat, and sums them up. Pure: the clock comes in as an argument.
//!
//! Of each kind the first few in a window are told at once. The others are held back; when the window ends
//! the last of them is told with how many there were. So a log never grows faster than the number of kinds
//! allows, and never hides that something goes on.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Length of a window.
const WINDOW: Duration = Duration::from_secs(60);
/// Messages of one kind that are told at once in a window.
pub(super) const BURST: u32 = 10;
/// Kinds that are remembered. What is of none of them is told: a log says too much rather than too little.
const KINDS_MAX: usize = 1024;

/// The last of the messages that were held back, and how many there were.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Summary<M> {
    pub(super) last: M,
    pub(super) count: u64,
}

/// The messages of the windows that have not ended.
pub(super) struct Repeats<K, M> {
    windows: HashMap<K, Window<M>>,
}

struct Window<M> {
    since: Instant,
    told: u32,
    held: u64,
    last: Option<M>,
}

impl<K: Eq + Hash, M> Repeats<K, M> {
    pub(super) fn new() -> Self {
        Self { windows: HashMap::new() }
    }

    /// Gives the message back if it is to be told now.
    pub(super) fn take(&mut self, now: Instant, kind: K, message: M) -> Option<M> {
        if self.windows.len() >= KINDS_MAX && !self.windows.contains_key(&kind) {
            return Some(message);
        }
        let window = self.windows.entry(kind).or_insert(Window { since: now, told: 0, held: 0, last: None });
        if window.told < BURST {
            window.told += 1;
            return Some(message);
        }
        window.held += 1;
        window.last = Some(message);
        None
    }

    /// Ends the windows that are over; returns what was held back in them.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Summary<M>> {
        self.end(|window| now.duration_since(window.since) >= WINDOW)
    }

    /// Ends all windows.
    pub(super) fn flush(&mut self) -> Vec<Summary<M>> {
        self.end(|_| true)
    }

    fn end(&mut self, is_over: impl Fn(&Window<M>) -> bool) -> Vec<Summary<M>> {
        let over = self.windows.extract_if(|_, window| is_over(window));
        over.filter_map(|(_, window)| Some(Summary { last: window.last?, count: window.held })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What of `count` messages in the same moment is told.
    fn feed(repeats: &mut Repeats<&'static str, u32>, now: Instant, kind: &'static str, count: u32) -> usize {
        (0..count).filter(|number| repeats.take(now, kind, *number).is_some()).count()
    }

    #[test]
    fn a_flood_is_told_in_part_and_summed_up_at_the_end_of_its_window() {
        let (mut repeats, start) = (Repeats::new(), Instant::now());
        assert_eq!(feed(&mut repeats, start, "away", 1_000), 10);
        assert_eq!(feed(&mut repeats, start, "other", 3), 3, "another kind has its own window");
        assert_eq!(repeats.due(start + WINDOW / 2), []);
        assert_eq!(repeats.due(start + WINDOW), [Summary { last: 999, count: 990 }]);
        assert_eq!(feed(&mut repeats, start + WINDOW, "away", 11), 10, "a new window");
        assert_eq!(repeats.flush(), [Summary { last: 10, count: 1 }]);
        assert_eq!(repeats.flush(), []);
    }

    #[test]
    fn what_is_rare_is_never_held_back() {
        let (mut repeats, start) = (Repeats::new(), Instant::now());
        for minute in 0..100 {
            let now = start + WINDOW * minute;
            assert_eq!(repeats.due(now), []);
            assert_eq!(feed(&mut repeats, now, "rare", 10), 10);
        }
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_hidden_for_it() {
        let (mut repeats, now) = (Repeats::new(), Instant::now());
        for kind in 0..KINDS_MAX * 2 {
            assert_eq!(repeats.take(now, kind, ()), Some(()));
        }
        assert_eq!(repeats.windows.len(), KINDS_MAX);
        for _ in 0..100 {
            assert_eq!(repeats.take(now, usize::MAX, ()), Some(()), "not remembered, so told");
        }
    }
}
