//! The tables to be kept: what a table says of itself, and what all of them together ask for.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::event::{Event, Needs};
use crate::log::Mark;
use crate::micros::{self, Micros};

/// One table of windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name: lower-case letters, digits, `_` and `-`; it becomes part of the objects' names.
    pub name: String,
    /// Length of its tumbling windows, in whole seconds; they are counted from 1970 in UTC.
    pub window: Duration,
    /// What its rows are grouped by inside a window.
    pub group_by: GroupBy,
    /// Which events it takes.
    pub filter: Filter,
    /// What it counts: its columns after the window and the group, in this order.
    pub metrics: Vec<Metric>,
}

/// What rows are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    /// One row a window.
    None,
    /// One row for each name of a place; an event without a place is not in the table.
    Place,
}

/// Which events a table takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only events at a place of this sort, such as `city`.
    pub place_type: Option<String>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Events.
    Events,
    /// Events that pass another one on, unchanged.
    Reposts,
    /// Events that refer to another: reposts, replies, quotes.
    Referencing,
    /// Different actors.
    UniqueActors,
}

/// What `metrics = […]` can say; also the columns' names.
pub(crate) const METRICS: [(&str, Metric); 4] = [
    ("events", Metric::Events),
    ("reposts", Metric::Reposts),
    ("referencing", Metric::Referencing),
    ("unique_actors", Metric::UniqueActors),
];

impl Metric {
    /// The column's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        METRICS.iter().find(|(_, metric)| *metric == self).map_or("", |(name, _)| name)
    }
}

impl GroupBy {
    /// The group's column, if there is one.
    #[must_use]
    pub fn column(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Place => Some("place"),
        }
    }
}

/// Why a table cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableFault {
    /// The name cannot be part of an object's name.
    #[error("{0:?} is no table name; use lower-case letters, digits, _ and -, at most 64")]
    Name(String),
    /// Two tables would write the same objects.
    #[error("there are two tables named {0:?}; give each its own name")]
    Twice(String),
    /// The window is no whole number of seconds or out of range.
    #[error("the window of {0:?} must be a whole number of seconds, from 1s to 1d")]
    Window(String),
    /// Nothing is counted, or something twice.
    #[error("the metrics of {0:?} must be at least one, none of them twice")]
    Metrics(String),
    /// There is nothing to do.
    #[error("there is no table; add a [[table]]")]
    None,
}

const WINDOW_MAX: Duration = Duration::from_secs(86_400);

impl Table {
    /// A table of all metrics.
    #[must_use]
    pub fn new(name: &str, window: Duration, group_by: GroupBy, filter: Filter) -> Self {
        let metrics = METRICS.iter().map(|(_, metric)| *metric).collect();
        Self { name: name.to_owned(), window, group_by, filter, metrics }
    }

    /// What is wrong with the table by itself.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<(), TableFault> {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || c == b'-';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(plain) {
            return Err(TableFault::Name(self.name.clone()));
        }
        let whole = self.window.subsec_nanos() == 0;
        if !whole || self.window.is_zero() || self.window > WINDOW_MAX {
            return Err(TableFault::Window(self.name.clone()));
        }
        let different: BTreeSet<_> = self.metrics.iter().collect();
        if different.is_empty() || different.len() < self.metrics.len() {
            return Err(TableFault::Metrics(self.name.clone()));
        }
        Ok(())
    }

    /// Everything that its rows depend on, besides the events; in words, for the log.
    pub(crate) fn definition(&self) -> String {
        let metrics: Vec<_> = self.metrics.iter().map(|metric| metric.name()).collect();
        format!(
            "window={}s group_by={} place_type={:?} metrics={}",
            self.window.as_secs(),
            self.group_by.column().unwrap_or("none"),
            self.filter.place_type.as_deref().unwrap_or_default(),
            metrics.join(",")
        )
    }

    /// The window's length.
    pub(crate) fn width(&self) -> Micros {
        micros::of(self.window)
    }

    pub(crate) fn has(&self, metric: Metric) -> bool {
        self.metrics.contains(&metric)
    }

    /// The group that `event` counts in, or `None` when the table does not take it. A table without
    /// groups has the group "".
    pub(crate) fn group<'e>(&self, event: &'e Event<'_>) -> Option<&'e str> {
        if self.filter.place_type.is_some()
            && self.filter.place_type.as_deref() != event.place_type.as_deref()
        {
            return None;
        }
        match self.group_by {
            GroupBy::None => Some(""),
            GroupBy::Place => event.place.as_deref(),
        }
    }
}

