//! Which partitions are idle: read to their end and silent, so that nobody need wait for them. No I/O;
//! the time comes in as an argument.
//!
//! An end that was once reached says little: records may wait behind a broker that is away. So a
//! partition is idle only when its leader has just confirmed that nothing is left to read. And when the
//! whole topic has been silent, no partition is idle until the others have had time to speak again: after
//! an outage the first to deliver must not close the windows of the rest.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The ends of a partition, as its leader gave them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The first offset that there is.
    pub(crate) low: i64,
    /// The offset of the next record to be written.
    pub(crate) high: i64,
    /// When the leader was asked.
    pub(crate) asked: Instant,
}

#[derive(Debug)]
struct Part {
    last_record: Instant,
    /// librdkafka has said so since the last record.
    at_end: bool,
    ends: Option<Ends>,
    /// When `high` was first seen at its present value, without a record since.
    high_since: Option<(i64, Instant)>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Activity {
    idle_timeout: Duration,
    parts: BTreeMap<i32, Part>,
    last_record: Option<Instant>,
    /// When the topic spoke again after it had been silent as a whole.
    resumed: Option<Instant>,
}

/// An answer about the ends that is older than this is no longer believed, unless the idle timeout is
/// longer. Ends are asked for every few seconds.
const BELIEVED: Duration = Duration::from_secs(15);

impl Activity {
    pub(crate) fn new(idle_timeout: Duration) -> Self {
        Self { idle_timeout, parts: BTreeMap::new(), last_record: None, resumed: None }
    }

    /// The partition is read from `now` on.
    pub(crate) fn assign(&mut self, partition: i32, now: Instant) {
        self.parts.insert(partition, Part { last_record: now, at_end: false, ends: None, high_since: None });
    }

    /// The partition is not read any more.
    pub(crate) fn forget(&mut self, partition: i32) {
        self.parts.remove(&partition);
    }

    /// A record came.
    pub(crate) fn record(&mut self, partition: i32, now: Instant) {
        if self.last_record.is_none_or(|last| now.saturating_duration_since(last) >= self.idle_timeout) {
            self.resumed = Some(now);
        }
        self.last_record = Some(now);
        if let Some(part) = self.parts.get_mut(&partition) {
            part.last_record = now;
            part.at_end = false;
            part.high_since = None;
        }
    }

    /// librdkafka says that the partition has been read to its end.
    pub(crate) fn at_end(&mut self, partition: i32) {
        if let Some(part) = self.parts.get_mut(&partition) {
            part.at_end = true;
        }
    }

    /// The leader was asked for the ends; `None` when it did not answer.
    pub(crate) fn asked(&mut self, partition: i32, ends: Option<Ends>) {
        let Some(part) = self.parts.get_mut(&partition) else { return };
        part.ends = ends;
        part.high_since = ends.map(|ends| match part.high_since {
            Some((high, since)) if high == ends.high => (high, since),
            _ => (ends.high, ends.asked),
        });
    }

    /// What the leader last said, if it is to be believed at `now`.
    pub(crate) fn ends(&self, partition: i32, now: Instant) -> Option<Ends> {
        let believed = BELIEVED.max(self.idle_timeout);
        let ends = self.parts.get(&partition)?.ends?;
        (now.saturating_duration_since(ends.asked) <= believed).then_some(ends)
    }

    /// Whether the partition has been silent for long enough to ask for its ends.
    pub(crate) fn is_silent(&self, partition: i32, now: Instant) -> bool {
        self.silent_from(partition).is_some_and(|since| now >= since)
    }

    /// Whether nobody need wait for the partition. `next` is the offset to be read next.
    pub(crate) fn is_idle(&self, partition: i32, next: Option<i64>, now: Instant) -> bool {
        let (Some(silent_from), Some(ends)) = (self.silent_from(partition), self.ends(partition, now)) else {
            return false;
        };
        now >= silent_from && ends.asked >= silent_from && self.is_read_to_end(partition, next, ends)
    }

    /// When the partition's silence has lasted long enough, if no record comes.
    fn silent_from(&self, partition: i32) -> Option<Instant> {
        let part = self.parts.get(&partition)?;
        Some(
            self.resumed.map_or(part.last_record, |resumed| part.last_record.max(resumed))
                + self.idle_timeout,
        )
    }

