//! What the daemon says of its health: the breaker's state and its changes, the disk, the upstream.
//! Each part has one writer; everybody reads.

mod stream;

pub use stream::{StreamStatus, StreamView};

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::circuit::{State, Transition};
use crate::ledger::unix_ms;

/// Changes of the breaker that are kept for the status.
const KEPT_TRANSITIONS: usize = 200;

/// The breaker, as others see it. Writer: the breaker task.
#[derive(Debug)]
pub struct BreakerView {
    state: AtomicU8,
    opened: AtomicU64,
    history: Mutex<VecDeque<Change>>,
    changed: Condvar,
}

/// A change of the breaker's state.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// When, unix milliseconds.
    pub at_ms: u64,
    /// State before.
    pub from: State,
    /// State after.
    pub to: State,
    /// Short name of the cause.
    pub cause: &'static str,
    /// The cause in words.
    pub detail: String,
}

impl Default for BreakerView {
    fn default() -> Self {
        Self {
            state: AtomicU8::new(State::Open as u8),
            opened: AtomicU64::new(0),
            history: Mutex::default(),
            changed: Condvar::new(),
        }
    }
}

impl BreakerView {
    /// The state now.
    #[must_use]
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            s if s == State::Closed as u8 => State::Closed,
            s if s == State::HalfOpen as u8 => State::HalfOpen,
            _ => State::Open,
        }
    }

    /// How often it opened since the start.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Whether it has ever been anything but its first state.
    #[must_use]
    pub fn has_spoken(&self) -> bool {
        !lock(&self.history).is_empty()
    }

    /// The last changes, oldest first.
    #[must_use]
    pub fn history(&self) -> Vec<Change> {
        lock(&self.history).iter().cloned().collect()
    }

    pub(crate) fn set(&self, transition: &Transition) {
        if transition.to == State::Open {
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
        let mut history = lock(&self.history);
        if history.len() == KEPT_TRANSITIONS {
            history.pop_front();
        }
        history.push_back(Change {
            at_ms: unix_ms(),
            from: transition.from,
            to: transition.to,
            cause: transition.cause.name(),
            detail: transition.cause.to_string(),
        });
        self.state.store(transition.to as u8, Ordering::Release);
        drop(history);
        self.changed.notify_all();
    }

    /// Waits for the next change, at most `timeout`.
    pub(crate) fn wait_for_change(&self, timeout: Duration) {
        // Whether it changed or the time is over, the caller looks at the state.
        drop(self.changed.wait_timeout(lock(&self.history), timeout));
    }
}

/// The disk. Writer: spill.
#[derive(Debug, Default)]
pub struct StorageView {
    problem: Mutex<Option<String>>,
}

impl StorageView {
    /// What is wrong with it now.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        lock(&self.problem).clone()
    }

    /// Sets what is wrong; returns whether that is news.
    pub(crate) fn set(&self, problem: Option<String>) -> bool {
        let mut held = lock(&self.problem);
        let news = held.is_some() != problem.is_some();
        *held = problem;
        news
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every writer leaves the value whole before it can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
