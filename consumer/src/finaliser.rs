//! The finaliser: reads the log of all partitions, proposes how far windows may be final, and writes them
//! when every partition is closed that far. It keeps nothing that it cannot read again, so any member
//! may run it, and two that do get in each other's way without harm (docs/adr/0007).
//!
//! It never writes a window before the proposal that covers it is in the log and every partition that
//! has a log is closed up to it.

use std::collections::{BTreeMap, VecDeque};

use futures_util::future::join_all;

use crate::archive::Archived;
use crate::finalise::{FinalWindow, Windows};
use crate::log::{Entry, Header, Log, LogError, Proposal, Put, Standing};
use crate::micros::Micros;
use crate::store::Objects;
use crate::tables::Tables;
use crate::writer::{WriteError, Written};

/// Where final windows go.
pub(crate) trait Sink {
    /// Writes windows. `offsets` is the offset of the next record of each partition.
    fn write(
        &self,
        windows: Vec<FinalWindow>,
        offsets: BTreeMap<i32, i64>,
    ) -> impl Future<Output = Result<Vec<Written>, WriteError>> + Send;

    /// Writes the archives' objects of one entry. Returns what was written, by archive.
    fn archive(
        &self,
        header: &Header,
        rows: Vec<Archived>,
    ) -> impl Future<Output = Result<Vec<Written>, WriteError>> + Send;
}

/// Why a step failed. It can be taken again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FinaliseError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What a step came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is nothing to do until a partition is closed further.
    Waiting,
    /// A frontier has been proposed, by this finaliser or another.
    Proposed,
    /// The windows up to `through` are final.
    Final { through: Micros, written: Vec<Written> },
}

/// The partition that a finaliser waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blocker {
    pub(crate) partition: i32,
    /// It has a log.
    pub(crate) is_born: bool,
    pub(crate) closed_through: Option<Micros>,
}

/// How far the log of one partition has been read.
#[derive(Debug, Default)]
struct Cursor {
    /// The first entry that has not been read.
    next: u64,
    /// Where the entries begin that have been read.
    first: u64,
    /// It has an entry.
    is_born: bool,
    closed_through: Option<Micros>,
    standing: Standing,
    next_offset: Option<i64>,
    /// Entries that windows may still need, with where they close the partition up to.
    needed: VecDeque<(u64, Micros)>,
}

/// Entries that are asked for at once: it hides the latency of a store, and bounds memory.
const PARALLEL: usize = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Finaliser<S> {
    log: Log<S>,
    windows: Windows,
    cursors: BTreeMap<i32, Cursor>,
    newest: Option<Proposal>,
    /// The newest proposal has not been carried out.
    is_pending: bool,
    /// How often another finaliser was first, since this was asked for.
    conflicts: u64,
    /// What has been written of each archive since this was asked for.
    archived: Vec<Written>,
    /// How many entries have been read.
    entries_read: u64,
}

impl<S: Objects> Finaliser<S> {
    /// Goes on where the newest proposal is.
    pub(crate) async fn open(log: Log<S>, tables: Tables) -> Result<Self, LogError> {
        let newest = log.newest_proposal(None).await?;
        let mut finaliser = Self {
            log,
            windows: Windows::new(tables, None),
            cursors: BTreeMap::new(),
            newest: None,
            is_pending: false,
            conflicts: 0,
            archived: Vec::new(),
            entries_read: 0,
        };
        finaliser.go_on_from(newest);
        Ok(finaliser)
    }

    fn go_on_from(&mut self, newest: Option<Proposal>) {
        let (from, positions) =
            newest.iter().map(|newest| (newest.from, newest.positions.clone())).next().unwrap_or_default();
        self.windows = Windows::new(self.windows.tables().clone(), from);
        let cursor = |(partition, next)| (partition, Cursor { next, first: next, ..Cursor::default() });
        self.cursors = positions.into_iter().map(cursor).collect();
        self.is_pending = newest.is_some();
        self.newest = newest;
    }

    /// The newest proposal.
    pub(crate) fn newest(&self) -> Option<&Proposal> {
        self.newest.as_ref()
    }

    /// How often another finaliser was first, since this was last asked for.
    pub(crate) fn take_conflicts(&mut self) -> u64 {
        std::mem::take(&mut self.conflicts)
    }

