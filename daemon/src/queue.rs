//! The bounded queue between the stream and whoever sends: crossbeam's channel for the order and the
//! number of records, a budget for their bytes, and in front of it the records that were given back.
//!
//! It holds at most `max_records`, and at most `max_bytes` unless a single record is larger. When it is
//! full the stream waits: that is the backpressure. What is given back comes out before everything
//! else, in the order it was given, so that the stream's order survives an outage.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, TrySendError, bounded};
use tokio::sync::Notify;

use crate::record::Record;

const ROOM_WAIT_MAX: Duration = Duration::from_millis(50);

/// Makes a queue: the stream's end and the other.
#[must_use]
pub fn queue(max_records: usize, max_bytes: usize) -> (Sender, Queue) {
    let (tx, rx) = bounded(max_records);
    let shared = Arc::new(Shared {
        max_records,
        max_bytes,
        bytes: AtomicUsize::new(0),
        room_wanted: AtomicBool::new(false),
        room: Notify::new(),
        returned: Mutex::default(),
        returned_len: AtomicUsize::new(0),
    });
    (Sender { tx, shared: Arc::clone(&shared) }, Queue { rx, shared })
}

#[derive(Debug)]
struct Shared {
    max_records: usize,
    max_bytes: usize,
    /// Bytes in the channel; what was given back is not counted, since it left the queue once.
    bytes: AtomicUsize,
    room_wanted: AtomicBool,
    room: Notify,
    returned: Mutex<VecDeque<Record>>,
    returned_len: AtomicUsize,
}

/// The stream's end. When it is dropped the queue is closed.
#[derive(Debug)]
pub struct Sender {
    tx: crossbeam_channel::Sender<Record>,
    shared: Arc<Shared>,
}

impl Sender {
    /// Puts a record at the end, at once or not at all.
    ///
    /// # Errors
    /// Gives the record back when there is no room.
    pub fn try_push(&self, record: Record) -> Result<(), Record> {
        let cost = record.cost();
        let before = self.shared.bytes.fetch_add(cost, Ordering::SeqCst);
        if before > 0 && before + cost > self.shared.max_bytes {
            self.shared.bytes.fetch_sub(cost, Ordering::SeqCst);
            return Err(record);
        }
        self.tx.try_send(record).map_err(|refused| {
            self.shared.bytes.fetch_sub(cost, Ordering::SeqCst);
            let (TrySendError::Full(record) | TrySendError::Disconnected(record)) = refused;
            record
        })
    }

    /// Puts a record at the end, waiting for room as long as it takes.
    ///
    /// Cancel safety: when the future is dropped before it is done, the record is still in `slot`.
    pub async fn push(&self, slot: &mut Option<Record>) {
        while let Some(record) = slot.take() {
            let Err(record) = self.try_push(record) else { return };
            let woken = self.shared.room.notified();
            self.shared.room_wanted.store(true, Ordering::SeqCst);
            // Room may have come between the try and the wish.
            let Err(record) = self.try_push(record) else { return };
            *slot = Some(record);
            // The wish and the room are seen in one order by all (SeqCst), but the channel's own
            // counters are not ours: a bounded wait makes a lost wake-up a delay, not a standstill.
            let _ = tokio::time::timeout(ROOM_WAIT_MAX, woken).await;
        }
    }
}

/// What a wait for a record came to.
#[derive(Debug)]
pub enum Popped {
    /// The next record.
    Record(Record),
    /// None within the time.
    Empty,
    /// None, and none will come: the stream has ended.
    Closed,
}

/// The other end, shared by the tasks that may take from it; the lane says which one may now.
#[derive(Debug, Clone)]
pub struct Queue {
    rx: Receiver<Record>,
    shared: Arc<Shared>,
}

impl Queue {
    /// Takes the next record, waiting at most `timeout` for it.
    #[must_use]
    pub fn pop(&self, timeout: Duration) -> Popped {
        if let Some(record) = self.pop_returned() {
            return Popped::Record(record);
        }
        let received = match self.rx.try_recv() {
            Ok(record) => Ok(record),
            Err(_) if timeout.is_zero() => Err(RecvTimeoutError::Timeout),
            Err(_) => self.rx.recv_timeout(timeout),
        };
        match received {
            Ok(record) => {
                self.make_room(record.cost());
                Popped::Record(record)
            }
            Err(RecvTimeoutError::Timeout) => Popped::Empty,
            Err(RecvTimeoutError::Disconnected) => Popped::Closed,
        }
    }

    fn pop_returned(&self) -> Option<Record> {
        if self.shared.returned_len.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut returned = self.returned();
        let record = returned.pop_front();
        self.shared.returned_len.store(returned.len(), Ordering::Release);
        record
    }

