//! The daemon as a library through outages: every record by id, its bytes, and the order.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the helpers of a test fail loudly, as the test does"
)]

mod common;

use std::time::Duration;

use common::{PATIENCE, Rig, start_direct, wait_until};
use rdkafka::types::RDKafkaRespErr;
use spillway_daemon::circuit::State;
use spillway_daemon::config::Journal;
use spillway_daemon::ledger::unix_ms;
use spillway_daemon::record::Outgoing;
use spillway_daemon::{Config, Daemon, Outcome, Reason};
use spillway_service::settings::Environment;
use spillway_spool::{Appended, Config as SpoolConfig, Group, Spool};
use spillway_testkit::kafka::ApiKey;
use spillway_testkit::upstream::Options;

const RECORDS: usize = 6_000;

/// Runs `RECORDS` records through the daemon; in the middle all brokers are away while `during` many
/// more come in. Stops the daemon once everything is acknowledged.
fn run(rig: &Rig, seed: u64, more: &str) -> Outcome {
    let third = RECORDS as u64 / 3;
    let upstream =
        rig.upstream(seed, RECORDS, Options { rate: 4_000, pause_at: Some(third), ..Options::default() });
    let config = rig.config(&upstream.url(), more);
    let is_direct = config.delivery.journal != Journal::Always;
    let daemon = if is_direct { start_direct(config, &upstream) } else { Daemon::start(config).unwrap() };
    let watch = daemon.watch();
    wait_until("the first third is delivered", || {
        let counts = watch.status().counts;
        counts.acked + counts.replayed == third
    });
    rig.mock.all_down().unwrap();
    upstream.resume();
    assert!(upstream.wait_served(2 * third, PATIENCE));
    wait_until("the breaker opens", || watch.status().breaker == State::Open);
    wait_until("records go to disk", || watch.status().counts.spooled > 0);
    rig.mock.all_up().unwrap();
    assert!(upstream.wait_served(RECORDS as u64, PATIENCE));
    wait_until("everything is acknowledged", || {
        let status = watch.status();
        status.counts.acked + status.counts.replayed == RECORDS as u64 && status.spool.records == 0
    });
    watch.stop();
    daemon.wait()
}

fn assert_accounts(outcome: &Outcome) {
    let counts = &outcome.counts;
    assert!(matches!(outcome.reason, Reason::Stopped), "{:?}", outcome.reason);
    assert_eq!(counts.received, RECORDS as u64);
    assert_eq!(counts.received, counts.acked + counts.spooled, "{counts:?}");
    assert_eq!(counts.spooled, counts.replayed, "{counts:?}");
    assert_eq!((counts.dropped_records(), counts.unaccounted, outcome.backlog), (0, 0, 0), "{counts:?}");
}

#[test]
fn arrival_keeps_every_record_and_the_order_across_an_outage() {
    let rig = Rig::start();
    let outcome = run(&rig, 1, "[delivery]\norder = 'arrival'\n");
    assert_accounts(&outcome);
    assert!(outcome.counts.spooled > 0 && outcome.counts.acked > 0, "both ways were taken");
    let verdict = rig.verdict(RECORDS);
    assert!(verdict.is_complete(), "{verdict:?}");
    assert_eq!(verdict.disorder, [], "the order of arrival");
    assert!(verdict.scattered.is_empty(), "a duplicate meets its twin in the same partition");
}

#[test]
fn fresh_keeps_every_record() {
    let rig = Rig::start();
    let outcome = run(&rig, 2, "[delivery]\norder = 'fresh'\n");
    assert_accounts(&outcome);
    let verdict = rig.verdict(RECORDS);
    assert!(verdict.is_complete(), "{verdict:?}");
}

#[test]
fn always_puts_every_record_on_disk_first() {
    let rig = Rig::start();
    let outcome = run(&rig, 3, "[delivery]\njournal = 'always'\n");
    assert_accounts(&outcome);
    assert_eq!((outcome.counts.acked, outcome.counts.spooled), (0, RECORDS as u64));
    let verdict = rig.verdict(RECORDS);
    assert!(verdict.is_complete(), "{verdict:?}");
    assert_eq!(verdict.disorder, []);
}

