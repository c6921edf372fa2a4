//! A spool without room: each policy, an unknown amount of free space, and a disk that is full for everybody.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

mod common;

use std::time::{Duration, Instant};

use common::{append, config, drain, fast_dir, segments, store};
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
