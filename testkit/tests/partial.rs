//! A part of a real cluster is away, or takes less than the rest: partitions without a leader, a topic
//! that grows, a topic that takes only small batches. The real `spillwayd` goes on with what is there.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the helpers of a test fail loudly, as the test does"
)]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use spillway_testkit::cluster::{Cluster, Listener, Options};
use spillway_testkit::kafka::{Reader, Snapshot};
use spillway_testkit::oracle::{Sent, compare_delivery};
use spillway_testkit::program::{self, Launch, Program};
use spillway_testkit::tweets::{self, Generator};
use spillway_testkit::upstream::{self, Feed, Upstream};

/// Far above what anything here takes; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// One cluster, and one test at a time: brokers are killed here.
fn cluster() -> std::sync::MutexGuard<'static, Cluster> {
    static CLUSTER: OnceLock<Mutex<Cluster>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| Mutex::new(Cluster::start(Options::default()).unwrap()));
    cluster.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

struct Rig {
    dir: tempfile::TempDir,
    sent: Arc<Mutex<Vec<Sent>>>,
    upstream: Upstream,
    program: Program,
}

impl Rig {
    fn start(bootstrap: &str, topic: &str, records: usize, options: upstream::Options, kafka: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plain = tweets::Options { repeat_share: 0.0, ..tweets::Options::default() };
        let feed = Feed::tweets(Generator::new(43, plain).take(records));
        let sent = Arc::<Mutex<Vec<Sent>>>::default();
        let tapped = Arc::clone(&sent);
        let tap = Box::new(move |line: &[u8]| tapped.lock().unwrap().push(Sent::of(line)));
        let upstream = Upstream::start(feed, upstream::Options { tap: Some(tap), ..options }).unwrap();
        let config = format!(
            "[source]\ntype = 'http_ndjson'\nurl = '{}'\nid = '/data/id'\n[kafka]\nbrokers = '{bootstrap}'\ntopic = '{topic}'\n\
             {kafka}[spool]\ndir = '{}'\nfree_floor = 0\n",
            upstream.url(),
            dir.path().join("spool").display()
        );
        let binary = program::build().unwrap();
        let launch = Launch { binary, dir: dir.path().to_owned(), config, hosts: None };
        let program = Program::start(&launch).unwrap();
        Self { dir, sent, upstream, program }
    }

