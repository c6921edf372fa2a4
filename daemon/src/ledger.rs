//! The accounting: every record that was received ends in exactly one fate.
//!
//! ```text
//! received = acked + spooled + dropped(reason) + unaccounted     once nothing is in memory
//! spooled + retried = replayed + refused from the spool + backlog on disk (+ what the spool itself lost and counts)
//! ```
//!
//! `unaccounted` counts records whose guard was dropped without a fate: a bug, 0 in every test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::frontier::Frontier;
use crate::record::{Record, Seq, SourceIndex};

/// Where a record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Kafka has it.
    Acked,
    /// The disk has it; from here the spool answers for it.
    Spooled,
    /// It is gone, for this reason.
    Dropped(DropReason),
}

/// Why a record was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// Kafka refused it for itself (too large, invalid). It is kept as a dead letter.
    Refused,
    /// It is larger than the spool can hold.
    TooLarge,
    /// The spool is full and `when_full = "drop_newest"`.
    SpoolFull,
    /// The daemon stopped, and neither Kafka nor the disk would take it.
    Shutdown,
}

impl DropReason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 4] = [Self::Refused, Self::TooLarge, Self::SpoolFull, Self::Shutdown];

    /// Its name in metrics and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::TooLarge => "too_large",
            Self::SpoolFull => "spool_full",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Where a dead letter is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadPlace {
    /// In the dead-letter topic.
    Topic,
    /// In the spool's dead-letter tree.
    Spool,
}

impl DeadPlace {
    /// Both, in the order of their counters.
    pub const ALL: [Self; 2] = [Self::Topic, Self::Spool];

    /// Its name in metrics and in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Spool => "spool",
        }
    }
}

/// Records and their bytes. On a cache line of its own: stream counts what comes in, other threads what ends.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Tally {
    records: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    fn add(&self, bytes: u32) {
        self.records.fetch_add(1, Relaxed);
        self.bytes.fetch_add(u64::from(bytes), Relaxed);
    }

    fn take_back(&self, bytes: u32) {
        self.bytes.fetch_sub(u64::from(bytes), Relaxed);
        self.records.fetch_sub(1, Relaxed);
    }

    fn now(&self) -> (u64, u64) {
        (self.records.load(Relaxed), self.bytes.load(Relaxed))
    }
}

/// What is counted for each source.
#[derive(Debug, Default)]
struct Account {
    received: Tally,
    /// Records that have ended, whatever their fate.
    ended: Tally,
    frontier: Frontier,
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

/// Counts the fates. Shared by all tasks; every counter only grows.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By the sources' index.
    accounts: Vec<Account>,
    acked: AtomicU64,
    spooled: AtomicU64,
    dropped: [Drops; DropReason::ALL.len()],
    unaccounted: AtomicU64,
    replayed: AtomicU64,
    replay_refused: AtomicU64,
    dead: [AtomicU64; DeadPlace::ALL.len()],
    dead_retried: AtomicU64,
    dead_deleted: AtomicU64,
}

/// Drops of one reason; the times are unix milliseconds, 0 for never.
#[derive(Debug, Default)]
struct Drops {
    records: AtomicU64,
    bytes: AtomicU64,
    first_ms: AtomicU64,
    last_ms: AtomicU64,
}

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

impl Ledger {
    /// A ledger for as many sources as `track_frontier` has entries. True is for sources that can resume:
    /// it costs a lock per record.
    #[must_use]
    pub fn new(track_frontier: &[bool]) -> Arc<Self> {
        let open = |track: &bool| Account { frontier: Frontier::new(*track), ..Account::default() };
        Arc::new(Self { accounts: track_frontier.iter().map(open).collect(), ..Self::default() })
    }

    fn account(&self, source: SourceIndex) -> &Account {
        &self.accounts[usize::from(source)]
    }

    /// Notes that a record was received; the guard goes into the record.
    pub fn receive(self: &Arc<Self>, source: SourceIndex, seq: Seq, bytes: usize) -> Guard {
        let account = self.account(source);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        account.received.add(bytes);
        account.frontier.begin(seq);
        Guard { ledger: Some(Arc::clone(self)), source, bytes }
    }

    /// Ends a record.
    pub fn settle(&self, mut record: Record, fate: Fate) {
        record.guard.ledger = None;
        match fate {
            Fate::Acked => self.acked.fetch_add(1, Relaxed),
            Fate::Spooled => self.spooled.fetch_add(1, Relaxed),
            Fate::Dropped(reason) => self.drop_record(reason, record.cost()),
        };
        let account = self.account(record.guard.source);
        account.ended.add(record.guard.bytes);
        account.frontier.end(record.seq);
    }

    /// Takes back a receipt: the record was not taken into the queue, and its source still has it.
    pub fn unreceive(&self, mut record: Record) {
        record.guard.ledger = None;
        self.account(record.guard.source).received.take_back(record.guard.bytes);
    }

    fn drop_record(&self, reason: DropReason, bytes: usize) -> u64 {
        let drops = &self.dropped[reason as usize];
        let now = unix_ms();
        // A first time once set stays; a failed exchange means that another was first.
        let _ = drops.first_ms.compare_exchange(0, now, Relaxed, Relaxed);
        drops.last_ms.store(now, Relaxed);
        drops.bytes.fetch_add(bytes as u64, Relaxed);
        drops.records.fetch_add(1, Relaxed)
    }

    /// Counts records of the spool that are done: acknowledged by Kafka, and refused and kept as dead
    /// letters.
    pub fn replayed(&self, acked: u64, refused: u64) {
        self.replayed.fetch_add(acked, Relaxed);
        self.replay_refused.fetch_add(refused, Relaxed);
    }

