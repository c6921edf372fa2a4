//! Dead letters: durable, listed, removed; with the index and without it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

mod common;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use common::{config, fast_dir};
use spillway_spool::fault::{Fault, plan};
use spillway_spool::{NewDeadLetter, Spool, WhenFull, inspect};

/// Letters by number: reason, time, record.
type Letters = BTreeMap<u64, (String, u64, Vec<u8>)>;

/// What is listed, with the records.
fn listed(spool: &Spool) -> Letters {
    spool
        .dead_list()
        .map(|letter| {
            let (found, record) = spool.dead_get(letter.id).unwrap().expect("listed and gone");
            assert_eq!(found, letter);
            assert_eq!(letter.bytes, record.len() as u64);
            (letter.id, (letter.reason, letter.unix_ms, record))
        })
        .collect()
}

fn dead_bytes(dir: &Path) -> u64 {
    std::fs::read_dir(dir.join("dead")).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn letters_are_kept_until_they_are_removed() {
    let dir = fast_dir();
    let mut model = BTreeMap::new();
    for round in 0..3_u64 {
        let (spool, _appender, _reader) = Spool::open(config(dir.path())).unwrap();
        assert_eq!(listed(&spool), model, "round {round}");
        assert_eq!(spool.stats().dead_letters, model.len() as u64);
        for number in 0..200_u64 {
            let reason = format!("too large in round {round}, number {number}");
            let record = vec![b'r'; usize::try_from(number * 7).unwrap()];
            let id = spool.dead_put(&record, &reason, 1000 + number).unwrap();
            assert!(model.insert(id, (reason, 1000 + number, record)).is_none(), "ids are never used twice");
        }
        let some: Vec<u64> = model.keys().copied().filter(|id| id % 3 == 0).collect();
        for id in some {
            assert!(spool.dead_remove(id).unwrap());
            assert!(!spool.dead_remove(id).unwrap());
            assert!(spool.dead_get(id).unwrap().is_none());
            model.remove(&id);
        }
        assert_eq!(listed(&spool), model);
        // Without the index, the log says the same.
        if round == 1 {
            drop((spool, _appender, _reader));
            std::fs::remove_dir_all(dir.path().join("index")).unwrap();
        }
    }
}

#[test]
fn letters_are_listed_while_the_index_is_down() {
    let dir = fast_dir();
    let faults = plan(dir.path());
    let (spool, _appender, _reader) = Spool::open(config(dir.path())).unwrap();
    let ids: Vec<u64> = (0..10).map(|n| spool.dead_put(&[n], "first", 1).unwrap()).collect();
    faults.always("index.apply", Fault::Errno(5));
    faults.always("index.open", Fault::Errno(5));
    let mut model = listed(&spool);
    let id = spool.dead_put(b"late", "second", 2).unwrap();
    model.insert(id, ("second".to_owned(), 2, b"late".to_vec()));
    assert!(spool.dead_remove(ids[0]).unwrap());
    model.remove(&ids[0]);
    assert_eq!(listed(&spool), model);
    assert_eq!(spool.stats().dead_letters, 10);
}

#[test]
fn removing_the_letters_gives_the_space_back() {
    let dir = fast_dir();
    let (spool, _appender, _reader) = Spool::open(config(dir.path())).unwrap();
    let mut noise = 1_u32;
    let record: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        noise.to_be_bytes()[0]
    })
    .take(1 << 20)
    .collect();
    let ids: Vec<u64> = (0..30).map(|_| spool.dead_put(&record, "big", 1).unwrap()).collect();
    assert!(dead_bytes(dir.path()) > 30 << 20);
    assert_eq!(spool.stats().disk_bytes, dead_bytes(dir.path()));
    for id in ids {
        assert!(spool.dead_remove(id).unwrap());
    }
    assert!(dead_bytes(dir.path()) < 17 << 20, "{}", dead_bytes(dir.path()));
    assert!(std::fs::read_dir(dir.path().join("index/blobs")).unwrap().next().is_none(), "no blob files");
}

#[test]
fn a_full_spool_takes_no_letters() {
    let dir = fast_dir();
    let config = spillway_spool::Config {
        quota_bytes: 100_000,
        when_full: WhenFull::DropOldest,
        ..config(dir.path())
    };
    let (spool, _appender, _reader) = Spool::open(config).unwrap();
    let error = spool.dead_put(&vec![0; 100_001], "why", 1).unwrap_err();
    assert!(error.is_full(), "{error:?}");
    assert_eq!(spool.dead_list().count(), 0);
}

