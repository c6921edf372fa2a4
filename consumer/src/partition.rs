//! One partition: what each of its records counts as, and what of it a restart needs.

use crate::checkpoint::Checkpoint;
use crate::event::Event;
use crate::micros::{self, Micros};
use crate::pane::{Panes, Partials, Record};
use crate::tables::Tables;
use crate::watermark::{Forced, Watermark};

/// What an event counts as. Exactly one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Counted in its pane.
    Counted,
    /// Its id is in its pane already.
    Duplicate,
    /// Its pane is closed.
    Late,
    /// Its pane was final, and the record read, before this start.
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

/// See the module.
#[derive(Debug)]
pub(crate) struct Partition {
    rules: Rules,
    watermark: Watermark,
    panes: Panes,
    /// The offset after the last record read; `None` before the first, when nothing was committed.
    next: Option<i64>,
    /// Records before this offset were read by an earlier run.
    seen_before: i64,
    /// What was final when this run began.
    final_before: Option<Micros>,
    /// No record has come since the partition was taken on.
    is_fresh: bool,
    /// Offsets from where this run had to read that the topic does not hold any more.
    missed: u64,
}

impl Partition {
    /// `offset` is the committed one; `base` is up to where the tables are final.
    pub(crate) fn new(
        rules: Rules,
        offset: Option<i64>,
        checkpoint: &Checkpoint,
        base: Option<Micros>,
    ) -> Self {
        let mut watermark = Watermark::new(rules.pane, rules.delay, base, &checkpoint.forced());
        watermark.reach(offset.unwrap_or(0));
        Self {
            rules,
            watermark,
            panes: Panes::default(),
            next: offset,
            seen_before: checkpoint.next_offset,
            final_before: base,
            is_fresh: true,
            missed: 0,
        }
    }

    /// Takes one event in.
    pub(crate) fn event(&mut self, record: Record<'_>, event: &Event<'_>, tables: &Tables) -> Verdict {
        self.watermark.reach(record.offset);
        let verdict = self.judge(record, event, tables);
        self.read(record.offset);
        verdict
    }

    fn judge(&mut self, record: Record<'_>, event: &Event<'_>, tables: &Tables) -> Verdict {
        if event.time > record.timestamp.saturating_add(self.rules.future_tolerance) {
            return Verdict::Future;
        }
        let pane = micros::floor(event.time, self.rules.pane);
        if record.offset < self.seen_before && self.final_before.is_some_and(|end| pane < end) {
            return Verdict::Replayed;
        }
        if self.watermark.closed_through().is_some_and(|closed| pane < closed) {
            self.watermark.was_late(pane);
            return Verdict::Late;
        }
        let counted = self.panes.add(pane, record, event, tables);
        self.watermark.observe(event.time);
        if counted { Verdict::Counted } else { Verdict::Duplicate }
    }

    /// The record at `offset` has been dealt with, whatever it was.
    pub(crate) fn read(&mut self, offset: i64) {
        // Further on, gaps are the markers of transactions; here they are records that were deleted.
        if std::mem::take(&mut self.is_fresh) {
            self.skip_to(offset);
        }
        self.next = Some(offset + 1);
        self.watermark.reach(offset + 1);
    }

    /// The broker says that the first record it still has is at `low`.
    pub(crate) fn starts_at(&mut self, low: i64) {
        self.skip_to(low);
        if self.next.is_none_or(|next| next < low) {
            self.next = Some(low);
            self.watermark.reach(low);
        }
    }

    fn skip_to(&mut self, offset: i64) {
        let gap = self.next.map_or(0, |next| offset.saturating_sub(next));
        self.missed += u64::try_from(gap).unwrap_or(0);
    }

    /// How many records were deleted before they were read, since the last call.
    pub(crate) fn take_missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }

    /// The panes that have been closed since the last call.
    pub(crate) fn close(&mut self) -> impl Iterator<Item = (Micros, Partials)> + use<> {
        self.panes.close(self.watermark.closed_through().unwrap_or(Micros::MIN))
    }

    /// Closes panes up to `through` because time has passed. Returns whether that changed anything.
    pub(crate) fn force(&mut self, through: Micros) -> bool {
        let changes = self.watermark.closed_through().is_none_or(|closed| closed < through);
        if changes {
            self.watermark.force(Forced { through, at: self.next.unwrap_or(0) });
        }
        changes
    }

    /// Panes before `through` are in final objects.
    pub(crate) fn finalised(&mut self, through: Micros) {
        self.watermark.finalised(through);
        self.panes.finalised(through);
    }

    pub(crate) fn watermark(&self) -> &Watermark {
        &self.watermark
    }

    pub(crate) fn panes(&self) -> &Panes {
        &self.panes
    }

    /// The offset of the next record to be read, if it is known.
    pub(crate) fn next(&self) -> Option<i64> {
        self.next
    }

    /// Where a restart must read from: the first event that is in no final object.
    pub(crate) fn resume_offset(&self) -> Option<i64> {
        self.panes.lowest_needed().or(self.next)
    }
}
