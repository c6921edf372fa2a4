//! The command `show`: the rows of a table for a terminal, as bars, or as CSV, from the store.
//!
//! It shows each period once, in its newest version (docs/adr/0008), and reads final objects only. It
//! writes nothing and needs no Kafka.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::ops::Range;
use std::time::Duration;

use arrow_array::RecordBatch;

use crate::micros::{self, Micros};
use crate::store::{Objects, Store, StoreError, StoreSettings, StoreUrl};

pub(crate) mod cells;
mod chart;
mod grid;
pub(crate) mod layout;
pub(crate) mod periods;

pub use periods::PeriodsError;

use cells::{Cell, cell, is_number};
use chart::Bar;
use layout::PLACES;
use periods::Periods;

/// What is shown.
#[derive(Debug, Clone)]
pub struct Show {
    /// The table.
    pub table: String,
    /// Which of its periods.
    pub span: Span,
    /// How.
    pub form: Form,
}

/// Which periods of a table.
#[derive(Debug, Clone, Copy)]
pub enum Span {
    /// The newest ones, as many as begin within this length of time.
    Last(Duration),
    /// Those that begin at or after the first and before the second moment.
    Between(Micros, Micros),
}

/// How rows are shown.
#[derive(Debug, Clone)]
pub enum Form {
    /// Lined up, the newest so many rows.
    Table {
        /// How many.
        rows_max: usize,
    },
    /// As bars of one column; of the first number without a name.
    Plot {
        /// The column.
        column: Option<String>,
    },
    /// As CSV with a line of the columns' names.
    Csv,
}

/// Reads a moment, `2021-06-01T00:35:00Z`, or the start of a day in UTC, `2021-06-01`.
#[must_use]
pub fn parse_moment(text: &str) -> Option<Micros> {
    micros::parse(text).or_else(|| Some(layout::Day::named(&format!("dt={text}"))?.start()))
}

