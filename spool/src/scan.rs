//! Looking for frames in the bytes of a segment, whatever those bytes are.
//!
//! Guarantees: only frames within the given limit of the file are seen, whole and checked; after damage the
//! search goes on byte by byte to the next header that has a matching checksum, the same spool's id and a
//! sequence number that can follow. Holds one window of the file in memory, never a segment.
//! Never writes.

use std::fs::File;
use std::io;

use crate::files::{read_up_to, to_usize};
use crate::frame::{Defect, HEADER_BYTES, HEADER_LEN, Header, MAGIC};

/// Bytes read at once: enough that small frames cost one read per hundreds, little beside the memory limit.
const WINDOW_BYTES: usize = 256 * 1024;

/// Step over an unreadable place: the smallest unit a disk loses.
const SECTOR_BYTES: u64 = 4096;

/// Bytes that can be read at any offset.
pub(crate) trait ReadAt {
    /// Reads up to `buf.len()` bytes; fewer only at the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        read_up_to(self, buf, offset)
    }
}

/// Which frames can be the next valid one after damage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plausible {
    /// The id of the spool; `None` if it is not known.
    pub(crate) spool_id: Option<u32>,
    /// The least first sequence number.
    pub(crate) from: u64,
    /// The sequence number before which the frame must end.
    pub(crate) to: u64,
}

impl Plausible {
    fn accepts(&self, header: &Header) -> bool {
        self.spool_id.is_none_or(|id| id == header.spool_id)
            && header.first_seq >= self.from
            && header.end_seq() <= self.to
    }
}

/// A window onto a file, read in large pieces.
#[derive(Debug, Default)]
pub(crate) struct Window {
    buf: Vec<u8>,
    /// Offset in the file of the window's first byte.
    start: u64,
    filled: usize,
}

impl Window {
    /// Forgets what was read: the next look goes to the file.
    pub(crate) fn reset(&mut self) {
        self.filled = 0;
    }

    /// The header at `at`, if a whole frame that ends by `limit` may begin there.
    pub(crate) fn header(
        &mut self,
        file: &impl ReadAt,
        at: u64,
        limit: u64,
    ) -> io::Result<Result<Header, Defect>> {
        let bytes = self.bytes(file, at, HEADER_BYTES, limit)?;
        Ok(match Header::decode(bytes) {
            Ok(header) if at + header.frame_len() > limit => Err(Defect::Truncated),
            decoded => decoded,
        })
    }

    /// The stored body of the frame at `at`, unchecked; shorter than it should be if the file is.
    pub(crate) fn body(&mut self, file: &impl ReadAt, at: u64, header: &Header) -> io::Result<&[u8]> {
        let start = at + HEADER_LEN;
        self.bytes(file, start, header.stored_bytes as usize, at + header.frame_len())
    }

    /// Like `header`, and the body's checksum is verified as well.
    pub(crate) fn frame(
        &mut self,
        file: &impl ReadAt,
        at: u64,
        limit: u64,
    ) -> io::Result<Result<Header, Defect>> {
        let header = match self.header(file, at, limit)? {
            Ok(header) => header,
            Err(defect) => return Ok(Err(defect)),
        };
        let body = self.body(file, at, &header)?;
        Ok(if body.len() < header.stored_bytes as usize {
            Err(Defect::Truncated)
        } else if crc32c::crc32c(body) != header.body_crc {
            Err(Defect::BodyChecksum)
        } else {
            Ok(header)
        })
    }

    /// The next plausible frame header at or after `from`. Places the disk cannot read are stepped over.
    pub(crate) fn resync(
        &mut self,
        file: &impl ReadAt,
        from: u64,
        limit: u64,
        plausible: Plausible,
    ) -> Option<(u64, Header)> {
        let mut at = from;
        while at + HEADER_LEN <= limit {
            let found = match self.find_magic(file, at, limit) {
                Ok(Some(found)) => found,
                Ok(None) => return None,
                Err(_) => {
                    at = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
                    continue;
                }
            };
            match self.header(file, found, limit) {
                Ok(Ok(header)) if plausible.accepts(&header) => return Some((found, header)),
                _ => at = found + 1,
            }
        }
        None
    }

    /// Where the magic next occurs at or after `from`.
    fn find_magic(&mut self, file: &impl ReadAt, from: u64, limit: u64) -> io::Result<Option<u64>> {
        let mut at = from;
        loop {
            // Small first pieces, so that an unreadable sector hides no more than itself.
            let bytes = self.bytes(file, at, to_usize(SECTOR_BYTES), limit)?;
            if let Some(found) = memchr::memmem::find(bytes, &MAGIC) {
                return Ok(Some(at + found as u64));
            }
            if bytes.len() < MAGIC.len() || at + bytes.len() as u64 >= limit {
                return Ok(None);
            }
            at += (bytes.len() - (MAGIC.len() - 1)) as u64;
        }
    }

    /// Up to `len` bytes from `at`, none of them at or behind `limit`.
    fn bytes(&mut self, file: &impl ReadAt, at: u64, len: usize, limit: u64) -> io::Result<&[u8]> {
        let len = len.min(to_usize(limit.saturating_sub(at)));
        if !self.covers(at, len) {
            self.fill(file, at, len, limit)?;
        }
        let skip = to_usize(at - self.start).min(self.filled);
        let end = (skip + len).min(self.filled);
        Ok(&self.buf[skip..end])
    }

    fn covers(&self, at: u64, len: usize) -> bool {
        at >= self.start && at + len as u64 <= self.start + self.filled as u64
    }

    fn fill(&mut self, file: &impl ReadAt, at: u64, len: usize, limit: u64) -> io::Result<()> {
        let want = len.max(WINDOW_BYTES).min(to_usize(limit.saturating_sub(at)));
        if self.buf.len() < want {
            self.buf.resize(want, 0);
        }
        self.filled = 0;
        self.start = at;
        self.filled = match file.read_at(&mut self.buf[..want], at) {
            // One unreadable sector must not hide the readable ones before it.
            Err(_) if want > len => file.read_at(&mut self.buf[..len], at)?,
            result => result?,
        };
        Ok(())
    }
}