#[test]
fn an_overload_runs_to_disk_and_keeps_the_order() {
    let rig = Rig::start();
    for broker in 1..=3 {
        rig.mock.round_trip(broker, Duration::from_millis(200)).unwrap();
    }
    let upstream = rig.upstream(4, RECORDS, Options { rate: 15_000, ..Options::default() });
    let more = "in_flight_records = 100\n";
    let text = rig.config_text(&upstream.url(), "[admin]\nlisten = 'none'\n[queue]\nmax_records = 500\n");
    let text = text.replace("linger = '5ms'\n", &format!("linger = '5ms'\n{more}"));
    let config =
        spillway_daemon::Config::parse("t", &text, &spillway_service::settings::Environment::default())
            .unwrap();
    let daemon = Daemon::start(config).unwrap();
    let watch = daemon.watch();
    wait_until("the overload shows on disk", || watch.status().counts.spooled > 0);
    for broker in 1..=3 {
        rig.mock.round_trip(broker, Duration::ZERO).unwrap();
    }
    let verdict = rig.verdict(RECORDS);
    assert!(verdict.is_complete(), "{verdict:?}");
    assert_eq!(verdict.disorder, []);
    wait_until("everything is acknowledged", || {
        watch.status().counts.in_memory() == 0 && watch.status().spool.records == 0
    });
    watch.stop();
    assert_accounts(&daemon.wait());
}

#[test]
fn a_record_that_kafka_refuses_is_a_dead_letter_and_blocks_nothing() {
    let rig = Rig::start();
    let upstream = rig.upstream(5, 500, Options { rate: 5_000, ..Options::default() });
    let text = rig.config_text(&upstream.url(), "[admin]\nlisten = 'none'\n");
    // Some of the generated records are larger than this, most are not.
    let text = text.replace("linger = '5ms'\n", "linger = '5ms'\nmax_record_bytes = 2000\n");
    let config =
        spillway_daemon::Config::parse("t", &text, &spillway_service::settings::Environment::default())
            .unwrap();
    let daemon = start_direct(config, &upstream);
    let watch = daemon.watch();
    wait_until("all records have a fate", || {
        let counts = watch.status().counts;
        counts.received == 500 && counts.in_memory() == 0
    });
    watch.stop();
    drop(watch);
    let outcome = daemon.wait();
    let refused = outcome.counts.dropped_records();
    assert!(refused > 0 && refused < 500, "{:?}", outcome.counts);
    assert_eq!(outcome.counts.dropped[0].reason, "refused");
    assert_eq!(outcome.counts.acked, 500 - refused);
    let (spool, _appender, _reader) =
        spillway_spool::Spool::open(spillway_spool::Config::new(rig.spool_dir())).unwrap();
    assert_eq!(spool.stats().dead_letters, refused);
}

#[test]
fn an_outage_from_the_very_start_loses_nothing() {
    let rig = Rig::start();
    rig.mock.all_down().unwrap();
    let upstream = rig.upstream(6, 1_000, Options { rate: 2_000, ..Options::default() });
    let daemon = Daemon::start(rig.config(&upstream.url(), "")).unwrap();
    let watch = daemon.watch();
    wait_until("all of it is on disk", || watch.status().counts.spooled == 1_000);
    assert_eq!(watch.status().breaker, State::Open);
    rig.mock.all_up().unwrap();
    let verdict = rig.verdict(1_000);
    assert!(verdict.is_complete(), "{verdict:?}");
    assert_eq!(verdict.disorder, []);
    watch.stop();
    assert_eq!(daemon.wait().counts.unaccounted, 0);
}