/// Why nothing is shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// The folder does not exist.
    #[error("there is no store at {url}")]
    NoStore {
        /// Where it should be.
        url: String,
    },
    /// The store cannot be opened or listed.
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    /// The table cannot be read.
    #[error("the table cannot be read")]
    Periods(#[from] PeriodsError),
    /// Nothing of the table has been written.
    #[error("the store has no table of windows {table:?}; it has {known}")]
    NoTable {
        /// The table that was asked for.
        table: String,
        /// Those that are there.
        known: String,
    },
    /// The table has no such column of numbers.
    #[error("the table has no column of numbers {column:?}; it has {known}")]
    NoColumn {
        /// The column that was asked for.
        column: String,
        /// Those that are there.
        known: String,
    },
    /// Its rows cannot be written to where they should be shown.
    #[error("the rows cannot be written")]
    Output(#[source] io::Error),
    /// The system refuses what a runtime needs.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
}

impl ShowError {
    /// Whether the reader has gone away, which is no failure.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Writes what is asked for to `out`.
///
/// # Errors
/// When the table is not there, cannot be read, or `out` does not take it.
pub fn show(settings: &StoreSettings, request: &Show, out: &mut impl Write) -> Result<(), ShowError> {
    if let StoreUrl::Local(path) = &settings.url
        && !path.is_dir()
    {
        return Err(ShowError::NoStore { url: settings.url.to_string() });
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ShowError::Runtime)?;
    let store = Store::open(settings)?;
    let found = runtime.block_on(find(&store, &request.table, request.span))?;
    let batches: Vec<RecordBatch> = found.into_values().map(|period| period.rows).collect();
    let text = match &request.form {
        Form::Table { rows_max } => lined_up(batches, *rows_max),
        Form::Plot { column } => plot(&batches, column.as_deref())?,
        Form::Csv => return write_csv(&batches, out).map_err(ShowError::Output),
    };
    out.write_all(text.as_bytes()).map_err(ShowError::Output)
}

/// The periods that are asked for, each in its newest version.
async fn find(store: &impl Objects, table: &str, span: Span) -> Result<Periods, ShowError> {
    let days = periods::days(store, table).await?;
    let range = match span {
        Span::Between(from, to) => from..to,
        Span::Last(last) => match newest(store, table, days.iter().rev().copied()).await? {
            Some(start) => start.saturating_sub(micros::of(last)).saturating_add(1)..Micros::MAX,
            None => 0..0,
        },
    };
    let mut found = Periods::new();
    for day in days.iter().filter(|day| day.end() > range.start && day.start() < range.end) {
        found.append(&mut periods::of_day(store, table, *day, &range).await?);
    }
    if found.is_empty() && !has_periods(store, table, &days).await? {
        return Err(ShowError::NoTable { table: table.to_owned(), known: known(store).await? });
    }
    Ok(found)
}

/// The start of the newest period of the days, which come newest first.
async fn newest(
    store: &impl Objects,
    table: &str,
    days: impl Iterator<Item = layout::Day>,
) -> Result<Option<Micros>, ShowError> {
    for day in days {
        // Names say it without an object being read.
        let named = periods::final_objects(store, table, day).await?.into_keys().next_back();
        let newest = match named {
            Some(newest) => Some(newest),
            None => periods::of_day(store, table, day, &EVER).await?.into_keys().next_back(),
        };
        if newest.is_some() {
            return Ok(newest);
        }
    }
    Ok(None)
}

const EVER: Range<Micros> = Micros::MIN..Micros::MAX;

async fn has_periods(
    store: &impl Objects,
    table: &str,
    days: &BTreeSet<layout::Day>,
) -> Result<bool, ShowError> {
    Ok(newest(store, table, days.iter().rev().copied()).await?.is_some())
}

/// The tables that have periods: not those of events.
async fn known(store: &impl Objects) -> Result<String, ShowError> {
    let mut found = BTreeSet::new();
    for place in PLACES {
        found.extend(store.folders(place).await?);
    }
    let mut names = Vec::new();
    for name in found {
        if has_periods(store, &name, &periods::days(store, &name).await?).await? {
            names.push(name);
        }
    }
    Ok(if names.is_empty() { "none".to_owned() } else { names.join(", ") })
}

fn lined_up(batches: Vec<RecordBatch>, rows_max: usize) -> String {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut held_back = rows.saturating_sub(rows_max);
    let skipped = held_back;
    let mut shown = Vec::new();
    for batch in batches {
        let skip = held_back.min(batch.num_rows());
        held_back -= skip;
        shown.push(batch.slice(skip, batch.num_rows() - skip));
    }
    match rows {
        0 => "no rows\n".to_owned(),
        _ => grid::grid(&shown, skipped),
    }
}

fn write_csv(batches: &[RecordBatch], out: &mut impl Write) -> io::Result<()> {
    let Some(first) = batches.first() else { return Ok(()) };
    let schema = first.schema();
    let head: Vec<String> = schema.fields().iter().map(|field| cells::quoted(field.name())).collect();
    write!(out, "{}\r\n", head.join(","))?;
    for batch in batches {
        for row in 0..batch.num_rows() {
            let line: Vec<String> =
                (0..batch.num_columns()).map(|column| cell(batch, column, row).csv()).collect();
            write!(out, "{}\r\n", line.join(","))?;
        }
    }
    Ok(())
}

/// Columns that stand in every table of windows, before its group.
const TIMES: usize = 2;

fn plot(batches: &[RecordBatch], column: Option<&str>) -> Result<String, ShowError> {
    let Some(last) = batches.last() else { return Ok("no rows\n".to_owned()) };
    let schema = last.schema();
    let numbers = || schema.fields().iter().filter(|field| is_number(field.data_type()));
    let name = column.map(str::to_owned).or_else(|| numbers().next().map(|field| field.name().clone()));
    let name = name.unwrap_or_default();
    if !numbers().any(|field| *field.name() == name) {
        let known: Vec<&str> = numbers().map(|field| field.name().as_str()).collect();
        return Err(ShowError::NoColumn { column: name, known: known.join(", ") });
    }
    let at = |batch: &RecordBatch| batch.schema().index_of(&name).ok();
    let is_grouped = last.num_columns() > TIMES && matches!(cell(last, TIMES, 0), Cell::Text(_));
    let (label, shown) = if is_grouped { (TIMES, std::slice::from_ref(last)) } else { (0, batches) };
    let bars = shown.iter().filter_map(|batch| Some((batch, at(batch)?)));
    let bars: Vec<Bar> = bars
        .flat_map(|(batch, column)| (0..batch.num_rows()).map(move |row| bar(batch, row, label, column)))
        .collect();
    let title = match is_grouped {
        true => {
            let bound = |column| cell(last, column, 0).shown();
            format!("{name}, {} to {}", bound(0), bound(1))
        }
        false => name,
    };
    Ok(format!("{title}\n{}", chart::chart(&most(bars, is_grouped))))
}

fn bar(batch: &RecordBatch, row: usize, label: usize, column: usize) -> Bar {
    let value = cell(batch, column, row);
    Bar { label: cell(batch, label, row).shown(), value: value.number(), text: value.shown() }
}

/// Bars of groups that are drawn.
const GROUPS_MAX: usize = 30;

/// Of groups those with the greatest values, ties by name; of times all.
fn most(mut bars: Vec<Bar>, is_grouped: bool) -> Vec<Bar> {
    if is_grouped {
        let value = |bar: &Bar| bar.value.unwrap_or(f64::NEG_INFINITY);
        bars.sort_by(|a, b| value(b).total_cmp(&value(a)).then_with(|| a.label.cmp(&b.label)));
        bars.truncate(GROUPS_MAX);
    }
    bars
}
