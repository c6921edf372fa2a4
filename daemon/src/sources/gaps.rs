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
    /// What was received by the upstream from this time on.
    Since(i64),
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

/// Follows one source.
#[derive(Debug, Default)]
pub struct Gaps {
    last: Option<Moment>,
    /// The last record before the current connection, when it gives nothing of the time between.
    before: Option<Moment>,
}

impl Gaps {
    /// As an earlier run left it: when it received its last record.
    #[must_use]
    pub fn after(received_ms: Option<i64>) -> Self {
        let last = received_ms.map(|received_ms| Moment { event_ms: None, received_ms });
        Self { last, before: None }
    }

    /// When the last record was received.
    #[must_use]
    pub fn last_received_ms(&self) -> Option<i64> {
        self.last.map(|last| last.received_ms)
    }

    /// A new connection, and what it gives again. Returns the gap that is known already.
    pub fn connected(&mut self, coverage: Coverage) -> Option<Gap> {
        let last = self.last?;
        match coverage {
            Coverage::Full => {
                self.before = None;
                None
            }
            Coverage::Since(to_ms) => {
                self.before = None;
                (last.received_ms < to_ms).then_some(Gap { from_ms: last.received_ms, to_ms })
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

    /// The newest record so far.
    pub fn record(&mut self, now: Moment) {
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
        assert_eq!(gaps.connected(Coverage::Since(10_000)), None);
        assert_eq!(gaps.connected(Coverage::Since(70_000)), Some(Gap { from_ms: 10_000, to_ms: 70_000 }));
        assert_eq!(gaps.first(at(90_000)), None);
    }
}
