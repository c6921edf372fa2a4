//! The partitions of one member, without Kafka and without the store: what becomes of each record, and
//! which entries are to go to the log. No I/O, no clock.

use std::collections::BTreeMap;

use crate::event::{Event, Needs};
use crate::hint::Hint;
use crate::log::{Entry, Header, Mark, Standing};
use crate::micros::Micros;
use crate::pane::Record;
use crate::partition::{Partition, Restored, Rules, Verdict};
use crate::status::Figures;
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

/// What is to be committed for one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) partition: i32,
    pub(crate) resume_offset: i64,
    pub(crate) hint: Hint,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Engine {
    rules: Rules,
    tables: Tables,
    marks: Vec<Mark>,
    partitions: BTreeMap<i32, Partition>,
    tally: Tally,
    /// Records before these offsets have been tallied already, before the partitions were given up.
    tallied: BTreeMap<i32, i64>,
}

impl Engine {
    pub(crate) fn new(tables: Tables, delay: Micros, future_tolerance: Micros) -> Self {
        let rules = Rules { pane: tables.pane(), delay, future_tolerance };
        Self {
            rules,
            marks: tables.marks(),
            tables,
            partitions: BTreeMap::new(),
            tally: Tally::default(),
            tallied: BTreeMap::new(),
        }
    }

    /// How long after an event's time its windows can be closed at the latest, while events come: a pane and
    /// the delay.
    pub(crate) fn usual_lag(&self) -> Micros {
        self.rules.pane.saturating_add(self.rules.delay)
    }

    /// Takes a partition on, or takes it on anew.
    pub(crate) fn assign(&mut self, partition: i32, restored: Restored) {
        self.revoke(partition);
        self.partitions.insert(partition, Partition::new(self.rules, restored));
    }

    /// Gives a partition up; what is not in its log is forgotten.
    pub(crate) fn revoke(&mut self, partition: i32) {
        if let Some(given_up) = self.partitions.remove(&partition) {
            let before = self.tallied.entry(partition).or_insert(0);
            *before = given_up.next().unwrap_or(0).max(*before);
        }
    }

    /// Takes in one event. `None` when the partition is not assigned.
    pub(crate) fn event(&mut self, partition: i32, record: Record<'_>, event: &Event<'_>) -> Option<Verdict> {
        let owner = self.partitions.get_mut(&partition)?;
        self.tally.missed += owner.starts_at(record.offset);
        let verdict = owner.event(record, event, &self.tables);
        self.count(partition, record.offset, |tally| match verdict {
            Verdict::Counted => &mut tally.counted,
            Verdict::Duplicate => &mut tally.duplicates,
            Verdict::Late => &mut tally.late,
            Verdict::Replayed => &mut tally.replayed,
            Verdict::Future => &mut tally.quarantined,
        });
        Some(verdict)
    }

    /// Takes in a notice.
    pub(crate) fn notice(&mut self, partition: i32, offset: i64) {
        let Some(owner) = self.partitions.get_mut(&partition) else { return };
        self.tally.missed += owner.read(offset);
        self.count(partition, offset, |tally| &mut tally.notices);
    }

    /// Takes in a record that cannot be read, with the reason. Returns whether it is new.
    pub(crate) fn unreadable(&mut self, partition: i32, record: Record<'_>, detail: &str) -> bool {
        let Some(owner) = self.partitions.get_mut(&partition) else { return false };
        self.tally.missed += owner.starts_at(record.offset);
        let is_logged = owner.unreadable(record, detail);
        self.count(partition, record.offset, |tally| {
            if is_logged { &mut tally.replayed } else { &mut tally.quarantined }
        });
        !is_logged
    }

    /// Counts a record as what `as_what` says, unless it was counted before the partition was given up.
    fn count(&mut self, partition: i32, offset: i64, as_what: impl FnOnce(&mut Tally) -> &mut u64) {
        let is_again = self.tallied.get(&partition).is_some_and(|end| offset < *end);
        self.tally.read += 1;
        *(if is_again { &mut self.tally.replayed } else { as_what(&mut self.tally) }) += 1;
    }

