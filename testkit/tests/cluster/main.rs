//! The harness on a real cluster: `cargo test -p spillway-testkit --features kafka --test cluster`.
//!
//! The tests share one cluster, one at a time: each finds all brokers up and makes a topic of its own.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may fail loudly, and says how long it took"
)]

mod clients;

use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clients::{Client, read_all, settings};
use rdkafka::types::RDKafkaErrorCode as Code;
use spillway_testkit::cluster::{Cluster, Listener, Options, State, Wire};

/// Far above what anything here takes on a machine that does nothing else.
const PATIENCE: Duration = Duration::from_secs(180);
/// Long enough that an acknowledgement would have come.
const SILENCE: Duration = Duration::from_secs(2);

static CLUSTER: LazyLock<Mutex<Cluster>> = LazyLock::new(|| {
    let began = Instant::now();
    let cluster = Cluster::start(Options::default()).unwrap();
    println!("the cluster was ready after {:.1} s", began.elapsed().as_secs_f64());
    Mutex::new(cluster)
});

/// The cluster, healed from what a failed test left.
fn cluster() -> MutexGuard<'static, Cluster> {
    let cluster = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
    cluster.network().set(Wire::Pass).unwrap();
    cluster.start_all().unwrap();
    cluster
}

/// Waits for what every broker will say soon.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} until {what}");
    }
}

