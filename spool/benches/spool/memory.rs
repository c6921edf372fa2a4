//! What 1 GiB in the spool costs: memory while filling and draining, the time to open it after kill -9, and the disk
//! that is left after draining. Each step is a process of its own.

use std::path::PathBuf;
use std::time::Instant;

use spillway_spool::{Appended, Group, Spool};

use crate::Scale;
use crate::append::config;
use crate::payload::Payload;
use crate::tools::{disk_usage, memory, mib, run_child, seconds, wait_for_deletion};

/// Records of this size in groups of this size.
const RECORD_BYTES: usize = 1024;

pub(crate) fn run(scale: Scale) {
    let bytes: u64 = scale.pick(1 << 30, 64 << 20);
    println!(
        "memory: {:.0} MiB of segments on disk, records of {RECORD_BYTES} B (aims: < 64 MiB, open < 1 s, < 2 segments left)",
        mib(bytes)
    );
    println!(
        "{:>10} {:>12} {:>12} {:>10} {:>12} {:>12} {:>10} {:>10}",
        "group", "fill HWM", "open ms", "scanned", "open RSS", "drain HWM", "left MiB", "segments"
    );
    for group_bytes in [16 * 1024, 256 * 1024, 1024 * 1024] {
        let dir = tempfile::tempdir_in(crate::bench_dir()).unwrap();
        let spool = dir.path().join("spool").display().to_string();
        let filled = run_child("fill", &[spool.clone(), bytes.to_string(), group_bytes.to_string()]);
        let opened = run_child("reopen", &[spool]);
        println!(
            "{:>10} {:>8.1} MiB {:>12.1} {:>10} {:>8.1} MiB {:>8.1} MiB {:>10.1} {:>10}",
            group_bytes,
            mib_of(filled["hwm"]),
            opened["open_ms"],
            opened["scanned"],
            mib_of(opened["open_rss"]),
            mib_of(opened["hwm"]),
            mib_of(opened["left"]),
            opened["segments"],
        );
    }
    println!();
}

fn mib_of(bytes: f64) -> f64 {
    bytes / (1024.0 * 1024.0)
}

/// Child: fills the spool and kills itself.
pub(crate) fn fill(arguments: &[String]) {
    let dir = PathBuf::from(&arguments[0]);
    let bytes: u64 = arguments[1].parse().unwrap();
    let group_bytes: usize = arguments[2].parse().unwrap();
    let (spool, mut appender, _reader) = Spool::open(config(&dir)).unwrap();
    let mut payload = Payload::new(7);
    let (mut group, mut record) = (Group::new(), Vec::new());
    while spool.stats().disk_bytes < bytes {
        group.clear();
        while group.bytes() < group_bytes {
            payload.next(&mut record, RECORD_BYTES);
            group.push(&[&record]);
        }
        assert!(matches!(appender.append(&group).unwrap(), Appended::Stored { .. }));
    }
    println!("hwm {}", memory("VmHWM"));
    let pid = rustix::process::getpid();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Child: opens what was left behind, and drains it.
pub(crate) fn reopen(arguments: &[String]) {
    let dir = PathBuf::from(&arguments[0]);
    let began = Instant::now();
    let (spool, _appender, mut reader) = Spool::open(config(&dir)).unwrap();
    println!("open_ms {}", seconds(began.elapsed()) * 1e3);
    println!("scanned {}", spool.recovery().segments_scanned);
    println!("open_rss {}", memory("VmRSS"));
    let expected = spool.stats().records;
    let mut records = 0;
    while let Some(batch) = reader.next().unwrap() {
        records += u64::from(batch.records());
        reader.acknowledge(batch.end_seq()).unwrap();
    }
    assert_eq!(records, expected);
    println!("hwm {}", memory("VmHWM"));
    wait_for_deletion(&spool);
    println!("left {}", disk_usage(&dir.join("log")));
    println!("segments {}", spool.stats().segments);
}
