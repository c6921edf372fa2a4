//! What a run says of itself.

use std::time::Instant;

use super::Run;
use crate::control::{Progress, Summary, TableSummary, Until};
use crate::writer::Written;

impl Run<'_> {
    pub(super) fn progress(&self, now: Instant) -> Progress {
        let (tally, told) = (self.engine.tally(), self.notifier.told());
        let sum = |of: fn(&Written) -> u64| self.written().map(of).sum();
        let left = |partition: i32, next: Option<i64>| {
            let ends = self.activity.ends(partition, now)?;
            u64::try_from(ends.high - next.unwrap_or(ends.low)).ok().or(Some(0))
        };
        Progress {
            read: tally.read,
            events: tally.counted,
            late: tally.late,
            duplicates: tally.duplicates,
            replayed: tally.replayed,
            quarantined: tally.quarantined,
            notices: tally.notices,
            missed: tally.missed,
            objects: sum(|w| w.objects),
            rows: sum(|w| w.rows),
            objects_found: sum(|w| w.found),
            notified: told.delivered,
            notify_failures: told.failures,
            newest_event: self.engine.newest(),
            frontier: self.closing.written_through(),
            lag: if self.membership.is_settled() {
                self.engine.positions().map(|(p, next)| left(p, next)).sum()
            } else {
                None
            },
            partitions: self.engine.partition_count(),
        }
    }

    /// What this member has written, by table, then by archive.
    fn written(&self) -> impl Iterator<Item = &Written> {
        self.closing.written().iter().chain(self.closing.archived())
    }

    pub(super) fn summary(&self, ended: Until) -> Summary {
        Summary { ended, progress: self.progress(Instant::now()), tables: self.table_summaries() }
    }

    /// What this member has written, in the order of the configuration.
    pub(super) fn table_summaries(&self) -> Vec<TableSummary> {
        let tables = self.config.tables.iter().map(|table| &table.name);
        let names = tables.chain(self.config.archives.iter().map(|archive| &archive.name));
        names
            .zip(self.written())
            .map(|(name, w)| TableSummary {
                table: name.clone(),
                objects: w.objects,
                rows: w.rows,
                objects_found: w.found,
            })
            .collect()
    }
}
