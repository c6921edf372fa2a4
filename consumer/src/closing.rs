//! The close step and what follows from it: when a partition gets its next entry, when offsets are
//! committed, when the finaliser goes on. It keeps track of what is under way with the store; nothing in
//! it waits.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::background::Background;
use crate::engine::Engine;
use crate::finaliser::{Blocker, Finaliser, Step};
use crate::kafka::{CommitError, Commits};
use crate::log::{Entry, Proposal, Standing};
use crate::micros::{self, Micros};
use crate::notify::Final;
use crate::store::Store;
use crate::writer::Written;
use spillway_service::errors::chain;

/// The partition whose owner runs the finaliser.
pub(crate) const FINALISERS: i32 = 0;

/// An entry is made this often even when no pane closes, so that little has to be read again and late
/// rows are kept; and a partition that rests is looked at for entries of others.
const OVERDUE: Duration = Duration::from_secs(60);
/// Offsets are committed this often even when nothing changes, so that they do not expire.
const COMMIT_INTERVAL: Duration = Duration::from_secs(60);
const COMMIT_RETRY: Duration = Duration::from_secs(1);

/// What is to be done for a partition.
#[derive(Debug)]
pub(crate) enum Due {
    /// Bring this entry to the log.
    Put(Box<Entry>),
    /// Look whether somebody else has written after the entry at `seq`.
    Check { seq: u64 },
}

#[derive(Debug)]
struct Pace {
    /// Since when an entry is on its way.
    putting: Option<Instant>,
    /// When the last entry was made, or looked for.
    last: Instant,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Closing {
    paces: BTreeMap<i32, Pace>,
    finaliser: Option<Box<Finaliser<Store>>>,
    finalising: Option<Instant>,
    is_asking: bool,
    proposed: Option<Proposal>,
    written_through: Option<Micros>,
    written: Vec<Written>,
    /// The partition that the finaliser last waited for.
    blocker: Option<Blocker>,
    frontier_conflicts: u64,
    /// By archive.
    archived: Vec<Written>,
    commit_due: bool,
    commit_not_before: Option<Instant>,
    committed_at: Option<Instant>,
}

impl Closing {
    pub(crate) fn new(tables: usize, archives: usize) -> Self {
        Self {
            paces: BTreeMap::new(),
            finaliser: None,
            finalising: None,
            is_asking: false,
            proposed: None,
            written_through: None,
            written: vec![Written::default(); tables],
            blocker: None,
            frontier_conflicts: 0,
            archived: vec![Written::default(); archives],
            commit_due: false,
            commit_not_before: None,
            committed_at: None,
        }
    }

    /// A partition is read from now on.
    pub(crate) fn begin(&mut self, partition: i32, now: Instant) {
        self.paces.insert(partition, Pace { putting: None, last: now });
    }

    /// A partition is not read any more.
    pub(crate) fn end(&mut self, partition: i32) {
        self.paces.remove(&partition);
        if partition == FINALISERS {
            self.finaliser = None;
            self.blocker = None;
        }
    }

    /// What is due for a partition. One that nobody need wait for is closed up to the proposal first.
    pub(crate) fn due(
        &mut self,
        partition: i32,
        standing: impl Fn(&Engine) -> Standing,
        engine: &mut Engine,
        now: Instant,
    ) -> Option<Due> {
        let pace = self.paces.get_mut(&partition).filter(|pace| pace.putting.is_none())?;
        if standing(engine).follows()
            && let Some(proposed) = &self.proposed
        {
            engine.follow(partition, proposed.through);
        }
        let is_overdue = now.saturating_duration_since(pace.last) >= OVERDUE;
        if let Some(entry) = engine.seal(partition, standing(engine), is_overdue) {
            *pace = Pace { putting: Some(now), last: now };
            return Some(Due::Put(Box::new(entry)));
        }
        let newest = engine.newest_entry(partition).filter(|_| is_overdue)?;
        pace.last = now;
        Some(Due::Check { seq: newest.seq })
    }

    /// An entry of a partition has reached the log.
    pub(crate) fn put(&mut self, partition: i32) {
        if let Some(pace) = self.paces.get_mut(&partition) {
            pace.putting = None;
        }
        self.commit_due = true;
    }

    /// Lets the finaliser go on when this member runs it, or asks for the newest proposal. Returns whether
    /// that has begun: it does not while the one before it goes on.
    pub(crate) fn finalise(&mut self, partitions: i32, background: &Background, now: Instant) -> bool {
        if self.is_finaliser() {
            if self.finalising.is_some() || partitions == 0 {
                return false;
            }
            self.finalising = Some(now);
            background.finalise(self.finaliser.take(), partitions);
        } else if self.is_asking || self.paces.is_empty() {
            return false;
        } else {
            self.is_asking = true;
            background.ask(self.proposed.clone());
        }
        true
    }