/// All tables, checked, with what follows from them.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    list: Vec<Table>,
    pane: Micros,
}

impl Tables {
    /// Checks the tables by themselves and against each other.
    pub(crate) fn new(list: Vec<Table>) -> Result<Self, TableFault> {
        let mut names = BTreeSet::new();
        for table in &list {
            table.check()?;
            if !names.insert(table.name.as_str()) {
                return Err(TableFault::Twice(table.name.clone()));
            }
        }
        let pane = list.iter().map(Table::width).reduce(gcd).ok_or(TableFault::None)?;
        Ok(Self { list, pane })
    }

    pub(crate) fn list(&self) -> &[Table] {
        &self.list
    }

    /// What an entry of the log says of the tables.
    pub(crate) fn marks(&self) -> Vec<Mark> {
        let mark = |table: &Table| Mark { name: table.name.clone(), definition: table.definition() };
        self.list.iter().map(mark).collect()
    }

    /// The end of the last window that holds the pane that starts at `pane`.
    pub(crate) fn end_of_last(&self, pane: Micros) -> Option<Micros> {
        let end = |table: &Table| micros::floor(pane, table.width()).saturating_add(table.width());
        self.list.iter().map(end).max()
    }

    /// Length of a pane: the longest that every window is made of whole ones of.
    pub(crate) fn pane(&self) -> Micros {
        self.pane
    }

    /// What the tables need to be read.
    pub(crate) fn needs(&self) -> Needs {
        Needs { actor: self.list.iter().any(|table| table.has(Metric::UniqueActors)), lists: false }
    }
}

fn gcd(a: Micros, b: Micros) -> Micros {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, secs: u64) -> Table {
        Table::new(name, Duration::from_secs(secs), GroupBy::None, Filter::default())
    }

    #[test]
    fn a_pane_is_what_all_windows_are_made_of() {
        let pane = |windows: &[u64]| {
            let tables = windows.iter().enumerate().map(|(i, w)| table(&format!("t{i}"), *w)).collect();
            Tables::new(tables).unwrap().pane() / 1_000_000
        };
        assert_eq!(pane(&[300]), 300);
        assert_eq!(pane(&[300, 3600]), 300);
        assert_eq!(pane(&[300, 420]), 60);
    }

    #[test]
    fn tables_that_cannot_be_kept_are_refused() {
        let fault = |tables: Vec<Table>| Tables::new(tables).unwrap_err();
        assert_eq!(fault(vec![]), TableFault::None);
        assert_eq!(fault(vec![table("a", 1), table("a", 2)]), TableFault::Twice("a".into()));
        for name in ["", "A", "a b", "../a", "a/b"] {
            assert_eq!(fault(vec![table(name, 1)]), TableFault::Name(name.into()));
        }
        assert_eq!(fault(vec![table("a", 0)]), TableFault::Window("a".into()));
        assert_eq!(fault(vec![table("a", 86_401)]), TableFault::Window("a".into()));
        let half = Table { window: Duration::from_millis(1500), ..table("a", 1) };
        assert_eq!(fault(vec![half]), TableFault::Window("a".into()));
        let none = Table { metrics: vec![], ..table("a", 1) };
        assert_eq!(fault(vec![none]), TableFault::Metrics("a".into()));
        let twice = Table { metrics: vec![Metric::Events, Metric::Events], ..table("a", 1) };
        assert_eq!(fault(vec![twice]), TableFault::Metrics("a".into()));
    }

    #[test]
    fn actors_are_needed_only_when_they_are_counted() {
        let mut counting = table("a", 1);
        assert!(Tables::new(vec![counting.clone()]).unwrap().needs().actor);
        counting.metrics = vec![Metric::Events];
        assert!(!Tables::new(vec![counting]).unwrap().needs().actor);
    }
}
