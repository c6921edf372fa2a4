//! A drawn buffer as lines of text, for `--once`: with colours where they are wanted, else plain.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use ratatui::text::Span;

const RESET: &str = "\x1b[0m";

/// The lines, without the blanks at their ends and without empty lines at the end.
pub(crate) fn text(buffer: &Buffer, coloured: bool) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let lines: Vec<String> = buffer.content.chunks(width).map(|row| line(row, coloured)).collect();
    let used = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
    lines[..used].iter().map(|line| format!("{line}\n")).collect()
}

fn line(row: &[Cell], coloured: bool) -> String {
    let end = row.iter().rposition(|cell| cell.symbol() != " ").map_or(0, |last| last + 1);
    let (mut text, mut style, mut skip) = (String::new(), String::new(), 0);
    for cell in &row[..end] {
        // A wide letter hides the cell after it.
        if skip > 0 {
            skip -= 1;
            continue;
        }
        skip = Span::raw(cell.symbol()).width().saturating_sub(1);
        let wanted = if coloured { codes(cell) } else { String::new() };
        if wanted != style {
            if !style.is_empty() {
                text.push_str(RESET);
            }
            text.push_str(&wanted);
            style = wanted;
        }
        text.push_str(cell.symbol());
    }
    if !style.is_empty() {
        text.push_str(RESET);
    }
    text
}

/// The codes for the colours and the weights that are used; empty for none.
fn codes(cell: &Cell) -> String {
    let mut codes = String::new();
    let mut add = |code: u8| {
        // Writing to a string cannot fail.
        let _ = write!(codes, "\x1b[{code}m");
    };
    match cell.fg {
        Color::Red => add(31),
        Color::Green => add(32),
        Color::Yellow => add(33),
        Color::Magenta => add(35),
        Color::Cyan => add(36),
        _ => {}
    }
    if cell.modifier.contains(Modifier::BOLD) {
        add(1);
    }
    if cell.modifier.contains(Modifier::DIM) {
        add(2);
    }
    codes
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn blanks_at_the_ends_go_and_colours_end_with_their_line() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 4));
        buffer.set_string(0, 0, "a\u{6f22}b", Style::new());
        buffer.set_string(1, 2, "x", Style::new().red().bold());
        assert_eq!(text(&buffer, false), "a\u{6f22}b\n\n x\n");
        assert_eq!(text(&buffer, true), "a\u{6f22}b\n\n \x1b[31m\x1b[1mx\x1b[0m\n");
    }
}
