//! A disk that fails: in the middle of a write, at an fsync, while reading; and an index or a checkpoint that cannot
//! be written, panics or hangs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

mod common;

use std::time::{Duration, Instant};

use common::{append, config, drain, fast_dir, group, segments, store};
use spillway_spool::fault::{Fault, plan};
use spillway_spool::{Appended, Error, FullCause, Spool};

const ENOSPC: Fault = Fault::Errno(28);
const EIO: Fault = Fault::Errno(5);

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What an unsuccessful append must leave behind: nothing, with room for the next.
fn refused_then_stored(arm: impl Fn(&spillway_spool::fault::Plan), check: impl Fn(&Error)) {
    let dir = fast_dir();
    let faults = plan(dir.path());
    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    store(&spool, &mut appender, 5);
    store(&spool, &mut appender, 5);
    arm(&faults);
    for _ in 0..3 {
        if let Err(error) = append(&spool, &mut appender, 5) {
            check(&error);
            assert_eq!(spool.stats().tail_seq, 11, "nothing of it is stored");
            assert!(reader.next().unwrap().is_none_or(|batch| batch.end_seq() <= 11));
        }
    }
    assert_eq!(spool.stats().tail_seq, 16 + 5, "the first try failed and the next two did not");
    store(&spool, &mut appender, 4);
    reader.rewind();
    assert_eq!(drain(&mut reader), (1..=24).collect::<Vec<_>>());
    drop((spool, appender, reader));
    let (spool, _appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    assert_eq!(drain(&mut reader), (1..=24).collect::<Vec<_>>());
    assert_eq!((spool.stats().quarantined.frames, spool.recovery().torn_bytes), (0, 0));
}

#[test]
fn a_write_that_fails_leaves_nothing() {
    refused_then_stored(|faults| faults.arm("append.write", EIO, 0, 1), |error| assert!(!error.is_full()));
    refused_then_stored(|faults| faults.arm("append.write", ENOSPC, 0, 1), |error| assert!(error.is_full()));
}

#[test]
fn half_a_write_is_cut_off() {
    refused_then_stored(
        |faults| faults.arm("append.short", Fault::Short(100), 0, 1),
        |error| assert!(matches!(error, Error::Full { cause: FullCause::NoSpace })),
    );
}

#[test]
fn half_a_write_that_cannot_be_cut_off_is_left_behind_in_a_closed_segment() {
    refused_then_stored(
        |faults| {
            faults.arm("append.short", Fault::Short(100), 0, 1);
            faults.arm("append.truncate", EIO, 0, 1);
        },
        |error| assert!(error.is_full()),
    );
}

#[test]
fn a_failed_fsync_is_never_asked_again() {
    refused_then_stored(
        |faults| faults.arm("append.sync", EIO, 0, 1),
        |error| assert!(matches!(error, Error::Io { action: "sync", .. })),
    );
    // Not even when the frame cannot be cut off: it is whole on disk, and superseded by the next segment.
    refused_then_stored(
        |faults| {
            faults.arm("append.sync", EIO, 0, 1);
            faults.arm("append.truncate", EIO, 0, 1);
        },
        |error| assert!(!error.is_full()),
    );
}

#[test]
fn the_remains_of_a_long_write_do_not_stay_behind_a_short_one() {
    let dir = fast_dir();
    let faults = plan(dir.path());
    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    store(&spool, &mut appender, 1);
    faults.arm("append.short", Fault::Short(2000), 0, 1);
    assert!(append(&spool, &mut appender, 30).is_err());
    store(&spool, &mut appender, 1);
    let report = spillway_spool::inspect::verify(dir.path()).unwrap();
    assert_eq!((report.records, report.unfinished_bytes, report.bad), (2, 0, vec![]));
    assert_eq!(drain(&mut reader), [1, 2]);
}

#[test]
fn nothing_is_written_to_a_segment_whose_fsync_failed() {
    let dir = fast_dir();
    let faults = plan(dir.path());
    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    store(&spool, &mut appender, 5);
    let first = &segments(dir.path())[0];
    let len = first.metadata().unwrap().len();
    faults.arm("append.sync", EIO, 0, 1);
    assert!(append(&spool, &mut appender, 5).is_err());
    store(&spool, &mut appender, 5);
    let names: Vec<_> = segments(dir.path()).iter().map(|p| p.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["00000000000000000001.log", "00000000000000000006.log"]);
    assert_eq!(first.metadata().unwrap().len(), len);
    assert_eq!(drain(&mut reader), (1..=10).collect::<Vec<_>>());
}

#[test]
fn a_failed_fsync_of_the_very_first_frame_begins_the_segment_anew() {
    let dir = fast_dir();
    let faults = plan(dir.path());
    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    let inode = |path: &std::path::Path| std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
    let before = inode(&segments(dir.path())[0]);
    faults.arm("append.sync", EIO, 0, 1);
    faults.arm("append.truncate", EIO, 0, 1);
    assert!(append(&spool, &mut appender, 5).is_err());
    store(&spool, &mut appender, 5);
    assert_eq!(segments(dir.path()).len(), 1);
    assert_ne!(inode(&segments(dir.path())[0]), before);
    assert_eq!(drain(&mut reader), [1, 2, 3, 4, 5]);
}

#[test]
fn an_index_that_fails_costs_nothing_and_is_revived() {
    let dir = fast_dir();
    let faults = plan(dir.path());
    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    store(&spool, &mut appender, 5);
    faults.arm("index.apply", EIO, 0, 1);
    for _ in 0..50 {
        store(&spool, &mut appender, 5);
    }
    eventually("the failure", || spool.stats().index_rebuilds == 1 && spool.stats().index_ok);
    for _ in 0..50 {
        store(&spool, &mut appender, 5);
    }
    spool.sync().unwrap();
    drain(&mut reader);
    reader.acknowledge(300).unwrap();
    drop((spool, appender, reader));
    // The revived index knows everything: nothing but the newest segment is read.
    let (spool, _appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    assert_eq!(spool.recovery().segments_scanned, 1);
    assert_eq!(drain(&mut reader), (300..=505).collect::<Vec<_>>());
}

#[test]
fn an_index_that_panics_is_set_aside_and_built_anew() {
    let dir = fast_dir();
    let faults = plan(dir.path());
    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    store(&spool, &mut appender, 5);
    spool.sync().unwrap();
    faults.arm("index.apply", Fault::Panic, 0, 1);
    for _ in 0..50 {
        store(&spool, &mut appender, 5);
    }
    eventually("the panic", || faults.hits("index.apply") > 1 && spool.stats().index_rebuilds == 1);
    assert!(spool.stats().index_ok && dir.path().join("index.broken-1").exists());
    drain(&mut reader);
    reader.acknowledge(200).unwrap();
    drop((spool, appender, reader));

    faults.arm("index.open", Fault::Panic, 0, 1);
    let began = Instant::now();
    let (spool, _appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "a panic is not waited for");
    assert_eq!(spool.recovery().index, spillway_spool::IndexState::Rebuilt);
    assert!(spool.stats().index_ok && dir.path().join("index.broken-2").exists());
    assert_eq!(drain(&mut reader), (200..=255).collect::<Vec<_>>());
}

#[test]
fn an_index_that_hangs_delays_nobody() {
    let dir = fast_dir();
    let faults = plan(dir.path());
    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    // What opening wrote in the background is written.
    spool.sync().unwrap();
    let before = faults.hits("index.apply");
    faults.arm("index.apply", Fault::Hang, 0, 1);
    store(&spool, &mut appender, 5);
    eventually("the index hangs", || faults.hits("index.apply") > before);
    for _ in 0..199 {
        store(&spool, &mut appender, 5);
    }
    assert_eq!(drain(&mut reader).len(), 1000);
    reader.acknowledge(501).unwrap();
    // Asking the index where a record lies gives up soon, and the segment is read instead.
    reader.rewind();
    assert_eq!(drain(&mut reader).len(), 500);
    assert_eq!(faults.hits("index.apply"), before + 1, "it hangs still: nothing of this has waited for it");
    faults.disarm("index.apply");
    spool.sync().unwrap();
}

#[test]
fn a_checkpoint_that_cannot_be_written_keeps_the_segments() {
    let dir = fast_dir();
    let faults = plan(dir.path());
    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    for _ in 0..60 {
        store(&spool, &mut appender, 5);
    }
    let before = segments(dir.path());
    faults.always("checkpoint.sync", EIO);
    drain(&mut reader);
    reader.acknowledge(301).unwrap();
    assert!(spool.sync().is_err());
    assert!(spool.stats().io_error.is_some());
    let tries = faults.hits("checkpoint.sync");
    eventually("another try", || faults.hits("checkpoint.sync") > tries + 1);
    assert_eq!(segments(dir.path()), before, "nothing is deleted on a position that may be forgotten");
    faults.disarm("checkpoint.sync");
    eventually("deletion", || segments(dir.path()).len() == 1);
}

/// What is acknowledged while a checkpoint is being written is not in it, and must not be deleted by it.
#[test]
fn a_checkpoint_deletes_only_what_it_says() {
    let dir = fast_dir();
    let faults = plan(dir.path());
    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    for _ in 0..60 {
        store(&spool, &mut appender, 5);
    }
    drain(&mut reader);
    let before = segments(dir.path());
    let hits = faults.hits("checkpoint.sync");
    faults.arm("checkpoint.sync", Fault::Stall(500), 0, 1);
    // The one that is under way succeeds; none after it does.
    faults.arm("checkpoint.write", EIO, 1, u64::MAX);
    reader.acknowledge(2).unwrap();
    eventually("a checkpoint", || faults.hits("checkpoint.sync") > hits);
    reader.acknowledge(301).unwrap();
    eventually("a failed checkpoint", || spool.stats().io_error.is_some());
    assert_eq!(segments(dir.path()), before);
    faults.disarm("checkpoint.write");
    eventually("deletion", || segments(dir.path()).len() == 1);
}

#[test]
fn a_disk_that_cannot_read_a_place_for_a_while_loses_nothing() {
    let dir = fast_dir();
    let faults = plan(dir.path());
    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    for _ in 0..40 {
        store(&spool, &mut appender, 5);
    }
    for place in ["reader.read", "reader.open"] {
        faults.arm(place, EIO, 2, 5);
        let mut errors = 0;
        let mut seqs = Vec::new();
        loop {
            match reader.next() {
                Ok(Some(batch)) => seqs.extend(batch.iter().map(|(seq, _)| seq)),
                Ok(None) => break,
                Err(error) => {
                    assert!(matches!(error, Error::Io { .. }));
                    errors += 1;
                }
            }
        }
        assert_eq!((errors, seqs), (5, (1..=200).collect::<Vec<_>>()), "{place}");
        reader.rewind();
    }
    assert_eq!(spool.stats().quarantined.records, 0);
}

#[test]
fn a_place_that_stays_unreadable_is_given_up_after_a_while() {
    let dir = fast_dir();
    let faults = plan(dir.path());
    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    for _ in 0..4 {
        store(&spool, &mut appender, 5);
    }
    faults.arm("reader.read", EIO, 0, 4);
    for _ in 0..3 {
        assert!(reader.next().is_err());
    }
    assert_eq!(spool.stats().quarantined.records, 0, "not at once");
    std::thread::sleep(Duration::from_millis(2100));
    // The next failure is one too many: the place is given up, and what follows it is read.
    assert_eq!(reader.next().unwrap().unwrap().first_seq(), 6);
    assert_eq!(drain(&mut reader), (11..=20).collect::<Vec<_>>());
    assert_eq!(spool.stats().quarantined.records, 5);
}

#[test]
fn a_group_is_untouched_by_a_failed_append() {
    let dir = fast_dir();
    let faults = plan(dir.path());
    let (_spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    let wanted = group(1, 5);
    faults.arm("append.sync", EIO, 0, 2);
    assert!(appender.append(&wanted).is_err());
    assert!(appender.append(&wanted).is_err());
    assert!(matches!(appender.append(&wanted), Ok(Appended::Stored { first_seq: 1, records: 5, .. })));
    assert_eq!(drain(&mut reader), [1, 2, 3, 4, 5]);
}
