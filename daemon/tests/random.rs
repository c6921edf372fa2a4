//! Random faults of the mock cluster, from a seed: brokers come and go, all or one by one, and answer
//! slowly. Every record must arrive, and with `order = "arrival"` in order.
//!
//! `SPILLWAY_SEED=N` repeats one run.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the helpers of a test fail loudly, as the test does"
)]

mod common;

use std::time::Duration;

use common::{Rig, wait_until};
use spillway_daemon::{Config, Daemon};
use spillway_service::settings::Environment;
use spillway_testkit::rng::Rng;
use spillway_testkit::upstream::Options;

const RECORDS: usize = 8_000;

#[derive(Debug, Clone, Copy)]
enum Fault {
    AllDown,
    AllUp,
    Down(i32),
    Up(i32),
    Slow(i32, u64),
}

fn draw(rng: &mut Rng) -> Fault {
    let broker = i32::try_from(rng.below(3)).unwrap() + 1;
    match rng.below(6) {
        0 => Fault::AllDown,
        1 | 2 => Fault::AllUp,
        3 => Fault::Down(broker),
        4 => Fault::Up(broker),
        _ => Fault::Slow(broker, rng.below(300)),
    }
}

fn inject(rig: &Rig, fault: Fault) {
    match fault {
        Fault::AllDown => rig.mock.all_down(),
        Fault::AllUp => rig.mock.all_up(),
        Fault::Down(broker) => rig.mock.broker_down(broker),
        Fault::Up(broker) => rig.mock.broker_up(broker),
        Fault::Slow(broker, ms) => rig.mock.round_trip(broker, Duration::from_millis(ms)),
    }
    .unwrap();
}

/// Faults follow each other by the number of records served, so that a run repeats as closely as threads
/// allow.
fn survive(seed: u64, more: &str) -> (Rig, spillway_daemon::Outcome) {
    let seed = std::env::var("SPILLWAY_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(seed);
    let mut rng = Rng::new(seed);
    let rig = Rig::start();
    let upstream = rig.upstream(seed, RECORDS, Options { rate: 1_500, ..Options::default() });
    // Silence opens the breaker, too: a busy machine is one more fault here.
    let text = rig.config_text(&upstream.url(), &format!("{more}[admin]\nlisten = 'none'\n"));
    let text = text.replace("ack_timeout = '10s'", "ack_timeout = '1s'");
    let daemon = Daemon::start(Config::parse("test.toml", &text, &Environment::default()).unwrap()).unwrap();
    let watch = daemon.watch();
    let mut served = 0;
    while served < RECORDS as u64 {
        served = (served + 150 + rng.below(900)).min(RECORDS as u64);
        assert!(upstream.wait_served(served, common::PATIENCE), "the upstream stands still");
        let fault = draw(&mut rng);
        eprintln!("after {served} records: {fault:?}");
        inject(&rig, fault);
    }
    inject(&rig, Fault::AllUp);
    (1..=3).for_each(|broker| inject(&rig, Fault::Slow(broker, 0)));
    wait_until("everything is acknowledged", || {
        let status = watch.status();
        status.counts.received == RECORDS as u64
            && status.counts.in_memory() == 0
            && status.spool.records == 0
    });
    watch.stop();
    let outcome = daemon.wait();
    let counts = &outcome.counts;
    assert_eq!((counts.unaccounted, counts.dropped_records(), outcome.backlog), (0, 0, 0), "{counts:?}");
    assert_eq!(
        (counts.received, counts.spooled),
        (counts.acked + counts.spooled, counts.replayed),
        "{counts:?}"
    );
    (rig, outcome)
}

#[test]
fn arrival_survives_random_faults_in_order() {
    for seed in [101, 102] {
        let (rig, _) = survive(seed, "");
        let verdict = rig.verdict(RECORDS);
        assert!(verdict.is_complete(), "seed {seed}: {verdict:?}");
        assert_eq!(verdict.disorder, [], "seed {seed}");
    }
}

#[test]
fn fresh_survives_random_faults() {
    let (rig, _) = survive(103, "[delivery]\norder = 'fresh'\n");
    let verdict = rig.verdict(RECORDS);
    assert!(verdict.is_complete(), "{verdict:?}");
}

#[test]
fn a_journal_survives_random_faults_in_order() {
    let (rig, _) = survive(104, "[delivery]\njournal = 'always'\n");
    let verdict = rig.verdict(RECORDS);
    assert!(verdict.is_complete(), "{verdict:?}");
    assert_eq!(verdict.disorder, []);
}
