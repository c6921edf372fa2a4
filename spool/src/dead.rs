//! The dead letters: records that Kafka refused for themselves, with the reason and the time.
//!
//! They lie in a log of their own under `dead/`, in the same frames as the records. A frame holds one entry: a
//! letter, or the note that one was removed. A letter's id is its entry's number.
//!
//! ```text
//!  letter:   01 | unix ms u64 | reason length u16 | reason | record
//!  removal:  02 | id u64
//! ```
//!
//! Guarantees: a letter is durable before its id is returned; removing one twice is not an error. The index
//! lists the letters; without it they are listed from the log, which is the truth. The oldest segment is
//! deleted when all its letters are removed. Never holds letters in memory.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::batch::Batch;
use crate::codec::{Encoder, Stamp};
use crate::config::Codec;
use crate::error::Error;
use crate::fault::Faults;
use crate::files::{remove, sync_dir};
use crate::frame::{Header, MAX_RECORD_BYTES};
use crate::group::Group;
use crate::index::Change;
use crate::index_values::{DeadEntry, REASON_BYTES_MAX};
use crate::scan::Window;
use crate::segment::{self, SegmentFile};
use crate::walk::{End, Met, Span, walk};

/// Size in bytes at which a segment of dead letters is closed.
const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;

const KIND_LETTER: u8 = 1;
const KIND_REMOVAL: u8 = 2;

/// Kind, time and length of the reason.
const LETTER_FRONT: usize = 1 + 8 + 2;

const _: () =
    assert!(LETTER_FRONT + REASON_BYTES_MAX + MAX_RECORD_BYTES + 4 <= crate::frame::MAX_GROUP_BYTES);

/// A dead letter without its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its number: what [`dead_get`](crate::Spool::dead_get) and [`dead_remove`](crate::Spool::dead_remove) take.
    pub id: u64,
    /// Why the record was refused; at most 1,024 bytes are kept.
    pub reason: String,
    /// When it was refused, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// Size of the record in bytes.
    pub bytes: u64,
}

impl From<DeadEntry> for DeadLetter {
    fn from(entry: DeadEntry) -> DeadLetter {
        DeadLetter { id: entry.id, reason: entry.reason, unix_ms: entry.unix_ms, bytes: entry.bytes }
    }
}

/// What one frame of the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Letter { unix_ms: u64, reason: String, record: bytes::Bytes },
    Removal { id: u64 },
}

impl Entry {
    fn decode(bytes: &bytes::Bytes) -> Option<Entry> {
        match *bytes.first()? {
            KIND_LETTER => {
                let unix_ms = u64::from_le_bytes(bytes.get(1..9)?.try_into().ok()?);
                let reason_len = usize::from(u16::from_le_bytes(bytes.get(9..11)?.try_into().ok()?));
                let reason = std::str::from_utf8(bytes.get(LETTER_FRONT..LETTER_FRONT + reason_len)?).ok()?;
                let record = bytes.slice(LETTER_FRONT + reason_len..);
                Some(Entry::Letter { unix_ms, reason: reason.to_owned(), record })
            }
            KIND_REMOVAL => {
                Some(Entry::Removal { id: u64::from_le_bytes(bytes.get(1..9)?.try_into().ok()?) })
            }
            _ => None,
        }
    }
}

/// The open log of dead letters.
pub(crate) struct DeadLog {
    dir: PathBuf,
    spool_id: u32,
    /// Created by the first letter.
    active: Option<SegmentFile>,
    /// Number of the next entry.
    next: u64,
    encoder: Encoder,
    group: Group,
    faults: Faults,
}