#[test]
fn a_torn_letter_is_cut_off_and_a_damaged_one_left_out() {
    let dir = fast_dir();
    {
        let (spool, _appender, _reader) = Spool::open(config(dir.path())).unwrap();
        for number in 0..5_u8 {
            spool.dead_put(&[number; 100], "why", 1).unwrap();
        }
    }
    let segment = std::fs::read_dir(dir.path().join("dead")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    let frame = bytes.len() / 5;
    bytes[2 * frame + 60] ^= 1;
    bytes.extend_from_slice(b"\xf5SPW half a frame");
    std::fs::write(&segment, &bytes).unwrap();
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let (spool, _appender, _reader) = Spool::open(config(dir.path())).unwrap();
    let ids: Vec<u64> = spool.dead_list().map(|letter| letter.id).collect();
    assert_eq!(ids, [1, 2, 4, 5]);
    assert_eq!((seen(dir.path()).0.into_keys().collect::<Vec<_>>(), seen(dir.path()).1), (ids, 1));
    assert_eq!(spool.dead_put(b"next", "why", 1).unwrap(), 6);
    assert_eq!(spool.dead_get(6).unwrap().unwrap().1, b"next");
}

/// What is seen from outside, and how many are damaged.
fn seen(dir: &Path) -> (Letters, u64) {
    let mut seen = BTreeMap::new();
    let damaged = inspect::dead(dir, |letter, record| {
        assert_eq!(letter.bytes, record.len() as u64);
        let new = seen.insert(letter.id, (letter.reason, letter.unix_ms, record.to_vec()));
        assert!(new.is_none(), "a letter was shown twice");
        ControlFlow::Continue(())
    });
    (seen, damaged.unwrap())
}

#[test]
fn several_letters_share_a_write_and_are_seen_from_outside() {
    let dir = fast_dir();
    let (spool, _appender, _reader) = Spool::open(config(dir.path())).unwrap();
    let records: Vec<Vec<u8>> = (0..300_u16).map(|n| vec![b'r'; usize::from(n) * 11]).collect();
    let new = |record| NewDeadLetter { record, reason: "too large", unix_ms: 7 };
    let letters: Vec<_> = records.iter().map(|r| new(r.as_slice())).collect();
    let ids = spool.dead_put_all(&letters).unwrap();
    assert_eq!(ids, (1..=300).collect::<Vec<_>>());
    assert_eq!(spool.dead_next(), 301);
    assert_eq!(spool.dead_put_all(&[]).unwrap(), [] as [u64; 0]);
    assert_eq!(seen(dir.path()), (listed(&spool), 0));

    assert_eq!(spool.dead_find(&[9, 400, 3]).iter().map(|l| l.id).collect::<Vec<_>>(), [3, 9]);
    assert_eq!(spool.dead_read(&[9, 400]).pop().unwrap().1, records[8]);
    let some: Vec<u64> = ids.iter().copied().filter(|id| id % 2 == 0).collect();
    assert_eq!(spool.dead_remove_all(&some).unwrap(), 150);
    assert_eq!(spool.dead_remove_all(&some).unwrap(), 0);
    assert_eq!(spool.stats().dead_letters, 150);
    assert_eq!(seen(dir.path()), (listed(&spool), 0));
    assert_eq!(spool.dead_from(100, 2).iter().map(|l| l.id).collect::<Vec<_>>(), [101, 103]);
    drop((spool, _appender, _reader));
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let before = seen(dir.path());
    let (spool, _appender, _reader) = Spool::open(config(dir.path())).unwrap();
    assert_eq!((listed(&spool), 0), before);
}

#[test]
fn a_failed_write_keeps_none_of_its_letters() {
    let dir = fast_dir();
    let faults = plan(dir.path());
    let (spool, _appender, _reader) = Spool::open(config(dir.path())).unwrap();
    spool.dead_put(b"kept", "why", 1).unwrap();
    faults.always("append.sync", Fault::Errno(5));
    let letter = NewDeadLetter { record: b"not kept", reason: "why", unix_ms: 1 };
    assert!(spool.dead_put_all(&[letter; 3]).is_err());
    assert!(spool.dead_remove_all(&[1]).is_err());
    faults.disarm("append.sync");
    assert_eq!(seen(dir.path()).0.len(), 1);
    assert_eq!(spool.dead_put_all(&[letter; 2]).unwrap(), [2, 3]);
    assert_eq!(seen(dir.path()), (listed(&spool), 0));
    assert_eq!(spool.stats().dead_letters, 3);
}
