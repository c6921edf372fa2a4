//! What a run shows of itself while it goes on: its figures, its health, and what blocks it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Run;
use crate::finaliser::Blocker;
use crate::health::{self, Signs};
use crate::micros::{self, Micros};
use crate::status::{
    BlockedBy, Counts, Frontier, Lag, Notifications, PartitionStatus, Status, StoreStatus, age_ms, millis,
};

impl Run<'_> {
    /// Says how far the run is, and now and then how it is.
    pub(super) fn show(&self, now: Instant) {
        self.control.publish(self.progress(now));
        let watch = self.control.watch();
        if watch.is_due(now) {
            // A clock before 1970 makes lags of 0, and nothing else depends on it.
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros::of);
            watch.set(self.status(now, wall), now);
        }
    }

    fn status(&self, now: Instant, wall: Micros) -> Status {
        let ends = |partition| self.activity.ends(partition, now).map(|ends| (ends.low, ends.high));
        let partitions: Vec<_> = self
            .engine
            .figures()
            .map(|figures| PartitionStatus::of(figures, ends(figures.partition), wall))
            .collect();
        let is_settled = self.membership.is_settled();
        let waiting = self.closing.waiting_since().map(|since| now.saturating_duration_since(since));
        let silent = self.probe.silent_for(now);
        let signs = Signs { is_settled, kafka_silent: silent, store_waits: waiting };
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Status {
            version: env!("CARGO_PKG_VERSION"),
            topic: self.config.topic.clone(),
            group: self.config.group.clone(),
            instance_id: self.config.instance_id.clone(),
            not_ready: health::reasons(signs),
            kafka_silent_ms: silent.map(ms),
            is_paused: self.is_paused,
            counts: self.counts(),
            lag: if is_settled { Lag::sum(&partitions) } else { Lag::default() },
            frontier: self.frontier(wall),
            partitions,
            tables: self.table_summaries(),
            windows: if self.closing.is_finaliser() {
                self.background.newest().at(self.closing.written_through())
            } else {
                Vec::new()
            },
            notifications: self.notifications(),
            store: StoreStatus {
                waiting_ms: waiting.map(ms),
                put: self.requests.put.read(),
                get: self.requests.get.read(),
                list: self.requests.list.read(),
            },
        }
    }

    fn notifications(&self) -> Notifications {
        let told = self.notifier.told();
        Notifications { delivered: told.delivered, failures: told.failures }
    }

    fn counts(&self) -> Counts {
        let tally = self.engine.tally();
        Counts {
            read: tally.read,
            events: tally.counted,
            late: tally.late,
            duplicates: tally.duplicates,
            replayed: tally.replayed,
            quarantined: tally.quarantined,
            notices: tally.notices,
            missed: tally.missed,
            log_conflicts: self.membership.conflicts(),
            frontier_conflicts: self.closing.frontier_conflicts(),
        }
    }

    fn frontier(&self, wall: Micros) -> Frontier {
        let close_interval = micros::of(self.config.time.close_interval);
        let written = self.closing.written_through();
        let blocked = |blocker: Blocker| BlockedBy {
            partition: blocker.partition,
            has_log: blocker.is_born,
            closed_through_ms: blocker.closed_through.map(millis),
        };
        Frontier {
            is_ours: self.closing.is_finaliser(),
            final_ms: written.map(millis),
            usual_lag_ms: age_ms(0, self.engine.usual_lag().saturating_add(close_interval)),
            final_lag_ms: written.map(|through| age_ms(through, wall)),
            proposed_ms: self.closing.proposed_through().map(millis),
            blocked_by: self.closing.blocker().map(blocked),
        }
    }
}
