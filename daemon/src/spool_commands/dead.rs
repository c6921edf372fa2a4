//! `spillwayd spool dead …`. Looking reads the log of dead letters, whoever has the spool open. Retry and
//! drop are errands: a running daemon does them, asked over its control socket, since it has the spool to
//! itself; without one, this process takes the spool's lock and does the same.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use spillway_daemon::control;
use spillway_daemon::dead::errand::{Action, Done, Errand, Run, Selection};
use spillway_daemon::record;
use spillway_service::exit::Exit;
use spillway_service::units::{show_count, show_time};
use spillway_spool::{DeadLetter, Spool, inspect};

use super::{Failure, check_folder};
use crate::cli::{DeadCommand, Dir, Which};

/// How long a daemon that has the spool, but does not listen yet or any more, is waited for.
const DAEMON_WAIT: Duration = Duration::from_secs(5);
/// How often it is looked for meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longest reason in a line of `ls`.
const REASON_CHARS: usize = 300;

pub(super) fn run(command: &DeadCommand, out: &mut dyn Write) -> Result<Exit, Failure> {
    match command {
        DeadCommand::Ls(Dir { dir }) => ls(dir, out),
        DeadCommand::Cat { dir, ids, raw } => cat(&dir.dir, ids, *raw, out),
        DeadCommand::Retry { dir, which } => carry_out(&dir.dir, Action::Retry, which, out),
        DeadCommand::Drop { which, yes: false, .. } => Err(Failure::NotConfirmed(describe(which))),
        DeadCommand::Drop { dir, which, yes: true } => carry_out(&dir.dir, Action::Drop, which, out),
    }
}

fn describe(which: &Which) -> String {
    if which.all { "all dead letters".to_owned() } else { format!("{} dead letters", which.ids.len()) }
}

fn ls(dir: &Path, out: &mut dyn Write) -> Result<Exit, Failure> {
    check_folder(dir)?;
    writeln!(
        out,
        "{:>8}  {:<24} {:>10}  {:<20} {:<24} reason",
        "id", "refused", "bytes", "topic", "spillway-id"
    )?;
    let mut written = Ok(());
    let damaged = inspect::dead(dir, |letter, record| {
        written = ls_line(&letter, &record, out);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written?;
    if damaged > 0 {
        writeln!(out, "{damaged} more are damaged and cannot be read")?;
    }
    Ok(Exit::Success)
}

fn ls_line(letter: &DeadLetter, record: &[u8], out: &mut dyn Write) -> std::io::Result<()> {
    let DeadLetter { id, reason, unix_ms, bytes } = letter;
    let (topic, record_id, bytes) = match record::decode(record) {
        Ok(outgoing) => (outgoing.topic, outgoing.id, outgoing.value.len() as u64),
        Err(_) => ("?", "?", *bytes),
    };
    // A reason is Kafka's text: it must not break the line.
    let reason: String =
        reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_CHARS).collect();
    let time = show_time(*unix_ms);
    writeln!(out, "{id:>8}  {time:<24} {bytes:>10}  {topic:<20} {record_id:<24} {reason}")
}

/// A dead letter as `dead cat` prints it. A value that is no text is printed with its bad bytes replaced.
#[derive(Serialize)]
struct Line<'a> {
    letter: u64,
    refused_ms: u64,
    reason: &'a str,
    received_ms: i64,
    topic: &'a str,
    id: &'a str,
    source: &'a str,
    key: Option<Cow<'a, str>>,
    value: Cow<'a, str>,
}

