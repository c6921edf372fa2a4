//! From the start of the program to its first progress, with windows of one hour open: what it reads again
//! first is everything of its open panes.
//!
//! A real cluster of one broker, and the real program as a process. A topic holds most of an hour of posts. A
//! member reads all of it, its log says so, it ends, and another one begins: how long until it has read its
//! first record, and until it has read everything again and the record that came meanwhile. Beside that, what
//! the whole program costs while it reads everything for the first time. Needs a JDK and, once, Maven.
//!
//! `cargo bench -p spillway-consumer --bench restart [-- --quick | --records N]`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark may fail loudly, and prints its table"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use serde_json::Value;
use spillway_consumer::ID_HEADER;
use spillway_testkit::cluster::{Cluster, Listener, Options};
use spillway_testkit::program::{Launch, Program, build_binary};
use spillway_testkit::tweets::{self, Generator};

const PARTITIONS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// 2026-11-01T00:00:00Z, when a window begins.
const START_MS: i64 = 1_793_491_200_000;
/// Windows end at 60; the watermark must not reach that.
const SPAN: Duration = Duration::from_secs(58 * 60);

/// One way to end and to begin again.
struct Case {
    name: &'static str,
    tables: &'static str,
    instance_id: &'static str,
    kill: bool,
}

const HOUR: &str = "[[table]]\nname = 'hour'\nwindow = '1h'\ngroup_by = ['tag']\nmetrics = ['events']\n";
const BOTH: &str = "[[table]]\nname = 'hour'\nwindow = '1h'\ngroup_by = ['tag']\nmetrics = ['events']\n\
                    [[table]]\npreset = 'city_activity'\n";

const CASES: [Case; 4] = [
    Case { name: "1 h: stopped", tables: HOUR, instance_id: "", kill: false },
    Case { name: "1 h and 5 min: stopped", tables: BOTH, instance_id: "", kill: false },
    Case { name: "1 h: killed, instance_id", tables: HOUR, instance_id: "instance_id = 'one'\n", kill: true },
    Case {
        name: "1 h and 5 min: killed, instance_id",
        tables: BOTH,
        instance_id: "instance_id = 'one'\n",
        kill: true,
    },
];

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let mut arguments = std::env::args().skip_while(|argument| argument != "--records");
    let given = arguments.nth(1).map(|number| number.parse().unwrap());
    let records: u64 = given.unwrap_or(if is_quick { 10_000 } else { 500_000 });
    let cluster = Cluster::start(Options { brokers: 1, ..Options::default() }).unwrap();
    let bootstrap = cluster.bootstrap(Listener::Plain);
    println!("{records} records in {PARTITIONS} partitions, all in open windows of 1 h\n");
    println!(
        "{:<38} {:>14} {:>16} {:>14}",
        "s from the start of the program", "first record", "all read again", "read again"
    );
    for (i, case) in CASES.iter().enumerate() {
        let topic = format!("restart-{i}");
        cluster.admin().create_topic(&topic, PARTITIONS, 1, &[]).unwrap();
        measure(case, &bootstrap, &topic, records);
    }
}

fn measure(case: &Case, bootstrap: &str, topic: &str, records: u64) {
    let dir = tempfile::tempdir().unwrap();
    fill(bootstrap, topic, records);
    let launch = launch(case, dir.path(), bootstrap, topic);
    let first = Program::start(&launch).unwrap();
    wait(&first, |status| status["counts"]["read"].as_u64() > Some(0));
    let (began, cpu) = (Instant::now(), cpu_time(first.pid()));
    wait(&first, |status| status["counts"]["read"].as_u64() >= Some(records));
    let (took, cpu) = (began.elapsed(), cpu_time(first.pid()) - cpu);
    let resident = resident_mib(first.pid());
    // An entry says how far it has read at the latest a minute later.
    wait_entries(&first);
    if case.kill {
        first.kill().unwrap();
    } else {
        first.terminate(PATIENCE).unwrap();
    }
    fill_one(bootstrap, topic);
    let began = Instant::now();
    let second = Program::start(&launch).unwrap();
    wait(&second, |status| status["counts"]["read"].as_u64() > Some(0));
    let first_record = began.elapsed();
    let all = wait(&second, |status| {
        status["lag"]["processed"].as_u64() == Some(0) && status["counts"]["read"].as_u64() > Some(0)
    });
    let again = began.elapsed();
    let read = all["counts"]["read"].as_u64().unwrap();
    println!(
        "{:<38} {:>14.2} {:>16.2} {read:>14}",
        case.name,
        first_record.as_secs_f64(),
        again.as_secs_f64()
    );
    println!(
        "{:<38} at first: {:.0} events/s, {:.2} CPU s a million events, {resident} MiB resident",
        "",
        records as f64 / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / records as f64,
    );
    second.terminate(PATIENCE).unwrap();
}

