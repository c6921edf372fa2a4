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

#[path = "common/mod.rs"]
mod common;

use common::{Plan, Round, Target, bare_pipe, lines, median, round, through_daemon};
use spillway_testkit::kafka::Mock;

/// As in the program; the bare pipe has it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TOPIC: &str = "events";

fn main() {
    spillway_daemon::sources::http::choose_cryptography();
    let plan = Plan::from_args(200_000);
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
            pipe.push(round(plan.records, || on_mock(|target| bare_pipe(&lines, target))));
            for ((_, more), rates) in subjects.iter().zip(&mut daemon) {
                rates.push(round(plan.records, || on_mock(|target| through_daemon(&lines, target, more))));
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

/// Runs against a mock cluster of its own, which ends with the run.
fn on_mock<T>(run: impl FnOnce(Target) -> T) -> T {
    let mock = Mock::start(3).unwrap();
    mock.create_topic(TOPIC, 12, 3).unwrap();
    run(Target { bootstrap: mock.bootstrap().to_owned(), topic: TOPIC.to_owned() })
}
