//! From HTTP to Kafka: the daemon beside a bare pipe, in the same process and in turns.
//!
//! The bare pipe reads the same stream with reqwest, cuts lines with memchr and hands them to a
//! `BaseProducer` with the same settings: no queue, no tracking, no headers, no safety. Both send to
//! librdkafka's mock cluster, whose thread shares the cores, as the upstream's does. The time runs from
//! the first request to the last acknowledgement.
//!
//! `cargo bench -p spillway-daemon [-- --quick | --records N --rounds N --bytes N --only NAME]`; NAME is a part of a
//! row's name.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark may fail loudly, and prints its table"
)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use spillway_daemon::kafka::producer_config;
use spillway_daemon::{Config, Daemon};
use spillway_service::settings::Environment;
use spillway_testkit::kafka::Mock;
use spillway_testkit::upstream::{Feed, Options, Upstream};

/// As in the program; the bare pipe has it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TOPIC: &str = "events";

struct Plan {
    records: usize,
    rounds: usize,
    bytes: Option<usize>,
    only: String,
}

impl Plan {
    fn from_args() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let given = |name: &str| args.get(args.iter().position(|a| a == name)? + 1);
        let number = |name: &str| given(name).map(|n| n.parse::<usize>().unwrap());
        let quick = args.iter().any(|a| a == "--quick");
        Self {
            records: number("--records").unwrap_or(if quick { 10_000 } else { 200_000 }),
            rounds: number("--rounds").unwrap_or(if quick { 1 } else { 5 }),
            bytes: number("--bytes"),
            only: given("--only").cloned().unwrap_or_default(),
        }
    }
}

fn main() {
    spillway_daemon::sources::http::choose_cryptography();
    let plan = Plan::from_args();
    println!(
        "{} records a round, {} rounds in turns; median records/s and its share of the bare pipe's\n",
        plan.records, plan.rounds
    );
    println!("{:<34} {:>12} {:>8} {:>10}", "", "records/s", "ratio", "cpu us/rec");
    for bytes in plan.bytes.map_or(vec![1024, 200], |bytes| vec![bytes]) {
        let lines = lines(bytes, plan.records);
        let mut subjects = vec![
            ("daemon, queue waits", "[queue]\nspill_at = 2.0\n"),
            ("daemon, as shipped", ""),
            ("daemon, journal = always", "[delivery]\njournal = 'always'\n"),
        ];
        subjects.retain(|(name, _)| name.contains(&plan.only));
        let mut pipe = Vec::new();
        let mut daemon: Vec<Vec<Round>> = subjects.iter().map(|_| Vec::new()).collect();
        for _ in 0..plan.rounds {
            pipe.push(round(plan.records, || bare_pipe(&lines)));
            for ((_, more), rates) in subjects.iter().zip(&mut daemon) {
                rates.push(round(plan.records, || through_daemon(&lines, more)));
            }
        }
        let base = median(&mut pipe);
        let show = |name: &str, round: &Round| {
            println!(
                "{:<34} {:>12.0} {:>8.2} {:>10.1}",
                format!("{bytes} B: {name}"),
                round.rate,
                round.rate / base.rate,
                round.cpu_us
            );
        };
        show("bare pipe", base);
        for ((name, _), rates) in subjects.iter().zip(&mut daemon) {
            show(name, median(rates));
        }
    }
}

/// JSON lines of `bytes` bytes that compress about as well as posts do.
fn lines(bytes: usize, count: usize) -> Vec<Bytes> {
    let mut rng = spillway_testkit::rng::Rng::new(1);
    let words =
        ["city", "morning", "coffee", "river", "happy", "train", "window", "light", "people", "music"];
    let line = |n: usize| {
        let mut text = format!("{{\"data\":{{\"id\":\"{n:019}\",\"text\":\"");
        while text.len() < bytes - 4 {
            text.push_str(words[rng.index(words.len())]);
            text.push_str(&format!(" {:x} ", rng.next_u64() & 0xfff));
        }
        text.truncate(bytes - 3);
        Bytes::from(text + "\"}}")
    };
    (0..count).map(line).collect()
}

