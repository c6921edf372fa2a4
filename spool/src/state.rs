//! The small state that is not derivable from the segments: the acknowledged position, counters, meta values.
//!
//! Guarantees: `decode` of any bytes returns a state or `None`, within a bounded allocation. What two copies
//! disagree about is merged so that a position never moves back. Never does I/O.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::frame::{read_u32, read_u64};
use crate::holes::Holes;
use crate::stats::{Counters, Dropped, Quarantined};

/// The largest meta value in bytes.
pub const MAX_META_VALUE_BYTES: usize = 4096;

/// The largest meta key in bytes.
pub const MAX_META_KEY_BYTES: usize = 128;

/// The largest sum of all meta keys and values in bytes.
pub(crate) const MAX_META_TOTAL_BYTES: usize = 64 * 1024;

/// Lost ranges that are remembered across restarts. More are counted again when they are met again.
const MAX_HOLES: usize = 2048;

/// Integers at the front of an encoded state.
const FIXED: usize = 13;

/// The largest encoded state in bytes.
pub(crate) const MAX_STATE_BYTES: usize = 8 * FIXED
    + 4
    + MAX_HOLES * 16
    + 4
    // Each meta entry adds two lengths; keys are not empty, so there are at most this many entries.
    + MAX_META_TOTAL_BYTES
    + MAX_META_ENTRIES * 8;

/// The largest number of meta values.
const MAX_META_ENTRIES: usize = 256;

/// What is written once a second.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Grows with every write: of two copies the larger is newer.
    pub(crate) generation: u64,
    /// Every record before this one is done.
    pub(crate) acknowledged: u64,
    /// Every record before this one had been appended.
    pub(crate) tail: u64,
    pub(crate) counters: Counters,
    pub(crate) holes: Holes,
    pub(crate) meta: BTreeMap<String, Vec<u8>>,
}

impl State {
    /// Sets a meta value, if it fits.
    pub(crate) fn put_meta(&mut self, key: &str, value: &[u8]) -> Result<(), Error> {
        let others: usize = self.meta.iter().filter(|(k, _)| *k != key).map(|(k, v)| k.len() + v.len()).sum();
        let fits = !key.is_empty()
            && key.len() <= MAX_META_KEY_BYTES
            && value.len() <= MAX_META_VALUE_BYTES
            && others + key.len() + value.len() <= MAX_META_TOTAL_BYTES
            && (self.meta.len() < MAX_META_ENTRIES || self.meta.contains_key(key));
        if !fits {
            return Err(Error::MetaTooLarge { key: key.to_owned(), bytes: value.len() as u64 });
        }
        self.meta.insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    /// The newer of two copies, with the farther positions of both.
    pub(crate) fn merge(self, other: State) -> State {
        let acknowledged = self.acknowledged.max(other.acknowledged);
        let tail = self.tail.max(other.tail);
        let newer = if other.generation > self.generation { other } else { self };
        State { acknowledged, tail, ..newer }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        for number in self.numbers() {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&len_u32(self.holes.len().min(MAX_HOLES)));
        for hole in self.holes.iter().take(MAX_HOLES) {
            out.extend_from_slice(&hole.start.to_le_bytes());
            out.extend_from_slice(&hole.end.to_le_bytes());
        }
        out.extend_from_slice(&len_u32(self.meta.len()));
        for (key, value) in &self.meta {
            out.extend_from_slice(&len_u32(key.len()));
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(&len_u32(value.len()));
            out.extend_from_slice(value);
        }
        out
    }

    fn numbers(&self) -> [u64; FIXED] {
        let Counters { quarantined, dropped_oldest: oldest, dropped_newest: newest } = self.counters;
        [
            self.generation,
            self.acknowledged,
            self.tail,
            quarantined.frames,
            quarantined.records,
            oldest.records,
            oldest.bytes,
            oldest.first_at_ms,
            oldest.last_at_ms,
            newest.records,
            newest.bytes,
            newest.first_at_ms,
            newest.last_at_ms,
        ]
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<State> {
        let mut cursor = Cursor(bytes);
        let mut n = [0; FIXED];
        for number in &mut n {
            *number = cursor.u64()?;
        }
        let mut state = State {
            generation: n[0],
            acknowledged: n[1],
            tail: n[2],
            counters: Counters {
                quarantined: Quarantined { frames: n[3], records: n[4] },
                dropped_oldest: dropped(&n[5..9]),
                dropped_newest: dropped(&n[9..13]),
            },
            ..State::default()
        };
        for _ in 0..cursor.count(MAX_HOLES)? {
            let (start, end) = (cursor.u64()?, cursor.u64()?);
            state.holes.add(start..end);
        }
        for _ in 0..cursor.count(MAX_META_ENTRIES)? {
            let key = std::str::from_utf8(cursor.bytes(MAX_META_KEY_BYTES)?).ok()?.to_owned();
            state.meta.insert(key, cursor.bytes(MAX_META_VALUE_BYTES)?.to_vec());
        }
        cursor.0.is_empty().then_some(state)
    }
}

fn dropped(n: &[u64]) -> Dropped {
    Dropped { records: n[0], bytes: n[1], first_at_ms: n[2], last_at_ms: n[3] }
}

fn len_u32(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes()
}

/// Reads fields off the front of a slice.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(front)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8).map(|bytes| read_u64(bytes, 0))
    }

