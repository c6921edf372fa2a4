//! A read-only look at a spool's folder.
//!
//! Guarantees: takes no lock, opens no index and writes nothing, so it works while a daemon runs. What that
//! daemon is writing at this moment shows as unfinished, not as damage; what it deletes meanwhile is left out.
//! Holds one frame in memory, whatever the size of the spool. Never repairs: opening the spool does that.

use std::fs::File;
use std::io;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::batch::Batch;
use crate::checkpoint;
use crate::dead::DeadLetter;
use crate::dead_read;
use crate::error::Error;
use crate::frame::{Defect, FORMAT_VERSION};
use crate::index_values::FrameEntry;
use crate::layout::{Format, Layout};
use crate::scan::Window;
use crate::segment;
use crate::walk::{Damage, Met, Span, walk};

/// What a spool holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    /// Format version of the folder; `None` if its FORMAT file is missing or damaged.
    pub format_version: Option<u32>,
    /// Segments in the log.
    pub segments: u64,
    /// Whole frames, acknowledged ones that are not deleted yet included.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of those records.
    pub bytes: u64,
    /// Bytes of the segments on disk.
    pub disk_bytes: u64,
    /// The first sequence number on disk; `None` if there is no frame.
    pub first_seq: Option<u64>,
    /// The last sequence number on disk; `None` if there is no frame.
    pub last_seq: Option<u64>,
    /// When the first frame was appended, in milliseconds since the Unix epoch.
    pub first_unix_ms: Option<u64>,
    /// When the last frame was appended, in milliseconds since the Unix epoch.
    pub last_unix_ms: Option<u64>,
    /// The first record that is not acknowledged, as far as that is durable: a running daemon is up to a second
    /// ahead. `None` if it is not known.
    pub acknowledged: Option<u64>,
    /// Damaged places, missing segments included. Only headers are read: [`verify`] finds more.
    pub damaged: u64,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameInfo {
    /// Sequence number of its first record.
    pub first_seq: u64,
    /// Number of records.
    pub records: u32,
    /// The file it lies in.
    pub segment: PathBuf,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// Its length on disk in bytes.
    pub bytes_on_disk: u64,
    /// Bytes of its records.
    pub bytes: u64,
    /// When it was appended, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// Why a place is not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The bytes are damaged.
    Damaged(Defect),
    /// The numbering jumps from one segment to the next: a file is missing, or the end of one.
    Missing,
    /// A write at the very end that was not finished: a crash, or a daemon at work. Nothing is lost.
    Unfinished,
}

/// A place that is not a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPlace {
    /// The file in which, or after which, it is; for what is missing at the front, the file that would hold it.
    pub segment: PathBuf,
    /// The bytes in question; empty if there are none.
    pub bytes: Range<u64>,
    /// The sequence numbers that are lost there; empty if there are none.
    pub seqs: Range<u64>,
    /// What is wrong.
    pub problem: Problem,
}

/// What lies next in a spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A whole frame.
    Frame(FrameInfo),
    /// Something else.
    Bad(BadPlace),
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its sequence number.
    pub seq: u64,
    /// When its frame was appended, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// The record.
    pub bytes: Bytes,
}

/// The result of a full check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Whole frames.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of those records.
    pub bytes: u64,
    /// Records that are lost.
    pub records_lost: u64,
    /// Bytes of an unfinished write at the end.
    pub unfinished_bytes: u64,
    /// Every place that is damaged or missing, in order.
    pub bad: Vec<BadPlace>,
}

impl Report {
    /// True if nothing is damaged or missing.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.bad.is_empty()
    }
}

/// Sums the spool up. Reads headers only.
///
/// # Errors
/// [`Error::NewerVersion`], or [`Error::Io`] if the folder cannot be read.
pub fn stat(dir: &Path) -> Result<Overview, Error> {
    let layout = Layout::new(dir);
    let mut seen = Overview {
        format_version: match layout.read_format()? {
            Format::Version { version, .. } => Some(version),
            _ => None,
        },
        acknowledged: checkpoint::read(dir, None).map(|state| state.acknowledged),
        ..Overview::default()
    };
    let files = segment::list(&layout.log)?;
    seen.segments = files.len() as u64;
    seen.disk_bytes = files.iter().map(|(_, len)| len).sum();
    scan(dir, 1..u64::MAX, Check::Headers, &mut |item| {
        match item {
            Item::Frame(frame) => {
                seen.frames += 1;
                seen.records += u64::from(frame.records);
                seen.bytes += frame.bytes;
                seen.first_seq.get_or_insert(frame.first_seq);
                seen.last_seq = Some(frame.first_seq + u64::from(frame.records) - 1);
                seen.first_unix_ms.get_or_insert(frame.unix_ms);
                seen.last_unix_ms = Some(frame.unix_ms);
            }
            Item::Bad(bad) => seen.damaged += u64::from(bad.problem != Problem::Unfinished),
        }
        ControlFlow::Continue(())
    })?;
    Ok(seen)
}

