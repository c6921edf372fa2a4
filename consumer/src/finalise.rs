//! The finaliser: puts closed panes of all partitions together to windows and says which windows are
//! final. Each window of each table becomes one object, once; a window is never planned again after
//! it has been written. No I/O, no clock.

use std::collections::{BTreeMap, BTreeSet};

use crate::aggregate::{self, Row};
use crate::micros::{self, Micros};
use crate::pane::Partials;
use crate::tables::Tables;

/// One final object: all rows of one window of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FinalWindow {
    /// Position of the table in the configuration.
    pub(crate) table: usize,
    pub(crate) start: Micros,
    /// Exclusive.
    pub(crate) end: Micros,
    /// At least one.
    pub(crate) rows: Vec<Row>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Finaliser {
    tables: Tables,
    /// Merged over the partitions, by the panes' starts.
    closed: BTreeMap<Micros, Partials>,
    /// What was final when this run began. A window that began before it lacks its first panes.
    base: Option<Micros>,
    closed_through: Option<Micros>,
    written_through: Option<Micros>,
}

impl Finaliser {
    /// `closed_through` and `written_through` as in the checkpoint.
    pub(crate) fn new(
        tables: Tables,
        closed_through: Option<Micros>,
        written_through: Option<Micros>,
    ) -> Self {
        Self { tables, closed: BTreeMap::new(), base: closed_through, closed_through, written_through }
    }

    /// Takes a pane that one partition has closed.
    pub(crate) fn take(&mut self, start: Micros, partials: Partials) {
        match self.closed.entry(start) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(partials);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                entry.get_mut().iter_mut().zip(partials).for_each(|(all, one)| all.merge(one));
            }
        }
    }

    /// Whether closing up to `through` would complete a window that holds one of `panes`.
    pub(crate) fn is_due(&self, through: Micros, panes: impl Iterator<Item = Micros>) -> bool {
        panes
            .take_while(|pane| *pane < through)
            .any(|pane| self.windows_of(pane).any(|w| w.is_due && w.end <= through))
    }

    /// The windows that become final when every partition is closed up to `through`.
    pub(crate) fn plan(&self, through: Micros) -> Vec<FinalWindow> {
        let panes = self.closed.range(..through).map(|(start, _)| *start);
        let due: BTreeSet<(Micros, usize)> = panes
            .flat_map(|pane| self.windows_of(pane))
            .filter(|window| window.is_due && window.end <= through)
            .map(|window| (window.start, window.table))
            .collect();
        due.into_iter()
            .map(|(start, table)| self.window(table, start))
            .filter(|window| !window.rows.is_empty())
            .collect()
    }

    /// The first windows that this run cannot complete, because they began before what it has read:
    /// the length of a table's windows was changed.
    pub(crate) fn incomplete(&self) -> Vec<(usize, Micros)> {
        let Some(base) = self.base else { return Vec::new() };
        let widths = self.tables.list().iter().map(|table| micros::floor(base, table.width()));
        widths.enumerate().filter(|(_, start)| *start < base).collect()
    }

    /// Everything up to `through` has been written. Returns what no window needs any more.
    pub(crate) fn finalised(&mut self, through: Micros) -> Micros {
        self.written_through = self.written_through.max(Some(through));
        let done = self.tables.list().iter().map(|table| micros::floor(through, table.width())).min();
        self.closed_through = self.closed_through.max(done);
        let closed = self.closed_through.unwrap_or(Micros::MIN);
        self.closed = self.closed.split_off(&closed);
        closed
    }

    /// The end of the last window that holds one of `panes`.
    pub(crate) fn end_of_last(&self, panes: impl Iterator<Item = Micros>) -> Option<Micros> {
        panes
            .flat_map(|pane| self.windows_of(pane))
            .filter(|window| window.is_due)
            .map(|window| window.end)
            .max()
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(crate) fn closed_through(&self) -> Option<Micros> {
        self.closed_through
    }

    pub(crate) fn written_through(&self) -> Option<Micros> {
        self.written_through
    }

    /// The windows, one a table, that the pane is part of.
    fn windows_of(&self, pane: Micros) -> impl Iterator<Item = Span> {
        self.tables.list().iter().enumerate().map(move |(table, of)| {
            let start = micros::floor(pane, of.width());
            let end = start.saturating_add(of.width());
            let is_due = Some(end) > self.written_through && Some(start) >= self.base;
            Span { table, start, end, is_due }
        })
    }

    fn window(&self, table: usize, start: Micros) -> FinalWindow {
        let of = &self.tables.list()[table];
        let end = start.saturating_add(of.width());
        let panes: Vec<_> = self.closed.range(start..end).map(|(_, partials)| &partials[table]).collect();
        FinalWindow { table, start, end, rows: aggregate::rows(of, &panes) }
    }
}

struct Span {
    table: usize,
    start: Micros,
    end: Micros,
    /// Neither written before nor impossible to complete.
    is_due: bool,
}
