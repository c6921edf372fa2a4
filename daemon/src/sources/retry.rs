//! From one connection to the next, the same for all sources that connect: waits until an attempt is due,
//! notes whether a connection worked, and tells its end together with the wait that follows.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use tokio::time::Instant;

use super::reconnect::{Cause, Plan, Schedule};
use super::{Disconnect, Event};

/// A connection that lasted so long has worked, even if it gave nothing new.
const WORKED_AFTER: Duration = Duration::from_secs(30);

/// Why there is no connection, or none any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// By which the next wait is chosen.
    pub(super) cause: Cause,
    /// In words, for the operator.
    pub(super) detail: String,
    /// How long the upstream asks us to stay away.
    pub(super) told: Option<Duration>,
}

impl Failure {
    pub(super) fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self { cause, detail: detail.into(), told: None }
    }
}

/// Where a source stands between its connections.
#[derive(Debug)]
pub(super) struct Retry {
    schedule: Schedule,
    /// When the next attempt is due.
    due: Instant,
    /// Since when there is a connection.
    since: Option<Instant>,
    /// The connection has given something new.
    gave: bool,
}

impl Retry {
    /// The first attempt is due at once.
    pub(super) fn new(plan: Plan) -> Self {
        // Only to spread clients: any number that differs between sources and processes will do.
        let seed = RandomState::new().hash_one(0);
        Self { schedule: Schedule::new(plan, seed), due: Instant::now(), since: None, gave: false }
    }

    /// Waits until an attempt is due.
    ///
    /// Cancel safety: it keeps nothing.
    pub(super) async fn due(&self) {
        tokio::time::sleep_until(self.due).await;
    }

    /// There is a connection.
    pub(super) fn connected(&mut self) -> Event {
        (self.since, self.gave) = (Some(Instant::now()), false);
        Event::Connected
    }

    /// Something was read; `is_new` when it gave a record that was not there before.
    pub(super) fn read(&mut self, is_new: bool) {
        self.gave |= is_new;
    }

    /// Whether the connection that ends in this way has been of use; not when there was none. One in which
    /// nothing came did not work, however long that took to be noticed.
    pub(super) fn has_worked(&self, end: Cause) -> bool {
        let lasted = |since: Instant| end != Cause::Stall && since.elapsed() >= WORKED_AFTER;
        self.since.is_some_and(|since| self.gave || lasted(since))
    }

    /// The upstream said how long to wait after a connection that ends.
    pub(super) fn base(&mut self, told: Duration) {
        self.schedule.retry(told);
    }

    /// The connection has ended, or was not made: says so, and from now on the next attempt is waited for.
    pub(super) fn failed(&mut self, failure: Failure) -> Event {
        let Failure { cause, detail, told } = failure;
        let worked = self.has_worked(cause);
        if worked {
            self.schedule.worked();
        }
        let retry_in = self.schedule.wait(cause, worked, told);
        self.since = None;
        self.due = Instant::now() + retry_in;
        Event::Disconnected(Disconnect { cause, detail, retry_in })
    }
}

#[cfg(test)]
mod tests {
    use super::super::reconnect::USUAL;
    use super::*;

    fn wait(event: &Event) -> Duration {
        let Event::Disconnected(disconnect) = event else { panic!("{event:?}") };
        disconnect.retry_in
    }

    #[test]
    fn only_a_connection_that_gave_something_new_or_lasted_is_followed_by_an_attempt_at_once() {
        let mut retry = Retry::new(USUAL);
        let cut = || Failure::new(Cause::Network, "cut");
        let stalled = || Failure::new(Cause::Stall, "silence");
        for (is_new, lasted, end, at_once) in [
            (true, 0, cut(), true),
            (false, 0, cut(), false),
            (false, 31, cut(), true),
            (false, 31, stalled(), false),
            (true, 31, stalled(), true),
        ] {
            retry.connected();
            retry.since = Instant::now().checked_sub(Duration::from_secs(lasted));
            retry.read(is_new);
            assert_eq!(wait(&retry.failed(end)).is_zero(), at_once, "{is_new} {lasted}");
        }
        assert!(!retry.has_worked(Cause::Network), "there is no connection");
        assert!(!wait(&retry.failed(cut())).is_zero(), "an attempt that fails is no connection that worked");
    }

    #[tokio::test]
    async fn the_next_attempt_is_due_after_what_was_told() {
        let mut retry = Retry::new(USUAL);
        retry.due().await;
        let told = Some(Duration::from_millis(50));
        let begin = Instant::now();
        let wait = wait(&retry.failed(Failure { told, ..Failure::new(Cause::RateLimited, "429") }));
        assert!(wait >= Duration::from_millis(50), "{wait:?}");
        retry.due().await;
        assert!(begin.elapsed() >= wait);
    }
}