    fn wait_until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            let said = || std::fs::read_to_string(self.dir.path().join("spillwayd.log")).unwrap();
            assert!(Instant::now() < deadline, "timed out: {what}; the log:\n{}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A figure of the status. It is asked for again while the answer takes too long.
    fn json(&self, pointer: &str) -> serde_json::Value {
        let mut body = None;
        self.wait_until("it tells its status", |rig| {
            body = rig.program.get("/status");
            body.is_some()
        });
        serde_json::from_str::<serde_json::Value>(&body.unwrap()).unwrap().pointer(pointer).unwrap().clone()
    }

    /// Every record is in the topic with its bytes, in the order of its partition, and the daemon ends well.
    fn ends_well(self, reader: &Reader, records: usize) {
        self.wait_until("every record is in the topic", |_| reader.snapshot().ids().len() == records);
        let verdict = compare_delivery(&self.sent.lock().unwrap(), &reader.snapshot());
        assert!(verdict.is_complete(), "{verdict:?}");
        assert_eq!(verdict.disorder, []);
        assert_eq!(self.json("/counts/dropped"), serde_json::json!([]), "nothing was a dead letter");
        assert!(self.program.terminate(PATIENCE).unwrap().status.success());
    }
}

/// Different records of each partition.
fn firsts(snapshot: &Snapshot) -> BTreeMap<i32, usize> {
    let distinct = |p: &i32| snapshot.partitions[p].iter().map(|e| e.hash).collect::<HashSet<_>>().len();
    snapshot.partitions.keys().map(|p| (*p, distinct(p))).collect()
}

/// How many records each of `total` partitions is due, by the rule that it follows from the id.
fn due(sent: &[Sent], total: u32) -> BTreeMap<i32, usize> {
    let mut due = BTreeMap::new();
    for record in sent {
        let partition = crc32c::crc32c(record.id.as_ref().unwrap().as_bytes()) % total;
        *due.entry(i32::try_from(partition).unwrap()).or_default() += 1;
    }
    due
}

#[test]
fn partitions_without_a_leader_do_not_stop_the_others() {
    const RECORDS: usize = 8_000;
    let cluster = cluster();
    // One replica: when its broker dies, the partition has no leader.
    cluster.admin().create_topic("single", 12, 1, &[("min.insync.replicas", "1")]).unwrap();
    let options = upstream::Options { rate: 1_000, pause_at: Some(1_000), ..upstream::Options::default() };
    let bootstrap = cluster.bootstrap(Listener::Plain);
    let rig = Rig::start(&bootstrap, "single", RECORDS, options, "");
    let reader = Reader::start(&bootstrap, "single", 12).unwrap();
    rig.wait_until("the first records are in the topic", |_| reader.snapshot().ids().len() == 1_000);
    let led = |broker| {
        let leaders = cluster.admin().leaders("single").unwrap();
        leaders.iter().filter(|l| l.leader == Some(broker)).map(|l| l.partition).collect::<BTreeSet<_>>()
    };
    let away = led(3);
    assert!(!away.is_empty() && away.len() < 12, "{away:?}");
    cluster.kill(3).unwrap();
    rig.upstream.resume();
    rig.wait_until("the partitions are held", |rig| {
        rig.json("/held_partitions").as_array().unwrap().len() == away.len()
    });
    rig.wait_until("all records are in", |rig| rig.json("/counts/received") == RECORDS);
    let due = due(&rig.sent.lock().unwrap(), 12);
    rig.wait_until("the others have all of theirs", |_| {
        let now = firsts(&reader.snapshot());
        due.iter().filter(|(p, _)| !away.contains(p)).all(|(p, n)| now[p] == *n)
    });
    rig.wait_until("Kafka is there", |rig| rig.json("/breaker") == "closed");
    cluster.restart(3).unwrap();
    rig.wait_until("no partition is held", |rig| rig.json("/held_partitions") == serde_json::json!([]));
    rig.ends_well(&reader, RECORDS);
}

#[test]
fn a_topic_that_grows_gets_records_in_its_new_partitions() {
    const RECORDS: usize = 4_000;
    let cluster = cluster();
    cluster.admin().create_topic("grows", 3, 3, &[]).unwrap();
    let options = upstream::Options { rate: 2_000, pause_at: Some(2_000), ..upstream::Options::default() };
    let bootstrap = cluster.bootstrap(Listener::Plain);
    let rig = Rig::start(&bootstrap, "grows", RECORDS, options, "");
    // Those that brokers were slow to acknowledge come by the disk.
    let count = |name: &str| rig.json(&format!("/counts/{name}")).as_u64().unwrap();
    rig.wait_until("the first records are acknowledged", |_| count("acked") + count("replayed") == 2_000);
    cluster.admin().add_partitions("grows", 6).unwrap();
    let log = rig.dir.path().join("spillwayd.log");
    rig.wait_until("the growth is noticed", |_| {
        std::fs::read_to_string(&log).unwrap().contains("partitions_changed")
    });
    let reader = Reader::start(&bootstrap, "grows", 6).unwrap();
    rig.upstream.resume();
    rig.wait_until("every record is in the topic", |_| reader.snapshot().ids().len() == RECORDS);
    let sent = rig.sent.lock().unwrap().clone();
    let mut expected = due(&sent[..2_000], 3);
    due(&sent[2_000..], 6).into_iter().for_each(|(p, n)| *expected.entry(p).or_default() += n);
    assert_eq!(firsts(&reader.snapshot()), expected);
    rig.ends_well(&reader, RECORDS);
}

#[test]
fn a_topic_that_takes_only_small_batches_makes_no_dead_letters_of_records_that_fit() {
    const RECORDS: usize = 3_000;
    let cluster = cluster();
    cluster.admin().create_topic("small", 3, 3, &[("max.message.bytes", "20000")]).unwrap();
    let bootstrap = cluster.bootstrap(Listener::Plain);
    let kafka = "compression = 'none'\nlinger = '200ms'\n";
    let rig = Rig::start(&bootstrap, "small", RECORDS, upstream::Options::default(), kafka);
    let reader = Reader::start(&bootstrap, "small", 3).unwrap();
    rig.wait_until("every record is in the topic", |_| reader.snapshot().ids().len() == RECORDS);
    assert!(
        rig.json("/breaker_opened").as_u64().unwrap() > 0,
        "no batch was too large: the test tests nothing"
    );
    rig.ends_well(&reader, RECORDS);
}
