//! What systemd is told: that the daemon is ready, what it is doing, and that it stops. Does nothing
//! when it was not started by systemd.

use sd_notify::NotifyState;

use crate::status::Status;

/// The spool is recovered and the tasks run.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A stop has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// One line for `systemctl status`.
pub fn status(status: &Status) {
    let line = format!(
        "breaker {:?}, {} in the queue, {} in flight, {} on disk",
        status.breaker,
        status.queue.records,
        status.in_flight.direct + status.in_flight.replay,
        status.spool.records
    );
    tell(&[NotifyState::Status(&line)]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(event = "notify_failed", %error, "systemd cannot be told");
    }
}