/// Records a second, and microseconds of CPU time a record over the whole process: subject, broker
/// and upstream.
struct Round {
    rate: f64,
    cpu_us: f64,
}

#[expect(clippy::cast_precision_loss, reason = "figures of a benchmark")]
fn round(records: usize, run: impl FnOnce() -> Took) -> Round {
    let Took { wall, cpu } = run();
    Round { rate: records as f64 / wall.as_secs_f64(), cpu_us: cpu.as_secs_f64() * 1e6 / records as f64 }
}

/// The round with the median rate.
fn median(rounds: &mut [Round]) -> &Round {
    rounds.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    &rounds[rounds.len() / 2]
}

/// Time between two moments, by the clock and by the process's CPU clock.
struct Took {
    wall: Duration,
    cpu: Duration,
}

struct Clock {
    began: Instant,
    cpu: Duration,
}

impl Clock {
    fn start() -> Self {
        Self { began: Instant::now(), cpu: cpu_time() }
    }

    fn stop(&self) -> Took {
        Took { wall: self.began.elapsed(), cpu: cpu_time() - self.cpu }
    }
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

struct Stage {
    mock: Mock,
    upstream: Upstream,
    dir: tempfile::TempDir,
}

impl Stage {
    fn set(lines: &[Bytes]) -> Self {
        let mock = Mock::start(3).unwrap();
        mock.create_topic(TOPIC, 12, 3).unwrap();
        let upstream = Upstream::start(Feed::lines(lines.to_vec()), Options::default()).unwrap();
        Self { mock, upstream, dir: tempfile::tempdir().unwrap() }
    }

    fn config(&self, more: &str) -> Config {
        let text = format!(
            "[source]\ntype = 'http_ndjson'\nurl = '{}'\n[kafka]\nbrokers = '{}'\ntopic = '{TOPIC}'\n[spool]\ndir = '{}'\nfree_floor = 0\n[admin]\nlisten = 'none'\n{more}",
            self.upstream.url(),
            self.mock.bootstrap(),
            self.dir.path().join("spool").display()
        );
        Config::parse("bench", &text, &Environment::default()).unwrap()
    }
}

fn through_daemon(lines: &[Bytes], more: &str) -> Took {
    let stage = Stage::set(lines);
    let config = stage.config(more);
    let daemon = Daemon::start(config).unwrap();
    let watch = daemon.watch();
    while watch.status().source.connects == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let clock = Clock::start();
    let all = lines.len() as u64;
    let done = |counts: &spillway_daemon::ledger::Counts| counts.acked + counts.replayed == all;
    while !done(&watch.status().counts) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = clock.stop();
    watch.stop();
    let outcome = daemon.wait();
    assert!(done(&outcome.counts) && outcome.counts.unaccounted == 0, "{outcome:?}");
    took
}

fn bare_pipe(lines: &[Bytes]) -> Took {
    let stage = Stage::set(lines);
    let producer: BaseProducer = producer_config(&stage.config("").kafka).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (producer_ref, url, all) = (&producer, stage.upstream.url(), lines.len());
    runtime.block_on(async move {
        let mut response = reqwest::get(url).await.unwrap();
        let clock = Clock::start();
        let mut rest: Vec<u8> = Vec::new();
        let mut sent = 0;
        while sent < all {
            let chunk = response.chunk().await.unwrap().unwrap();
            rest.extend_from_slice(&chunk);
            let mut start = 0;
            for end in memchr::memchr_iter(b'\n', &rest) {
                let line = rest[start..end].trim_ascii();
                if !line.is_empty() {
                    send(producer_ref, line);
                    sent += 1;
                }
                start = end + 1;
            }
            rest.drain(..start);
            producer_ref.poll(Duration::ZERO);
        }
        producer_ref.flush(Duration::from_secs(60)).unwrap();
        clock.stop()
    })
}

fn send(producer: &BaseProducer, line: &[u8]) {
    loop {
        match producer.send(BaseRecord::<(), [u8]>::to(TOPIC).payload(line)) {
            Ok(()) => return,
            Err((error, _)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                producer.poll(Duration::from_millis(1));
            }
            Err((error, _)) => panic!("{error}"),
        }
    }
}
