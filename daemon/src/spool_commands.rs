//! `spillwayd spool …`: looks into a spool without touching it, also while a daemon runs. What changes
//! something, the handling of dead letters, is in `spool_commands/dead.rs`.

mod dead;

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;

use serde::Serialize;
use spillway_daemon::control::ControlError;
use spillway_daemon::dead::errand::ErrandError;
use spillway_daemon::record::{self, Outgoing};
use spillway_service::errors::chain;
use spillway_service::exit::Exit;
use spillway_service::units::{show_bytes, show_count, show_time};
use spillway_spool::inspect::{self, BadPlace, Item, Overview, Problem};

use crate::cli::{Dir, SpoolCommand};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot read the spool")]
    Spool(#[from] spillway_spool::Error),
    #[error("cannot write the answer")]
    Write(#[from] io::Error),
    #[error("{0} is no spool: it has no log folder; give the folder that spool.dir names")]
    NoSpool(String),
    #[error("this deletes {0} for good; look at them with ls and cat, then repeat it with --yes")]
    NotConfirmed(String),
    #[error(
        "the spool belongs to user {owner}: run it as that user, or the daemon could not open its files any more"
    )]
    WrongUser { owner: u32 },
    #[error("the daemon did not do it")]
    Daemon(#[from] ControlError),
    #[error("broken off after {letters} letters")]
    Errand { letters: u64, source: ErrandError },
}

/// Runs the command; the answer goes to standard output, an error to standard error.
#[expect(clippy::print_stderr, reason = "the answer of a command")]
pub(crate) fn run(command: &SpoolCommand) -> Exit {
    let mut out = BufWriter::new(io::stdout().lock());
    let done = match command {
        SpoolCommand::Stat(Dir { dir }) => stat(dir, &mut out),
        SpoolCommand::Ls(Dir { dir }) => ls(dir, &mut out),
        SpoolCommand::Cat { dir, from, limit, raw } => {
            cat(&dir.dir, from.unwrap_or(1), *limit, *raw, &mut out)
        }
        SpoolCommand::Verify(Dir { dir }) => verify(dir, &mut out),
        SpoolCommand::Dead(command) => dead::run(command, &mut out),
    };
    match done.and_then(|exit| Ok(out.flush().map(|()| exit)?)) {
        Ok(exit) => exit,
        // The reader of a pipe, such as head, has seen enough.
        Err(Failure::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        Err(error) => {
            eprintln!("spillwayd: {}", chain(&error));
            match error {
                Failure::Spool(error) if error.is_newer_version() => Exit::NewerVersion,
                Failure::Spool(error) if error.is_locked() => Exit::Locked,
                Failure::NotConfirmed(_) => Exit::Usage,
                _ => Exit::Failed,
            }
        }
    }
}

fn check_folder(dir: &Path) -> Result<(), Failure> {
    if dir.join("log").is_dir() { Ok(()) } else { Err(Failure::NoSpool(dir.display().to_string())) }
}

fn stat(dir: &Path, out: &mut dyn Write) -> Result<Exit, Failure> {
    check_folder(dir)?;
    let Overview {
        format_version,
        segments,
        frames,
        records,
        bytes,
        disk_bytes,
        first_seq,
        last_seq,
        first_unix_ms,
        last_unix_ms,
        acknowledged,
        damaged,
    } = inspect::stat(dir)?;
    let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), show_count);
    let waiting = match (acknowledged, first_seq, last_seq) {
        (Some(acknowledged), Some(first), Some(last)) => {
            show_count((last + 1).saturating_sub(acknowledged.max(first)))
        }
        (_, None, _) | (_, _, None) => "0".to_owned(),
        (None, ..) => "not known; at most all".to_owned(),
    };
    writeln!(out, "waiting        {waiting} records")?;
    writeln!(
        out,
        "on disk        {} records, {} in {} frames",
        show_count(records),
        show_bytes(bytes),
        show_count(frames)
    )?;
    writeln!(out, "segments       {segments}, {}", show_bytes(disk_bytes))?;
    writeln!(
        out,
        "numbers        {} to {}, acknowledged below {}",
        number(first_seq),
        number(last_seq),
        number(acknowledged)
    )?;
    writeln!(out, "times          {} to {}", time(first_unix_ms), time(last_unix_ms))?;
    writeln!(
        out,
        "damaged        {damaged} places{}",
        if damaged > 0 { " (see: spillwayd spool verify)" } else { "" }
    )?;
    writeln!(
        out,
        "format         {}",
        format_version.map_or_else(|| "not known".to_owned(), |v| v.to_string())
    )?;
    Ok(Exit::Success)
}

