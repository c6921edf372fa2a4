//! Damage in every file of a spool: it opens, serves every frame that was not touched, and counts the rest exactly.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

mod common;

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use common::{config, copy_dir, drain, fast_dir, frames, ranges, segments, store};
use spillway_spool::inspect::{self, Problem};
use spillway_spool::{IndexState, Spool};

/// A spool of a hundred frames of five records in many segments, closed in good order.
fn filled(dir: &Path) {
    let (spool, mut appender, _reader) = Spool::open(config(dir)).unwrap();
    for _ in 0..100 {
        store(&spool, &mut appender, 5);
    }
    assert!(spool.stats().segments > 5);
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

/// Changes a byte, whatever it was: checksums and ids differ from run to run.
fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[!byte[0]], at).unwrap();
}

/// Opens a damaged spool, drains it, and checks that exactly `lost` is missing and counted, now and ever after.
fn expect_lost(dir: &Path, total: u64, lost: &BTreeSet<u64>) {
    let expected: Vec<u64> = (1..=total).filter(|seq| !lost.contains(seq)).collect();
    let (spool, mut appender, mut reader) = Spool::open(config(dir)).unwrap();
    let report = inspect::verify(dir).unwrap();
    assert_eq!(ranges(&drain(&mut reader)), ranges(&expected));
    let stats = spool.stats();
    assert_eq!(stats.quarantined.records, lost.len() as u64, "{:?} {report:?}", spool.recovery());
    assert_eq!(stats.records, expected.len() as u64);
    assert_eq!(stats.tail_seq, total + 1);
    // The numbering goes on and what is new is safe behind what is damaged.
    assert_eq!(store(&spool, &mut appender, 3), total + 1);
    drop((spool, appender, reader));
    let (spool, _appender, mut reader) = Spool::open(config(dir)).unwrap();
    let again: Vec<u64> = expected.iter().copied().chain(total + 1..=total + 3).collect();
    assert_eq!(ranges(&drain(&mut reader)), ranges(&again));
    assert_eq!(spool.stats().quarantined.records, lost.len() as u64, "counted once");
    reader.acknowledge(total + 4).unwrap();
    assert_eq!(spool.stats().records, 0);
}

#[test]
fn a_flipped_byte_costs_one_frame() {
    for (number, at) in [(7, 3), (7, 10), (7, 45), (8, 60), (99, 70), (0, 0)] {
        let dir = fast_dir();
        filled(dir.path());
        let (segment, bytes, seqs) = frames(dir.path()).swap_remove(number);
        flip(&segment, bytes.start + at);
        let report = inspect::verify(dir.path()).unwrap();
        assert_eq!((report.records, report.records_lost), (495, 5), "{number} {at}");
        assert_eq!(report.bad.len(), 1);
        assert_eq!((&report.bad[0].segment, &report.bad[0].seqs), (&segment, &seqs));
        assert!(matches!(report.bad[0].problem, Problem::Damaged(_)));
        expect_lost(dir.path(), 500, &seqs.collect());
        assert_eq!(std::fs::read_dir(dir.path().join("quarantine")).unwrap().count(), 1);
    }
}

#[test]
fn a_zeroed_range_costs_the_frames_it_touches() {
    let dir = fast_dir();
    filled(dir.path());
    let all = frames(dir.path());
    let (segment, from, _) = all[20].clone();
    let to = all.iter().filter(|(s, ..)| *s == segment).map(|(_, bytes, _)| bytes.end).max().unwrap();
    overwrite(&segment, from.start + 10, &vec![0; usize::try_from(to - from.start - 10).unwrap()]);
    let lost = all.iter().skip(20).filter(|(s, ..)| *s == segment).flat_map(|(.., seqs)| seqs.clone());
    expect_lost(dir.path(), 500, &lost.collect());
}

#[test]
fn a_cut_segment_costs_the_frames_behind_the_cut() {
    for (which, keep) in [(2, 700), (3, 0), (usize::MAX, 300)] {
        let dir = fast_dir();
        filled(dir.path());
        let all = frames(dir.path());
        let files = segments(dir.path());
        let file = &files[which.min(files.len() - 1)];
        OpenOptions::new().write(true).open(file).unwrap().set_len(keep).unwrap();
        let gone = all.iter().filter(|(s, bytes, _)| s == file && bytes.end > keep);
        expect_lost(dir.path(), 500, &gone.flat_map(|(.., seqs)| seqs.clone()).collect());
    }
}

