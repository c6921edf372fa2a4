//! What the benchmarks share: the plan from the command line, the load, the clock, and the two that are
//! compared: the daemon and a bare pipe.
//!
//! The bare pipe reads the same stream with reqwest, cuts lines with memchr and hands them to a
//! `BaseProducer` with the same settings: no queue, no tracking, no headers, no safety.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "each benchmark uses its own part, may fail loudly, and prints its table"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use spillway_daemon::kafka::producer_config;
use spillway_daemon::ledger::Counts;
use spillway_daemon::{Config, Daemon};
use spillway_service::settings::Environment;
use spillway_testkit::upstream::{Feed, Options, Upstream};

/// How much of what is measured.
pub struct Plan {
    pub records: usize,
    pub rounds: usize,
    pub bytes: Option<usize>,
    pub only: String,
}

impl Plan {
    pub fn from_args(records: usize) -> Self {
        let args: Vec<String> = std::env::args().collect();
        let given = |name: &str| args.get(args.iter().position(|a| a == name)? + 1);
        let number = |name: &str| given(name).map(|n| n.parse::<usize>().unwrap());
        let quick = args.iter().any(|a| a == "--quick");
        Self {
            records: number("--records").unwrap_or(if quick { 10_000 } else { records }),
            rounds: number("--rounds").unwrap_or(if quick { 1 } else { 5 }),
            bytes: number("--bytes"),
            only: given("--only").cloned().unwrap_or_default(),
        }
    }
}

/// JSON lines of `bytes` bytes that compress about as well as posts do.
pub fn lines(bytes: usize, count: usize) -> Vec<Bytes> {
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
pub struct Round {
    pub rate: f64,
    pub cpu_us: f64,
}

#[expect(clippy::cast_precision_loss, reason = "figures of a benchmark")]
pub fn round(records: usize, run: impl FnOnce() -> Took) -> Round {
    let Took { wall, cpu } = run();
    Round { rate: records as f64 / wall.as_secs_f64(), cpu_us: cpu.as_secs_f64() * 1e6 / records as f64 }
}

/// The round with the median rate.
pub fn median(rounds: &mut [Round]) -> &Round {
    rounds.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    &rounds[rounds.len() / 2]
}

/// Time between two moments, by the clock and by the process's CPU clock.
pub struct Took {
    pub wall: Duration,
    pub cpu: Duration,
}

pub struct Clock {
    began: Instant,
    cpu: Duration,
}

impl Clock {
    pub fn start() -> Self {
        Self { began: Instant::now(), cpu: cpu_time() }
    }

    pub fn stop(&self) -> Took {
        Took { wall: self.began.elapsed(), cpu: cpu_time() - self.cpu }
    }
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Where the records go: a cluster's addresses and a topic that exists.
pub struct Target {
    pub bootstrap: String,
    pub topic: String,
}

/// An upstream with its records, a folder for the spool, and the target.
pub struct Stage {
    upstream: Upstream,
    dir: tempfile::TempDir,
    target: Target,
}

impl Stage {
    pub fn set(lines: &[Bytes], target: Target) -> Self {
        let upstream = Upstream::start(Feed::lines(lines.to_vec()), Options::default()).unwrap();
        Self { upstream, dir: tempfile::tempdir().unwrap(), target }
    }

    pub fn spool(&self) -> &Path {
        self.dir.path()
    }

    pub fn config(&self, more: &str) -> Config {
        config(&self.upstream.url(), &self.target, self.spool(), more)
    }
}

pub fn config(url: &str, target: &Target, dir: &Path, more: &str) -> Config {
    let text = format!(
        "[source]\ntype = 'http_ndjson'\nurl = '{url}'\n[kafka]\nbrokers = '{}'\ntopic = '{}'\n[spool]\ndir = '{}'\nfree_floor = 0\n[admin]\nlisten = 'none'\n{more}",
        target.bootstrap,
        target.topic,
        dir.join("spool").display()
    );
    Config::parse("bench", &text, &Environment::default()).unwrap()
}

/// From the first request to the last acknowledgement.
pub fn through_daemon(lines: &[Bytes], target: Target, more: &str) -> Took {
    let stage = Stage::set(lines, target);
    let daemon = Daemon::start(stage.config(more)).unwrap();
    let watch = daemon.watch();
    while watch.status().sources[0].stream.connects == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let clock = Clock::start();
    let all = lines.len() as u64;
    let done = |counts: &Counts| counts.acked + counts.replayed == all;
    while !done(&watch.status().counts) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = clock.stop();
    watch.stop();
    let outcome = daemon.wait();
    assert!(done(&outcome.counts) && outcome.counts.unaccounted == 0, "{outcome:?}");
    took
}

/// The same without the daemon.
pub fn bare_pipe(lines: &[Bytes], target: Target) -> Took {
    let stage = Stage::set(lines, target);
    let producer: BaseProducer = producer_config(&stage.config("").kafka).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (producer_ref, url, all) = (&producer, stage.upstream.url(), lines.len());
    let topic = stage.target.topic.as_str();
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
                    send(producer_ref, topic, line);
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

fn send(producer: &BaseProducer, topic: &str, line: &[u8]) {
    loop {
        match producer.send(BaseRecord::<(), [u8]>::to(topic).payload(line)) {
            Ok(()) => return,
            Err((error, _)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                producer.poll(Duration::from_millis(1));
            }
            Err((error, _)) => panic!("{error}"),
        }
    }
}
