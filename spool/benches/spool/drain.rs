//! Draining: the spool (read, both checksums, unpack, hand out every record, acknowledge, delete segments) against
//! reading a bare file from front to back with the same codec and one CRC32C over each body.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Instant;

use spillway_spool::{Appended, Group, Spool};

use crate::Scale;
use crate::append::{Bare, config, groups};
use crate::tools::{median, seconds};

pub(crate) fn run(scale: Scale) {
    println!("drain: spool / bare sequential reader, both lz4 + CRC32C, page cache warm (aim: 0.8)");
    println!(
        "{:>8} {:>10} {:>14} {:>14} {:>10} {:>7}",
        "record", "group", "bare rec/s", "spool rec/s", "MiB/s", "ratio"
    );
    for record_bytes in [1024, 200] {
        for group_bytes in [64 * 1024, 1024 * 1024] {
            measure(scale, record_bytes, group_bytes);
        }
    }
    println!();
}

fn measure(scale: Scale, record_bytes: usize, group_bytes: usize) {
    let groups = groups(scale.pick(96 << 20, 16 << 20) / group_bytes, group_bytes, record_bytes);
    let records: usize = groups.iter().map(Vec::len).sum();
    let (mut bare_rates, mut spool_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..scale.pick(7, 3) {
        let dir = tempfile::tempdir_in(crate::bench_dir()).unwrap();
        let (bare, spool) = (dir.path().join("bare"), dir.path().join("spool"));
        fill(&groups, &bare, &spool);
        let run_bare = || records as f64 / read_bare(&bare, records);
        let run_spool = || records as f64 / read_spool(&spool, records);
        let (b, s) = if round % 2 == 0 {
            let b = run_bare();
            (b, run_spool())
        } else {
            let s = run_spool();
            (run_bare(), s)
        };
        bare_rates.push(b);
        spool_rates.push(s);
        ratios.push(s / b);
    }
    let (bare_rate, spool_rate) = (median(bare_rates), median(spool_rates));
    println!(
        "{:>8} {:>10} {:>14.0} {:>14.0} {:>10.1} {:>7.2}",
        record_bytes,
        group_bytes,
        bare_rate,
        spool_rate,
        spool_rate * record_bytes as f64 / (1024.0 * 1024.0),
        median(ratios),
    );
}

fn fill(groups: &[Vec<Vec<u8>>], bare: &Path, spool: &Path) {
    let mut file = Bare::create(bare);
    let (_spool, mut appender, _reader) = Spool::open(config(spool)).unwrap();
    let mut group = Group::new();
    for records in groups {
        file.append(records.iter().map(Vec::as_slice), true);
        group.clear();
        records.iter().for_each(|record| group.push(&[record]));
        assert!(matches!(appender.append(&group).unwrap(), Appended::Stored { .. }));
    }
    file.sync();
}

/// Seconds to read a bare file: every record is touched.
fn read_bare(path: &Path, expected: usize) -> f64 {
    let began = Instant::now();
    let mut file = File::open(path).unwrap();
    let mut front = [0; 12];
    let mut packed = Vec::new();
    let (mut records, mut sum) = (0, 0_u64);
    while file.read_exact(&mut front).is_ok() {
        let word = |at: usize| u32::from_le_bytes(front[at..at + 4].try_into().unwrap());
        packed.resize(word(0) as usize, 0);
        file.read_exact(&mut packed).unwrap();
        assert_eq!(crc32c::crc32c(&packed), word(8));
        let mut raw = vec![0; word(4) as usize];
        lz4_flex::block::decompress_into(&packed, &mut raw).unwrap();
        let mut rest = &raw[..];
        while let Some((len, after)) = rest.split_first_chunk::<4>() {
            let (record, next) = after.split_at(u32::from_le_bytes(*len) as usize);
            sum += u64::from(record[0]);
            records += 1;
            rest = next;
        }
    }
    assert_eq!(records, expected);
    std::hint::black_box(sum);
    seconds(began.elapsed())
}

/// Seconds to drain a spool. Opening and closing it is not measured.
fn read_spool(dir: &Path, expected: usize) -> f64 {
    let (spool, _appender, mut reader) = Spool::open(config(dir)).unwrap();
    let began = Instant::now();
    let (mut records, mut sum) = (0, 0_u64);
    while let Some(batch) = reader.next().unwrap() {
        for (_, record) in batch.iter() {
            sum += u64::from(record[0]);
            records += 1;
        }
        reader.acknowledge(batch.end_seq()).unwrap();
    }
    let took = seconds(began.elapsed());
    assert_eq!(records, expected);
    assert_eq!(spool.stats().records, 0);
    std::hint::black_box(sum);
    took
}
