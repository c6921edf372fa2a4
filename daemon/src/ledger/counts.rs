//! What the ledger has counted, at one time: for the status, and what follows from it. Pure.

use serde::Serialize;

/// A copy of the counters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Records taken from the upstream.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Records that Kafka acknowledged straight from memory.
    pub acked: u64,
    /// Records written to the spool.
    pub spooled: u64,
    /// Records that Kafka acknowledged after they were read back from the spool.
    pub replayed: u64,
    /// Records from the spool that Kafka refused for themselves; they are dead letters.
    pub replay_refused: u64,
    /// Refused records that are in the dead-letter topic.
    pub dead_topic: u64,
    /// Refused records that went to the spool's dead letters.
    pub dead_spool: u64,
    /// Dead letters that were put back into the spool to be sent again.
    pub dead_retried: u64,
    /// Dead letters that were deleted.
    pub dead_deleted: u64,
    /// Records dropped, by reason; only reasons that occurred.
    pub dropped: Vec<Dropped>,
    /// Records that ended without a fate: a bug unless it is 0.
    pub unaccounted: u64,
    /// Bytes of all records that have ended, whatever their fate.
    pub ended_bytes: u64,
}

/// Drops of one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// The reason's name.
    pub reason: &'static str,
    /// Records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the first was dropped, unix milliseconds.
    pub first_ms: u64,
    /// When the last was dropped, unix milliseconds.
    pub last_ms: u64,
}

impl Counts {
    /// Records dropped for any reason.
    #[must_use]
    pub fn dropped_records(&self) -> u64 {
        self.dropped.iter().map(|d| d.records).sum()
    }

    /// Records received that have no fate yet: they are in memory.
    #[must_use]
    pub fn in_memory(&self) -> u64 {
        self.received - self.acked - self.spooled - self.dropped_records() - self.unaccounted
    }

    /// Bytes of the records in memory: of their values.
    #[must_use]
    pub fn in_memory_bytes(&self) -> u64 {
        self.received_bytes - self.ended_bytes
    }
}

/// A copy of what was counted for one source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// Records taken from it.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Records that have ended, whatever their fate.
    pub ended: u64,
    /// Their bytes.
    pub ended_bytes: u64,
}

impl SourceCounts {
    /// Records that have no fate yet.
    #[must_use]
    pub fn in_memory(&self) -> u64 {
        self.received - self.ended
    }

    /// Their bytes.
    #[must_use]
    pub fn in_memory_bytes(&self) -> u64 {
        self.received_bytes - self.ended_bytes
    }
}
