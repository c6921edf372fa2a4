//! Which refusals have been told lately.

use std::time::{Duration, Instant};

use super::Refusal;

/// A refusal that lasts is told again after this long, for whoever looks at the log's end.
const AGAIN: Duration = Duration::from_secs(300);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    told: Vec<(Refusal, Instant)>,
}

impl Complaints {
    /// Whether `refusal` should be told now; if so, it counts as told.
    pub(super) fn is_due(&mut self, refusal: Refusal, now: Instant) -> bool {
        self.told.retain(|(_, at)| now.saturating_duration_since(*at) < AGAIN);
        if self.told.iter().any(|(told, _)| *told == refusal) {
            return false;
        }
        self.told.push((refusal, now));
        true
    }

    /// Forgets all.
    pub(super) fn forget(&mut self) {
        self.told.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_once_and_again_after_a_while() {
        let (mut complaints, now) = (Complaints::default(), Instant::now());
        assert!(complaints.is_due(Refusal::Login, now));
        assert!(!complaints.is_due(Refusal::Login, now + AGAIN / 2));
        assert!(complaints.is_due(Refusal::Tls, now), "another kind is news");
        assert!(complaints.is_due(Refusal::Login, now + AGAIN));
        complaints.forget();
        assert!(complaints.is_due(Refusal::Login, now + AGAIN));
    }
}
