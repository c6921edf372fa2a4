//! The values of the index as bytes.
//!
//! Guarantees: fixed lengths, checked on decoding; a value of another length is an error, never a guess.
//! Keys are big-endian, so that they sort; values are little-endian like the frames. Never does I/O.

use crate::frame::{read_u32, read_u64};
use crate::index::IndexError;

/// The longest reason kept with a dead letter in the index, in bytes. The dead letter's own frame keeps the same.
pub(crate) const REASON_BYTES_MAX: usize = 1024;

pub(crate) fn decode_key(key: &[u8]) -> Result<u64, IndexError> {
    key.try_into().map(u64::from_be_bytes).map_err(|_| IndexError::Malformed)
}

/// Where a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameEntry {
    pub(crate) first_seq: u64,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) frame_len: u64,
    pub(crate) records: u32,
    pub(crate) payload_bytes: u64,
    pub(crate) unix_ms: u64,
}

/// One frame is indexed for about this many bytes of a segment: as many as a seek reads at once anyway.
const STRIDE_BYTES: u64 = 256 * 1024;

impl FrameEntry {
    /// True if the index keeps this frame: the first of a segment, and each that reaches into the next stretch of
    /// it. Whoever builds the index comes to the same answer, and tiny frames do not make it large.
    pub(crate) fn is_kept(&self) -> bool {
        self.offset == 0 || self.offset / STRIDE_BYTES != (self.offset + self.frame_len) / STRIDE_BYTES
    }

    pub(crate) fn end_seq(&self) -> u64 {
        self.first_seq + u64::from(self.records)
    }

    pub(crate) fn encode(&self) -> [u8; 44] {
        let mut out = [0; 44];
        out[0..8].copy_from_slice(&self.segment.to_le_bytes());
        out[8..16].copy_from_slice(&self.offset.to_le_bytes());
        out[16..24].copy_from_slice(&self.frame_len.to_le_bytes());
        out[24..28].copy_from_slice(&self.records.to_le_bytes());
        out[28..36].copy_from_slice(&self.payload_bytes.to_le_bytes());
        out[36..44].copy_from_slice(&self.unix_ms.to_le_bytes());
        out
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<FrameEntry, IndexError> {
        if value.len() != 44 {
            return Err(IndexError::Malformed);
        }
        Ok(FrameEntry {
            first_seq: decode_key(key)?,
            segment: read_u64(value, 0),
            offset: read_u64(value, 8),
            frame_len: read_u64(value, 16),
            records: read_u32(value, 24),
            payload_bytes: read_u64(value, 28),
            unix_ms: read_u64(value, 36),
        })
    }
}

/// What a closed segment holds, so that opening the spool need not read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) first_seq: u64,
    pub(crate) end_seq: u64,
    pub(crate) len: u64,
    pub(crate) payload_bytes: u64,
}

impl Summary {
    pub(crate) fn encode(&self) -> [u8; 24] {
        let mut out = [0; 24];
        out[0..8].copy_from_slice(&self.end_seq.to_le_bytes());
        out[8..16].copy_from_slice(&self.len.to_le_bytes());
        out[16..24].copy_from_slice(&self.payload_bytes.to_le_bytes());
        out
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Summary, IndexError> {
        if value.len() != 24 {
            return Err(IndexError::Malformed);
        }
        Ok(Summary {
            first_seq: decode_key(key)?,
            end_seq: read_u64(value, 0),
            len: read_u64(value, 8),
            payload_bytes: read_u64(value, 16),
        })
    }
}

/// Where a dead letter lies, and what is shown of it without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeadEntry {
    pub(crate) id: u64,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) unix_ms: u64,
    pub(crate) bytes: u64,
    pub(crate) reason: String,
}

impl DeadEntry {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + self.reason.len());
        for number in [self.segment, self.offset, self.unix_ms, self.bytes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(self.reason.as_bytes());
        out
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<DeadEntry, IndexError> {
        if value.len() < 32 || value.len() > 32 + REASON_BYTES_MAX {
            return Err(IndexError::Malformed);
        }
        Ok(DeadEntry {
            id: decode_key(key)?,
            segment: read_u64(value, 0),
            offset: read_u64(value, 8),
            unix_ms: read_u64(value, 16),
            bytes: read_u64(value, 24),
            reason: String::from_utf8(value[32..].to_vec()).map_err(|_| IndexError::Malformed)?,
        })
    }
}
