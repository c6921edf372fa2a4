//! Random damage to the files of a spool with a known backlog: the real daemon starts every time,
//! delivers every record of every undamaged frame, and counts the lost ones exactly.
//! `SPILLWAY_DAMAGES` says how many (1,000 for the figure in `docs/delivery.md`).

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails loudly and says its seed")]

mod rig;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rig::daemon::{Daemon, config};
use rig::frames::{self, Frame};
use rig::{Cluster, PATIENCE, cases, load, seed};
use spillway_testkit::damage::{self, Damage, Kind};
use spillway_testkit::kafka::Snapshot;
use spillway_testkit::rng::Rng;
use spillway_testkit::upstream::{Feed, Options, Upstream};

const DAMAGES: u64 = 60;
/// Records in a prepared spool: about 4.5 MiB in five segments and some hundred frames.
const RECORDS: u64 = 4_000;
/// Longest pad of a record in bytes.
const PAD: usize = 2_200;
/// They come slowly enough for small frames.
const RATE: u64 = 4_000;
/// Daemons side by side: each mostly waits.
const WORKERS: usize = 6;
/// A mock cluster keeps what it got, so it is replaced after so many cases.
const CASES_PER_CLUSTER: u64 = 20;

/// A stopped spool whose every byte is known.
struct Prepared {
    dir: PathBuf,
    frames: Vec<Frame>,
    /// The first sequence number that is not acknowledged.
    head: u64,
    /// The payloads' hashes by sequence number, from 1.
    hashes: Vec<u64>,
}

impl Prepared {
    /// Fills a spool through the daemon while Kafka is away, after `delivered` records got through.
    fn make(dir: &Path, seed: u64, delivered: u64) -> Self {
        let spool = dir.join("spool");
        let cluster = Cluster::start();
        let mut rng = Rng::new(seed);
        let lines: Vec<_> = (1..=RECORDS).map(|n| load::line(n, PAD, &mut rng)).collect();
        let hashes = lines.iter().map(|line| spillway_testkit::hash(line)).collect();
        let pause = Some(delivered).filter(|at| *at > 0);
        let options = Options { rate: RATE, pause_at: pause, ..Options::default() };
        let upstream = Upstream::start(Feed::lines(lines), options).unwrap();
        let source = format!("type = 'http_ndjson'\nurl = '{}'\nid = '/data/id'", upstream.url());
        if delivered == 0 {
            cluster.mock.all_down().unwrap();
        }
        let daemon = Daemon::start(dir, &daemon_config(&source, &cluster, &spool));
        if delivered > 0 {
            daemon.wait_status("the first are delivered", |s| s["counts"]["replayed"] == delivered);
            cluster.mock.all_down().unwrap();
            upstream.resume();
        }
        daemon.wait_status("all are on disk", |status| status["counts"]["spooled"] == RECORDS);
        assert!(daemon.terminate().success());
        let (frames, head) = (frames::read(&spool), frames::acknowledged(&spool));
        assert_eq!(frames.last().map(|frame| frame.seqs.end), Some(RECORDS + 1));
        assert_eq!(head, delivered + 1);
        Self { dir: spool, frames, head, hashes }
    }

    fn copy_to(&self, dir: &Path) {
        copy_folder(&self.dir, dir);
    }

    /// Sequence numbers that must be served after `damage`.
    fn intact(&self, damage: &Damage) -> HashSet<u64> {
        let intact = self.frames.iter().filter(|frame| damage.is_intact(&frame.segment, &frame.place));
        intact.flat_map(|frame| frame.seqs.clone()).filter(|seq| *seq >= self.head).collect()
    }
}

