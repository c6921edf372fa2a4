//! The designs that were considered, for the decision record: one record per sled key, groups as sled values, and the
//! spool (sled as the index over a value log). Each fills and drains in a process of its own; every group is made
//! durable before the next.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use spillway_spool::{Appended, Appender, Group, Reader, Spool};

use crate::Scale;
use crate::append::config;
use crate::payload::Payload;
use crate::tools::{disk_usage, memory, mib, run_child, seconds, written};

const RECORD_BYTES: usize = 1024;

/// Records that are made durable together: 64 KiB.
const GROUP_RECORDS: u64 = 64;

pub(crate) const DESIGNS: [&str; 4] = ["record-per-key", "group-per-key", "spool", "bare-file"];

/// A place to put groups of records and to take them out again in order.
pub(crate) trait Store {
    /// Stores records and makes them survive, as far as this design can.
    fn append(&mut self, first: u64, records: &[Vec<u8>]);
    /// Takes all records out; how many.
    fn drain(&mut self) -> u64;
    /// Waits until the background has given back what it will.
    fn settle(&mut self) {}
}

/// sled with its defaults except for the cache, which is the spool's.
pub(crate) struct Sled {
    db: sled::Db,
    /// For the fdatasync that sled's flush leaves out; `None` to do as sled does.
    file: Option<File>,
    per_record: bool,
}

impl Sled {
    pub(crate) fn open(dir: &Path, per_record: bool, fdatasync: bool) -> Sled {
        let db = sled::Config::new().path(dir).cache_capacity(4 << 20).flush_every_ms(None).open().unwrap();
        let file = fdatasync.then(|| File::open(dir.join("db")).unwrap());
        Sled { db, file, per_record }
    }

    /// Numbers of the records that are still there, by key.
    pub(crate) fn count(&self) -> u64 {
        let per_key = if self.per_record { 1 } else { GROUP_RECORDS };
        self.db.iter().filter(|item| item.is_ok()).count() as u64 * per_key
    }

    fn flush(&self) {
        self.db.flush().unwrap();
        if let Some(file) = &self.file {
            file.sync_data().unwrap();
        }
    }
}

impl Store for Sled {
    fn append(&mut self, first: u64, records: &[Vec<u8>]) {
        if self.per_record {
            for (seq, record) in (first..).zip(records) {
                self.db.insert(seq.to_be_bytes(), record.as_slice()).unwrap();
            }
        } else {
            let mut raw = Vec::new();
            records.iter().for_each(|record| raw.extend_from_slice(record));
            let packed = lz4_flex::block::compress_prepend_size(&raw);
            self.db.insert(first.to_be_bytes(), packed).unwrap();
        }
        self.flush();
    }

    fn drain(&mut self) -> u64 {
        let mut records = 0;
        let mut keys = 0;
        while let Some((_, value)) = self.db.pop_min().unwrap() {
            keys += 1;
            records += if self.per_record {
                1
            } else {
                lz4_flex::block::decompress_size_prepended(&value).unwrap().len() as u64 / RECORD_BYTES as u64
            };
            if keys % 1024 == 0 {
                self.flush();
            }
        }
        self.flush();
        records
    }
}

/// The spool as a store.
pub(crate) struct Spooled(Spool, Appender, Reader, Group);

impl Spooled {
    pub(crate) fn open(dir: &Path) -> Spooled {
        let (spool, appender, reader) = Spool::open(config(dir)).unwrap();
        Spooled(spool, appender, reader, Group::new())
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.stats().records
    }
}

impl Store for Spooled {
    fn append(&mut self, _first: u64, records: &[Vec<u8>]) {
        self.3.clear();
        records.iter().for_each(|record| self.3.push(&[record]));
        assert!(matches!(self.1.append(&self.3).unwrap(), Appended::Stored { .. }));
    }

    fn drain(&mut self) -> u64 {
        let mut records = 0;
        while let Some(batch) = self.2.next().unwrap() {
            records += u64::from(batch.records());
            self.2.acknowledge(batch.end_seq()).unwrap();
        }
        self.0.sync().unwrap();
        records
    }

    fn settle(&mut self) {
        crate::tools::wait_for_deletion(&self.0);
    }
}

/// The speed limit: compressed groups in one file, with nothing that could find or remove them.
struct BareFile(crate::append::Bare);

impl Store for BareFile {
    fn append(&mut self, _first: u64, records: &[Vec<u8>]) {
        self.0.append(records.iter().map(Vec::as_slice), true);
        self.0.sync();
    }

