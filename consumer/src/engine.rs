//! The consumer without Kafka and without the store: all partitions, the frontier over them, and the
//! finaliser. What it comes to depends only on the records of each partition in their order, on the
//! decisions to close panes, and on nothing else: not on how partitions interleave, and not on where
//! a run ended and the next began. No I/O, no clock.

use std::collections::BTreeMap;

use crate::checkpoint::Checkpoint;
use crate::event::{Event, Message, Needs};
use crate::finalise::{FinalWindow, Finaliser};
use crate::micros::Micros;
use crate::pane::Record;
use crate::partition::{Partition, Rules, Verdict};
use crate::tables::Tables;

/// What became of records, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) read: u64,
    pub(crate) counted: u64,
    pub(crate) late: u64,
    pub(crate) duplicates: u64,
    pub(crate) replayed: u64,
    pub(crate) quarantined: u64,
    pub(crate) notices: u64,
    /// Not read: deleted by retention before.
    pub(crate) missed: u64,
}

/// A partition as it was left.
#[derive(Debug, Clone, Default)]
pub(crate) struct Restored {
    /// The committed offset, if there is one.
    pub(crate) offset: Option<i64>,
    pub(crate) checkpoint: Checkpoint,
}

/// What is to be committed for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) partition: i32,
    pub(crate) resume_offset: i64,
    pub(crate) checkpoint: Checkpoint,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Engine {
    rules: Rules,
    finaliser: Finaliser,
    partitions: BTreeMap<i32, Partition>,
    tally: Tally,
    /// Records before these offsets have been tallied already, before the partitions were lost.
    tallied: BTreeMap<i32, i64>,
}

impl Engine {
    pub(crate) fn new(tables: Tables, delay: Micros, future_tolerance: Micros) -> Self {
        let rules = Rules { pane: tables.pane(), delay, future_tolerance };
        Self {
            rules,
            finaliser: Finaliser::new(tables, None, None),
            partitions: BTreeMap::new(),
            tally: Tally::default(),
            tallied: BTreeMap::new(),
        }
    }

    /// Takes partitions on. The first call fixes what is final; later ones add partitions to that.
    pub(crate) fn assign(&mut self, restored: BTreeMap<i32, Restored>) {
        if self.partitions.is_empty() {
            let closed = restored.values().filter_map(|r| r.checkpoint.closed_through).max();
            let written = restored.values().filter_map(|r| r.checkpoint.written_through).max();
            self.finaliser = Finaliser::new(self.finaliser.tables().clone(), closed, written);
        }
        let base = self.finaliser.closed_through();
        for (number, Restored { offset, checkpoint }) in restored {
            self.partitions.insert(number, Partition::new(self.rules, offset, &checkpoint, base));
        }
    }

    /// Forgets everything but the tally: the partitions were lost and will be assigned anew.
    pub(crate) fn reset(&mut self) {
        for (number, partition) in std::mem::take(&mut self.partitions) {
            let before = self.tallied.entry(number).or_insert(0);
            *before = partition.next().unwrap_or(0).max(*before);
        }
        self.finaliser = Finaliser::new(self.finaliser.tables().clone(), None, None);
    }

    /// Takes in one event. `None` when the partition is not assigned.
    pub(crate) fn event(&mut self, partition: i32, record: Record<'_>, event: &Event<'_>) -> Option<Verdict> {
        let owner = self.partitions.get_mut(&partition)?;
        let before = owner.watermark().closed_through();
        let verdict = owner.event(record, event, self.finaliser.tables());
        self.tally.missed += owner.take_missed();
        if owner.watermark().closed_through() > before {
            owner.close().for_each(|(start, partials)| self.finaliser.take(start, partials));
        }
        self.count(partition, record.offset, |tally| match verdict {
            Verdict::Counted => &mut tally.counted,
            Verdict::Duplicate => &mut tally.duplicates,
            Verdict::Late => &mut tally.late,
            Verdict::Replayed => &mut tally.replayed,
            Verdict::Future => &mut tally.quarantined,
        });
        Some(verdict)
    }

    /// Takes in a record that is no event: a notice, or one that cannot be read (`None`).
    pub(crate) fn other(&mut self, partition: i32, offset: i64, message: Option<&Message<'_>>) {
        let Some(owner) = self.partitions.get_mut(&partition) else { return };
        let before = owner.watermark().closed_through();
        owner.read(offset);
        self.tally.missed += owner.take_missed();
        if owner.watermark().closed_through() > before {
            owner.close().for_each(|(start, partials)| self.finaliser.take(start, partials));
        }
        self.count(partition, offset, |tally| match message {
            Some(_) => &mut tally.notices,
            None => &mut tally.quarantined,
        });
    }

