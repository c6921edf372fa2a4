//! The frame: one group of records as it lies in a segment. The layout of its header, and nothing else.
//!
//! ```text
//!  0        4    5    6      8         12        16        20        24
//!  +--------+----+----+------+---------+---------+---------+---------+
//!  | magic  | v  | c  |  0   | records | stored  | raw     | body    |
//!  | f5SPW  |    |    |      |         | bytes   | bytes   | CRC32C  |
//!  +--------+----+----+------+---------+---------+---------+---------+
//!  | first seq               | unix ms           | spool   | header  |
//!  |                         |                   | id      | CRC32C  |
//!  +-------------------------+-------------------+---------+---------+
//!  24                        32                  40        44        48
//!  +------------------------------------------------------------------+
//!  | body: `stored bytes` bytes, compressed by codec c                |
//!  |   raw: (record length u32 | record bytes)*  = `raw bytes` bytes  |
//!  +------------------------------------------------------------------+
//! ```
//!
//! All integers are little-endian. `v` is the format version (1), `c` the codec (0 none, 1 lz4 block, 2 zstd).
//! The header's CRC32C covers bytes 0..44 and with them the body's CRC32C, which covers the stored body: one
//! checksum chain over everything. A header can be trusted without reading its body, so a damaged body still
//! says exactly how many records it held.
//!
//! Limits: a body is at most [`MAX_GROUP_BYTES`] long before compression and never longer stored than raw;
//! a frame holds 1 to [`MAX_GROUP_RECORDS`] records; sequence numbers begin at 1.
//!
//! Guarantees: `Header::decode` allocates nothing and accepts only headers within all limits.
//! Never does I/O.

use crate::config::Codec;

/// Length of a frame's header in bytes.
pub(crate) const HEADER_BYTES: usize = 48;

/// The same, for arithmetic on file offsets.
pub(crate) const HEADER_LEN: u64 = HEADER_BYTES as u64;

/// The first four bytes of every frame. The first is no ASCII and no UTF-8 lead byte: text never matches.
pub(crate) const MAGIC: [u8; 4] = [0xF5, b'S', b'P', b'W'];

/// The format version this program writes, and the newest it reads.
pub const FORMAT_VERSION: u8 = 1;

/// Length of the prefix of each record in a body, in bytes.
pub(crate) const PREFIX_BYTES: usize = 4;

/// The largest body of a frame before compression, in bytes: what a reader must be able to hold.
pub const MAX_GROUP_BYTES: usize = 16 * 1024 * 1024;

/// The largest record, in bytes. A frame could hold a little more: a dead letter adds its reason to its record.
pub const MAX_RECORD_BYTES: usize = MAX_GROUP_BYTES - 4096;

/// The largest number of records in one frame.
pub const MAX_GROUP_RECORDS: u32 = 1 << 20;

const _: () = {
    // Lengths are stored in 32 bits, and a limit on bytes must leave room for every allowed record's prefix.
    assert!(MAX_GROUP_BYTES <= u32::MAX as usize);
    assert!((MAX_GROUP_RECORDS as usize) * PREFIX_BYTES <= MAX_GROUP_BYTES);
    assert!(MAX_RECORD_BYTES + PREFIX_BYTES <= MAX_GROUP_BYTES);
    assert!(HEADER_BYTES.is_multiple_of(8));
};

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Defect {
    /// The bytes end before the frame does.
    Truncated,
    /// The first bytes are not the magic.
    Magic,
    /// The version is not known.
    Version(u8),
    /// The header's checksum does not match.
    HeaderChecksum,
    /// The header's checksum matches, but a field is outside its limits.
    Limits,
    /// The body's checksum does not match.
    BodyChecksum,
    /// The body cannot be decompressed to the length the header says, or its records do not fill it.
    Body,
    /// The frame is whole but not the one that belongs here.
    Sequence,
    /// The disk cannot read the bytes.
    Unreadable,
}

