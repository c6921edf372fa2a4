//! The report for people: aligned tables, numbers to the right, names last so that no script's width
//! breaks a column.

use std::fmt::Write as _;
use std::time::Duration;

use spillway_service::units::{show_bytes, show_count, show_duration};

use super::{Report, next};
use crate::folder::Folder;
use crate::paint::Paint;
use crate::tables::time;
use crate::top::{City, HappyHour, Outstanding, Window};
use crate::verify::Difference;

/// How many differing rows are shown.
const SHOWN: usize = 5;
/// A post's text is cut off after this many characters, so that it fits on a line of a terminal.
const TEXT_CHARS: usize = 64;

/// Figures that should be 0 are painted by whether they are.
#[derive(Clone, Copy)]
enum Tone {
    Plain,
    /// Good when 0, bad otherwise.
    Zero,
}

pub(super) fn render(report: &Report, folder: &Folder, paint: Paint) -> String {
    let mut page = Page { out: String::new(), paint };
    page.figures(report);
    page.times(report);
    page.cities(&report.cities);
    page.windows(&report.windows);
    page.happiest(report.happiest.as_ref());
    page.extremes(report.extremes.as_ref());
    page.differences(&report.differences);
    page.places(folder, report.files);
    page.next(report, folder);
    page.verdict(report);
    page.out
}

struct Page {
    out: String,
    paint: Paint,
}