#[test]
fn a_missing_segment_costs_its_records() {
    for which in [vec![0], vec![3], vec![2, 3], vec![usize::MAX]] {
        let dir = fast_dir();
        filled(dir.path());
        let all = frames(dir.path());
        let files = segments(dir.path());
        let gone: Vec<PathBuf> = which.iter().map(|i| files[(*i).min(files.len() - 1)].clone()).collect();
        for file in &gone {
            std::fs::remove_file(file).unwrap();
        }
        let lost = all.iter().filter(|(s, ..)| gone.contains(s)).flat_map(|(.., seqs)| seqs.clone());
        let lost: BTreeSet<u64> = lost.collect();
        let (spool, ..) = Spool::open(config(dir.path())).unwrap();
        assert_eq!(
            (spool.recovery().records_lost, spool.recovery().segments_missing),
            (lost.len() as u64, 1)
        );
        drop(spool);
        expect_lost(dir.path(), 500, &lost);
    }
}

#[test]
fn all_segments_gone_is_counted_and_no_number_is_used_again() {
    let dir = fast_dir();
    filled(dir.path());
    for file in segments(dir.path()) {
        std::fs::remove_file(file).unwrap();
    }
    expect_lost(dir.path(), 500, &(1..=500).collect());
}

#[test]
fn an_index_that_is_gone_or_garbage_is_rebuilt_and_nothing_is_lost() {
    for kind in ["gone", "empty", "garbage", "truncated", "flipped", "conf"] {
        let dir = fast_dir();
        filled(dir.path());
        let index = dir.path().join("index");
        let db = index.join("db");
        match kind {
            "gone" => std::fs::remove_dir_all(&index).unwrap(),
            "empty" => std::fs::write(&db, b"").unwrap(),
            "garbage" => std::fs::write(&db, vec![0x5A; 700_000]).unwrap(),
            "truncated" => OpenOptions::new().write(true).open(&db).unwrap().set_len(1000).unwrap(),
            "flipped" => (0..40).for_each(|i| overwrite(&db, i * 997, b"\xFF")),
            _ => std::fs::write(index.join("conf"), b"segment_size: 7\nthis is no configuration").unwrap(),
        }
        let (spool, _appender, mut reader) = Spool::open(config(dir.path())).unwrap();
        let recovery = spool.recovery();
        assert_eq!(
            (recovery.records_lost, recovery.torn_bytes, recovery.position_lost),
            (0, 0, false),
            "{kind}"
        );
        assert!(spool.stats().index_ok, "{kind}");
        // Of the others sled may still find a part.
        if !["flipped", "truncated"].contains(&kind) {
            assert_eq!(recovery.index, IndexState::Rebuilt, "{kind}");
            assert_eq!(recovery.segments_scanned, spool.stats().segments);
        }
        assert_eq!(drain(&mut reader).len(), 500, "{kind}");
    }
}

#[test]
fn without_index_and_checkpoint_everything_on_disk_is_served_again() {
    let dir = fast_dir();
    filled(dir.path());
    {
        let (spool, _appender, mut reader) = Spool::open(config(dir.path())).unwrap();
        drain(&mut reader);
        reader.acknowledge(250).unwrap();
        spool.sync().unwrap();
    }
    let first = frames(dir.path())[0].2.start;
    assert!(first > 1, "drained segments are gone");
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    std::fs::write(dir.path().join("checkpoint"), b"not a checkpoint").unwrap();
    let (spool, _appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    assert!(spool.recovery().position_lost);
    assert_eq!(drain(&mut reader), (first..=500).collect::<Vec<_>>());
    assert_eq!(spool.stats().quarantined.records, 0);
}

#[test]
fn the_checkpoint_alone_keeps_position_and_meta_values() {
    let dir = fast_dir();
    filled(dir.path());
    {
        let (spool, _appender, mut reader) = Spool::open(config(dir.path())).unwrap();
        drain(&mut reader);
        reader.acknowledge(250).unwrap();
        spool.meta_put("cursor", b"here").unwrap();
        spool.sync().unwrap();
    }
    for gone in ["index", "checkpoint"] {
        let copy = fast_dir();
        copy_dir(dir.path(), copy.path());
        let path = copy.path().join(gone);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap()
        } else {
            std::fs::remove_file(path).unwrap()
        }
        let (spool, _appender, reader) = Spool::open(config(copy.path())).unwrap();
        assert_eq!(reader.position(), 250, "without {gone}");
        assert_eq!(spool.meta_get("cursor").unwrap().as_deref(), Some(&b"here"[..]), "without {gone}");
    }
}

