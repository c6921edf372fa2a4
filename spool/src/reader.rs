//! The only way out of the spool: frames in order, and the acknowledgement of what is done.
//!
//! Guarantees: every durable record is handed out in order, again after a rewind or a restart unless it was
//! acknowledged; a frame is handed out only after both its checksums were verified. Damage is copied to the
//! quarantine, counted exactly and stepped over; it is never an error that repeats for ever. Holds one window of
//! one segment in memory. Never deletes: that is `maintain`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::books::{Books, Work};
use crate::cursor::{Cursor, Step};
use crate::error::Error;
use crate::spool::Handle;

/// Failed reads at one place before it counts as damaged: that many, over at least that time. A disk that is
/// away for a moment must not cost records.
const TRIES: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(2);

/// A frame that was handed out and is not acknowledged.
#[derive(Debug, Clone, Copy)]
struct Delivered {
    end_seq: u64,
    payload_bytes: u64,
}

/// Reads from the spool and removes from it. There is exactly one.
pub struct Reader {
    handle: Arc<Handle>,
    position: u64,
    cursor: Option<Cursor>,
    /// Failed reads in a row, and when the first of them was.
    failures: Option<(u32, Instant)>,
    /// What the statistics need to know when the acknowledgement comes.
    delivered: VecDeque<Delivered>,
}

impl Reader {
    pub(crate) fn new(handle: Arc<Handle>) -> Reader {
        let position = handle.shared().books.acknowledged();
        Reader { handle, position, cursor: None, failures: None, delivered: VecDeque::new() }
    }

    fn books(&self) -> &Books {
        &self.handle.shared().books
    }

    /// The sequence number that [`next`](Reader::next) will return first, if that record is not damaged.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next frame, or `None` when everything appended so far was handed out.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk cannot be read. The next call tries again; what the disk has refused to read
    /// for two seconds is treated as damaged.
    // Not an iterator: it can go on after `None`.
    #[expect(
        clippy::should_implement_trait,
        reason = "it borrows the spool, can fail, and goes on after None"
    )]
    pub fn next(&mut self) -> Result<Option<Batch>, Error> {
        loop {
            // The records before were dropped to make room.
            self.position = self.position.max(self.books().acknowledged());
            if self.position >= self.books().tail() {
                return Ok(None);
            }
            if let Some(end) = self.books().hole_end(self.position) {
                self.position = end;
                continue;
            }
            match self.step()? {
                Step::Batch(batch, payload_bytes) => {
                    self.deliver(batch.end_seq(), payload_bytes);
                    return Ok(Some(batch));
                }
                Step::Lost(until) => self.skip(until),
            }
        }
    }

    fn step(&mut self) -> Result<Step, Error> {
        let stepped = self.try_step();
        match &stepped {
            Ok(_) => {
                if self.failures.take().is_some() {
                    self.books().set_trouble(Work::Read, None);
                }
            }
            Err(error) => {
                self.cursor = None;
                self.books().set_trouble(Work::Read, Some(error));
                let (count, since) = self.failures.unwrap_or_else(|| (0, Instant::now()));
                self.failures = Some((count.saturating_add(1), since));
            }
        }
        stepped
    }

    fn try_step(&mut self) -> Result<Step, Error> {
        let shared = self.handle.shared();
        let give_up =
            self.failures.is_some_and(|(count, since)| count >= TRIES && since.elapsed() >= PATIENCE);
        if let Some(cursor) = &mut self.cursor {
            cursor.refresh(shared, self.position);
        }
        let cursor = match self.cursor.take().filter(|cursor| cursor.covers(self.position)) {
            Some(cursor) => Some(cursor),
            None => Cursor::open(shared, self.position, give_up)?,
        };
        let Some(mut cursor) = cursor else {
            return Ok(Step::Lost(Cursor::end_of_gap(shared, self.position)));
        };
        let step = cursor.step(shared, self.position, give_up)?;
        self.cursor = Some(cursor);
        Ok(step)
    }

    /// Steps over lost records, and counts those that were not known to be lost.
    fn skip(&mut self, until: u64) {
        let until = until.min(self.books().tail());
        if until <= self.position {
            // Damage in what was stepped over already: the cursor has moved on behind it.
            return;
        }
        let lost = self.books().lose(self.position..until);
        if lost > 0 {
            tracing::error!(
                event = "spool_damaged",
                records = lost,
                from = self.position,
                "records in the spool are damaged"
            );
        }
        if self.books().acknowledged() == self.position {
            // Nothing before them is waiting: they will never be acknowledged by anybody else.
            self.books().acknowledge(self.position);
        }
        self.position = until;
    }

    fn deliver(&mut self, end_seq: u64, payload_bytes: u64) {
        self.position = end_seq;
        // After a rewind a frame is handed out again; it is still one frame.
        if self.delivered.back().is_none_or(|last| last.end_seq < end_seq) {
            self.delivered.push_back(Delivered { end_seq, payload_bytes });
        }
    }

    /// Waits until something can be read, at most for `timeout`. True if something can.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        self.books().wait_beyond(self.position, timeout)
    }

    /// Goes back to the first record that is not acknowledged.
    pub fn rewind(&mut self) {
        self.position = self.books().acknowledged();
    }

    /// Says that every record before `through` is done. In effect at once, durable after about a second or by
    /// [`Spool::sync`](crate::Spool::sync). Going back is ignored.
    ///
    /// # Errors
    /// [`Error::AcknowledgedTooFar`] if `through` lies beyond what was appended. Nothing is changed then.
    pub fn acknowledge(&mut self, through: u64) -> Result<(), Error> {
        let tail = self.books().tail();
        if through > tail {
            return Err(Error::AcknowledgedTooFar { through, tail });
        }
        let (old, new) = self.books().acknowledge(through);
        while let Some(frame) = self.delivered.front().copied().filter(|frame| frame.end_seq <= new) {
            // What was dropped meanwhile is already accounted for.
            if frame.end_seq > old {
                self.books().paid(frame.payload_bytes);
            }
            self.delivered.pop_front();
        }
        self.position = self.position.max(new);
        if self.handle.shared().oldest_is_drained() {
            self.handle.shared().hurry();
        }
        Ok(())
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("position", &self.position).finish_non_exhaustive()
    }
}