    fn make_room(&self, bytes: usize) {
        let left = self.shared.bytes.fetch_sub(bytes, Ordering::SeqCst) - bytes;
        // Room for a single record would wake the stream for every one.
        let roomy = self.rx.len() <= self.shared.max_records - self.shared.max_records / 4
            && left <= self.shared.max_bytes - self.shared.max_bytes / 4;
        if roomy && self.shared.room_wanted.swap(false, Ordering::SeqCst) {
            self.shared.room.notify_one();
        }
    }

    /// Puts records back in front of everything else; they must be older than all that waits.
    pub fn give_back(&self, records: impl IntoIterator<Item = Record, IntoIter: DoubleEndedIterator>) {
        let mut returned = self.returned();
        for record in records.into_iter().rev() {
            returned.push_front(record);
        }
        self.shared.returned_len.store(returned.len(), Ordering::Release);
    }

    fn returned(&self) -> std::sync::MutexGuard<'_, VecDeque<Record>> {
        // A panic between two pushes leaves a valid deque.
        self.shared.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records waiting, including those given back.
    #[must_use]
    pub fn records(&self) -> usize {
        self.rx.len() + self.shared.returned_len.load(Ordering::Acquire)
    }

    /// Bytes waiting in the channel.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.shared.bytes.load(Ordering::Acquire)
    }

    /// How full it is, 0 to 1: the fuller of records and bytes.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share, shown and compared with 0.7")]
    pub fn fill(&self) -> f64 {
        let records = self.rx.len() as f64 / self.shared.max_records as f64;
        let bytes = self.bytes() as f64 / self.shared.max_bytes as f64;
        records.max(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Fate, Ledger};
    use crate::testing::record;

    fn pop_seq(queue: &Queue, ledger: &Ledger) -> Option<u64> {
        match queue.pop(Duration::ZERO) {
            Popped::Record(record) => {
                let seq = record.seq;
                ledger.settle(record, Fate::Acked);
                Some(seq)
            }
            Popped::Empty | Popped::Closed => None,
        }
    }

    #[test]
    fn what_is_given_back_comes_first_and_in_order() {
        let ledger = Ledger::new(&[false]);
        let (tx, rx) = queue(10, 1000);
        for seq in 5..8 {
            tx.try_push(record(&ledger, seq, b"x")).unwrap();
        }
        rx.give_back([record(&ledger, 3, b"x"), record(&ledger, 4, b"x")]);
        rx.give_back(vec![record(&ledger, 1, b"x"), record(&ledger, 2, b"x")]);
        assert_eq!(rx.records(), 7);
        let order: Vec<_> = std::iter::from_fn(|| pop_seq(&rx, &ledger)).collect();
        assert_eq!(order, [1, 2, 3, 4, 5, 6, 7]);
        drop(tx);
        assert!(matches!(rx.pop(Duration::from_secs(5)), Popped::Closed));
        assert_eq!(ledger.counts().unaccounted, 0);
    }

    #[test]
    fn bytes_and_records_are_both_limits() {
        let ledger = Ledger::new(&[false]);
        let (tx, rx) = queue(3, 10);
        assert!(tx.try_push(record(&ledger, 1, &[0; 50])).is_ok(), "a single large record must pass");
        let refused = tx.try_push(record(&ledger, 2, b"y")).unwrap_err();
        assert_eq!(pop_seq(&rx, &ledger), Some(1));
        tx.try_push(refused).unwrap();
        for seq in 3..5 {
            tx.try_push(record(&ledger, seq, b"z")).unwrap();
        }
        ledger.settle(tx.try_push(record(&ledger, 5, b"z")).unwrap_err(), Fate::Acked);
        assert!((rx.fill() - 1.0).abs() < 1e-9);
        assert_eq!(rx.bytes(), 3);
        while pop_seq(&rx, &ledger).is_some() {}
        assert_eq!(rx.bytes(), 0);
    }

    #[test]
    fn a_waiting_stream_is_woken_by_room() {
        let ledger = Ledger::new(&[false]);
        let (tx, rx) = queue(1, 1000);
        tx.try_push(record(&ledger, 1, b"x")).unwrap();
        let mut slot = Some(record(&ledger, 2, b"x"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let popper = {
            let (rx, ledger) = (rx.clone(), Arc::clone(&ledger));
            std::thread::spawn(move || pop_seq(&rx, &ledger))
        };
        runtime.block_on(tx.push(&mut slot));
        assert!(slot.is_none());
        assert_eq!(popper.join().unwrap(), Some(1));
        assert_eq!(pop_seq(&rx, &ledger), Some(2));
    }
}
