//! What systemd shows of the daemon, in one line.

use std::time::Duration;

use spillway_service::notify;

use crate::status::Status;
use crate::watch::Watch;

/// After the drain deadline: a recall that hangs, the last tries of a disk that does not take the rest, and
/// closing the spool.
pub const AFTER_DEADLINE: Duration = Duration::from_secs(30);

/// One line for `systemctl status`; `to_do` is what an operator still has to do.
pub fn status(status: &Status, to_do: Option<&str>) {
    notify::status(&line(status, to_do));
}

/// A stop has begun.
pub fn stopping(daemon: &Watch) {
    notify::stopping(daemon.drain_deadline() + AFTER_DEADLINE);
}

fn line(status: &Status, to_do: Option<&str>) -> String {
    let Status { breaker, queue, spool, in_flight, .. } = status;
    let mut parts = vec![
        format!("breaker {breaker:?}"),
        format!("{} in the queue", queue.records),
        format!("{} in flight", in_flight.direct + in_flight.replay),
        format!("{} on disk ({} MiB)", spool.records, spool.disk_bytes >> 20),
    ];
    if !status.held_partitions.is_empty() {
        parts.push(format!("{} partitions held", status.held_partitions.len()));
    }
    if spool.dead_letters > 0 {
        parts.push(format!("{} dead letters", spool.dead_letters));
    }
    parts.extend(spool.problem.as_ref().map(|problem| format!("the disk takes nothing: {problem}")));
    parts.extend(to_do.map(str::to_owned));
    parts.join(", ")
}
