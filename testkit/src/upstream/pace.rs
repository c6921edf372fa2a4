//! How many records are due. Pure: the clock comes in as an argument.

use std::time::{Duration, Instant};

/// A server that was held up does not serve more than this at once when it goes on.
const DEBT_MAX: Duration = Duration::from_millis(250);

/// Spreads records over time.
#[derive(Debug)]
pub(super) struct Pacer {
    /// Records a second; 0 is no limit.
    rate: u64,
    since: Instant,
    given: u64,
}

impl Pacer {
    pub(super) fn new(rate: u64, now: Instant) -> Self {
        Self { rate, since: now, given: 0 }
    }

    /// Records that are due at `now`.
    pub(super) fn due(&mut self, now: Instant) -> u64 {
        if self.rate == 0 {
            return u64::MAX;
        }
        let passed = now.saturating_duration_since(self.since);
        if passed.saturating_sub(self.time_of(self.given)) > DEBT_MAX {
            self.restart(now - DEBT_MAX);
        }
        let passed = now.saturating_duration_since(self.since);
        let due = passed.as_nanos() * u128::from(self.rate) / 1_000_000_000;
        u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(self.given)
    }

    /// When the next record is due.
    pub(super) fn next(&self) -> Instant {
        self.since + self.time_of(self.given + 1)
    }

    pub(super) fn gave(&mut self, records: u64) {
        self.given += records;
    }

    /// Nothing is owed from before `now`.
    pub(super) fn restart(&mut self, now: Instant) {
        self.since = now;
        self.given = 0;
    }

    fn time_of(&self, records: u64) -> Duration {
        let nanos = u128::from(records) * 1_000_000_000 / u128::from(self.rate.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_rate_is_kept_on_average() {
        let start = Instant::now();
        let mut pacer = Pacer::new(2_000, start);
        assert_eq!(pacer.due(start), 0);
        assert_eq!(pacer.next(), start + Duration::from_micros(500));
        let mut given = 0;
        for tick in 1..=1_000 {
            let due = pacer.due(start + 3 * tick * MS);
            pacer.gave(due);
            given += due;
        }
        assert_eq!(given, 6_000);
    }

    #[test]
    fn a_long_pause_is_not_caught_up() {
        let start = Instant::now();
        let mut pacer = Pacer::new(1_000, start);
        assert_eq!(pacer.due(start + 200 * MS), 200);
        assert_eq!(pacer.due(start + 9_000 * MS), 250);
        pacer.restart(start + 9_000 * MS);
        assert_eq!(pacer.due(start + 9_010 * MS), 10);
    }

    #[test]
    fn without_a_rate_everything_is_due() {
        assert_eq!(Pacer::new(0, Instant::now()).due(Instant::now()), u64::MAX);
    }
}
