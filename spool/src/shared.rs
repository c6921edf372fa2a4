//! What the handles of one open spool share, and the steps that several of them take: making the state durable,
//! deleting segments, making room.
//!
//! Guarantees: a segment is deleted only after a checkpoint that says it is done is durable. Locks are taken in
//! the order writer, checkpoint, books; sled is never waited for while any of them is held.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::books::{Books, SegmentInfo, lock, now_ms};
use crate::capacity::Capacity;
use crate::checkpoint::Checkpoint;
use crate::dead::DeadLog;
use crate::error::Error;
use crate::files::{remove, sync_dir};
use crate::index::Change;
use crate::indexer::Indexer;
use crate::segment::{self, SegmentFile};
use crate::state::State;
use crate::stats::Recovery;
use crate::walk::{Span, seek};

/// How long an answer of the index is awaited by a reader before it reads the segment itself.
const SEEK_TIMEOUT: Duration = Duration::from_millis(500);

/// The checkpoint file and what it holds.
pub(crate) struct Saved {
    pub(crate) file: Checkpoint,
    /// What was last made durable.
    pub(crate) state: Option<State>,
}

/// Tells the maintenance thread what to do.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    pub(crate) stop: bool,
    pub(crate) hurry: bool,
}

pub(crate) struct Shared {
    pub(crate) books: Arc<Books>,
    pub(crate) capacity: Capacity,
    pub(crate) indexer: Indexer,
    pub(crate) recovery: Recovery,
    pub(crate) dead: Mutex<DeadLog>,
    pub(crate) orders: (Mutex<Orders>, Condvar),
    /// The segment that is appended to.
    writer: Mutex<SegmentFile>,
    saved: Mutex<Saved>,
    durably_acknowledged: AtomicU64,
    /// Released last, when everything above is closed.
    _lock: File,
}

