//! Rate-limited logging: the first few of a kind are logged at once, the rest are summed up. No clock.

use std::time::{Duration, Instant};

/// Lets at most `burst` messages of one kind pass in every `period`.
#[derive(Debug)]
pub(crate) struct Throttle {
    burst: u32,
    period: Duration,
    began: Option<Instant>,
    passed: u32,
    held_back: u64,
}

impl Throttle {
    pub(crate) fn new(burst: u32, period: Duration) -> Self {
        Self { burst, period, began: None, passed: 0, held_back: 0 }
    }

    /// One more has happened: `Some` when it is to be logged now, with how many were held back since
    /// the last one that was.
    pub(crate) fn pass(&mut self, now: Instant) -> Option<u64> {
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= self.period) {
            self.began = Some(now);
            self.passed = 0;
        }
        if self.passed >= self.burst {
            self.held_back += 1;
            return None;
        }
        self.passed += 1;
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_pass_and_the_rest_are_summed_up() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut throttle = Throttle::new(2, Duration::from_secs(10));
        assert_eq!([0, 1, 2, 9].map(|s| throttle.pass(at(s))), [Some(0), Some(0), None, None]);
        assert_eq!([10, 11, 12].map(|s| throttle.pass(at(s))), [Some(2), Some(0), None]);
        assert_eq!(throttle.pass(at(60)), Some(1));
    }
}
