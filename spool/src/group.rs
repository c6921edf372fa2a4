//! A group of records on its way to becoming one frame.
//!
//! Guarantees: its buffer is the raw body of the frame and is kept by [`Group::clear`], so a group that is used
//! again allocates nothing. Never stores part of a record: one that is too large is remembered and makes the
//! append fail.

use crate::error::Error;
use crate::frame::{MAX_GROUP_BYTES, MAX_GROUP_RECORDS, MAX_RECORD_BYTES, PREFIX_BYTES};

/// Records that will become one frame.
#[derive(Debug, Default)]
pub struct Group {
    raw: Vec<u8>,
    records: u32,
    /// The largest record that did not fit, in bytes.
    too_large: Option<u64>,
}

impl Group {
    /// An empty group.
    #[must_use]
    pub fn new() -> Group {
        Group::default()
    }

    /// Adds one record: the concatenation of `parts`.
    ///
    /// A record larger than [`MAX_RECORD_BYTES`](crate::MAX_RECORD_BYTES) is not copied; the group then cannot
    /// be appended ([`Error::RecordTooLarge`]). Ask [`Group::fits`] first.
    pub fn push(&mut self, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if len > MAX_RECORD_BYTES {
            self.too_large = self.too_large.max(Some(len as u64));
        } else {
            self.push_unchecked(parts);
        }
    }

    /// Like `push`, for the spool's own entries, which add a few bytes to a record of any allowed size.
    pub(crate) fn push_unchecked(&mut self, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let prefix = u32::try_from(len).unwrap_or(u32::MAX);
        self.raw.reserve(PREFIX_BYTES + len);
        self.raw.extend_from_slice(&prefix.to_le_bytes());
        for part in parts {
            self.raw.extend_from_slice(part);
        }
        self.records = self.records.saturating_add(1);
    }

    /// True if a record of `len` bytes can be added and the group still becomes one frame.
    #[must_use]
    pub fn fits(&self, len: usize) -> bool {
        len <= MAX_RECORD_BYTES
            && self.raw.len() + PREFIX_BYTES + len <= MAX_GROUP_BYTES
            && self.records < MAX_GROUP_RECORDS
    }

    /// Number of records in the group.
    #[must_use]
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Bytes of the records in the group.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.raw.len() - self.records as usize * PREFIX_BYTES
    }

    /// True if no record was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0 && self.too_large.is_none()
    }

    /// Forgets the records and keeps the buffer.
    pub fn clear(&mut self) {
        self.raw.clear();
        self.records = 0;
        self.too_large = None;
    }

    /// The raw body of the frame.
    pub(crate) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Fails if the group cannot become one frame.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if let Some(bytes) = self.too_large {
            return Err(Error::RecordTooLarge { bytes, limit: MAX_RECORD_BYTES as u64 });
        }
        if self.raw.len() > MAX_GROUP_BYTES || self.records > MAX_GROUP_RECORDS {
            return Err(Error::GroupTooLarge { records: self.records, bytes: self.raw.len() as u64 });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_one_record_and_clear_keeps_the_buffer() {
        let mut group = Group::new();
        group.push(&[b"ab", b"", b"cde"]);
        group.push(&[]);
        assert_eq!((group.records(), group.bytes()), (2, 5));
        assert_eq!(group.raw(), b"\x05\0\0\0abcde\0\0\0\0");
        let buffer = group.raw().as_ptr();
        group.clear();
        assert!(group.is_empty());
        group.push(&[b"xy"]);
        assert_eq!(group.raw().as_ptr(), buffer);
    }

    #[test]
    fn a_record_that_is_too_large_is_not_copied_and_makes_the_group_fail() {
        let large = vec![0; MAX_RECORD_BYTES + 1];
        let mut group = Group::new();
        assert!(!group.fits(large.len()));
        group.push(&[&large]);
        assert_eq!(group.raw().len(), 0);
        assert!(group.check().is_err_and(|error| error.is_too_large()));
        group.clear();
        group.push(&[&large[1..]]);
        assert!(group.check().is_ok());
        assert!(group.fits(4092 - PREFIX_BYTES) && !group.fits(4093 - PREFIX_BYTES));
        group.push(&[&[7; 4093 - PREFIX_BYTES]]);
        assert!(matches!(group.check(), Err(Error::GroupTooLarge { records: 2, .. })));
    }
}
