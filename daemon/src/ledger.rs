//! The accounting: every record that was received ends in exactly one fate.
//!
//! ```text
//! received = acked + spooled + dropped(reason) + unaccounted     once nothing is in memory
//! spooled + retried = replayed + refused from the spool + backlog on disk (+ what the spool itself lost and counts)
//! ```
//!
//! `unaccounted` counts records whose guard was dropped without a fate: a bug, 0 in every test.

mod counts;
mod fate;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::frontier::Frontier;
use crate::latency::{Latency, Took};
use crate::record::{Record, Seq, SourceIndex};

pub use counts::{Counts, Dropped, SourceCounts};
pub use fate::{DeadPlace, DropReason, Fate};

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
    latency: Latency,
}

/// Drops of one reason; the times are unix milliseconds, 0 for never.
#[derive(Debug, Default)]
struct Drops {
    records: AtomicU64,
    bytes: AtomicU64,
    first_ms: AtomicU64,
    last_ms: AtomicU64,
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
            Fate::Acked => {
                self.latency.delivered(record.received_ms);
                self.acked.fetch_add(1, Relaxed)
            }
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

    /// Kafka has acknowledged a record of the spool that was received at this time, unix milliseconds.
    pub fn delivered_from_disk(&self, received_ms: i64) {
        self.latency.delivered_from_disk(received_ms);
    }

    /// How long records took to be acknowledged.
    #[must_use]
    pub fn latency(&self) -> Took {
        self.latency.read()
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
