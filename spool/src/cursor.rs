//! A reader's place in one segment.
//!
//! Guarantees: at most one step per call, and each step moves the position forward: a frame, or the exact end of
//! what is lost. Never sees bytes that are not durable.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use crate::batch::Batch;
use crate::books::SegmentInfo;
use crate::error::Error;
use crate::frame::{Defect, Header};
use crate::quarantine;
use crate::scan::{Plausible, Window};
use crate::segment;
use crate::shared::Shared;

/// What lies at the position.
pub(crate) enum Step {
    /// A frame, and the bytes of all its records.
    Batch(Batch, u64),
    /// Nothing that can be read before this sequence number.
    Lost(u64),
}

/// An open segment and the offset of the next frame in it.
pub(crate) struct Cursor {
    file: File,
    path: PathBuf,
    info: SegmentInfo,
    offset: u64,
    /// Sequence number that the frame at `offset` should begin with.
    expected: u64,
    window: Window,
}

impl Cursor {
    /// Opens the segment in which `position` lies. `None` if there is none, or, with `give_up`, if the disk cannot
    /// open it.
    pub(crate) fn open(shared: &Shared, position: u64, give_up: bool) -> Result<Option<Cursor>, Error> {
        let Some(info) = shared.books.segment_of(position).filter(|info| position < info.end_seq) else {
            return Ok(None);
        };
        let path = segment::path(&shared.books.layout.log, info.first_seq);
        let opened = shared.books.faults.io("reader.open").and_then(|()| File::open(&path));
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if give_up && is_media_error(&error) => return Ok(None),
            Err(error) => return Err(Error::io("open", &path, error)),
        };
        let mut cursor =
            Cursor { file, path, info, offset: 0, expected: info.first_seq, window: Window::default() };
        if position > info.first_seq {
            cursor.seek(shared, position);
        }
        Ok(Some(cursor))
    }

    /// Goes to the frame that holds `position`: by the index if its hint is right, else by reading headers.
    fn seek(&mut self, shared: &Shared, position: u64) {
        if let Some(offset) = shared.hint(self.info, position)
            && let Ok(Ok(header)) = self.window.header(&self.file, offset, self.info.len)
            && header.first_seq <= position
        {
            self.offset = offset;
            self.expected = header.first_seq;
            return;
        }
        self.offset = shared.locate(self.info, position).0;
        self.expected = position;
    }

    /// True if the position lies ahead in this segment.
    pub(crate) fn covers(&self, position: u64) -> bool {
        position >= self.expected.max(self.info.first_seq) && position < self.info.end_seq
    }

    /// Where the gap in which `position` lies ends: there is no segment for it, or its file is gone.
    pub(crate) fn end_of_gap(shared: &Shared, position: u64) -> u64 {
        match shared.books.segment_of(position) {
            Some(info) if position < info.end_seq => info.end_seq,
            _ => shared.books.segment_after(position).unwrap_or_else(|| shared.books.tail()),
        }
    }

    /// Reads on. With `give_up`, what the disk cannot read counts as damaged instead of as an error.
    pub(crate) fn step(&mut self, shared: &Shared, position: u64, give_up: bool) -> Result<Step, Error> {
        loop {
            let read = shared.books.faults.io("reader.read");
            let read = read.and_then(|()| self.window.header(&self.file, self.offset, self.info.len));
            let header = match self.settle(read, give_up)? {
                Ok(header) if header.end_seq() > self.info.end_seq => {
                    return Ok(self.damaged(shared, Defect::Sequence));
                }
                Ok(header) if header.first_seq < self.expected && header.end_seq() <= position => {
                    return Ok(self.damaged(shared, Defect::Sequence));
                }
                Ok(header) => header,
                Err(defect) => return Ok(self.damaged(shared, defect)),
            };
            if header.first_seq > position {
                return Ok(Step::Lost(header.first_seq));
            }
            if header.end_seq() <= position {
                self.advance(&header);
                continue;
            }
            return self.read(shared, &header, position, give_up);
        }
    }

    fn read(
        &mut self,
        shared: &Shared,
        header: &Header,
        position: u64,
        give_up: bool,
    ) -> Result<Step, Error> {
        let body = self.window.body(&self.file, self.offset, header);
        let decoded = body.map(|body| Batch::decode(header, body, position));
        match self.settle(decoded, give_up)? {
            Ok(batch) => {
                self.advance(header);
                Ok(Step::Batch(batch, header.payload_bytes()))
            }
            Err(defect) => Ok(self.damaged(shared, defect)),
        }
    }

    /// Makes an unreadable place a damaged one when it is to be given up.
    fn settle<T>(
        &self,
        read: io::Result<Result<T, Defect>>,
        give_up: bool,
    ) -> Result<Result<T, Defect>, Error> {
        match read {
            Ok(result) => Ok(result),
            Err(error) if give_up && is_media_error(&error) => Ok(Err(Defect::Unreadable)),
            Err(error) => Err(Error::io("read", &self.path, error)),
        }
    }

    fn advance(&mut self, header: &Header) {
        self.offset += header.frame_len();
        self.expected = header.end_seq();
    }

    /// The segment may have grown since.
    pub(crate) fn refresh(&mut self, shared: &Shared, position: u64) {
        if let Some(info) = shared.books.segment_of(position)
            && info.first_seq == self.info.first_seq
        {
            self.info = info;
        }
    }

    /// Finds the next frame behind damage, keeps a copy of what lies between, and says where reading goes on.
    fn damaged(&mut self, shared: &Shared, defect: Defect) -> Step {
        let from = self.offset;
        let plausible =
            Plausible { spool_id: Some(shared.books.spool_id), from: self.expected, to: self.info.end_seq };
        self.window.reset();
        let found = self.window.resync(&self.file, from + 1, self.info.len, plausible);
        let (offset, seq) =
            found.map_or((self.info.len, self.info.end_seq), |(at, header)| (at, header.first_seq));
        tracing::error!(
            event = "spool_damaged",
            path = %self.path.display(), offset = from, bytes = offset - from.min(offset), cause = %defect,
            "a damaged place in the spool"
        );
        quarantine::keep(&shared.books.layout.quarantine, &self.path, &(from..offset));
        self.offset = offset;
        self.expected = seq;
        Step::Lost(seq)
    }
}

/// True if the disk itself lost something. Anything else - no memory, no file handles, no permission - passes.
fn is_media_error(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::IO | Errno::UCLEAN | Errno::BADMSG))
}
