//! The index's own thread. The rest of the spool sends it changes and questions and never touches sled itself.
//!
//! Guarantees: whatever sled does - an error, a panic, a hang - no append, read or acknowledgement waits for it
//! longer than a stated timeout, and none fails because of it: the segments and the checkpoint are the truth, the
//! index only makes finding things fast. An index that failed is opened again; one that is damaged is set aside
//! and built anew from the truth, with growing waits between attempts.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::error::Error;
use crate::fault::Faults;
use crate::index::{Change, Index, IndexError};
use crate::index_worker::Worker;
use crate::state::State;

/// Changes that may wait for sled. Beyond that, frames are simply not indexed.
const JOBS_MAX: usize = 8192;

/// How long the end of the thread is awaited before it is left alone.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a rebuilt index gets its content from.
pub(crate) trait Truth: Send + Sync {
    /// The state to mirror.
    fn state(&self) -> State;

    /// Every frame, closed segment and dead letter, in any order.
    fn changes(&self, sink: &mut dyn FnMut(Change));
}

/// How the index was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opened {
    /// There was one.
    Found,
    /// There was none.
    Created,
    /// It was set aside, and an empty one made.
    Replaced,
    /// There is none now.
    Failed,
}

/// Something to be asked of the index; it answers by a channel of its own.
pub(crate) type Question = Box<dyn FnOnce(Option<&Index>) -> Result<(), IndexError> + Send>;

/// What the thread is told to do.
pub(crate) enum Job {
    Change(Change),
    State(Box<State>),
    Flush(Sender<bool>),
    Ask(Question),
    Attach(Weak<dyn Truth>),
    Compact,
    Stop,
}

/// What the thread lets others know without being asked.
#[derive(Debug, Default)]
pub(crate) struct Health {
    pub(crate) ok: AtomicBool,
    /// A change was missed: the index must be built anew.
    pub(crate) stale: AtomicBool,
    pub(crate) rebuilds: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

/// The handle of the index's thread.
pub(crate) struct Indexer {
    jobs: Sender<Job>,
    health: Arc<Health>,
    thread: Option<(JoinHandle<()>, Receiver<()>)>,
}

impl Indexer {
    /// Starts the thread, which opens the index. The receiver says how that went.
    pub(crate) fn start(
        dir: PathBuf,
        cache_bytes: u64,
        spool_id: u32,
        faults: Faults,
    ) -> Result<(Indexer, Receiver<Opened>), Error> {
        let (jobs, inbox) = bounded(JOBS_MAX);
        let (opened, result) = bounded(1);
        let (ended, end) = bounded(0);
        let health = Arc::new(Health::default());
        let worker = Worker::new(dir, cache_bytes, spool_id, faults, health.clone());
        let thread = std::thread::Builder::new()
            .name("spool-index".to_owned())
            .spawn(move || {
                let _ended = ended;
                worker.run(&inbox, &opened);
            })
            .map_err(|source| Error::Thread { name: "spool-index", source })?;
        Ok((Indexer { jobs, health, thread: Some((thread, end)) }, result))
    }

    /// Hands over a change without waiting. A frame that cannot be taken is not indexed, which only costs time
    /// when it is looked for; any other change that cannot be taken makes the index stale.
    pub(crate) fn change(&self, change: Change) {
        let vital = !matches!(change, Change::Frame(_));
        if self.jobs.try_send(Job::Change(change)).is_err() && vital {
            self.health.stale.store(true, Ordering::Release);
        }
    }

    /// Hands over a change while opening, when there are many: waits, but not for ever.
    pub(crate) fn change_patiently(&self, change: Change, timeout: Duration) {
        let vital = !matches!(change, Change::Frame(_));
        if self.jobs.send_timeout(Job::Change(change), timeout).is_err() && vital {
            self.health.stale.store(true, Ordering::Release);
        }
    }

    /// Mirrors the state. Missing one is harmless: the next is newer.
    pub(crate) fn state(&self, state: State) {
        let _ = self.jobs.try_send(Job::State(Box::new(state)));
    }

    /// Makes all changes so far durable. `false` if the index cannot or does not in time.
    pub(crate) fn flush(&self, timeout: Duration) -> bool {
        let (reply, answer) = bounded(1);
        let deadline = Instant::now() + timeout;
        self.jobs.send_deadline(Job::Flush(reply), deadline).is_ok()
            && answer.recv_deadline(deadline).unwrap_or(false)
    }

    /// Asks the index something. `None` if it cannot or does not answer in time.
    pub(crate) fn ask<R: Send + 'static>(
        &self,
        timeout: Duration,
        question: impl FnOnce(&Index) -> Result<R, IndexError> + Send + 'static,
    ) -> Option<R> {
        let (reply, answer) = bounded(1);
        let deadline = Instant::now() + timeout;
        let question: Question = Box::new(move |index| {
            let Some(index) = index else { return Ok(()) };
            let result = question(index)?;
            // Whoever asked may have given up.
            let _ = reply.send(result);
            Ok(())
        });
        self.jobs.send_deadline(Job::Ask(question), deadline).ok()?;
        answer.recv_deadline(deadline).ok()
    }

    /// Names the truth from which a failed index is built again.
    pub(crate) fn attach(&self, truth: Weak<dyn Truth>, timeout: Duration) {
        // A thread that does not even take this is stuck in sled; it will never get to rebuilding either.
        let _ = self.jobs.send_timeout(Job::Attach(truth), timeout);
    }

    /// Builds the index anew because its file has grown far beyond its content.
    pub(crate) fn compact(&self) {
        let _ = self.jobs.try_send(Job::Compact);
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.health.ok.load(Ordering::Acquire) && !self.health.stale.load(Ordering::Acquire)
    }

    pub(crate) fn rebuilds(&self) -> u64 {
        self.health.rebuilds.load(Ordering::Relaxed)
    }

    /// Bytes of the index's file when it was last flushed.
    pub(crate) fn bytes(&self) -> u64 {
        self.health.bytes.load(Ordering::Relaxed)
    }

    /// Leaves a thread that is stuck to itself; its index has been moved away.
    pub(crate) fn abandon(mut self) {
        self.thread = None;
    }
}

impl Drop for Indexer {
    fn drop(&mut self) {
        let Some((thread, end)) = self.thread.take() else { return };
        let stopping = self.jobs.send_timeout(Job::Stop, STOP_TIMEOUT).is_ok();
        // The thread's end drops its sender, which ends this wait.
        let ended = stopping && end.recv_timeout(STOP_TIMEOUT) == Err(RecvTimeoutError::Disconnected);
        if !ended || thread.join().is_err() {
            tracing::warn!(
                event = "spool_index_not_flushed",
                "the index did not close in time; it will be checked at the next start"
            );
        }
    }
}
