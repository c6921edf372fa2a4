//! The close step: when the frontier has passed the end of a window, write it, and only then commit.
//!
//! ```text
//!   open --- a window is due ---> decide --- committed ---> write --- written ---> commit ---> open
//!                                 (only when time, not records,
//!                                  closes a partition's panes)
//! ```
//! Nothing here waits: each call looks whether the phase can go on. Records are read meanwhile; they
//! can only go to windows that are still open.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError};

use crate::engine::Engine;
use spillway_service::errors::chain;

use crate::error::Error;
use crate::kafka::{CommitError, Commits};
use crate::micros::{self, Micros};
use crate::writer::{Batch, Outcome, Writer, Written};

/// What a run writes with.
pub(crate) struct Ports<'a> {
    pub(crate) commits: &'a mut Commits,
    pub(crate) writer: &'a Writer,
    /// What every object's metadata says, besides the offsets.
    pub(crate) facts: &'a [(&'static str, String)],
}

#[derive(Debug)]
enum Phase {
    Open,
    Deciding { through: Micros },
    Writing { through: Micros, outcome: Receiver<Outcome>, since: Instant },
    Committing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    No { not_before: Option<Instant> },
    Waiting,
    Done,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Closer {
    phase: Phase,
    commit: Sent,
    written: Vec<Written>,
    committed_at: Option<Instant>,
}

/// Offsets are committed this often even when no window closes, so that they do not expire and tools
/// show where the group is.
const COMMIT_INTERVAL: Duration = Duration::from_secs(60);
const COMMIT_RETRY: Duration = Duration::from_secs(1);

impl Closer {
    pub(crate) fn new(tables: usize) -> Self {
        Self {
            phase: Phase::Open,
            commit: Sent::Done,
            written: vec![Written::default(); tables],
            committed_at: None,
        }
    }

    /// What has been written, by table.
    pub(crate) fn written(&self) -> &[Written] {
        &self.written
    }

    /// Whether nothing is under way.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Since when the store has been written to, when it is.
    pub(crate) fn writing_since(&self) -> Option<Instant> {
        if let Phase::Writing { since, .. } = self.phase { Some(since) } else { None }
    }

    /// Gives up what is under way; the next owner of the partitions does it again.
    pub(crate) fn reset(&mut self) {
        self.phase = Phase::Open;
        self.commit = Sent::Done;
        self.committed_at = None;
    }

    /// Closes everything up to `through`. Only when nothing is under way.
    pub(crate) fn begin(&mut self, through: Micros, engine: &mut Engine, ports: &Ports<'_>, now: Instant) {
        if engine.close(through) {
            self.phase = Phase::Deciding { through };
            self.commit = Sent::No { not_before: None };
        } else {
            self.write(through, engine, ports, now);
        }
    }

    /// Commits the offsets as they are. Only when nothing is under way.
    pub(crate) fn begin_commit(&mut self) {
        self.phase = Phase::Committing;
        self.commit = Sent::No { not_before: None };
    }

    /// Whether offsets have not been committed for long.
    pub(crate) fn is_commit_due(&mut self, now: Instant) -> bool {
        let since = *self.committed_at.get_or_insert(now);
        now.saturating_duration_since(since) >= COMMIT_INTERVAL
    }

    /// Goes on as far as it can.
    ///
    /// # Errors
    /// When a window cannot be written.
    pub(crate) fn step(
        &mut self,
        engine: &mut Engine,
        ports: &mut Ports<'_>,
        now: Instant,
    ) -> Result<(), Error> {
        self.look_after_commit(engine, ports.commits, now);
        match &self.phase {
            Phase::Deciding { through } if self.commit == Sent::Done => {
                self.write(*through, engine, ports, now)
            }
            Phase::Committing if self.commit == Sent::Done => self.phase = Phase::Open,
            Phase::Writing { through, outcome, .. } => match outcome.try_recv() {
                Ok(outcome) => self.finalised(*through, outcome, engine)?,
                Err(TryRecvError::Empty) => {}
                // The writer always answers unless its thread is gone; then start over.
                Err(TryRecvError::Disconnected) => self.write(*through, engine, ports, now),
            },
            Phase::Open | Phase::Deciding { .. } | Phase::Committing => {}
        }
        Ok(())
    }

    fn write(&mut self, through: Micros, engine: &Engine, ports: &Ports<'_>, now: Instant) {
        let mut facts = ports.facts.to_vec();
        facts.push(("offsets", offsets(engine)));
        let batch = Batch { windows: engine.plan(through), facts };
        self.phase = Phase::Writing { through, outcome: ports.writer.start(batch), since: now };
    }

    fn finalised(&mut self, through: Micros, outcome: Outcome, engine: &mut Engine) -> Result<(), Error> {
        let written = outcome?;
        let objects: u64 = written.iter().map(|table| table.objects).sum();
        let found: u64 = written.iter().map(|table| table.found).sum();
        tracing::info!(objects, found, frontier = micros::show(through), "windows are final");
        for (sum, table) in self.written.iter_mut().zip(written) {
            sum.objects += table.objects;
            sum.rows += table.rows;
            sum.found += table.found;
        }
        engine.finalised(through);
        self.begin_commit();
        Ok(())
    }

    fn look_after_commit(&mut self, engine: &Engine, commits: &mut Commits, now: Instant) {
        // An answer that nobody waits for belongs to an assignment that was lost.
        if let Some(result) = commits.answer()
            && self.commit == Sent::Waiting
        {
            self.committed(result, now);
        }
        let Sent::No { not_before } = self.commit else { return };
        if commits.is_busy() || not_before.is_some_and(|at| now < at) {
            return;
        }
        let offsets = engine.commits();
        self.commit = if offsets.is_empty() { Sent::Done } else { Sent::Waiting };
        if self.commit == Sent::Waiting && !commits.ask(offsets) {
            self.commit = Sent::No { not_before: Some(now + COMMIT_RETRY) };
        }
    }

    fn committed(&mut self, result: Result<(), CommitError>, now: Instant) {
        match result {
            Ok(()) => {
                self.commit = Sent::Done;
                self.committed_at = Some(now);
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "offsets could not be committed; trying again");
                self.commit = Sent::No { not_before: Some(now + COMMIT_RETRY) };
            }
        }
    }
}

/// The offset of the next record of each partition, as JSON.
fn offsets(engine: &Engine) -> String {
    let known =
        engine.positions().filter_map(|(partition, next)| next.map(|next| format!("\"{partition}\":{next}")));
    format!("{{{}}}", known.collect::<Vec<_>>().join(","))
}
