//! Reads a whole topic with `kcat`: a reader that shares neither process nor build with the code under
//! test. Each record is looked at as it passes and not kept.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStderr, Command, Stdio};

use crate::children;
use crate::numbered::Numbered;
use crate::oracle::chaos::Found;

/// Reading takes no longer than this, whatever the brokers do; seconds.
const PATIENCE_SECONDS: &str = "120";
/// One record: a line of numbers and headers, the length of the payload among them, then the payload.
const FORMAT: &str = "%p %o %T %S %h\\n%s\\n";
/// The longest payload that is believed.
const PAYLOAD_MAX: usize = 64 << 20;

/// Why a topic could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no `kcat`.
    #[error("kcat is not installed; on Debian: apt-get install kcat")]
    Missing,
    /// It could not be run or read.
    #[error("cannot run kcat")]
    Run(#[from] std::io::Error),
    /// It failed.
    #[error("kcat ended with {status}: {said}")]
    Failed {
        /// Its exit status; 124 when it took too long.
        status: std::process::ExitStatus,
        /// What it said.
        said: String,
    },
    /// It printed something else than it was asked to.
    #[error("kcat printed what is no record: {0:?}")]
    Form(String),
    /// The offsets that it gave have a hole.
    #[error("partition {partition}: offset {got} follows instead of {expected}")]
    Hole {
        /// The partition.
        partition: i32,
        /// The offset that was to come.
        expected: i64,
        /// The one that came.
        got: i64,
    },
}

/// Whether `kcat` can be run.
///
/// # Errors
/// [`Error::Missing`], which says what to install.
pub fn check() -> Result<(), Error> {
    let ran = children::output(Command::new("kcat").arg("-V"));
    if ran.is_ok_and(|output| output.status.success()) { Ok(()) } else { Err(Error::Missing) }
}

/// Reads all partitions of `topic` from their beginning to the end that they have now. Each partition's
/// records come in the order of offsets, which begin at 0 and have no holes.
///
/// # Errors
/// When `kcat` fails or what it gives is not whole.
pub fn read(bootstrap: &str, topic: &str, load: Numbered) -> Result<Vec<Found>, Error> {
    let mut command = Command::new("timeout");
    command
        .args([PATIENCE_SECONDS, "kcat", "-C", "-q", "-e", "-o", "beginning", "-f", FORMAT])
        .args(["-b", bootstrap, "-t", topic, "-X", "fetch.wait.max.ms=50", "-X", "log_level=3"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = children::spawn(&mut command)?;
    // It says little: its pipe does not fill while the records are read.
    let said = child.stderr.take();
    let found = match child.stdout.take() {
        Some(out) => records(BufReader::with_capacity(1 << 20, out), load),
        None => Ok(Vec::new()),
    };
    let status = child.wait()?;
    if !status.success() {
        return Err(Error::Failed { status, said: said.map(text).unwrap_or_default() });
    }
    found
}

fn text(mut stderr: ChildStderr) -> String {
    let mut text = String::new();
    // What cannot be read is not worth another error: it only explains the first.
    let _ = stderr.read_to_string(&mut text);
    text
}

/// The records that `kcat` printed in [`FORMAT`].
fn records(mut out: impl BufRead, load: Numbered) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    let mut next: BTreeMap<i32, i64> = BTreeMap::new();
    let (mut line, mut payload) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        if out.read_until(b'\n', &mut line)? == 0 {
            return Ok(found);
        }
        let (mut record, len) = head(&line)?;
        payload.resize(len + 1, 0);
        out.read_exact(&mut payload)?;
        if payload.pop() != Some(b'\n') {
            return Err(Error::Form("a payload that does not end where it should".to_owned()));
        }
        record.number = load.read(&payload);
        let expected = next.entry(record.partition).or_default();
        if record.offset != *expected {
            let (partition, expected, got) = (record.partition, *expected, record.offset);
            return Err(Error::Hole { partition, expected, got });
        }
        *expected += 1;
        found.push(record);
    }
}

/// The line before a payload, and the payload's length.
fn head(line: &[u8]) -> Result<(Found, usize), Error> {
    let text = String::from_utf8_lossy(line);
    parse_head(&text).ok_or_else(|| Error::Form(text.chars().take(200).collect()))
}

fn parse_head(line: &str) -> Option<(Found, usize)> {
    let mut words = line.strip_suffix('\n')?.splitn(5, ' ');
    let partition = words.next()?.parse().ok()?;
    let offset = words.next()?.parse().ok()?;
    let at_ms = words.next()?.parse().ok()?;
    // -1 is a record without a payload.
    let len: i64 = words.next()?.parse().ok()?;
    let len = usize::try_from(len.max(0)).ok().filter(|len| *len <= PAYLOAD_MAX)?;
    let headers = words.next()?;
    let id = headers.split(',').find_map(|header| header.strip_prefix("spillway-id=")).map(str::to_owned);
    Some((Found { partition, offset, at_ms, id, number: Err(crate::numbered::Foreign::Form) }, len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbered::Foreign;

    fn printed(load: Numbered, records: &[(i32, i64, u64)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (partition, offset, n) in records {
            let line = load.line(*n);
            let id = Numbered::id(*n);
            out.extend(
                format!("{partition} {offset} 77 {} spillway-source=x,spillway-id={id}\n", line.len())
                    .bytes(),
            );
            out.extend(&line[..]);
            out.push(b'\n');
        }
        out
    }

    #[test]
    fn what_is_printed_is_read() {
        let load = Numbered::new(3);
        let out = printed(load, &[(0, 0, 4), (1, 0, 5), (0, 1, 6)]);
        let found = records(&out[..], load).unwrap();
        assert_eq!(
            found.iter().map(|f| (f.partition, f.offset, f.number)).collect::<Vec<_>>(),
            [(0, 0, Ok(4)), (1, 0, Ok(5)), (0, 1, Ok(6))]
        );
        assert_eq!((found[0].id.clone(), found[0].at_ms), (Some(Numbered::id(4)), 77));
    }

    #[test]
    fn a_payload_with_line_ends_a_foreign_one_and_none_at_all_are_told() {
        let out = b"0 0 1 3 spillway-id=1\na\nb\n0 1 1 -1 \n\n";
        let found = records(&out[..], Numbered::new(3)).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|f| f.number == Err(Foreign::Form)));
        assert_eq!(found[1].id, None);
    }

    #[test]
    fn holes_and_cut_output_are_errors() {
        let load = Numbered::new(3);
        let hole = printed(load, &[(0, 0, 4), (0, 2, 5)]);
        assert!(matches!(records(&hole[..], load), Err(Error::Hole { expected: 1, got: 2, .. })));
        let whole = printed(load, &[(0, 0, 4)]);
        assert!(records(&whole[..whole.len() - 5], load).is_err());
        assert!(matches!(records(&b"nonsense\n"[..], load), Err(Error::Form(_))));
    }
}
