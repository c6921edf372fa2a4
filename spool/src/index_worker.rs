//! The thread that owns the index: applies, flushes, answers, and revives the index when it has failed.
//!
//! Guarantees: an error or a panic of sled closes the index and nothing else. An I/O error, which sticks to sled
//! until it is opened again, is answered by opening it again; anything else means that its content cannot be
//! trusted, and it is set aside and built anew from the truth. Attempts are spaced by growing waits. Never touches
//! the segments but to read them.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::fault::Faults;
use crate::index::{Change, Index, IndexError, guard};
use crate::indexer::{Health, Job, Opened, Truth};
use crate::set_aside::set_aside;

/// Changes applied at once.
const BATCH_MAX: usize = 1024;

/// How often a healthy index is looked after when there is nothing to do.
const IDLE: Duration = Duration::from_millis(500);

/// The first and the longest wait between attempts to revive the index.
const REVIVE_MIN: Duration = Duration::from_millis(500);
const REVIVE_MAX: Duration = Duration::from_secs(60);

/// The index and how it fares.
pub(crate) struct Worker {
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
    pub(crate) fn new(
        dir: PathBuf,
        cache_bytes: u64,
        spool_id: u32,
        faults: Faults,
        health: Arc<Health>,
    ) -> Worker {
        Worker {
            dir,
            cache_bytes,
            spool_id,
            truth: None,
            faults,
            index: None,
            health,
            fresh: false,
            wait: REVIVE_MIN,
            retry_at: Instant::now(),
        }
    }

    /// Opens the index, says how that went, and works until it is told to stop.
    pub(crate) fn run(mut self, inbox: &Receiver<Job>, opened: &Sender<Opened>) {
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
        let index = guard(|| {
            self.faults.io("index.open").map_err(IndexError::File)?;
            Index::open(&self.dir, self.cache_bytes, self.spool_id)
        })?;
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

    fn take(&mut self, job: Job, inbox: &Receiver<Job>) -> ControlFlow<()> {
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
            Job::Stop => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    /// Applies a run of changes, then takes the job that ended the run.
    fn take_changes(&mut self, first: Change, inbox: &Receiver<Job>) -> ControlFlow<()> {
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
        next.map_or(ControlFlow::Continue(()), |job| self.take(job, inbox))
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
            tracing::info!(event = "spool_index_works", path = %self.dir.display(), "the index works again");
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
        tracing::warn!(event = "spool_index_failed", path = %self.dir.display(), %error, cause, "{message}");
    }
}