    fn count(&mut self, limit: usize) -> Option<usize> {
        let count = read_u32(self.take(4)?, 0) as usize;
        (count <= limit).then_some(count)
    }

    fn bytes(&mut self, limit: usize) -> Option<&'a [u8]> {
        let len = self.count(limit)?;
        self.take(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> State {
        let mut state = State { generation: 9, acknowledged: 40, tail: 90, ..State::default() };
        state.counters.quarantined = Quarantined { frames: 1, records: 7 };
        state.counters.dropped_oldest.add(3, 300, 1_000);
        state.counters.dropped_newest.add(4, 400, 2_000);
        state.holes.add(50..57);
        state.put_meta("cursor", b"abc").unwrap();
        state
    }

    #[test]
    fn survives_encoding() {
        assert_eq!(State::decode(&sample().encode()), Some(sample()));
    }

    #[test]
    fn merging_never_moves_a_position_back() {
        let older = State { generation: 3, acknowledged: 60, tail: 80, ..State::default() };
        let merged = older.clone().merge(sample());
        assert_eq!((merged.acknowledged, merged.tail, merged.generation), (60, 90, 9));
        assert_eq!(merged, sample().merge(older));
        assert_eq!(merged.meta["cursor"], b"abc");
    }

    #[test]
    fn the_largest_state_fits_its_limit() {
        let mut state = sample();
        for start in 0..3000_u64 {
            state.holes.add(start * 4 + 1000..start * 4 + 1001);
        }
        let mut refused = false;
        for number in 0..300 {
            refused |= state.put_meta(&format!("key-{number:03}"), &[7; 300]).is_err();
        }
        assert!(refused, "the total is bounded");
        assert!(state.encode().len() <= MAX_STATE_BYTES);
        assert_eq!(State::decode(&state.encode()).unwrap().meta, state.meta);
        assert!(state.put_meta("cursor", &[0; MAX_META_VALUE_BYTES + 1]).unwrap_err().is_too_large());
        assert!(state.put_meta("", b"x").is_err());
    }

    proptest! {
        #[test]
        fn decoding_garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = State::decode(&bytes);
        }

        #[test]
        fn a_truncated_state_is_refused(cut in 0_usize..100) {
            let encoded = sample().encode();
            prop_assert_eq!(State::decode(&encoded[..encoded.len() - 1 - cut.min(encoded.len() - 1)]), None);
        }
    }
}
