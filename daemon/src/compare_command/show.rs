//! A comparison's report as a person or a program reads it.

use std::io::{self, Write};

use spillway_daemon::compare::{Gap, Named, Report, SideReport, WindowReport};
use spillway_service::units::{show_bytes, show_count, show_time};

use crate::plain::plain;

/// More windows than these are for a program to read.
const WINDOWS_SHOWN: usize = 50;

pub(super) fn json(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}

pub(super) fn text(report: &Report, common_span: bool, out: &mut dyn Write) -> io::Result<()> {
    let Report { a, b, shared, .. } = report;
    table(report, out)?;
    if report.same {
        writeln!(out, "\nthe same: neither misses an id of the other; both have {}", show_count(*shared))?;
    } else {
        let (missing_in_a, missing_in_b) = (show_count(b.only_here), show_count(a.only_here));
        writeln!(
            out,
            "\nthey differ: A misses {missing_in_a} ids, B misses {missing_in_b}; both have {}",
            show_count(*shared)
        )?;
    }
    notes(report, common_span, out)?;
    windows(report, out)
}

fn table(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    type Figure = fn(&SideReport) -> String;
    let rows: [(&str, Figure); 8] = [
        ("input", |side| plain(&side.input)),
        ("records", |side| show_count(side.records)),
        ("different ids", |side| show_count(side.ids)),
        ("repeated", |side| show_count(side.repeated)),
        ("without id", |side| show_count(side.without_id)),
        ("torn, too long", |side| format!("{}, {}", side.torn, side.too_long)),
        ("first", |side| time(side.first_ms)),
        ("last", |side| time(side.last_ms)),
    ];
    let (a, b) = (&report.a, &report.b);
    let width = rows.iter().flat_map(|(_, figure)| [figure(a), figure(b)]).map(|text| text.chars().count());
    let width = width.max().unwrap_or_default();
    writeln!(out, "{:<16}{:>width$}  {:>width$}", "", "A", "B")?;
    for (name, figure) in rows {
        writeln!(out, "{name:<16}{:>width$}  {:>width$}", figure(a), figure(b))?;
    }
    let (a, b) = (show_count(b.only_here), show_count(a.only_here));
    writeln!(out, "{:<16}{a:>width$}  {b:>width$}", "missing here")
}

/// What the figures do not say by themselves.
fn notes(report: &Report, common_span: bool, out: &mut dyn Write) -> io::Result<()> {
    for (side, name, other) in [(&report.a, "A", "B"), (&report.b, "B", "A")] {
        let outside = show_count(side.outside_the_other);
        match (side.outside_the_other, common_span) {
            (0, _) => {}
            (_, true) => {
                writeln!(out, "{outside} further ids of {name} are earlier or later than all of {other}")?
            }
            (_, false) => writeln!(
                out,
                "{outside} of those that only {name} has are earlier or later than all of {other}: \
                 --common-span leaves them out"
            )?,
        }
        if side.not_found_again > 0 {
            let gone = show_count(side.not_found_again);
            writeln!(
                out,
                "{gone} ids that only {name} has were gone when it was read again: in no window below"
            )?;
        }
    }
    let ids = show_count(report.a.ids + report.b.ids - report.shared);
    let memory = show_bytes(report.memory_bytes as u64);
    writeln!(out, "{ids} different ids took {memory} of memory")
}

fn windows(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if report.windows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{:<24}  {:>12}  {:>12}  missing", "window", "A", "B")?;
    for window in report.windows.iter().take(WINDOWS_SHOWN) {
        let WindowReport { start_ms, a, b, missing_in_a, missing_in_b } = window;
        let mut head = format!("{:<24}  {:>12}  {:>12}", time(*start_ms), show_count(*a), show_count(*b));
        for (name, gap) in [("A", missing_in_a), ("B", missing_in_b)] {
            if let Some(gap) = gap {
                writeln!(out, "{head}  {}", line(name, gap))?;
                head = " ".repeat(head.chars().count());
            }
        }
    }
    if report.windows.len() > WINDOWS_SHOWN {
        let more = show_count((report.windows.len() - WINDOWS_SHOWN) as u64);
        writeln!(out, "and {more} windows more: --json has them all")?;
    }
    Ok(())
}

fn line(name: &str, Gap { ids, first, last }: &Gap) -> String {
    let count = show_count(*ids);
    match ids {
        1 => format!("in {name}: {count}, {}", named(first)),
        _ => format!("in {name}: {count}, from {} to {}", named(first), named(last)),
    }
}

fn named(Named { id, time_ms }: &Named) -> String {
    match time_ms {
        Some(_) => format!("{} ({})", plain(id), time(*time_ms)),
        None => plain(id),
    }
}

fn time(unix_ms: Option<i64>) -> String {
    match unix_ms.map(u64::try_from) {
        None => "-".to_owned(),
        Some(Ok(ms)) => show_time(ms),
        Some(Err(_)) => "before 1970".to_owned(),
    }
}
