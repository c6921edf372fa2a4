//! How a running consumer is told to end, and what it tells of itself meanwhile.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use spillway_service::pulse::Pulse;

use crate::micros::Micros;
use crate::pulse::{Heart, Hearts, Part};
use crate::watch::Watch;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// By [`Control::stop`]. Windows that were open are rebuilt by the next run.
    Stopped,
    /// By [`Control::drain`]: all that the topic held is in final objects.
    Drained,
}

/// Controls a run from another thread. Clones control the same run.
#[derive(Debug, Clone, Default)]
pub struct Control {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    wish: AtomicU8,
    progress: Mutex<Progress>,
    changed: Condvar,
    watch: Watch,
    hearts: Hearts,
}

const STOP: u8 = 2;
const DRAIN: u8 = 1;

impl Control {
    /// For one run.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// End now. Nothing is lost: what is not in final objects is read again by the next run.
    pub fn stop(&self) {
        self.shared.wish.fetch_max(STOP, Ordering::Relaxed);
    }

    /// Read to where the partitions end now, close every window, end. It may be called before the
    /// run, while it reads, or when it has read everything. An event that comes later for one of the
    /// closed windows is late.
    pub fn drain(&self) {
        self.shared.wish.fetch_max(DRAIN, Ordering::Relaxed);
    }

    /// How far the run is; at most about a tenth of a second old.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `condition` holds for the progress. Returns whether it did within `timeout`.
    pub fn wait_until(&self, timeout: Duration, mut condition: impl FnMut(&Progress) -> bool) -> bool {
        let progress = self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let waited =
            self.shared.changed.wait_timeout_while(progress, timeout, |progress| !condition(progress));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// How the run is: the newest status, and the health that goes with it.
    #[must_use]
    pub fn watch(&self) -> &Watch {
        &self.shared.watch
    }

    /// The pulse of the run's threads, for a watchdog.
    #[must_use]
    pub fn pulse(&self) -> &Pulse {
        self.shared.hearts.pulse()
    }

    /// What a thread of the run counts its turns with.
    pub(crate) fn heart(&self, part: Part) -> Heart {
        self.shared.hearts.of(part)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.shared.wish.load(Ordering::Relaxed) == STOP
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.shared.wish.load(Ordering::Relaxed) == DRAIN
    }

    pub(crate) fn publish(&self, progress: Progress) {
        let mut shared = self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if *shared != progress {
            *shared = progress;
            self.shared.changed.notify_all();
        }
    }
}

/// What a run has done since it began. Every record read is one of: event, late, duplicate,
/// replayed, quarantined, notice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records read.
    pub read: u64,
    /// Events counted in a window.
    pub events: u64,
    /// Events that came after their window was closed; in no table.
    pub late: u64,
    /// Events whose id was counted before.
    pub duplicates: u64,
    /// Records that had been dealt with: by an earlier run, in windows that were final when this one
    /// began; or by this one, before the group expelled it and it had to read them again.
    pub replayed: u64,
    /// Records that are no event, or whose time is too far ahead of Kafka's.
    pub quarantined: u64,
    /// Messages of the upstream about itself.
    pub notices: u64,
    /// Records that Kafka deleted before they could be read; loss, logged as an error.
    pub missed: u64,
    /// Objects written.
    pub objects: u64,
    /// Rows in them.
    pub rows: u64,
    /// Objects that an earlier run had written already, with the same content.
    pub objects_found: u64,
    /// Notifications of objects that were taken.
    pub notified: u64,
    /// Attempts to notify that failed; each is made again.
    pub notify_failures: u64,
    /// The greatest event time seen.
    pub newest_event: Option<Micros>,
    /// Windows that end at or before this are final.
    pub frontier: Option<Micros>,
    /// Records that are in the topic and not read yet; `None` while the ends are unknown.
    pub lag: Option<u64>,
    /// Partitions owned.
    pub partitions: usize,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How it ended.
    pub ended: Until,
    /// The counters at its end.
    pub progress: Progress,
    /// What was written, by table, in the order of the configuration.
    pub tables: Vec<TableSummary>,
}

/// What a run wrote of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TableSummary {
    /// The table's name.
    pub table: String,
    /// Objects written.
    pub objects: u64,
    /// Rows in them.
    pub rows: u64,
    /// Objects that were there already, with the same content.
    pub objects_found: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopping_beats_draining() {
        let control = Control::new();
        let other = control.clone();
        assert!(!control.is_stopping() && !control.is_draining());
        other.drain();
        assert!(control.is_draining());
        other.stop();
        other.drain();
        assert!(control.is_stopping() && !control.is_draining());
    }

    #[test]
    fn progress_can_be_waited_for() {
        let control = Control::new();
        let reader = control.clone();
        let waiting = std::thread::spawn(move || reader.wait_until(Duration::from_secs(10), |p| p.read == 2));
        control.publish(Progress { read: 1, ..Progress::default() });
        control.publish(Progress { read: 2, ..Progress::default() });
        assert!(waiting.join().unwrap());
        assert_eq!(control.progress().read, 2);
        assert!(!control.wait_until(Duration::from_millis(1), |p| p.read == 3));
    }
}