    /// The partition that holds the frontier back, going by what has been read: one without a log, or the
    /// one that is closed least far of those that count. `None` when nobody need be waited for.
    pub(crate) fn blocker(&self) -> Option<Blocker> {
        let through = self.newest.as_ref().filter(|_| self.is_pending).map(|newest| newest.through);
        let holds = |cursor: &Cursor| match through {
            Some(_) => cursor.closed_through < through,
            None => !cursor.is_born || cursor.standing == Standing::Awake,
        };
        let blocker = |(partition, cursor): (&i32, &Cursor)| Blocker {
            partition: *partition,
            is_born: cursor.is_born,
            closed_through: cursor.closed_through,
        };
        let holding = self.cursors.iter().filter(|(_, cursor)| holds(cursor)).map(blocker);
        holding.min_by_key(|blocker| (blocker.is_born, blocker.closed_through))
    }

    /// How many entries have been read: whether a step that failed has come any further.
    pub(crate) fn entries_read(&self) -> u64 {
        self.entries_read
    }

    /// What has been written of each archive since this was last asked for; empty for nothing.
    pub(crate) fn take_archived(&mut self) -> Vec<Written> {
        std::mem::take(&mut self.archived)
    }

    /// Windows that end at or before this are final.
    pub(crate) fn written_through(&self) -> Option<Micros> {
        self.windows.written_through()
    }

    /// Goes on as far as it can, up to one proposal or the windows of one. The topic has at least
    /// `partitions` partitions.
    ///
    /// Cancel safety: a step that is dropped halfway may be repeated by another finaliser, but not on
    /// this one, whose cursors may then say too little; it has to be opened anew.
    pub(crate) async fn step(&mut self, partitions: i32, sink: &impl Sink) -> Result<Step, FinaliseError> {
        for partition in 0..partitions {
            self.cursors.entry(partition).or_default();
        }
        match &self.newest {
            Some(proposal) if self.is_pending => {
                let through = proposal.through;
                self.carry_out(through, sink).await
            }
            _ => self.advance(sink).await,
        }
    }

    /// Writes the windows of the newest proposal when every partition is closed up to it.
    async fn carry_out(&mut self, through: Micros, sink: &impl Sink) -> Result<Step, FinaliseError> {
        // Listed after the proposal was created: a partition that is not there yet will see it.
        for partition in self.log.partitions().await? {
            self.cursors.entry(partition).or_default();
        }
        loop {
            let is_behind = |cursor: &Cursor| cursor.closed_through < Some(through);
            let behind = self.cursors.iter().filter(|(_, cursor)| is_behind(cursor));
            // No more at a time: those behind the first that are not there would be asked for in vain.
            let behind: Vec<i32> = behind.map(|(partition, _)| *partition).take(PARALLEL).collect();
            if behind.is_empty() {
                break;
            }
            if self.read_next(&behind, sink).await? < behind.len() {
                return Ok(Step::Waiting);
            }
        }
        let offsets = self.cursors.iter().filter_map(|(p, cursor)| Some((*p, cursor.next_offset?)));
        let written = sink.write(self.windows.plan(through), offsets.collect()).await?;
        self.windows.finalised(through);
        let needed = self.windows.needed_from();
        for cursor in self.cursors.values_mut() {
            while cursor.needed.front().is_some_and(|(_, closed)| Some(*closed) <= needed) {
                cursor.needed.pop_front();
            }
        }
        self.is_pending = false;
        Ok(Step::Final { through, written })
    }

    /// Reads on, and proposes the next frontier when there is one.
    async fn advance(&mut self, sink: &impl Sink) -> Result<Step, FinaliseError> {
        loop {
            let before = self.newest.as_ref().map(|proposal| proposal.through);
            if let Some(through) = self.frontier().filter(|through| Some(*through) > before) {
                return Ok(self.propose(through).await?);
            }
            let mut read = 0;
            for partitions in self.blocking().chunks(PARALLEL) {
                read += self.read_next(partitions, sink).await?;
            }
            if read == 0 {
                return Ok(Step::Waiting);
            }
        }
    }

