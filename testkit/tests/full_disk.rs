//! The disk under the real daemon is used up, by others or to its quota. With `block` nothing is lost
//! and work resumes by itself; with `drop_oldest` and `drop_newest` exactly what is counted is gone.
//! Needs root and loop devices; without them it says SKIPPED.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails loudly and says its seed")]

mod rig;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use rig::daemon::{Daemon, config};
use rig::load::{Lines, Stream, copies};
use rig::{Cluster, PATIENCE, seed, wait_until};
use serde_json::Value;
use spillway_testkit::disk::Disk;
use tempfile::TempDir;

const DISK_BYTES: u64 = 64 << 20;
const RATE: u64 = 3_000;
/// Longest pad of a record in bytes: the load is about 2 MiB a second.
const PAD: usize = 1_400;

/// A disk, a cluster and where everything is. The disk goes before the folder it lies in.
struct Site {
    disk: Disk,
    cluster: Cluster,
    dir: TempDir,
}

impl Site {
    /// `None`, and a loud word, where there can be no disk.
    fn make() -> Option<Self> {
        if let Err(reason) = Disk::is_possible() {
            eprintln!("SKIPPED: no disk to fill: {reason}");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::create(dir.path(), DISK_BYTES).unwrap();
        Some(Self { disk, cluster: Cluster::start(), dir })
    }

    fn spool(&self) -> PathBuf {
        self.disk.path().join("spool")
    }

    fn start(&self, source: &str, journal: &str, limits: &str) -> Daemon {
        let more = format!("[delivery]\njournal = '{journal}'\n");
        let text = config(source, self.cluster.mock.bootstrap(), &self.spool(), &more);
        Daemon::start(self.dir.path(), &format!("{text}segment_bytes = '1MiB'\n{limits}\n"))
    }

    /// Fills the disk again and again, whatever the daemon gives up, until it says that it is not ready. It finds
    /// out by its next record, which `more` provides where the load does not come by itself.
    fn fill_until_unready(&self, daemon: &Daemon, more: impl Fn()) {
        let mut said = String::new();
        wait_until("the daemon is not ready", || {
            self.disk.fill().unwrap();
            more();
            let (code, body) = daemon.ready().unwrap_or_default();
            said = body;
            code == 503
        });
        assert!(said.contains("full") || said.contains("space"), "an operator must see why: {said}");
    }

    /// Waits until the topic holds everything of `wanted`.
    fn assert_all(&self, wanted: &[u64], daemon: &Daemon) {
        let wanted: HashSet<u64> = wanted.iter().copied().collect();
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            assert!(self.cluster.reader.read_to_end(PATIENCE).unwrap());
            let snapshot = self.cluster.reader.snapshot();
            assert_eq!(snapshot.missed(), 0, "the mock forgot records");
            let there = copies(&snapshot);
            let missing = wanted.iter().filter(|hash| !there.contains_key(hash)).count();
            if missing == 0 {
                eprintln!(
                    "{} records, all there, {} copies",
                    wanted.len(),
                    snapshot.records() - wanted.len()
                );
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{missing} lost\n{}", daemon.log_tail());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

fn is_ready(daemon: &Daemon) -> bool {
    daemon.ready().is_some_and(|(code, _)| code == 200)
}

fn count(status: &Value, pointer: &str) -> u64 {
    status.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer}: {status:#}"))
}

fn is_drained(status: &Value) -> bool {
    ["/spool/records", "/queue/records", "/in_flight/direct", "/in_flight/replay"]
        .iter()
        .all(|pointer| count(status, pointer) == 0)
}

fn errors(daemon: &Daemon, event: &str) -> usize {
    daemon.log().lines().filter(|line| line.contains("ERROR") && line.contains(event)).count()
}

/// After a test: nothing was damaged, nothing unaccounted, and the daemon stops in order.
fn assert_sound(daemon: Daemon) {
    let status = daemon.status().unwrap();
    assert_eq!(status["counts"]["unaccounted"], 0);
    assert_eq!(status["spool"]["quarantined_records"], 0, "a full disk is no damage");
    assert!(daemon.terminate().success());
}

#[test]
fn a_disk_that_others_fill_costs_nothing_and_work_resumes_by_itself() {
    let Some(site) = Site::make() else { return };
    let stream = Stream::of(seed("full disk, block"), RATE, PAD, u64::MAX);
    site.cluster.mock.all_down().unwrap();
    let daemon = site.start(&stream.source(), "outage", "free_floor = 0");
    daemon.wait_status("an outage begins", |status| count(status, "/counts/spooled") > 500);
    for _ in 0..3 {
        site.fill_until_unready(&daemon, || ());
        let before = daemon.status().unwrap();
        // It goes on receiving into memory while the disk is full.
        let received = count(&before, "/counts/received");
        daemon.wait_status("records wait in memory", |s| count(s, "/counts/received") > received + 500);
        site.disk.free_up().unwrap();
        let spooled = count(&daemon.status().unwrap(), "/counts/spooled");
        daemon.wait_status("work resumes", |s| count(s, "/counts/spooled") > spooled + 500);
        wait_until("the daemon is ready", || is_ready(&daemon));
    }
    assert!(errors(&daemon, "spool_failed") >= 3, "{}", daemon.log_tail());
    // And once more, now with Kafka back: a full disk can be drained, and is used again by itself.
    site.fill_until_unready(&daemon, || ());
    site.cluster.mock.all_up().unwrap();
    daemon.wait_status("the full disk is drained", |status| count(status, "/spool/records") == 0);
    site.disk.free_up().unwrap();
    stream.upstream.pause();
    let all = |s: &Value| is_drained(s) && count(s, "/counts/received") == stream.upstream.served();
    daemon.wait_status("all is delivered", all);
    // Also when nothing is written to the disk any more that could show that it has room.
    wait_until("the daemon is ready", || is_ready(&daemon));
    site.assert_all(&stream.served(), &daemon);
    assert_sound(daemon);
}

#[test]
fn a_daemon_that_is_killed_on_a_full_disk_starts_on_it_again() {
    let Some(site) = Site::make() else { return };
    let mut lines = Lines::start(site.dir.path(), seed("full disk, kill -9"));
    site.cluster.mock.all_down().unwrap();
    let mut daemon = site.start(&lines.source(), "always", "free_floor = 0");
    daemon.wait_status("records are on disk", |status| count(status, "/counts/spooled") > 500);
    for _ in 0..3 {
        // While Kafka is away nothing is read from it, which would let the file grow on.
        site.fill_until_unready(&daemon, || lines.allow(0));
        daemon.kill();
        site.disk.fill().unwrap();
        daemon = site.start(&lines.source(), "always", "free_floor = 0");
        let status = daemon.status().unwrap();
        assert!(count(&status, "/spool/records") > 0, "the backlog is known: {status:#}");
        site.fill_until_unready(&daemon, || lines.allow(0));
        site.disk.free_up().unwrap();
        lines.allow(0);
        daemon.wait_status("work resumes", |status| count(status, "/counts/spooled") > 300);
    }
    site.cluster.mock.all_up().unwrap();
    let all = lines.finish();
    site.assert_all(&all, &daemon);
    daemon.wait_status("all is delivered", is_drained);
    assert_sound(daemon);
}

#[test]
fn the_floor_stays_free_and_the_quota_is_kept() {
    let Some(site) = Site::make() else { return };
    let stream = Stream::of(seed("floor and quota"), RATE, PAD, u64::MAX);
    site.cluster.mock.all_down().unwrap();
    site.disk.fill_but(24 << 20).unwrap();
    let daemon = site.start(&stream.source(), "outage", "free_floor = '12MiB'");
    let free_min = || assert!(site.disk.free_bytes().unwrap() >= 12 << 20, "the floor was taken");
    wait_until("the floor is reached", || {
        free_min();
        !is_ready(&daemon)
    });
    site.disk.free_up().unwrap();
    wait_until("work resumes", || is_ready(&daemon));
    // A stop loses what is on its way from a stream that cannot resume: none is.
    stream.upstream.pause();
    let received = |status: &Value| count(status, "/counts/received") == stream.upstream.served();
    let before = stream.upstream.served();
    daemon.wait_status("all is received", received);
    assert_eq!(before, stream.upstream.served(), "the stream is paused");
    assert!(daemon.terminate().success());

    let daemon = site.start(&stream.source(), "outage", "free_floor = 0\nquota = '6MiB'");
    stream.upstream.resume();
    wait_until("the quota is reached", || !is_ready(&daemon));
    let used = count(&daemon.status().unwrap(), "/spool/disk_bytes");
    assert!(used <= 6 << 20, "{used} bytes");
    assert!(daemon.ready().unwrap().1.contains("quota"), "{:?}", daemon.ready());
    wait_until("both failures are logged", || errors(&daemon, "spool_failed") >= 2);
    site.cluster.mock.all_up().unwrap();
    stream.upstream.pause();
    let all = |s: &Value| is_drained(s) && count(s, "/counts/received") == stream.upstream.served() - before;
    daemon.wait_status("all is delivered", all);
    wait_until("there is room again", || is_ready(&daemon));
    site.assert_all(&stream.served(), &daemon);
    assert_sound(daemon);
}

#[test]
fn drop_oldest_gives_up_exactly_the_oldest_that_it_counts() {
    let Some(site) = Site::make() else { return };
    let dropped = fill_and_drain(&site, "drop oldest", "drop_oldest", "quota = '4MiB'", false);
    assert_dropped(&dropped, true);
}

#[test]
fn drop_oldest_makes_room_on_a_disk_that_others_fill() {
    let Some(site) = Site::make() else { return };
    let dropped = fill_and_drain(&site, "drop oldest, full disk", "drop_oldest", "", true);
    assert_dropped(&dropped, true);
}

#[test]
fn drop_newest_gives_up_exactly_the_newest_that_it_counts() {
    let Some(site) = Site::make() else { return };
    let dropped = fill_and_drain(&site, "drop newest", "drop_newest", "quota = '4MiB'", false);
    assert_dropped(&dropped, false);
}

/// What a test with a dropping policy came to.
struct Drops {
    /// Whether each record arrived, in the order in which they were sent.
    arrived: Vec<bool>,
    /// What the daemon has counted: records, bytes, and unix milliseconds of the first and the last.
    counted: Value,
    began_ms: u64,
}

/// Sends 15,000 records, about 10 MiB, while Kafka is away and there is no room; then Kafka comes back.
fn fill_and_drain(site: &Site, name: &str, policy: &str, quota: &str, fill: bool) -> Drops {
    let began_ms = now_ms();
    let stream = Stream::of(seed(name), RATE, PAD, 15_000);
    site.cluster.mock.all_down().unwrap();
    let limits = format!("free_floor = 0\nwhen_full = '{policy}'\n{quota}");
    let daemon = site.start(&stream.source(), "outage", &limits);
    if fill {
        daemon.wait_status("some are on disk", |status| count(status, "/counts/spooled") > 4_000);
        site.disk.fill().unwrap();
    }
    let pointer = if policy == "drop_oldest" { "/spool/dropped_oldest" } else { "/counts/dropped/0" };
    let status = daemon.wait_status("all are received", |status| {
        count(status, "/counts/received") == 15_000
            && count(status, "/queue/records") == 0
            && count(status, "/in_flight/direct") == 0
            && count(status, "/counts/spooled") + dropped_newest(status) == 15_000
    });
    assert_eq!(status["breaker"], "open", "{status:#}");
    let counted = status.pointer(pointer).unwrap().clone();
    site.disk.free_up().unwrap();
    site.cluster.mock.all_up().unwrap();
    daemon.wait_status("all is delivered", is_drained);
    assert!(site.cluster.reader.read_to_end(PATIENCE).unwrap());
    let snapshot = site.cluster.reader.snapshot();
    assert_eq!(snapshot.missed(), 0, "the mock forgot records");
    let there = copies(&snapshot);
    let arrived = stream.served().iter().map(|hash| there.contains_key(hash)).collect();
    assert!(errors(&daemon, "the spool is full") > 0, "a loss is an ERROR\n{}", daemon.log_tail());
    assert_sound(daemon);
    Drops { arrived, counted, began_ms }
}

fn dropped_newest(status: &Value) -> u64 {
    status.pointer("/counts/dropped/0/records").and_then(Value::as_u64).unwrap_or(0)
}

fn assert_dropped(drops: &Drops, oldest: bool) {
    let lost = drops.arrived.iter().filter(|arrived| !**arrived).count();
    assert!(lost > 0, "the test must reach the limit");
    assert_eq!(count(&drops.counted, "/records"), lost as u64, "{}", drops.counted);
    assert!(count(&drops.counted, "/bytes") > 0);
    let (first, last) = (count(&drops.counted, "/first_ms"), count(&drops.counted, "/last_ms"));
    assert!(drops.began_ms <= first && first <= last && last <= now_ms(), "{}", drops.counted);
    let len = drops.arrived.len();
    if oldest {
        assert!(
            drops.arrived[lost..].iter().all(|arrived| *arrived),
            "all that is gone is older than the rest"
        );
    } else {
        // A small group may find room behind a larger one that did not, also at the very end.
        let half = len / 2;
        let gone = |part: &[bool]| part.iter().filter(|arrived| !**arrived).count();
        assert!(drops.arrived[0], "what is gone is new");
        assert!(gone(&drops.arrived[half..]) > gone(&drops.arrived[..half]), "what is gone is new");
    }
    eprintln!("{lost} of {len} dropped, all counted");
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}
