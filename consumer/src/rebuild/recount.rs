//! Counting again: late rows become panes, and with the panes of the log they become the windows that they
//! belong to. All windows of a rebuild are counted from the log as a whole, never from an earlier version.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::Span;
use super::late::{Chain, PARALLEL, read_entry};
use crate::event::Message;
use crate::finalise::{FinalWindow, Windows};
use crate::log::{Entry, Header, Kept, Log, LogError};
use crate::micros::{self, Micros};
use crate::pane::{Panes, Partials, Record};
use crate::profiles::Profile;
use crate::store::Objects;
use crate::tables::Tables;

/// The late events of a range, counted.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// One for each partition, by the panes' starts.
    panes: Vec<BTreeMap<Micros, Partials>>,
    /// The same of the copies. They count nowhere, but a window that an earlier rebuild counted them in
    /// has to be put right.
    copies: Vec<BTreeMap<Micros, Partials>>,
    counted: u64,
}

impl Late {
    /// Counts the chains' late rows; of those of a partition with the same id and pane, one.
    pub(super) fn of(chains: &[Chain], tables: &Tables, profile: Profile) -> Self {
        let mut late = Self::default();
        for chain in chains {
            let (of_late, counted) = panes(chain.partition, &chain.late, tables, profile);
            late.panes.push(of_late);
            late.counted += counted;
            late.copies.push(panes(chain.partition, &chain.copies, tables, profile).0);
        }
        late
    }

    /// How many events count.
    pub(super) fn counted(&self) -> u64 {
        self.counted
    }
}

/// The panes of late rows, and how many of these count.
fn panes(
    partition: i32,
    rows: &[Kept],
    tables: &Tables,
    profile: Profile,
) -> (BTreeMap<Micros, Partials>, u64) {
    let (mut panes, mut counted) = (Panes::default(), 0);
    for kept in rows {
        let (offset, id) = (kept.offset, kept.id.as_deref());
        let record = Record { offset, id, timestamp: kept.timestamp, value: &kept.value };
        match profile.read(&kept.value, tables.needs()) {
            Ok(Message::Event(event)) => {
                let pane = micros::floor(event.time, tables.pane());
                counted += u64::from(panes.add(pane, record, &event, tables));
            }
            Ok(Message::Notice { .. }) | Err(_) => {
                tracing::warn!(
                    event = "late_event_unreadable",
                    partition,
                    offset,
                    "a late event of the log cannot be read any more; is the profile another one?"
                );
            }
        }
    }
    (panes.close(Micros::MAX, 0), counted)
}

/// A window, by its start and the position of its table.
type Key = (Micros, usize);

/// Which windows may be counted again.
#[derive(Debug)]
pub(super) struct Recount<'a> {
    pub(super) tables: &'a Tables,
    /// They begin within this.
    pub(super) range: Span,
    /// They end at or before this.
    pub(super) through: Option<Micros>,
}

impl Recount<'_> {
    /// The windows that late events belong to: which they are, and those of them that the log holds whole.
    pub(super) async fn windows<S: Objects>(
        &self,
        log: &Log<S>,
        chains: &[Chain],
        late: Late,
    ) -> Result<(BTreeSet<Key>, Vec<FinalWindow>), LogError> {
        let affected = self.affected(&late);
        let (Some(through), Some((first, _))) = (self.through, affected.first()) else {
            return Ok((BTreeSet::new(), Vec::new()));
        };
        let needed = self.needed(&affected);
        // Whatever lies before the first window has been written long ago.
        let mut windows = Windows::new(self.tables.clone(), Some(*first));
        for chain in chains {
            let overlap = |(_, span): &&(u64, Span)| needed.iter().any(|need| overlaps(need, span));
            let seqs: Vec<u64> = chain.entries.iter().filter(overlap).map(|(seq, _)| *seq).collect();
            let read = seqs.into_iter().map(|seq| read_entry(log, chain.partition, seq));
            let mut entries = stream::iter(read).buffered(PARALLEL);
            while let Some(mut entry) = entries.try_next().await? {
                entry.panes.retain(|start, _| needed.iter().any(|need| need.contains(start)));
                windows.take(entry, false);
            }
        }
        for panes in late.panes {
            let mut entry = Entry::birth(Header { tables: self.tables.marks(), ..Header::default() });
            entry.panes = panes;
            windows.take(entry, false);
        }
        let mut counted = windows.plan(through);
        counted.retain(|window| affected.contains(&(window.start, window.table)));
        Ok((affected, counted))
    }

    fn affected(&self, late: &Late) -> BTreeSet<Key> {
        let mut affected = BTreeSet::new();
        for (pane, partials) in late.panes.iter().chain(&late.copies).flatten() {
            let counts = self.tables.list().iter().zip(partials).enumerate();
            for (i, (table, _)) in counts.filter(|(_, (_, partial))| !partial.is_empty()) {
                let is_final = |start: &Micros| Some(start.saturating_add(table.width())) <= self.through;
                let starts =
                    table.starts(*pane).filter(|start| self.range.contains(start) && is_final(start));
                affected.extend(starts.map(|start| (start, i)));
            }
        }
        affected
    }

    /// The spans of the windows, put together where they touch.
    fn needed(&self, affected: &BTreeSet<Key>) -> Vec<Span> {
        let mut needed: Vec<Span> = Vec::new();
        for (start, table) in affected {
            let end = start.saturating_add(self.tables.list()[*table].width());
            match needed.last_mut() {
                Some(last) if *start <= last.end => last.end = last.end.max(end),
                _ => needed.push(*start..end),
            }
        }
        needed
    }
}

fn overlaps(a: &Span, b: &Span) -> bool {
    a.start < b.end && b.start < a.end
}
