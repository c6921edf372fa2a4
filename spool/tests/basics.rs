//! The spool in ordinary use: order, positions, deletion, meta values, waiting, opening and its refusals.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

mod common;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{append, config, contents, drain, fast_dir, group, record, segments, store};
use spillway_spool::{Appended, Codec, Config, Error, Group, IndexState, MAX_RECORD_BYTES, Spool};

/// Waits for an event that a background thread brings about.
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_handles_can_be_moved_to_threads() {
    fn send<T: Send>() {}
    fn shared<T: Clone + Send + Sync>() {}
    send::<spillway_spool::Appender>();
    send::<spillway_spool::Reader>();
    shared::<Spool>();
}

#[test]
fn records_come_back_in_order_and_only_until_acknowledged() {
    let dir = fast_dir();
    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    assert_eq!(spool.recovery().index, IndexState::Created);
    for count in [1, 5, 2] {
        store(&spool, &mut appender, count);
    }
    assert_eq!(drain(&mut reader), (1..=8).collect::<Vec<_>>());
    assert!(reader.next().unwrap().is_none());
    // The middle of the second frame.
    reader.acknowledge(4).unwrap();
    reader.acknowledge(2).unwrap();
    assert_eq!(spool.stats().head_seq, 4, "positions never go back");
    reader.rewind();
    assert_eq!(reader.position(), 4);
    assert_eq!(drain(&mut reader), (4..=8).collect::<Vec<_>>());
    assert!(matches!(reader.acknowledge(10), Err(Error::AcknowledgedTooFar { through: 10, tail: 9 })));
    reader.acknowledge(9).unwrap();
    let stats = spool.stats();
    assert_eq!((stats.records, stats.bytes, stats.head_seq, stats.tail_seq), (0, 0, 9, 9));
    assert_eq!((stats.appended_records, stats.acknowledged_records), (8, 8));
}

#[test]
fn everything_survives_closing_and_opening() {
    let dir = fast_dir();
    for (codec, round) in [Codec::None, Codec::Lz4, Codec::Zstd].into_iter().zip(0_u64..) {
        let (spool, mut appender, mut reader) = Spool::open(Config { codec, ..config(dir.path()) }).unwrap();
        let first = round * 60;
        for _ in 0..20 {
            store(&spool, &mut appender, 4);
        }
        let waiting: Vec<u64> = (first + 1..=round * 80 + 80).filter(|seq| *seq > first).collect();
        assert_eq!(drain(&mut reader), waiting);
        reader.acknowledge(first + 61).unwrap();
        spool.meta_put("cursor", format!("at {round}").as_bytes()).unwrap();
        let expected: usize = (first + 61..=round * 80 + 80).map(|seq| record(seq).len()).sum();
        drop((spool, appender, reader));

        let (spool, _appender, reader) = Spool::open(config(dir.path())).unwrap();
        assert_eq!(reader.position(), first + 61);
        assert_eq!(spool.meta_get("cursor").unwrap().unwrap(), format!("at {round}").into_bytes());
        let stats = spool.stats();
        assert_eq!(stats.records, round * 80 + 80 - first - 60);
        // Frames hold four records and 61 is the first of one: nothing is acknowledged in part.
        assert_eq!(stats.bytes, expected as u64);
        let recovery = spool.recovery();
        assert_eq!((recovery.index, recovery.records_lost, recovery.torn_bytes), (IndexState::Found, 0, 0));
    }
}

#[test]
fn drained_segments_are_deleted_and_numbering_goes_on() {
    let dir = fast_dir();
    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    for _ in 0..100 {
        store(&spool, &mut appender, 5);
    }
    let before = spool.stats();
    assert!(before.segments > 5 && segments(dir.path()).len() as u64 == before.segments);
    assert_eq!(drain(&mut reader).len(), 500);
    reader.acknowledge(501).unwrap();
    eventually("deletion", || segments(dir.path()).len() == 1);
    let on_disk: u64 = segments(dir.path()).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(on_disk <= 4096 && spool.stats().disk_bytes == on_disk, "{on_disk}");
    drop((spool, appender, reader));
    // The numbers must not depend on the index or the checkpoint either.
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    std::fs::remove_file(dir.path().join("checkpoint")).unwrap();
    let (spool, mut appender, _reader) = Spool::open(config(dir.path())).unwrap();
    assert_eq!(store(&spool, &mut appender, 1), 501);
}

