//! One row of a Parquet file: its columns by name, of the documented types and without nulls.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use arrow_array::{Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::time;
use crate::error::Error;

/// The rows of a file.
pub(super) fn batches(path: &Path) -> Result<Vec<RecordBatch>, Error> {
    let file = File::open(path).map_err(|source| Error::Open { path: path.to_owned(), source })?;
    let failed = |source| Error::Parquet { path: path.to_owned(), source };
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build()).map_err(failed)?;
    reader.map(|batch| batch.map_err(|error| failed(error.into()))).collect()
}

/// See the module. Each method says what is wrong with the column.
pub(super) struct Row<'a> {
    pub(super) batch: &'a RecordBatch,
    pub(super) index: usize,
}

impl Row<'_> {
    pub(super) fn count(&self, name: &str) -> Result<i64, String> {
        Ok(self.column::<Int64Array>(name)?.value(self.index))
    }

    pub(super) fn real(&self, name: &str) -> Result<f64, String> {
        Ok(self.column::<Float64Array>(name)?.value(self.index))
    }

    pub(super) fn text(&self, name: &str) -> Result<String, String> {
        Ok(self.column::<StringArray>(name)?.value(self.index).to_owned())
    }

    /// The start of the window, which must be of this length.
    pub(super) fn window(&self, length: Duration) -> Result<i64, String> {
        let [start, end] = ["window_start", "window_end"].map(|name| self.column(name));
        let at = |column: &TimestampMicrosecondArray| column.value(self.index);
        let (start, end) = (at(start?), at(end?));
        let is_long = start.checked_add(i64::try_from(length.as_micros()).unwrap_or(i64::MAX)) == Some(end);
        is_long.then_some(start).ok_or_else(|| format!("the window {} ends at {}", time(start), time(end)))
    }

    /// A column of the documented type, without nulls.
    fn column<T: Array + 'static>(&self, name: &str) -> Result<&T, String> {
        let column = self.batch.column_by_name(name).ok_or_else(|| format!("it has no column {name}"))?;
        if column.null_count() > 0 {
            return Err(format!("its column {name} has nulls"));
        }
        let typed = column.as_any().downcast_ref::<T>();
        typed.ok_or_else(|| format!("its column {name} is of type {}", column.data_type()))
    }
}
