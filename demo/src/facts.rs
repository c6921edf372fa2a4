//! Everything that is going on, at one moment. Plain figures: the story, the view and the tests look at
//! nothing else.

use std::time::Duration;

use spillway_daemon::circuit::State as Breaker;
use spillway_daemon::lane::Lane;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Facts {
    /// Since the demo began.
    pub(crate) elapsed: Duration,
    /// Records that will be served in all.
    pub(crate) total: u64,
    /// Records that the upstream has wholly written.
    pub(crate) served: u64,
    /// The upstream waits for the outage to begin.
    pub(crate) feed_waits: bool,
    /// The upstream has nothing more to send.
    pub(crate) feed_finished: bool,
    /// Records that the daemon has taken.
    pub(crate) received: u64,
    /// Lines that the daemon has not taken because they are too long.
    pub(crate) too_long: u64,
    /// Acknowledged straight from memory.
    pub(crate) acked: u64,
    /// Written to disk.
    pub(crate) spooled: u64,
    /// Read back from disk and acknowledged.
    pub(crate) replayed: u64,
    /// Given up, for whatever reason.
    pub(crate) dropped: u64,
    /// Of those that were on disk, refused by Kafka.
    pub(crate) replay_refused: u64,
    pub(crate) breaker: Breaker,
    pub(crate) lane: Lane,
    pub(crate) queue_records: u64,
    pub(crate) in_flight: u64,
    pub(crate) spool_records: u64,
    pub(crate) spool_bytes: u64,
    /// Why the disk takes nothing.
    pub(crate) disk_problem: Option<String>,
    /// Records that the independent reader has seen in the topic.
    pub(crate) in_topic: u64,
    /// Records that the consumer has read.
    pub(crate) consumed: u64,
    /// Partitions that the consumer owns.
    pub(crate) partitions: usize,
    /// Objects that the consumer has written.
    pub(crate) objects: u64,
}

impl Facts {
    /// Records that Kafka has acknowledged.
    pub(crate) fn delivered(&self) -> u64 {
        self.acked + self.replayed
    }

    /// Every record that was served has been received and has come to its end.
    pub(crate) fn is_all_delivered(&self) -> bool {
        let taken = self.received + self.too_long;
        let ended = self.delivered() + self.dropped + self.replay_refused;
        self.feed_finished && taken >= self.served && ended >= self.received && self.spool_records == 0
    }

    /// What changes while anything moves.
    pub(crate) fn motion(&self) -> impl PartialEq + Clone + use<> {
        let daemon = (self.received, self.acked, self.spooled, self.replayed, self.dropped);
        (self.served, daemon, self.in_topic, self.consumed, self.objects, self.partitions)
    }

    /// One line for an error message.
    pub(crate) fn summary(&self) -> String {
        let problem = self.disk_problem.as_ref().map(|p| format!(", disk: {p}")).unwrap_or_default();
        format!(
            "served {} of {}, received {}, acknowledged {}, replayed {}, dropped {}, spool {}, in flight {}, breaker {}, consumed {}{problem}",
            self.served,
            self.total,
            self.received,
            self.acked,
            self.replayed,
            self.dropped,
            self.spool_records,
            self.in_flight,
            breaker_name(self.breaker),
            self.consumed
        )
    }
}

pub(crate) fn breaker_name(breaker: Breaker) -> &'static str {
    match breaker {
        Breaker::Closed => "closed",
        Breaker::Open => "open",
        Breaker::HalfOpen => "half open",
    }
}

#[cfg(test)]
pub(crate) fn quiet() -> Facts {
    Facts {
        elapsed: Duration::ZERO,
        total: 90,
        served: 0,
        feed_waits: false,
        feed_finished: false,
        received: 0,
        too_long: 0,
        acked: 0,
        spooled: 0,
        replayed: 0,
        dropped: 0,
        replay_refused: 0,
        breaker: Breaker::Closed,
        lane: Lane::Direct,
        queue_records: 0,
        in_flight: 0,
        spool_records: 0,
        spool_bytes: 0,
        disk_problem: None,
        in_topic: 0,
        consumed: 0,
        partitions: 12,
        objects: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_delivered_when_every_record_has_come_to_its_end() {
        let done = Facts {
            served: 90,
            feed_finished: true,
            received: 90,
            acked: 50,
            spooled: 38,
            replayed: 37,
            replay_refused: 1,
            dropped: 2,
            ..quiet()
        };
        assert!(done.is_all_delivered());
        assert!(!Facts { feed_finished: false, ..done.clone() }.is_all_delivered());
        let one_short = Facts { received: 89, replayed: 36, ..done.clone() };
        assert!(!one_short.is_all_delivered());
        assert!(Facts { too_long: 1, ..one_short }.is_all_delivered());
        assert!(!Facts { replayed: 36, ..done.clone() }.is_all_delivered());
        assert!(!Facts { spool_records: 1, ..done }.is_all_delivered());
    }
}
