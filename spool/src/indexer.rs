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
use crate::index::{Change, Index, IndexError, guard};
use crate::set_aside::set_aside;
use crate::state::State;

/// Changes that may wait for sled. Beyond that, frames are simply not indexed.
const JOBS_MAX: usize = 8192;

/// Changes applied at once.
const BATCH_MAX: usize = 1024;

/// How often a healthy index is looked after when there is nothing to do.
const IDLE: Duration = Duration::from_millis(500);

/// The first and the longest wait between attempts to revive the index.
const REVIVE_MIN: Duration = Duration::from_millis(500);
const REVIVE_MAX: Duration = Duration::from_secs(60);

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

type Question = Box<dyn FnOnce(Option<&Index>) -> Result<(), IndexError> + Send>;

enum Job {
    Change(Change),
    State(Box<State>),
    Flush(Sender<bool>),
    Ask(Question),
    Attach(Weak<dyn Truth>),
    Compact,
    Stop,
}

#[derive(Debug, Default)]
struct Health {
    ok: AtomicBool,
    /// A change was missed: the index must be built anew.
    stale: AtomicBool,
    rebuilds: AtomicU64,
    bytes: AtomicU64,
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
        let worker = Worker {
            dir,
            cache_bytes,
            spool_id,
            faults,
            index: None,
            truth: None,
            health: health.clone(),
            fresh: false,
            wait: REVIVE_MIN,
            retry_at: Instant::now(),
        };
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
            tracing::warn!("the index did not close in time; it will be checked at the next start");
        }
    }
}

struct Worker {
    dir: PathBuf,
    cache_bytes: u64,
    spool_id: u32,
    faults: Faults,
    index: Option<Index>,
    truth: Option<Weak<dyn Truth>>,
    health: Arc<Health>,
    /// The index on disk is not to be opened again, but replaced.
    fresh: bool,
    wait: Duration,
    retry_at: Instant,
}