/// The parts a spool is made of when it has been opened.
pub(crate) struct Parts {
    pub(crate) books: Arc<Books>,
    pub(crate) capacity: Capacity,
    pub(crate) indexer: Indexer,
    pub(crate) recovery: Recovery,
    pub(crate) dead: DeadLog,
    pub(crate) writer: SegmentFile,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) lock: File,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Shared {
        Shared {
            durably_acknowledged: AtomicU64::new(0),
            books: parts.books,
            capacity: parts.capacity,
            indexer: parts.indexer,
            recovery: parts.recovery,
            dead: Mutex::new(parts.dead),
            orders: (Mutex::new(Orders::default()), Condvar::new()),
            writer: Mutex::new(parts.writer),
            saved: Mutex::new(Saved { file: parts.checkpoint, state: None }),
            _lock: parts.lock,
        }
    }

    /// Runs something with the segment that is appended to.
    pub(crate) fn writer<R>(&self, run: impl FnOnce(&mut SegmentFile) -> R) -> R {
        run(&mut lock(&self.writer))
    }

    /// Makes the acknowledged position, counters and meta values durable, if any of them changed.
    pub(crate) fn save(&self) -> Result<bool, Error> {
        let mut saved = lock(&self.saved);
        let state = self.books.snapshot();
        if saved.state.as_ref() == Some(&state) {
            return Ok(false);
        }
        let mut stamped = state.clone();
        if let Err(error) = saved.file.write(&mut stamped) {
            if error.is_full() {
                self.capacity.release_ballast();
            }
            return Err(error);
        }
        self.durably_acknowledged.fetch_max(state.acknowledged, Ordering::AcqRel);
        self.indexer.state(stamped);
        saved.state = Some(state);
        Ok(true)
    }

    /// Deletes the segments before the durably acknowledged position. True if there were any.
    pub(crate) fn delete_drained(&self) -> Result<bool, Error> {
        let through = self.durably_acknowledged.load(Ordering::Acquire);
        let drained: Vec<u64> = self.books.segments(|map| {
            let sealed = map.len().saturating_sub(1);
            map.values().take(sealed).take_while(|s| s.end_seq <= through).map(|s| s.first_seq).collect()
        });
        if drained.is_empty() {
            return Ok(false);
        }
        self.books.faults.point("delete.begin");
        for first_seq in drained {
            self.delete_segment(first_seq)?;
        }
        sync_dir(&self.books.layout.log)?;
        self.books.faults.point("delete.synced");
        // Not before the acknowledged position: the segment it lies in is still there.
        let oldest = self.books.segments(|map| map.keys().next().copied()).unwrap_or(through);
        self.indexer.change(Change::ForgetBefore(oldest));
        self.capacity.forget();
        Ok(true)
    }

    fn delete_segment(&self, first_seq: u64) -> Result<(), Error> {
        let Some(info) = self.books.segments(|map| map.remove(&first_seq)) else { return Ok(()) };
        let path = segment::path(&self.books.layout.log, first_seq);
        if let Err(error) = remove(&path) {
            self.books.segments(|map| map.insert(first_seq, info));
            return Err(error);
        }
        self.books.faults.point("delete.unlinked");
        self.books.gauges.log_bytes.fetch_sub(info.len, Ordering::Relaxed);
        Ok(())
    }

    /// Closes the current segment and begins the next one.
    pub(crate) fn rotate(&self, writer: &mut SegmentFile) -> Result<(), Error> {
        let log = &self.books.layout.log;
        let tail = self.books.tail();
        if writer.first_seq() == tail {
            *writer = SegmentFile::recreate(log, tail, self.books.faults.clone())?;
            return Ok(());
        }
        let next = SegmentFile::create(log, tail, self.books.faults.clone())?;
        let closed = std::mem::replace(writer, next);
        let info = SegmentInfo { first_seq: tail, end_seq: tail, len: 0, payload_bytes: 0 };
        let summary = self.books.segments(|map| {
            map.insert(tail, info);
            map.get(&closed.first_seq()).map(SegmentInfo::summary)
        });
        if let Some(summary) = summary {
            self.indexer.change(Change::Closed(summary));
        }
        Ok(())
    }

    /// Gives up the oldest segment to make room. False if there is none to give up.
    pub(crate) fn drop_oldest(&self, writer: &mut SegmentFile) -> Result<bool, Error> {
        let oldest = self.books.segments(|map| map.values().next().copied());
        let Some(oldest) = oldest else { return Ok(false) };
        if oldest.first_seq == writer.first_seq() {
            if writer.len() == 0 {
                return Ok(false);
            }
            self.rotate(writer)?;
        }
        let acknowledged = self.books.acknowledged();
        let before = if acknowledged > oldest.first_seq { self.locate(oldest, acknowledged).1 } else { 0 };
        let bytes = oldest.payload_bytes.saturating_sub(before);
        let records = self.books.drop_before(oldest.end_seq, bytes, now_ms());
        // Durable first: after a crash these records must count as dropped, not as missing.
        self.save()?;
        self.books.faults.point("drop.recorded");
        self.delete_drained()?;
        if records > 0 {
            tracing::error!(
                event = "spool_dropped_oldest",
                records,
                bytes,
                segment = oldest.first_seq,
                "dropped the oldest records: the spool is full"
            );
        }
        Ok(true)
    }

    /// Offset of the frame that holds `seq` in a segment, and the bytes of the records in the frames before it.
    pub(crate) fn locate(&self, info: SegmentInfo, seq: u64) -> (u64, u64) {
        let span = Span {
            first_seq: info.first_seq,
            bound: info.end_seq,
            len: info.len,
            verify_from: u64::MAX,
            spool_id: Some(self.books.spool_id),
        };
        File::open(segment::path(&self.books.layout.log, info.first_seq))
            .map_or((0, 0), |file| seek(&file, span, seq))
    }

    /// Where the index says that the frame with `seq` begins. It is only a hint: the caller checks the header.
    pub(crate) fn hint(&self, info: SegmentInfo, seq: u64) -> Option<u64> {
        let frame = self.indexer.ask(SEEK_TIMEOUT, move |index| index.frame_at_or_before(seq))??;
        let usable = frame.segment == info.first_seq && frame.offset < info.len;
        usable.then_some(frame.offset)
    }

    /// True if the oldest segment is closed and done.
    pub(crate) fn oldest_is_drained(&self) -> bool {
        let through = self.books.acknowledged();
        self.books
            .segments(|map| map.len() > 1 && map.values().next().is_some_and(|info| info.end_seq <= through))
    }

    /// Wakes the maintenance thread now instead of at its next turn.
    pub(crate) fn hurry(&self) {
        let mut orders = lock(&self.orders.0);
        // One wake-up is enough, however many acknowledgements come before its turn.
        if !std::mem::replace(&mut orders.hurry, true) {
            self.orders.1.notify_all();
        }
    }

    /// Bytes of all segments, dead letters included.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let gauges = &self.books.gauges;
        gauges.log_bytes.load(Ordering::Relaxed) + gauges.dead_bytes.load(Ordering::Relaxed)
    }
}
