//! The objects of an archive as Parquet.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{ArrowError, DataType, Field as Column, Schema, TimeUnit};
use parquet::errors::ParquetError;

use super::{Archive, Archived, Field};
use crate::log::Header;
use crate::parquet::write;

/// Encodes the rows of one object. `facts` become key-value metadata.
pub(crate) fn encode(
    archive: &Archive,
    header: &Header,
    rows: &[&Archived],
    facts: &[(&str, String)],
) -> Result<Vec<u8>, ParquetError> {
    let of_table = [
        ("table", archive.name.clone()),
        ("partition", header.partition.to_string()),
        ("entry", header.seq.to_string()),
    ];
    write(&batch(archive, header, rows)?, of_table.iter().chain(facts))
}

fn batch(archive: &Archive, header: &Header, rows: &[&Archived]) -> Result<RecordBatch, ArrowError> {
    let mut columns: Vec<(Column, ArrayRef)> =
        archive.columns.iter().map(|field| column(*field, rows)).collect();
    let n = rows.len();
    let topic = StringArray::from_iter_values(std::iter::repeat_n(&header.topic, n));
    columns.push((Column::new("topic", DataType::Utf8, false), Arc::new(topic)));
    let partition = Int32Array::from_value(header.partition, n);
    columns.push((Column::new("partition", DataType::Int32, false), Arc::new(partition)));
    let offset = Int64Array::from_iter_values(rows.iter().map(|row| row.offset));
    columns.push((Column::new("offset", DataType::Int64, false), Arc::new(offset)));
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

fn column(field: Field, rows: &[&Archived]) -> (Column, ArrayRef) {
    let said = |of: fn(&Archived) -> Option<&String>| {
        let array: StringArray = rows.iter().map(|row| of(row)).collect();
        (Column::new(field.name(), DataType::Utf8, true), Arc::new(array) as ArrayRef)
    };
    let sure = |of: fn(&Archived) -> &String| {
        let array = StringArray::from_iter_values(rows.iter().map(|row| of(row)));
        (Column::new(field.name(), DataType::Utf8, false), Arc::new(array) as ArrayRef)
    };
    match field {
        Field::Id => sure(|row| &row.said.id),
        Field::Kind => sure(|row| &row.said.kind),
        Field::Actor => said(|row| row.said.actor.as_ref()),
        Field::Place => said(|row| row.said.place.as_ref()),
        Field::PlaceType => said(|row| row.said.place_type.as_ref()),
        Field::Lang => said(|row| row.said.lang.as_ref()),
        Field::Text => said(|row| row.said.text.as_ref()),
        Field::CreatedAt => {
            let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.time));
            let form = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
            (Column::new(field.name(), form, false), Arc::new(times.with_timezone("UTC")))
        }
        Field::WordCount => {
            let words = |row: &&Archived| row.said.text.as_deref().map_or(0, words);
            let array = Int64Array::from_iter_values(rows.iter().map(words));
            (Column::new(field.name(), DataType::Int64, false), Arc::new(array))
        }
        Field::Tags => list(field, rows.iter().map(|row| &row.said.tags)),
        Field::Rules => list(field, rows.iter().map(|row| &row.said.rules)),
    }
}

fn words(text: &str) -> i64 {
    i64::try_from(text.split_whitespace().count()).unwrap_or(i64::MAX)
}

fn list<'a>(field: Field, lists: impl Iterator<Item = &'a Vec<String>>) -> (Column, ArrayRef) {
    let item = Arc::new(Column::new("element", DataType::Utf8, false));
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(Arc::clone(&item));
    for list in lists {
        list.iter().for_each(|text| builder.values().append_value(text));
        builder.append(true);
    }
    (Column::new(field.name(), DataType::List(item), false), Arc::new(builder.finish()))
}
