//! The plots: what came in, what went out, what waits on disk, and the breaker, over the same time.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::widgets::{Sparkline, Widget};
use spillway_daemon::circuit::State;
use spillway_service::units::{show_count, show_duration};

use super::super::model::Model;
use super::super::series::Column;
use super::super::view::{Mood, most, rate, whole};
use super::{FAINT, Look, NAME_WIDTH};

/// Rows below the three plots: the breaker, and the time.
const ROWS_BELOW: u16 = 2;
/// A bar shows whole numbers: of these there are enough below one record a second.
const SCALE: f64 = 1_000.0;
/// Where nothing is known.
const NOTHING: &str = "\u{b7}";

/// A plot: its name, its values, how the largest is said, and its colour.
type Plot = (&'static str, fn(&Column) -> Option<f64>, fn(f64) -> String, Color);

const PLOTS: [Plot; 3] = [
    ("in", |column| column.received, |most| rate(Some(most)), Color::Cyan),
    ("out", |column| column.delivered, |most| rate(Some(most)), Color::Green),
    ("on disk", |column| column.spool, |most| show_count(whole(most)), Color::Magenta),
];

pub(super) fn draw(area: Rect, buffer: &mut Buffer, model: &Model, look: Look) {
    let (names, bars) = (NAME_WIDTH.min(area.width), area.width.saturating_sub(NAME_WIDTH));
    let changes = model.last().map_or(&[][..], |seen| &seen.breaker_history);
    let columns = model.points.columns(changes, usize::from(bars), look.step_ms);
    let height = (area.height.saturating_sub(ROWS_BELOW) / 3).max(1);
    let mut y = area.top();
    for (name, value, show, colour) in PLOTS {
        let most = most(&columns, value);
        let head = [name.to_owned(), format!("max {}", show(most))];
        if height == 1 {
            let name = format!("{name} {}", show(most));
            buffer.set_stringn(area.left(), y, name, usize::from(names.saturating_sub(1)), Style::new());
        } else {
            for (row, text) in (y..y + height).zip(head) {
                buffer.set_stringn(
                    area.left(),
                    row,
                    text,
                    usize::from(names.saturating_sub(1)),
                    Style::new(),
                );
            }
        }
        let data = columns.iter().map(|column| value(column).map(|value| whole(value * SCALE)));
        let plot = Sparkline::default().data(data).max(whole(most * SCALE).max(1)).style(look.colour(colour));
        plot.absent_value_symbol(NOTHING)
            .absent_value_style(FAINT)
            .render(Rect { x: area.left() + names, y, width: bars, height }, buffer);
        y += height;
    }
    band(Rect { y, height: 1, ..area }, buffer, &columns, look);
    axis(Rect { y: y + 1, height: 1, ..area }, buffer, bars, look);
}

fn band(area: Rect, buffer: &mut Buffer, columns: &[Column], look: Look) {
    buffer.set_stringn(area.left(), area.top(), "breaker", usize::from(NAME_WIDTH), Style::new());
    for (x, column) in (area.left() + NAME_WIDTH..area.right()).zip(columns) {
        let (symbol, style) = match column.breaker {
            Some(State::Closed) => (CLOSED, look.mood(Mood::Good)),
            Some(State::HalfOpen) => (HALF_OPEN, look.mood(Mood::Warn)),
            Some(State::Open) => (OPEN, look.mood(Mood::Bad)),
            None => (NOTHING, FAINT),
        };
        buffer.set_stringn(x, area.top(), symbol, 1, style);
    }
}

const CLOSED: &str = "\u{2581}";
const HALF_OPEN: &str = "\u{2584}";
/// Not a full block: it would touch the bars above.
const OPEN: &str = "\u{2587}";

/// How far back it goes, what the signs of the breaker mean, and where the present is.
fn axis(area: Rect, buffer: &mut Buffer, bars: u16, look: Look) {
    let span = show_duration(Duration::from_millis(look.step_ms * u64::from(bars)));
    let (from, to) = (format!("{span} ago"), "now");
    let left = area.left() + NAME_WIDTH;
    buffer.set_stringn(left, area.top(), &from, usize::from(bars), FAINT);
    let legend = format!("{CLOSED} closed  {HALF_OPEN} half open  {OPEN} open  {NOTHING} no data");
    let width = |text: &str| u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
    let middle = bars.saturating_sub(width(&legend)) / 2;
    if middle > width(&from) {
        buffer.set_stringn(left + middle, area.top(), &legend, usize::from(bars - middle), FAINT);
    }
    if bars > width(&from) + width(to) {
        buffer.set_stringn(area.right() - width(to), area.top(), to, usize::from(bars), FAINT);
    }
}
