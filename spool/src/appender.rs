//! The only way into the spool: a group becomes one durable frame.
//!
//! Guarantees: `Ok(Stored)` means written and fdatasynced; `Err` means that nothing of the group is stored and it
//! can be tried again as it is; `Ok(Dropped)` happens only with [`WhenFull::DropNewest`] and is counted.
//! Never waits for the index, and never drops anything because the free space is not known.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::books::{Work, now_ms};
use crate::codec::{Encoder, Stamp};
use crate::config::WhenFull;
use crate::error::{Error, FullCause, is_no_space};
use crate::frame::Header;
use crate::group::Group;
use crate::index::Change;
use crate::index_values::FrameEntry;
use crate::segment::SegmentFile;
use crate::shared::Shared;
use crate::spool::Handle;

/// What became of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    /// It is on disk and survives a power cut.
    Stored {
        /// Sequence number of its first record.
        first_seq: u64,
        /// Number of records.
        records: u32,
        /// Bytes the frame takes on disk.
        bytes_on_disk: u64,
    },
    /// The spool is full and configured to drop the newest records: nothing was stored, and it was counted.
    Dropped {
        /// Number of records.
        records: u32,
        /// Bytes of the records.
        bytes: u64,
    },
}

/// Appends to the spool. There is exactly one.
pub struct Appender {
    handle: Arc<Handle>,
    encoder: Encoder,
}

impl Appender {
    pub(crate) fn new(handle: Arc<Handle>) -> Appender {
        let encoder = Encoder::new(handle.shared().books.config.codec);
        Appender { handle, encoder }
    }

    /// Stores a group as one frame: one write, one fdatasync. An empty group stores nothing.
    ///
    /// # Errors
    /// [`Error::Full`] when there is no room and the policy is to block, [`Error::RecordTooLarge`] and
    /// [`Error::GroupTooLarge`] for what can never be stored, [`Error::Io`] when the disk fails. In each case
    /// nothing of the group is stored and it can be tried again.
    pub fn append(&mut self, group: &Group) -> Result<Appended, Error> {
        group.check()?;
        let shared = self.handle.shared();
        let books = &shared.books;
        let stamp = Stamp { first_seq: books.tail(), unix_ms: now_ms(), spool_id: books.spool_id };
        if group.is_empty() {
            return Ok(Appended::Stored { first_seq: stamp.first_seq, records: 0, bytes_on_disk: 0 });
        }
        let (header, frame) = self.encoder.encode(group, stamp);
        let result = shared.writer(|writer| append_frame(shared, writer, &header, frame));
        report(shared, &result);
        result
    }
}

/// Keeps the state of the spool in the statistics.
fn report(shared: &Shared, result: &Result<Appended, Error>) {
    match result {
        Ok(Appended::Stored { .. }) => {
            shared.books.set_full(None);
            shared.books.set_trouble(Work::Append, None);
        }
        Ok(Appended::Dropped { .. }) | Err(Error::Full { .. }) => {}
        Err(error) => shared.books.set_trouble(Work::Append, Some(error)),
    }
}

fn append_frame(
    shared: &Shared,
    writer: &mut SegmentFile,
    header: &Header,
    frame: &[u8],
) -> Result<Appended, Error> {
    loop {
        let cause = match store(shared, writer, header, frame) {
            Err(Error::Full { cause }) => cause,
            result => return result,
        };
        shared.books.set_full(Some(cause));
        let known = !matches!(cause, FullCause::FreeUnknown(_));
        match shared.books.config.when_full {
            WhenFull::DropOldest if known && shared.drop_oldest(writer)? => {}
            WhenFull::DropNewest if known => {
                let (records, bytes) = (header.records, header.payload_bytes());
                shared.books.count_dropped_newest(u64::from(records), bytes);
                return Ok(Appended::Dropped { records, bytes });
            }
            _ => return Err(Error::Full { cause }),
        }
    }
}

/// Stores a frame if there is room.
fn store(
    shared: &Shared,
    writer: &mut SegmentFile,
    header: &Header,
    frame: &[u8],
) -> Result<Appended, Error> {
    let books = &shared.books;
    let len = frame.len() as u64;
    shared.capacity.room(shared.disk_bytes(), len, Instant::now()).map_err(|cause| Error::Full { cause })?;
    let written = make_fit(shared, writer, len).and_then(|()| {
        let place = (writer.first_seq(), writer.len());
        writer.append(frame).map(|took| (place, took))
    });
    let ((segment, offset), took) = written.map_err(|error| {
        close_off(shared, writer);
        no_space(shared, error)
    })?;
    books.synced(took);
    books.publish(segment, len, header.end_seq(), header.payload_bytes());
    let entry = FrameEntry {
        first_seq: header.first_seq,
        segment,
        offset,
        frame_len: len,
        records: header.records,
        payload_bytes: header.payload_bytes(),
        unix_ms: header.unix_ms,
    };
    if entry.is_kept() {
        shared.indexer.change(Change::Frame(entry));
    }
    books.faults.point("append.published");
    Ok(Appended::Stored { first_seq: header.first_seq, records: header.records, bytes_on_disk: len })
}

/// Begins a new segment when the frame does not fit the current one, or that one cannot be trusted.
fn make_fit(shared: &Shared, writer: &mut SegmentFile, len: u64) -> Result<(), Error> {
    let limit = shared.books.config.effective_segment_bytes();
    if writer.is_unsound() || (writer.len() > 0 && writer.len() + len > limit) {
        shared.rotate(writer)?;
    }
    Ok(())
}

/// When the remains of a failed write may still be on disk, the next segment's name says that they do not count:
/// better now than at the next append, which a crash may forestall.
fn close_off(shared: &Shared, writer: &mut SegmentFile) {
    if writer.is_unsound()
        && let Err(error) = shared.rotate(writer)
    {
        tracing::warn!(event = "spool_new_segment", %error, "cannot begin a new segment yet; the next append tries again");
    }
}

/// A write that found no space on the disk is "full", not a broken disk.
fn no_space(shared: &Shared, error: Error) -> Error {
    match &error {
        Error::Io { source, .. } if is_no_space(source) => {
            shared.capacity.forget();
            shared.capacity.release_ballast();
            Error::Full { cause: FullCause::NoSpace }
        }
        _ => error,
    }
}

impl std::fmt::Debug for Appender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tail = self.handle.shared().books.gauges.appended.load(Ordering::Relaxed);
        f.debug_struct("Appender").field("appended_records", &tail).finish_non_exhaustive()
    }
}
