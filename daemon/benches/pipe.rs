//! From HTTP to Kafka: the daemon beside a bare pipe, in the same process and in turns.
//!
//! The bare pipe reads the same stream with reqwest, cuts lines with memchr and hands them to a
//! `BaseProducer` with the same settings: no queue, no tracking, no headers, no safety. Both send to
//! librdkafka's mock cluster, whose thread shares the cores, as the upstream's does. The time runs from
//! the first request to the last acknowledgement.
//!
//! `cargo bench -p spillway-daemon [-- --quick | --records N --rounds N]`

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

const TOPIC: &str = "events";

struct Plan {
    records: usize,
    rounds: usize,
}

impl Plan {
    fn from_args() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let number = |name: &str, default| {
            let at = args.iter().position(|a| a == name);
            at.and_then(|i| args.get(i + 1)?.parse().ok()).unwrap_or(default)
        };
        let quick = args.iter().any(|a| a == "--quick");
        Self {
            records: number("--records", if quick { 10_000 } else { 200_000 }),
            rounds: number("--rounds", if quick { 1 } else { 5 }),
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
    println!("{:<34} {:>12} {:>8}", "", "records/s", "ratio");
    for bytes in [1024, 200] {
        let lines = lines(bytes, plan.records);
        let subjects: [(&str, &str); 3] = [
            ("daemon, queue waits", "[queue]\nspill_at = 2.0\n"),
            ("daemon, as shipped", ""),
            ("daemon, journal = always", "[delivery]\njournal = 'always'\n"),
        ];
        let mut pipe = Vec::new();
        let mut daemon = vec![Vec::new(); subjects.len()];
        for _ in 0..plan.rounds {
            pipe.push(rate(plan.records, || bare_pipe(&lines)));
            for ((_, more), rates) in subjects.iter().zip(&mut daemon) {
                rates.push(rate(plan.records, || through_daemon(&lines, more)));
            }
        }
        let base = median(&mut pipe);
        println!("{:<34} {base:>12.0} {:>8.2}", format!("{bytes} B: bare pipe"), 1.0);
        for ((name, _), rates) in subjects.iter().zip(&mut daemon) {
            let rate = median(rates);
            println!("{:<34} {rate:>12.0} {:>8.2}", format!("{bytes} B: {name}"), rate / base);
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

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn rate(records: usize, run: impl FnOnce() -> Duration) -> f64 {
    records as f64 / run().as_secs_f64()
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
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

fn through_daemon(lines: &[Bytes], more: &str) -> Duration {
    let stage = Stage::set(lines);
    let config = stage.config(more);
    let daemon = Daemon::start(config).unwrap();
    let watch = daemon.watch();
    while watch.status().source.connects == 0 {
        std::thread::yield_now();
    }
    let began = Instant::now();
    let all = lines.len() as u64;
    let done = |counts: &spillway_daemon::ledger::Counts| counts.acked + counts.replayed == all;
    while !done(&watch.status().counts) {
        std::thread::sleep(Duration::from_millis(2));
    }
    let took = began.elapsed();
    watch.stop();
    let outcome = daemon.wait();
    assert!(done(&outcome.counts) && outcome.counts.unaccounted == 0, "{outcome:?}");
    took
}

fn bare_pipe(lines: &[Bytes]) -> Duration {
    let stage = Stage::set(lines);
    let producer: BaseProducer = producer_config(&stage.config("").kafka).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (producer_ref, url, all) = (&producer, stage.upstream.url(), lines.len());
    runtime.block_on(async move {
        let mut response = reqwest::get(url).await.unwrap();
        let began = Instant::now();
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
        began.elapsed()
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