    /// Counts a record as what `as_what` says, unless it was counted before the partitions were lost.
    fn count(&mut self, partition: i32, offset: i64, as_what: impl FnOnce(&mut Tally) -> &mut u64) {
        let is_again = self.tallied.get(&partition).is_some_and(|end| offset < *end);
        self.tally.read += 1;
        *(if is_again { &mut self.tally.replayed } else { as_what(&mut self.tally) }) += 1;
    }

    /// The broker says that the first record of `partition` that it still has is at `low`.
    pub(crate) fn starts_at(&mut self, partition: i32, low: i64) {
        if let Some(owner) = self.partitions.get_mut(&partition) {
            owner.starts_at(low);
            self.tally.missed += owner.take_missed();
        }
    }

    /// Up to where every partition is closed. Those that `is_idle` names are not waited for; when all are
    /// idle, the one that is closed furthest counts. `None` when a partition that counts has closed
    /// nothing.
    pub(crate) fn frontier(&self, is_idle: impl Fn(i32) -> bool) -> Option<Micros> {
        let closed = |partition: &Partition| partition.watermark().closed_through();
        let active = self.partitions.iter().filter(|(number, _)| !is_idle(**number));
        // Option's order puts None first, as it must be here.
        let least = active.map(|(_, partition)| closed(partition)).min();
        least.unwrap_or_else(|| self.partitions.values().map(closed).max().flatten())
    }

    /// The partitions that are closed less far than another one: those that hold the frontier back.
    pub(crate) fn behind(&self) -> impl Iterator<Item = i32> {
        let closed = |partition: &Partition| partition.watermark().closed_through();
        let greatest = self.partitions.values().map(closed).max().flatten();
        self.partitions
            .iter()
            .filter(move |(_, partition)| closed(partition) < greatest)
            .map(|(number, _)| *number)
    }

    /// Where the frontier must be for every window that holds an event to be closed.
    pub(crate) fn end_of_input(&self) -> Option<Micros> {
        self.finaliser.end_of_last(self.partitions.values().flat_map(|partition| partition.panes().starts()))
    }

    /// Whether closing up to `through` would complete a window.
    pub(crate) fn is_due(&self, through: Micros) -> bool {
        self.partitions.values().any(|partition| self.finaliser.is_due(through, partition.panes().starts()))
    }

    /// Closes every partition up to `through`. Returns whether that took a decision, which must be
    /// committed before any object that rests on it is written.
    pub(crate) fn close(&mut self, through: Micros) -> bool {
        let mut decided = false;
        for partition in self.partitions.values_mut() {
            decided |= partition.force(through);
            partition.close().for_each(|(start, partials)| self.finaliser.take(start, partials));
        }
        decided
    }

    /// What is to be written once everything is closed up to `through`.
    pub(crate) fn plan(&self, through: Micros) -> Vec<FinalWindow> {
        self.finaliser.plan(through)
    }

    /// What [`Engine::plan`] gave for `through` has been written.
    pub(crate) fn finalised(&mut self, through: Micros) {
        let closed = self.finaliser.finalised(through);
        self.partitions.values_mut().for_each(|partition| partition.finalised(closed));
    }

    /// What is to be committed now. A partition whose position is unknown is left out.
    pub(crate) fn commits(&self) -> Vec<Commit> {
        let (closed, written) = (self.finaliser.closed_through(), self.finaliser.written_through());
        let commit = |(number, partition): (&i32, &Partition)| {
            let next = partition.next()?;
            let checkpoint = Checkpoint::new(closed, written, next, &partition.watermark().decisions());
            Some(Commit { partition: *number, resume_offset: partition.resume_offset()?, checkpoint })
        };
        self.partitions.iter().filter_map(commit).collect()
    }

    /// The offset of the next record of each partition, where known.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (i32, Option<i64>)> {
        self.partitions.iter().map(|(number, partition)| (*number, partition.next()))
    }

    pub(crate) fn position(&self, partition: i32) -> Option<i64> {
        self.partitions.get(&partition).and_then(Partition::next)
    }

    pub(crate) fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// The greatest event time seen.
    pub(crate) fn newest(&self) -> Option<Micros> {
        self.partitions.values().filter_map(|partition| partition.watermark().newest()).max()
    }

    pub(crate) fn needs(&self) -> Needs {
        self.finaliser.tables().needs()
    }

    pub(crate) fn finaliser(&self) -> &Finaliser {
        &self.finaliser
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }
}

#[cfg(test)]
mod tests;
