//! Final objects as Parquet: encoding a window's rows, naming the object, reading one back, and saying
//! whether two hold the same rows. Bytes are never compared: they carry versions and parameters.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::aggregate::Row;
use crate::finalise::FinalWindow;
use crate::metrics::{Column, Form, Value};
use crate::micros::{self, Micros};
use crate::tables::Table;

/// The folder of a table below the store's root.
pub(crate) const TABLES: &str = "tables";

/// The name of an object below the store's root.
pub(crate) fn object_name(table: &Table, start: Micros) -> String {
    let name = &table.name;
    format!("{TABLES}/{name}/dt={}/{name}-{}.parquet", micros::day(start), micros::compact(start))
}

/// Encodes a window. `facts` become key-value metadata, beside the table's name and window.
pub(crate) fn encode(
    table: &Table,
    window: &FinalWindow,
    facts: &[(&str, String)],
) -> Result<Vec<u8>, ParquetError> {
    let of_table = [
        ("table", table.name.clone()),
        ("window_ms", table.window.as_millis().to_string()),
        ("slide_ms", table.slide.as_millis().to_string()),
    ];
    write(&batch(table, window)?, of_table.iter().chain(facts))
}

/// Writes an object of one batch. `facts` become key-value metadata.
pub(crate) fn write<'a>(
    batch: &RecordBatch,
    facts: impl Iterator<Item = &'a (&'a str, String)>,
) -> Result<Vec<u8>, ParquetError> {
    let fact = |(key, value): &(&str, String)| KeyValue::new(format!("spillway.{key}"), value.clone());
    let facts = facts.map(fact).collect();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(facts))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.close()?;
    Ok(bytes)
}

fn schema(table: &Table) -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![Field::new("window_start", time(), false), Field::new("window_end", time(), false)];
    fields.extend(table.group_by.column().map(|name| Field::new(name, DataType::Utf8, false)));
    let field = |column: Column| Field::new(column.name, data_type(column.form), column.is_nullable);
    fields.extend(table.plan.columns().map(field));
    Arc::new(Schema::new(fields))
}

fn batch(table: &Table, window: &FinalWindow) -> Result<RecordBatch, ArrowError> {
    let rows = &window.rows;
    let time = |t: Micros| {
        Arc::new(TimestampMicrosecondArray::from_value(t, rows.len()).with_timezone("UTC")) as ArrayRef
    };
    let mut columns = vec![time(window.start), time(window.end)];
    if table.group_by.column().is_some() {
        columns.push(Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.group))));
    }
    columns.extend(table.plan.columns().enumerate().map(|(i, column)| array(rows, i, column.form)));
    RecordBatch::try_new(schema(table), columns)
}

fn data_type(form: Form) -> DataType {
    match form {
        Form::Count => DataType::Int64,
        Form::Real => DataType::Float64,
        Form::Flag => DataType::Boolean,
        Form::Text => DataType::Utf8,
    }
}

/// A column; what is not of its form is null, which the schema refuses where it cannot be.
fn array(rows: &[Row], i: usize, form: Form) -> ArrayRef {
    let values = rows.iter().map(|row| row.values.get(i));
    match form {
        Form::Count => Arc::new(Int64Array::from_iter(values.map(|value| match value {
            Some(Value::Count(count)) => Some(i64::try_from(*count).unwrap_or(i64::MAX)),
            _ => None,
        }))),
        Form::Real => Arc::new(Float64Array::from_iter(values.map(|value| match value {
            Some(Value::Real(real)) => *real,
            _ => None,
        }))),
        Form::Flag => Arc::new(BooleanArray::from_iter(values.map(|value| match value {
            Some(Value::Flag(flag)) => Some(*flag),
            _ => None,
        }))),
        Form::Text => Arc::new(StringArray::from_iter(values.map(|value| match value {
            Some(Value::Text(text)) => text.as_deref(),
            _ => None,
        }))),
    }
}

/// Reads an object's rows.
pub(crate) fn decode(object: Bytes) -> Result<Vec<RecordBatch>, ParquetError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(object)?.with_batch_size(8192).build()?;
    Ok(reader.collect::<Result<_, _>>()?)
}

/// How the rows of two objects differ, in words; `None` when they are the same.
pub(crate) fn difference(ours: Bytes, theirs: Bytes) -> Result<Option<String>, ParquetError> {
    let (ours, theirs) = (decode(ours)?, decode(theirs)?);
    let count = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    if count(&ours) != count(&theirs) {
        return Ok(Some(format!("it has {} rows, not {}", count(&theirs), count(&ours))));
    }
    let differs = ours.iter().zip(&theirs).find_map(|(ours, theirs)| batch_difference(ours, theirs));
    Ok(differs)
}

