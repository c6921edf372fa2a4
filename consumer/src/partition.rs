//! One partition: what each of its records counts as, and the entries of its log. No I/O, no clock.
//!
//! What it comes to depends only on the entry that it was taken on with, on the records from there on,
//! and on decisions to close it up to a proposal; not on when entries are made.

use crate::archive::Archived;
use crate::event::Event;
use crate::log::{Entry, Header, Kept, Mark, Reason, Standing};
use crate::micros::{self, Micros};
use crate::pane::{Panes, Record};
use crate::status::Figures;
use crate::tables::Tables;
use crate::watermark::Watermark;

/// What an event counts as. Exactly one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Counted in its pane.
    Counted,
    /// Its id is in its pane already.
    Duplicate,
    /// Its pane is closed.
    Late,
    /// It is in the log already, counted or kept.
    Replayed,
    /// Its time is further ahead of Kafka's than is believable.
    Future,
}

/// What the verdicts depend on, the same for all partitions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) pane: Micros,
    pub(crate) delay: Micros,
    pub(crate) future_tolerance: Micros,
}

/// A partition as it was left.
#[derive(Debug, Clone)]
pub(crate) struct Restored {
    /// The newest entry of its log.
    pub(crate) header: Header,
    /// What was proposed to be final when it was born; `None` for one that has closed panes before.
    pub(crate) base: Option<Micros>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Partition {
    rules: Rules,
    watermark: Watermark,
    panes: Panes,
    /// The newest entry that is in the log.
    logged: Header,
    /// An entry is on its way to the log.
    is_sealing: bool,
    /// Panes that ended at or before this were in the log when the partition was taken on.
    closed_before: Option<Micros>,
    /// Records before this offset had been dealt with then.
    seen_before: i64,
    /// The start of the last pane that an event was counted in.
    last_pane: Option<Micros>,
    /// The offset after the last record read; `None` before the first, when nothing was committed.
    next: Option<i64>,
    /// No record has come since the partition was taken on.
    is_fresh: bool,
    kept: Vec<Kept>,
    /// For the archives.
    archived: Vec<Archived>,
    /// Roughly what both of these take in memory.
    kept_bytes: usize,
    /// Records that Kafka had deleted, since the last entry.
    deleted: Vec<(i64, i64)>,
}

/// Kept rows and archived events of this many bytes make an entry due.
const KEPT_BYTES_MAX: usize = 4 << 20;

impl Partition {
    pub(crate) fn new(rules: Rules, restored: Restored) -> Self {
        let Restored { header, base } = restored;
        let closed = header.closed_through.max(base);
        Self {
            rules,
            watermark: Watermark::new(rules.pane, rules.delay, closed),
            panes: Panes::default(),
            is_sealing: false,
            closed_before: header.closed_through,
            seen_before: header.next_offset.unwrap_or(0),
            last_pane: header.last_pane,
            next: header.resume_offset,
            logged: header,
            is_fresh: true,
            kept: Vec::new(),
            archived: Vec::new(),
            kept_bytes: 0,
            deleted: Vec::new(),
        }
    }

    /// Takes one event in.
    pub(crate) fn event(&mut self, record: Record<'_>, event: &Event<'_>, tables: &Tables) -> Verdict {
        let verdict = self.judge(record, event, tables);
        match verdict {
            Verdict::Late => self.keep(Reason::Late, record, Some(event.time), String::new()),
            Verdict::Future => self.keep(Reason::Future, record, Some(event.time), String::new()),
            // What is read again is in the log already.
            Verdict::Counted if record.offset >= self.seen_before => self.archive(record, event, tables),
            Verdict::Counted | Verdict::Duplicate | Verdict::Replayed => {}
        }
        self.read(record.offset);
        verdict
    }

    fn judge(&mut self, record: Record<'_>, event: &Event<'_>, tables: &Tables) -> Verdict {
        let is_future = event.time > record.timestamp.saturating_add(self.rules.future_tolerance);
        if record.offset < self.seen_before {
            // It was on time then, or it is in the log.
            if is_future || self.closed_before.is_some_and(|closed| event.time < closed) {
                return Verdict::Replayed;
            }
        } else if is_future {
            return Verdict::Future;
        } else if self.watermark.closed_through().is_some_and(|closed| event.time < closed) {
            return Verdict::Late;
        }
        let pane = micros::floor(event.time, self.rules.pane);
        let counted = self.panes.add(pane, record, event, tables);
        self.last_pane = self.last_pane.max(Some(pane));
        self.watermark.observe(event.time);
        if counted { Verdict::Counted } else { Verdict::Duplicate }
    }

    /// Takes in a record that is no event. Returns whether it is in the log already.
    pub(crate) fn unreadable(&mut self, record: Record<'_>, detail: &str) -> bool {
        let is_logged = record.offset < self.seen_before;
        if !is_logged {
            self.keep(Reason::Unreadable, record, None, detail.to_owned());
        }
        self.read(record.offset);
        is_logged
    }

    fn keep(&mut self, reason: Reason, record: Record<'_>, time: Option<Micros>, detail: String) {
        let kept = Kept {
            reason,
            offset: record.offset,
            timestamp: record.timestamp,
            time,
            id: record.id.map(<[u8]>::to_vec),
            detail,
            value: record.value.to_vec(),
        };
        self.kept_bytes += kept.bytes();
        self.kept.push(kept);
    }

