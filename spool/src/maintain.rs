//! The maintenance thread: what must be done from time to time and not while somebody waits.
//!
//! About once a second it makes the acknowledged position durable, deletes the segments that are drained by it,
//! flushes the index, and takes the ballast again when there is space.
//!
//! Guarantees: a failure is reported in the statistics and tried again at the next turn; nothing here can end
//! the thread but the spool being closed. Never appends and never reads records.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::books::{Work, lock};
use crate::error::Error;
use crate::shared::Shared;

/// Time between two turns: how long an acknowledgement may stay in memory only.
const TURN: Duration = Duration::from_secs(1);

/// Two hurried turns are at least this far apart, so that draining fast costs few syncs.
const HURRY_MIN: Duration = Duration::from_millis(50);

/// A drained segment that is still appended to is closed from this size on, so that its space comes back.
const DRAINED_BYTES_MIN: u64 = 256 * 1024;

/// How long the index may take to flush.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// An empty spool's index is made anew above this size: sled's file never shrinks.
const INDEX_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Starts the thread.
pub(crate) fn start(shared: Arc<Shared>) -> Result<JoinHandle<()>, Error> {
    shared.capacity.look();
    let run = move || {
        while wait(&shared) {
            turn_guarded(&shared);
        }
        turn_guarded(&shared);
    };
    std::thread::Builder::new()
        .name("spool-maintain".to_owned())
        .spawn(run)
        .map_err(|source| Error::Thread { name: "spool-maintain", source })
}

/// Waits for the next turn. False when the spool is being closed.
fn wait(shared: &Shared) -> bool {
    let began = Instant::now();
    let mut orders = lock(&shared.orders.0);
    loop {
        let passed = began.elapsed();
        if orders.stop {
            return false;
        }
        if passed >= TURN || (orders.hurry && passed >= HURRY_MIN) {
            orders.hurry = false;
            return true;
        }
        let until = if orders.hurry { HURRY_MIN } else { TURN };
        let left = until.saturating_sub(passed);
        orders = shared.orders.1.wait_timeout(orders, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Tells the thread to take its last turn and end.
pub(crate) fn stop(shared: &Shared) {
    lock(&shared.orders.0).stop = true;
    shared.orders.1.notify_all();
}

fn turn_guarded(shared: &Shared) {
    match catch_unwind(AssertUnwindSafe(|| turn(shared))) {
        Ok(Ok(())) => shared.books.set_trouble(Work::Maintain, None),
        Ok(Err(error)) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(event = "spool_maintenance_failed", %error, cause, "the spool cannot be maintained; trying again in a second");
            shared.books.set_trouble(Work::Maintain, Some(&error));
        }
        Err(_) => tracing::error!(
            event = "spool_maintenance_failed",
            "the spool's maintenance panicked; trying again in a second"
        ),
    }
}

fn turn(shared: &Shared) -> Result<(), Error> {
    let changed = shared.save()?;
    // Deleting comes first: closing a segment needs a little space, and may find none.
    let mut deleted = shared.delete_drained()?;
    close_drained_segment(shared)?;
    deleted |= shared.delete_drained()?;
    if changed || deleted {
        shared.indexer.flush(FLUSH_TIMEOUT);
    }
    look_after_space(shared);
    compact_index(shared);
    Ok(())
}

/// Begins a new segment when the current one is drained, so that its space can be given back; the new one stays,
/// empty, and keeps the numbering. Also when somebody has deleted it: what is written there would not last.
fn close_drained_segment(shared: &Shared) -> Result<(), Error> {
    shared.writer(|writer| {
        let books = &shared.books;
        let drained = books.acknowledged() == books.tail() && writer.len() >= DRAINED_BYTES_MIN;
        let unlinked = writer.is_unlinked();
        if unlinked {
            tracing::error!(
                event = "spool_segment_gone",
                segment = writer.first_seq(),
                "somebody deleted the segment that is appended to"
            );
        }
        if drained || unlinked { shared.rotate(writer) } else { Ok(()) }
    })
}

fn look_after_space(shared: &Shared) {
    shared.capacity.look();
    if shared.books.full().is_some() {
        let room = shared.capacity.room(shared.disk_bytes(), 1, Instant::now());
        shared.books.set_full(room.err());
    }
    if !shared.indexer.is_ok() && shared.capacity.is_short() {
        shared.capacity.release_ballast();
    } else {
        shared.capacity.take_ballast();
    }
}

fn compact_index(shared: &Shared) {
    let empty = shared.books.acknowledged() == shared.books.tail();
    if empty && shared.indexer.is_ok() && shared.indexer.bytes() > INDEX_BYTES_MAX {
        shared.indexer.compact();
    }
}
