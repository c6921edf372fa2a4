//! The open spool: the handle that everybody may hold, and how all of it is closed.
//!
//! Guarantees: there is one appender and one reader, because they are made here and cannot be cloned. When the
//! last handle is dropped the state is saved, the threads have ended and the lock is free. Never appends or
//! reads records: that is `appender` and `reader`.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::appender::Appender;
use crate::books::{Work, lock, now_ms};
use crate::config::Config;
use crate::dead::{self, DeadLetter};
use crate::error::Error;
use crate::index::Change;
use crate::index_values::DeadEntry;
use crate::reader::Reader;
use crate::shared::Shared;
use crate::stats::{Recovery, Stats};
use crate::{maintain, recover};

/// How long `sync` waits for the index after the checkpoint is durable.
const SYNC_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the index is asked for dead letters before their log is read instead.
const DEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Dead letters listed at once.
const DEAD_PAGE: usize = 128;

/// Keeps the spool open. The last one to go closes it.
pub(crate) struct Handle {
    shared: Arc<Shared>,
    maintenance: Mutex<Option<JoinHandle<()>>>,
}

impl Handle {
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        maintain::stop(&self.shared);
        if let Some(thread) = lock(&self.maintenance).take()
            && thread.join().is_err()
        {
            tracing::error!("the spool's maintenance thread panicked");
        }
    }
}

/// An open spool. Cheap to clone; all clones are the same spool.
#[derive(Clone)]
pub struct Spool {
    handle: Arc<Handle>,
}

impl Spool {
    /// Opens the spool in `config.dir`, or creates it.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process has it, [`Error::NewerVersion`] if it belongs to a newer program (in
    /// both cases nothing was changed), [`Error::Unwritable`] if the folder cannot be used, [`Error::Io`] if the
    /// disk fails while the newest segment is opened. Damage in the files is never an error: see [`Recovery`].
    pub fn open(config: Config) -> Result<(Spool, Appender, Reader), Error> {
        let shared = Arc::new(recover::open(config)?);
        let thread = maintain::start(shared.clone())?;
        let handle = Arc::new(Handle { shared, maintenance: Mutex::new(Some(thread)) });
        let appender = Appender::new(handle.clone());
        let reader = Reader::new(handle.clone());
        Ok((Spool { handle }, appender, reader))
    }

    fn shared(&self) -> &Shared {
        self.handle.shared()
    }