fn time(unix_ms: Option<u64>) -> String {
    unix_ms.map_or_else(|| "-".to_owned(), show_time)
}

fn ls(dir: &Path, out: &mut dyn Write) -> Result<Exit, Failure> {
    check_folder(dir)?;
    writeln!(
        out,
        "{:>12} {:>9} {:>10} {:>10}  {:<24}  place",
        "first", "records", "bytes", "on disk", "time"
    )?;
    let mut written = Ok(());
    inspect::ls(dir, |item| {
        written = match item {
            Item::Frame(frame) => writeln!(
                out,
                "{:>12} {:>9} {:>10} {:>10}  {:<24}  {} at {}",
                frame.first_seq,
                frame.records,
                frame.bytes,
                frame.bytes_on_disk,
                show_time(frame.unix_ms),
                frame.segment.display(),
                frame.offset
            ),
            Item::Bad(bad) => writeln!(out, "{:>12} {}", bad.seqs.start, bad_place(&bad)),
        };
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written?;
    Ok(Exit::Success)
}

fn bad_place(bad: &BadPlace) -> String {
    let lost = bad.seqs.end - bad.seqs.start;
    let what = match bad.problem {
        Problem::Damaged(defect) => format!("damaged ({defect:?})"),
        Problem::Missing => "missing".to_owned(),
        Problem::Unfinished => "unfinished write, nothing lost".to_owned(),
    };
    format!(
        "{what}: {lost} records lost, bytes {} to {} of {}",
        bad.bytes.start,
        bad.bytes.end,
        bad.segment.display()
    )
}

/// A record as `spool cat` prints it. A value that is no text is printed with its bad bytes replaced.
#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    received_ms: i64,
    topic: &'a str,
    id: &'a str,
    source: &'a str,
    key: Option<std::borrow::Cow<'a, str>>,
    value: std::borrow::Cow<'a, str>,
}

fn cat(dir: &Path, from: u64, limit: Option<u64>, raw: bool, out: &mut dyn Write) -> Result<Exit, Failure> {
    check_folder(dir)?;
    let end = limit.map_or(u64::MAX, |limit| from.saturating_add(limit));
    let mut written: Result<(), Failure> = Ok(());
    let mut unreadable = 0_u64;
    inspect::cat(dir, from..end, |record| {
        match record::decode(&record.bytes) {
            Ok(outgoing) => written = print_record(record.seq, &outgoing, raw, out).map_err(Failure::from),
            Err(_) => unreadable += 1,
        }
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written?;
    Ok(if unreadable == 0 { Exit::Success } else { Exit::Failed })
}

fn print_record(seq: u64, record: &Outgoing<'_>, raw: bool, out: &mut dyn Write) -> io::Result<()> {
    if raw {
        out.write_all(record.value)?;
        return out.write_all(b"\n");
    }
    let line = Line {
        seq,
        received_ms: record.timestamp_ms,
        topic: record.topic,
        id: record.id,
        source: record.source,
        key: record.key.map(String::from_utf8_lossy),
        value: String::from_utf8_lossy(record.value),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

fn verify(dir: &Path, out: &mut dyn Write) -> Result<Exit, Failure> {
    check_folder(dir)?;
    let report = inspect::verify(dir)?;
    for bad in &report.bad {
        writeln!(out, "{}", bad_place(bad))?;
    }
    writeln!(
        out,
        "{} records in {} frames are whole ({}); {} records are lost in {} places",
        show_count(report.records),
        show_count(report.frames),
        show_bytes(report.bytes),
        show_count(report.records_lost),
        report.bad.len()
    )?;
    if report.unfinished_bytes > 0 {
        writeln!(
            out,
            "{} at the end are an unfinished write; nothing is lost with them",
            show_bytes(report.unfinished_bytes)
        )?;
    }
    Ok(if report.is_ok() { Exit::Success } else { Exit::Failed })
}
