//! Final tables as rows that can be compared and shown: every column, every value.

use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use spillway_consumer::read::read_table;

/// One row: names and values of its columns, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row(Vec<(String, Cell)>);

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Null,
    Number(i64),
    Float(f64),
    Flag(bool),
    Text(String),
}

impl Row {
    /// The value of a column that is a whole number.
    pub(crate) fn number(&self, column: &str) -> i64 {
        match self.0.iter().find(|(name, _)| name == column) {
            Some((_, Cell::Number(number))) => *number,
            other => panic!("{column} is no whole number: {other:?}"),
        }
    }
}

/// All rows of a table, in the order of windows and groups.
pub(crate) fn rows(store: &Path, table: &str) -> Vec<Row> {
    read_table(store, table).unwrap().iter().flat_map(of_batch).collect()
}

fn of_batch(batch: &RecordBatch) -> Vec<Row> {
    let schema = batch.schema();
    let names = schema.fields().iter().map(|field| field.name().clone());
    let columns: Vec<_> = names.zip(batch.columns()).collect();
    let row = |i| Row(columns.iter().map(|(name, column)| (name.clone(), cell(column, i))).collect());
    (0..batch.num_rows()).map(row).collect()
}

fn cell(column: &dyn Array, row: usize) -> Cell {
    if column.is_null(row) {
        return Cell::Null;
    }
    if let Some(text) = column.as_string_opt::<i32>() {
        return Cell::Text(text.value(row).to_owned());
    }
    if let Some(time) = column.as_primitive_opt::<TimestampMicrosecondType>() {
        return Cell::Number(time.value(row));
    }
    if let Some(number) = column.as_primitive_opt::<Int64Type>() {
        return Cell::Number(number.value(row));
    }
    if let Some(number) = column.as_primitive_opt::<Float64Type>() {
        return Cell::Float(number.value(row));
    }
    match column.as_boolean_opt() {
        Some(flag) => Cell::Flag(flag.value(row)),
        None => panic!("a column of another kind: {:?}", column.data_type()),
    }
}

/// Both are the same; shows the first row that is not.
pub(crate) fn assert_equal(table: &str, without: &[Row], with: &[Row]) {
    assert!(!without.is_empty(), "{table} has no rows at all");
    for (i, (one, other)) in without.iter().zip(with).enumerate() {
        assert_eq!(one, other, "row {i} of {table}: without the outage, and with it");
    }
    assert_eq!(without.len(), with.len(), "{table} has another number of rows with the outage");
}