#[test]
fn a_stop_during_an_outage_leaves_everything_on_disk_within_the_deadline() {
    let rig = Rig::start();
    let upstream = rig.upstream(7, 2_000, Options { rate: 4_000, pause_at: Some(500), ..Options::default() });
    let more = "[shutdown]\ndrain_deadline = '3s'\n";
    let daemon = start_direct(rig.config(&upstream.url(), more), &upstream);
    let watch = daemon.watch();
    wait_until("the first records are acknowledged", || watch.status().counts.acked == 500);
    let before = unix_ms();
    rig.mock.all_down().unwrap();
    upstream.resume();
    wait_until("all records are in", || watch.status().counts.received == 2_000);
    let began = std::time::Instant::now();
    watch.stop();
    drop(watch);
    let outcome = daemon.wait();
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    assert_eq!((outcome.counts.acked, outcome.counts.spooled, outcome.backlog), (500, 1_500, 1_500));
    assert_eq!((outcome.counts.unaccounted, outcome.counts.dropped_records()), (0, 0));

    let after = unix_ms();
    let next = Daemon::start(rig.config(&upstream.url(), more)).unwrap();
    let watch = next.watch();
    wait_until("the age of the backlog is known", || watch.status().spool.oldest_ms.is_some());
    let oldest = watch.status().spool.oldest_ms.unwrap();
    assert!((before..=after).contains(&oldest), "{before} <= {oldest} <= {after}");
    rig.mock.all_up().unwrap();
    let verdict = rig.verdict(2_000);
    assert!(verdict.is_complete(), "{verdict:?}");
    assert_eq!(verdict.disorder, []);
    wait_until("the spool is empty", || watch.status().spool.records == 0);
    assert_eq!(watch.status().spool.oldest_ms, None);
    watch.stop();
    assert_eq!(next.wait().counts.replayed, 1_500);
}

#[test]
fn a_fatal_producer_error_rebuilds_the_producer_by_itself() {
    let rig = Rig::start();
    let upstream = rig.upstream(8, 3_000, Options { rate: 4_000, pause_at: Some(500), ..Options::default() });
    let daemon = start_direct(rig.config(&upstream.url(), ""), &upstream);
    let watch = daemon.watch();
    wait_until("the first records are acknowledged", || watch.status().counts.acked == 500);
    // To an idempotent producer this says that records of it were lost: it is broken for good.
    let broken = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    rig.mock.request_errors(ApiKey::Produce, &[broken]).unwrap();
    upstream.resume();
    let verdict = rig.verdict(3_000);
    assert!(verdict.is_complete(), "{verdict:?}");
    assert_eq!(verdict.disorder, []);
    let history = watch.status().breaker_history;
    assert!(history.iter().any(|change| change.cause == "fatal"), "{history:?}");
    wait_until("the breaker is closed again", || watch.status().breaker == State::Closed);
    watch.stop();
    assert_eq!(daemon.wait().counts.unaccounted, 0);
}

/// Puts records on disk, as a daemon would have left them; record `n` was received `n` ms after `first_ms`.
fn put_backlog(rig: &Rig, records: u32, first_ms: i64) {
    let (spool, mut appender, reader) = Spool::open(SpoolConfig::new(rig.spool_dir())).unwrap();
    let mut group = Group::new();
    for n in 0..records {
        let (id, value) = (format!("{n}"), format!("{{\"data\":{{\"id\":\"{n}\"}}}}"));
        let (topic, source) = (common::TOPIC, "old");
        let timestamp_ms = first_ms + i64::from(n);
        let record = Outgoing { topic, source, id: &id, key: None, value: value.as_bytes(), timestamp_ms };
        let mut header = Vec::new();
        record.write_header(&mut header);
        group.push(&[&header, value.as_bytes()]);
    }
    assert!(matches!(appender.append(&group).unwrap(), Appended::Stored { records: n, .. } if n == records));
    drop((spool, appender, reader));
}

