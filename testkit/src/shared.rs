//! A state that a handle and its server share. Changes of the script wake the server; every change
//! wakes whoever waits for one.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

#[derive(Debug)]
pub(crate) struct Shared<S> {
    state: Mutex<S>,
    progressed: Condvar,
    /// Counts changes of the script.
    script: watch::Sender<u64>,
}

impl<S> Shared<S> {
    pub(crate) fn new(state: S) -> Self {
        Self { state: Mutex::new(state), progressed: Condvar::new(), script: watch::Sender::new(0) }
    }

    /// The state is whole at every moment, even if a thread that held it has panicked.
    pub(crate) fn lock(&self) -> MutexGuard<'_, S> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the script and wakes the server.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut S) -> R) -> R {
        let result = change(&mut self.lock());
        self.script.send_modify(|version| *version += 1);
        self.progressed.notify_all();
        result
    }

    /// Notes progress and wakes whoever waits for it.
    pub(crate) fn progress(&self, note: impl FnOnce(&mut S)) {
        note(&mut self.lock());
        self.progressed.notify_all();
    }

    /// Tells of every later change of the script.
    pub(crate) fn script(&self) -> watch::Receiver<u64> {
        self.script.subscribe()
    }

    /// Waits until the state is as wanted. False when the deadline passed before.
    pub(crate) fn wait(&self, deadline: Instant, reached: impl Fn(&S) -> bool) -> bool {
        let mut state = self.lock();
        while !reached(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            (state, _) = self.progressed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }
}
