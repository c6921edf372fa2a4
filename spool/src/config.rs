//! How a spool is to be run: folder, sizes, limits and what happens when it is full.
//!
//! Guarantees: the effective sizes are derived here, once, so that a quota always holds several segments.
//! Never reads the environment or a file: that is the daemon's job.

use std::path::PathBuf;

/// Bytes in a mebibyte.
const MIB: u64 = 1024 * 1024;

/// Segments are never made smaller than this by a small quota.
const SEGMENT_BYTES_MIN: u64 = 64 * 1024;

/// A quota is spread over at least this many segments: `DropOldest` deletes whole ones.
const SEGMENTS_PER_QUOTA: u64 = 4;

/// What an append does when the spool is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// The append fails with [`Error::Full`](crate::Error::Full) and can be tried again: backpressure.
    #[default]
    Block,
    /// The oldest segment is deleted, its unacknowledged records are counted, and the append goes on.
    DropOldest,
    /// The new group is not stored, and counted.
    DropNewest,
}

/// How the body of a frame is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// Not at all.
    None,
    /// LZ4 block format.
    #[default]
    Lz4,
    /// Zstandard, level 1.
    Zstd,
}

/// The configuration of a spool.
#[derive(Debug, Clone)]
pub struct Config {
    /// The spool's folder. It is created, with its parents, when it does not exist.
    pub dir: PathBuf,
    /// Size in bytes at which a segment is closed and the next one begun. Default 64 MiB.
    pub segment_bytes: u64,
    /// Limit in bytes on the spool's own files. 0 (the default) means no limit.
    pub quota_bytes: u64,
    /// Bytes that must stay free on the file system. Default 128 MiB.
    pub free_floor_bytes: u64,
    /// What an append does when the spool is full. Default [`WhenFull::Block`].
    pub when_full: WhenFull,
    /// Compression of new frames. Default [`Codec::Lz4`]. Old frames are read whatever they use.
    pub codec: Codec,
    /// Size in bytes of the reserve file that is given up on a full disk so that the index can still
    /// delete. Default 8 MiB. 0 means no reserve.
    pub ballast_bytes: u64,
    /// Page cache of the index in bytes. Default 4 MiB.
    pub index_cache_bytes: u64,
}

impl Config {
    /// The defaults for a spool in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Config {
        Config {
            dir: dir.into(),
            segment_bytes: 64 * MIB,
            quota_bytes: 0,
            free_floor_bytes: 128 * MIB,
            when_full: WhenFull::default(),
            codec: Codec::default(),
            ballast_bytes: 8 * MIB,
            index_cache_bytes: 4 * MIB,
        }
    }

    /// The size at which segments are really closed: a quota always holds at least four of them.
    #[must_use]
    pub fn effective_segment_bytes(&self) -> u64 {
        if self.quota_bytes == 0 {
            return self.segment_bytes.max(1);
        }
        let share = (self.quota_bytes / SEGMENTS_PER_QUOTA).max(SEGMENT_BYTES_MIN);
        self.segment_bytes.min(share).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_holds_at_least_four_segments() {
        let mut config = Config::new("/x");
        assert_eq!(config.effective_segment_bytes(), 64 * MIB);
        config.quota_bytes = 100 * MIB;
        assert_eq!(config.effective_segment_bytes(), 25 * MIB);
        config.quota_bytes = 1;
        assert_eq!(config.effective_segment_bytes(), SEGMENT_BYTES_MIN);
        config.segment_bytes = 4096;
        assert_eq!(config.effective_segment_bytes(), 4096);
    }
}
