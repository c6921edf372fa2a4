//! Reads the log of dead letters; its layout is in `dead`.
//!
//! Guarantees: a letter that was removed is not shown, wherever the note of its removal lies; damage is stepped over
//! and told. Writes nothing and needs no lock, so it works beside a running daemon. Holds one letter in memory.

use std::collections::BTreeSet;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

use bytes::Bytes;

use crate::batch::Batch;
use crate::dead::{DeadLetter, KIND_LETTER, KIND_REMOVAL, LETTER_FRONT};
use crate::error::Error;
use crate::frame::{Defect, Header};
use crate::index::Change;
use crate::index_values::DeadEntry;
use crate::scan::Window;
use crate::segment;
use crate::walk::{Damage, End, Met, Span, walk};

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

/// A segment of the log to be walked; see [`Span`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) first: u64,
    pub(crate) bound: u64,
    pub(crate) len: u64,
    pub(crate) verify_from: u64,
}

pub(crate) fn walk_file(dir: &Path, stretch: Stretch, met: &mut dyn FnMut(Met)) -> End {
    let Stretch { first, bound, len, verify_from } = stretch;
    let span = Span { first_seq: first, bound, len, verify_from, spool_id: None };
    match File::open(segment::path(dir, first)) {
        Ok(file) => walk(&file, span, met),
        Err(error) => {
            // Beside a running daemon: deleted since it was listed, because all its letters were removed.
            if error.kind() != std::io::ErrorKind::NotFound {
                tracing::error!(event = "dead_letters_unreadable", path = %segment::path(dir, first).display(), %error, "cannot read dead letters");
            }
            End { next_seq: first, ..End::default() }
        }
    }
}

/// A segment whose entries are read one by one.
struct Entries {
    segment: u64,
    file: File,
    len: u64,
    window: Window,
}

impl Entries {
    fn open(dir: &Path, segment: u64) -> Option<Entries> {
        let file = File::open(segment::path(dir, segment)).ok()?;
        let len = file.metadata().ok()?.len();
        Some(Entries { segment, file, len, window: Window::default() })
    }

    /// The entry whose frame lies at `offset`.
    fn read(&mut self, offset: u64) -> Option<(Header, Entry)> {
        let header = self.window.header(&self.file, offset, self.len).ok()?.ok()?;
        let body = self.window.body(&self.file, offset, &header).ok()?;
        let batch = Batch::decode(&header, body, header.first_seq).ok()?;
        Some((header, Entry::decode(&batch.record(0))?))
    }
}

/// The letters of these entries with their records, as far as the log still has them.
pub(crate) fn read(dir: &Path, entries: &[DeadEntry]) -> Vec<(DeadLetter, Vec<u8>)> {
    let mut open: Option<Entries> = None;
    let mut letters = Vec::with_capacity(entries.len());
    for entry in entries {
        if open.as_ref().is_none_or(|open| open.segment != entry.segment) {
            open = Entries::open(dir, entry.segment);
        }
        let found = open.as_mut().and_then(|open| open.read(entry.offset));
        if let Some((header, Entry::Letter { unix_ms, reason, record })) = found
            && header.first_seq == entry.id
        {
            let letter = DeadLetter { id: entry.id, reason, unix_ms, bytes: record.len() as u64 };
            letters.push((letter, record.to_vec()));
        }
    }
    letters
}

/// What a pass over the log meets.
enum Seen<'a> {
    Entry { segment: u64, offset: u64, header: &'a Header, entry: Entry },
    Damage { segment: u64, damage: Damage },
}

