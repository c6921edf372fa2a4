//! Medians, memory and disk figures, and the machine's own speed of fdatasync.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The median of some measurements.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Mebibytes.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

/// A field of /proc/self/status in bytes, such as `VmHWM`.
pub(crate) fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    kib * 1024
}

/// Bytes this process has caused to be written to disk.
pub(crate) fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap_or("0");
    line.parse().unwrap_or(0)
}

/// Bytes the files below a folder really take.
pub(crate) fn disk_usage(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_usage(&entry.path()),
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

/// Runs this program as a child for a part of it; what it said, by the first word of each line.
pub(crate) fn run_child(part: &str, arguments: &[String]) -> std::collections::HashMap<String, f64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg(format!("--child={part}"))
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::collections::HashMap::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((key, value)) = line.split_once(' ')
            && let Ok(value) = value.parse()
        {
            said.insert(key.to_owned(), value);
        }
    }
    let _ = child.wait();
    said
}

/// What fdatasync of one more block costs here, so that the figures can be read.
pub(crate) fn describe_machine() {
    let dir = tempfile::tempdir_in(crate::bench_dir()).unwrap();
    let file = File::create(dir.path().join("probe")).unwrap();
    let mut took: Vec<f64> = (0..200_u64)
        .map(|number| {
            let began = Instant::now();
            file.write_all_at(&[7; 4096], number * 4096).unwrap();
            file.sync_data().unwrap();
            began.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    took.sort_by(f64::total_cmp);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("machine: {cores} cores, {} ", crate::bench_dir().display());
    println!(
        "append of 4 KiB + fdatasync: p50 {:.0} us, p90 {:.0} us, p99 {:.0} us\n",
        took[100], took[180], took[198]
    );
}

/// Seconds as a number.
pub(crate) fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// Deleting is off the hot path: it may come a second or two after the last acknowledgement.
pub(crate) fn wait_for_deletion(spool: &spillway_spool::Spool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while spool.stats().disk_bytes > 1 << 20 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
}