/// With a journal, so that the first records are in the spool too.
fn daemon_config(source: &str, cluster: &Cluster, spool: &Path) -> String {
    let more = "[delivery]\njournal = 'always'\n";
    let text = config(source, cluster.mock.bootstrap(), spool, more);
    format!("{text}free_floor = 0\nsegment_bytes = '1MiB'\n")
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else if entry.file_name() != "ballast" {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What a case came to.
struct Outcome {
    kind: Kind,
    lost: u64,
}

/// Damages a copy of `prepared` and starts the daemon on it, in a third of the cases twice.
fn run_case(prepared: &Prepared, cluster: &Cluster, dir: &Path, seed: u64) -> Outcome {
    let mut rng = Rng::new(seed);
    let spool = dir.join("spool");
    prepared.copy_to(&spool);
    let damage = damage::random(&spool, &mut rng).unwrap();
    let nothing = dir.join("nothing.ndjson");
    fs::write(&nothing, "").unwrap();
    let source = format!("type = 'file'\npath = '{}'", nothing.display());
    let text = daemon_config(&source, cluster, &spool);
    let before = cluster.reader.snapshot();
    if rng.chance(0.33) {
        Daemon::start(dir, &text).kill();
    }
    let daemon = Daemon::start(dir, &text);
    let status = daemon.wait_status(&format!("seed {seed}: {damage}: all is delivered"), |status| {
        ["/spool/records", "/in_flight/replay"].iter().all(|at| status.pointer(at).unwrap() == 0)
    });
    assert!(cluster.reader.read_to_end(PATIENCE).unwrap());
    let counted = status["spool"]["quarantined_records"].as_u64().unwrap();
    let received = received(prepared, &before, &cluster.reader.snapshot());
    let context = || format!("seed {seed}: {damage}\n{}", daemon.log_tail());
    let missing: Vec<_> =
        prepared.intact(&damage).into_iter().filter(|seq| !received.contains(seq)).collect();
    assert!(missing.is_empty(), "{} undamaged records were not served: {}", missing.len(), context());
    let waiting = (prepared.head..=RECORDS).count() as u64;
    let served = received.iter().filter(|seq| **seq >= prepared.head).count() as u64;
    assert_eq!(served + counted, waiting, "served and counted as lost: {}", context());
    assert_eq!(status["counts"]["unaccounted"], 0, "{}", context());
    daemon.kill();
    fs::remove_dir_all(dir).unwrap();
    Outcome { kind: damage.kind, lost: counted }
}

/// The sequence numbers that are in the topic behind `before`; every payload must be the right one.
fn received(prepared: &Prepared, before: &Snapshot, after: &Snapshot) -> HashSet<u64> {
    assert_eq!(after.missed(), 0, "the mock forgot records");
    let known: HashMap<&i32, usize> = before.partitions.iter().map(|(p, seen)| (p, seen.len())).collect();
    let new = after.partitions.iter().flat_map(|(p, entries)| &entries[known[p]..]);
    new.map(|entry| {
        let seq: u64 = entry.id.as_deref().unwrap().parse().unwrap();
        let index = usize::try_from(seq - 1).unwrap();
        assert_eq!(prepared.hashes[index], entry.hash, "record {seq} arrived with other bytes");
        seq
    })
    .collect()
}

#[test]
fn random_damage_never_stops_the_daemon_and_costs_only_what_it_hit() {
    let (seed, total, began) = (seed("damage"), cases("SPILLWAY_DAMAGES", DAMAGES), Instant::now());
    let home = tempfile::tempdir().unwrap();
    let folders = ["whole", "partly"].map(|name| home.path().join(name));
    folders.iter().for_each(|folder| fs::create_dir(folder).unwrap());
    // One spool of which nothing was delivered, and one of which a quarter was.
    let prepared = [Prepared::make(&folders[0], seed, 0), Prepared::make(&folders[1], seed, RECORDS / 4)];
    let (next, outcomes) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let mut cluster = Cluster::start();
                for mine in 1u64.. {
                    let case = next.fetch_add(1, Ordering::Relaxed);
                    if case >= total {
                        return;
                    }
                    if mine % CASES_PER_CLUSTER == 0 {
                        cluster = Cluster::start();
                    }
                    let dir = home.path().join(format!("case-{case}"));
                    let one = &prepared[usize::from(case % 3 == 0)];
                    let outcome = run_case(one, &cluster, &dir, seed + case);
                    outcomes.lock().unwrap().push(outcome);
                }
            });
        }
    });
    report(&outcomes.into_inner().unwrap(), total, began);
}

fn report(outcomes: &[Outcome], total: u64, began: Instant) {
    assert_eq!(outcomes.len() as u64, total);
    let mut kinds: BTreeMap<Kind, (u64, u64)> = BTreeMap::new();
    for outcome in outcomes {
        let (cases, lost) = kinds.entry(outcome.kind).or_default();
        *cases += 1;
        *lost += outcome.lost;
    }
    let lost: u64 = kinds.values().map(|(_, lost)| lost).sum();
    eprintln!(
        "{total} damages in {:?}: {lost} records lost, each counted; cases and lost by kind:",
        began.elapsed()
    );
    eprintln!("{kinds:?}");
}