fn batch_difference(ours: &RecordBatch, theirs: &RecordBatch) -> Option<String> {
    let columns = |batch: &RecordBatch| {
        let describe = |field: &Arc<Field>| format!("{} {}", field.name(), field.data_type());
        batch.schema().fields().iter().map(describe).collect::<Vec<_>>().join(", ")
    };
    if columns(ours) != columns(theirs) {
        return Some(format!("its columns are {}, not {}", columns(theirs), columns(ours)));
    }
    let schema = ours.schema();
    let mut pairs = schema.fields().iter().zip(ours.columns().iter().zip(theirs.columns()));
    pairs
        .find(|(_, (ours, theirs))| ours != theirs)
        .map(|(field, _)| format!("its column {} has other values", field.name()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parquet::basic::{LogicalType, Type as Physical};
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;
    use crate::filter::Filter;
    use crate::metrics::{By, KINDS, Kind, Plan};
    use crate::testing::counts;

    fn cities() -> Table {
        let plan = Plan::new(crate::tables::COUNTS[..3].to_vec());
        Table { plan, ..Table::new("city_activity", Duration::from_secs(300), By::Place, Filter::default()) }
    }

    fn window(rows: &[(&str, u64)]) -> FinalWindow {
        let rows = rows
            .iter()
            .map(|(group, n)| Row { group: (*group).to_owned(), values: counts(&[*n, 0, 1]) })
            .collect();
        FinalWindow { table: 0, start: 1_622_507_700_000_000, end: 1_622_508_000_000_000, rows }
    }

    fn object(rows: &[(&str, u64)]) -> Bytes {
        encode(&cities(), &window(rows), &[("topic", "events".to_owned())]).unwrap().into()
    }

    #[test]
    fn an_object_is_named_by_its_window() {
        assert_eq!(
            object_name(&cities(), 1_622_507_700_000_000),
            "tables/city_activity/dt=2021-06-01/city_activity-20210601T003500Z.parquet"
        );
    }

    #[test]
    fn others_see_utc_microseconds_zstd_and_required_columns() {
        let reader = SerializedFileReader::new(object(&[("Oslo", 1), ("Rome", 2)])).unwrap();
        let meta = reader.metadata();
        let columns = meta.file_metadata().schema_descr().columns().to_vec();
        let names: Vec<_> = columns.iter().map(|c| c.name().to_owned()).collect();
        assert_eq!(names, ["window_start", "window_end", "place", "events", "reposts", "referencing"]);
        for time in &columns[..2] {
            assert_eq!(time.physical_type(), Physical::INT64);
            let Some(LogicalType::Timestamp(kind)) = time.logical_type_ref() else { panic!("{time:?}") };
            assert!(kind.is_adjusted_to_u_t_c);
            assert_eq!(kind.unit, parquet::basic::TimeUnit::MICROS);
        }
        assert_eq!(columns[2].logical_type_ref(), Some(&LogicalType::String));
        assert!(columns[3..].iter().all(|c| c.physical_type() == Physical::INT64));
        assert!(columns.iter().all(|c| c.max_def_level() == 0), "no column can be null");
        assert!(meta.row_group(0).columns().iter().all(|c| matches!(c.compression(), Compression::ZSTD(_))));
        let facts = meta.file_metadata().key_value_metadata().unwrap();
        for (key, value) in [("table", "city_activity"), ("window_ms", "300000"), ("topic", "events")] {
            assert!(facts.contains(&KeyValue::new(format!("spillway.{key}"), value.to_owned())), "{facts:?}");
        }
    }

    #[test]
    fn rows_are_compared_and_not_bytes() {
        let same =
            encode(&cities(), &window(&[("Oslo", 1)]), &[("topic", "other".to_owned())]).unwrap().into();
        assert_eq!(difference(object(&[("Oslo", 1)]), same).unwrap(), None);
        assert_eq!(
            difference(object(&[("Oslo", 1)]), object(&[("Oslo", 2)])).unwrap().unwrap(),
            "its column events has other values"
        );
        assert_eq!(difference(object(&[("Oslo", 1)]), object(&[])).unwrap().unwrap(), "it has 0 rows, not 1");
        let narrow = Table { plan: Plan::new(vec![Kind::Events]), ..cities() };
        let narrow_window =
            FinalWindow { rows: vec![Row { group: "Oslo".into(), values: counts(&[1]) }], ..window(&[]) };
        let other = encode(&narrow, &narrow_window, &[]).unwrap().into();
        assert!(difference(object(&[("Oslo", 1)]), other).unwrap().unwrap().starts_with("its columns are"));
        assert!(difference(object(&[]), Bytes::from_static(b"no parquet")).is_err());
    }

    #[test]
    fn every_column_of_every_metric_is_written_and_what_cannot_be_missing_is_not() {
        let plan = Plan::new(KINDS.map(|(_, kind)| kind).to_vec());
        let row = |values| Row { group: "Oslo".into(), values };
        let empty = row(crate::metrics::Metrics::default().values(&plan));
        let table = Table { plan, ..cities() };
        let window = FinalWindow { rows: vec![empty], ..window(&[]) };
        let read = decode(encode(&table, &window, &[]).unwrap().into()).unwrap();
        let columns = table.plan.columns().zip(read[0].columns().iter().skip(3));
        for (column, array) in columns {
            assert_eq!(array.null_count() > 0, column.is_nullable, "{}", column.name);
        }
        assert_eq!(read[0].num_columns(), 3 + 19);
        let short = FinalWindow { rows: vec![row(counts(&[1]))], ..window };
        assert!(encode(&table, &short, &[]).is_err());
    }

    #[test]
    fn many_rows_are_compared_to_the_last() {
        let rows = |last: u64| {
            (0..20_000).map(|i| (String::from("x"), if i == 19_999 { last } else { 1 })).collect::<Vec<_>>()
        };
        let object =
            |rows: &[(String, u64)]| object(&rows.iter().map(|(g, n)| (g.as_str(), *n)).collect::<Vec<_>>());
        assert_eq!(difference(object(&rows(1)), object(&rows(1))).unwrap(), None);
        assert!(difference(object(&rows(1)), object(&rows(2))).unwrap().is_some());
    }
}
