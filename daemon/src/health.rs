//! What the daemon says of its health: the breaker's state and its changes, the disk, the upstream.
//! Each part has one writer; everybody reads.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::circuit::{State, Transition};
use crate::ledger::unix_ms;
use crate::sources::Oddities;

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

/// The upstream. Writer: stream.
#[derive(Debug, Default)]
pub struct StreamView {
    connected: AtomicBool,
    ended: AtomicBool,
    connects: AtomicU64,
    torn: AtomicU64,
    too_long: AtomicU64,
    keep_alives: AtomicU64,
    last_error: Mutex<Option<String>>,
}

/// A copy of what is known of the upstream.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StreamStatus {
    /// Whether it is connected.
    pub connected: bool,
    /// Whether its input has ended for good.
    pub ended: bool,
    /// Connections made since the start.
    pub connects: u64,
    /// Torn last lines: never emitted.
    pub torn: u64,
    /// Lines over the limit: dropped before they were records.
    pub too_long: u64,
    /// Empty lines.
    pub keep_alives: u64,
    /// Why it was disconnected last.
    pub last_error: Option<String>,
}

impl StreamView {
    /// What is known now.
    #[must_use]
    pub fn status(&self) -> StreamStatus {
        StreamStatus {
            connected: self.connected.load(Ordering::Relaxed),
            ended: self.ended.load(Ordering::Relaxed),
            connects: self.connects.load(Ordering::Relaxed),
            torn: self.torn.load(Ordering::Relaxed),
            too_long: self.too_long.load(Ordering::Relaxed),
            keep_alives: self.keep_alives.load(Ordering::Relaxed),
            last_error: lock(&self.last_error).clone(),
        }
    }

    pub(crate) fn connected(&self) {
        self.connected.store(true, Ordering::Relaxed);
        self.connects.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn disconnected(&self, cause: &str) {
        self.connected.store(false, Ordering::Relaxed);
        *lock(&self.last_error) = Some(cause.to_owned());
    }

    pub(crate) fn ended(&self) {
        self.connected.store(false, Ordering::Relaxed);
        self.ended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn oddities(&self, odd: Oddities) {
        self.torn.store(odd.torn, Ordering::Relaxed);
        self.too_long.store(odd.too_long, Ordering::Relaxed);
        self.keep_alives.store(odd.keep_alives, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every writer leaves the value whole before it can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
