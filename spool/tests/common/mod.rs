//! What the tests of the spool share: folders, groups whose content says who they are, and draining.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

use std::path::{Path, PathBuf};

use spillway_spool::{Appended, Appender, Codec, Config, Error, Group, Reader, Spool};

/// A folder for tests that sync often: in memory where there is such a file system.
pub(crate) fn fast_dir() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let result = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    result.expect("a temporary folder")
}

/// Small segments, no limits, no ballast: what most tests want.
pub(crate) fn config(dir: &Path) -> Config {
    Config {
        segment_bytes: 4096,
        free_floor_bytes: 0,
        ballast_bytes: 0,
        codec: Codec::None,
        index_cache_bytes: 1024 * 1024,
        ..Config::new(dir)
    }
}

/// The record that belongs at `seq`: its number, and as many bytes as the number decides.
pub(crate) fn record(seq: u64) -> Vec<u8> {
    let mut bytes = format!("record {seq} ").into_bytes();
    let extra = usize::try_from(seq.wrapping_mul(2_654_435_761) % 97).unwrap();
    bytes.extend(std::iter::repeat_n(b'x', extra));
    bytes
}

/// A group of the records `first..first + count`.
pub(crate) fn group(first: u64, count: u64) -> Group {
    let mut group = Group::new();
    for seq in first..first + count {
        group.push(&[&record(seq)]);
    }
    group
}

/// Appends the records that belong at the tail.
pub(crate) fn append(spool: &Spool, appender: &mut Appender, count: u64) -> Result<Appended, Error> {
    appender.append(&group(spool.stats().tail_seq, count))
}

/// Appends and expects it to be stored.
pub(crate) fn store(spool: &Spool, appender: &mut Appender, count: u64) -> u64 {
    match append(spool, appender, count).expect("append") {
        Appended::Stored { first_seq, .. } => first_seq,
        dropped => panic!("{dropped:?}"),
    }
}

/// Reads to the end. Checks that each record is the one that belongs at its number; returns the numbers.
pub(crate) fn drain(reader: &mut Reader) -> Vec<u64> {
    let mut seqs = Vec::new();
    while let Some(batch) = reader.next().expect("next") {
        for (seq, bytes) in batch.iter() {
            assert_eq!(bytes, record(seq), "the record at {seq}");
            seqs.push(seq);
        }
    }
    seqs
}

/// The segments of a spool, in order.
pub(crate) fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(dir.join("log"))
        .expect("the log folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    found.sort();
    found
}

/// Copies a folder with everything in it.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    // The checkpoint last: segments go only after it has been saved, so a copy of an older one beside them is a state
    // that no kill leaves.
    let mut entries: Vec<_> = std::fs::read_dir(from).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(|entry| entry.file_name() == "checkpoint");
    for entry in entries {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else if let Err(error) = std::fs::copy(entry.path(), &target) {
            // Copying a live spool: a file may be deleted meanwhile.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}", entry.path().display());
        }
    }
}

/// Every file below a folder with its content, except the lock.
pub(crate) fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else if path.file_name().is_some_and(|name| name != "LOCK") {
            files.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

/// The ranges that a sorted list of numbers covers.
pub(crate) fn ranges(seqs: &[u64]) -> Vec<std::ops::Range<u64>> {
    let mut ranges: Vec<std::ops::Range<u64>> = Vec::new();
    for seq in seqs {
        match ranges.last_mut() {
            Some(last) if last.end == *seq => last.end += 1,
            _ => ranges.push(*seq..*seq + 1),
        }
    }
    ranges
}

/// Where each frame lies: segment, bytes, numbers.
pub(crate) fn frames(dir: &Path) -> Vec<(PathBuf, std::ops::Range<u64>, std::ops::Range<u64>)> {
    let mut frames = Vec::new();
    spillway_spool::inspect::ls(dir, |item| {
        if let spillway_spool::inspect::Item::Frame(f) = item {
            let end = f.first_seq + u64::from(f.records);
            frames.push((f.segment, f.offset..f.offset + f.bytes_on_disk, f.first_seq..end));
        }
        std::ops::ControlFlow::Continue(())
    })
    .expect("ls");
    frames
}
