//! A handle to a running daemon: looks at it, stops it, has it read its configuration again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use spillway_service::pulse::Pulse;

use crate::pipeline::Shared;
use crate::reload::{self, Reload};
use crate::status::Status;

/// Looks at a daemon and can stop it. Cheap to clone; may be used from any thread. While one is kept the
/// spool stays locked, even after the daemon has ended.
#[derive(Clone)]
pub struct Watch {
    shared: Arc<Shared>,
}

impl Watch {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Stops reading, sends what it can until the drain deadline, and puts the rest on disk.
    pub fn stop(&self) {
        self.shared.begin_stop();
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::of(&self.shared)
    }

    /// Reads the configuration again, takes over what can change, and logs what has become of it. Returns what
    /// an operator still has to do.
    pub fn reload(&self, reload: &mut Reload) -> Option<String> {
        reload::report(reload.run(&self.shared))
    }

    /// How long a stop may take to send what it can.
    #[must_use]
    pub fn drain_deadline(&self) -> Duration {
        self.shared.live.now().drain_deadline
    }

    /// Notes whether a task hangs, as the watchdog has found: `/healthz` says so.
    pub fn note_stuck(&self, is_stuck: bool) {
        self.shared.is_stuck.store(is_stuck, Ordering::Relaxed);
    }

    /// The pulse of the tasks, for a watchdog.
    #[must_use]
    pub fn pulse(&self) -> &Pulse {
        &self.shared.pulse
    }
}