fn cat(dir: &Path, ids: &[u64], raw: bool, out: &mut dyn Write) -> Result<Exit, Failure> {
    check_folder(dir)?;
    let mut wanted: BTreeSet<u64> = ids.iter().copied().collect();
    let mut written: Result<(), Failure> = Ok(());
    inspect::dead(dir, |letter, record| {
        if wanted.remove(&letter.id) {
            written = print(&letter, &record, raw, out);
        }
        if written.is_ok() && !wanted.is_empty() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written?;
    Ok(if tell_missing(wanted.iter()) { Exit::Failed } else { Exit::Success })
}

fn print(letter: &DeadLetter, record: &[u8], raw: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let Ok(outgoing) = record::decode(record) else {
        tell(&format!("dead letter {} is no record that this version knows", letter.id));
        return Ok(());
    };
    if raw {
        out.write_all(outgoing.value)?;
    } else {
        let line = Line {
            letter: letter.id,
            refused_ms: letter.unix_ms,
            reason: &letter.reason,
            received_ms: outgoing.timestamp_ms,
            topic: outgoing.topic,
            id: outgoing.id,
            source: outgoing.source,
            key: outgoing.key.map(String::from_utf8_lossy),
            value: String::from_utf8_lossy(outgoing.value),
        };
        serde_json::to_writer(&mut *out, &line).map_err(std::io::Error::from)?;
    }
    Ok(out.write_all(b"\n")?)
}

fn carry_out(dir: &Path, action: Action, which: &Which, out: &mut dyn Write) -> Result<Exit, Failure> {
    check_folder(dir)?;
    let letters = if which.all { Selection::All } else { Selection::Ids(which.ids.clone()) };
    let (done, by_daemon) = ask_or_do(dir, &Errand { action, letters })?;
    let count = show_count(done.letters);
    match (action, by_daemon) {
        (Action::Retry, true) => {
            writeln!(out, "{count} records are in the spool again; the daemon sends them")?
        }
        (Action::Retry, false) => {
            writeln!(out, "{count} records are in the spool again; the daemon sends them when it starts")?;
        }
        (Action::Drop, _) => writeln!(out, "{count} dead letters are deleted")?,
    }
    for id in &done.damaged {
        tell(&format!("dead letter {id} is damaged and cannot be sent; it can only be dropped"));
    }
    let is_missing = tell_missing(done.missing.iter());
    Ok(if is_missing || !done.damaged.is_empty() { Exit::Failed } else { Exit::Success })
}

/// Returns what was done, and whether a daemon did it.
fn ask_or_do(dir: &Path, errand: &Errand) -> Result<(Done, bool), Failure> {
    let deadline = Instant::now() + DAEMON_WAIT;
    loop {
        match control::ask(dir, errand, tell_progress) {
            // Also when the socket of a daemon that was killed is still there.
            Err(error) if error.is_nobody() => {}
            answered => return Ok((answered?, true)),
        }
        match do_here(dir, errand) {
            // A daemon that has just started, or has nearly ended.
            Err(Failure::Spool(error)) if error.is_locked() && Instant::now() < deadline => {
                std::thread::sleep(LOOK_EVERY);
            }
            done => return Ok((done?, false)),
        }
    }
}

/// Does it in this process, with the spool's lock.
fn do_here(dir: &Path, errand: &Errand) -> Result<Done, Failure> {
    let owner = std::fs::metadata(dir)?.uid();
    if owner != rustix::process::geteuid().as_raw() {
        return Err(Failure::WrongUser { owner });
    }
    // The limits are for what comes in. Here records only move from one file of the spool to another, and
    // the space of the first comes back.
    let config =
        spillway_spool::Config { free_floor_bytes: 0, ballast_bytes: 0, ..spillway_spool::Config::new(dir) };
    let (spool, mut appender, _reader) = Spool::open(config)?;
    let mut run = Run::begin(errand.clone(), &spool);
    let mut told = Instant::now();
    loop {
        match run.step(&spool, &mut appender) {
            Ok(true) => {}
            Ok(false) => break,
            Err(source) => return Err(Failure::Errand { letters: run.done().letters, source }),
        }
        if told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            tell_progress(run.done());
        }
    }
    spool.sync()?;
    Ok(run.into_done())
}

fn tell_progress(done: &Done) {
    tell(&format!("{} letters so far", show_count(done.letters)));
}

/// Says which letters there are not; returns whether there are any such.
fn tell_missing<'a>(ids: impl Iterator<Item = &'a u64>) -> bool {
    let ids: Vec<String> = ids.map(u64::to_string).collect();
    if !ids.is_empty() {
        tell(&format!("there is no dead letter {}", ids.join(", ")));
    }
    !ids.is_empty()
}

#[expect(clippy::print_stderr, reason = "a remark beside the answer of a command")]
fn tell(what: &str) {
    eprintln!("spillwayd: {what}");
}
