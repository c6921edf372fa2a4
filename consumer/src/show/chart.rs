//! Rows as bars for a terminal: over time when a period has one row, else the groups of the newest period.
//! No I/O.

use unicode_width::UnicodeWidthStr as _;

use super::grid::{cut, padded};

/// What a bar stands for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bar {
    pub(crate) label: String,
    /// `None` when there is no value.
    pub(crate) value: Option<f64>,
    /// The value as it is written beside the bar.
    pub(crate) text: String,
}

/// How wide the bars are together, in columns.
const WIDTH: usize = 50;
/// A column is divided so often.
const PARTS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
const FULL: &str = "█";

/// The bars, one a line. Those of values below zero go to the left of a common line.
pub(crate) fn chart(bars: &[Bar]) -> String {
    let label = bars.iter().map(|bar| cut(&bar.label).width()).max().unwrap_or(0);
    let text = bars.iter().map(|bar| bar.text.width()).max().unwrap_or(0);
    let values = || bars.iter().filter_map(|bar| bar.value);
    let (least, most) = (values().fold(0.0, f64::min), values().fold(0.0, f64::max));
    let span = most - least;
    let left = columns(-least, span);
    let line = |bar: &Bar| {
        let drawn = match bar.value {
            Some(value) if value < 0.0 => padded(&FULL.repeat(columns(-value, span)), left, true),
            Some(value) => " ".repeat(left) + &drawn(value, span),
            None => String::new(),
        };
        let label = padded(&cut(&bar.label), label, false);
        format!("{label}  {}  {drawn}", padded(&bar.text, text, true)).trim_end().to_owned() + "\n"
    };
    bars.iter().map(line).collect()
}

/// How many whole columns a value takes.
fn columns(value: f64, span: f64) -> usize {
    eighths(value, span).div_ceil(8)
}

fn drawn(value: f64, span: f64) -> String {
    let eighths = eighths(value, span);
    let rest = PARTS[eighths % 8];
    (FULL.repeat(eighths / 8) + &rest.to_string()).trim_end().to_owned()
}

/// The length of a bar in eighths of a column; one that is not zero can be seen.
fn eighths(value: f64, span: f64) -> usize {
    if span <= 0.0 || value <= 0.0 {
        return 0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "from 0 to 400"
    )]
    let eighths = (value / span * (WIDTH * 8) as f64).round() as usize;
    eighths.clamp(1, WIDTH * 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, value: f64) -> Bar {
        Bar { label: label.to_owned(), value: Some(value), text: value.to_string() }
    }

    #[test]
    fn the_greatest_value_takes_the_whole_width_and_the_least_can_be_seen() {
        let none = Bar { label: "d".into(), value: None, text: "-".into() };
        let shown = chart(&[bar("a", 1000.0), bar("bb", 505.0), bar("c", 1.0), bar("c0", 0.0), none]);
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[0], format!("a   1000  {}", FULL.repeat(50)));
        assert_eq!(lines[1], format!("bb   505  {}▎", FULL.repeat(25)));
        assert_eq!(lines[2..], ["c      1  ▏", "c0     0", "d      -"]);
    }

    #[test]
    fn values_below_zero_go_to_the_left() {
        let shown = chart(&[bar("a", 0.5), bar("b", -0.5), bar("c", -0.25)]);
        let lines: Vec<_> = shown.lines().map(|line| &line[10..]).collect();
        let (whole, half) = (FULL.repeat(25), FULL.repeat(13));
        assert_eq!(lines[1], whole);
        assert_eq!(lines[2].trim_start(), half);
        assert_eq!(shown.lines().next().unwrap().trim_end_matches('█').width(), 10 + 25);
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(chart(&[]), "");
        assert_eq!(chart(&[bar("a", 0.0)]), "a  0\n");
    }
}
