//! The versions of a day are a chain, as the log is: the next one is created once, and whoever finds its place
//! taken looks again at what there is.

use std::sync::Arc;
use std::time::Duration;

use ::parquet::errors::ParquetError;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;

use super::RebuildError;
use crate::finalise::FinalWindow;
use crate::parquet;
use crate::show::layout::Day;
use crate::show::periods::{self, VERSION};
use crate::store::{Created, Objects};
use crate::tables::Table;

/// What was written of a day.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Published {
    /// Periods in a new version.
    pub(super) periods: u64,
    pub(super) object: Option<String>,
}

/// What S3 needs to settle two requests for one object.
const CONTENTION_PAUSE: Duration = Duration::from_millis(100);

/// Writes the windows, all of `day`, that differ from their newest version, as the next version.
pub(super) async fn publish(
    store: &impl Objects,
    table: &Table,
    day: Day,
    windows: Vec<FinalWindow>,
    facts: &[(&'static str, String)],
) -> Result<Published, RebuildError> {
    loop {
        let newest = periods::newest_version(store, &table.name, day).await?;
        let current = periods::of_day(store, &table.name, day, &(day.start()..day.end())).await?;
        let object = day.rebuilt(&table.name, newest + 1);
        let encode = |source| RebuildError::Encode { object: object.clone(), source };
        let mut changed = Vec::new();
        for window in &windows {
            let rows = parquet::batch(table, window).map_err(|source| encode(source.into()))?;
            let is_same = |period: &periods::Period| parquet::batch_difference(&rows, &period.rows).is_none();
            if !current.get(&window.start).is_some_and(is_same) {
                changed.push(rows);
            }
        }
        if changed.is_empty() {
            return Ok(Published::default());
        }
        let periods = changed.len() as u64;
        let content = versioned(table, &changed, newest + 1, facts).map_err(encode)?;
        if create(store, &object, content).await? {
            return Ok(Published { periods, object: Some(object) });
        }
    }
}

/// Creates an object. `false`: another one is there.
async fn create(store: &impl Objects, object: &str, content: Bytes) -> Result<bool, RebuildError> {
    if store.create(object, content.clone()).await? == Created::Yes {
        return Ok(true);
    }
    let Some(theirs) = store.get(object).await? else {
        tokio::time::sleep(CONTENTION_PAUSE).await;
        return Ok(false);
    };
    let difference = parquet::difference(content, theirs);
    let difference =
        difference.map_err(|source| RebuildError::Foreign { object: object.to_owned(), source })?;
    Ok(difference.is_none())
}

fn versioned(
    table: &Table,
    batches: &[RecordBatch],
    version: u64,
    facts: &[(&'static str, String)],
) -> Result<Bytes, ParquetError> {
    let said = [("rebuilt_version", version.to_string())];
    let of_table = parquet::facts_of(table);
    let facts = of_table.iter().chain(&said).chain(facts);
    let batches = batches.iter().map(|batch| with_version(batch, version)).collect::<Result<Vec<_>, _>>()?;
    let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    let mut writer = parquet::writer(schema, facts)?;
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    Ok(writer.into_inner()?.into())
}

/// The rows with the column that rebuilt periods have besides the table's own.
fn with_version(batch: &RecordBatch, version: u64) -> Result<RecordBatch, ParquetError> {
    let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(VERSION, DataType::Int64, false)));
    let mut columns = batch.columns().to_vec();
    let version = i64::try_from(version).unwrap_or(i64::MAX);
    columns.push(Arc::new(Int64Array::from_value(version, batch.num_rows())) as ArrayRef);
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    Ok(RecordBatch::try_new(schema, columns)?)
}
