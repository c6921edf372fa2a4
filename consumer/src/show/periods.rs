//! The periods of a table as a reader should see them: each once, in its newest version, from whichever of
//! the three places it lies in (docs/adr/0008).
//!
//! A day comes from its compacted object when there is one, else from its final objects, never from both;
//! then every period that was rebuilt is replaced by its greatest version. The store is only read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use super::layout::{COMPACT, Day, PLACES, REBUILT, period_of, version_of};
use crate::micros::Micros;
use crate::parquet::TABLES;
use crate::store::{Objects, StoreError};

/// The column that says how often a period has been counted again.
pub(crate) const VERSION: &str = "version";

/// Objects that are fetched at once.
const PARALLEL: usize = 8;

/// Why a table cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PeriodsError {
    /// The store failed.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    /// An object is no Parquet.
    #[error("{object} cannot be read as Parquet")]
    Parquet {
        /// The object.
        object: String,
        /// Why.
        source: ParquetError,
    },
    /// An object is not one of a table of windows.
    #[error("{object} has no column window_start of times that are never null; it is no table of windows")]
    Columns {
        /// The object.
        object: String,
    },
    /// An object was listed, and could not be read after that.
    #[error("{object} is gone; somebody removes objects of this table")]
    Gone {
        /// The object.
        object: String,
    },
}

/// A period in one version.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Period {
    /// 0 as it became final.
    pub(crate) version: u64,
    /// Its rows, without the column of the version.
    pub(crate) rows: RecordBatch,
}

/// By the periods' starts.
pub(crate) type Periods = BTreeMap<Micros, Period>;

/// What lies below the folders of a day.
#[derive(Debug, Default)]
struct Listed {
    /// Final objects, by the periods' starts.
    small: BTreeMap<Micros, String>,
    compact: Option<String>,
    /// By versions.
    rebuilt: BTreeMap<u64, String>,
}

/// The days that a table has periods of.
pub(crate) async fn days(store: &impl Objects, table: &str) -> Result<BTreeSet<Day>, PeriodsError> {
    let mut days = BTreeSet::new();
    for place in PLACES {
        let folders = store.folders(&format!("{place}/{table}")).await?;
        days.extend(folders.iter().filter_map(|name| Day::named(name)));
    }
    Ok(days)
}

/// The periods of `day` that begin within `range`.
pub(crate) async fn of_day(
    store: &impl Objects,
    table: &str,
    day: Day,
    range: &Range<Micros>,
) -> Result<Periods, PeriodsError> {
    let listed = list(store, table, day).await?;
    let objects: Vec<String> = match listed.compact {
        Some(compact) => vec![compact],
        None => listed.small.range(range.clone()).map(|(_, object)| object.clone()).collect(),
    };
    let mut periods = Periods::new();
    for rows in read_all(store, objects).await? {
        take(&mut periods, 0, &rows, range);
    }
    let versions: Vec<u64> = listed.rebuilt.keys().copied().collect();
    let rebuilt = read_all(store, listed.rebuilt.into_values().collect()).await?;
    for (version, rows) in versions.into_iter().zip(rebuilt) {
        take(&mut periods, version, &rows, range);
    }
    Ok(periods)
}

/// The greatest version that a day has; 0 when nothing of it was rebuilt.
pub(crate) async fn newest_version(store: &impl Objects, table: &str, day: Day) -> Result<u64, PeriodsError> {
    let names = store.list(&day.folder(REBUILT, table), None).await?;
    Ok(names.iter().filter_map(|name| version_of(name, table)).max().unwrap_or(0))
}

/// The final objects of a day, in the order of their periods, by the periods' starts.
pub(crate) async fn final_objects(
    store: &impl Objects,
    table: &str,
    day: Day,
) -> Result<BTreeMap<Micros, String>, PeriodsError> {
    let names = store.list(&day.folder(TABLES, table), None).await?;
    Ok(names.into_iter().filter_map(|name| Some((period_of(&name, table)?, name))).collect())
}

async fn list(store: &impl Objects, table: &str, day: Day) -> Result<Listed, PeriodsError> {
    let rebuilt = store.list(&day.folder(REBUILT, table), None).await?;
    let rebuilt = rebuilt.into_iter().filter_map(|name| Some((version_of(&name, table)?, name))).collect();
    let compact = day.compact(table);
    let is_compact = store.list(&day.folder(COMPACT, table), None).await?.contains(&compact);
    if is_compact {
        return Ok(Listed { compact: Some(compact), rebuilt, small: BTreeMap::new() });
    }
    Ok(Listed { small: final_objects(store, table, day).await?, compact: None, rebuilt })
}

/// The rows of objects, in their order.
async fn read_all(store: &impl Objects, objects: Vec<String>) -> Result<Vec<Rows>, PeriodsError> {
    stream::iter(objects).map(|object| read(store, object)).buffered(PARALLEL).try_collect().await
}

/// The rows of an object of windows, as it was found.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) batch: RecordBatch,
    /// The start of each row's period.
    starts: Vec<Micros>,
}

/// Reads an object of windows.
pub(crate) async fn read(store: &impl Objects, object: String) -> Result<Rows, PeriodsError> {
    let Some(bytes) = store.get(&object).await? else { return Err(PeriodsError::Gone { object }) };
    let batch = match decode(bytes) {
        Ok(batch) => batch,
        Err(source) => return Err(PeriodsError::Parquet { object, source }),
    };
    let starts = batch.column_by_name("window_start");
    let starts = starts.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    match starts.filter(|starts| starts.null_count() == 0).map(|starts| starts.values().to_vec()) {
        Some(starts) => Ok(Rows { batch, starts }),
        None => Err(PeriodsError::Columns { object }),
    }
}

/// All rows of an object as one batch.
fn decode(object: Bytes) -> Result<RecordBatch, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(object)?;
    let rows = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(usize::MAX);
    let schema = builder.schema().clone();
    let mut reader = builder.with_batch_size(rows.max(1)).build()?;
    match reader.next() {
        Some(batch) => Ok(batch?),
        None => Ok(RecordBatch::new_empty(schema)),
    }
}

/// Takes the periods of an object in, in place of those that are there. The rows of a period stand
/// together.
fn take(periods: &mut Periods, version: u64, rows: &Rows, range: &Range<Micros>) {
    let batch = without_version(&rows.batch);
    let mut at = 0;
    for run in rows.starts.chunk_by(|a, b| a == b) {
        if range.contains(&run[0]) {
            periods.insert(run[0], Period { version, rows: batch.slice(at, run.len()) });
        }
        at += run.len();
    }
}

fn without_version(batch: &RecordBatch) -> RecordBatch {
    let mut batch = batch.clone();
    if let Ok(at) = batch.schema().index_of(VERSION) {
        batch.remove_column(at);
    }
    batch
}