impl Worker {
    fn run(mut self, inbox: &Receiver<Job>, opened: &Sender<Opened>) {
        let how = self.open_first();
        let _ = opened.send(how);
        loop {
            match inbox.recv_timeout(IDLE) {
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(job) => {
                    if self.take(job, inbox).is_break() {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.revive_if_due();
        }
        let _ = self.with(Index::flush);
        self.close();
    }

    fn open_first(&mut self) -> Opened {
        let existed = self.dir.exists();
        match self.open() {
            Ok(()) if existed => Opened::Found,
            Ok(()) => Opened::Created,
            Err(error) => {
                self.warn("cannot open the index; setting it aside", &error);
                self.fresh = true;
                if self.replace() { Opened::Replaced } else { Opened::Failed }
            }
        }
    }

    fn open(&mut self) -> Result<(), IndexError> {
        self.faults.io("index.open").map_err(IndexError::File)?;
        let (dir, cache, id) = (&self.dir, self.cache_bytes, self.spool_id);
        let index = guard(|| Index::open(dir, cache, id))?;
        self.health.bytes.store(index.size_on_disk(), Ordering::Relaxed);
        self.index = Some(index);
        self.health.ok.store(true, Ordering::Release);
        Ok(())
    }

    /// Sets the old index aside and makes an empty one.
    fn replace(&mut self) -> bool {
        set_aside(&self.dir);
        match self.open() {
            Ok(()) => {
                self.fresh = false;
                true
            }
            Err(error) => {
                self.warn("cannot make a new index", &error);
                false
            }
        }
    }

    fn take(&mut self, job: Job, inbox: &Receiver<Job>) -> std::ops::ControlFlow<()> {
        match job {
            Job::Change(change) => return self.take_changes(change, inbox),
            Job::State(state) => {
                let _ = self.with(|index| index.put_state(&state));
            }
            Job::Flush(reply) => {
                let flushed = self.flush();
                let _ = reply.send(flushed);
            }
            Job::Ask(question) => {
                let index = self.index.as_ref();
                if let Err(error) = guard(|| question(index)) {
                    self.fail(&error);
                }
            }
            Job::Attach(truth) => self.truth = Some(truth),
            Job::Compact => {
                self.close();
                self.fresh = true;
                self.retry_at = Instant::now();
            }
            Job::Stop => return std::ops::ControlFlow::Break(()),
        }
        std::ops::ControlFlow::Continue(())
    }

    /// Applies a run of changes, then takes the job that ended the run.
    fn take_changes(&mut self, first: Change, inbox: &Receiver<Job>) -> std::ops::ControlFlow<()> {
        let mut changes = vec![first];
        let mut next = None;
        while changes.len() < BATCH_MAX && next.is_none() {
            match inbox.try_recv() {
                Ok(Job::Change(change)) => changes.push(change),
                Ok(other) => next = Some(other),
                Err(_) => break,
            }
        }
        let faults = self.faults.clone();
        let _ = self.with(|index| {
            faults.io("index.apply").map_err(IndexError::File)?;
            index.apply(&changes)
        });
        self.faults.point("index.applied");
        next.map_or(std::ops::ControlFlow::Continue(()), |job| self.take(job, inbox))
    }

    fn flush(&mut self) -> bool {
        let faults = self.faults.clone();
        let flushed = self.with(|index| {
            faults.io("index.flush").map_err(IndexError::File)?;
            index.flush()?;
            Ok(index.size_on_disk())
        });
        self.faults.point("index.flushed");
        if let Some(bytes) = flushed {
            self.health.bytes.store(bytes, Ordering::Relaxed);
        }
        flushed.is_some()
    }

    /// Runs something on the index; an error closes it until it is revived.
    fn with<R>(&mut self, run: impl FnOnce(&Index) -> Result<R, IndexError>) -> Option<R> {
        let index = self.index.as_ref()?;
        match guard(|| run(index)) {
            Ok(result) => Some(result),
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    fn fail(&mut self, error: &IndexError) {
        self.warn("the index failed; the spool goes on without it and will revive it", error);
        // An I/O error sticks to sled until it is opened again; anything else means its content is not right.
        self.fresh |= !matches!(error, IndexError::File(_) | IndexError::Sled(sled::Error::Io(_)));
        self.close();
        self.retry_at = Instant::now() + self.wait;
        self.wait = (self.wait * 2).min(REVIVE_MAX);
    }

    fn close(&mut self) {
        self.health.ok.store(false, Ordering::Release);
        if let Some(index) = self.index.take() {
            // sled flushes when it is dropped, and may panic while doing so.
            let _ = guard(|| {
                drop(index);
                Ok(())
            });
        }
    }

    fn revive_if_due(&mut self) {
        if self.health.stale.swap(false, Ordering::AcqRel) && self.index.is_some() {
            self.close();
            self.fresh = true;
        }
        if self.index.is_some() || Instant::now() < self.retry_at {
            return;
        }
        let Some(truth) = self.truth.as_ref().and_then(Weak::upgrade) else { return };
        let opened = (!self.fresh && self.open().is_ok()) || self.replace();
        if opened && self.fill(truth.as_ref()) {
            self.wait = REVIVE_MIN;
            self.health.rebuilds.fetch_add(1, Ordering::Relaxed);
            tracing::info!(path = %self.dir.display(), "the index works again");
        } else {
            self.retry_at = Instant::now() + self.wait;
            self.wait = (self.wait * 2).min(REVIVE_MAX);
        }
    }

    fn fill(&mut self, truth: &dyn Truth) -> bool {
        let state = truth.state();
        let Some(index) = self.index.as_ref() else { return false };
        let filled = guard(|| {
            let mut batch = Vec::with_capacity(BATCH_MAX);
            let mut result = Ok(());
            truth.changes(&mut |change| {
                batch.push(change);
                if batch.len() == BATCH_MAX && result.is_ok() {
                    result = index.apply(&batch);
                    batch.clear();
                }
            });
            result?;
            index.apply(&batch)?;
            index.put_state(&state)?;
            index.flush()
        });
        if let Err(error) = &filled {
            self.fail(error);
        }
        filled.is_ok()
    }

    fn warn(&self, message: &str, error: &IndexError) {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::warn!(path = %self.dir.display(), %error, cause, "{message}");
    }
}
