//! Records a second over the last moments. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::facts::Facts;

/// Rates are averaged over this long: short enough to see the outage, long enough to read.
const SPAN: Duration = Duration::from_millis(1_500);

/// Records a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) served: u64,
    pub(super) delivered: u64,
    pub(super) consumed: u64,
}

#[derive(Debug, Default)]
pub(super) struct Rates {
    samples: VecDeque<(Duration, [u64; 3])>,
}

impl Rates {
    pub(super) fn update(&mut self, facts: &Facts) -> Rate {
        let now = facts.elapsed;
        self.samples.push_back((now, [facts.served, facts.delivered(), facts.consumed]));
        // The oldest sample that is kept is at least the span old, if there is one.
        while self.samples.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= SPAN) {
            self.samples.pop_front();
        }
        let (Some((first_at, first)), Some((_, last))) = (self.samples.front(), self.samples.back()) else {
            return Rate::default();
        };
        let ms = now.saturating_sub(*first_at).as_millis();
        let rate = |i: usize| {
            let grown = u128::from(last[i].saturating_sub(first[i]));
            (grown * 1_000).checked_div(ms).and_then(|rate| u64::try_from(rate).ok()).unwrap_or(0)
        };
        Rate { served: rate(0), delivered: rate(1), consumed: rate(2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::quiet;

    #[test]
    fn a_rate_is_that_of_the_last_moments() {
        let mut rates = Rates::default();
        let facts = |ms: u64, served| Facts { elapsed: Duration::from_millis(ms), served, ..quiet() };
        assert_eq!(rates.update(&facts(0, 0)).served, 0);
        assert_eq!(rates.update(&facts(500, 1_000)).served, 2_000);
        for ms in (600..=3_000).step_by(100) {
            rates.update(&facts(ms, 1_000));
        }
        assert_eq!(rates.update(&facts(3_100, 1_000)).served, 0, "what was long ago does not count");
    }
}
