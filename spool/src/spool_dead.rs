//! The dead letters of an open spool: kept, listed, read, removed.
//!
//! Guarantees: what was kept or removed is durable when the call returns; several letters share one fdatasync. The
//! index lists the letters; while it is not whole their log does, which is the truth.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::books::{lock, now_ms};
use crate::dead::{self, DeadLetter, NewDeadLetter};
use crate::dead_read;
use crate::error::Error;
use crate::index::Change;
use crate::index_values::DeadEntry;
use crate::spool::Spool;

/// How long the index is asked for dead letters before their log is read instead.
const DEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Dead letters listed at once.
const DEAD_PAGE: usize = 128;

impl Spool {
    /// Keeps a record that can never be delivered. Durable when this returns its id.
    ///
    /// # Errors
    /// [`Error::Full`] if there is no room, [`Error::RecordTooLarge`], [`Error::Io`].
    pub fn dead_put(&self, record: &[u8], reason: &str, unix_ms: u64) -> Result<u64, Error> {
        let ids = self.dead_put_all(&[NewDeadLetter { record, reason, unix_ms }])?;
        // One letter, one id.
        Ok(ids.first().copied().unwrap_or_default())
    }

    /// Keeps several records, all or none, with one fdatasync. Their ids, in the same order.
    ///
    /// # Errors
    /// As [`dead_put`](Spool::dead_put).
    pub fn dead_put_all(&self, letters: &[NewDeadLetter<'_>]) -> Result<Vec<u64>, Error> {
        if letters.is_empty() {
            return Ok(Vec::new());
        }
        let shared = self.shared();
        let gauges = &shared.books.gauges;
        let need = letters.iter().map(|letter| (letter.record.len() + letter.reason.len()) as u64).sum();
        shared
            .capacity
            .room(shared.disk_bytes(), need, Instant::now())
            .map_err(|cause| Error::Full { cause })?;
        let entries = lock(&shared.dead).put(letters, now_ms())?;
        gauges.dead_letters.fetch_add(entries.len() as u64, Ordering::Relaxed);
        gauges.dead_bytes.store(dead::size(&shared.books.layout.dead), Ordering::Relaxed);
        let ids = entries.iter().map(|entry| entry.id).collect();
        for entry in entries {
            shared.indexer.change(Change::Dead(entry));
        }
        Ok(ids)
    }

    /// The dead letters, oldest first. Letters that come while it is read may be seen.
    pub fn dead_list(&self) -> impl Iterator<Item = DeadLetter> + use<> {
        let spool = self.clone();
        let mut next = 0;
        let mut page = Vec::new().into_iter();
        std::iter::from_fn(move || {
            if page.len() == 0 {
                page = spool.dead_from(next, DEAD_PAGE).into_iter();
            }
            let letter: DeadLetter = page.next()?;
            next = letter.id + 1;
            Some(letter)
        })
    }

    /// The dead letters with the number `id` and above, oldest first, at most `limit`.
    #[must_use]
    pub fn dead_from(&self, id: u64, limit: usize) -> Vec<DeadLetter> {
        self.dead_page(id, limit).into_iter().map(DeadLetter::from).collect()
    }

    /// The dead letters with these numbers, as far as there are any, oldest first.
    #[must_use]
    pub fn dead_find(&self, ids: &[u64]) -> Vec<DeadLetter> {
        self.dead_entries(ids).into_iter().map(DeadLetter::from).collect()
    }

    /// A number above those of all dead letters.
    #[must_use]
    pub fn dead_next(&self) -> u64 {
        lock(&self.shared().dead).next()
    }

    /// A dead letter with its record. `None` if there is none with this id, or its bytes are damaged.
    ///
    /// # Errors
    /// None at present; reserved for a disk that fails.
    pub fn dead_get(&self, id: u64) -> Result<Option<(DeadLetter, Vec<u8>)>, Error> {
        Ok(self.dead_read(&[id]).pop())
    }

    /// The dead letters with these numbers and their records, oldest first. One that is not there, or damaged, is
    /// left out.
    #[must_use]
    pub fn dead_read(&self, ids: &[u64]) -> Vec<(DeadLetter, Vec<u8>)> {
        dead_read::read(&self.shared().books.layout.dead, &self.dead_entries(ids))
    }

    /// Removes a dead letter. Durable when this returns; false if there was none with this id.
    ///
    /// # Errors
    /// [`Error::Io`] if the removal cannot be written.
    pub fn dead_remove(&self, id: u64) -> Result<bool, Error> {
        Ok(self.dead_remove_all(&[id])? == 1)
    }

    /// Removes several dead letters with one fdatasync; how many there were.
    ///
    /// # Errors
    /// As [`dead_remove`](Spool::dead_remove).
    pub fn dead_remove_all(&self, ids: &[u64]) -> Result<u64, Error> {
        let shared = self.shared();
        let found: Vec<u64> = self.dead_entries(ids).iter().map(|entry| entry.id).collect();
        if found.is_empty() {
            return Ok(0);
        }
        lock(&shared.dead).remove(&found, now_ms())?;
        for id in &found {
            shared.indexer.change(Change::DeadRemoved(*id));
        }
        let count = found.len() as u64;
        shared.books.gauges.dead_letters.fetch_sub(count, Ordering::Relaxed);
        let oldest = self.dead_page(0, 1).first().map_or(u64::MAX, |entry| entry.segment);
        lock(&shared.dead).delete_before(oldest)?;
        shared.books.gauges.dead_bytes.store(dead::size(&shared.books.layout.dead), Ordering::Relaxed);
        Ok(count)
    }

    fn dead_entries(&self, ids: &[u64]) -> Vec<DeadEntry> {
        let wanted: BTreeSet<u64> = ids.iter().copied().collect();
        let shared = self.shared();
        let from_index = |wanted: BTreeSet<u64>| {
            shared.indexer.ask(DEAD_TIMEOUT, move |index| {
                let mut found = Vec::with_capacity(wanted.len());
                for id in wanted {
                    found.extend(index.dead_from(id, 1)?.into_iter().filter(|entry| entry.id == id));
                }
                Ok(found)
            })
        };
        let indexed = if shared.indexer.is_ok() { from_index(wanted.clone()) } else { None };
        indexed.unwrap_or_else(|| {
            let first = wanted.first().copied().unwrap_or(u64::MAX);
            let mut found = dead_read::list_from_log(&shared.books.layout.dead, first, usize::MAX);
            found.retain(|entry| wanted.contains(&entry.id));
            found
        })
    }

    /// From the index; from the log itself while the index is not whole.
    fn dead_page(&self, from: u64, limit: usize) -> Vec<DeadEntry> {
        let shared = self.shared();
        let indexed = if shared.indexer.is_ok() {
            shared.indexer.ask(DEAD_TIMEOUT, move |index| index.dead_from(from, limit))
        } else {
            None
        };
        indexed.unwrap_or_else(|| dead_read::list_from_log(&shared.books.layout.dead, from, limit))
    }
}
