//! The open spool: the handle that everybody may hold, and how all of it is closed.
//!
//! Guarantees: there is one appender and one reader, because they are made here and cannot be cloned. When the
//! last handle is dropped the state is saved, the threads have ended and the lock is free. Never appends or
//! reads records: that is `appender` and `reader`. The dead letters are in `spool_dead`.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::appender::Appender;
use crate::books::{Work, lock};
use crate::config::Config;
use crate::error::Error;
use crate::reader::Reader;
use crate::shared::Shared;
use crate::stats::{Recovery, Stats};
use crate::{maintain, recover};

/// How long `sync` waits for the index after the checkpoint is durable.
const SYNC_TIMEOUT: Duration = Duration::from_secs(5);

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
            tracing::error!(event = "spool_maintenance_failed", "the spool's maintenance thread panicked");
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

    pub(crate) fn shared(&self) -> &Shared {
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
            room_bytes: shared.capacity.room_bytes(shared.disk_bytes()),
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
            tracing::warn!(
                event = "spool_index_not_flushed",
                "the index could not be flushed; the checkpoint holds the same"
            );
        }
        Ok(())
    }
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("dir", &self.shared().books.layout.dir).finish_non_exhaustive()
    }
}
