//! What the spool knows about itself in memory: which segments there are, where head and tail are, what was
//! lost, dropped and measured.
//!
//! Guarantees: the tail a reader sees covers durable frames only; positions only grow; a lost record is counted
//! once. A few bytes per segment and none per frame or record. Never writes a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::config::Config;
use crate::dead_read;
use crate::error::{Error, FullCause};
use crate::fault::Faults;
use crate::index::Change;
use crate::index_values::Summary;
use crate::indexer::Truth;
use crate::layout::Layout;
use crate::segment;
use crate::state::State;
use crate::stats::IoTrouble;
use crate::walk::{Met, Span, walk};

/// A segment as it is known in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentInfo {
    pub(crate) first_seq: u64,
    /// Sequence number after its last durable record, lost ones included.
    pub(crate) end_seq: u64,
    /// Bytes to read.
    pub(crate) len: u64,
    pub(crate) payload_bytes: u64,
}

impl SegmentInfo {
    pub(crate) fn summary(&self) -> Summary {
        let SegmentInfo { first_seq, end_seq, len, payload_bytes } = *self;
        Summary { first_seq, end_seq, len, payload_bytes }
    }
}

/// The kinds of work that can fail one without the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Append,
    Read,
    Maintain,
}

/// Numbers that only the statistics read.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) waiting_bytes: AtomicU64,
    pub(crate) log_bytes: AtomicU64,
    pub(crate) dead_bytes: AtomicU64,
    pub(crate) dead_letters: AtomicU64,
    pub(crate) appended: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) last_sync_us: AtomicU64,
    pub(crate) slowest_sync_us: AtomicU64,
}

/// The spool's knowledge of itself.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) config: Config,
    pub(crate) layout: Layout,
    pub(crate) faults: Faults,
    pub(crate) spool_id: u32,
    pub(crate) gauges: Gauges,
    segments: Mutex<BTreeMap<u64, SegmentInfo>>,
    tail: AtomicU64,
    acknowledged: AtomicU64,
    /// Counters, lost ranges and meta values. Its positions are filled in when it is copied.
    ledger: Mutex<State>,
    full: Mutex<Option<FullCause>>,
    /// One place for each kind of work, so that one that succeeds does not hide another that fails.
    trouble: Mutex<[Option<IoTrouble>; 3]>,
    news: (Mutex<()>, Condvar),
}

/// Locks a mutex; what a panicking thread left behind is still valid here, because no update is left half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn subtract(gauge: &AtomicU64, amount: u64) {
    let _ = gauge.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(old.saturating_sub(amount)));
}

impl Books {
    pub(crate) fn new(
        config: Config,
        layout: Layout,
        faults: Faults,
        spool_id: u32,
        segments: Vec<SegmentInfo>,
        state: State,
    ) -> Books {
        let log_bytes = segments.iter().map(|segment| segment.len).sum();
        Books {
            config,
            layout,
            faults,
            spool_id,
            gauges: Gauges { log_bytes: AtomicU64::new(log_bytes), ..Gauges::default() },
            segments: Mutex::new(segments.into_iter().map(|segment| (segment.first_seq, segment)).collect()),
            tail: AtomicU64::new(state.tail),
            acknowledged: AtomicU64::new(state.acknowledged),
            ledger: Mutex::new(state),
            full: Mutex::new(None),
            trouble: Mutex::default(),
            news: (Mutex::new(()), Condvar::new()),
        }
    }

    /// The record that will be appended next.
    pub(crate) fn tail(&self) -> u64 {
        self.tail.load(Ordering::Acquire)
    }

    /// The first record that is not acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Moves the acknowledged position forward, over lost records too. Returns the old and the new position.
    pub(crate) fn acknowledge(&self, through: u64) -> (u64, u64) {
        let mut ledger = lock(&self.ledger);
        let old = self.acknowledged();
        let through = ledger.holes.end_of(through).unwrap_or(through).min(self.tail()).max(old);
        let done = (through - old) - ledger.holes.count_in(old..through);
        ledger.holes.forget_before(through);
        self.acknowledged.store(through, Ordering::Release);
        self.gauges.acknowledged.fetch_add(done, Ordering::Relaxed);
        if through == self.tail() {
            self.gauges.waiting_bytes.store(0, Ordering::Relaxed);
        }
        (old, through)
    }

    /// Takes the records before `end` off the front because there is no room, and counts them.
    pub(crate) fn drop_before(&self, end: u64, bytes: u64, now_ms: u64) -> u64 {
        let mut ledger = lock(&self.ledger);
        let old = self.acknowledged();
        if end <= old {
            return 0;
        }
        let records = (end - old) - ledger.holes.count_in(old..end);
        ledger.counters.dropped_oldest.add(records, bytes, now_ms);
        ledger.holes.forget_before(end);
        self.acknowledged.store(end, Ordering::Release);
        subtract(&self.gauges.waiting_bytes, bytes);
        records
    }

    pub(crate) fn count_dropped_newest(&self, records: u64, bytes: u64) {
        lock(&self.ledger).counters.dropped_newest.add(records, bytes, now_ms());
    }

    /// Counts records as lost, those that were not yet. Returns how many that were.
    pub(crate) fn lose(&self, seqs: Range<u64>) -> u64 {
        let mut ledger = lock(&self.ledger);
        let from = seqs.start.max(self.acknowledged());
        let lost = ledger.holes.add(from..seqs.end.max(from));
        if lost > 0 {
            ledger.counters.quarantined.frames += 1;
            ledger.counters.quarantined.records += lost;
        }
        lost
    }

