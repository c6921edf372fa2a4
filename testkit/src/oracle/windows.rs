//! The windows by another program: DuckDB reads the raw records of a topic as a batch, a few lines of SQL
//! say what a table is, and its rows are compared with the Parquet that the consumer wrote, row by row.
//! It shares nothing with the consumer, not even the reader of Parquet or the parser of JSON.
//!
//! What is counted follows from the records of each partition in their order:
//!
//! - a record whose event time is more than `future_tolerance` ahead of Kafka's timestamp is quarantined;
//! - an event is late when its partition has before seen one that is later than the end of the event's
//!   pane by `delay` or more;
//! - of the others with the same id, the first counts.
//!
//! An idle partition is closed by time, which records do not tell: a test must not send such a partition
//! events that only that decision would make late.
//!
//! It needs Python; the first call on a machine installs DuckDB (see [`crate::python`]).

#[cfg(test)]
mod tests;

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::python::{self, Venv};

const PACKAGES: [&str; 1] = ["duckdb==2.0.0"];
const PROGRAM: &str = include_str!("windows/judge.py");
const EVENTS: &str = include_str!("windows/events.sql");
const WINDOWED: &str = include_str!("windows/windowed.sql");

/// A record as it stands in the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Kafka's timestamp in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The header `spillway-id`.
    pub id: Option<String>,
    /// Its payload.
    pub value: Vec<u8>,
}

/// Which definition a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Definition {
    /// `events`, `reposts`, `referencing`, `unique_actors` of all events.
    Activity,
    /// The same by `place`, of events at a city.
    CityActivity,
    /// `smiles` by `tag`: the first `top` of each window.
    HappiestHashtags {
        /// How many.
        top: u32,
    },
}

impl Definition {
    fn sql(self) -> &'static str {
        match self {
            Self::Activity => include_str!("windows/activity.sql"),
            Self::CityActivity => include_str!("windows/city_activity.sql"),
            Self::HappiestHashtags { .. } => include_str!("windows/happiest_hashtags.sql"),
        }
    }

    fn top(self) -> u32 {
        if let Self::HappiestHashtags { top } = self { top } else { u32::MAX }
    }
}

/// A table of windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name, which is that of its folder.
    pub name: String,
    /// What is in it.
    pub definition: Definition,
    /// Length of a window.
    pub window: Duration,
    /// From the start of one window to the next; the length when windows do not overlap.
    pub slide: Duration,
}

/// What all tables of a run have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The greatest length that divides all windows and slides.
    pub pane: Duration,
    /// How much later an event may come than one before it.
    pub delay: Duration,
    /// How far ahead of Kafka's timestamp an event may claim to be.
    pub future_tolerance: Duration,
}

/// What the records come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub records: u64,
    /// Events that count.
    pub events: u64,
    /// Events that were counted before.
    pub duplicates: u64,
    /// Events that came too late.
    pub late: u64,
    /// Messages of the upstream about itself.
    pub notices: u64,
    /// Records that cannot be read, and events of the far future.
    pub quarantined: u64,
}

/// How a table differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub name: String,
    /// How many objects it has.
    pub objects: u64,
    /// Rows that it must have.
    pub expected: u64,
    /// Rows that it has.
    pub found: u64,
    /// Expected rows that it does not have.
    pub missing: u64,
    /// Rows that it has and should not have, or has twice.
    pub surplus: u64,
    /// Some of both, as text.
    pub examples: Vec<String>,
}

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What the records come to.
    pub tally: Tally,
    /// For each table.
    pub tables: Vec<Difference>,
}

