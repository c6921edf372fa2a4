//! A reader of a spool's frames that shares no code with the spool: written from
//! `docs/spool-format.md`. It takes an undamaged spool and says which bytes hold which records.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes of a frame's header.
const HEADER: usize = 48;
/// Bytes of a slot of the checkpoint.
const SLOT: usize = 128 << 10;

/// One frame.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Its segment, relative to the spool's folder.
    pub segment: PathBuf,
    /// Its bytes in the segment.
    pub place: Range<u64>,
    /// The sequence numbers of its records.
    pub seqs: Range<u64>,
}

/// All frames of the spool in `dir`, in order.
pub fn read(dir: &Path) -> Vec<Frame> {
    let mut segments: Vec<_> =
        std::fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    segments.sort();
    let frames: Vec<_> =
        segments.iter().flat_map(|name| frames_of(dir, &Path::new("log").join(name))).collect();
    for pair in frames.windows(2) {
        assert_eq!(pair[0].seqs.end, pair[1].seqs.start, "an undamaged spool has no gaps: {pair:?}");
    }
    frames
}

fn frames_of(dir: &Path, segment: &Path) -> Vec<Frame> {
    let bytes = std::fs::read(dir.join(segment)).unwrap();
    let mut frames = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let header = &bytes[at..at + HEADER];
        assert_eq!(header[..4], [0xf5, 0x53, 0x50, 0x57], "no frame at {at} of {}", segment.display());
        let first = u64_at(header, 24);
        let end = at + HEADER + u32_at(header, 12) as usize;
        assert!(end <= bytes.len(), "the frame at {at} of {} is cut off", segment.display());
        frames.push(Frame {
            segment: segment.to_owned(),
            place: at as u64..end as u64,
            seqs: first..first + u64::from(u32_at(header, 8)),
        });
        at = end;
    }
    frames
}

/// The first sequence number that is not acknowledged, by the checkpoint.
pub fn acknowledged(dir: &Path) -> u64 {
    let bytes = std::fs::read(dir.join("checkpoint")).unwrap();
    let slots = bytes.chunks(SLOT).filter(|slot| slot.starts_with(b"SPWCKPT1"));
    let newest = slots.map(|slot| (u64_at(slot, 16), u64_at(slot, 24))).max();
    newest.expect("an undamaged checkpoint has a slot").1
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
