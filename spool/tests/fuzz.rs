//! Fuzzing of everything that is read from disk: frames, checkpoint and index values, whole folders of
//! segments, and opening a spool with its index rebuilt. No input may panic, and none may allocate more
//! than a bound that does not depend on what the bytes claim.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails loudly and says its seed"
)]

mod common;
#[path = "fuzz/meter.rs"]
mod meter;
#[path = "fuzz/mutate.rs"]
mod mutate;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use meter::{Meter, alone, peak_of};
use mutate::{Rng, cases, mutate, seed};
use spillway_spool::fuzzing::{decode_frame, decode_values, encode_frame, encode_state};
use spillway_spool::{Codec, Defect, Error, MAX_GROUP_BYTES, MAX_GROUP_RECORDS, Spool, inspect};

#[global_allocator]
static METER: Meter = Meter;

const USUAL: u64 = 20_000;
/// A frame that claims the most: its body, and the offsets of its records. A frame without compression
/// copies its body, which was read before.
const FRAME_BYTES_MAX: usize = MAX_GROUP_BYTES + 4 * MAX_GROUP_RECORDS as usize + (64 << 10);
/// Looking into a spool holds one frame's stored bytes besides.
const LOOK_BYTES_MAX: usize = FRAME_BYTES_MAX + MAX_GROUP_BYTES + (4 << 20);
/// An open spool has an index, threads and channels besides.
const OPEN_BYTES_MAX: usize = LOOK_BYTES_MAX + (32 << 20);
const SPOOL_ID: u32 = 0x00a9_30cf;
const FORMAT: &[u8] = b"spillway-spool 1 00a930cf 11b8bc8f\n";

fn frame(first_seq: u64, rng: &mut Rng) -> (Vec<Vec<u8>>, Vec<u8>) {
    let codec = [Codec::None, Codec::Lz4, Codec::Zstd][rng.below(3)];
    let records: Vec<Vec<u8>> = (0..=rng.below(12))
        .map(|_| {
            if rng.one_in(2) {
                vec![b'x'; rng.below(200)]
            } else {
                let len = rng.below(100);
                rng.bytes(len)
            }
        })
        .collect();
    let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let bytes = encode_frame(&slices, codec, first_seq, SPOOL_ID);
    (records, bytes)
}

/// Makes both checksums right again, so that what lies behind them is reached.
fn seal(frame: &mut [u8]) {
    if frame.len() < 48 {
        return;
    }
    let body = crc32c::crc32c(&frame[48..]);
    frame[20..24].copy_from_slice(&body.to_le_bytes());
    if frame[0] == 0xf5 && !frame.len().is_multiple_of(4) {
        // Most often the length should be right as well, or nothing behind it is looked at.
        let stored = u32::try_from(frame.len() - 48).unwrap();
        frame[12..16].copy_from_slice(&stored.to_le_bytes());
    }
    let header = crc32c::crc32c(&frame[..44]);
    frame[44..48].copy_from_slice(&header.to_le_bytes());
}

#[test]
fn no_frame_panics_or_allocates_more_than_its_limit() {
    let _alone = alone();
    let (seed, cases, began) = (seed("frames"), cases(USUAL), Instant::now());
    let (mut whole, mut sealed_whole, mut worst) = (0u64, 0u64, 0);
    for case in 0..cases {
        let mut rng = Rng(seed.wrapping_add(case));
        let (records, original) = frame(1 + rng.next() % 1_000_000, &mut rng);
        let mut bytes = original.clone();
        let sealed = rng.one_in(2);
        mutate(&mut bytes, &mut rng);
        if sealed {
            seal(&mut bytes);
        }
        let (decoded, peak) = peak_of(|| decode_frame(&bytes));
        worst = worst.max(peak);
        assert!(peak <= FRAME_BYTES_MAX, "case {case} of seed {seed} took {peak} bytes");
        match decoded {
            Ok(batch) => {
                let read: Vec<_> = batch.iter().map(|(_, record)| record.to_vec()).collect();
                assert_eq!(read.len(), batch.records() as usize);
                // A change that the checksums did not notice would be one that is not there.
                assert!(sealed || read == records, "case {case} of seed {seed}: other records");
                whole += 1;
                sealed_whole += u64::from(sealed);
            }
            Err(Defect::Body) => assert!(sealed, "case {case} of seed {seed}: behind a wrong checksum"),
            Err(defect) => assert_eq!(peak, 0, "case {case} of seed {seed}: {defect} needs no memory"),
        }
    }
    assert!(sealed_whole > 0 && whole < cases, "the edits reach both sides: {whole} of {cases}");
    eprintln!("{cases} frames in {:?}: {whole} whole, at most {worst} bytes", began.elapsed());
}

#[test]
fn no_checkpoint_or_index_value_panics_or_allocates_much() {
    let _alone = alone();
    let (seed, cases, began) = (seed("values"), cases(USUAL), Instant::now());
    let mut worst = 0;
    for case in 0..cases {
        let mut rng = Rng(seed.wrapping_add(case));
        let mut bytes = match rng.below(4) {
            0 => rng.bytes(48),
            1 => FORMAT.to_vec(),
            _ => encode_state(rng.next() % 20, rng.next() % 5),
        };
        mutate(&mut bytes, &mut rng);
        if rng.one_in(3) {
            bytes = slot(&bytes);
        }
        let (_, peak) = peak_of(|| decode_values(&bytes));
        worst = worst.max(peak);
        // Each entry of a map takes more than it takes on disk, but never by a claim alone.
        assert!(peak <= 64 * bytes.len() + 4096, "case {case} of seed {seed}: {peak} for {}", bytes.len());
    }
    eprintln!("{cases} values in {:?}: at most {worst} bytes", began.elapsed());
}

