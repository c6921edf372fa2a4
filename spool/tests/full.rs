//! A spool without room, and a disk that fails: each policy, ENOSPC in the middle of a write, a failed fsync, an
//! unknown amount of free space, an index that cannot write.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

mod common;

use std::time::{Duration, Instant};

use common::{append, config, drain, fast_dir, group, segments, store};
use spillway_spool::fault::{Fault, plan};
use spillway_spool::{Appended, Config, Error, FullCause, Group, Spool, WhenFull};

const ENOSPC: Fault = Fault::Errno(28);
const EIO: Fault = Fault::Errno(5);

fn limited(dir: &std::path::Path, when_full: WhenFull) -> Config {
    Config { quota_bytes: 400_000, segment_bytes: 1 << 20, when_full, ..config(dir) }
}

/// One record of 10,000 bytes that names its number.
fn big(number: u64) -> Group {
    let mut group = Group::new();
    group.push(&[&number.to_le_bytes(), &[7; 9992]]);
    group
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn block_refuses_and_goes_on_when_the_reader_makes_room() {
    let dir = fast_dir();
    let (spool, mut appender, mut reader) = Spool::open(limited(dir.path(), WhenFull::Block)).unwrap();
    let mut stored = 0;
    let error = loop {
        match appender.append(&big(stored + 1)) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(error.is_full(), "{error:?}");
    assert!(matches!(error, Error::Full { cause: FullCause::Quota { quota: 400_000, .. } }));
    assert!((35..=39).contains(&stored), "{stored}");
    let stats = spool.stats();
    assert!(stats.is_full() && stats.records == stored && stats.disk_bytes <= 400_000);
    for _ in 0..20 {
        let batch = reader.next().unwrap().unwrap();
        reader.acknowledge(batch.end_seq()).unwrap();
    }
    // The same group, as it is.
    eventually("room", || appender.append(&big(stored + 1)).is_ok());
    assert!(!spool.stats().is_full());
    let mut left = Vec::new();
    while let Some(batch) = reader.next().unwrap() {
        left.extend(batch.iter().map(|(seq, r)| (seq, u64::from_le_bytes(r[..8].try_into().unwrap()))));
    }
    assert_eq!(left, (21..=stored + 1).map(|seq| (seq, seq)).collect::<Vec<_>>());
    assert_eq!(stats.dropped_oldest.records + stats.dropped_newest.records, 0);
}

#[test]
fn drop_oldest_gives_up_whole_segments_and_counts_them() {
    let dir = fast_dir();
    let mut seen = 0;
    {
        let (spool, mut appender, mut reader) =
            Spool::open(limited(dir.path(), WhenFull::DropOldest)).unwrap();
        // The first three are done before anything has to go: they are not dropped.
        for number in 1..=3 {
            assert!(matches!(appender.append(&big(number)), Ok(Appended::Stored { .. })));
            let batch = reader.next().unwrap().unwrap();
            reader.acknowledge(batch.end_seq()).unwrap();
        }
        for number in 4..=100 {
            assert!(
                matches!(appender.append(&big(number)), Ok(Appended::Stored { first_seq, .. }) if first_seq == number)
            );
            assert!(spool.stats().disk_bytes <= 400_000);
        }
        let stats = spool.stats();
        let dropped = stats.dropped_oldest;
        assert_eq!(dropped.records + 3, stats.head_seq - 1);
        assert_eq!(dropped.bytes, dropped.records * 10_000);
        assert!(dropped.first_at_ms > 0 && dropped.first_at_ms <= dropped.last_at_ms);
        assert_eq!(stats.records, 100 - stats.head_seq + 1);
        assert_eq!(stats.bytes, stats.records * 10_000);
        assert!(stats.records >= 25, "not more than needed was dropped: {}", stats.records);
        // The reader was at 4, which is gone: it goes on at the new head.
        let first = reader.next().unwrap().unwrap().first_seq();
        assert_eq!(first, stats.head_seq);
        seen += dropped.records;
    }
    let (spool, _appender, mut reader) = Spool::open(limited(dir.path(), WhenFull::DropOldest)).unwrap();
    assert_eq!(spool.stats().dropped_oldest.records, seen, "the count survives");
    assert_eq!(
        (spool.stats().quarantined.records, spool.recovery().segments_missing),
        (0, 0),
        "dropped is not lost"
    );
    let mut left = 0;
    while let Some(batch) = reader.next().unwrap() {
        left += u64::from(batch.records());
    }
    assert_eq!(left + seen + 3, 100);
}

#[test]
fn drop_newest_refuses_the_group_and_counts_it() {
    let dir = fast_dir();
    let (spool, mut appender, mut reader) = Spool::open(limited(dir.path(), WhenFull::DropNewest)).unwrap();
    let (mut stored, mut dropped) = (0, 0);
    for number in 1..=60 {
        match appender.append(&big(number)).unwrap() {
            Appended::Stored { .. } => stored += 1,
            Appended::Dropped { records, bytes } => {
                assert_eq!((records, bytes), (1, 10_000));
                dropped += 1;
            }
        }
    }
    assert!(dropped > 20);
    let stats = spool.stats();
    assert_eq!((stats.dropped_newest.records, stats.dropped_newest.bytes), (dropped, dropped * 10_000));
    assert_eq!((stats.records, stats.tail_seq), (stored, stored + 1), "what is dropped takes no number");
    let mut seqs = Vec::new();
    while let Some(batch) = reader.next().unwrap() {
        seqs.extend(batch.iter().map(|(seq, _)| seq));
    }
    assert_eq!(seqs, (1..=stored).collect::<Vec<_>>());
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
fn an_unknown_amount_of_free_space_is_full_and_drops_nothing() {
    for policy in [WhenFull::Block, WhenFull::DropOldest, WhenFull::DropNewest] {
        let dir = fast_dir();
        let faults = plan(dir.path());
        let config = Config { free_floor_bytes: 1 << 20, when_full: policy, ..config(dir.path()) };
        let (spool, mut appender, mut reader) = Spool::open(config).unwrap();
        store(&spool, &mut appender, 5);
        faults.always("statvfs", EIO);
        std::thread::sleep(Duration::from_millis(120));
        let error = append(&spool, &mut appender, 5).unwrap_err();
        assert!(matches!(error, Error::Full { cause: FullCause::FreeUnknown(_) }), "{policy:?} {error:?}");
        assert!(spool.stats().is_full());
        faults.disarm("statvfs");
        std::thread::sleep(Duration::from_millis(120));
        store(&spool, &mut appender, 5);
        assert_eq!(drain(&mut reader).len(), 10);
        let stats = spool.stats();
        assert_eq!(
            (stats.dropped_oldest.records, stats.dropped_newest.records, stats.is_full()),
            (0, 0, false)
        );
    }
}

#[test]
fn the_floor_of_free_space_is_kept() {
    let dir = fast_dir();
    let faults = plan(dir.path());
    faults.always("statvfs", Fault::Free(1 << 30));
    let config = Config { free_floor_bytes: 1 << 20, ..config(dir.path()) };
    let (spool, mut appender, _reader) = Spool::open(config).unwrap();
    store(&spool, &mut appender, 5);
    faults.always("statvfs", Fault::Free((1 << 20) + 100));
    std::thread::sleep(Duration::from_millis(120));
    let error = append(&spool, &mut appender, 5).unwrap_err();
    assert!(
        matches!(error, Error::Full { cause: FullCause::FreeFloor { floor: 1_048_576, .. } }),
        "{error:?}"
    );
    faults.always("statvfs", Fault::Free(1 << 30));
    // Without another append: the spool notices by itself that there is room again.
    eventually("room", || !spool.stats().is_full());
    store(&spool, &mut appender, 5);
}

#[test]
fn a_full_disk_can_be_drained() {
    let dir = fast_dir();
    let faults = plan(dir.path());
    let config = Config { ballast_bytes: 100_000, ..config(dir.path()) };
    let (spool, mut appender, mut reader) = Spool::open(config).unwrap();
    assert!(dir.path().join("ballast").exists());
    for _ in 0..60 {
        store(&spool, &mut appender, 5);
    }
    // Nothing new can be written: no frame, no segment, no page of the index.
    for place in ["append.write", "segment.create", "index.apply", "index.flush", "index.open"] {
        faults.always(place, ENOSPC);
    }
    faults.always("statvfs", Fault::Free(0));
    assert!(append(&spool, &mut appender, 5).unwrap_err().is_full());
    assert!(!dir.path().join("ballast").exists() || spool.stats().is_full());
    assert_eq!(drain(&mut reader).len(), 300);
    reader.acknowledge(301).unwrap();
    eventually("deletion", || segments(dir.path()).len() == 1);
    spool.sync().unwrap();
    for place in ["append.write", "segment.create", "index.apply", "index.flush", "index.open", "statvfs"] {
        faults.disarm(place);
    }
    eventually("room and the index", || spool.stats().index_ok && !spool.stats().is_full());
    eventually("the ballast", || dir.path().join("ballast").exists());
    assert_eq!(store(&spool, &mut appender, 5), 301);
    assert_eq!(drain(&mut reader), (301..=305).collect::<Vec<_>>());
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
fn an_index_that_hangs_delays_nobody() {
    let dir = fast_dir();
    let faults = plan(dir.path());
    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    faults.arm("index.apply", Fault::Stall(3000), 0, 1);
    let began = Instant::now();
    for _ in 0..200 {
        store(&spool, &mut appender, 5);
    }
    assert_eq!(drain(&mut reader).len(), 1000);
    reader.acknowledge(501).unwrap();
    // Asking the index where a record lies gives up soon, and the segment is read instead.
    reader.rewind();
    assert_eq!(drain(&mut reader).len(), 500);
    assert!(began.elapsed() < Duration::from_millis(2500), "{:?}", began.elapsed());
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
    assert_eq!(reader.next().unwrap().unwrap().end_seq(), 6);
    // The second frame cannot be read; what follows it can.
    faults.always("reader.read", EIO);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2100) {
        assert!(reader.next().is_err());
        std::thread::sleep(Duration::from_millis(50));
    }
    let third = std::thread::spawn(move || {
        let batch = reader.next().unwrap().unwrap();
        (batch.first_seq(), reader)
    });
    // The step that gives the place up consumes one failing read; then the disk is well again.
    eventually("giving up", || spool.stats().quarantined.records == 5);
    faults.disarm("reader.read");
    let (first, mut reader) = match third.join() {
        Ok(found) => found,
        Err(panic) => std::panic::resume_unwind(panic),
    };
    assert_eq!(first, 11);
    assert_eq!(drain(&mut reader), (16..=20).collect::<Vec<_>>());
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
