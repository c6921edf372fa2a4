//! Stopping in order, within a deadline, without losing what is in memory.
//!
//! ```text
//!   Running --> Draining: stream has ended; produce and replay finish what they can until the deadline
//!           --> Spilling: produce has given back the rest; spill writes it to disk and persists the cursor
//!           --> Done
//! ```
//!
//! The phases only go forward. Each task moves the phase that it is responsible for.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where the stop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// No stop yet.
    Running,
    /// Nothing new comes in; what can be sent is sent.
    Draining,
    /// What could not be sent goes to disk.
    Spilling,
    /// All is on disk or in Kafka.
    Done,
}

/// The stop, shared by all tasks.
#[derive(Debug)]
pub struct Shutdown {
    phase: AtomicU8,
    deadline: Mutex<Option<Instant>>,
    stream_stop: tokio::sync::watch::Sender<bool>,
    replay_done: AtomicBool,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            phase: AtomicU8::new(0),
            deadline: Mutex::new(None),
            stream_stop: tokio::sync::watch::Sender::new(false),
            replay_done: AtomicBool::new(false),
        }
    }
}

impl Shutdown {
    /// Where the stop is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Draining,
            2 => Phase::Spilling,
            _ => Phase::Done,
        }
    }

    /// Asks for a stop; what is not sent within `drain` goes to disk. A second call changes nothing.
    pub fn begin(&self, drain: Duration) {
        let mut deadline = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        if deadline.is_none() {
            *deadline = Some(Instant::now() + drain);
            self.stream_stop.send_replace(true);
        }
    }

    /// Moves the phase forward to `phase`; never back.
    pub fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether the time for draining is over. False while no stop was asked for.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| Instant::now() >= at)
    }

    /// Becomes true when stream has to end.
    pub fn stream_stop(&self) -> tokio::sync::watch::Receiver<bool> {
        self.stream_stop.subscribe()
    }

    /// Replay has nothing in flight any more and sends nothing more.
    pub fn replay_is_done(&self) {
        self.replay_done.store(true, Ordering::Release);
    }

    /// Whether replay has ended.
    #[must_use]
    pub fn is_replay_done(&self) -> bool {
        self.replay_done.load(Ordering::Acquire)
    }
}