fn topic(cluster: &Cluster, name: &'static str) -> &'static str {
    cluster.admin().create_topic(name, 12, 3, &[]).unwrap();
    name
}

#[test]
fn every_listener_takes_records_and_gives_them_back() {
    let cluster = cluster();
    let topic = topic(&cluster, "listeners");
    let mut sent = Vec::new();
    let listeners = [
        (Listener::Plain, ""),
        (Listener::Proxied, ""),
        (Listener::Tls, ""),
        (Listener::SaslPlain, "PLAIN"),
        (Listener::SaslPlain, "SCRAM-SHA-256"),
        (Listener::SaslTls, "SCRAM-SHA-512"),
        (Listener::SaslPlain, "OAUTHBEARER"),
    ];
    for (listener, mechanism) in listeners {
        let settings = settings(&cluster, listener, mechanism);
        let client = Client::new(&settings);
        for partition in 0..12 {
            let text = format!("{listener:?} {mechanism} {partition}");
            client.deliver(topic, partition, &text, PATIENCE).unwrap();
            sent.push((partition, text));
        }
        // Read over the listener that was written to.
        assert_eq!(read_all(&cluster, &settings, topic, PATIENCE), sorted(&sent), "{listener:?} {mechanism}");
    }
}

fn sorted(records: &[(i32, String)]) -> Vec<(i32, String)> {
    let mut records = records.to_vec();
    records.sort();
    records
}

#[test]
fn with_one_broker_killed_everything_is_acknowledged() {
    let cluster = cluster();
    let topic = topic(&cluster, "killed");
    let client = Client::new(&settings(&cluster, Listener::Plain, ""));
    client.deliver(topic, 0, "before", PATIENCE).unwrap();
    cluster.kill(2).unwrap();
    assert_eq!(cluster.state(2).unwrap(), State::Down);
    for partition in 0..12 {
        client.deliver(topic, partition, "during", PATIENCE).unwrap();
    }
    // Any broker may answer, and some have heard of it a moment later.
    eventually("the others lead, and are in step", || {
        let leaders = cluster.admin().leaders(topic).unwrap();
        leaders.len() == 12 && leaders.iter().all(|p| p.leader.is_some_and(|l| l != 2) && p.isr == [1, 3])
    });
    cluster.restart(2).unwrap();
    client.deliver(topic, 0, "after", PATIENCE).unwrap();
}

#[test]
fn what_was_acknowledged_outlives_the_death_of_all_brokers() {
    let cluster = cluster();
    let topic = topic(&cluster, "all_killed");
    let settings = settings(&cluster, Listener::Plain, "");
    let client = Client::new(&settings);
    let sent: Vec<_> = (0..12).map(|partition| (partition, format!("record {partition}"))).collect();
    for (partition, text) in &sent {
        client.deliver(topic, *partition, text, PATIENCE).unwrap();
    }
    cluster.kill_all().unwrap();
    cluster.start_all().unwrap();
    assert_eq!(read_all(&cluster, &settings, topic, PATIENCE), sent);
    let ends = cluster.admin().end_offsets(topic).unwrap();
    assert_eq!(ends, (0..12).map(|p| (p, 1)).collect::<Vec<_>>());
}

#[test]
fn frozen_brokers_acknowledge_nothing_until_they_thaw() {
    let cluster = cluster();
    let topic = topic(&cluster, "frozen");
    let client = Client::new(&settings(&cluster, Listener::Plain, ""));
    client.deliver(topic, 0, "before", PATIENCE).unwrap();
    cluster.freeze_all().unwrap();
    assert_eq!(cluster.state(1).unwrap(), State::Frozen);
    client.send(topic, 0, "during").unwrap();
    assert!(client.answer(SILENCE).is_none());
    cluster.thaw_all().unwrap();
    client.answer(PATIENCE).unwrap().unwrap();
    cluster.await_all().unwrap();
}

#[test]
fn the_network_can_be_cut_and_swallow() {
    let cluster = cluster();
    let topic = topic(&cluster, "wires");
    let client = Client::new(&settings(&cluster, Listener::Proxied, ""));
    client.deliver(topic, 0, "before", PATIENCE).unwrap();
    for wire in [Wire::Cut, Wire::Blackhole] {
        cluster.network().set(wire).unwrap();
        client.send(topic, 0, "during").unwrap();
        assert!(client.answer(SILENCE).is_none(), "{wire:?}");
        cluster.network().set(Wire::Pass).unwrap();
        client.answer(PATIENCE).unwrap().unwrap();
    }
    // Nothing of this concerns the other listeners.
    cluster.network().set(Wire::Cut).unwrap();
    let direct = Client::new(&settings(&cluster, Listener::Plain, ""));
    direct.deliver(topic, 0, "direct", PATIENCE).unwrap();
}

#[test]
fn topics_change_at_a_command() {
    let cluster = cluster();
    let admin = cluster.admin();
    let topic = topic(&cluster, "commands");
    let client = Client::new(&settings(&cluster, Listener::Plain, ""));
    assert!(admin.create_topic(topic, 1, 1, &[]).unwrap_err().is_topic_exists());

    admin.alter_topic_config(topic, "max.message.bytes", Some("200")).unwrap();
    let large = "x".repeat(500);
    client.deliver_until(Err(Code::MessageSizeTooLarge), topic, &large, PATIENCE);
    admin.alter_topic_config(topic, "max.message.bytes", None).unwrap();
    client.deliver_until(Ok(()), topic, &large, PATIENCE);

    let leaders = || admin.leaders(topic).unwrap().iter().map(|p| p.leader).collect::<Vec<_>>();
    let before = leaders();
    admin.move_leaders(topic).unwrap();
    // Each broker learns of it in its own time, and any of them may be asked.
    eventually("every partition has another leader", || {
        let after = leaders();
        before.iter().zip(&after).all(|(old, new)| old != new)
    });

    admin.add_partitions(topic, 14).unwrap();
    eventually("there are 14 partitions", || leaders().len() == 14);
    admin.delete_topic(topic).unwrap();
    admin.create_topic(topic, 2, 3, &[]).unwrap();
    assert_eq!(admin.end_offsets(topic).unwrap(), [(0, 0), (1, 0)]);
}

#[test]
fn users_come_and_go_and_can_be_limited() {
    let cluster = cluster();
    let admin = cluster.admin();
    let topic = topic(&cluster, "users");
    admin.scram_upsert("edge", "first").unwrap();
    let mut settings = settings(&cluster, Listener::SaslPlain, "SCRAM-SHA-512");
    settings.set("sasl.username", "edge").set("sasl.password", "first");
    let client = Client::new(&settings);
    client.deliver(topic, 0, "hello", PATIENCE).unwrap();

    admin.deny_writes(topic, "edge").unwrap();
    client.deliver_until(Err(Code::TopicAuthorizationFailed), topic, "denied", PATIENCE);
    admin.allow_writes(topic).unwrap();
    client.deliver_until(Ok(()), topic, "allowed", PATIENCE);

    admin.quota_set(Some("edge"), 10_000.0).unwrap();
    let began = Instant::now();
    while client.throttled() == Duration::ZERO && began.elapsed() < PATIENCE {
        client.deliver(topic, 0, &"x".repeat(30_000), PATIENCE).unwrap();
    }
    assert!(client.throttled() > Duration::ZERO, "a quota of 10 kB/s was not felt");
    admin.quota_clear(Some("edge")).unwrap();

    admin.scram_delete("edge").unwrap();
    let stranger = Client::new(&settings);
    stranger.send(topic, 0, "who?").unwrap();
    assert!(stranger.answer(SILENCE).is_none());
}

const CHILD: &str = "SPILLWAY_CLUSTER_CHILD";

/// Not a test of its own: the process that the next one kills.
#[test]
fn a_cluster_in_a_process_that_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let options = Options { dir: Some(dir.into()), brokers: 1, ..Options::default() };
    let cluster = Cluster::start(options).unwrap();
    std::fs::write(cluster.dir().join("ready"), "").unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn brokers_die_with_a_killed_test() {
    let dir = std::env::temp_dir().join(format!("spillway-cluster-killed-{}", std::process::id()));
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "a_cluster_in_a_process_that_is_killed"]).env(CHILD, &dir);
    child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = Killed(child.spawn().unwrap());
    await_that("the child's cluster", || {
        assert!(child.0.try_wait().unwrap().is_none(), "the child has ended");
        dir.join("ready").exists()
    });
    let pid = std::fs::read_to_string(dir.join("broker-1/pid")).unwrap();
    assert!(is_java(&pid));
    drop(child);
    await_that("the broker's end", || !is_java(&pid));
    std::fs::remove_dir_all(&dir).unwrap();
}

/// A process that is killed when this is dropped, also by a failed assertion.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn is_java(pid: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"java"))
}

fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