#[test]
fn fresh_records_are_not_kept_waiting_by_a_backlog() {
    const BACKLOG: u32 = 20_000;
    let rig = Rig::start();
    put_backlog(&rig, BACKLOG, 0);
    let upstream = rig.upstream(15, 600, Options { rate: 400, ..Options::default() });
    let text = rig.config_text(&upstream.url(), "[delivery]\norder = 'fresh'\n[admin]\nlisten = 'none'\n");
    // A slow cluster: the backlog takes some ten seconds.
    let text = text.replace("linger = '5ms'\n", "linger = '5ms'\nin_flight_records = 400\n");
    // Nor is slow away, however busy this machine is.
    let text = text.replace("ack_timeout = '10s'", "ack_timeout = '30s'\npartition_timeout = '30s'");
    (1..=3).for_each(|broker| rig.mock.round_trip(broker, Duration::from_millis(100)).unwrap());
    let config = Config::parse("test.toml", &text, &Environment::default()).unwrap();
    let daemon = start_direct(config, &upstream);
    let watch = daemon.watch();
    wait_until("all fresh records are acknowledged", || {
        let counts = watch.status().counts;
        counts.acked + counts.spooled == 600 && counts.acked > 500
    });
    let left = watch.status().spool.records;
    assert!(left > u64::from(BACKLOG) / 4, "the backlog was faster: {left} left");
    wait_until("the backlog is delivered", || watch.status().spool.records == 0);
    watch.stop();
    let counts = daemon.wait().counts;
    assert_eq!(counts.replayed, counts.spooled + u64::from(BACKLOG));
}

#[test]
fn records_that_waited_on_disk_for_a_week_are_delivered_as_they_were_received() {
    let week_ago = unix_ms() - 7 * 86_400_000;
    let rig = Rig::start();
    put_backlog(&rig, 500, i64::try_from(week_ago).unwrap());
    let upstream = rig.upstream(9, 100, Options::default());
    let daemon = Daemon::start(rig.config(&upstream.url(), "")).unwrap();
    let watch = daemon.watch();
    wait_until("all are in the topic", || rig.reader.snapshot().ids().len() == 600);
    let snapshot = rig.reader.snapshot();
    let mut times: Vec<_> = snapshot
        .partitions
        .values()
        .flatten()
        .filter_map(|e| Some((e.id.as_ref()?.parse::<i64>().ok()?, e.timestamp_ms?)))
        .filter(|(n, _)| *n < 500)
        .collect();
    times.sort_unstable();
    let expected: Vec<_> = (0..500).map(|n| (n, i64::try_from(week_ago).unwrap() + n)).collect();
    assert_eq!(times, expected);
    wait_until("each is acknowledged", || watch.status().counts.replayed == 500);
    // Some a moment less than a week, some more.
    let took = watch.status().latency.disk.buckets;
    assert_eq!(took.iter().rev().take(2).map(|(_, count)| count).sum::<u64>(), 500, "{took:?}");
    watch.stop();
    assert_eq!(daemon.wait().counts.replayed, 500);
}

#[test]
fn brokers_that_answer_probes_and_refuse_records_are_tried_less_and_less_often() {
    let rig = Rig::start();
    let upstream =
        rig.upstream(10, 1_000, Options { rate: 4_000, pause_at: Some(500), ..Options::default() });
    let daemon = start_direct(rig.config(&upstream.url(), ""), &upstream);
    let watch = daemon.watch();
    wait_until("the first records are acknowledged", || watch.status().counts.acked == 500);
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    rig.mock.request_errors(ApiKey::Produce, &[denied; 10_000]).unwrap();
    upstream.resume();
    let opened = || {
        let history = watch.status().breaker_history;
        history.into_iter().filter(|c| c.to == State::Open).map(|c| c.at_ms).collect::<Vec<_>>()
    };
    wait_until("the breaker has opened eight times", || opened().len() >= 8);
    let opened = opened();
    // The waits grow from 100 ms by 1.6 each time and are jittered by 30 % at most.
    assert!(opened[7] - opened[6] >= 1_000, "{opened:?}");
    assert_eq!(watch.status().counts.dropped_records(), 0, "a denied record is not to blame");
    rig.mock.clear_request_errors(ApiKey::Produce).unwrap();
    let verdict = rig.verdict(1_000);
    assert!(verdict.is_complete(), "{verdict:?}");
    assert_eq!(verdict.disorder, []);
    watch.stop();
    assert_eq!(daemon.wait().counts.unaccounted, 0);
}
