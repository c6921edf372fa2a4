//! The decoders of everything that is read from disk, for the fuzz tests, which see only public names.
//!
//! Guarantees: calls the very functions that opening and reading a spool call, and adds nothing.
//! Exists only with `cfg(test)` or the feature `fault`.

use crate::batch::Batch;
use crate::checkpoint;
use crate::codec::{Encoder, Stamp};
use crate::config::Codec;
use crate::frame::{Defect, HEADER_BYTES, Header};
use crate::group::Group;
use crate::index_values::{DeadEntry, FrameEntry, Summary};
use crate::layout;
use crate::state::State;

/// The frame that an append of these records writes.
#[must_use]
pub fn encode_frame(records: &[&[u8]], codec: Codec, first_seq: u64, spool_id: u32) -> Vec<u8> {
    let mut group = Group::new();
    for record in records {
        group.push(&[record]);
    }
    let stamp = Stamp { first_seq, unix_ms: 1_700_000_000_000, spool_id };
    Encoder::new(codec).encode(&group, stamp).1.to_vec()
}

/// Decodes the frame at the front of `bytes`.
///
/// # Errors
/// What is wrong with it.
pub fn decode_frame(bytes: &[u8]) -> Result<Batch, Defect> {
    let header = Header::decode(bytes)?;
    let len = usize::try_from(header.frame_len()).map_err(|_| Defect::Truncated)?;
    let stored = bytes.get(HEADER_BYTES..len).ok_or(Defect::Truncated)?;
    Batch::decode(&header, stored, header.first_seq)
}

/// Decodes `bytes` as each of the other things that are on disk; how many of them it could be.
#[must_use]
pub fn decode_values(bytes: &[u8]) -> usize {
    let (key, value) = bytes.split_at(bytes.len().min(8));
    usize::from(State::decode(bytes).is_some())
        + usize::from(checkpoint::decode_slot(bytes, None).is_some())
        + usize::from(layout::parse_format(bytes).is_some())
        + usize::from(FrameEntry::decode(key, value).is_ok())
        + usize::from(Summary::decode(key, value).is_ok())
        + usize::from(DeadEntry::decode(key, value).is_ok())
}

/// A state of the checkpoint with as much in it as `holes` and `metas` say, encoded.
#[must_use]
pub fn encode_state(holes: u64, metas: u64) -> Vec<u8> {
    let mut state = State { acknowledged: 1, tail: 10 * holes + 2, ..State::default() };
    for n in 0..holes {
        state.holes.add(10 * n + 2..10 * n + 5);
    }
    for n in 0..metas {
        state.meta.insert(format!("key {n}"), vec![7; 20]);
    }
    state.encode()
}