/// Shows every frame and every place that is none, in order, until `visit` breaks off. Bodies are verified.
///
/// # Errors
/// [`Error::NewerVersion`], or [`Error::Io`] if the folder cannot be read.
pub fn ls(dir: &Path, mut visit: impl FnMut(Item) -> ControlFlow<()>) -> Result<(), Error> {
    scan(dir, 1..u64::MAX, Check::Bodies, &mut visit)
}

/// Shows the records with sequence numbers in `range`, in order, until `visit` breaks off. Damaged frames are
/// left out: [`verify`] names them.
///
/// # Errors
/// [`Error::NewerVersion`], or [`Error::Io`] if the folder cannot be read.
pub fn cat(
    dir: &Path,
    range: Range<u64>,
    mut visit: impl FnMut(Record) -> ControlFlow<()>,
) -> Result<(), Error> {
    let mut open: Option<(PathBuf, File)> = None;
    let mut window = Window::default();
    scan(dir, range.clone(), Check::Headers, &mut |item| {
        let Item::Frame(frame) = item else { return ControlFlow::Continue(()) };
        if open.as_ref().is_none_or(|(path, _)| *path != frame.segment) {
            window.reset();
            open = File::open(&frame.segment).ok().map(|file| (frame.segment.clone(), file));
        }
        // A file that is gone was drained and deleted meanwhile.
        let Some((_, file)) = &open else { return ControlFlow::Continue(()) };
        let Some(batch) = read_batch(file, &mut window, &frame, range.start) else {
            return ControlFlow::Continue(());
        };
        let numbers = batch.first_seq()..batch.end_seq().min(range.end);
        for (index, seq) in numbers.enumerate() {
            visit(Record { seq, unix_ms: batch.unix_ms(), bytes: batch.record(index) })?;
        }
        ControlFlow::Continue(())
    })
}

/// Shows the dead letters with their records, oldest first, until `visit` breaks off. Returns how many are damaged;
/// those are left out.
///
/// # Errors
/// [`Error::NewerVersion`], or [`Error::Io`] if the folder cannot be read.
pub fn dead(dir: &Path, mut visit: impl FnMut(DeadLetter, Bytes) -> ControlFlow<()>) -> Result<u64, Error> {
    let layout = Layout::new(dir);
    layout.refuse_newer()?;
    dead_read::visit(&layout.dead, &mut visit)
}

fn read_batch(file: &File, window: &mut Window, frame: &FrameInfo, from: u64) -> Option<Batch> {
    let limit = frame.offset + frame.bytes_on_disk;
    let header = window.header(file, frame.offset, limit).ok()?.ok()?;
    let body = window.body(file, frame.offset, &header).ok()?;
    Batch::decode(&header, body, from).ok()
}

