//! Draining: reading to where the partitions ended when it was asked for, closing every window, ending.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::activity::Activity;
use crate::closing::{Closing, FINALISERS};
use crate::engine::Engine;
use crate::log::Standing;

/// See the module.
#[derive(Debug)]
pub(crate) struct Drain {
    asked: Instant,
    /// Where each partition ended, once its leader has said so.
    targets: BTreeMap<i32, i64>,
    /// When to look again whether another member has made something, and how long to wait after that.
    look_at: Instant,
    wait: Duration,
}

/// How soon a member that has read everything looks for what others have made. It waits twice as long each
/// time that there is nothing.
const LOOK_FIRST: Duration = Duration::from_millis(50);

impl Drain {
    pub(crate) fn new(now: Instant) -> Self {
        Self { asked: now, targets: BTreeMap::new(), look_at: now, wait: LOOK_FIRST }
    }

    /// Whether it is time to look at the log, by a member that has read everything: when something has come
    /// of its own work, and now and then, at least every `interval`, for that of others.
    pub(crate) fn should_look(&mut self, has_news: bool, interval: Duration, now: Instant) -> bool {
        if !has_news && now < self.look_at {
            return false;
        }
        self.wait = if has_news { LOOK_FIRST } else { (self.wait * 2).min(interval.max(LOOK_FIRST)) };
        self.look_at = now + self.wait;
        true
    }

    /// Looks up where to read to. Returns whether all is known.
    pub(crate) fn look_up(&mut self, engine: &Engine, activity: &Activity, now: Instant) -> bool {
        for (partition, _) in engine.positions() {
            if let Some(ends) = activity.ends(partition, now).filter(|ends| ends.asked >= self.asked) {
                self.targets.entry(partition).or_insert(ends.high);
            }
        }
        self.knows_ends(engine)
    }

    /// Whether it is known where to read to.
    pub(crate) fn knows_ends(&self, engine: &Engine) -> bool {
        engine.positions().all(|(partition, _)| self.targets.contains_key(&partition))
    }

    /// Whether a partition has been read to where it should be read to.
    pub(crate) fn is_read(&self, partition: i32, engine: &Engine, activity: &Activity, now: Instant) -> bool {
        let next = engine.position(partition);
        let Some(target) = self.targets.get(&partition) else { return false };
        next >= Some(*target) || activity.is_idle(partition, next, now)
    }

    /// Whether the windows of all that was read are final, as far as this member can know: the owner of
    /// the finaliser waits for the objects, the others for a proposal and their part of it.
    pub(crate) fn is_done(&self, engine: &Engine, closing: &Closing) -> bool {
        let owned: Vec<_> = engine.positions().map(|(partition, _)| partition).collect();
        let is_closed = |partition: &i32| {
            engine.newest_entry(*partition).is_some_and(|newest| {
                matches!(newest.standing, Standing::Drained { end: None })
                    && newest.closed_through <= closing.written_through().max(closing.proposed_through())
            })
        };
        let is_written = |partition: &i32| {
            engine
                .newest_entry(*partition)
                .is_some_and(|newest| newest.closed_through <= closing.written_through())
        };
        owned.iter().all(is_closed) && (!owned.contains(&FINALISERS) || owned.iter().all(is_written))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_is_looked_at_at_once_and_others_are_looked_for_less_and_less() {
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let mut drain = Drain::new(begin);
        let second = Duration::from_secs(1);
        let mut looked = |from: u64, to: u64| -> Vec<u64> {
            (from..to).filter(|ms| drain.should_look(*ms == 5_000, second, at(*ms))).collect()
        };
        assert_eq!(looked(0, 5_000), [0, 100, 300, 700, 1_500, 2_500, 3_500, 4_500]);
        assert_eq!(looked(5_000, 6_000), [5_000, 5_050, 5_150, 5_350, 5_750]);
    }

    #[test]
    fn with_a_short_interval_it_is_still_looked_for_others() {
        let begin = Instant::now();
        let mut drain = Drain::new(begin);
        assert!(drain.should_look(false, Duration::from_millis(1), begin));
        assert!(!drain.should_look(false, Duration::from_millis(1), begin + LOOK_FIRST / 2));
        assert!(drain.should_look(false, Duration::from_millis(1), begin + LOOK_FIRST));
    }
}
