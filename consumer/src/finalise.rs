//! Windows out of panes: puts the entries of all partitions together and says which windows are final at
//! a frontier. Each window of each table becomes one object, once. No I/O, no clock.

use std::collections::{BTreeMap, BTreeSet};

use crate::aggregate::{self, Row};
use crate::log::{Entry, Mark};
use crate::micros::Micros;
use crate::pane::Partials;
use crate::tables::{Table, Tables};

/// One final object: all rows of one window of one table.
#[derive(Debug, Clone, PartialEq)]
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
pub(crate) struct Windows {
    tables: Tables,
    marks: Vec<Mark>,
    /// Merged over the partitions, by the panes' starts.
    closed: BTreeMap<Micros, Partials>,
    /// For each table the spans that some entry does not cover: the table was not there, or defined
    /// otherwise. Start and end, exclusive.
    gaps: Vec<Vec<(Micros, Micros)>>,
    written_through: Option<Micros>,
}

impl Windows {
    /// Windows that end at or before `written_through` are in final objects.
    pub(crate) fn new(tables: Tables, written_through: Option<Micros>) -> Self {
        let gaps = vec![Vec::new(); tables.list().len()];
        Self { marks: tables.marks(), tables, closed: BTreeMap::new(), gaps, written_through }
    }

    /// Takes an entry in. Of each partition the entries come in order; `is_first` says that the ones
    /// before this are not needed and did not come.
    pub(crate) fn take(&mut self, entry: Entry, is_first: bool) {
        let Entry { header, panes, .. } = entry;
        if is_first && let Some(before) = header.closed_before {
            self.gaps.iter_mut().for_each(|gaps| gaps.push((Micros::MIN, before)));
        }
        let at = |mark: &Mark| header.tables.iter().position(|is| is == mark);
        let places: Vec<Option<usize>> = self.marks.iter().map(at).collect();
        if let Some(closed) = header.closed_through {
            let span = (header.closed_before.unwrap_or(Micros::MIN), closed);
            let missing = places.iter().zip(&mut self.gaps).filter(|(place, _)| place.is_none());
            missing.for_each(|(_, gaps)| gaps.push(span));
        }
        let needed = self.needed_from().unwrap_or(Micros::MIN);
        for (start, mut partials) in panes.into_iter().filter(|(start, _)| *start >= needed) {
            let taken = places.iter().map(|place| place.map(|i| std::mem::take(&mut partials[i])));
            let all = self.closed.entry(start).or_insert_with(|| vec![Default::default(); places.len()]);
            for ((sum, partial), table) in all.iter_mut().zip(taken).zip(self.tables.list()) {
                partial.into_iter().for_each(|partial| sum.merge(table, partial));
            }
        }
    }

    /// The windows that become final when every partition is closed up to `through`.
    pub(crate) fn plan(&self, through: Micros) -> Vec<FinalWindow> {
        let panes = self.closed.range(..through).map(|(start, _)| *start);
        let due: BTreeSet<(Micros, usize)> = panes
            .flat_map(|pane| self.windows_of(pane))
            .filter(|window| window.end <= through && self.is_due(window))
            .map(|window| (window.start, window.table))
            .collect();
        due.into_iter()
            .map(|(start, table)| self.window(table, start))
            .filter(|window| !window.rows.is_empty())
            .collect()
    }

    /// Everything up to `through` has been written; what no window needs any more is forgotten.
    pub(crate) fn finalised(&mut self, through: Micros) {
        self.written_through = self.written_through.max(Some(through));
        let needed = self.needed_from().unwrap_or(Micros::MIN);
        self.closed = self.closed.split_off(&needed);
        self.gaps.iter_mut().for_each(|gaps| gaps.retain(|(_, end)| *end > needed));
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Windows that end at or before this have been written.
    pub(crate) fn written_through(&self) -> Option<Micros> {
        self.written_through
    }

    /// The start of the first pane that a window needs that has not been written.
    pub(crate) fn needed_from(&self) -> Option<Micros> {
        Some(self.tables.first_after(self.written_through?))
    }

    /// The windows of all tables that the pane is part of.
    fn windows_of(&self, pane: Micros) -> impl Iterator<Item = Span> {
        let spans = move |(table, of): (usize, &Table)| {
            let width = of.width();
            of.starts(pane).map(move |start| Span { table, start, end: start.saturating_add(width) })
        };
        self.tables.list().iter().enumerate().flat_map(spans)
    }

    /// Whether a window has neither been written nor is impossible to complete.
    fn is_due(&self, Span { table, start, end }: &Span) -> bool {
        let is_whole = self.gaps[*table].iter().all(|(from, to)| end <= from || start >= to);
        Some(*end) > self.written_through && is_whole
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
}
