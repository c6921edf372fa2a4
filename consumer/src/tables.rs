//! The tables of windows: what a table says of itself, and what all of them together ask for.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::archive::Archive;
use crate::event::Needs;
use crate::filter::Filter;
use crate::log::Mark;
use crate::metrics::{By, Form, Kind, Plan, Rank, Reading};
use crate::micros::{self, Micros};

/// One table of windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name: lower-case letters, digits, `_` and `-`; it becomes part of the objects' names.
    pub name: String,
    /// Length of its windows, in whole seconds; they are counted from 1970 in UTC.
    pub window: Duration,
    /// From the start of one window to that of the next, in whole seconds: the length when they do not
    /// overlap. It divides the length.
    pub slide: Duration,
    /// What its rows are grouped by inside a window.
    pub group_by: By,
    /// Which events it takes.
    pub filter: Filter,
    /// What it counts: its columns after the window and the group, in this order.
    pub plan: Plan,
    /// Only the groups that have most of something; all without it.
    pub top: Option<Top>,
    /// Whether its windows are written as CSV, too.
    pub csv: bool,
}

/// The groups of a window that stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    /// The column that groups are ranked by, the greatest first; ties by the groups' names.
    pub by: String,
    /// How many stay.
    pub n: usize,
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
    /// The windows do not begin at even distances, or there are too many of them.
    #[error(
        "the slide of {name:?} must be a whole number of seconds that divides its window, at most {SLIDES_MAX} times"
    )]
    Slide {
        /// The table.
        name: String,
    },
    /// Nothing is counted, or something twice.
    #[error("the metrics of {0:?} must be at least one, none of them twice")]
    Metrics(String),
    /// There is no such column to rank by, or no group to be ranked.
    #[error(
        "the top of {name:?} must be by one of its columns of numbers ({columns}), of groups, and at least 1"
    )]
    Top {
        /// The table.
        name: String,
        /// What it can be by.
        columns: String,
    },
    /// An archive without columns, or with one twice.
    #[error("the columns of {0:?} must be at least one, none of them twice")]
    Columns(String),
    /// What the rule is called in the objects' names.
    #[error(
        "{0:?} cannot name the rule in objects' names; use lower-case letters, digits, _ and -, and no other column's name"
    )]
    Partition(String),
    /// There is nothing to do.
    #[error("there is no table; add a [[table]]")]
    None,
}

const WINDOW_MAX: Duration = Duration::from_secs(86_400);

/// An event is part of so many windows of a table, at most.
const SLIDES_MAX: u64 = 1_440;

/// What a table counts when it does not say it.
pub(crate) const COUNTS: [Kind; 4] = [Kind::Events, Kind::Reposts, Kind::Referencing, Kind::UniqueActors];

impl Table {
    /// A table of windows side by side that counts events, reposts, referencing events and actors.
    #[must_use]
    pub fn new(name: &str, window: Duration, group_by: By, filter: Filter) -> Self {
        let plan = Plan::new(COUNTS.to_vec());
        Self { name: name.to_owned(), window, slide: window, group_by, filter, plan, top: None, csv: false }
    }

