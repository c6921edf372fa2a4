//! A segment: a file of frames, named by the sequence number of its first record.
//!
//! Guarantees: the name alone says where the numbering stands, even of an empty file. A write either becomes
//! durable as a whole or is cut off again before the next one; a file whose fsync failed is never written again.
//! Never decides about capacity and never deletes: that is `appender` and `maintain`.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Error, IoContext};
use crate::fault::Faults;
use crate::files::{create_new, open_rw, remove, sync_dir};

/// Digits in a segment's name: every u64 fits, and names sort like numbers.
const NAME_DIGITS: usize = 20;

/// The suffix of a segment's name.
const SUFFIX: &str = ".log";

/// The path of the segment whose first record is `first_seq`.
pub(crate) fn path(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(format!("{first_seq:020}{SUFFIX}"))
}

/// The first sequence number a segment's name stands for; `None` for any other file.
pub(crate) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    if digits.len() != NAME_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|first| *first > 0)
}

/// The segments in a folder: first sequence number and length in bytes, in order.
pub(crate) fn list(dir: &Path) -> Result<Vec<(u64, u64)>, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).or_io("list", dir)? {
        let entry = entry.or_io("list", dir)?;
        let Some(first_seq) = entry.file_name().to_str().and_then(parse_name) else {
            continue;
        };
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => found.push((first_seq, metadata.len())),
            Ok(_) => {}
            // Deleted between the listing and the look: a reader beside a running daemon sees that.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("look at", &entry.path(), error)),
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The segment that is being appended to.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    file: File,
    path: PathBuf,
    first_seq: u64,
    /// Bytes of whole, durable frames.
    len: u64,
    /// A failed fsync or truncation left the file in an unknown state beyond `len`.
    unsound: bool,
    faults: Faults,
}

impl SegmentFile {
    /// Creates an empty segment and makes its name durable.
    pub(crate) fn create(dir: &Path, first_seq: u64, faults: Faults) -> Result<SegmentFile, Error> {
        let path = path(dir, first_seq);
        faults.io("segment.create").or_io("create", &path)?;
        let file = create_new(&path)?;
        faults.point("segment.created");
        let segment = SegmentFile { file, path, first_seq, len: 0, unsound: false, faults };
        if let Err(error) = segment.make_name_durable(dir) {
            // Best effort: an empty file left behind is cleaned up by the next open.
            let _ = remove(&segment.path);
            return Err(error);
        }
        segment.faults.point("segment.linked");
        Ok(segment)
    }

    /// Puts an empty segment in the place of one that holds no frame and cannot be written any more. The name is
    /// there at every moment.
    pub(crate) fn recreate(dir: &Path, first_seq: u64, faults: Faults) -> Result<SegmentFile, Error> {
        let path = path(dir, first_seq);
        faults.io("segment.create").or_io("create", &path)?;
        let temporary = path.with_extension("tmp");
        remove(&temporary)?;
        let file = create_new(&temporary)?;
        std::fs::rename(&temporary, &path).or_io("rename", &path)?;
        let segment = SegmentFile { file, path, first_seq, len: 0, unsound: false, faults };
        segment.make_name_durable(dir)?;
        Ok(segment)
    }

    fn make_name_durable(&self, dir: &Path) -> Result<(), Error> {
        self.faults.io("segment.link").or_io("sync", &self.path)?;
        self.file.sync_all().or_io("sync", &self.path)?;
        sync_dir(dir)
    }

    /// Opens an existing segment to go on after its first `len` bytes. What lies behind them is cut off.
    pub(crate) fn reopen(dir: &Path, first_seq: u64, len: u64, faults: Faults) -> Result<SegmentFile, Error> {
        let path = path(dir, first_seq);
        let file = open_rw(&path)?;
        let found = file.metadata().or_io("look at", &path)?.len();
        if found > len {
            file.set_len(len).or_io("truncate", &path)?;
        }
        // Also when nothing was cut: frames that a killed process wrote but never synced are served from now on.
        file.sync_all().or_io("sync", &path)?;
        Ok(SegmentFile { file, path, first_seq, len, unsound: false, faults })
    }

    pub(crate) fn first_seq(&self) -> u64 {
        self.first_seq
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// True if nothing more may be written here.
    pub(crate) fn is_unsound(&self) -> bool {
        self.unsound
    }

    /// True if the file has no name any more.
    pub(crate) fn is_unlinked(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    /// Appends one frame: one write, one fdatasync. On `Err` nothing of it counts; how long the sync took on `Ok`.
    pub(crate) fn append(&mut self, frame: &[u8]) -> Result<Duration, Error> {
        self.faults.point("append.begin");
        if let Err(error) = self.write(frame) {
            self.cut();
            return Err(Error::io("write", &self.path, error));
        }
        self.faults.point("append.written");
        let began = Instant::now();
        if let Err(error) = self.faults.io("append.sync").and_then(|()| self.file.sync_data()) {
            // Whether the frame is on disk is not known, and asking again would not tell.
            self.cut();
            self.unsound = true;
            return Err(Error::io("sync", &self.path, error));
        }
        self.faults.point("append.synced");
        self.len += frame.len() as u64;
        Ok(began.elapsed())
    }

    fn write(&self, frame: &[u8]) -> io::Result<()> {
        self.faults.io("append.write")?;
        let len = self.faults.write_len("append.short", frame.len());
        self.file.write_all_at(&frame[..len], self.len)?;
        if len < frame.len() {
            self.faults.point("append.half_written");
            return Err(io::Error::from(rustix::io::Errno::NOSPC));
        }
        Ok(())
    }

    /// Cuts off what a failed write may have left. If even that fails, the segment is given up.
    fn cut(&mut self) {
        let cut = self.faults.io("append.truncate").and_then(|()| self.file.set_len(self.len));
        if let Err(error) = cut {
            tracing::warn!(event = "spool_new_segment", path = %self.path.display(), %error, "cannot cut off a failed write; going on in a new segment");
            self.unsound = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_twenty_digits_and_the_suffix_are_a_segment() {
        assert_eq!(parse_name("00000000000000000042.log"), Some(42));
        assert_eq!(parse_name("18446744073709551615.log"), Some(u64::MAX));
        for name in [
            "42.log",
            "00000000000000000000.log",
            "00000000000000000042.tmp",
            "0000000000000000004x.log",
            "18446744073709551616.log",
            "+0000000000000000042.log",
            "",
        ] {
            assert_eq!(parse_name(name), None, "{name}");
        }
        assert_eq!(path(Path::new("/d"), 42), Path::new("/d/00000000000000000042.log"));
    }
}
