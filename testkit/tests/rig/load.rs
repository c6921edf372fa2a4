//! The load: numbered records, either served over HTTP or appended to a file, and what of them has
//! been promised so far.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use spillway_testkit::kafka::Snapshot;
use spillway_testkit::rng::Rng;
use spillway_testkit::upstream::{Feed, Options, Upstream};

/// Records a second.
const RATE: u64 = 1_500;
/// Longest pad of a record in bytes.
const PAD: usize = 440;
/// How many lines the file may be ahead of what has been read from Kafka: the mock keeps 5 MiB a partition, and on
/// a slow machine a file that grows by the clock alone is a backlog that it forgets before it is read.
const AHEAD: u64 = 8_000;
/// As many new lines there are at least after each interruption, even if nothing reaches Kafka.
const AT_LEAST: u64 = 1_000;
/// Between two writes to the file.
const FILE_STEP: Duration = Duration::from_millis(10);

const LETTERS: &[char] = &['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p'];

/// Record `n`: its number in nineteen digits and a pad of 40 to `pad` random letters.
pub fn line(n: u64, pad: usize, rng: &mut Rng) -> Bytes {
    let pad: String = (0..40 + rng.index(pad - 40)).map(|_| rng.pick(LETTERS)).collect();
    format!("{{\"data\":{{\"id\":\"{n:019}\"}},\"pad\":\"{pad}\"}}").into()
}

/// An HTTP stream without an end. What it has served it has in order.
pub struct Stream {
    pub upstream: Upstream,
    served: Arc<Mutex<Vec<u64>>>,
}

impl Stream {
    pub fn start(seed: u64) -> Self {
        Self::of(seed, RATE, PAD, u64::MAX)
    }

    /// `records` records with pads of up to `pad` bytes, `rate` a second.
    pub fn of(seed: u64, rate: u64, pad: usize, records: u64) -> Self {
        let served = Arc::new(Mutex::new(Vec::new()));
        let tapped = Arc::clone(&served);
        let tap = Box::new(move |line: &[u8]| tapped.lock().unwrap().push(spillway_testkit::hash(line)));
        let mut rng = Rng::new(seed);
        let feed = Feed::lines((1..=records).map(move |n| line(n, pad, &mut rng)));
        let options = Options { rate, tap: Some(tap), ..Options::default() };
        Self { upstream: Upstream::start(feed, options).unwrap(), served }
    }

    pub fn source(&self) -> String {
        format!("type = 'http_ndjson'\nurl = '{}'\nid = '/data/id'", self.upstream.url())
    }

    /// The hashes of all records that have been served, in order.
    pub fn served(&self) -> Vec<u64> {
        self.served.lock().unwrap().clone()
    }
}

/// A file to which a thread appends numbered lines until it is stopped.
pub struct Lines {
    path: PathBuf,
    written: Arc<AtomicU64>,
    allowed: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<u64>>>,
}

impl Lines {
    pub fn start(dir: &Path, seed: u64) -> Self {
        let path = dir.join("events.ndjson");
        let mut file = File::create(&path).unwrap();
        let (written, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let allowed = Arc::new(AtomicU64::new(AHEAD));
        let (count, end, limit) = (Arc::clone(&written), Arc::clone(&stop), Arc::clone(&allowed));
        let thread = std::thread::spawn(move || {
            let (mut rng, mut hashes, began) = (Rng::new(seed), Vec::new(), Instant::now());
            while !end.load(Ordering::Acquire) {
                let due = u64::try_from(began.elapsed().as_millis()).unwrap() * RATE / 1_000;
                while (hashes.len() as u64) < due.min(limit.load(Ordering::Acquire)) {
                    let line = line(hashes.len() as u64 + 1, PAD, &mut rng);
                    hashes.push(spillway_testkit::hash(&line));
                    // In two writes, so that a reader sees torn lines too.
                    let (head, tail) = line.split_at(rng.index(line.len()));
                    file.write_all(head).unwrap();
                    file.write_all(tail).unwrap();
                    file.write_all(b"\n").unwrap();
                }
                count.store(hashes.len() as u64, Ordering::Release);
                std::thread::sleep(FILE_STEP);
            }
            hashes
        });
        Self { path, written, allowed, stop, thread: Some(thread) }
    }

    pub fn source(&self) -> String {
        format!("type = 'file'\npath = '{}'\nfollow = true", self.path.display())
    }

    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Lets the file grow on, `seen` records having been read from Kafka.
    pub fn allow(&self, seen: u64) {
        self.allowed.fetch_max((seen + AHEAD).max(self.written() + AT_LEAST), Ordering::AcqRel);
    }

    /// Ends the writing; the hashes of all lines, in order.
    pub fn finish(&mut self) -> Vec<u64> {
        self.stop.store(true, Ordering::Release);
        self.thread.take().map(|thread| thread.join().unwrap()).unwrap_or_default()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.finish();
    }
}

/// How often each payload is in the topic, by its hash.
pub fn copies(snapshot: &Snapshot) -> HashMap<u64, usize> {
    let mut counts = HashMap::new();
    for entry in snapshot.partitions.values().flatten() {
        *counts.entry(entry.hash).or_default() += 1;
    }
    counts
}
