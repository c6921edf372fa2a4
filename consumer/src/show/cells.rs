//! Values of a table as text: for a terminal, and exactly, for CSV. No I/O, no clock.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;

use crate::micros;

/// A value of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell<'a> {
    /// There is none.
    Null,
    Count(i64),
    Real(f64),
    Flag(bool),
    Time(micros::Micros),
    Text(&'a str),
    /// Of a type that tables of windows do not have.
    Other,
}

/// The value in column `column` of row `row`; both must be there.
pub(crate) fn cell(batch: &RecordBatch, column: usize, row: usize) -> Cell<'_> {
    let array = batch.column(column);
    if array.is_null(row) {
        return Cell::Null;
    }
    match array.data_type() {
        DataType::Int64 => Cell::Count(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Cell::Real(array.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => Cell::Flag(array.as_boolean().value(row)),
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row)),
        _ => match array.as_primitive_opt::<TimestampMicrosecondType>() {
            Some(times) => Cell::Time(times.value(row)),
            None => Cell::Other,
        },
    }
}

/// Whether a column's values are numbers.
pub(crate) fn is_number(form: &DataType) -> bool {
    matches!(form, DataType::Int64 | DataType::Float64)
}

impl Cell<'_> {
    /// Its number, if it is one.
    #[expect(clippy::cast_precision_loss, reason = "a bar's length needs less than 53 bits")]
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Count(count) => Some(*count as f64),
            Self::Real(real) => Some(*real),
            _ => None,
        }
    }

    /// For people. Nothing that a terminal would obey is left in it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Null => "-".to_owned(),
            Self::Count(count) => with_commas(*count),
            Self::Real(real) => format!("{real:.4}"),
            Self::Flag(flag) => flag.to_string(),
            Self::Time(time) => micros::show(*time),
            Self::Text(text) => harmless(text),
            Self::Other => "?".to_owned(),
        }
    }

    /// For other programs: nothing is lost.
    pub(crate) fn csv(&self) -> String {
        match self {
            Self::Null | Self::Other => String::new(),
            Self::Count(count) => count.to_string(),
            Self::Real(real) => real.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Time(time) => micros::show(*time),
            Self::Text(text) => quoted(text),
        }
    }
}

/// A number with thousands separated.
pub(crate) fn with_commas(count: i64) -> String {
    let sign = if count < 0 { "-" } else { "" };
    format!("{sign}{}", spillway_service::units::show_count(count.unsigned_abs()))
}

/// Text as a field of CSV, by RFC 4180. The empty text is quoted: it is not the same as no value.
pub(crate) fn quoted(text: &str) -> String {
    if !text.is_empty() && !text.contains([',', '"', '\r', '\n']) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Text from anywhere in the world must not move the cursor or turn the writing round: control
/// characters and those that change the direction become spaces.
fn harmless(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || turns(c) { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_to_people_and_given_to_programs() {
        let cells = [
            (Cell::Null, "-", ""),
            (Cell::Count(-1_234_567), "-1,234,567", "-1234567"),
            (Cell::Real(0.1 + 0.2), "0.3000", "0.30000000000000004"),
            (Cell::Flag(true), "true", "true"),
            (Cell::Time(1_622_507_700_000_000), "2021-06-01T00:35:00Z", "2021-06-01T00:35:00Z"),
            (Cell::Text("a \"b\", c"), "a \"b\", c", "\"a \"\"b\"\", c\""),
            (Cell::Text(""), "", "\"\""),
        ];
        for (cell, shown, csv) in cells {
            assert_eq!((cell.shown().as_str(), cell.csv().as_str()), (shown, csv));
        }
    }

    #[test]
    fn a_text_cannot_command_the_terminal() {
        let evil = Cell::Text("\u{1b}[2Jx\n\u{202e}y\u{9b}1m");
        assert_eq!(evil.shown(), " [2Jx  y 1m");
    }
}