#[test]
fn a_large_drained_segment_gives_its_space_back_while_it_is_the_newest() {
    let dir = fast_dir();
    let config = Config { segment_bytes: 64 << 20, ..config(dir.path()) };
    let (spool, mut appender, mut reader) = Spool::open(config).unwrap();
    let mut big = Group::new();
    big.push(&[&vec![7; 1 << 20]]);
    assert!(matches!(appender.append(&big).unwrap(), Appended::Stored { first_seq: 1, .. }));
    let batch = reader.next().unwrap().unwrap();
    reader.acknowledge(batch.end_seq()).unwrap();
    eventually("deletion", || spool.stats().disk_bytes == 0);
    assert_eq!(segments(dir.path()), [dir.path().join("log/00000000000000000002.log")]);
}

#[test]
fn waiting_ends_when_something_is_appended() {
    let dir = fast_dir();
    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    assert!(!reader.wait(Duration::from_millis(1)));
    let began = Instant::now();
    let waiter = std::thread::spawn(move || {
        let woken = reader.wait(Duration::from_secs(60));
        (woken, drain(&mut reader))
    });
    store(&spool, &mut appender, 3);
    assert_eq!(waiter.join().unwrap(), (true, vec![1, 2, 3]));
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_reader_that_follows_the_tail_sees_every_record_once() {
    let dir = fast_dir();
    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    let follower = std::thread::spawn(move || {
        let mut seqs = Vec::new();
        while seqs.len() < 2000 {
            assert!(reader.wait(Duration::from_secs(60)));
            let some = drain(&mut reader);
            reader.acknowledge(some.last().unwrap() + 1).unwrap();
            seqs.extend(some);
        }
        seqs
    });
    for _ in 0..500 {
        store(&spool, &mut appender, 4);
    }
    assert_eq!(follower.join().unwrap(), (1..=2000).collect::<Vec<_>>());
    assert_eq!(spool.stats().quarantined.frames, 0);
}

#[test]
fn records_that_can_never_fit_are_refused_and_nothing_is_stored() {
    let dir = fast_dir();
    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    let mut group = Group::new();
    group.push(&[b"small"]);
    group.push(&[&vec![0; MAX_RECORD_BYTES + 1]]);
    assert!(appender.append(&group).unwrap_err().is_too_large());
    assert!(reader.next().unwrap().is_none());
    assert!(spool.dead_put(&vec![0; MAX_RECORD_BYTES + 1], "why", 1).unwrap_err().is_too_large());
    // The largest that fits does fit, in the log and among the dead letters.
    group.clear();
    group.push(&[&vec![b'z'; MAX_RECORD_BYTES]]);
    assert!(matches!(appender.append(&group), Ok(Appended::Stored { first_seq: 1, records: 1, .. })));
    assert_eq!(reader.next().unwrap().unwrap().record(0).len(), MAX_RECORD_BYTES);
    let id = spool.dead_put(&vec![b'z'; MAX_RECORD_BYTES], &"reason".repeat(1000), 1).unwrap();
    assert_eq!(spool.dead_get(id).unwrap().unwrap().1.len(), MAX_RECORD_BYTES);
    assert!(spool.meta_put("key", &[0; 4097]).unwrap_err().is_too_large());
    let empty = appender.append(&Group::new()).unwrap();
    assert_eq!(empty, Appended::Stored { first_seq: 2, records: 0, bytes_on_disk: 0 });
}

const HOLD: &str = "SPILLWAY_HOLD_DIR";

/// A process that holds the spool open until it is killed.
#[test]
fn holder() {
    let Some(dir) = std::env::var_os(HOLD) else { return };
    let (spool, _appender, _reader) = Spool::open(config(std::path::Path::new(&dir))).unwrap();
    // After this nothing is left to be written in the background.
    spool.sync().unwrap();
    println!("\nHOLDING");
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn a_spool_that_another_process_has_open_is_left_alone() {
    let dir = fast_dir();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holder", "--nocapture"])
        .env(HOLD, dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "HOLDING"));
    let before = contents(dir.path());
    match Spool::open(config(dir.path())) {
        Err(error @ Error::Locked { pid, .. }) => assert!(error.is_locked() && pid == Some(child.id())),
        other => panic!("{other:?}"),
    }
    assert!(contents(dir.path()) == before, "something was touched");
    // The lock ends with the process, however that ends.
    child.kill().unwrap();
    child.wait().unwrap();
    Spool::open(config(dir.path())).unwrap();
}

#[test]
fn any_handle_keeps_the_spool_open() {
    let dir = fast_dir();
    let (spool, appender, reader) = Spool::open(config(dir.path())).unwrap();
    let other = spool.clone();
    drop((spool, reader));
    assert!(Spool::open(config(dir.path())).unwrap_err().is_locked());
    drop(other);
    assert!(Spool::open(config(dir.path())).unwrap_err().is_locked());
    drop(appender);
    Spool::open(config(dir.path())).unwrap();
}

#[test]
fn a_newer_spool_is_refused_and_not_touched() {
    let dir = fast_dir();
    let (spool, mut appender, reader) = Spool::open(config(dir.path())).unwrap();
    store(&spool, &mut appender, 3);
    drop((spool, appender, reader));
    std::fs::write(dir.path().join("FORMAT"), "spillway-spool 2\n").unwrap();
    let before = contents(dir.path());
    let error = Spool::open(config(dir.path())).unwrap_err();
    assert!(matches!(error, Error::NewerVersion { found: 2, supported: 1, .. }), "{error:?}");
    assert!(spillway_spool::inspect::stat(dir.path()).unwrap_err().is_newer_version());
    assert!(contents(dir.path()) == before, "something was touched");
}

#[test]
fn a_newer_spool_is_recognised_by_its_frames_alone() {
    let dir = fast_dir();
    std::fs::create_dir(dir.path().join("log")).unwrap();
    let segment = dir.path().join("log/00000000000000000001.log");
    std::fs::write(&segment, b"\xf5SPW\x02 whatever a later version may write here").unwrap();
    let before = contents(dir.path());
    assert!(Spool::open(config(dir.path())).unwrap_err().is_newer_version());
    assert!(contents(dir.path()) == before, "something was touched");
}

#[test]
fn an_unusable_folder_is_named() {
    let dir = fast_dir();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    match Spool::open(config(&file.join("spool"))) {
        Err(Error::Unwritable { path, .. }) => assert_eq!(path, file.join("spool")),
        other => panic!("{other:?}"),
    }
    // Permissions do not stop root.
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        let read_only = dir.path().join("read-only");
        std::fs::create_dir(&read_only).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o500);
        std::fs::set_permissions(&read_only, mode).unwrap();
        assert!(matches!(Spool::open(config(&read_only)), Err(Error::Unwritable { .. })));
    }
}

#[test]
fn an_append_that_meets_the_segment_limit_begins_a_new_segment() {
    let dir = fast_dir();
    let (spool, mut appender, _reader) = Spool::open(config(dir.path())).unwrap();
    while spool.stats().segments < 3 {
        append(&spool, &mut appender, 7)
            .map(|stored| assert!(matches!(stored, Appended::Stored { .. })))
            .unwrap();
    }
    let names: Vec<_> = segments(dir.path());
    assert_eq!(names[0].file_name().unwrap(), "00000000000000000001.log");
    let frames = common::frames(dir.path());
    for name in &names {
        let first = frames.iter().find(|(segment, ..)| segment == name).unwrap().2.start;
        assert_eq!(name.file_name().unwrap().to_str().unwrap(), format!("{first:020}.log"));
        assert!(name.metadata().unwrap().len() <= 4096);
    }
    // A frame larger than a segment gets one of its own.
    let stored = appender.append(&group(spool.stats().tail_seq, 200)).unwrap();
    assert!(matches!(stored, Appended::Stored { bytes_on_disk, .. } if bytes_on_disk > 4096));
}