    /// The position is at the end; or what lies between is no record but a marker of a transaction: the
    /// client says that it is at the end, and the end has not moved for the whole timeout.
    fn is_read_to_end(&self, partition: i32, next: Option<i64>, ends: Ends) -> bool {
        if next.unwrap_or(ends.low).max(ends.low) >= ends.high {
            return true;
        }
        self.parts.get(&partition).is_some_and(|part| {
            let still =
                |(_, since): (i64, Instant)| ends.asked.saturating_duration_since(since) >= self.idle_timeout;
            part.at_end && part.high_since.is_some_and(still)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    struct Clock(Instant);

    impl Clock {
        fn at(&self, secs: u64) -> Instant {
            self.0 + Duration::from_secs(secs)
        }
    }

    fn two() -> (Activity, Clock) {
        let clock = Clock(Instant::now());
        let mut activity = Activity::new(TIMEOUT);
        activity.assign(0, clock.at(0));
        activity.assign(1, clock.at(0));
        activity.record(0, clock.at(0));
        (activity, clock)
    }

    fn ends(high: i64, asked: Instant) -> Option<Ends> {
        Some(Ends { low: 0, high, asked })
    }

    #[test]
    fn a_partition_at_its_end_and_silent_is_idle() {
        let (mut activity, clock) = two();
        activity.record(1, clock.at(5));
        assert!(!activity.is_silent(1, clock.at(34)));
        assert!(activity.is_silent(1, clock.at(35)));
        activity.asked(1, ends(8, clock.at(36)));
        assert!(activity.is_idle(1, Some(8), clock.at(36)));
        assert!(!activity.is_idle(1, Some(7), clock.at(36)), "a record waits");
        activity.record(1, clock.at(37));
        assert!(!activity.is_idle(1, Some(9), clock.at(37)), "it spoke");
    }

    #[test]
    fn an_end_must_be_confirmed_after_the_silence_and_recently() {
        let (mut activity, clock) = two();
        assert!(!activity.is_idle(1, Some(8), clock.at(36)), "nobody was asked");
        activity.asked(1, ends(8, clock.at(20)));
        assert!(!activity.is_idle(1, Some(8), clock.at(36)), "asked too early");
        activity.asked(1, ends(8, clock.at(31)));
        assert!(activity.is_idle(1, Some(8), clock.at(36)));
        assert!(!activity.is_idle(1, Some(8), clock.at(62)), "too long ago");
        activity.asked(1, None);
        assert!(!activity.is_idle(1, Some(8), clock.at(36)), "the leader is away");
    }

    #[test]
    fn an_empty_partition_is_idle_after_a_while() {
        let (mut activity, clock) = two();
        activity.asked(1, Some(Ends { low: 4, high: 4, asked: clock.at(31) }));
        assert!(activity.is_idle(1, None, clock.at(31)));
        activity.asked(1, Some(Ends { low: 4, high: 5, asked: clock.at(31) }));
        assert!(!activity.is_idle(1, None, clock.at(31)));
    }

    #[test]
    fn after_a_silence_of_all_each_gets_time_to_speak_again() {
        let (mut activity, clock) = two();
        activity.asked(1, ends(8, clock.at(100)));
        assert!(activity.is_idle(1, Some(8), clock.at(100)));
        activity.record(0, clock.at(101));
        activity.asked(1, ends(8, clock.at(102)));
        assert!(!activity.is_idle(1, Some(8), clock.at(102)), "the topic has only just resumed");
        activity.asked(1, ends(8, clock.at(131)));
        assert!(activity.is_idle(1, Some(8), clock.at(131)));
    }

    #[test]
    fn a_marker_at_the_end_does_not_hold_back_for_ever() {
        let (mut activity, clock) = two();
        activity.asked(1, ends(9, clock.at(31)));
        activity.asked(1, ends(9, clock.at(62)));
        assert!(!activity.is_idle(1, Some(8), clock.at(62)), "the client is not at the end");
        activity.at_end(1);
        assert!(activity.is_idle(1, Some(8), clock.at(62)));
        activity.asked(1, ends(10, clock.at(63)));
        assert!(!activity.is_idle(1, Some(8), clock.at(63)), "the end moves");
    }
}