    fn drain(&mut self) -> u64 {
        0
    }
}

fn open(design: &str, dir: &Path) -> Box<dyn Store> {
    match design {
        "record-per-key" => Box::new(Sled::open(dir, true, true)),
        "group-per-key" => Box::new(Sled::open(dir, false, true)),
        "spool" => Box::new(Spooled::open(dir)),
        "bare-file" => Box::new(BareFile(crate::append::Bare::create(&dir.join("bare")))),
        other => panic!("unknown design {other}"),
    }
}

pub(crate) fn run(scale: Scale) {
    let records: u64 = scale.pick(131_072, 8192);
    println!(
        "designs: {records} records of {RECORD_BYTES} B ({:.0} MiB), groups of {GROUP_RECORDS}, each group flushed and fdatasynced",
        mib(records * RECORD_BYTES as u64)
    );
    println!(
        "{:>15} {:>13} {:>7} {:>13} {:>11} {:>12} {:>12} {:>12}",
        "design", "append rec/s", "ratio", "drain rec/s", "memory MiB", "written MiB", "disk MiB", "left MiB"
    );
    let mut runs: [Vec<_>; DESIGNS.len()] = Default::default();
    // One after the other in each round, so that a slow moment of the disk falls on all of them.
    for _ in 0..scale.pick(5, 1) {
        for (design, runs) in DESIGNS.iter().zip(&mut runs) {
            let dir = tempfile::tempdir_in(crate::bench_dir()).unwrap();
            let arguments = [(*design).to_owned(), dir.path().display().to_string(), records.to_string()];
            runs.push(run_child("design", &arguments));
        }
    }
    let results = runs.map(|runs| {
        let middle = |key: &str| crate::tools::median(runs.iter().map(|run| run[key]).collect());
        ["append", "drain", "hwm", "written", "disk", "left"].map(middle)
    });
    let bare = results[DESIGNS.len() - 1][0];
    let number =
        |value: f64| if value.is_finite() && value > 0.0 { format!("{value:.0}") } else { "-".to_owned() };
    for (design, [append, drain, hwm, written, disk, left]) in DESIGNS.iter().zip(results) {
        let [hwm, written, disk, left] = [hwm, written, disk, left].map(|bytes| bytes / (1024.0 * 1024.0));
        println!(
            "{design:>15} {append:>13.0} {:>7.2} {:>13} {hwm:>11.1} {written:>12.1} {disk:>12.1} {left:>12.1}",
            append / bare,
            number(drain),
        );
    }
    println!();
}

/// Child: fills and drains one design.
pub(crate) fn child(arguments: &[String]) {
    let (design, dir) = (&arguments[0], PathBuf::from(&arguments[1]));
    let records: u64 = arguments[2].parse().unwrap();
    let groups = make_groups(records / GROUP_RECORDS);
    let base = memory("VmRSS");
    let mut store = open(design, &dir);
    let (before, began) = (written(), Instant::now());
    for (number, group) in
        (0..).zip(groups.iter().cycle().take(usize::try_from(records / GROUP_RECORDS).unwrap()))
    {
        store.append(1 + number * GROUP_RECORDS, group);
    }
    println!("append {}", records as f64 / seconds(began.elapsed()));
    println!("disk {}", disk_usage(&dir));
    let began = Instant::now();
    let drained = store.drain();
    println!("drain {}", drained as f64 / seconds(began.elapsed()));
    assert!(drained == records || design == "bare-file", "{drained} of {records}");
    store.settle();
    println!("written {}", written() - before);
    println!("left {}", disk_usage(&dir));
    println!("hwm {}", memory("VmHWM").saturating_sub(base));
}

/// A few hundred different groups, used in turn.
fn make_groups(count: u64) -> Vec<Vec<Vec<u8>>> {
    let mut payload = Payload::new(3);
    (0..count.min(256))
        .map(|_| {
            (0..GROUP_RECORDS)
                .map(|_| {
                    let mut record = Vec::new();
                    payload.next(&mut record, RECORD_BYTES);
                    record
                })
                .collect()
        })
        .collect()
}

/// One group, for the power cut.
pub(crate) fn one_group() -> Vec<Vec<u8>> {
    make_groups(1).remove(0)
}

/// Records in a group.
pub(crate) fn group_records() -> u64 {
    GROUP_RECORDS
}