impl std::fmt::Display for Defect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Defect::Truncated => f.write_str("it ends early"),
            Defect::Magic => f.write_str("no frame begins here"),
            Defect::Version(version) => write!(f, "unknown version {version}"),
            Defect::HeaderChecksum => f.write_str("the header's checksum is wrong"),
            Defect::Limits => f.write_str("a field of the header is out of range"),
            Defect::BodyChecksum => f.write_str("the body's checksum is wrong"),
            Defect::Body => f.write_str("the body cannot be unpacked"),
            Defect::Sequence => f.write_str("it does not belong here"),
            Defect::Unreadable => f.write_str("the disk cannot read it"),
        }
    }
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) codec: Codec,
    pub(crate) records: u32,
    pub(crate) stored_bytes: u32,
    pub(crate) raw_bytes: u32,
    pub(crate) body_crc: u32,
    pub(crate) first_seq: u64,
    pub(crate) unix_ms: u64,
    pub(crate) spool_id: u32,
}

impl Header {
    /// The sequence number after the frame's last record.
    pub(crate) fn end_seq(&self) -> u64 {
        self.first_seq + u64::from(self.records)
    }

    /// Length of the whole frame on disk, in bytes.
    pub(crate) fn frame_len(&self) -> u64 {
        HEADER_LEN + u64::from(self.stored_bytes)
    }

    /// Bytes of the records alone, without their prefixes.
    pub(crate) fn payload_bytes(&self) -> u64 {
        u64::from(self.raw_bytes) - u64::from(self.records) * PREFIX_BYTES as u64
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..4].copy_from_slice(&MAGIC);
        out[4] = FORMAT_VERSION;
        out[5] = codec_byte(self.codec);
        out[8..12].copy_from_slice(&self.records.to_le_bytes());
        out[12..16].copy_from_slice(&self.stored_bytes.to_le_bytes());
        out[16..20].copy_from_slice(&self.raw_bytes.to_le_bytes());
        out[20..24].copy_from_slice(&self.body_crc.to_le_bytes());
        out[24..32].copy_from_slice(&self.first_seq.to_le_bytes());
        out[32..40].copy_from_slice(&self.unix_ms.to_le_bytes());
        out[40..44].copy_from_slice(&self.spool_id.to_le_bytes());
        let crc = crc32c::crc32c(&out[..44]);
        out[44..48].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Header, Defect> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(Defect::Truncated);
        };
        if bytes[..4] != MAGIC {
            return Err(Defect::Magic);
        }
        if crc32c::crc32c(&bytes[..44]) != read_u32(bytes, 44) {
            return Err(Defect::HeaderChecksum);
        }
        // After the checksum: a version this program does not know is then a fact, not a flipped bit.
        if bytes[4] != FORMAT_VERSION {
            return Err(Defect::Version(bytes[4]));
        }
        let header = Header {
            codec: codec_from_byte(bytes[5]).ok_or(Defect::Limits)?,
            records: read_u32(bytes, 8),
            stored_bytes: read_u32(bytes, 12),
            raw_bytes: read_u32(bytes, 16),
            body_crc: read_u32(bytes, 20),
            first_seq: read_u64(bytes, 24),
            unix_ms: read_u64(bytes, 32),
            spool_id: read_u32(bytes, 40),
        };
        if header.within_limits() { Ok(header) } else { Err(Defect::Limits) }
    }

    fn within_limits(&self) -> bool {
        let prefixes = u64::from(self.records) * PREFIX_BYTES as u64;
        (1..=MAX_GROUP_RECORDS).contains(&self.records)
            && self.raw_bytes as usize <= MAX_GROUP_BYTES
            && u64::from(self.raw_bytes) >= prefixes
            && self.stored_bytes <= self.raw_bytes
            && self.stored_bytes > 0
            && (self.codec != Codec::None || self.stored_bytes == self.raw_bytes)
            && self.first_seq > 0
            && self.first_seq < u64::MAX - u64::from(MAX_GROUP_RECORDS)
    }
}

/// The version a frame claims, if the bytes begin like a frame of any version.
pub(crate) fn claimed_version(bytes: &[u8]) -> Option<u8> {
    (bytes.len() > 4 && bytes[..4] == MAGIC).then(|| bytes[4])
}

fn codec_byte(codec: Codec) -> u8 {
    match codec {
        Codec::None => 0,
        Codec::Lz4 => 1,
        Codec::Zstd => 2,
    }
}

fn codec_from_byte(byte: u8) -> Option<Codec> {
    match byte {
        0 => Some(Codec::None),
        1 => Some(Codec::Lz4),
        2 => Some(Codec::Zstd),
        _ => None,
    }
}

pub(crate) fn read_u32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

pub(crate) fn read_u64(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