    /// What is wrong with the table by itself.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<(), TableFault> {
        check_name(&self.name)?;
        let is_whole = |length: Duration| length.subsec_nanos() == 0 && !length.is_zero();
        if !is_whole(self.window) || self.window > WINDOW_MAX {
            return Err(TableFault::Window(self.name.clone()));
        }
        let (window, slide) = (self.window.as_secs(), self.slide.as_secs());
        if !is_whole(self.slide) || window % slide != 0 || window / slide > SLIDES_MAX {
            return Err(TableFault::Slide { name: self.name.clone() });
        }
        let different: BTreeSet<_> = self.plan.kinds().iter().collect();
        if different.is_empty() || different.len() < self.plan.kinds().len() {
            return Err(TableFault::Metrics(self.name.clone()));
        }
        let is_ranked = self.top.is_none()
            || (self.rank().is_some_and(|rank| rank.n > 0) && self.group_by.column().is_some());
        if is_ranked { Ok(()) } else { Err(self.unranked()) }
    }

    fn unranked(&self) -> TableFault {
        let columns: Vec<_> =
            self.plan.columns().filter(|column| is_number(column.form)).map(|column| column.name).collect();
        TableFault::Top { name: self.name.clone(), columns: columns.join(", ") }
    }

    /// What its rows are ranked by, if they are.
    pub(crate) fn rank(&self) -> Option<Rank> {
        let top = self.top.as_ref()?;
        let by = self.plan.columns().position(|column| column.name == top.by && is_number(column.form))?;
        Some(Rank { by, n: top.n })
    }

    /// Everything that its rows depend on, besides the events; in words, for the log.
    pub(crate) fn definition(&self) -> String {
        let kinds: Vec<_> = self.plan.kinds().iter().map(|kind| kind.name()).collect();
        let slide = match self.slide {
            slide if slide == self.window => String::new(),
            slide => format!(" slide={}s", slide.as_secs()),
        };
        let top = self.top.as_ref().map(|top| format!(" top={} by {}", top.n, top.by));
        let has_actors = self.plan.has(Kind::UniqueActors);
        let exact = has_actors.then(|| format!(" exact_max={}", self.plan.exact_max()));
        format!(
            "window={}s{slide} group_by={}{} metrics={}{}{}",
            self.window.as_secs(),
            self.group_by.name(),
            self.filter.definition(),
            kinds.join(","),
            exact.unwrap_or_default(),
            top.unwrap_or_default(),
        )
    }

    /// The windows' length.
    pub(crate) fn width(&self) -> Micros {
        micros::of(self.window)
    }

    /// From the start of one window to that of the next.
    pub(crate) fn step(&self) -> Micros {
        micros::of(self.slide)
    }

    /// The start of the first window that ends after `time`.
    pub(crate) fn first_after(&self, time: Micros) -> Micros {
        micros::floor(time.saturating_sub(self.width()), self.step()).saturating_add(self.step())
    }

    /// The starts of the windows that hold the moment `time`, in order.
    pub(crate) fn starts(&self, time: Micros) -> impl Iterator<Item = Micros> + use<> {
        let (step, last) = (self.step(), micros::floor(time, self.step()));
        std::iter::successors(Some(self.first_after(time)), move |start| start.checked_add(step))
            .take_while(move |start| *start <= last)
    }

    /// Calls `with` for each group that an event counts in. A table without groups has the group "".
    pub(crate) fn each_group(&self, reading: &Reading<'_>, with: impl FnMut(&str)) {
        if self.filter.takes(reading.event()) {
            self.group_by.each(reading, with);
        }
    }
}

/// Whether `name` can be part of an object's name.
pub(crate) fn check_name(name: &str) -> Result<(), TableFault> {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || c == b'-';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        return Err(TableFault::Name(name.to_owned()));
    }
    Ok(())
}

fn is_number(form: Form) -> bool {
    matches!(form, Form::Count | Form::Real)
}

/// All tables, checked, with what follows from them.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    list: Vec<Table>,
    archives: Vec<Archive>,
    pane: Micros,
}

/// The length of a pane when there are only archives: how long an event's id is remembered.
const PANE_OF_ARCHIVES: Duration = Duration::from_secs(60);

impl Tables {
    /// Checks the tables by themselves and against each other.
    pub(crate) fn new(list: Vec<Table>, archives: Vec<Archive>) -> Result<Self, TableFault> {
        list.iter().try_for_each(Table::check)?;
        archives.iter().try_for_each(Archive::check)?;
        let names = list.iter().map(|table| &table.name).chain(archives.iter().map(|archive| &archive.name));
        let mut different = BTreeSet::new();
        for name in names {
            if !different.insert(name) {
                return Err(TableFault::Twice(name.clone()));
            }
        }
        if different.is_empty() {
            return Err(TableFault::None);
        }
        let pane = list.iter().flat_map(|table| [table.width(), table.step()]).reduce(gcd);
        Ok(Self { list, archives, pane: pane.unwrap_or(micros::of(PANE_OF_ARCHIVES)) })
    }

    pub(crate) fn archives(&self) -> &[Archive] {
        &self.archives
    }

    pub(crate) fn list(&self) -> &[Table] {
        &self.list
    }

    /// What an entry of the log says of the tables.
    pub(crate) fn marks(&self) -> Vec<Mark> {
        let mark = |table: &Table| Mark { name: table.name.clone(), definition: table.definition() };
        self.list.iter().map(mark).collect()
    }

    /// The end of the pane that starts at `pane`, and of all windows that hold it.
    pub(crate) fn end_of_last(&self, pane: Micros) -> Micros {
        let end = |table: &Table| micros::floor(pane, table.step()).saturating_add(table.width());
        self.list.iter().map(end).fold(pane.saturating_add(self.pane), Micros::max)
    }

    /// The start of the first window that ends after `time`; `time` when there is no window.
    pub(crate) fn first_after(&self, time: Micros) -> Micros {
        self.list.iter().map(|table| table.first_after(time)).fold(time, Micros::min)
    }

    /// Length of a pane: the longest that every window is made of whole ones of.
    pub(crate) fn pane(&self) -> Micros {
        self.pane
    }

    /// What the tables need to be read.
    pub(crate) fn needs(&self) -> Needs {
        let needs = |table: &Table| table.plan.needs();
        Needs {
            actor: self.list.iter().any(|table| needs(table).actor),
            lists: self.list.iter().any(|table| table.group_by.needs_lists() || table.filter.needs_lists())
                || self.archives.iter().any(Archive::needs_lists),
        }
    }
}

fn gcd(a: Micros, b: Micros) -> Micros {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests;
