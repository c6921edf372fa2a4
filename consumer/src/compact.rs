//! The command `compact`: puts the final objects of each day that is over together into one object, under a
//! prefix of its own (docs/adr/0008).
//!
//! It guarantees that such an object holds the rows of all final objects of its day, in their order, and
//! nothing else: since none of them ever changes and none is added to a day that is over, the object is
//! created once and never changed either. What was rebuilt is not in it. Nothing is removed.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use parquet::errors::ParquetError;

use crate::config::Config;
use crate::finaliser::{FinaliseError, Finaliser, Step};
use crate::log::{Log, LogError};
use crate::micros::{self, Micros};
use crate::notify::{CopiesTold, NotifyError, Place, Teller};
use crate::parquet as object;
use crate::parquet::TABLES;
use crate::run::names;
use crate::show::layout::{COMPACT, Day};
use crate::show::periods::{self, PeriodsError, Rows};
use crate::sink::TableSink;
use crate::store::{Created, Objects, Store, StoreError};
use crate::tables::{Table, TableFault, Tables};
use crate::writer::WriteError;

/// Objects that are fetched at once.
const PARALLEL: usize = 8;

/// What is to be put together.
#[derive(Debug, Clone, Default)]
pub struct Compact {
    /// The tables, by name; all without one.
    pub tables: Vec<String>,
    /// Only days that begin at or after the first and before the second moment.
    pub days: Option<(Micros, Micros)>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Windows that end at or before this are final.
    pub through: Option<Micros>,
    /// What was written.
    pub days: Vec<CompactedDay>,
    /// Days that had been put together before.
    pub found: u64,
    /// Days that are not over.
    pub open: u64,
    /// What became of notifications of days that were put together.
    pub told: CopiesTold,
}

/// A day that was put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactedDay {
    /// The object that was written.
    pub object: String,
    /// How many objects it stands for.
    pub objects: u64,
    /// How many rows they have.
    pub rows: u64,
}

/// Why a day was not put together. It can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// The tables cannot be kept.
    #[error("the tables are not valid")]
    Tables(#[from] TableFault),
    /// The configuration has no such table.
    #[error("the configuration has no table of windows {table:?}; it has {known}")]
    NoTable {
        /// The table that was asked for.
        table: String,
        /// Those that are there.
        known: String,
    },
    /// The table holds events.
    #[error(
        "the table {table:?} is an archive of events, and its days are not put together: a day of events may be larger \
         than memory, and in several objects it would not appear at once"
    )]
    Archive {
        /// The table that was asked for.
        table: String,
    },
    /// Nobody can be told of what would be written.
    #[error("the settings of notifications cannot be used")]
    Notify(#[from] NotifyError),
    /// The store failed.
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    /// The log cannot be read.
    #[error("the log in the store cannot be used")]
    Log(#[from] LogError),
    /// Windows that were to be final are not there and cannot be written.
    #[error("a window cannot be made final")]
    Write(#[from] WriteError),
    /// An object cannot be read.
    #[error("the table cannot be read")]
    Periods(#[from] PeriodsError),
    /// The rows cannot be put together or compared.
    #[error("cannot make {object}")]
    Encode {
        /// The object.
        object: String,
        /// Why.
        source: ParquetError,
    },
    /// The object that exists holds other rows.
    #[error("{object} exists with other content: {difference}; an object of the day was changed or removed")]
    Differs {
        /// The object.
        object: String,
        /// How it differs.
        difference: String,
    },
    /// The system refuses what a runtime needs.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
}

/// Puts days together. Blocks.
///
/// # Errors
/// When it cannot; days that were written until then stay.
pub fn compact(config: &Config, request: &Compact) -> Result<Compacted, CompactError> {
    let all = Tables::new(config.tables.clone(), config.archives.clone())?;
    let selected = select(&all, &request.tables)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CompactError::Runtime)?;
    let store = Store::open(&config.store)?;
    let teller = Teller::new(config)?;
    runtime.block_on(async {
        store.probe(&names::of_probe()).await?;
        let sink = TableSink::new(store.clone(), &all, names::facts(config));
        let through = final_through(Log::new(store.clone(), &config.topic), &all, &sink).await?;
        let mut compacted = Compacted { through, ..Compacted::default() };
        for table in &selected {
            let facts = names::facts(config);
            let work = Work { store: &store, table, through, facts: &facts };
            work.each_day(request.days, &mut compacted).await?;
        }
        let names: Vec<&str> = selected.iter().map(|table| table.name.as_str()).collect();
        compacted.told = teller.tell(&store, Place::Compact, &names).await?;
        Ok(compacted)
    })
}

fn select<'a>(all: &'a Tables, names: &[String]) -> Result<Vec<&'a Table>, CompactError> {
    let tables = all.list();
    if names.is_empty() {
        return Ok(tables.iter().collect());
    }
    let named = |name: &String| {
        tables.iter().find(|table| table.name == *name).ok_or_else(|| {
            if all.archives().iter().any(|archive| archive.name == *name) {
                return CompactError::Archive { table: name.clone() };
            }
            let known: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
            CompactError::NoTable { table: name.clone(), known: known.join(", ") }
        })
    };
    names.iter().map(named).collect()
}