    /// The finaliser took a step. Returns whether it can take another at once.
    pub(crate) fn stepped(&mut self, mut finaliser: Box<Finaliser<Store>>, step: Step) -> bool {
        self.finalising = None;
        self.frontier_conflicts += finaliser.take_conflicts();
        self.heard(finaliser.newest().cloned());
        self.written_through = self.written_through.max(finaliser.written_through());
        self.archived.iter_mut().zip(finaliser.take_archived()).for_each(|(sum, one)| sum.add(one));
        let can_go_on = step != Step::Waiting;
        if let Step::Final { through, written } = step {
            self.count(through, written);
        }
        if self.is_finaliser() {
            self.blocker = finaliser.blocker();
            self.finaliser = Some(finaliser);
        }
        can_go_on
    }

    fn count(&mut self, through: Micros, written: Vec<Written>) {
        let objects: u64 = written.iter().map(|table| table.objects).sum();
        let found: u64 = written.iter().map(|table| table.found).sum();
        if objects + found > 0 {
            let frontier = micros::show(through);
            tracing::info!(event = "windows_final", objects, found, frontier, "windows are final");
        }
        self.written.iter_mut().zip(written).for_each(|(sum, table)| sum.add(table));
    }

    /// The newest proposal is known. Returns whether it is another one.
    pub(crate) fn asked(&mut self, newest: Option<Proposal>) -> bool {
        self.is_asking = false;
        self.heard(newest)
    }

    fn heard(&mut self, newest: Option<Proposal>) -> bool {
        let seq = |proposal: &Option<Proposal>| proposal.as_ref().map(|proposal| proposal.seq);
        let is_new = seq(&newest) > seq(&self.proposed);
        if is_new {
            // One is made only when the one before it has been carried out.
            self.written_through = self.written_through.max(newest.as_ref().and_then(|newest| newest.from));
            self.proposed = newest;
        }
        is_new
    }

    /// Commits what is in the log, when it is time.
    pub(crate) fn commit(&mut self, engine: &Engine, commits: &mut Commits, now: Instant) {
        match commits.answer() {
            Some(Ok(())) => self.committed_at = Some(now),
            Some(Err(error)) => self.not_committed(&error, now),
            None => {}
        }
        let since = *self.committed_at.get_or_insert(now);
        let is_due = self.commit_due || now.saturating_duration_since(since) >= COMMIT_INTERVAL;
        if !is_due || commits.is_busy() || self.commit_not_before.is_some_and(|at| now < at) {
            return;
        }
        let offsets = engine.commits();
        self.commit_due = !offsets.is_empty() && !commits.ask(offsets);
        self.committed_at = Some(now);
    }

    fn not_committed(&mut self, error: &CommitError, now: Instant) {
        tracing::warn!(
            event = "commit_failed",
            error = chain(error),
            "offsets could not be committed; trying again"
        );
        self.commit_due = true;
        self.commit_not_before = Some(now + COMMIT_RETRY);
    }

    /// Whether everything that was made is in the log and committed.
    pub(crate) fn is_quiet(&self, commits: &Commits) -> bool {
        !self.commit_due && !commits.is_busy() && self.paces.values().all(|pace| pace.putting.is_none())
    }

    /// Since when the store has not answered.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.paces.values().filter_map(|pace| pace.putting).chain(self.finalising).min()
    }

    /// The newest proposal.
    pub(crate) fn proposed_through(&self) -> Option<Micros> {
        self.proposed.as_ref().map(|proposal| proposal.through)
    }

    /// Windows that end at or before this are final.
    pub(crate) fn written_through(&self) -> Option<Micros> {
        self.written_through
    }

    /// Up to where objects are final.
    pub(crate) fn finished(&self) -> Final {
        let positions = self.proposed.as_ref().map(|proposal| proposal.positions.clone());
        Final { through: self.written_through, positions: positions.unwrap_or_default() }
    }

    /// Whether this member runs the finaliser.
    pub(crate) fn is_finaliser(&self) -> bool {
        self.paces.contains_key(&FINALISERS)
    }

    /// The partition that the finaliser last waited for, when this member runs it.
    pub(crate) fn blocker(&self) -> Option<Blocker> {
        self.blocker
    }

    /// How often another finaliser was first.
    pub(crate) fn frontier_conflicts(&self) -> u64 {
        self.frontier_conflicts
    }

    /// What this member has written, by table.
    pub(crate) fn written(&self) -> &[Written] {
        &self.written
    }

    /// What this member has written, by archive.
    pub(crate) fn archived(&self) -> &[Written] {
        &self.archived
    }
}
