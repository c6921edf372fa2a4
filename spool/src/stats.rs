//! What the spool says about itself: counters, gauges and the report of the last open.
//!
//! Guarantees: plain values without behaviour; every counter has its unit in its name or documentation.

use std::time::Duration;

use crate::error::FullCause;

/// Records that were given up because the spool was full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Number of records.
    pub records: u64,
    /// Bytes of those records.
    pub bytes: u64,
    /// When records were first dropped, in milliseconds since the Unix epoch. 0 if never.
    pub first_at_ms: u64,
    /// When records were last dropped, in milliseconds since the Unix epoch. 0 if never.
    pub last_at_ms: u64,
}

impl Dropped {
    pub(crate) fn add(&mut self, records: u64, bytes: u64, now_ms: u64) {
        if records == 0 {
            return;
        }
        self.records += records;
        self.bytes += bytes;
        if self.first_at_ms == 0 {
            self.first_at_ms = now_ms;
        }
        self.last_at_ms = now_ms;
    }
}

/// Damage that was found and stepped over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quarantined {
    /// Damaged places: frames or runs of bytes that held frames, and missing segments.
    pub frames: u64,
    /// Records lost with them, exactly.
    pub records: u64,
}

/// Totals over the whole life of the spool. They survive restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counters {
    pub(crate) quarantined: Quarantined,
    pub(crate) dropped_oldest: Dropped,
    pub(crate) dropped_newest: Dropped,
}

/// The last failed operation on a file, until the same kind of operation succeeds again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoTrouble {
    /// What failed, the path included.
    pub message: String,
    /// The class of the error.
    pub kind: std::io::ErrorKind,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// The state of a spool at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// The first record that is not acknowledged.
    pub head_seq: u64,
    /// The record that will be appended next.
    pub tail_seq: u64,
    /// Records that wait: between head and tail, without those known to be lost.
    pub records: u64,
    /// Bytes of the records that wait. Acknowledging a part of a frame does not lower it.
    pub bytes: u64,
    /// Bytes of the spool's segments on disk, dead letters included.
    pub disk_bytes: u64,
    /// How many more bytes may be written before a limit is met: of the quota, or of the free space above the
    /// floor, whichever is less. At most about a second old. 0 when the free space cannot be found out.
    pub room_bytes: u64,
    /// Number of segments in the log.
    pub segments: u64,
    /// Records appended since the spool was opened.
    pub appended_records: u64,
    /// Records acknowledged since the spool was opened.
    pub acknowledged_records: u64,
    /// Damage found over the life of the spool.
    pub quarantined: Quarantined,
    /// Records dropped from the front over the life of the spool.
    pub dropped_oldest: Dropped,
    /// Records refused at the back over the life of the spool.
    pub dropped_newest: Dropped,
    /// Dead letters on disk.
    pub dead_letters: u64,
    /// Why the last append found no room; `None` once there is room again.
    pub full: Option<FullCause>,
    /// The last failed file operation, if it still stands.
    pub io_error: Option<IoTrouble>,
    /// How long the last fdatasync of a segment took.
    pub last_sync: Duration,
    /// The longest fdatasync of a segment since the spool was opened.
    pub slowest_sync: Duration,
    /// The index works. Without it the spool works too; opening it takes longer.
    pub index_ok: bool,
    /// How often the index was rebuilt since the spool was opened, the open included.
    pub index_rebuilds: u64,
}

impl Stats {
    /// The last append found no room, and there is none yet.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full.is_some()
    }
}

/// What opening the spool found about its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IndexState {
    /// It was there and readable.
    #[default]
    Found,
    /// The spool is new.
    Created,
    /// It was missing, damaged or of another spool: set aside and built again from the segments.
    Rebuilt,
    /// It could not be built. The spool works without it.
    Unavailable,
}

/// What opening the spool found and did.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    /// The state of the index.
    pub index: IndexState,
    /// The acknowledged position was lost: everything still on disk is served again.
    pub position_lost: bool,
    /// Bytes of an unfinished write cut off the newest segment.
    pub torn_bytes: u64,
    /// Damaged places found while opening, segments that are missing included.
    pub quarantined_frames: u64,
    /// Records found to be lost while opening, exactly.
    pub records_lost: u64,
    /// Gaps in the numbering between two segments: at least one file is missing in each.
    pub segments_missing: u64,
    /// Segments whose headers had to be read because the index did not know them.
    pub segments_scanned: u64,
    /// How long it took.
    pub took: Duration,
}