/// Processor time of a process, user and system.
fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name may hold spaces; after it the fields are numbers. Ticks are hundredths on Linux.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |i: usize| fields[i].parse::<u64>().unwrap();
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

fn resident_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1024
}

fn launch(case: &Case, dir: &Path, bootstrap: &str, topic: &str) -> Launch {
    let config = format!(
        "[kafka]\nbrokers = '{bootstrap}'\ntopic = '{topic}'\ngroup = '{topic}'\n{}[store]\nurl = '{}'\n{}",
        case.instance_id,
        dir.join("store").display(),
        case.tables,
    );
    let binary = build_binary("spillway-consumer").unwrap();
    Launch { binary, dir: dir.to_owned(), config, hosts: None }
}

fn status(program: &Program) -> Option<Value> {
    serde_json::from_str(&program.get("/status")?).ok()
}

/// Polls another process, which has nothing to wait for.
fn wait(program: &Program, mut done: impl FnMut(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = status(program).filter(|status| done(status)) {
            return status;
        }
        assert!(Instant::now() < deadline, "{}", program.tail());
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Waits until each partition has had one entry more than now, so that the newest is of the end.
fn wait_entries(program: &Program) {
    let entries = |status: &Value| -> Vec<u64> {
        status["partitions"].as_array().unwrap().iter().map(|p| p["entry"].as_u64().unwrap()).collect()
    };
    let before = entries(&status(program).unwrap());
    wait(program, |status| entries(status).iter().zip(&before).all(|(now, before)| now > before));
}

fn producer(bootstrap: &str) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("linger.ms", "25").set("compression.type", "lz4");
    config.create().unwrap()
}

fn fill(bootstrap: &str, topic: &str, records: u64) {
    let options = tweets::Options {
        start_ms: START_MS + 60_000,
        step_us: u64::try_from(SPAN.as_micros()).unwrap() / records - 1,
        repeat_share: 0.0,
        place_share: 0.5,
        ..tweets::Options::default()
    };
    let posts = Generator::new(1, options).take(usize::try_from(records).unwrap());
    let producer = producer(bootstrap);
    for (i, post) in posts.enumerate() {
        let partition = i32::try_from(i).unwrap() % PARTITIONS;
        send(&producer, topic, partition, &post.id, &post.line);
    }
    producer.flush(PATIENCE).unwrap();
}

/// One that the second member has to come to.
fn fill_one(bootstrap: &str, topic: &str) {
    let producer = producer(bootstrap);
    let options = tweets::Options { start_ms: START_MS + 59 * 60_000, ..tweets::Options::default() };
    let post = Generator::new(2, options).next().unwrap();
    send(&producer, topic, 0, &post.id, &post.line);
    producer.flush(PATIENCE).unwrap();
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, id: &str, line: &[u8]) {
    let headers = OwnedHeaders::new().insert(Header { key: ID_HEADER, value: Some(id) });
    let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(line).headers(headers);
    loop {
        match producer.send(record) {
            Ok(()) => {
                producer.poll(Duration::ZERO);
                return;
            }
            Err((error, again)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                record = again;
                producer.poll(Duration::from_millis(5));
            }
            Err((error, _)) => panic!("{error}"),
        }
    }
}
