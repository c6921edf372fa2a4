//! The records of one frame, as the reader hands them out.
//!
//! Guarantees: the checksums were verified and every record lies within the body before a batch exists, so
//! reading from one cannot fail. Records are slices of one shared buffer: none is copied.

use bytes::Bytes;

use crate::codec::{decode_body, record_offsets};
use crate::frame::{Defect, Header, PREFIX_BYTES};

/// Records with consecutive sequence numbers.
#[derive(Debug, Clone)]
pub struct Batch {
    body: Bytes,
    /// Where each record's prefix begins in `body`.
    offsets: Vec<u32>,
    /// Records at the front that were acknowledged before and are not shown again.
    skip: usize,
    first_seq: u64,
    unix_ms: u64,
}

impl Batch {
    /// Checks and unpacks a frame, and leaves out its records before `from`.
    pub(crate) fn decode(header: &Header, stored: &[u8], from: u64) -> Result<Batch, Defect> {
        let raw = decode_body(header, stored)?;
        let offsets = record_offsets(&raw, header.records)?;
        let skip = usize::try_from(from.saturating_sub(header.first_seq)).unwrap_or(usize::MAX);
        Ok(Batch {
            body: Bytes::from(raw),
            skip: skip.min(offsets.len()),
            offsets,
            first_seq: header.first_seq.max(from),
            unix_ms: header.unix_ms,
        })
    }

    /// Sequence number of the first record.
    #[must_use]
    pub fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// Sequence number after the last record: what to acknowledge when all of them are done.
    #[must_use]
    pub fn end_seq(&self) -> u64 {
        self.first_seq + u64::from(self.records())
    }

    /// Number of records.
    #[must_use]
    pub fn records(&self) -> u32 {
        // A frame holds at most 2^20 records.
        u32::try_from(self.offsets.len() - self.skip).unwrap_or(u32::MAX)
    }

    /// Bytes of the records.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let start = self.offsets.get(self.skip).map_or(self.body.len(), |at| *at as usize);
        self.body.len() - start - self.records() as usize * PREFIX_BYTES
    }

    /// When the frame was appended, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        self.unix_ms
    }

    /// The records with their sequence numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let start = self.offsets.get(self.skip).map_or(self.body.len(), |at| *at as usize);
        let mut rest = &self.body[start..];
        (self.first_seq..).map_while(move |seq| {
            let (len, after) = rest.split_first_chunk::<PREFIX_BYTES>()?;
            // Decoding has checked that every record lies within the body.
            let (record, next) = after.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            rest = next;
            Some((seq, record))
        })
    }

    /// The `i`th record, 0 being the first, as a slice that shares the batch's buffer. Nothing is copied.
    ///
    /// # Panics
    /// If `i` is not less than [`records`](Batch::records).
    #[must_use]
    pub fn record(&self, i: usize) -> Bytes {
        let (start, end) = self.range(self.skip + i);
        self.body.slice(start..end)
    }

    fn range(&self, index: usize) -> (usize, usize) {
        let start = self.offsets[index] as usize + PREFIX_BYTES;
        let end = self.offsets.get(index + 1).map_or(self.body.len(), |at| *at as usize);
        (start, end)
    }
}