    async fn propose(&mut self, through: Micros) -> Result<Step, LogError> {
        let position = |cursor: &Cursor| cursor.needed.front().map_or(cursor.next, |(seq, _)| *seq);
        let proposal = Proposal {
            seq: self.newest.as_ref().map_or(0, |newest| newest.seq + 1),
            from: self.windows.written_through(),
            through,
            positions: self
                .cursors
                .iter()
                .map(|(partition, cursor)| (*partition, position(cursor)))
                .collect(),
        };
        match self.log.propose(&proposal).await? {
            Put::Ours => {
                self.newest = Some(proposal);
                self.is_pending = true;
            }
            Put::Theirs => {
                let newest = self.log.newest_proposal(self.newest.as_ref()).await?;
                self.conflicts += 1;
                tracing::info!(
                    event = "finaliser_superseded",
                    "another finaliser was first; going on from its proposal"
                );
                self.go_on_from(newest);
            }
        }
        Ok(Step::Proposed)
    }

    /// How far windows may be final, going by what has been read. `None` while a partition that counts
    /// has closed nothing.
    fn frontier(&self) -> Option<Micros> {
        if self.cursors.is_empty() || self.cursors.values().any(|cursor| !cursor.is_born) {
            return None;
        }
        let closed = |cursor: &Cursor| cursor.closed_through;
        let awake = self.cursors.values().filter(|cursor| cursor.standing == Standing::Awake);
        // Option's order puts None first, as it must be here.
        if let Some(least) = awake.map(closed).min() {
            return least;
        }
        let furthest = self.cursors.values().map(closed).max().flatten();
        let ends = self.cursors.values().filter_map(|cursor| match cursor.standing {
            Standing::Drained { end } => end,
            Standing::Awake | Standing::Idle => None,
        });
        ends.max().max(furthest)
    }

    /// The partitions that the frontier depends on: those that are closed least far, and those that may
    /// have woken up.
    fn blocking(&self) -> Vec<i32> {
        let awake = |cursor: &&Cursor| cursor.standing == Standing::Awake && cursor.is_born;
        let least = self.cursors.values().filter(awake).map(|cursor| cursor.closed_through).min();
        let blocks = |cursor: &Cursor| {
            !cursor.is_born || cursor.standing != Standing::Awake || Some(cursor.closed_through) == least
        };
        self.cursors.iter().filter(|(_, cursor)| blocks(cursor)).map(|(partition, _)| *partition).collect()
    }

    /// Reads the next entry of each of these partitions: asks for all at once, and takes them in in their
    /// order, up to the first that cannot be read. Returns how many there were.
    async fn read_next(&mut self, partitions: &[i32], sink: &impl Sink) -> Result<usize, FinaliseError> {
        let next = |partition: &i32| self.cursors.get(partition).map_or(0, |cursor| cursor.next);
        let entries = join_all(partitions.iter().map(|p| self.log.read(*p, next(p)))).await;
        let mut found = 0;
        for (partition, entry) in partitions.iter().zip(entries) {
            if let Some(entry) = entry? {
                self.take_in(*partition, entry, sink).await?;
                found += 1;
            }
        }
        Ok(found)
    }

    /// Takes the next entry of a partition in. Its archived events are in their objects before it counts as
    /// read, so whoever goes on behind it need not look back.
    async fn take_in(
        &mut self,
        partition: i32,
        mut entry: Entry,
        sink: &impl Sink,
    ) -> Result<(), FinaliseError> {
        let archived = std::mem::take(&mut entry.archived);
        if !archived.is_empty() {
            let written = sink.archive(&entry.header, archived).await?;
            self.archived.resize(written.len(), Written::default());
            self.archived.iter_mut().zip(written).for_each(|(sum, one)| sum.add(one));
        }
        let cursor = self.cursors.entry(partition).or_default();
        let is_first = cursor.next == cursor.first && cursor.first > 0;
        cursor.is_born = true;
        cursor.closed_through = entry.header.closed_through;
        cursor.standing = entry.header.standing;
        cursor.next_offset = entry.header.next_offset;
        cursor.needed.extend(entry.header.closed_through.map(|closed| (cursor.next, closed)));
        cursor.next += 1;
        self.entries_read += 1;
        self.windows.take(entry, is_first);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
