//! Rows as a table for a terminal: columns as wide as they must be, numbers to the right. No I/O.

use arrow_array::RecordBatch;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::cells::{cell, is_number};

/// A longer text is cut.
const WIDTH_MAX: usize = 60;

/// The rows of `batches`, which have the same columns. `held_back` rows before them are not shown.
pub(crate) fn grid(batches: &[RecordBatch], held_back: usize) -> String {
    let Some(first) = batches.first() else { return String::new() };
    let schema = first.schema();
    let head: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let rows = batches.iter().flat_map(|batch| {
        (0..batch.num_rows()).map(|row| {
            let shown = |column| cut(&cell(batch, column, row).shown());
            (0..batch.num_columns()).map(shown).collect::<Vec<_>>()
        })
    });
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..schema.fields().len()).map(width).collect();
    let to_right: Vec<bool> = schema.fields().iter().map(|field| is_number(field.data_type())).collect();
    let mut lines: Vec<String> = rows.iter().map(|row| line(row, &widths, &to_right)).collect();
    lines.insert(1, widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("  "));
    if held_back > 0 {
        lines.insert(2, format!("... {held_back} rows before these; --rows shows more"));
    }
    lines.join("\n") + "\n"
}

fn line(row: &[String], widths: &[usize], to_right: &[bool]) -> String {
    let cells = row.iter().zip(widths).zip(to_right);
    let cells = cells.map(|((cell, width), to_right)| padded(cell, *width, *to_right));
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// A text at least `width` columns wide.
pub(crate) fn padded(text: &str, width: usize, to_right: bool) -> String {
    let padding = " ".repeat(width.saturating_sub(text.width()));
    if to_right { padding + text } else { text.to_owned() + &padding }
}

/// A text at most [`WIDTH_MAX`] columns wide.
pub(crate) fn cut(text: &str) -> String {
    if text.width() <= WIDTH_MAX {
        return text.to_owned();
    }
    let mut width = 0;
    let fits = |c: &char| {
        width += c.width().unwrap_or(0);
        width < WIDTH_MAX
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn batch(rows: &[(&str, i64)]) -> RecordBatch {
        let places = Arc::new(StringArray::from_iter_values(rows.iter().map(|(place, _)| place))) as ArrayRef;
        let events = Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, n)| *n))) as ArrayRef;
        RecordBatch::try_from_iter([("place", places), ("events", events)]).unwrap()
    }

    #[test]
    fn columns_line_up_by_what_a_terminal_shows() {
        let shown = grid(&[batch(&[("Oslo", 12_345)]), batch(&[("東京", 6)])], 0);
        assert_eq!(shown, "place  events\n-----  ------\nOslo   12,345\n東京        6\n");
        assert!(grid(&[batch(&[("Oslo", 1)])], 7).contains("\n... 7 rows before these"));
        assert_eq!(grid(&[], 0), "");
    }

    #[test]
    fn a_long_text_is_cut_where_it_fits() {
        assert_eq!(cut(&"x".repeat(60)), "x".repeat(60));
        assert_eq!(cut(&"x".repeat(61)), "x".repeat(59) + "…");
        assert_eq!(cut(&"東".repeat(31)).width(), 59);
    }
}