    /// The end of the lost range in which `seq` lies.
    pub(crate) fn hole_end(&self, seq: u64) -> Option<u64> {
        lock(&self.ledger).holes.end_of(seq)
    }

    /// Lost records that are not acknowledged yet.
    pub(crate) fn holes_ahead(&self) -> u64 {
        lock(&self.ledger).holes.count_in(self.acknowledged()..self.tail())
    }

    /// Changes the ledger.
    pub(crate) fn ledger<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut lock(&self.ledger))
    }

    /// A copy of everything that is to be made durable. The tail is read last: it covers all the rest.
    pub(crate) fn snapshot(&self) -> State {
        let ledger = lock(&self.ledger);
        State { acknowledged: self.acknowledged(), tail: self.tail(), ..ledger.clone() }
    }

    /// A frame is durable: readers may have it.
    pub(crate) fn publish(&self, segment: u64, frame_len: u64, end_seq: u64, payload_bytes: u64) {
        if let Some(info) = lock(&self.segments).get_mut(&segment) {
            info.end_seq = end_seq;
            info.len += frame_len;
            info.payload_bytes += payload_bytes;
        }
        self.gauges.log_bytes.fetch_add(frame_len, Ordering::Relaxed);
        {
            // Together, so that an acknowledgement of everything cannot fall between the two.
            let _ledger = lock(&self.ledger);
            self.gauges.waiting_bytes.fetch_add(payload_bytes, Ordering::Relaxed);
            let old = self.tail.swap(end_seq, Ordering::AcqRel);
            self.gauges.appended.fetch_add(end_seq - old, Ordering::Relaxed);
        }
        // Held for a moment, so that a reader between its look and its wait is not missed.
        drop(lock(&self.news.0));
        self.news.1.notify_all();
    }

    /// Waits until the tail passes `position`.
    pub(crate) fn wait_beyond(&self, position: u64, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut held = lock(&self.news.0);
        while self.tail() <= position {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            held = self.news.1.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Runs something on the map of segments.
    pub(crate) fn segments<R>(&self, run: impl FnOnce(&mut BTreeMap<u64, SegmentInfo>) -> R) -> R {
        run(&mut lock(&self.segments))
    }

    /// The segment with the greatest first sequence number not above `seq`.
    pub(crate) fn segment_of(&self, seq: u64) -> Option<SegmentInfo> {
        self.segments(|map| map.range(..=seq).next_back().map(|(_, info)| *info))
    }

    /// The first segment that begins after `seq`.
    pub(crate) fn segment_after(&self, seq: u64) -> Option<u64> {
        self.segments(|map| map.range(seq + 1..).next().map(|(first, _)| *first))
    }

    /// A frame of this many payload bytes is done.
    pub(crate) fn paid(&self, bytes: u64) {
        subtract(&self.gauges.waiting_bytes, bytes);
    }

    pub(crate) fn set_full(&self, cause: Option<FullCause>) {
        let mut full = lock(&self.full);
        match (&*full, &cause) {
            (None, Some(cause)) => {
                let when_full = self.config.when_full;
                tracing::error!(event = "spool_full", dir = %self.layout.dir.display(), %cause, ?when_full, "the spool is full")
            }
            (Some(_), None) => {
                tracing::info!(event = "spool_has_room", dir = %self.layout.dir.display(), "the spool has room again")
            }
            _ => {}
        }
        *full = cause;
    }

    pub(crate) fn full(&self) -> Option<FullCause> {
        *lock(&self.full)
    }

    /// Remembers a failed file operation, or that this kind of work goes well again.
    pub(crate) fn set_trouble(&self, work: Work, error: Option<&Error>) {
        let trouble = error.map(|error| {
            let kind = match error {
                Error::Io { source, .. } | Error::Unwritable { source, .. } => source.kind(),
                _ => std::io::ErrorKind::Other,
            };
            IoTrouble { message: error.to_string(), kind, at_ms: now_ms() }
        });
        lock(&self.trouble)[work as usize] = trouble;
    }

    pub(crate) fn trouble(&self) -> Option<IoTrouble> {
        lock(&self.trouble).iter().flatten().next().cloned()
    }

    pub(crate) fn synced(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.gauges.last_sync_us.store(micros, Ordering::Relaxed);
        self.gauges.slowest_sync_us.fetch_max(micros, Ordering::Relaxed);
    }
}

impl Truth for Books {
    fn state(&self) -> State {
        self.snapshot()
    }

    fn changes(&self, sink: &mut dyn FnMut(Change)) {
        let segments: Vec<_> = self.segments(|map| map.values().copied().collect());
        if let Some(oldest) = segments.first() {
            sink(Change::ForgetBefore(oldest.first_seq));
        }
        for (index, info) in segments.iter().enumerate() {
            let Ok(file) = File::open(segment::path(&self.layout.log, info.first_seq)) else {
                // Deleted meanwhile, or unreadable: the reader finds out and says so.
                continue;
            };
            let span = Span {
                first_seq: info.first_seq,
                bound: info.end_seq,
                len: info.len,
                verify_from: u64::MAX,
                spool_id: Some(self.spool_id),
            };
            walk(&file, span, |met| {
                if let Met::Frame(frame) = met
                    && frame.is_kept()
                {
                    sink(Change::Frame(frame));
                }
            });
            if index + 1 < segments.len() {
                sink(Change::Closed(info.summary()));
            }
        }
        dead_read::replay(&self.layout.dead, 0, sink);
    }
}