    /// Counts refused records that are dead letters now, durable in `place`.
    pub fn dead_letters(&self, place: DeadPlace, letters: u64) {
        self.dead[place as usize].fetch_add(letters, Relaxed);
    }

    /// Counts dead letters of the spool that an operator had sent again.
    pub fn dead_retried(&self, letters: u64) {
        self.dead_retried.fetch_add(letters, Relaxed);
    }

    /// Counts dead letters of the spool that an operator deleted.
    pub fn dead_deleted(&self, letters: u64) {
        self.dead_deleted.fetch_add(letters, Relaxed);
    }

    /// The source's cursors and how far they are durable.
    #[must_use]
    pub fn frontier(&self, source: SourceIndex) -> &Frontier {
        &self.account(source).frontier
    }

    /// What was counted for a source.
    #[must_use]
    pub fn of_source(&self, source: SourceIndex) -> SourceCounts {
        let account = self.account(source);
        // As below: ends before receipts.
        let (ended, ended_bytes) = account.ended.now();
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        let (received, received_bytes) = account.received.now();
        SourceCounts {
            received: received.max(ended),
            received_bytes: received_bytes.max(ended_bytes),
            ended,
            ended_bytes,
        }
    }

    /// The counters now. Fates are read before receipts, so that no difference comes out negative.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let dropped = DropReason::ALL.iter().zip(&self.dropped).filter_map(|(reason, d)| {
            let records = d.records.load(Relaxed);
            (records > 0).then(|| Dropped {
                reason: reason.name(),
                records,
                bytes: d.bytes.load(Relaxed),
                first_ms: d.first_ms.load(Relaxed),
                last_ms: d.last_ms.load(Relaxed),
            })
        });
        let mut counts = Counts {
            acked: self.acked.load(Relaxed),
            spooled: self.spooled.load(Relaxed),
            dropped: dropped.collect(),
            unaccounted: self.unaccounted.load(Relaxed),
            replayed: self.replayed.load(Relaxed),
            replay_refused: self.replay_refused.load(Relaxed),
            dead_topic: self.dead[DeadPlace::Topic as usize].load(Relaxed),
            dead_spool: self.dead[DeadPlace::Spool as usize].load(Relaxed),
            dead_retried: self.dead_retried.load(Relaxed),
            dead_deleted: self.dead_deleted.load(Relaxed),
            ended_bytes: self.accounts.iter().map(|account| account.ended.now().1).sum(),
            received: 0,
            received_bytes: 0,
        };
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        let settled = counts.acked + counts.spooled + counts.dropped_records() + counts.unaccounted;
        let received = self.accounts.iter().map(|account| account.received.now());
        let (records, bytes) = received.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        counts.received = records.max(settled);
        counts.received_bytes = bytes.max(counts.ended_bytes);
        counts
    }
}

/// Sits in a record until it is settled.
#[derive(Debug)]
pub struct Guard {
    ledger: Option<Arc<Ledger>>,
    source: SourceIndex,
    /// Bytes of the record's value; the configuration keeps records far below 4 GiB.
    bytes: u32,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(ledger) = &self.ledger {
            ledger.unaccounted.fetch_add(1, Relaxed);
            ledger.account(self.source).ended.add(self.bytes);
        }
    }
}

/// Milliseconds since 1970 by the wall clock; 0 before that.
#[must_use]
pub fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{record, record_of};

    #[test]
    fn every_fate_is_counted_once() {
        let ledger = Ledger::new(&[false]);
        for (seq, fate) in [(1, Fate::Acked), (2, Fate::Spooled), (3, Fate::Dropped(DropReason::SpoolFull))] {
            ledger.settle(record(&ledger, seq, b"abc"), fate);
        }
        let waiting = record(&ledger, 4, b"abc");
        let counts = ledger.counts();
        assert_eq!((counts.received, counts.received_bytes), (4, 12));
        assert_eq!((counts.acked, counts.spooled, counts.dropped_records()), (1, 1, 1));
        assert_eq!((counts.dropped[0].reason, counts.dropped[0].bytes), ("spool_full", 3));
        assert!(counts.dropped[0].first_ms > 0);
        assert_eq!((counts.in_memory(), counts.in_memory_bytes(), counts.unaccounted), (1, 3, 0));
        ledger.unreceive(record(&ledger, 5, b"abcdef"));
        assert_eq!((ledger.counts().in_memory(), ledger.counts().in_memory_bytes()), (1, 3));
        drop(waiting);
        let counts = ledger.counts();
        assert_eq!(counts.unaccounted, 1, "a record without a fate must show");
        assert_eq!((counts.in_memory(), counts.in_memory_bytes()), (0, 0));
    }

    #[test]
    fn each_source_has_an_account_of_its_own() {
        let ledger = Ledger::new(&[false, true]);
        let first = record_of(&ledger, 0, 1, b"abc");
        let second = record_of(&ledger, 1, 2, b"abcde");
        ledger
            .frontier(1)
            .mark(2, crate::frontier::Cursor::File { device: 1, inode: 2, offset: 9, tail: None });
        assert_eq!((ledger.of_source(0).in_memory(), ledger.of_source(1).in_memory_bytes()), (1, 5));
        assert_eq!(ledger.counts().received_bytes, 8);
        ledger.settle(second, Fate::Acked);
        assert_eq!(ledger.of_source(1).in_memory(), 0);
        assert!(ledger.frontier(1).durable().is_some(), "the other source's record does not hold it up");
        assert_eq!((ledger.of_source(0).in_memory(), ledger.frontier(0).durable()), (1, None));
        ledger.settle(first, Fate::Acked);
    }
}
