//! From a group to the bytes of a frame, and from the stored bytes of a body back to its records.
//!
//! Guarantees: a body that compression does not shrink is stored as it is, so a stored body is never longer
//! than its raw one; decoding allocates exactly `raw_bytes`, which [`Header::decode`] has bounded, and accepts
//! only bodies whose records fill it to the last byte. Never does I/O.

use crate::config::Codec;
use crate::frame::{Defect, HEADER_BYTES, Header, MAX_GROUP_RECORDS, PREFIX_BYTES, read_u32};
use crate::group::Group;

/// The zstd level of the spool: the fastest one that still beats lz4 on size.
const ZSTD_LEVEL: i32 = 1;

/// Builds frames in one buffer that is used again and again.
pub(crate) struct Encoder {
    codec: Codec,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    frame: Vec<u8>,
}

/// What a frame says besides its group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) first_seq: u64,
    pub(crate) unix_ms: u64,
    pub(crate) spool_id: u32,
}

impl Encoder {
    pub(crate) fn new(codec: Codec) -> Encoder {
        // A zstd context that cannot be had costs compression, never a record.
        let zstd = if codec == Codec::Zstd { zstd::bulk::Compressor::new(ZSTD_LEVEL).ok() } else { None };
        Encoder { codec, zstd, frame: Vec::new() }
    }

    /// The frame of `group`: header and body in one slice, ready for one write. The group must be within limits.
    pub(crate) fn encode(&mut self, group: &Group, stamp: Stamp) -> (Header, &[u8]) {
        let raw = group.raw();
        let (codec, stored) = self.compress(raw);
        let len = HEADER_BYTES + stored;
        let body = &self.frame[HEADER_BYTES..len];
        let header = Header {
            codec,
            records: group.records(),
            stored_bytes: len_u32(body.len()),
            raw_bytes: len_u32(raw.len()),
            body_crc: crc32c::crc32c(body),
            first_seq: stamp.first_seq,
            unix_ms: stamp.unix_ms,
            spool_id: stamp.spool_id,
        };
        self.frame[..HEADER_BYTES].copy_from_slice(&header.encode());
        (header, &self.frame[..len])
    }

    /// Writes the body behind the space of the header; the codec really used, and the body's length.
    fn compress(&mut self, raw: &[u8]) -> (Codec, usize) {
        let bound = match self.codec {
            Codec::None => raw.len(),
            Codec::Lz4 => lz4_flex::block::get_maximum_output_size(raw.len()),
            Codec::Zstd => zstd::zstd_safe::compress_bound(raw.len()),
        };
        // Only ever grows: a buffer that is large enough is not cleared again.
        if self.frame.len() < HEADER_BYTES + bound {
            self.frame.resize(HEADER_BYTES + bound, 0);
        }
        let out = &mut self.frame[HEADER_BYTES..HEADER_BYTES + bound];
        let packed = match (self.codec, &mut self.zstd) {
            (Codec::Lz4, _) => lz4_flex::block::compress_into(raw, out).ok(),
            (Codec::Zstd, Some(zstd)) => zstd.compress_to_buffer(raw, out).ok(),
            _ => None,
        };
        match packed {
            Some(stored) if stored < raw.len() => (self.codec, stored),
            _ => {
                out[..raw.len()].copy_from_slice(raw);
                (Codec::None, raw.len())
            }
        }
    }
}

/// A length that a limit has already bounded below 2^32.
fn len_u32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Checks and unpacks the stored body of a frame.
pub(crate) fn decode_body(header: &Header, stored: &[u8]) -> Result<Vec<u8>, Defect> {
    if stored.len() != header.stored_bytes as usize {
        return Err(Defect::Truncated);
    }
    if crc32c::crc32c(stored) != header.body_crc {
        return Err(Defect::BodyChecksum);
    }
    unpack(header, stored).ok_or(Defect::Body)
}

fn unpack(header: &Header, stored: &[u8]) -> Option<Vec<u8>> {
    let raw_bytes = header.raw_bytes as usize;
    let unpacked = match header.codec {
        Codec::None => return Some(stored.to_vec()),
        Codec::Lz4 => {
            let mut raw = vec![0; raw_bytes];
            let filled = lz4_flex::block::decompress_into(stored, &mut raw).ok()?;
            (filled == raw_bytes).then_some(raw)
        }
        Codec::Zstd => zstd::bulk::decompress(stored, raw_bytes).ok(),
    }?;
    (unpacked.len() == raw_bytes).then_some(unpacked)
}

/// The offset of each record's prefix in a raw body, if exactly `records` records fill it.
pub(crate) fn record_offsets(raw: &[u8], records: u32) -> Result<Vec<u32>, Defect> {
    debug_assert!(records <= MAX_GROUP_RECORDS);
    if raw.len() < records as usize * PREFIX_BYTES {
        return Err(Defect::Body);
    }
    let mut offsets = Vec::with_capacity(records as usize);
    let mut at = 0;
    for _ in 0..records {
        if raw.len() - at < PREFIX_BYTES {
            return Err(Defect::Body);
        }
        offsets.push(len_u32(at));
        let len = read_u32(raw, at) as usize;
        at += PREFIX_BYTES;
        if len > raw.len() - at {
            return Err(Defect::Body);
        }
        at += len;
    }
    if at == raw.len() { Ok(offsets) } else { Err(Defect::Body) }
}
