//! Draws a view into a buffer: the same for a terminal, for `--once` and for the tests.
//!
//! What stands in colour stands in words, too. What there is no room for goes, the least important first.

mod plots;
mod rooms;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::model::Model;
use super::view::{Figure, Known, Mood, SOURCES_HEAD, View};
use rooms::{Rooms, Wants};

/// How it is to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) colours: bool,
    /// How long a column of the plots is.
    pub(crate) step_ms: u64,
    /// Whether the keys are named in the last line.
    pub(crate) keys: bool,
}

/// Stands where text was cut.
const CUT: &str = "\u{2026}";
/// Width of the names beside the plots and the figures.
const NAME_WIDTH: u16 = 14;
/// What the columns of the sources get of a row, in percent; the last one gets the rest.
const SOURCES_SHARES: [u16; 5] = [24, 15, 12, 16, 12];
/// Width of a partition.
const CELL_WIDTH: u16 = 42;

impl Look {
    fn mood(self, mood: Mood) -> Style {
        let colour = match mood {
            Mood::Plain => return Style::new(),
            Mood::Good => Color::Green,
            Mood::Warn => Color::Yellow,
            Mood::Bad => Color::Red,
        };
        self.colour(colour).add_modifier(Modifier::BOLD)
    }

    fn colour(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }
}

const HEAD: Style = Style::new().add_modifier(Modifier::BOLD);
const FAINT: Style = Style::new().add_modifier(Modifier::DIM);

/// Draws all of it.
pub(crate) fn draw(area: Rect, buffer: &mut Buffer, model: &Model, view: &View, look: Look) {
    let mut page = Page { area, buffer, look, y: area.top() };
    page.line(&Line::styled(view.title.as_str(), HEAD));
    page.line(&Line::styled(view.link.1.as_str(), look.mood(view.link.0)));
    let below = Rect { y: page.y, height: area.bottom().saturating_sub(page.y), ..area };
    if let Some(known) = &view.known {
        page.known(model, known);
        if !known.is_live {
            buffer.set_style(below, FAINT);
        }
    }
    if look.keys && area.height > 2 {
        let text = format!("q quit   t {} s a column", look.step_ms / 1_000);
        buffer.set_stringn(area.left(), area.bottom() - 1, text, usize::from(area.width), FAINT);
    }
}

/// A buffer that is filled from its top.
struct Page<'a> {
    area: Rect,
    buffer: &'a mut Buffer,
    look: Look,
    y: u16,
}