/// How far all windows are in final objects. The newest proposal may have been carried out only in part, by a
/// member that died: then it is carried out here, as any member would.
async fn final_through(
    log: Log<Store>,
    tables: &Tables,
    sink: &TableSink,
) -> Result<Option<Micros>, CompactError> {
    let mut finaliser = Finaliser::open(log, tables.clone()).await?;
    let Some(newest) = finaliser.newest().cloned() else { return Ok(None) };
    match finaliser.step(0, sink).await {
        Ok(Step::Final { through, .. }) => Ok(Some(through)),
        Ok(Step::Waiting | Step::Proposed) => Ok(newest.from),
        Err(FinaliseError::Log(error)) => Err(error.into()),
        Err(FinaliseError::Write(error)) => Err(error.into()),
    }
}

struct Work<'a> {
    store: &'a Store,
    table: &'a Table,
    through: Option<Micros>,
    facts: &'a [(&'static str, String)],
}

impl Work<'_> {
    async fn each_day(
        &self,
        within: Option<(Micros, Micros)>,
        compacted: &mut Compacted,
    ) -> Result<(), CompactError> {
        let within: Range<Micros> = within.map_or(Micros::MIN..Micros::MAX, |(from, to)| from..to);
        let folders = self.store.folders(&format!("{TABLES}/{}", self.table.name)).await?;
        let mut days: Vec<Day> = folders.iter().filter_map(|name| Day::named(name)).collect();
        days.sort();
        for day in days.into_iter().filter(|day| within.contains(&day.start())) {
            if !self.is_over(day) {
                compacted.open += 1;
            } else if self.is_there(day).await? {
                compacted.found += 1;
            } else {
                match self.put_together(day).await? {
                    Some(done) => compacted.days.push(done),
                    None => compacted.found += 1,
                }
            }
        }
        Ok(())
    }

    /// Whether every window that begins on the day is final.
    fn is_over(&self, day: Day) -> bool {
        let last = micros::floor(day.end().saturating_sub(1), self.table.step());
        self.through >= Some(last.saturating_add(self.table.width()))
    }

    async fn is_there(&self, day: Day) -> Result<bool, CompactError> {
        let name = &self.table.name;
        Ok(self.store.list(&day.folder(COMPACT, name), None).await?.contains(&day.compact(name)))
    }

    /// `None` when another one has done it meanwhile.
    async fn put_together(&self, day: Day) -> Result<Option<CompactedDay>, CompactError> {
        let name = day.compact(&self.table.name);
        let objects = periods::final_objects(self.store, &self.table.name, day).await?;
        let count = objects.len() as u64;
        let (content, rows) = self.merged(&name, objects).await?;
        loop {
            if self.store.create(&name, content.clone()).await? == Created::Yes {
                return Ok(Some(CompactedDay { object: name, objects: count, rows }));
            }
            if let Some(theirs) = self.store.get(&name).await? {
                return match object::difference(content, theirs) {
                    Ok(None) => Ok(None),
                    Ok(Some(difference)) => Err(CompactError::Differs { object: name, difference }),
                    Err(source) => Err(CompactError::Encode { object: name, source }),
                };
            }
            // S3 says so while another request for the object is under way, which may yet fail.
            tokio::time::sleep(CONTENTION_PAUSE).await;
        }
    }

    /// The rows of the objects as one, and how many they are. One object after the other is held in memory.
    async fn merged(
        &self,
        name: &str,
        objects: BTreeMap<Micros, String>,
    ) -> Result<(bytes::Bytes, u64), CompactError> {
        let encode = |source| CompactError::Encode { object: name.to_owned(), source };
        let of_table = object::facts_of(self.table);
        let said = [("compacted_objects", objects.len().to_string())];
        let facts = of_table.iter().chain(&said).chain(self.facts);
        let mut writer = object::writer(object::schema(self.table), facts).map_err(encode)?;
        let read = |object| periods::read(self.store, object);
        let mut all = stream::iter(objects.into_values()).map(read).buffered(PARALLEL);
        let mut rows = 0;
        while let Some(Rows { batch, .. }) = all.try_next().await? {
            rows += batch.num_rows() as u64;
            writer.write(&batch).map_err(encode)?;
        }
        Ok((writer.into_inner().map_err(encode)?.into(), rows))
    }
}

const CONTENTION_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
