//! The command `rebuild`: counts periods again with their late events, which the log has kept, and writes
//! what comes out as a new version of these periods (docs/adr/0008).
//!
//! ```text
//!   log: late rows of the range --> without copies of what was counted (Kafka) --> panes
//!   log: panes of the windows they belong to ------------------------------------> windows
//!                                               those that differ from the newest version --> a new one
//! ```
//! It guarantees that a period is only written when it comes to other rows than its newest version; that
//! nothing that exists is changed; and that two at once come to the same as one after the other. Periods
//! that are not final yet are left alone, and so are events that came too late for the log's definition
//! of a table. It reads Kafka, but neither joins the group nor commits anything.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use parquet::errors::ParquetError;
use rdkafka::error::KafkaError;

use crate::config::Config;
use crate::finalise::FinalWindow;
use crate::log::{Log, LogError};
use crate::micros::Micros;
use crate::notify::{CopiesTold, NotifyError, Place, Teller};
use crate::run::names;
use crate::show::layout::Day;
use crate::show::periods::PeriodsError;
use crate::store::{Store, StoreError};
use crate::tables::{Table, TableFault, Tables};

mod copies;
mod late;
mod publish;
mod recount;

use late::Chain;
use recount::{Late, Recount};

/// What is to be counted again.
#[derive(Debug, Clone)]
pub struct Rebuild {
    /// The tables, by name; at least one.
    pub tables: Vec<String>,
    /// Periods that begin at or after this.
    pub from: Micros,
    /// Periods that begin before this.
    pub to: Micros,
    /// How copies of events that were counted are told from late events.
    pub copies: Copies,
}

/// How copies of events that were counted are told from late events. The log keeps no ids of what was
/// counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// Kafka is asked for all records from when the periods were open.
    AskKafka,
    /// They are not: an event that was on time and came again when it was late is counted twice. For
    /// topics whose records Kafka has deleted, or that have no copies.
    NotLookedFor,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Late events of the range that the log has kept.
    pub late: u64,
    /// Of these, copies of others that count.
    pub copies: u64,
    /// What was written, by table.
    pub tables: Vec<RebuiltTable>,
    /// What became of notifications of new versions.
    pub told: CopiesTold,
}

/// What was written of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RebuiltTable {
    /// The table's name.
    pub table: String,
    /// Periods in a new version.
    pub periods: u64,
    /// Periods that late events or copies belong to, whose newest version has the same rows.
    pub unchanged: u64,
    /// Periods with late events that cannot be counted again: when they were, the table was not there
    /// or was defined otherwise.
    pub incomplete: u64,
    /// The objects written, one a day.
    pub objects: Vec<String>,
}

/// Why nothing was counted again, or not all of it. It can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
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
        "the table {table:?} is an archive of events and has no periods to be counted again; events that came too late \
         for it are late rows of the log"
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
    /// What is there cannot be read.
    #[error("the table cannot be read")]
    Periods(#[from] PeriodsError),
    /// The rows cannot be encoded.
    #[error("cannot encode {object}")]
    Encode {
        /// The object.
        object: String,
        /// Why.
        source: ParquetError,
    },
    /// Another writer's object cannot be read.
    #[error("{object} exists and cannot be read as Parquet")]
    Foreign {
        /// The object.
        object: String,
        /// Why.
        source: ParquetError,
    },
    /// Kafka cannot be read.
    #[error("Kafka cannot be asked for copies of late events")]
    Kafka(#[source] KafkaError),
    /// Kafka did not deliver what it says it has.
    #[error("Kafka did not deliver partition {partition} from offset {offset} on in time; try again")]
    Silent {
        /// The partition.
        partition: i32,
        /// The record that is missing.
        offset: i64,
    },
    /// Kafka does not have all records any more.
    #[error(
        "Kafka has deleted records of partition {partition} before offset {low}, and those from {from} on are needed to \
         tell late events from copies of events that were counted; if the topic has no copies, or they may count \
         twice, ask for --count-copies"
    )]
    Deleted {
        /// The partition.
        partition: i32,
        /// The first record that is needed.
        from: i64,
        /// The first record that is there.
        low: i64,
    },
    /// The system refuses what a runtime needs.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
}