/// Goes over every entry from number `from` on, in order. Returns the number after the last one.
fn pass(dir: &Path, from: u64, see: &mut dyn FnMut(Seen<'_>) -> ControlFlow<()>) -> u64 {
    let segments = segment::list(dir).unwrap_or_default();
    let mut through = from;
    for (index, (first, len)) in segments.iter().enumerate() {
        let next = segments.get(index + 1).map(|(next, _)| *next);
        if next.is_some_and(|next| next <= from) {
            continue;
        }
        let stretch =
            Stretch { first: *first, bound: next.unwrap_or(u64::MAX), len: *len, verify_from: u64::MAX };
        let mut flow = ControlFlow::Continue(());
        // Opened when the first entry is read: the walk says what is wrong with the file.
        let mut entries = None;
        let end = walk_file(dir, stretch, &mut |met| {
            if flow.is_break() {
                return;
            }
            flow = match met {
                Met::Frame(frame) if frame.first_seq < from => ControlFlow::Continue(()),
                Met::Frame(frame) => match read_one(&mut entries, dir, *first, frame.offset) {
                    Some((header, entry)) => {
                        see(Seen::Entry { segment: *first, offset: frame.offset, header: &header, entry })
                    }
                    None => see(Seen::Damage {
                        segment: *first,
                        damage: Damage {
                            bytes: frame.offset..frame.offset + frame.frame_len,
                            seqs: frame.first_seq..frame.end_seq(),
                            defect: Defect::Body,
                        },
                    }),
                },
                Met::Damage(damage) => see(Seen::Damage { segment: *first, damage }),
            };
        });
        through = through.max(end.next_seq);
        if flow.is_break() {
            break;
        }
    }
    through
}

fn read_one(entries: &mut Option<Entries>, dir: &Path, first: u64, offset: u64) -> Option<(Header, Entry)> {
    if entries.is_none() {
        *entries = Entries::open(dir, first);
    }
    entries.as_mut()?.read(offset)
}

/// Tells the index every entry from number `from` on, in order.
pub(crate) fn replay(dir: &Path, from: u64, sink: &mut dyn FnMut(Change)) {
    let through = pass(dir, from, &mut |seen| {
        match seen {
            Seen::Entry { segment, offset, header, entry: Entry::Letter { unix_ms, reason, record } } => {
                let (id, bytes) = (header.first_seq, record.len() as u64);
                sink(Change::Dead(DeadEntry { id, segment, offset, unix_ms, bytes, reason }));
            }
            Seen::Entry { entry: Entry::Removal { id }, .. } => sink(Change::DeadRemoved(id)),
            Seen::Damage { segment, damage } => {
                tracing::error!(
                    event = "dead_letters_damaged",
                    segment,
                    offset = damage.bytes.start,
                    "dead letters are damaged"
                );
            }
        }
        ControlFlow::Continue(())
    });
    sink(Change::DeadThrough(through));
}

fn removed(dir: &Path) -> BTreeSet<u64> {
    let mut removed = BTreeSet::new();
    pass(dir, 0, &mut |seen| {
        if let Seen::Entry { entry: Entry::Removal { id }, .. } = seen {
            removed.insert(id);
        }
        ControlFlow::Continue(())
    });
    removed
}

/// The letters from `id` on, at most `limit`, from the log itself: for when there is no index.
pub(crate) fn list_from_log(dir: &Path, id: u64, limit: usize) -> Vec<DeadEntry> {
    let removed = removed(dir);
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

/// Shows every letter that is not removed, in order, until `visit` breaks off. Returns how many are damaged.
pub(crate) fn visit(
    dir: &Path,
    visit: &mut dyn FnMut(DeadLetter, Bytes) -> ControlFlow<()>,
) -> Result<u64, Error> {
    segment::list(dir)?;
    let removed = removed(dir);
    let mut damaged = 0;
    pass(dir, 0, &mut |seen| match seen {
        Seen::Entry { header, entry: Entry::Letter { unix_ms, reason, record }, .. }
            if !removed.contains(&header.first_seq) =>
        {
            let bytes = record.len() as u64;
            visit(DeadLetter { id: header.first_seq, reason, unix_ms, bytes }, record)
        }
        Seen::Entry { .. } => ControlFlow::Continue(()),
        Seen::Damage { damage, .. } => {
            let known = removed.range(damage.seqs.clone()).count() as u64;
            damaged += (damage.seqs.end - damage.seqs.start).saturating_sub(known);
            ControlFlow::Continue(())
        }
    });
    Ok(damaged)
}
