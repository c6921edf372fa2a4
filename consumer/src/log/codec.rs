//! Entries as Parquet, so that late rows can be queried where they lie.
//!
//! One row for each group of a table in a pane (`what` is `pane`), one for each kept record (`what` is its
//! reason), and one for each event of an archive (`what` is `event`). Columns that do not apply are null or empty. The header is JSON in the key-value
//! metadata under `spillway.entry`; beside it stands the SHA-256 of header and rows, which is how an
//! entry is told from another one at the same place: bytes carry versions, and are never compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use sha2::{Digest, Sha256};

use super::entry::{Entry, Header, Kept, Reason};
use crate::aggregate::Partial;
use crate::archive::Archived;
use crate::metrics::Metrics;
use crate::micros::Micros;

const ENTRY_KEY: &str = "spillway.entry";
const HASH_KEY: &str = "spillway.content_hash";
const PANE: &str = "pane";
const EVENT: &str = "event";

/// Why an entry cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Not Parquet, or it cannot be made.
    #[error("not Parquet")]
    Parquet(#[from] ParquetError),
    /// The columns do not fit together.
    #[error("the columns are not those of an entry")]
    Arrow(#[from] ArrowError),
    /// The header or an aggregate is not the JSON it should be.
    #[error("{what} is not the JSON it should be")]
    Json {
        /// Which of them.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// Something that every entry has is not there.
    #[error("{what} is missing or unknown")]
    Missing {
        /// What.
        what: &'static str,
    },
    /// The content is not what was written.
    #[error("the content hash says {said}, the content is {is}: the object is damaged")]
    Damaged {
        /// As written.
        said: String,
        /// As read.
        is: String,
    },
}

/// An entry as it goes to the store.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    pub(crate) bytes: Bytes,
    /// Of header and rows.
    pub(crate) hash: String,
}

/// An entry as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Decoded {
    pub(crate) entry: Entry,
    pub(crate) hash: String,
}

#[derive(Debug, Default)]
struct Row {
    what: String,
    time: Option<Micros>,
    table: String,
    group: String,
    state: String,
    offset: Option<i64>,
    kafka_time: Option<Micros>,
    id: Option<Vec<u8>>,
    detail: String,
    value: Option<Vec<u8>>,
}

pub(crate) fn encode(entry: &Entry) -> Result<Encoded, CodecError> {
    let header = json("the header", &entry.header)?;
    let rows = rows(entry)?;
    let hash = hash(&header, &rows);
    let facts = vec![KeyValue::new(ENTRY_KEY.into(), header), KeyValue::new(HASH_KEY.into(), hash.clone())];
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(facts))
        .build();
    let batch = batch(&rows)?;
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(Encoded { bytes: bytes.into(), hash })
}

/// Reads an entry and makes sure that it is what was written.
pub(crate) fn decode(object: Bytes) -> Result<Decoded, CodecError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(object)?.with_batch_size(8192);
    let facts = builder.metadata().file_metadata().key_value_metadata();
    let fact = |key: &'static str| {
        let found = facts.into_iter().flatten().find(|fact| fact.key == key);
        found.and_then(|fact| fact.value.clone()).ok_or(CodecError::Missing { what: key })
    };
    let (text, said) = (fact(ENTRY_KEY)?, fact(HASH_KEY)?);
    let mut rows = Vec::new();
    for batch in builder.build()? {
        read_rows(&batch?, &mut rows)?;
    }
    let is = hash(&text, &rows);
    if is != said {
        return Err(CodecError::Damaged { said, is });
    }
    let header =
        serde_json::from_str(&text).map_err(|source| CodecError::Json { what: "the header", source })?;
    Ok(Decoded { entry: entry(header, rows)?, hash: is })
}

fn json<T: serde::Serialize>(what: &'static str, value: &T) -> Result<String, CodecError> {
    serde_json::to_string(value).map_err(|source| CodecError::Json { what, source })
}

fn rows(entry: &Entry) -> Result<Vec<Row>, CodecError> {
    let mut rows = Vec::new();
    for (start, partials) in &entry.panes {
        for (mark, partial) in entry.header.tables.iter().zip(partials) {
            for (group, metrics) in partial.sorted() {
                rows.push(Row {
                    what: PANE.into(),
                    time: Some(*start),
                    table: mark.name.clone(),
                    group: group.to_owned(),
                    state: json("an aggregate", metrics)?,
                    ..Row::default()
                });
            }
        }
    }
    rows.extend(entry.kept.iter().map(|kept| Row {
        what: kept.reason.name().into(),
        time: kept.time,
        offset: Some(kept.offset),
        kafka_time: Some(kept.timestamp),
        id: kept.id.clone(),
        detail: kept.detail.clone(),
        value: Some(kept.value.clone()),
        ..Row::default()
    }));
    for archived in &entry.archived {
        rows.push(Row {
            what: EVENT.into(),
            time: Some(archived.time),
            table: archived.table.clone(),
            group: archived.group.clone(),
            state: json("an archived event", &archived.said)?,
            offset: Some(archived.offset),
            kafka_time: Some(archived.timestamp),
            ..Row::default()
        });
    }
    Ok(rows)
}