impl Page {
    fn line(&mut self, text: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "{}", text.trim_end());
    }

    fn heading(&mut self, text: &str) {
        let heading = self.paint.bold(text);
        self.line("");
        self.line(&format!("  {heading}"));
    }

    fn figure(&mut self, name: &str, value: u64, tone: Tone, note: &str) {
        let number = format!("{:>12}", show_count(value));
        let number = match tone {
            Tone::Plain => self.paint.bold(&number),
            Tone::Zero if value == 0 => self.paint.good(&number),
            Tone::Zero => self.paint.bad(&number),
        };
        let note = self.paint.dim(note);
        self.line(&format!("  {name:<16}{number}   {note}"));
    }

    fn figures(&mut self, r: &Report) {
        let d = &r.delivery;
        self.heading("Records");
        self.figure(
            "sent",
            r.sent,
            Tone::Plain,
            &format!("whole lines the upstream wrote, {}", show_bytes(r.sent_bytes)),
        );
        self.figure("acknowledged", r.acked, Tone::Plain, "by Kafka, straight from memory");
        self.figure("spooled", r.spooled, Tone::Plain, &peak(r));
        self.figure("replayed", r.replayed, Tone::Plain, "read back from disk and acknowledged");
        self.figure("dropped", r.given_up(), Tone::Zero, "given up, each with a reason");
        self.figure(
            "duplicates",
            d.duplicates.len() as u64,
            Tone::Plain,
            "further copies in the topic, counted once",
        );
        self.figure("lost", d.lost.len() as u64, Tone::Zero, "sent, and in no partition");
        let order = if r.order_matters() { Tone::Zero } else { Tone::Plain };
        self.figure(
            "out of order",
            d.disorder.len() as u64,
            order,
            "behind a later record in their partition",
        );
        self.heading("Events");
        self.figure("counted", r.events, Tone::Plain, "once each, in windows of 5 minutes");
        self.figure("repeats", r.repeats, Tone::Plain, "sent twice, or delivered twice");
        self.figure("late", r.late, Tone::Zero, "after their window was closed");
        self.optional("notices", r.notices, "messages of the upstream about itself");
        self.optional("quarantined", r.quarantined, "no events of this shape");
        self.optional("torn", r.torn, "lines cut off by the upstream; never sent on");
    }

    /// What is mostly 0 and then of no interest.
    fn optional(&mut self, name: &str, value: u64, note: &str) {
        if value > 0 {
            self.figure(name, value, Tone::Plain, note);
        }
    }

    fn times(&mut self, r: &Report) {
        if r.course.timeline.down.is_none() {
            return;
        }
        self.heading("Outage");
        self.duration("brokers away", Some(r.outage), "all of them");
        self.duration("detected after", r.course.detected, "the breaker opened");
        self.duration("caught up after", r.caught_up(), "from the brokers' return to an empty spool");
    }

    fn duration(&mut self, name: &str, value: Option<Duration>, note: &str) {
        let text = value.map_or_else(|| "-".to_owned(), show_duration);
        let (text, note) = (self.paint.bold(&format!("{text:>12}")), self.paint.dim(note));
        self.line(&format!("  {name:<16}{text}   {note}"));
    }

    fn cities(&mut self, cities: &[City]) {
        self.heading("Biggest cities, read back from Parquet");
        let head = self
            .paint
            .dim(&format!("  {:>10}{:>10}   {:<17}  {}", "events", "reposts", "busiest window", "place"));
        self.line(&head);
        for city in cities {
            let (events, reposts) = (number(city.events), number(city.reposts));
            self.line(&format!(
                "  {events:>10}{reposts:>10}   {:<17}  {}",
                time(city.busiest.0),
                self.paint.accent(&city.place)
            ));
        }
        self.none(cities.is_empty());
    }

    fn windows(&mut self, windows: &[Window]) {
        self.heading("Biggest windows (UTC)");
        let head =
            self.paint.dim(&format!("  {:>10}{:>10}{:>10}   {}", "events", "reposts", "actors", "window"));
        self.line(&head);
        for window in windows {
            let [events, reposts, actors] = [window.events, window.reposts, window.unique_actors].map(number);
            let start = self.paint.accent(&time(window.start));
            self.line(&format!("  {events:>10}{reposts:>10}{actors:>10}   {start}"));
        }
        self.none(windows.is_empty());
    }

    fn happiest(&mut self, hour: Option<&HappyHour>) {
        let of = hour.map(|hour| format!(", the hour from {}", time(hour.start))).unwrap_or_default();
        self.heading(&format!("Happiest hashtags{of} (UTC)"));
        let head = self.paint.dim(&format!("  {:>10}   {}", "smiles", "hashtag"));
        self.line(&head);
        for (tag, smiles) in hour.into_iter().flat_map(|hour| &hour.tags) {
            self.line(&format!("  {:>10}   {}", number(*smiles), self.paint.accent(&on_one_line(tag))));
        }
        self.none(hour.is_none());
    }

    fn extremes(&mut self, ends: Option<&[Outstanding; 2]>) {
        self.heading("The most positive and the most negative post, by VADER");
        let head = self.paint.dim(&format!("  {:>10}   {:<17}  {}", "-1 to 1", "window", "text"));
        self.line(&head);
        for end in ends.into_iter().flatten() {
            let text = self.paint.accent(&on_one_line(&end.post.text));
            self.line(&format!("  {:>10.4}   {:<17}  {text}", end.post.polarity, time(end.start)));
        }
        self.none(ends.is_none());
    }

    fn none(&mut self, is_empty: bool) {
        if is_empty {
            self.line(&self.paint.dim("         none"));
        }
    }

    fn differences(&mut self, differences: &[Difference]) {
        if differences.is_empty() {
            return;
        }
        self.heading("Rows that differ from the recount");
        for row in differences.iter().take(SHOWN) {
            let group = row.group.as_deref().map(on_one_line).unwrap_or_default();
            let said = |row: Option<&str>| row.map_or_else(|| "no row".to_owned(), on_one_line);
            let (expected, found) = (said(row.expected.as_deref()), said(row.found.as_deref()));
            self.line(&format!("  {} {} {group}", row.table, time(row.window_start)));
            self.line(&format!("      should be {expected}"));
            self.line(&format!("      is        {found}"));
        }
        if differences.len() > SHOWN {
            self.line(&format!("  and {} more, see report.json", differences.len() - SHOWN));
        }
    }

    fn places(&mut self, folder: &Folder, files: usize) {
        self.heading("Where it is");
        let store = folder.store();
        self.line(&format!("  tables    {}/tables   ({files} Parquet files)", store.display()));
        self.line(&format!("  report    {}", folder.report().display()));
        self.line(&format!("  log       {}", folder.log().display()));
    }

    fn next(&mut self, r: &Report, folder: &Folder) {
        self.heading("What to try next");
        for (what, command) in next::commands(folder, r.keep) {
            let what = self.paint.dim(&format!("# {what}"));
            self.line(&format!("  {what}"));
            self.line(&format!("  {command}"));
        }
    }

    fn verdict(&mut self, r: &Report) {
        self.line("");
        let faults = r.faults();
        if faults.is_empty() {
            let word = self.paint.good("PASSED");
            let over_disk = if r.spooled > 0 {
                format!(", {} over the disk", show_count(r.spooled))
            } else {
                String::new()
            };
            self.line(&format!("  {word}  all {} records arrived{over_disk}", show_count(r.sent)));
            let rows = show_count(r.rows as u64);
            self.line(&format!(
                "          all {rows} rows equal the independent recount; took {}",
                show_duration(r.course.took)
            ));
            let fitted = show_count(r.rows_fitted as u64);
            self.line(&format!(
                "          the extremes of {fitted} windows are posts that were sent in them"
            ));
        }
        for fault in faults {
            let word = self.paint.bad("FAILED");
            self.line(&format!("  {word}  {fault}"));
        }
        if r.keep {
            self.line("");
            self.line("  Kafka stays up until you press Enter.");
        }
    }
}

fn peak(r: &Report) -> String {
    match r.course.spool_peak_records {
        0 => "written to disk".to_owned(),
        records => format!(
            "written to disk; up to {} at once, {}",
            show_count(records),
            show_bytes(r.course.spool_peak_bytes)
        ),
    }
}

/// A text that was made up elsewhere: on one line, cut off, and nothing in it that a terminal would obey.
fn on_one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match plain.char_indices().nth(TEXT_CHARS) {
        Some((end, _)) => format!("{}…", plain[..end].trim_end()),
        None => plain,
    }
}

fn number(n: i64) -> String {
    u64::try_from(n).map_or_else(|_| n.to_string(), show_count)
}
