//! The spans that are missing for good: what an upstream served while we were away and does not serve
//! again. Pure; the clock comes in as an argument. All times are unix milliseconds.

use serde::Serialize;

/// A span of which nothing was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The last record before it.
    pub from_ms: i64,
    /// The first record after it, or where what was served again begins.
    pub to_ms: i64,
}

impl Gap {
    /// How long it is; 0 when events came out of order.
    #[must_use]
    pub fn length_ms(&self) -> u64 {
        u64::try_from(self.to_ms.saturating_sub(self.from_ms)).unwrap_or(0)
    }
}

/// What a new connection gives of the time that we were away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// All of it.
    Full,
    /// What the upstream received from some time on, and then what is new, in no order.
    Since {
        /// From when on.
        since_ms: i64,
        /// When we asked: what is younger is new.
        now_ms: i64,
    },
    /// Nothing.
    None,
}

/// When a record was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// By its own time, if that is known.
    pub event_ms: Option<i64>,
    /// By its receipt.
    pub received_ms: i64,
}

/// So long after the connection was made nothing is served again any more, whatever the clocks say.
const REPLAY_MAX_MS: i64 = 60_000;

/// Follows one source.
#[derive(Debug, Default)]
pub struct Gaps {
    last: Option<Moment>,
    /// The last record before the current connection, when it gives nothing of the time between.
    before: Option<Moment>,
    /// What was missed is being served again; records from this time on are new.
    live_from_ms: Option<i64>,
}

impl Gaps {
    /// As an earlier run left it: when it received its last record.
    #[must_use]
    pub fn after(received_ms: Option<i64>) -> Self {
        let last = received_ms.map(|received_ms| Moment { event_ms: None, received_ms });
        Self { last, before: None, live_from_ms: None }
    }

    /// When the last record was received behind which nothing is missing that may still be served.
    #[must_use]
    pub fn last_received_ms(&self) -> Option<i64> {
        self.last.map(|last| last.received_ms)
    }

    /// A new connection, and what it gives again. Returns the gap that is known already.
    pub fn connected(&mut self, coverage: Coverage) -> Option<Gap> {
        let last = self.last?;
        self.live_from_ms = None;
        match coverage {
            Coverage::Full => {
                self.before = None;
                None
            }
            Coverage::Since { since_ms, now_ms } => {
                self.before = None;
                self.live_from_ms = Some(now_ms);
                (last.received_ms < since_ms).then(|| {
                    // Told once; from here on it is served again.
                    self.last = Some(Moment { event_ms: None, received_ms: since_ms });
                    Gap { from_ms: last.received_ms, to_ms: since_ms }
                })
            }
            Coverage::None => {
                self.before = Some(last);
                None
            }
        }
    }

    /// Whether the next record ends a gap.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.before.is_some()
    }

    /// The first record of a connection. Returns the gap before it: by the records' own times when both
    /// have one, else by their receipt.
    pub fn first(&mut self, now: Moment) -> Option<Gap> {
        let before = self.before.take()?;
        let (from_ms, to_ms) = match (before.event_ms, now.event_ms) {
            (Some(from), Some(to)) => (from, to),
            _ => (before.received_ms, now.received_ms),
        };
        Some(Gap { from_ms, to_ms })
    }

    /// The newest record so far. While what was missed is served again, a record of then says nothing about
    /// the rest of it: should the connection break, all of it is asked for once more.
    pub fn record(&mut self, now: Moment) {
        if let Some(live_from_ms) = self.live_from_ms {
            let is_over = now.received_ms.saturating_sub(live_from_ms) >= REPLAY_MAX_MS;
            if !is_over && now.event_ms.is_some_and(|event_ms| event_ms < live_from_ms) {
                return;
            }
            self.live_from_ms = None;
        }
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(event_ms: i64) -> Moment {
        Moment { event_ms: Some(event_ms), received_ms: event_ms + 100 }
    }

    #[test]
    fn a_gap_is_from_the_last_record_before_to_the_first_one_after() {
        let mut gaps = Gaps::default();
        assert_eq!(gaps.connected(Coverage::None), None);
        assert_eq!(gaps.first(at(1000)), None, "before the first record nothing is missing");
        gaps.record(at(2000));
        assert_eq!(gaps.connected(Coverage::None), None);
        assert!(gaps.is_open());
        // A second attempt that gave nothing does not change where the gap begins.
        assert_eq!(gaps.connected(Coverage::None), None);
        assert_eq!(gaps.first(at(7500)), Some(Gap { from_ms: 2000, to_ms: 7500 }));
        assert_eq!(gaps.first(at(7600)), None);
    }

    #[test]
    fn without_times_of_their_own_the_receipt_counts() {
        let mut gaps = Gaps::after(Some(500));
        assert_eq!(gaps.connected(Coverage::None), None);
        assert_eq!(gaps.first(at(900)), Some(Gap { from_ms: 500, to_ms: 1000 }));
        let backwards = Gap { from_ms: 10, to_ms: 5 };
        assert_eq!(backwards.length_ms(), 0);
    }

    #[test]
    fn what_is_served_again_is_not_missing() {
        let mut gaps = Gaps::after(Some(10_000));
        assert_eq!(gaps.connected(Coverage::Full), None);
        assert_eq!(gaps.first(at(90_000)), None);
        let since = |since_ms| Coverage::Since { since_ms, now_ms: 80_000 };
        assert_eq!(gaps.connected(since(10_000)), None);
        assert_eq!(gaps.connected(since(70_000)), Some(Gap { from_ms: 10_000, to_ms: 70_000 }));
        assert_eq!(gaps.first(at(90_000)), None);
        assert_eq!(gaps.connected(since(70_000)), None, "a gap is told once");
    }

    #[test]
    fn what_is_served_again_is_asked_for_until_it_is_over() {
        let mut gaps = Gaps::after(Some(10_000));
        let again = Coverage::Since { since_ms: 5_000, now_ms: 100_000 };
        gaps.connected(again);
        gaps.record(at(60_000));
        assert_eq!(gaps.last_received_ms(), Some(10_000), "it may break off here");
        gaps.record(at(100_001));
        assert_eq!(gaps.last_received_ms(), Some(100_101), "a new record: all was served");
        // Clocks that differ, and records without a time, do not hold it for ever.
        gaps.connected(again);
        gaps.record(Moment { event_ms: Some(5), received_ms: 160_000 });
        assert_eq!(gaps.last_received_ms(), Some(160_000));
        gaps.connected(again);
        gaps.record(Moment { event_ms: None, received_ms: 101_000 });
        assert_eq!(gaps.last_received_ms(), Some(101_000));
    }
}
