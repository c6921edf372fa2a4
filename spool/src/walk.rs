//! Walking over a segment from frame to frame, and over what is damaged in it.
//!
//! Guarantees: every frame that can be found is reported once, in order; what lies between is reported as
//! damage with the exact sequence numbers it held, as far as the segment itself can tell: a run of bytes at the
//! end that no frame follows is left to the caller. Never writes, never counts.

use std::ops::Range;

use crate::frame::{Defect, Header};
use crate::index_values::FrameEntry;
use crate::scan::{Plausible, ReadAt, Window};

/// A segment to be walked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// The sequence number in its name.
    pub(crate) first_seq: u64,
    /// The next segment's name: frames that pass it are left-overs of failed writes.
    pub(crate) bound: u64,
    /// Bytes to look at.
    pub(crate) len: u64,
    /// From this offset on, bodies are checked too.
    pub(crate) verify_from: u64,
    /// The id that frames found after damage must have.
    pub(crate) spool_id: Option<u32>,
}

/// Bytes that are no frame, and the records that were in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) bytes: Range<u64>,
    pub(crate) seqs: Range<u64>,
    pub(crate) defect: Defect,
}

/// What a walk met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Met {
    Frame(FrameEntry),
    Damage(Damage),
}

/// Where a walk ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct End {
    /// Offset after the last frame.
    pub(crate) offset: u64,
    /// Sequence number after the last frame.
    pub(crate) next_seq: u64,
    /// Bytes of all records in the frames that were met.
    pub(crate) payload_bytes: u64,
    /// Bytes behind the last frame that are no frame and that no frame follows.
    pub(crate) rest: Option<(Range<u64>, Defect)>,
}

/// Walks over the frames of a segment.
pub(crate) fn walk(file: &impl ReadAt, span: Span, mut met: impl FnMut(Met)) -> End {
    let mut window = Window::default();
    let mut end = End { next_seq: span.first_seq, ..End::default() };
    while end.offset < span.len {
        let at = end.offset;
        match check(&mut window, file, at, &span) {
            Ok(header) if header.end_seq() > span.bound => break,
            Ok(header) if header.first_seq >= end.next_seq => {
                if header.first_seq > end.next_seq {
                    let seqs = end.next_seq..header.first_seq;
                    met(Met::Damage(Damage { bytes: at..at, seqs, defect: Defect::Sequence }));
                }
                met(Met::Frame(entry(&header, span.first_seq, at)));
                end.offset = at + header.frame_len();
                end.next_seq = header.end_seq();
                end.payload_bytes += header.payload_bytes();
            }
            other => {
                let defect = other.err().unwrap_or(Defect::Sequence);
                let plausible = Plausible { spool_id: span.spool_id, from: end.next_seq, to: span.bound };
                let Some((found, header)) = window.resync(file, at + 1, span.len, plausible) else {
                    end.rest = Some((at..span.len, defect));
                    break;
                };
                met(Met::Damage(Damage { bytes: at..found, seqs: end.next_seq..header.first_seq, defect }));
                end.offset = found;
                end.next_seq = header.first_seq;
            }
        }
    }
    end
}

fn check(window: &mut Window, file: &impl ReadAt, at: u64, span: &Span) -> Result<Header, Defect> {
    let checked = if at >= span.verify_from {
        window.frame(file, at, span.len)
    } else {
        window.header(file, at, span.len)
    };
    checked.unwrap_or(Err(Defect::Unreadable))
}

fn entry(header: &Header, segment: u64, offset: u64) -> FrameEntry {
    FrameEntry {
        first_seq: header.first_seq,
        segment,
        offset,
        frame_len: header.frame_len(),
        records: header.records,
        payload_bytes: header.payload_bytes(),
        unix_ms: header.unix_ms,
    }
}

/// Offset of the frame in which `seq` lies, or of the first after it; and the bytes of the records in the frames
/// before. Headers only.
pub(crate) fn seek(file: &impl ReadAt, span: Span, seq: u64) -> (u64, u64) {
    let mut before = (0, 0);
    let mut found = None;
    let end = walk(file, Span { verify_from: u64::MAX, ..span }, |met| {
        if let Met::Frame(frame) = met
            && found.is_none()
        {
            if frame.end_seq() > seq {
                found = Some((frame.offset, before.1));
            } else {
                before = (frame.offset + frame.frame_len, before.1 + frame.payload_bytes);
            }
        }
    });
    found.unwrap_or((end.offset.max(before.0), before.1))
}
