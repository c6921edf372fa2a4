//! Who may take from the queue: produce or spill, never both.
//!
//! ```text
//!            breaker Open, or the queue passes its mark
//!   Direct ------------------------------------------> Draining
//!     ^  produce takes                                     |  nobody takes; what is in flight
//!     |                                                    v  is acknowledged or given back
//!   Handover <--------------------------------------- Spilling
//!      spill has written all it took;                   spill takes
//!      replay sends the rest of the spool
//! ```
//!
//! Each arrow has one owner: produce owns those from Direct to Spilling, spill the one to Handover,
//! replay those out of Handover. With `order = "fresh"` spill goes from Spilling straight to Direct,
//! and with `journal = "always"` the lane stays in Spilling.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

/// Where records go from the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Produce takes them: queue to Kafka.
    Direct,
    /// Nobody: produce waits for what it has in flight.
    Draining,
    /// Spill takes them: queue to disk.
    Spilling,
    /// Nobody: replay sends the last of the spool before produce takes over.
    Handover,
}

/// The lane, shared by produce, spill and replay.
#[derive(Debug)]
pub struct LaneControl {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    lane: Lane,
    /// Replay has read all of the spool and asks spill to pause.
    handover_wanted: bool,
}

impl LaneControl {
    /// A lane that begins with `lane`.
    #[must_use]
    pub fn new(lane: Lane) -> Self {
        Self { state: Mutex::new(State { lane, handover_wanted: false }), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Both fields are set in single steps: a panic leaves them valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lane now.
    #[must_use]
    pub fn now(&self) -> Lane {
        self.lock().lane
    }

    /// Moves from one of `from` to `to`; false when the lane is elsewhere.
    pub fn shift(&self, from: &[Lane], to: Lane) -> bool {
        let mut state = self.lock();
        let allowed = from.contains(&state.lane);
        if allowed {
            state.lane = to;
            state.handover_wanted = false;
            self.changed.notify_all();
        }
        allowed
    }

    /// Replay asks spill to pause, since it has read all of the spool.
    pub fn want_handover(&self) {
        let mut state = self.lock();
        if state.lane == Lane::Spilling && !state.handover_wanted {
            state.handover_wanted = true;
            self.changed.notify_all();
        }
    }

    /// Whether replay has asked for the handover.
    #[must_use]
    pub fn handover_wanted(&self) -> bool {
        self.lock().handover_wanted
    }

    /// Waits until the lane is `lane`, at most `timeout`; returns whether it is.
    pub fn wait_for(&self, lane: Lane, timeout: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, |s| s.lane != lane);
        waited.unwrap_or_else(PoisonError::into_inner).0.lane == lane
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_from_elsewhere_is_refused_and_a_wish_ends_with_the_shift() {
        let lane = LaneControl::new(Lane::Spilling);
        assert!(!lane.shift(&[Lane::Handover], Lane::Direct));
        lane.want_handover();
        assert!(lane.handover_wanted());
        assert!(lane.shift(&[Lane::Spilling], Lane::Handover));
        assert!(!lane.handover_wanted());
        lane.want_handover();
        assert!(!lane.handover_wanted(), "only a spilling lane can be handed over");
        assert!(lane.shift(&[Lane::Handover], Lane::Direct));
        assert_eq!(lane.now(), Lane::Direct);
    }

    #[test]
    fn a_waiter_is_woken() {
        let lane = LaneControl::new(Lane::Spilling);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| lane.wait_for(Lane::Direct, Duration::from_secs(10)));
            assert!(lane.shift(&[Lane::Spilling], Lane::Direct));
            assert!(waiter.join().unwrap());
        });
        assert!(!lane.wait_for(Lane::Handover, Duration::ZERO));
    }
}