/// A slot of the checkpoint around a state, with the right checksum.
fn slot(state: &[u8]) -> Vec<u8> {
    let mut slot = b"SPWCKPT1".to_vec();
    slot.extend_from_slice(&u32::try_from(state.len()).unwrap().to_le_bytes());
    slot.extend_from_slice(&SPOOL_ID.to_le_bytes());
    slot.extend_from_slice(state);
    let crc = crc32c::crc32c(&slot);
    slot.extend_from_slice(&crc.to_le_bytes());
    slot
}

/// One to three segments whose frames were edited, and sealed again now and then. True with a FORMAT
/// file: without one, an edited frame may look like a newer program's, which is refused.
fn write_segments(dir: &Path, rng: &mut Rng) -> bool {
    let log = dir.join("log");
    fs::create_dir_all(&log).unwrap();
    let mut seq = 1;
    for _ in 0..=rng.below(3) {
        let name = log.join(format!("{seq:020}.log"));
        let mut segment = Vec::new();
        for _ in 0..rng.below(6) {
            let (records, mut bytes) = frame(seq, rng);
            seq += records.len() as u64;
            if rng.one_in(8) {
                mutate(&mut bytes, rng);
                seal(&mut bytes);
            }
            segment.extend(bytes);
        }
        if rng.one_in(2) {
            mutate(&mut segment, rng);
        }
        fs::write(name, segment).unwrap();
    }
    let has_format = rng.one_in(2);
    if has_format {
        fs::write(dir.join("FORMAT"), FORMAT).unwrap();
    }
    has_format
}

#[test]
fn no_folder_of_segments_panics_or_fails_a_reader() {
    let _alone = alone();
    // A folder is some thirty times the work of a frame.
    let (seed, cases, began) = (seed("segments"), cases(USUAL) / 10, Instant::now());
    let mut worst = 0;
    for case in 0..cases {
        let mut rng = Rng(seed.wrapping_add(case));
        let dir = common::fast_dir();
        let has_format = write_segments(dir.path(), &mut rng);
        let look = || {
            inspect::stat(dir.path())?;
            inspect::ls(dir.path(), |_| ControlFlow::Continue(()))?;
            inspect::verify(dir.path())
        };
        let (looked, peak) = peak_of(look);
        worst = worst.max(peak);
        let newer = !has_format && looked.as_ref().is_err_and(Error::is_newer_version);
        assert!(newer || looked.is_ok(), "case {case} of seed {seed}: {looked:?}");
        assert!(peak <= LOOK_BYTES_MAX, "case {case} of seed {seed} took {peak} bytes");
    }
    eprintln!("{cases} folders in {:?}: at most {worst} bytes", began.elapsed());
}

#[test]
fn any_folder_opens_and_its_index_is_rebuilt() {
    let _alone = alone();
    // Opening starts threads and makes a database.
    let (seed, cases, began) = (seed("opening"), (cases(USUAL) / 200).max(50), Instant::now());
    let mut worst = 0;
    for case in 0..cases {
        let mut rng = Rng(seed.wrapping_add(case));
        let dir = common::fast_dir();
        let has_format = write_segments(dir.path(), &mut rng);
        let (opened, peak) = peak_of(|| open_and_drain(dir.path()));
        if !has_format && opened.as_ref().is_err_and(Error::is_newer_version) {
            continue;
        }
        let (records, tail) = opened.unwrap_or_else(|error| panic!("case {case} of seed {seed}: {error}"));
        assert!(peak <= OPEN_BYTES_MAX, "case {case} of seed {seed} took {peak} bytes");
        worst = worst.max(peak);
        if rng.one_in(2) {
            edit_one_file(&dir.path().join("index"), &mut rng);
        }
        let (again, peak) = peak_of(|| open_and_drain(dir.path()));
        let again = again.unwrap_or_else(|error| panic!("case {case} of seed {seed}: {error}"));
        assert_eq!(again, (records, tail), "case {case} of seed {seed}: the same the second time");
        assert!(peak <= OPEN_BYTES_MAX, "case {case} of seed {seed} took {peak} bytes with an edited index");
        worst = worst.max(peak);
    }
    eprintln!("{cases} spools opened twice in {:?}: at most {worst} bytes", began.elapsed());
}

/// Reads all records without acknowledging them; how many, and where the spool goes on.
fn open_and_drain(dir: &Path) -> Result<(u64, u64), Error> {
    let (spool, _appender, mut reader) = Spool::open(common::config(dir))?;
    let mut records = 0;
    while let Some(batch) = reader.next()? {
        records += u64::from(batch.records());
    }
    let stats = spool.stats();
    assert_eq!(records, stats.records, "what is served is what is said to wait");
    Ok((records, stats.tail_seq))
}

fn edit_one_file(dir: &Path, rng: &mut Rng) {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    if let Some(path) = files.get(rng.below(files.len())) {
        let mut bytes = fs::read(path).unwrap();
        mutate(&mut bytes, rng);
        fs::write(path, bytes).unwrap();
    }
}
