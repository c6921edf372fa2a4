//! Members with a name of their own on a real cluster: one that is killed and started again has its partitions
//! back at once, and of two with the same name only the younger goes on.

#![allow(clippy::unwrap_used, reason = "a test fails loudly")]

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use spillway_testkit::cluster::{Cluster, Listener, Options};
use spillway_testkit::program::{Error, Launch, Program, build_binary};

/// Far above what anything here takes; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(120);
const PARTITIONS: usize = 4;
/// What has to wait for it takes longer than what does not, however busy this machine is.
const SESSION: Duration = Duration::from_secs(180);

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Options { brokers: 1, ..Options::default() }).unwrap())
}

fn launch(dir: &Path, name: &str, topic: &str, instance_id: &str) -> Launch {
    let folder = dir.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let config = format!(
        "[kafka]\nbrokers = '{}'\ntopic = '{topic}'\ngroup = '{topic}'\n{instance_id}\
         [kafka.options]\n'session.timeout.ms' = {}\n[store]\nurl = '{}'\n\
         [[table]]\nname = 'activity'\nwindow = '5m'\nmetrics = ['events']\n",
        cluster().bootstrap(Listener::Plain),
        SESSION.as_millis(),
        dir.join("store").display(),
    );
    let binary = build_binary("spillway-consumer").unwrap();
    Launch { binary, dir: folder, config, hosts: None }
}

/// How long it takes until it reads so many partitions.
fn owns(program: &mut Program, partitions: usize) -> Duration {
    let began = Instant::now();
    loop {
        program.check().unwrap();
        let status = program.get("/status").and_then(|body| serde_json::from_str::<Value>(&body).ok());
        let is_settled = |status: &Value| {
            status["partitions"].as_array().is_some_and(|owned| owned.len() == partitions)
                && status["not_ready"].as_array().is_some_and(Vec::is_empty)
        };
        if status.as_ref().is_some_and(is_settled) {
            return began.elapsed();
        }
        assert!(began.elapsed() < PATIENCE, "{status:#?}\n{}", program.tail());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn topic(name: &str) -> &str {
    cluster().admin().create_topic(name, i32::try_from(PARTITIONS).unwrap(), 1, &[]).unwrap();
    name
}

#[test]
fn one_that_is_killed_has_its_partitions_back_at_once() {
    let (dir, topic) = (tempfile::tempdir().unwrap(), topic("killed"));
    let named = launch(dir.path(), "named", topic, "instance_id = 'one'\n");
    let mut first = Program::start(&named).unwrap();
    owns(&mut first, PARTITIONS);
    first.kill().unwrap();
    let took = owns(&mut Program::start(&named).unwrap(), PARTITIONS);
    assert!(took < SESSION / 3, "it waited for its own session: {took:?}");
}

#[test]
fn one_that_is_stopped_without_a_name_leaves_its_partitions_at_once() {
    let (dir, topic) = (tempfile::tempdir().unwrap(), topic("stopped"));
    let mut one = Program::start(&launch(dir.path(), "one", topic, "")).unwrap();
    owns(&mut one, PARTITIONS);
    let mut other = Program::start(&launch(dir.path(), "other", topic, "")).unwrap();
    owns(&mut other, PARTITIONS / 2);
    assert!(one.terminate(PATIENCE).unwrap().status.success());
    let took = owns(&mut other, PARTITIONS);
    assert!(took < SESSION / 3, "it waited for the other's session: {took:?}");
}

#[test]
fn of_two_with_one_name_the_younger_goes_on_and_the_older_says_why_it_ends() {
    let (dir, topic) = (tempfile::tempdir().unwrap(), topic("twice"));
    let mut older = Program::start(&launch(dir.path(), "older", topic, "instance_id = 'one'\n")).unwrap();
    owns(&mut older, PARTITIONS);
    let mut younger = Program::start(&launch(dir.path(), "younger", topic, "instance_id = 'one'\n")).unwrap();
    owns(&mut younger, PARTITIONS);
    let deadline = Instant::now() + PATIENCE;
    let ended = loop {
        match older.check() {
            Ok(()) => assert!(Instant::now() < deadline, "{}", older.tail()),
            Err(error) => break error,
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let Error::Ended { status, tail } = ended else { panic!("{ended}") };
    assert_eq!(status.code(), Some(75), "{tail}");
    assert!(tail.contains("another member of the group has taken the place of"), "{tail}");
    younger.check().unwrap();
}