fn entry(header: Header, rows: Vec<Row>) -> Result<Entry, CodecError> {
    let (mut panes, mut kept, mut archived) = (BTreeMap::new(), Vec::new(), Vec::new());
    for row in rows {
        if let Some(reason) = Reason::named(&row.what) {
            kept.push(kept_of(reason, row)?);
            continue;
        }
        if row.what == EVENT {
            archived.push(archived_of(row)?);
            continue;
        }
        let table = header.tables.iter().position(|mark| mark.name == row.table);
        let (Some(table), Some(start), PANE) = (table, row.time, row.what.as_str()) else {
            return Err(CodecError::Missing { what: "the table or the time of a row" });
        };
        let metrics: Metrics = serde_json::from_str(&row.state)
            .map_err(|source| CodecError::Json { what: "an aggregate", source })?;
        let empty = || vec![Partial::default(); header.tables.len()];
        panes.entry(start).or_insert_with(empty)[table].put(&row.group, metrics);
    }
    Ok(Entry { header, panes, kept, archived })
}

fn kept_of(reason: Reason, row: Row) -> Result<Kept, CodecError> {
    let (Some(offset), Some(timestamp), Some(value)) = (row.offset, row.kafka_time, row.value) else {
        return Err(CodecError::Missing { what: "the offset, the time or the value of a kept record" });
    };
    let Row { time, id, detail, .. } = row;
    Ok(Kept { reason, offset, timestamp, time, id, detail, value })
}

fn archived_of(row: Row) -> Result<Archived, CodecError> {
    let (Some(time), Some(offset), Some(timestamp)) = (row.time, row.offset, row.kafka_time) else {
        return Err(CodecError::Missing { what: "the offset or a time of an archived event" });
    };
    let said = serde_json::from_str(&row.state)
        .map_err(|source| CodecError::Json { what: "an archived event", source })?;
    let Row { table, group, .. } = row;
    Ok(Archived { table, group, offset, timestamp, time, said })
}

/// Of every field with its length, so that no two contents run into the same bytes.
fn hash(header: &str, rows: &[Row]) -> String {
    let mut sha = Sha256::new();
    let mut feed = |field: Option<&[u8]>| {
        sha.update(field.map_or(u64::MAX, |bytes| bytes.len() as u64).to_le_bytes());
        sha.update(field.unwrap_or_default());
    };
    feed(Some(header.as_bytes()));
    for row in rows {
        for text in [&row.what, &row.table, &row.group, &row.state, &row.detail] {
            feed(Some(text.as_bytes()));
        }
        for number in [row.time, row.offset, row.kafka_time] {
            feed(number.map(i64::to_le_bytes).as_ref().map(<[u8; 8]>::as_slice));
        }
        feed(row.id.as_deref());
        feed(row.value.as_deref());
    }
    sha.finalize().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn batch(rows: &[Row]) -> Result<RecordBatch, ArrowError> {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let times = |of: fn(&Row) -> Option<Micros>| {
        Arc::new(TimestampMicrosecondArray::from_iter(rows.iter().map(of)).with_timezone("UTC")) as ArrayRef
    };
    let texts =
        |of: fn(&Row) -> &str| Arc::new(StringArray::from_iter_values(rows.iter().map(of))) as ArrayRef;
    let blobs =
        |of: fn(&Row) -> Option<&[u8]>| Arc::new(rows.iter().map(of).collect::<BinaryArray>()) as ArrayRef;
    let columns: Vec<(Field, ArrayRef)> = vec![
        (Field::new("what", DataType::Utf8, false), texts(|row| &row.what)),
        (Field::new("time", time(), true), times(|row| row.time)),
        (Field::new("table", DataType::Utf8, false), texts(|row| &row.table)),
        (Field::new("group", DataType::Utf8, false), texts(|row| &row.group)),
        (Field::new("state", DataType::Utf8, false), texts(|row| &row.state)),
        (
            Field::new("offset", DataType::Int64, true),
            Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.offset))),
        ),
        (Field::new("kafka_time", time(), true), times(|row| row.kafka_time)),
        (Field::new("id", DataType::Binary, true), blobs(|row| row.id.as_deref())),
        (Field::new("reason", DataType::Utf8, false), texts(|row| &row.detail)),
        (Field::new("value", DataType::Binary, true), blobs(|row| row.value.as_deref())),
    ];
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

fn read_rows(batch: &RecordBatch, rows: &mut Vec<Row>) -> Result<(), CodecError> {
    let column = |name: &'static str| batch.column_by_name(name).ok_or(CodecError::Missing { what: name });
    let text =
        |name: &'static str| column(name)?.as_string_opt::<i32>().ok_or(CodecError::Missing { what: name });
    let time = |name: &'static str| {
        let array = column(name)?.as_primitive_opt::<TimestampMicrosecondType>();
        array.ok_or(CodecError::Missing { what: name })
    };
    let blob =
        |name: &'static str| column(name)?.as_binary_opt::<i32>().ok_or(CodecError::Missing { what: name });
    let (what, table, group) = (text("what")?, text("table")?, text("group")?);
    let (state, detail, times) = (text("state")?, text("reason")?, time("time")?);
    let (kafka_times, ids, values) = (time("kafka_time")?, blob("id")?, blob("value")?);
    let offsets =
        column("offset")?.as_primitive_opt::<Int64Type>().ok_or(CodecError::Missing { what: "offset" })?;
    rows.extend((0..batch.num_rows()).map(|i| Row {
        what: what.value(i).to_owned(),
        time: times.is_valid(i).then(|| times.value(i)),
        table: table.value(i).to_owned(),
        group: group.value(i).to_owned(),
        state: state.value(i).to_owned(),
        offset: offsets.is_valid(i).then(|| offsets.value(i)),
        kafka_time: kafka_times.is_valid(i).then(|| kafka_times.value(i)),
        id: ids.is_valid(i).then(|| ids.value(i).to_vec()),
        detail: detail.value(i).to_owned(),
        value: values.is_valid(i).then(|| values.value(i).to_vec()),
    }));
    Ok(())
}