impl Page<'_> {
    /// The rows that are left.
    fn left(&self) -> u16 {
        let bottom = self.area.bottom() - u16::from(self.look.keys && self.area.height > 2);
        bottom.saturating_sub(self.y)
    }

    fn line(&mut self, line: &Line<'_>) {
        if self.left() > 0 {
            self.buffer.set_line(self.area.left(), self.y, line, self.area.width);
            self.mark_cut(self.area, line.width());
            self.y += 1;
        }
    }

    /// What had to be cut at the end of the row says so.
    fn mark_cut(&mut self, room: Rect, width: usize) {
        if width > usize::from(room.width) && room.width > 0 {
            self.buffer[(room.right() - 1, self.y)].set_symbol(CUT);
        }
    }

    fn blank(&mut self) {
        self.line(&Line::default());
    }

    fn known(&mut self, model: &Model, known: &Known) {
        let (mood, state) = known.breaker;
        let word = Span::styled(state, self.look.mood(mood));
        self.line(&Line::from_iter(["breaker ".into(), word, " ".into(), known.state.as_str().into()]));
        self.line(&Line::from_iter(["last change  ", &known.change]));
        self.blank();
        for pair in known.figures.chunks(2) {
            self.figures(pair);
        }
        let cells = usize::from((self.area.width / CELL_WIDTH).max(1));
        let rooms = Rooms::of(
            self.left(),
            Wants {
                troubles: known.troubles.len(),
                sources: known.sources.len(),
                partitions: known.partitions.len().div_ceil(cells),
                changes: known.changes.len(),
            },
        );
        if rooms.plots > 0 {
            self.blank();
            let height = rooms.plots.min(self.left());
            let area = Rect { y: self.y, height, ..self.area };
            plots::draw(area, self.buffer, model, self.look);
            self.y += height;
        }
        for trouble in known.troubles.iter().take(rooms.troubles) {
            let line = Span::styled(format!("! {trouble}"), self.look.mood(Mood::Bad));
            self.line(&line.into());
        }
        self.sources(&known.sources, rooms.sources);
        self.partitions(&known.partitions, rooms.partitions, cells);
        self.changes(&known.changes, rooms.changes);
    }

    /// One or two figures in a row.
    fn figures(&mut self, pair: &[Figure]) {
        if self.left() == 0 {
            return;
        }
        let half = self.area.width / 2;
        for (x, figure) in [self.area.left(), self.area.left() + half].into_iter().zip(pair) {
            let style = self.look.mood(figure.mood).add_modifier(Modifier::BOLD);
            let name = format!("{:<width$}", figure.name, width = usize::from(NAME_WIDTH));
            let spans = [
                Span::raw(name),
                Span::styled(figure.value.as_str(), style),
                "  ".into(),
                Span::raw(figure.more.as_str()),
            ];
            self.buffer.set_line(x, self.y, &Line::from_iter(spans), half.saturating_sub(1));
        }
        self.y += 1;
    }

    /// As many of the sources as there is room for, under their heads.
    fn sources(&mut self, sources: &[[String; 6]], room: usize) {
        if room < 2 {
            return;
        }
        let widths = source_widths(self.area.width, sources);
        self.cells(&SOURCES_HEAD, widths, HEAD);
        for row in some(sources, room - 1) {
            match row {
                Ok(source) => {
                    let is_away = source[1].starts_with("AWAY");
                    let style = if is_away { self.look.mood(Mood::Bad) } else { Style::new() };
                    self.cells(&source.each_ref().map(String::as_str), widths, style);
                }
                Err(more) => self.line(&Line::styled(format!("and {more} more"), FAINT)),
            }
        }
    }

    /// Cells of these widths, the last one as wide as there is room.
    fn cells(&mut self, cells: &[&str; 6], widths: [u16; 5], style: Style) {
        if self.left() == 0 {
            return;
        }
        let mut x = self.area.left();
        for (cell, width) in cells.iter().zip(widths.into_iter().chain([self.area.width])) {
            let room = width.min(self.area.right().saturating_sub(x));
            let inside = Rect { x, width: room.saturating_sub(1), ..self.area };
            self.buffer.set_stringn(x, self.y, cell, usize::from(inside.width), style);
            self.mark_cut(inside, Span::raw(*cell).width());
            x += room;
        }
        self.y += 1;
    }

    fn partitions(&mut self, partitions: &[(Mood, String)], room: usize, cells: usize) {
        if room < 2 {
            return;
        }
        let shown = partitions.len().min((room - 1) * cells);
        let hidden = partitions.len() - shown;
        let more = if hidden > 0 { format!(" ({hidden} more)") } else { String::new() };
        self.line(&Line::styled(format!("partitions{more}"), HEAD));
        for row in partitions[..shown].chunks(cells) {
            let mut x = self.area.left();
            for (mood, text) in row {
                self.buffer.set_stringn(x, self.y, text, usize::from(CELL_WIDTH - 2), self.look.mood(*mood));
                x += CELL_WIDTH;
            }
            self.y += 1;
        }
    }

    fn changes(&mut self, changes: &[String], room: usize) {
        if room < 2 {
            return;
        }
        self.line(&Line::styled("changes of the breaker", HEAD));
        for change in changes.iter().take(room - 1) {
            self.line(&Line::raw(change.as_str()));
        }
    }
}

/// How wide each column of the sources but the last is: its share, so that it does not move with every figure, or
/// what its cells need if that is more. A name may be cut: it is known.
fn source_widths(width: u16, sources: &[[String; 6]]) -> [u16; 5] {
    let mut widths = SOURCES_SHARES.map(|percent| width * percent / 100);
    for (column, width) in widths.iter_mut().enumerate().skip(1) {
        let cells = sources.iter().map(|source| Span::raw(source[column].as_str()).width());
        let longest = cells.chain([SOURCES_HEAD[column].len()]).max().unwrap_or(0);
        *width = u16::try_from(longest + 1).unwrap_or(u16::MAX).max(*width);
    }
    widths
}

/// The first rows of a list, and if there is no room for all, in the last one how many are not shown.
fn some<T>(list: &[T], room: usize) -> impl Iterator<Item = Result<&T, usize>> {
    let shown = if list.len() > room { room.saturating_sub(1) } else { list.len() };
    let hidden = (list.len() > shown).then_some(Err(list.len() - shown));
    list[..shown].iter().map(Ok).chain(hidden)
}

#[cfg(test)]
mod tests;
