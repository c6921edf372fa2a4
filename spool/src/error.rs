//! What can go wrong in the spool: one variant per failed action, with the data of that action.
//!
//! Guarantees: `Display` never repeats the source, and every decision a caller has to make is a method
//! ([`Error::is_full`], [`Error::is_locked`], ...). Nobody ever has to match on text.

use std::io;
use std::path::{Path, PathBuf};

/// Why the spool has no room for a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FullCause {
    /// The spool's own files would pass the configured quota.
    #[error("{used} of {quota} bytes of the quota are used")]
    Quota {
        /// Bytes the spool's files take now.
        used: u64,
        /// The configured limit in bytes.
        quota: u64,
    },
    /// The file system would fall below the configured floor of free space.
    #[error("{free} bytes are free, {floor} must stay free")]
    FreeFloor {
        /// Bytes an unprivileged process can still write.
        free: u64,
        /// Bytes that must stay free, the reserve of a released ballast file included.
        floor: u64,
    },
    /// The free space could not be found out. Not knowing is never read as "plenty", and never a reason to drop.
    #[error("the free space is not known ({0})")]
    FreeUnknown(io::ErrorKind),
    /// The file system itself said ENOSPC or EDQUOT.
    #[error("no space left on the device")]
    NoSpace,
}

/// An error of the spool.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process has the spool open. Nothing was touched.
    #[error("the spool {dir} is in use by {}", holder(*.pid))]
    Locked {
        /// The spool's folder.
        dir: PathBuf,
        /// The process that holds it, if its lock file says so.
        pid: Option<u32>,
    },
    /// The folder was written by a newer version of this program. Nothing was touched.
    #[error("the spool {dir} has format version {found}, this program knows up to {supported}")]
    NewerVersion {
        /// The spool's folder.
        dir: PathBuf,
        /// The version found on disk.
        found: u32,
        /// The newest version this program reads.
        supported: u32,
    },
    /// The spool's folder cannot be created or written.
    #[error("the spool folder is not writable: {path}")]
    Unwritable {
        /// The path that could not be created or written.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// An operation on a file failed.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no room. The group is untouched and can be tried again.
    #[error("the spool is full: {cause}")]
    Full {
        /// Which limit was hit.
        cause: FullCause,
    },
    /// One record is larger than a frame can hold. Nothing of its group was stored.
    #[error("a record of {bytes} bytes is larger than the limit of {limit} bytes")]
    RecordTooLarge {
        /// Size of the record in bytes.
        bytes: u64,
        /// [`MAX_RECORD_BYTES`](crate::MAX_RECORD_BYTES).
        limit: u64,
    },
    /// A group holds more than one frame can hold. Nothing of it was stored.
    #[error("a group of {records} records and {bytes} bytes is larger than a frame")]
    GroupTooLarge {
        /// Records in the group.
        records: u32,
        /// Bytes of the group, the length prefixes included.
        bytes: u64,
    },
    /// A meta key or value is larger than its limit, or there are too many of them.
    #[error("the meta value {key:?} of {bytes} bytes does not fit")]
    MetaTooLarge {
        /// The key.
        key: String,
        /// Size of the value in bytes.
        bytes: u64,
    },
    /// An acknowledgement for records that were never appended.
    #[error("records before {through} were acknowledged, but the next to be appended is {tail}")]
    AcknowledgedTooFar {
        /// The position that was acknowledged.
        through: u64,
        /// The position of the next record to be appended.
        tail: u64,
    },
    /// A background thread of the spool could not be started.
    #[error("cannot start the thread {name}")]
    Thread {
        /// The thread's name.
        name: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl Error {
    /// There is no room now; the same call can succeed later.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Error::Full { .. } => true,
            Error::Io { source, .. } => is_no_space(source),
            _ => false,
        }
    }

    /// Another process has the spool open.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self, Error::Locked { .. })
    }

    /// The record or group can never be stored, however often it is tried.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(
            self,
            Error::RecordTooLarge { .. } | Error::GroupTooLarge { .. } | Error::MetaTooLarge { .. }
        )
    }

    /// The folder belongs to a newer version of this program.
    #[must_use]
    pub fn is_newer_version(&self) -> bool {
        matches!(self, Error::NewerVersion { .. })
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Error {
        Error::Io { action, path: path.to_path_buf(), source }
    }
}

/// True for the errors by which a file system says that it has no room.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Turns an `io::Result` into the crate's own, with the action and the path.
pub(crate) trait IoContext<T> {
    fn or_io(self, action: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn or_io(self, action: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::io(action, path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_space_and_quota_are_full_whatever_wraps_them() {
        for errno in [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT] {
            let error = Error::io("write", Path::new("/x"), io::Error::from(errno));
            assert!(error.is_full(), "{error:?}");
        }
        assert!(!Error::io("write", Path::new("/x"), io::Error::from(rustix::io::Errno::IO)).is_full());
    }

    #[test]
    fn display_names_the_path_and_not_the_source() {
        let error = Error::io("sync", Path::new("/spool/log"), io::Error::other("the disk is on fire"));
        assert_eq!(error.to_string(), "cannot sync /spool/log");
        let locked = Error::Locked { dir: "/spool".into(), pid: Some(7) };
        assert_eq!(locked.to_string(), "the spool /spool is in use by process 7");
    }
}
