//! Tests of walking over damaged segments, against an oracle that knows where each frame was put.

use std::cell::Cell;
use std::io;

use proptest::prelude::*;

use crate::codec::{Encoder, Stamp};
use crate::config::Codec;
use crate::frame::{Defect, HEADER_LEN};
use crate::group::Group;
use crate::scan::ReadAt;
use crate::walk::{Damage, End, Met, Span, seek, walk};

const ID: u32 = 77;

impl ReadAt for Vec<u8> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap().min(self.len());
        let len = buf.len().min(self.len() - from);
        buf[..len].copy_from_slice(&self[from..from + len]);
        Ok(len)
    }
}

/// Where a frame was put: first byte, byte after the last, first seq, seq after the last.
type Put = (usize, usize, u64, u64);

fn segment(sizes: &[(u32, usize)], first_seq: u64) -> (Vec<u8>, Vec<Put>) {
    let mut encoder = Encoder::new(Codec::None);
    let (mut bytes, mut puts, mut seq) = (Vec::new(), Vec::new(), first_seq);
    for (records, size) in sizes {
        let mut group = Group::new();
        for number in 0..*records {
            group.push(&[&vec![b'a' + (number % 26) as u8; *size]]);
        }
        let (_, frame) = encoder.encode(&group, Stamp { first_seq: seq, unix_ms: 5, spool_id: ID });
        let start = bytes.len();
        bytes.extend_from_slice(frame);
        puts.push((start, bytes.len(), seq, seq + u64::from(*records)));
        seq += u64::from(*records);
    }
    (bytes, puts)
}

fn span(first_seq: u64, len: usize) -> Span {
    Span { first_seq, bound: u64::MAX, len: len as u64, verify_from: 0, spool_id: Some(ID) }
}

fn walked(bytes: &Vec<u8>, span: Span) -> (Vec<Put>, Vec<Damage>, End) {
    let (mut frames, mut damages) = (Vec::new(), Vec::new());
    let end = walk(bytes, span, |met| match met {
        Met::Frame(f) => {
            let start = usize::try_from(f.offset).unwrap();
            frames.push((start, start + usize::try_from(f.frame_len).unwrap(), f.first_seq, f.end_seq()));
        }
        Met::Damage(damage) => damages.push(damage),
    });
    (frames, damages, end)
}

#[test]
fn a_whole_segment_is_walked_to_its_end() {
    let (bytes, puts) = segment(&[(1, 10), (3, 0), (2, 300_000), (1, 5)], 40);
    let (frames, damages, end) = walked(&bytes, span(40, bytes.len()));
    assert_eq!((frames, damages), (puts, vec![]));
    let expected =
        End { offset: bytes.len() as u64, next_seq: 47, payload_bytes: 10 + 600_000 + 5, rest: None };
    assert_eq!(end, expected);
}

#[test]
fn frames_beyond_the_next_segment_are_left_over_from_a_failed_write() {
    let (bytes, puts) = segment(&[(2, 10), (2, 10), (2, 10)], 1);
    let (frames, damages, end) = walked(&bytes, Span { bound: 5, ..span(1, bytes.len()) });
    assert_eq!(frames, puts[..2]);
    assert_eq!((damages.len(), end.next_seq, end.rest), (0, 5, None));
}

#[test]
fn an_image_of_a_frame_inside_a_record_is_not_taken_for_a_frame() {
    let mut encoder = Encoder::new(Codec::None);
    let mut group = Group::new();
    group.push(&[b"inner"]);
    // Of another spool, with a number that could follow.
    let (_, inner) = encoder.encode(&group, Stamp { first_seq: 1, unix_ms: 5, spool_id: ID + 1 });
    let inner = inner.to_vec();
    group.clear();
    group.push(&[&inner]);
    let stamp = Stamp { first_seq: 1, unix_ms: 5, spool_id: ID };
    let mut bytes = encoder.encode(&group, stamp).1.to_vec();
    let len = bytes.len();
    bytes.extend_from_slice(encoder.encode(&group, Stamp { first_seq: 2, ..stamp }).1);
    bytes[20] ^= 1;
    let (frames, damages, _) = walked(&bytes, span(1, bytes.len()));
    assert_eq!(frames, [(len, bytes.len(), 2, 3)]);
    let expected = Damage { bytes: 0..len as u64, seqs: 1..2, defect: Defect::HeaderChecksum };
    assert_eq!(damages, [expected]);
}

