//! Appending: the spool against a bare append-only file with the same codec, the same groups and one fdatasync per
//! group. The bare file has no checksums, no header, no index, no limits and no second file.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use spillway_spool::{Appended, Codec, Config, Group, Spool};

use crate::Scale;
use crate::payload::Payload;
use crate::tools::{median, seconds};

/// The baseline: length and compressed body of each group, one after the other.
pub(crate) struct Bare {
    file: File,
    raw: Vec<u8>,
    packed: Vec<u8>,
}

impl Bare {
    pub(crate) fn create(path: &Path) -> Bare {
        Bare { file: File::create(path).unwrap(), raw: Vec::new(), packed: Vec::new() }
    }

    pub(crate) fn append<'a>(&mut self, records: impl Iterator<Item = &'a [u8]>, with_crc: bool) {
        self.raw.clear();
        for record in records {
            self.raw.extend_from_slice(&u32::try_from(record.len()).unwrap().to_le_bytes());
            self.raw.extend_from_slice(record);
        }
        let front = if with_crc { 12 } else { 8 };
        self.packed.resize(front + lz4_flex::block::get_maximum_output_size(self.raw.len()), 0);
        let len = lz4_flex::block::compress_into(&self.raw, &mut self.packed[front..]).unwrap();
        self.packed[0..4].copy_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
        self.packed[4..8].copy_from_slice(&u32::try_from(self.raw.len()).unwrap().to_le_bytes());
        if with_crc {
            let crc = crc32c::crc32c(&self.packed[front..front + len]);
            self.packed[8..12].copy_from_slice(&crc.to_le_bytes());
        }
        self.file.write_all(&self.packed[..front + len]).unwrap();
    }

    pub(crate) fn sync(&self) {
        self.file.sync_data().unwrap();
    }
}

/// Groups of records made beforehand, so that making them is not measured.
pub(crate) fn groups(count: usize, group_bytes: usize, record_bytes: usize) -> Vec<Vec<Vec<u8>>> {
    let mut payload = Payload::new(42);
    let mut record = Vec::new();
    let per_group = (group_bytes / record_bytes).max(1);
    (0..count)
        .map(|_| {
            (0..per_group)
                .map(|_| {
                    payload.next(&mut record, record_bytes);
                    record.clone()
                })
                .collect()
        })
        .collect()
}

/// The defaults, without a ballast: it would only blur what the disk figures say about the design.
pub(crate) fn config(dir: &Path) -> Config {
    Config { codec: Codec::Lz4, free_floor_bytes: 1 << 20, ballast_bytes: 0, ..Config::new(dir) }
}

pub(crate) fn run(scale: Scale) {
    println!("append: spool / bare file, both lz4 and one fdatasync per group (aim: 0.9)");
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
    let dir = tempfile::tempdir_in(crate::bench_dir()).unwrap();
    let rounds = scale.pick(15, 3);
    let groups = groups(scale.pick(48, 12), group_bytes, record_bytes);
    let records: usize = groups.iter().map(Vec::len).sum();
    let mut bare = Bare::create(&dir.path().join("bare"));
    let (_spool, mut appender, _reader) = Spool::open(config(&dir.path().join("spool"))).unwrap();
    let mut group = Group::new();
    let (mut bare_rates, mut spool_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let mut run_bare = || {
            let began = Instant::now();
            for records in &groups {
                bare.append(records.iter().map(Vec::as_slice), false);
                bare.sync();
            }
            records as f64 / seconds(began.elapsed())
        };
        let mut run_spool = || {
            let began = Instant::now();
            for records in &groups {
                group.clear();
                records.iter().for_each(|record| group.push(&[record]));
                assert!(matches!(appender.append(&group).unwrap(), Appended::Stored { .. }));
            }
            records as f64 / seconds(began.elapsed())
        };
        // Who comes first alternates: what the disk still has to do falls on both alike.
        let (b, s) = if round % 2 == 0 {
            let b = run_bare();
            (b, run_spool())
        } else {
            let s = run_spool();
            (run_bare(), s)
        };
        // The first round warms up.
        if round > 0 {
            bare_rates.push(b);
            spool_rates.push(s);
            ratios.push(s / b);
        }
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
