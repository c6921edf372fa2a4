//! A spool of format version 1, made once and checked in: every later version must open it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

mod common;

use std::path::PathBuf;

use common::{config, copy_dir, drain, fast_dir, store};
use spillway_spool::{Appended, Codec, Config, IndexState, Spool, inspect};

fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

/// How the fixture was made. Run it only for a new format version, into a new folder.
#[test]
#[ignore = "writes the fixture: only for a new format version"]
fn make_the_fixture() {
    let dir = fixture();
    assert!(!dir.exists(), "a fixture is never changed");
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
        let (spool, mut appender, mut reader) =
            Spool::open(Config { codec, segment_bytes: 2000, ..config(&dir) }).unwrap();
        for count in [1, 9, 30] {
            let stored = store(&spool, &mut appender, count);
            assert!(stored > 0);
        }
        if codec == Codec::Zstd {
            // In the middle of the second frame.
            reader.acknowledge(5).unwrap();
            spool.meta_put("cursor", b"event 4711").unwrap();
            spool.meta_put("binary", &[0, 255, 7]).unwrap();
            for number in 1..=3 {
                spool.dead_put(format!("letter {number}").as_bytes(), "too large", 1000 + number).unwrap();
            }
            spool.dead_remove(2).unwrap();
        }
        spool.sync().unwrap();
    }
    std::fs::remove_file(dir.join("LOCK")).unwrap();
}

fn opens_and_yields_exactly(without: &[&str]) {
    let dir = fast_dir();
    copy_dir(&fixture(), dir.path());
    for name in without {
        let path = dir.path().join(name);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap()
        } else {
            std::fs::remove_file(path).unwrap()
        }
    }
    let overview = inspect::stat(dir.path()).unwrap();
    assert_eq!((overview.records, overview.frames, overview.last_seq), (120, 9, Some(120)));
    assert!(inspect::verify(dir.path()).unwrap().is_ok());

    let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    let index = if without.contains(&"index") { IndexState::Rebuilt } else { IndexState::Found };
    assert_eq!(spool.recovery().index, index);
    assert_eq!((spool.recovery().records_lost, spool.recovery().torn_bytes), (0, 0));
    let position_known = without.len() < 2;
    let first = if position_known { 5 } else { 1 };
    assert_eq!(drain(&mut reader), (first..=120).collect::<Vec<_>>());
    if position_known {
        assert_eq!(spool.meta_get("cursor").unwrap().unwrap(), b"event 4711");
        assert_eq!(spool.meta_get("binary").unwrap().unwrap(), [0, 255, 7]);
    }
    let dead: Vec<_> = spool.dead_list().map(|letter| (letter.id, letter.unix_ms, letter.reason)).collect();
    assert_eq!(dead, [(1, 1001, "too large".to_owned()), (3, 1003, "too large".to_owned())]);
    assert_eq!(spool.dead_get(3).unwrap().unwrap().1, b"letter 3");
    let stored = appender.append(&common::group(121, 5)).unwrap();
    assert!(matches!(stored, Appended::Stored { first_seq: 121, records: 5, .. }));
    assert_eq!(drain(&mut reader), (121..=125).collect::<Vec<_>>());
}

#[test]
fn version_1_opens() {
    opens_and_yields_exactly(&[]);
}

#[test]
fn version_1_opens_without_its_index() {
    opens_and_yields_exactly(&["index"]);
}

#[test]
fn version_1_opens_from_its_segments_alone() {
    opens_and_yields_exactly(&["index", "checkpoint", "FORMAT"]);
}