#[test]
fn a_lost_frame_without_bytes_is_damage_too() {
    let (bytes, puts) = segment(&[(2, 10), (5, 10), (1, 10)], 1);
    let cut = [&bytes[..puts[0].1], &bytes[puts[2].0..]].concat();
    let (frames, damages, _) = walked(&cut, span(1, cut.len()));
    assert_eq!(frames.len(), 2);
    let at = puts[0].1 as u64;
    assert_eq!(damages, [Damage { bytes: at..at, seqs: 3..8, defect: Defect::Sequence }]);
}

#[test]
fn seeking_finds_the_frame_and_sums_what_lies_before() {
    let (bytes, puts) = segment(&[(2, 10), (5, 20), (1, 30)], 1);
    for (seq, frame, before) in [(1, 0, 0), (2, 0, 0), (3, 1, 20), (7, 1, 20), (8, 2, 120)] {
        assert_eq!(seek(&bytes, span(1, bytes.len()), seq), (puts[frame].0 as u64, before), "{seq}");
    }
    assert_eq!(seek(&bytes, span(1, bytes.len()), 9), (bytes.len() as u64, 150));
}

/// Bytes of which one sector cannot be read.
struct Scratched<'a> {
    bytes: &'a Vec<u8>,
    bad: std::ops::Range<u64>,
    refused: Cell<u32>,
}

impl ReadAt for Scratched<'_> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let end = (offset + buf.len() as u64).min(self.bytes.len() as u64);
        if offset < self.bad.end && end > self.bad.start {
            self.refused.set(self.refused.get() + 1);
            return Err(io::Error::from(rustix::io::Errno::IO));
        }
        self.bytes.read_at(buf, offset)
    }
}

#[test]
fn an_unreadable_sector_costs_the_frames_it_touches_and_no_more() {
    let (bytes, puts) = segment(&[(1, 3000); 30], 1);
    let bad = 5 * 4096..6 * 4096;
    let file = Scratched { bytes: &bytes, bad: bad.clone(), refused: Cell::new(0) };
    let mut seqs = Vec::new();
    walk(&file, span(1, bytes.len()), |met| {
        if let Met::Frame(frame) = met {
            seqs.push(frame.first_seq);
        }
    });
    let whole = puts.iter().filter(|p| p.1 as u64 <= bad.start || p.0 as u64 >= bad.end);
    // The frame whose header begins right behind the bad sector may be found one later: the search steps by sectors.
    let expected: Vec<u64> = whole.map(|p| p.2).collect();
    assert_eq!(seqs, expected);
    assert!(file.refused.get() > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever is flipped, zeroed or inserted: frames that were not touched are found, nothing else is, and the
    /// numbers of frames and damages together are gapless.
    #[test]
    fn damage_costs_exactly_the_frames_it_touches(
        sizes in prop::collection::vec((1_u32..5, 0_usize..200), 1..25),
        hits in prop::collection::vec((any::<prop::sample::Index>(), 1_usize..150, any::<bool>()), 1..4),
        first_seq in 1_u64..1000,
    ) {
        let (mut bytes, puts) = segment(&sizes, first_seq);
        let mut touched = Vec::new();
        for (at, len, zero) in hits {
            let at = at.index(bytes.len());
            let end = (at + len).min(bytes.len());
            for byte in &mut bytes[at..end] {
                let new = if zero { 0 } else { *byte ^ 0x55 };
                if new != *byte {
                    *byte = new;
                    touched.push(byte as *const u8 as usize);
                }
            }
        }
        let base = bytes.as_ptr() as usize;
        let is_touched = |put: &Put| touched.iter().any(|a| (put.0..put.1).contains(&(a - base)));
        let (frames, damages, end) = walked(&bytes, span(first_seq, bytes.len()));
        // Zeroing or flipping twice may restore a frame; then it must be found.
        let (clean, _) = segment(&sizes, first_seq);
        let whole: Vec<Put> = puts.iter().filter(|p| !is_touched(p) || bytes[p.0..p.1] == clean[p.0..p.1]).copied().collect();
        prop_assert_eq!(&frames, &whole);
        let mut numbers: Vec<_> = frames.iter().map(|f| f.2..f.3).chain(damages.iter().map(|d| d.seqs.clone())).collect();
        numbers.sort_by_key(|range| range.start);
        let mut next = first_seq;
        for range in numbers {
            prop_assert_eq!(range.start, next);
            next = range.end;
        }
        prop_assert_eq!(next, end.next_seq);
        let tail_hit = puts.last().is_some_and(|last| !whole.contains(last));
        prop_assert_eq!(end.rest.is_some(), tail_hit);
    }
}

const _: () = assert!(HEADER_LEN == 48, "the tests above place damage by this length");