    /// The broker says that the first record of `partition` that it still has is at `low`.
    pub(crate) fn starts_at(&mut self, partition: i32, low: i64) {
        if let Some(owner) = self.partitions.get_mut(&partition) {
            self.tally.missed += owner.starts_at(low);
        }
    }

    /// Whether no record has come since the partition was taken on.
    pub(crate) fn is_fresh(&self, partition: i32) -> bool {
        self.partitions.get(&partition).is_some_and(Partition::is_fresh)
    }

    /// The broker has deleted everything before `low`, also what was still to be read.
    pub(crate) fn jump_to(&mut self, partition: i32, low: i64) {
        if let Some(owner) = self.partitions.get_mut(&partition) {
            self.tally.missed += owner.jump_to(low);
        }
    }

    /// The partitions that are closed less far than another one or than `through`: those that hold the
    /// frontier back.
    pub(crate) fn behind(&self, through: Option<Micros>) -> impl Iterator<Item = i32> {
        let closed = |partition: &Partition| partition.watermark().closed_through();
        let greatest = self.partitions.values().map(closed).max().flatten().max(through);
        self.partitions
            .iter()
            .filter(move |(_, partition)| closed(partition) < greatest)
            .map(|(number, _)| *number)
    }

    /// How a partition that has been read to where it should be read to stands.
    pub(crate) fn drained(&self, partition: i32) -> Standing {
        self.partitions.get(&partition).map_or(Standing::Awake, |owner| owner.drained(&self.tables))
    }

    /// Closes a partition that nobody need wait for up to the frontier that was proposed.
    pub(crate) fn follow(&mut self, partition: i32, through: Micros) {
        if let Some(owner) = self.partitions.get_mut(&partition) {
            owner.force(through);
        }
    }

    /// Makes the next entry of a partition, if one is due. It is to be brought to the log; then
    /// [`Engine::logged`], or when another's is there, [`Engine::revoke`].
    pub(crate) fn seal(&mut self, partition: i32, standing: Standing, is_overdue: bool) -> Option<Entry> {
        let owner = self.partitions.get_mut(&partition)?;
        owner.is_due(standing, is_overdue).then(|| owner.seal(standing, &self.marks))
    }

    /// An entry is in the log. Returns what is to be committed.
    pub(crate) fn logged(&mut self, header: Header) {
        if let Some(owner) = self.partitions.get_mut(&header.partition) {
            owner.logged(header);
        }
    }

    /// What is to be committed now. A partition whose position is unknown is left out.
    pub(crate) fn commits(&self) -> Vec<Commit> {
        let commit = |(number, partition): (&i32, &Partition)| {
            let newest = partition.newest_entry();
            let hint = Hint { seq: newest.seq, closed_through: newest.closed_through };
            Some(Commit { partition: *number, resume_offset: newest.resume_offset?, hint })
        };
        self.partitions.iter().filter_map(commit).collect()
    }

    /// The newest entry of a partition that is in the log.
    pub(crate) fn newest_entry(&self, partition: i32) -> Option<&Header> {
        self.partitions.get(&partition).map(Partition::newest_entry)
    }

    /// Whether the entry at `seq` is the newest one that this member knows of, and none is on its way.
    pub(crate) fn is_resting_at(&self, partition: i32, seq: u64) -> bool {
        self.partitions.get(&partition).is_some_and(|owner| owner.is_resting_at(seq))
    }

    /// The offset of the next record of each partition, where known.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (i32, Option<i64>)> {
        self.partitions.iter().map(|(number, partition)| (*number, partition.next()))
    }

    /// How each partition stands.
    pub(crate) fn figures(&self) -> impl Iterator<Item = Figures> {
        self.partitions.values().map(Partition::figures)
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

    /// Roughly how many bytes of records wait for entries.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.partitions.values().map(Partition::kept_bytes).sum()
    }

    pub(crate) fn needs(&self) -> Needs {
        self.tables.needs()
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }
}