impl Verdict {
    /// Whether every table has the rows that it must have, each once, and no other.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.tables.iter().all(|table| table.missing == 0 && table.surplus == 0)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { records, events, duplicates, late, notices, quarantined } = self.tally;
        write!(
            f,
            "{records} records: {events} events, {duplicates} duplicates, {late} late, {notices} notices, {quarantined} quarantined"
        )?;
        for Difference { name, objects, expected, found, missing, surplus, examples } in &self.tables {
            write!(
                f,
                "\n{name}: {found} rows in {objects} objects, {expected} expected, {missing} missing, {surplus} surplus"
            )?;
            examples.iter().try_for_each(|example| write!(f, "\n  {example}"))?;
        }
        Ok(())
    }
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Python, DuckDB, or what they were given.
    #[error("DuckDB cannot compare the tables")]
    Python(#[from] python::Error),
    /// A file.
    #[error("cannot write {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The program said something else than a verdict.
    #[error("the comparison said {0:?}")]
    Output(String),
}

/// Compares the tables below `tables_dir` (`<name>/**/*.parquet`) with what the records come to. Files of
/// its own go to `scratch`, which exists.
///
/// # Errors
/// When the comparison could not be made. That tables differ is no error.
pub fn compare(
    records: &[Record],
    rules: &Rules,
    tables: &[Table],
    tables_dir: &Path,
    scratch: &Path,
) -> Result<Verdict, Error> {
    let (dump, job) = (scratch.join("records.ndjson"), scratch.join("job.json"));
    write_dump(records, &dump).map_err(|source| Error::File { path: dump.clone(), source })?;
    let text = describe(rules, tables, &dump, tables_dir).to_string();
    std::fs::write(&job, text).map_err(|source| Error::File { path: job.clone(), source })?;
    let said = Venv::get("duckdb", &PACKAGES)?.run(PROGRAM, &[&job])?;
    let verdict = serde_json::from_slice(&said).ok().and_then(|value| read(&value));
    verdict.ok_or_else(|| Error::Output(String::from_utf8_lossy(&said).into_owned()))
}

fn write_dump(records: &[Record], path: &Path) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    for Record { partition, offset, timestamp_ms, id, value } in records {
        // Bytes that are no text are no JSON either: they stay unreadable as U+FFFD.
        let value = String::from_utf8_lossy(value);
        let line = json!({
            "partition": partition, "offset": offset, "timestamp_ms": timestamp_ms, "id": id, "value": value,
        });
        writeln!(file, "{line}")?;
    }
    file.flush()
}

fn describe(rules: &Rules, tables: &[Table], dump: &Path, tables_dir: &Path) -> Value {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let table = |table: &Table| {
        json!({
            "name": table.name, "sql": table.definition.sql(), "top_n": table.definition.top(),
            "window_us": micros(table.window), "slide_us": micros(table.slide),
        })
    };
    json!({
        "records": dump, "tables_dir": tables_dir, "events_sql": EVENTS, "windowed_sql": WINDOWED,
        "pane_us": micros(rules.pane), "delay_us": micros(rules.delay),
        "future_us": micros(rules.future_tolerance),
        "tables": tables.iter().map(table).collect::<Vec<_>>(),
    })
}

/// `None` when something is missing.
fn read(said: &Value) -> Option<Verdict> {
    let tally = |name: &str| said.get("tally")?.get(name)?.as_u64();
    let tally = Tally {
        records: tally("records")?,
        events: tally("events")?,
        duplicates: tally("duplicates")?,
        late: tally("late")?,
        notices: tally("notices")?,
        quarantined: tally("quarantined")?,
    };
    let table = |table: &Value| {
        let number = |name: &str| table.get(name)?.as_u64();
        let examples = table.get("examples")?.as_array()?.iter();
        Some(Difference {
            name: table.get("name")?.as_str()?.to_owned(),
            objects: number("objects")?,
            expected: number("expected")?,
            found: number("found")?,
            missing: number("missing")?,
            surplus: number("surplus")?,
            examples: examples.map(|row| row.as_str().map(str::to_owned)).collect::<Option<_>>()?,
        })
    };
    let tables = said.get("tables")?.as_array()?.iter().map(table).collect::<Option<_>>()?;
    Some(Verdict { tally, tables })
}
