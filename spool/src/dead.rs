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
//! Guarantees: a letter is durable before its id is returned; removing one twice is not an error. Several entries
//! share one write and one fdatasync. The oldest segment is deleted when all its letters are removed. Never holds
//! letters in memory. This file writes the log; `dead_read` reads it.

use std::path::{Path, PathBuf};

use crate::codec::{Encoder, Stamp};
use crate::config::Codec;
use crate::dead_read::{Stretch, walk_file};
use crate::error::Error;
use crate::fault::Faults;
use crate::files::{remove, sync_dir};
use crate::frame::MAX_RECORD_BYTES;
use crate::group::Group;
use crate::index_values::{DeadEntry, REASON_BYTES_MAX};
use crate::segment::{self, SegmentFile};

/// Size in bytes at which a segment of dead letters is closed.
const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;

pub(crate) const KIND_LETTER: u8 = 1;
pub(crate) const KIND_REMOVAL: u8 = 2;

/// A buffer that grew beyond this is given back after its write.
const FRAMES_KEPT_BYTES: usize = 1024 * 1024;

/// Kind, time and length of the reason.
pub(crate) const LETTER_FRONT: usize = 1 + 8 + 2;

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

/// A record that is to become a dead letter.
#[derive(Debug, Clone, Copy)]
pub struct NewDeadLetter<'a> {
    /// The record.
    pub record: &'a [u8],
    /// Why it was refused.
    pub reason: &'a str,
    /// When it was refused, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
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
    /// The frames of one write.
    frames: Vec<u8>,
    /// The number of each of them, and its offset in `frames`.
    places: Vec<(u64, u64)>,
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
            frames: Vec::new(),
            places: Vec::new(),
            faults,
        };
        if let Some((first, len)) = segment::list(dir)?.pop() {
            let end = walk_file(dir, Stretch { first, bound: u64::MAX, len, verify_from: 0 }, &mut |_| {});
            log.next = log.next.max(end.next_seq).max(first);
            // Behind damage, or with numbers missing, a new segment keeps names and numbers in step.
            if log.next == end.next_seq {
                let reopened = SegmentFile::reopen(dir, first, end.offset, log.faults.clone());
                log.active =
                    reopened.inspect_err(|error| tracing::warn!(event = "spool_new_segment", %error, "going on in a new segment")).ok();
            }
        }
        Ok(log)
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Stores letters durably: all of them or none.
    pub(crate) fn put(
        &mut self,
        letters: &[NewDeadLetter<'_>],
        now_ms: u64,
    ) -> Result<Vec<DeadEntry>, Error> {
        let too_large = letters.iter().map(|letter| letter.record.len()).find(|len| *len > MAX_RECORD_BYTES);
        if let Some(len) = too_large {
            return Err(Error::RecordTooLarge { bytes: len as u64, limit: MAX_RECORD_BYTES as u64 });
        }
        self.begin()?;
        for letter in letters {
            let reason = shorten(letter.reason, REASON_BYTES_MAX);
            let reason_len = u16::try_from(reason.len()).unwrap_or(u16::MAX);
            let front = (letter.unix_ms.to_le_bytes(), reason_len.to_le_bytes());
            self.add(&[&[KIND_LETTER], &front.0, &front.1, reason.as_bytes(), letter.record], now_ms);
        }
        let (segment, places) = self.write()?;
        let entry = |(letter, (id, offset)): (&NewDeadLetter<'_>, (u64, u64))| DeadEntry {
            id,
            segment,
            offset,
            unix_ms: letter.unix_ms,
            bytes: letter.record.len() as u64,
            reason: shorten(letter.reason, REASON_BYTES_MAX).to_owned(),
        };
        Ok(letters.iter().zip(places).map(entry).collect())
    }

    /// Notes durably that letters are removed.
    pub(crate) fn remove(&mut self, ids: &[u64], now_ms: u64) -> Result<(), Error> {
        self.begin()?;
        for id in ids {
            self.add(&[&[KIND_REMOVAL], &id.to_le_bytes()], now_ms);
        }
        self.write().map(|_| ())
    }

    /// Begins a write, in a new segment when the active one is full or cannot be trusted.
    fn begin(&mut self) -> Result<(), Error> {
        self.frames.clear();
        self.places.clear();
        let full = self.active.as_ref().is_none_or(|a| a.is_unsound() || a.len() >= SEGMENT_BYTES);
        if full {
            self.active = Some(match self.active.as_ref().map(SegmentFile::first_seq) {
                Some(first) if first == self.next => {
                    SegmentFile::recreate(&self.dir, first, self.faults.clone())?
                }
                _ => SegmentFile::create(&self.dir, self.next, self.faults.clone())?,
            });
        }
        Ok(())
    }

    /// Adds an entry, in a frame of its own, to the write.
    fn add(&mut self, parts: &[&[u8]], now_ms: u64) {
        self.group.clear();
        self.group.push_unchecked(parts);
        let number = self.next + self.places.len() as u64;
        let stamp = Stamp { first_seq: number, unix_ms: now_ms, spool_id: self.spool_id };
        let (_, frame) = self.encoder.encode(&self.group, stamp);
        self.places.push((number, self.frames.len() as u64));
        self.frames.extend_from_slice(frame);
    }

    /// Makes what was added durable; the segment, and each entry's number and offset.
    fn write(&mut self) -> Result<(u64, Vec<(u64, u64)>), Error> {
        let Some(active) = &mut self.active else {
            return Err(Error::io("open", &self.dir, std::io::ErrorKind::NotFound.into()));
        };
        let (segment, base) = (active.first_seq(), active.len());
        self.faults.point("dead.written");
        active.append(&self.frames)?;
        self.faults.point("dead.synced");
        self.next += self.places.len() as u64;
        if self.frames.capacity() > FRAMES_KEPT_BYTES {
            self.frames = Vec::new();
        }
        let places = std::mem::take(&mut self.places);
        Ok((segment, places.into_iter().map(|(number, offset)| (number, base + offset)).collect()))
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
