//! Copies of damaged bytes, kept for whoever wants to look at them.
//!
//! Guarantees: bounded in number and size; the same damage found twice is copied once; a copy that fails is a
//! warning and nothing more. Never counts: that is `books`.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Error, IoContext};
use crate::files::{create_new, read_up_to, remove, to_usize};

/// Copies that are kept at most.
const FILES_MAX: usize = 64;

/// The largest copy in bytes. Of longer damage the beginning is kept.
const COPY_BYTES_MAX: u64 = 1024 * 1024;

/// Copies `bytes` of a segment to `<quarantine>/<segment>-<offset>.bad`.
pub(crate) fn keep(quarantine: &Path, segment: &Path, bytes: &Range<u64>) {
    if bytes.is_empty() {
        return;
    }
    if let Err(error) = copy(quarantine, segment, bytes) {
        tracing::warn!(event = "spool_no_copy", path = %segment.display(), %error, "cannot keep a copy of damaged bytes");
    }
}

fn copy(quarantine: &Path, segment: &Path, bytes: &Range<u64>) -> Result<(), Error> {
    let stem = segment.file_stem().unwrap_or_default().to_string_lossy();
    let target = quarantine.join(format!("{stem}-{:012}.bad", bytes.start));
    let kept = std::fs::read_dir(quarantine).or_io("list", quarantine)?.count();
    if target.exists() || kept >= FILES_MAX {
        return Ok(());
    }
    let source = File::open(segment).or_io("open", segment)?;
    let mut buf = vec![0; to_usize((bytes.end - bytes.start).min(COPY_BYTES_MAX))];
    let read = read_up_to(&source, &mut buf, bytes.start).or_io("read", segment)?;
    let file = create_new(&target)?;
    if let Err(error) = file.write_all_at(&buf[..read], 0) {
        // A part of a copy would only mislead.
        let _ = remove(&target);
        return Err(Error::io("write", &target, error));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_each_range_once_and_not_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let quarantine = dir.path().join("quarantine");
        std::fs::create_dir(&quarantine).unwrap();
        let segment = dir.path().join("00000000000000000007.log");
        std::fs::write(&segment, vec![9; 5000]).unwrap();
        for _ in 0..2 {
            keep(&quarantine, &segment, &(1000..1400));
        }
        assert_eq!(std::fs::read_dir(&quarantine).unwrap().count(), 1);
        let copy = std::fs::read(quarantine.join("00000000000000000007-000000001000.bad")).unwrap();
        assert_eq!(copy, vec![9; 400]);
        for start in 0..200 {
            keep(&quarantine, &segment, &(start..start + 10));
        }
        assert_eq!(std::fs::read_dir(&quarantine).unwrap().count(), FILES_MAX);
    }
}