impl DeadLog {
    /// Opens the log: cuts a torn tail off its newest segment. `least_next` is a number that was not used yet.
    pub(crate) fn open(dir: &Path, spool_id: u32, least_next: u64, faults: Faults) -> Result<DeadLog, Error> {
        let mut log = DeadLog {
            dir: dir.to_path_buf(),
            spool_id,
            active: None,
            next: least_next.max(1),
            encoder: Encoder::new(Codec::Lz4),
            group: Group::new(),
            faults,
        };
        if let Some((first, len)) = segment::list(dir)?.pop() {
            let end = walk_file(dir, first, len, 0, &mut |_| {});
            log.next = log.next.max(end.next_seq).max(first);
            // Behind damage, or with numbers missing, a new segment keeps names and numbers in step.
            if log.next == end.next_seq {
                let reopened = SegmentFile::reopen(dir, first, end.offset, log.faults.clone());
                log.active =
                    reopened.inspect_err(|error| tracing::warn!(%error, "going on in a new segment")).ok();
            }
        }
        Ok(log)
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Stores a letter durably.
    pub(crate) fn put(
        &mut self,
        record: &[u8],
        reason: &str,
        unix_ms: u64,
        now_ms: u64,
    ) -> Result<DeadEntry, Error> {
        if record.len() > MAX_RECORD_BYTES {
            return Err(Error::RecordTooLarge { bytes: record.len() as u64, limit: MAX_RECORD_BYTES as u64 });
        }
        let reason = shorten(reason, REASON_BYTES_MAX);
        let reason_len = u16::try_from(reason.len()).unwrap_or(u16::MAX);
        let parts: [&[u8]; 5] =
            [&[KIND_LETTER], &unix_ms.to_le_bytes(), &reason_len.to_le_bytes(), reason.as_bytes(), record];
        let (id, segment, offset) = self.append(&parts, now_ms)?;
        Ok(DeadEntry { id, segment, offset, unix_ms, bytes: record.len() as u64, reason: reason.to_owned() })
    }

    /// Notes durably that a letter is removed.
    pub(crate) fn remove(&mut self, id: u64, now_ms: u64) -> Result<(), Error> {
        self.append(&[&[KIND_REMOVAL], &id.to_le_bytes()], now_ms).map(|_| ())
    }

    fn append(&mut self, parts: &[&[u8]], now_ms: u64) -> Result<(u64, u64, u64), Error> {
        let full = self.active.as_ref().is_none_or(|a| a.is_unsound() || a.len() >= SEGMENT_BYTES);
        if full {
            self.active = Some(match self.active.as_ref().map(SegmentFile::first_seq) {
                Some(first) if first == self.next => {
                    SegmentFile::recreate(&self.dir, first, self.faults.clone())?
                }
                _ => SegmentFile::create(&self.dir, self.next, self.faults.clone())?,
            });
        }
        self.group.clear();
        self.group.push_unchecked(parts);
        let stamp = Stamp { first_seq: self.next, unix_ms: now_ms, spool_id: self.spool_id };
        let (_, frame) = self.encoder.encode(&self.group, stamp);
        let Some(active) = &mut self.active else {
            return Err(Error::io("open", &self.dir, std::io::ErrorKind::NotFound.into()));
        };
        let place = (self.next, active.first_seq(), active.len());
        self.faults.point("dead.written");
        active.append(frame)?;
        self.faults.point("dead.synced");
        self.next += 1;
        Ok(place)
    }

    /// Deletes the oldest segments before `segment`, which hold no letter any more. Returns what that freed.
    pub(crate) fn delete_before(&mut self, segment: u64) -> Result<(), Error> {
        let mut deleted = false;
        for (first, _) in segment::list(&self.dir)? {
            if first < segment && self.active.as_ref().is_none_or(|active| active.first_seq() != first) {
                remove(&segment::path(&self.dir, first))?;
                deleted = true;
            }
        }
        if deleted { sync_dir(&self.dir) } else { Ok(()) }
    }
}

/// Bytes of all segments of the log.
pub(crate) fn size(dir: &Path) -> u64 {
    segment::list(dir).unwrap_or_default().iter().map(|(_, len)| len).sum()
}

/// The front of a text, at most `max` bytes of it, cut between characters.
fn shorten(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn walk_file(dir: &Path, first: u64, len: u64, verify_from: u64, met: &mut dyn FnMut(Met)) -> End {
    let span = Span { first_seq: first, bound: u64::MAX, len, verify_from, spool_id: None };
    match File::open(segment::path(dir, first)) {
        Ok(file) => walk(&file, span, met),
        Err(error) => {
            tracing::error!(path = %segment::path(dir, first).display(), %error, "cannot read dead letters");
            End { next_seq: first, ..End::default() }
        }
    }
}

/// Reads the entry whose frame lies at `offset` of a segment.
fn read_entry(dir: &Path, segment: u64, offset: u64) -> Option<(Header, Entry)> {
    let file = File::open(segment::path(dir, segment)).ok()?;
    let len = file.metadata().ok()?.len();
    let mut window = Window::default();
    let header = window.header(&file, offset, len).ok()?.ok()?;
    let body = window.body(&file, offset, &header).ok()?;
    let batch = Batch::decode(&header, body, header.first_seq).ok()?;
    Some((header, Entry::decode(&batch.record(0))?))
}

/// The letter of this entry with its record, if the log still has it.
pub(crate) fn read(dir: &Path, entry: &DeadEntry) -> Option<(DeadLetter, Vec<u8>)> {
    let (header, found) = read_entry(dir, entry.segment, entry.offset)?;
    match found {
        Entry::Letter { unix_ms, reason, record } if header.first_seq == entry.id => {
            let letter = DeadLetter { id: entry.id, reason, unix_ms, bytes: record.len() as u64 };
            Some((letter, record.to_vec()))
        }
        _ => None,
    }
}

/// Tells the index every entry from number `from` on, in order.
pub(crate) fn replay(dir: &Path, from: u64, sink: &mut dyn FnMut(Change)) {
    let segments = segment::list(dir).unwrap_or_default();
    let mut through = from;
    for (index, (first, len)) in segments.iter().enumerate() {
        if segments.get(index + 1).is_some_and(|(next, _)| *next <= from) {
            continue;
        }
        let end = walk_file(dir, *first, *len, u64::MAX, &mut |met| match met {
            Met::Frame(frame) if frame.first_seq >= from => match read_entry(dir, *first, frame.offset) {
                Some((header, Entry::Letter { unix_ms, reason, record })) => sink(Change::Dead(DeadEntry {
                    id: header.first_seq,
                    segment: *first,
                    offset: frame.offset,
                    unix_ms,
                    bytes: record.len() as u64,
                    reason,
                })),
                Some((_, Entry::Removal { id })) => sink(Change::DeadRemoved(id)),
                None => tracing::error!(segment = first, offset = frame.offset, "a dead letter is damaged"),
            },
            Met::Damage(damage) => {
                tracing::error!(segment = first, offset = damage.bytes.start, "dead letters are damaged");
            }
            Met::Frame(_) => {}
        });
        through = through.max(end.next_seq);
    }
    sink(Change::DeadThrough(through));
}

/// The letters from `id` on, at most `limit`, from the log itself: for when there is no index.
pub(crate) fn list_from_log(dir: &Path, id: u64, limit: usize) -> Vec<DeadEntry> {
    let mut removed = BTreeSet::new();
    replay(dir, 0, &mut |change| {
        if let Change::DeadRemoved(id) = change {
            removed.insert(id);
        }
    });
    let mut found = Vec::new();
    replay(dir, id, &mut |change| {
        if let Change::Dead(entry) = change
            && found.len() < limit
            && !removed.contains(&entry.id)
        {
            found.push(entry);
        }
    });
    found
}