#[test]
fn an_older_index_is_caught_up() {
    let dir = fast_dir();
    let old = fast_dir();
    filled(dir.path());
    copy_dir(&dir.path().join("index"), &old.path().join("index"));
    {
        let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
        for _ in 0..40 {
            store(&spool, &mut appender, 5);
        }
        drain(&mut reader);
        reader.acknowledge(300).unwrap();
    }
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    copy_dir(&old.path().join("index"), &dir.path().join("index"));
    let (spool, _appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    assert_eq!(spool.recovery().records_lost, 0);
    assert_eq!(drain(&mut reader), (300..=700).collect::<Vec<_>>());
}

#[test]
fn a_torn_tail_is_cut_and_nothing_is_counted() {
    for rest in [&b"\xf5SPW\x01\x00\x00\x00half a header"[..], &[0; 500], &[0xA5; 3000]] {
        let dir = fast_dir();
        filled(dir.path());
        let newest = segments(dir.path()).pop().unwrap();
        let len = newest.metadata().unwrap().len();
        overwrite(&newest, len, rest);
        assert_eq!(inspect::verify(dir.path()).unwrap().unfinished_bytes, rest.len() as u64);
        let (spool, mut appender, mut reader) = Spool::open(config(dir.path())).unwrap();
        assert_eq!(spool.recovery().torn_bytes, rest.len() as u64);
        assert_eq!(newest.metadata().unwrap().len(), len);
        assert_eq!(store(&spool, &mut appender, 2), 501);
        assert_eq!(drain(&mut reader).len(), 502);
        assert_eq!(spool.stats().quarantined.frames, 0);
    }
}

/// A power cut can leave a file with its full length and a header, but without all of the body.
#[test]
fn a_torn_body_behind_a_whole_header_is_cut_off_too() {
    let dir = fast_dir();
    filled(dir.path());
    let before = fast_dir();
    copy_dir(dir.path(), before.path());
    {
        let (spool, mut appender, _reader) = Spool::open(config(dir.path())).unwrap();
        store(&spool, &mut appender, 5);
    }
    let (segment, bytes, _) = frames(dir.path()).pop().unwrap();
    let torn = before.path().join("log").join(segment.file_name().unwrap());
    std::fs::copy(&segment, &torn).unwrap();
    let half = bytes.start + 48 + (bytes.end - bytes.start - 48) / 2;
    overwrite(&torn, half, &vec![0; usize::try_from(bytes.end - half).unwrap()]);
    let (spool, mut appender, mut reader) = Spool::open(config(before.path())).unwrap();
    assert_eq!(spool.recovery().torn_bytes, bytes.end - bytes.start);
    assert_eq!(store(&spool, &mut appender, 2), 501);
    assert_eq!(drain(&mut reader), (1..=502).collect::<Vec<_>>());
    assert_eq!(spool.stats().quarantined.records, 0);
}

#[test]
fn a_segment_that_is_deleted_under_a_running_spool_is_counted() {
    let dir = fast_dir();
    filled(dir.path());
    let all = frames(dir.path());
    let (spool, _appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    let victim = &segments(dir.path())[3];
    std::fs::remove_file(victim).unwrap();
    let lost: Vec<u64> =
        all.iter().filter(|(s, ..)| s == victim).flat_map(|(.., seqs)| seqs.clone()).collect();
    let expected: Vec<u64> = (1..=500).filter(|seq| !lost.contains(seq)).collect();
    assert_eq!(drain(&mut reader), expected);
    assert_eq!(spool.stats().quarantined.records, lost.len() as u64);
}

#[test]
fn deleting_the_segment_that_is_appended_to_loses_what_it_held_and_no_more() {
    let dir = fast_dir();
    let (spool, mut appender, reader) = Spool::open(config(dir.path())).unwrap();
    store(&spool, &mut appender, 5);
    std::fs::remove_file(&segments(dir.path())[0]).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while segments(dir.path()).is_empty() {
        assert!(std::time::Instant::now() < deadline, "a new segment was not begun");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    store(&spool, &mut appender, 5);
    drop((spool, appender, reader));
    let (spool, _appender, mut reader) = Spool::open(config(dir.path())).unwrap();
    assert_eq!(drain(&mut reader), (6..=10).collect::<Vec<_>>());
    assert_eq!(spool.stats().quarantined.records, 5);
}

/// A small deterministic generator, so that a failure names a seed that repeats it.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below.max(1)
    }
}

/// Damages one random file of the spool in a random way.
fn damage(dir: &Path, dice: &mut Dice) -> String {
    let mut files: Vec<PathBuf> = common::contents(dir).into_iter().map(|(path, _)| path).collect();
    files.retain(|path| path.metadata().unwrap().len() > 0);
    let file = files[usize::try_from(dice.roll(files.len() as u64)).unwrap()].clone();
    let len = file.metadata().unwrap().len();
    let at = dice.roll(len);
    let count = dice.roll(200).min(len - at).max(1);
    let what = match dice.roll(5) {
        0 => {
            OpenOptions::new().write(true).open(&file).unwrap().set_len(at).unwrap();
            "cut"
        }
        1 => {
            std::fs::remove_file(&file).unwrap();
            "deleted"
        }
        2 => {
            overwrite(&file, at, &vec![0; usize::try_from(count).unwrap()]);
            "zeroed"
        }
        _ => {
            let byte = u8::try_from(dice.roll(256)).unwrap();
            overwrite(&file, at, &[byte]);
            "overwritten"
        }
    };
    format!("{what} {} at {at} (+{count})", file.strip_prefix(dir).unwrap().display())
}

/// Random damage to any file: it opens within a bounded time, serves all frames that are still whole in the order
/// of their numbers, and every missing record is counted.
#[test]
fn random_damage_never_stops_the_spool() {
    let rounds = std::env::var("SPILLWAY_DAMAGE_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(120_u64);
    let seed = std::env::var("SPILLWAY_DAMAGE_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0x5EED_u64);
    let original = fast_dir();
    filled(original.path());
    let put: Vec<_> = frames(original.path())
        .into_iter()
        .map(|(segment, bytes, seqs)| {
            let range = usize::try_from(bytes.start).unwrap()..usize::try_from(bytes.end).unwrap();
            let content = std::fs::read(&segment).unwrap()[range.clone()].to_vec();
            (segment.strip_prefix(original.path()).unwrap().to_path_buf(), range, content, seqs)
        })
        .collect();
    for round in 0..rounds {
        let mut dice = Dice((seed + round).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let dir = fast_dir();
        copy_dir(original.path(), dir.path());
        let mut done = Vec::new();
        for _ in 0..=dice.roll(3) {
            done.push(damage(dir.path(), &mut dice));
        }
        let context = format!("seed {} round {round}: {done:?}", seed + round);
        // The oracle compares bytes and knows nothing of frames.
        let is_whole = |segment: &Path, range: &std::ops::Range<usize>, content: &[u8]| {
            let found = std::fs::read(dir.path().join(segment)).unwrap_or_default();
            found.get(range.clone()) == Some(content)
        };
        let whole: Vec<u64> =
            put.iter().filter(|f| is_whole(&f.0, &f.1, &f.2)).flat_map(|f| f.3.clone()).collect();
        let opened = Spool::open(config(dir.path()));
        let (spool, mut appender, mut reader) = opened.unwrap_or_else(|error| panic!("{context}: {error:?}"));
        let served = drain(&mut reader);
        assert_eq!(ranges(&served), ranges(&whole), "{context}");
        let stats = spool.stats();
        let state_known = !spool.recovery().position_lost;
        let gone = stats.tail_seq - 1 - served.len() as u64;
        if state_known {
            assert_eq!(stats.quarantined.records, gone, "{context} {:?}", spool.recovery());
            assert_eq!(stats.tail_seq, 501, "{context}");
        }
        let next = store(&spool, &mut appender, 1);
        assert!(whole.last().is_none_or(|last| next > *last), "{context}");
        assert_eq!(drain(&mut reader), [next], "{context}");
    }
}