    /// What opening the spool found and did.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.shared().recovery
    }

    /// The state of the spool now. Cheap: no file is touched.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = self.shared();
        let books = &shared.books;
        let gauges = &books.gauges;
        let counters = books.ledger(|ledger| ledger.counters);
        // The head first: the tail only grows, so it is never below it.
        let (head_seq, holes) = (books.acknowledged(), books.holes_ahead());
        let tail_seq = books.tail();
        Stats {
            head_seq,
            tail_seq,
            records: (tail_seq - head_seq).saturating_sub(holes),
            bytes: gauges.waiting_bytes.load(Ordering::Relaxed),
            disk_bytes: shared.disk_bytes(),
            segments: books.segments(|map| map.len() as u64),
            appended_records: gauges.appended.load(Ordering::Relaxed),
            acknowledged_records: gauges.acknowledged.load(Ordering::Relaxed),
            quarantined: counters.quarantined,
            dropped_oldest: counters.dropped_oldest,
            dropped_newest: counters.dropped_newest,
            dead_letters: gauges.dead_letters.load(Ordering::Relaxed),
            full: books.full(),
            io_error: books.trouble(),
            last_sync: Duration::from_micros(gauges.last_sync_us.load(Ordering::Relaxed)),
            slowest_sync: Duration::from_micros(gauges.slowest_sync_us.load(Ordering::Relaxed)),
            index_ok: shared.indexer.is_ok(),
            index_rebuilds: shared.indexer.rebuilds(),
        }
    }

    /// A small value stored under `key`, such as the source's cursor.
    ///
    /// # Errors
    /// None at present: values are held in memory. The signature leaves room for a store that reads.
    pub fn meta_get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.shared().books.ledger(|ledger| ledger.meta.get(key).cloned()))
    }

    /// Stores a small value: a key of at most 128 bytes, a value of at most 4 KiB. In effect at once, durable
    /// after about a second or by [`sync`](Spool::sync).
    ///
    /// # Errors
    /// [`Error::MetaTooLarge`] if the key or the value is too long, or all of them together.
    pub fn meta_put(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        self.shared().books.ledger(|ledger| ledger.put_meta(key, value))
    }

    /// Makes the acknowledged position and the meta values durable: they survive a power cut when this returns.
    ///
    /// # Errors
    /// [`Error::Io`] if the checkpoint cannot be written. An index that cannot be flushed is no error: nothing in
    /// it is the only copy.
    pub fn sync(&self) -> Result<(), Error> {
        let shared = self.shared();
        let saved = shared.save();
        shared.books.set_trouble(Work::Maintain, saved.as_ref().err());
        saved?;
        if !shared.indexer.flush(SYNC_TIMEOUT) {
            tracing::warn!("the index could not be flushed; the checkpoint holds the same");
        }
        Ok(())
    }

    /// Keeps a record that can never be delivered. Durable when this returns its id.
    ///
    /// # Errors
    /// [`Error::Full`] if there is no room, [`Error::RecordTooLarge`], [`Error::Io`].
    pub fn dead_put(&self, record: &[u8], reason: &str, unix_ms: u64) -> Result<u64, Error> {
        let shared = self.shared();
        let gauges = &shared.books.gauges;
        let need = record.len() as u64 + reason.len() as u64;
        shared
            .capacity
            .room(shared.disk_bytes(), need, Instant::now())
            .map_err(|cause| Error::Full { cause })?;
        let entry = lock(&shared.dead).put(record, reason, unix_ms, now_ms())?;
        let id = entry.id;
        gauges.dead_letters.fetch_add(1, Ordering::Relaxed);
        gauges.dead_bytes.store(dead::size(&shared.books.layout.dead), Ordering::Relaxed);
        shared.indexer.change(Change::Dead(entry));
        Ok(id)
    }

    /// The dead letters, oldest first. Letters that come while it is read may be seen.
    pub fn dead_list(&self) -> impl Iterator<Item = DeadLetter> + use<> {
        let spool = self.clone();
        let mut next = 0;
        let mut page = Vec::new().into_iter();
        std::iter::from_fn(move || {
            if page.len() == 0 {
                page = spool.dead_page(next, DEAD_PAGE).into_iter();
            }
            let entry: DeadEntry = page.next()?;
            next = entry.id + 1;
            Some(DeadLetter::from(entry))
        })
    }

    /// A dead letter with its record. `None` if there is none with this id, or its bytes are damaged.
    ///
    /// # Errors
    /// None at present; reserved for a disk that fails.
    pub fn dead_get(&self, id: u64) -> Result<Option<(DeadLetter, Vec<u8>)>, Error> {
        Ok(self.dead_entry(id).and_then(|entry| dead::read(&self.shared().books.layout.dead, &entry)))
    }

    /// Removes a dead letter. Durable when this returns; false if there was none with this id.
    ///
    /// # Errors
    /// [`Error::Io`] if the removal cannot be written.
    pub fn dead_remove(&self, id: u64) -> Result<bool, Error> {
        let shared = self.shared();
        if self.dead_entry(id).is_none() {
            return Ok(false);
        }
        lock(&shared.dead).remove(id, now_ms())?;
        shared.indexer.change(Change::DeadRemoved(id));
        shared.books.gauges.dead_letters.fetch_sub(1, Ordering::Relaxed);
        let oldest = self.dead_page(0, 1).first().map_or(u64::MAX, |entry| entry.segment);
        lock(&shared.dead).delete_before(oldest)?;
        shared.books.gauges.dead_bytes.store(dead::size(&shared.books.layout.dead), Ordering::Relaxed);
        Ok(true)
    }

    fn dead_entry(&self, id: u64) -> Option<DeadEntry> {
        self.dead_page(id, 1).into_iter().find(|entry| entry.id == id)
    }

    /// From the index; from the log itself while the index is not whole.
    fn dead_page(&self, from: u64, limit: usize) -> Vec<DeadEntry> {
        let shared = self.shared();
        let indexed = if shared.indexer.is_ok() {
            shared.indexer.ask(DEAD_TIMEOUT, move |index| index.dead_from(from, limit))
        } else {
            None
        };
        indexed.unwrap_or_else(|| dead::list_from_log(&shared.books.layout.dead, from, limit))
    }
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("dir", &self.shared().books.layout.dir).finish_non_exhaustive()
    }
}