/// Counts periods again. Blocks.
///
/// # Errors
/// When it cannot; days that were written until then stay.
pub fn rebuild(config: &Config, request: &Rebuild) -> Result<Rebuilt, RebuildError> {
    let tables = selected(config, &request.tables)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RebuildError::Runtime)?;
    let store = Store::open(&config.store)?;
    let teller = Teller::new(config)?;
    let log = Log::new(store.clone(), &config.topic);
    let range = request.from..request.to;
    let (through, mut chains) = runtime.block_on(async {
        store.probe(&names::of_probe()).await?;
        late::read(&log, &late::widened(&tables, &range)).await
    })?;
    let kept = count(&chains);
    if request.copies == Copies::AskKafka {
        copies::part(config, &tables, &mut chains)?;
    }
    let late = Late::of(&chains, &tables, config.profile);
    let counted = late.counted();
    let recount = Recount { tables: &tables, range, through };
    let (affected, windows) = runtime.block_on(recount.windows(&log, &chains, late))?;
    let facts = facts_of(config, &chains, counted);
    let mut rebuilt = Rebuilt { late: kept, copies: kept - counted, ..Rebuilt::default() };
    for (i, table) in tables.list().iter().enumerate() {
        let windows: Vec<_> = windows.iter().filter(|window| window.table == i).cloned().collect();
        let incomplete = affected.iter().filter(|(_, table)| *table == i).count() - windows.len();
        let mut of_table = runtime.block_on(publish_table(&store, table, windows, &facts))?;
        of_table.incomplete = incomplete as u64;
        rebuilt.tables.push(of_table);
    }
    let names: Vec<&str> = tables.list().iter().map(|table| table.name.as_str()).collect();
    rebuilt.told = runtime.block_on(teller.tell(&store, Place::Rebuilt, &names))?;
    Ok(rebuilt)
}

fn selected(config: &Config, names: &[String]) -> Result<Tables, RebuildError> {
    let named = |name: &String| {
        let found = config.tables.iter().find(|table| table.name == *name).cloned();
        found.ok_or_else(|| {
            if config.archives.iter().any(|archive| archive.name == *name) {
                return RebuildError::Archive { table: name.clone() };
            }
            let known: Vec<&str> = config.tables.iter().map(|table| table.name.as_str()).collect();
            RebuildError::NoTable { table: name.clone(), known: known.join(", ") }
        })
    };
    let tables = names.iter().map(named).collect::<Result<Vec<Table>, _>>()?;
    Ok(Tables::new(tables, Vec::new())?)
}

fn count(chains: &[Chain]) -> u64 {
    chains.iter().map(|chain| chain.late.len() as u64).sum()
}

/// What the objects' metadata says of how they came about.
fn facts_of(config: &Config, chains: &[Chain], late: u64) -> Vec<(&'static str, String)> {
    let entries: BTreeMap<String, u64> =
        chains.iter().map(|chain| (chain.partition.to_string(), chain.newest)).collect();
    let entries: Vec<String> = entries.iter().map(|(p, seq)| format!("\"{p}\":{seq}")).collect();
    let mut facts = names::facts(config);
    facts.push(("late_events", late.to_string()));
    facts.push(("log_entries", format!("{{{}}}", entries.join(","))));
    facts
}

async fn publish_table(
    store: &Store,
    table: &Table,
    windows: Vec<FinalWindow>,
    facts: &[(&'static str, String)],
) -> Result<RebuiltTable, RebuildError> {
    let mut rebuilt = RebuiltTable { table: table.name.clone(), ..RebuiltTable::default() };
    let mut days: BTreeMap<Day, Vec<FinalWindow>> = BTreeMap::new();
    for window in windows {
        days.entry(Day::of(window.start)).or_default().push(window);
    }
    for (day, windows) in days {
        let all = windows.len() as u64;
        let published = publish::publish(store, table, day, windows, facts).await?;
        rebuilt.periods += published.periods;
        rebuilt.unchanged += all - published.periods;
        rebuilt.objects.extend(published.object);
    }
    Ok(rebuilt)
}

/// A span of event time, from its start to its end, exclusive.
type Span = Range<Micros>;