    fn archive(&mut self, record: Record<'_>, event: &Event<'_>, tables: &Tables) {
        for row in tables.archives().iter().filter_map(|archive| archive.row(record, event)) {
            self.kept_bytes += row.bytes();
            self.archived.push(row);
        }
    }

    /// Roughly how many bytes wait for the next entry, apart from panes.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// The record at `offset` has been dealt with, whatever it was. Returns how many before it had been
    /// deleted.
    pub(crate) fn read(&mut self, offset: i64) -> u64 {
        // Further on, gaps are the markers of transactions; here they are records that were deleted.
        let missed = if std::mem::take(&mut self.is_fresh) { self.skip_to(offset) } else { 0 };
        self.next = Some(offset + 1);
        missed
    }

    /// The broker says that the first record it still has is at `low`. Returns how many that were to be
    /// read have been deleted.
    pub(crate) fn starts_at(&mut self, low: i64) -> u64 {
        if !self.is_fresh {
            // Some may have been fetched before they were deleted.
            return 0;
        }
        self.jump_to(low)
    }

    /// Whether no record has come since the partition was taken on.
    pub(crate) fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// What is before `low` has been deleted. Returns how many of them were to be read.
    pub(crate) fn jump_to(&mut self, low: i64) -> u64 {
        let missed = self.skip_to(low);
        self.next = self.next.max(Some(low));
        missed
    }

    fn skip_to(&mut self, offset: i64) -> u64 {
        let Some(next) = self.next.filter(|next| *next < offset) else { return 0 };
        self.deleted.push((next, offset));
        u64::try_from(offset - next).unwrap_or(0)
    }

    /// Closes panes up to `through`.
    pub(crate) fn force(&mut self, through: Micros) {
        self.watermark.force(through);
    }

    /// Whether an entry should be made. `is_overdue` says that the last one was long ago.
    pub(crate) fn is_due(&self, standing: Standing, is_overdue: bool) -> bool {
        // What is read again must be whole before an entry can be made of it.
        let is_rebuilt = self.next.unwrap_or(0) >= self.seen_before;
        if self.is_sealing || !is_rebuilt {
            return false;
        }
        let has_closed = self.watermark.closed_through() > self.logged.closed_through;
        let must_say = standing.follows() && standing != self.logged.standing;
        let has_rows = !(self.kept.is_empty() && self.archived.is_empty());
        let has_moved = self.next != self.logged.next_offset || has_rows;
        has_closed || must_say || self.kept_bytes >= KEPT_BYTES_MAX || (is_overdue && has_moved)
    }

    /// How the owner stands towards the partition, as the log should say it.
    pub(crate) fn drained(&self, tables: &Tables) -> Standing {
        // Its last pane may be closed, up to what another partition came to, and its last window not.
        let end = self.last_pane.map(|pane| tables.end_of_last(pane));
        Standing::Drained { end: end.filter(|end| Some(*end) > self.watermark.closed_through()) }
    }

    /// Makes the next entry: closes what the watermark has passed. The caller brings it to the log and
    /// says so, or gives this partition up.
    pub(crate) fn seal(&mut self, standing: Standing, marks: &[Mark]) -> Entry {
        let closed = self.watermark.closed_through();
        let panes = self.panes.close(closed.unwrap_or(Micros::MIN), self.rules.pane);
        let header = Header {
            seq: self.logged.seq + 1,
            topic: self.logged.topic.clone(),
            partition: self.logged.partition,
            cluster_id: self.logged.cluster_id.clone(),
            closed_through: closed,
            closed_before: self.logged.closed_through,
            last_pane: self.last_pane,
            next_offset: self.next,
            resume_offset: self.panes.lowest_needed().or(self.next),
            standing,
            deleted: std::mem::take(&mut self.deleted),
            tables: marks.to_vec(),
        };
        self.is_sealing = true;
        self.kept_bytes = 0;
        let (kept, archived) = (std::mem::take(&mut self.kept), std::mem::take(&mut self.archived));
        Entry { header, panes, kept, archived }
    }

    /// The entry that was sealed is in the log.
    pub(crate) fn logged(&mut self, header: Header) {
        self.logged = header;
        self.is_sealing = false;
    }

    /// The newest entry that is in the log.
    pub(crate) fn newest_entry(&self) -> &Header {
        &self.logged
    }

    /// Whether the entry at `seq` is the newest one that is known, and none is on its way.
    pub(crate) fn is_resting_at(&self, seq: u64) -> bool {
        !self.is_sealing && self.logged.seq == seq
    }

    pub(crate) fn watermark(&self) -> &Watermark {
        &self.watermark
    }

    /// How it stands, for its owner's status.
    pub(crate) fn figures(&self) -> Figures {
        let closed_through = self.watermark.closed_through();
        Figures {
            partition: self.logged.partition,
            next: self.next,
            resume: self.logged.resume_offset,
            watermark: closed_through
                .max(self.watermark.newest().map(|newest| newest.saturating_sub(self.rules.delay))),
            closed_through,
            standing: self.logged.standing,
            seq: self.logged.seq,
            open_panes: self.panes.count(),
        }
    }

    /// The offset of the next record to be read, if it is known.
    pub(crate) fn next(&self) -> Option<i64> {
        self.next
    }
}