/// Checks every byte, and names every place that is damaged or missing.
///
/// # Errors
/// [`Error::NewerVersion`], or [`Error::Io`] if the folder cannot be read.
pub fn verify(dir: &Path) -> Result<Report, Error> {
    let mut report = Report::default();
    ls(dir, |item| {
        match item {
            Item::Frame(frame) => {
                report.frames += 1;
                report.records += u64::from(frame.records);
                report.bytes += frame.bytes;
            }
            Item::Bad(bad) if bad.problem == Problem::Unfinished => {
                report.unfinished_bytes += bad.bytes.end - bad.bytes.start;
            }
            Item::Bad(bad) => {
                report.records_lost += bad.seqs.end - bad.seqs.start;
                report.bad.push(bad);
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(report)
}

/// How closely a scan looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Headers,
    Bodies,
}

type Visit<'a> = &'a mut dyn FnMut(Item) -> ControlFlow<()>;

/// Goes over the segments that can hold a record of `range`.
fn scan(dir: &Path, range: Range<u64>, check: Check, visit: Visit<'_>) -> Result<(), Error> {
    let layout = Layout::new(dir);
    layout.refuse_newer()?;
    let spool_id = match layout.read_format()? {
        Format::Version { version, spool_id } if version == u32::from(FORMAT_VERSION) => Some(spool_id),
        _ => None,
    };
    // Before the listing: a running daemon's log is then never behind the tail that is remembered.
    let remembered = checkpoint::read(dir, spool_id).map_or(0, |state| state.tail.max(state.acknowledged));
    let files = segment::list(&layout.log)?;
    // After the listing: whatever it no longer shows was acknowledged by then.
    let acknowledged = checkpoint::read(dir, spool_id).map(|state| state.acknowledged);
    if let (Some(acknowledged), Some((first, _))) = (acknowledged, files.first())
        && acknowledged < *first
        && range.contains(&acknowledged)
    {
        let segment = segment::path(&layout.log, acknowledged);
        let gap = BadPlace { segment, bytes: 0..0, seqs: acknowledged..*first, problem: Problem::Missing };
        if visit(Item::Bad(gap)).is_break() {
            return Ok(());
        }
    }
    for (index, (first, _)) in files.iter().enumerate() {
        let next = files.get(index + 1).map(|(next, _)| *next);
        if next.is_some_and(|next| next <= range.start) || *first >= range.end {
            continue;
        }
        let one =
            Segment { path: segment::path(&layout.log, *first), first: *first, next, remembered, spool_id };
        if one.scan(&range, check, visit)?.is_break() {
            break;
        }
    }
    Ok(())
}

struct Segment {
    path: PathBuf,
    first: u64,
    next: Option<u64>,
    /// The tail as the checkpoint remembers it.
    remembered: u64,
    spool_id: Option<u32>,
}

impl Segment {
    fn scan(&self, range: &Range<u64>, check: Check, visit: Visit<'_>) -> Result<ControlFlow<()>, Error> {
        let opened = File::open(&self.path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (len, file) = match opened {
            Ok(opened) => opened,
            // Deleted since it was listed: drained.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ControlFlow::Continue(())),
            Err(error) => return Err(Error::io("open", &self.path, error)),
        };
        let span = Span {
            first_seq: self.first,
            bound: self.next.unwrap_or(u64::MAX),
            len,
            verify_from: if check == Check::Bodies { 0 } else { u64::MAX },
            spool_id: self.spool_id,
        };
        let mut flow = ControlFlow::Continue(());
        let end = walk(&file, span, |met| {
            if flow.is_break() {
                return;
            }
            flow = match met {
                Met::Frame(frame) if frame.end_seq() <= range.start || frame.first_seq >= range.end => {
                    ControlFlow::Continue(())
                }
                Met::Frame(frame) => visit(Item::Frame(self.describe(&frame))),
                Met::Damage(damage) => visit(Item::Bad(self.damaged(damage))),
            };
        });
        if flow.is_continue()
            && let Some(bad) = self.after(end.next_seq, end.rest)
        {
            flow = visit(Item::Bad(bad));
        }
        Ok(flow)
    }

    fn describe(&self, frame: &FrameEntry) -> FrameInfo {
        FrameInfo {
            first_seq: frame.first_seq,
            records: frame.records,
            segment: self.path.clone(),
            offset: frame.offset,
            bytes_on_disk: frame.frame_len,
            bytes: frame.payload_bytes,
            unix_ms: frame.unix_ms,
        }
    }

    fn damaged(&self, damage: Damage) -> BadPlace {
        let Damage { bytes, seqs, defect } = damage;
        BadPlace { segment: self.path.clone(), bytes, seqs, problem: Problem::Damaged(defect) }
    }

    /// What is wrong between the last frame and the next segment, or the remembered tail.
    fn after(&self, next_seq: u64, rest: Option<(Range<u64>, Defect)>) -> Option<BadPlace> {
        let expected = self.next.unwrap_or(self.remembered).max(next_seq);
        let seqs = next_seq..expected;
        let (bytes, problem) = match rest {
            Some((bytes, defect)) if !seqs.is_empty() => (bytes, Problem::Damaged(defect)),
            // Left over from a failed write before the next segment was begun: nothing of it counted.
            Some(_) if self.next.is_some() => return None,
            Some((bytes, _)) => (bytes, Problem::Unfinished),
            None if !seqs.is_empty() => (0..0, Problem::Missing),
            None => return None,
        };
        Some(BadPlace { segment: self.path.clone(), bytes, seqs, problem })
    }
}
