//! Looking at a spool from outside, also while it is in use.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

mod common;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{config, contents, drain, fast_dir, record, store};
use spillway_spool::{Spool, inspect};

#[test]
fn stat_ls_and_cat_say_what_was_stored() {
    let dir = fast_dir();
    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    for _ in 0..50 {
        store(&spool, &mut appender, 3);
    }
    drain(&mut reader);
    reader.acknowledge(10).unwrap();
    spool.sync().unwrap();
    let before = contents(dir.path());
    let seen = inspect::stat(dir.path()).unwrap();
    let bytes: usize = (1..=150).map(|seq| record(seq).len()).sum();
    assert_eq!((seen.frames, seen.records, seen.bytes), (50, 150, bytes as u64));
    assert_eq!((seen.first_seq, seen.last_seq, seen.acknowledged), (Some(1), Some(150), Some(10)));
    assert_eq!((seen.format_version, seen.damaged), (Some(1), 0));
    assert_eq!((seen.segments, seen.disk_bytes), (spool.stats().segments, spool.stats().disk_bytes));
    assert!(seen.first_unix_ms.unwrap() > 1_700_000_000_000 && seen.first_unix_ms <= seen.last_unix_ms);

    let frames = common::frames(dir.path());
    assert_eq!(frames.len(), 50);
    assert_eq!(frames[7].2, 22..25);
    let mut seqs = Vec::new();
    inspect::cat(dir.path(), 20..31, |found| {
        assert_eq!(found.bytes, record(found.seq));
        seqs.push(found.seq);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(seqs, (20..31).collect::<Vec<_>>());
    let mut count = 0;
    inspect::cat(dir.path(), 1..u64::MAX, |_| {
        count += 1;
        if count == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    assert_eq!(count, 5);
    let report = inspect::verify(dir.path()).unwrap();
    assert!(report.is_ok() && report.records == 150 && report.unfinished_bytes == 0);
    assert!(contents(dir.path()) == before, "looking changes nothing");
}

#[test]
fn nothing_is_wrong_with_a_spool_at_work() {
    let dir = fast_dir();
    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) || looks == 0 {
                let report = inspect::verify(dir.path()).unwrap();
                assert!(report.is_ok(), "{report:?}");
                assert_eq!(inspect::stat(dir.path()).unwrap().damaged, 0);
                looks += 1;
            }
            looks
        });
        for round in 0..400 {
            store(&spool, &mut appender, 5);
            if round % 10 == 0 {
                let last = drain(&mut reader).last().copied().unwrap_or(0);
                reader.acknowledge(last + 1).unwrap();
                spool.sync().unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(looking.join().unwrap() > 0);
    });
}

#[test]
fn a_folder_that_is_no_spool_is_an_error() {
    let dir = fast_dir();
    assert!(inspect::stat(dir.path()).is_err());
    assert!(inspect::verify(&dir.path().join("nowhere")).is_err());
}
