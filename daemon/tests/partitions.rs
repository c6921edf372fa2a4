//! A part of Kafka is away: partitions without a leader or with one that does not answer, and batches
//! that are too large for the topic.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the helpers of a test fail loudly, as the test does"
)]

mod common;

use std::collections::BTreeMap;

use common::{PARTITIONS, Rig, start_direct, wait_until};
use rdkafka::types::RDKafkaRespErr;
use spillway_daemon::{Config, Daemon};
use spillway_service::settings::Environment;
use spillway_testkit::kafka::ApiKey;
use spillway_testkit::oracle::Sent;
use spillway_testkit::upstream::Options;

/// Different records of each partition so far.
fn firsts(rig: &Rig) -> BTreeMap<i32, usize> {
    let snapshot = rig.reader.snapshot();
    let distinct = |entries: &Vec<spillway_testkit::kafka::Entry>| {
        entries.iter().map(|e| e.hash).collect::<std::collections::HashSet<_>>().len()
    };
    snapshot.partitions.iter().map(|(p, entries)| (*p, distinct(entries))).collect()
}

/// How many records each partition is due, by the rule that it follows from the id.
fn due(sent: &[Sent]) -> BTreeMap<i32, usize> {
    let mut due = BTreeMap::new();
    for record in sent {
        let partition = crc32c::crc32c(record.id.as_ref().unwrap().as_bytes()) % PARTITIONS.unsigned_abs();
        *due.entry(i32::try_from(partition).unwrap()).or_default() += 1;
    }
    due
}

/// The partitions that broker 3 leads. The mock moves no leader, so they are away while it is down.
const AWAY: [i32; 2] = [2, 5];

/// Serves 6,000 records; after 1,000 of them broker 3 goes down. The others' partitions must get all of
/// theirs meanwhile, and all records must arrive, in order, once it is back.
fn one_broker_away(seed: u64, more: &str) {
    const RECORDS: usize = 6_000;
    let rig = Rig::start();
    let upstream =
        rig.upstream(seed, RECORDS, Options { rate: 1_500, pause_at: Some(1_000), ..Options::default() });
    let text = rig.config_text(&upstream.url(), &format!("{more}[admin]\nlisten = 'none'\n"));
    let text = text.replace("ack_timeout = '10s'", "ack_timeout = '1s'\npartition_timeout = '1s'");
    let config = Config::parse("test.toml", &text, &Environment::default()).unwrap();
    let daemon = Daemon::start(config).unwrap();
    let watch = daemon.watch();
    wait_until("the first records are in the topic", || rig.reader.snapshot().ids().len() == 1_000);
    let before = firsts(&rig);
    rig.mock.broker_down(3).unwrap();
    upstream.resume();
    wait_until("the partitions are held", || watch.status().held_partitions == ["events/2", "events/5"]);
    wait_until("all records are in", || watch.status().counts.received == RECORDS as u64);
    let due = due(&rig.sent(RECORDS));
    wait_until("the others have all of theirs", || {
        let now = firsts(&rig);
        (0..PARTITIONS).filter(|p| !AWAY.contains(p)).all(|p| now[&p] == due[&p])
    });
    assert!(AWAY.iter().all(|p| firsts(&rig)[p] == before[p] && before[p] < due[p]));
    rig.mock.broker_up(3).unwrap();
    let verdict = rig.verdict(RECORDS);
    assert!(verdict.is_complete(), "{verdict:?}");
    if !more.contains("fresh") {
        assert_eq!(verdict.disorder, []);
    }
    wait_until("the spool is empty", || watch.status().spool.records == 0);
    assert_eq!(watch.status().held_partitions, [] as [String; 0]);
    watch.stop();
    assert_eq!(daemon.wait().counts.unaccounted, 0);
}

#[test]
fn partitions_that_do_not_answer_do_not_stop_the_others() {
    one_broker_away(31, "");
}

#[test]
fn nor_with_a_journal() {
    one_broker_away(32, "[delivery]\njournal = 'always'\n");
}

#[test]
fn nor_with_fresh_records_first() {
    one_broker_away(33, "[delivery]\norder = 'fresh'\n");
}

#[test]
fn partitions_that_are_silent_from_the_start_do_not_stop_the_others() {
    const RECORDS: usize = 2_000;
    let rig = Rig::start();
    rig.mock.broker_down(3).unwrap();
    let upstream = rig.upstream(36, RECORDS, Options { rate: 1_000, ..Options::default() });
    let daemon = Daemon::start(rig.config(&upstream.url(), "")).unwrap();
    let watch = daemon.watch();
    wait_until("all records are in", || watch.status().counts.received == RECORDS as u64);
    let due = due(&rig.sent(RECORDS));
    wait_until("the others have all of theirs", || {
        let now = firsts(&rig);
        let has_all = |p: &i32| now.get(p).copied().unwrap_or(0) == due[p];
        (0..PARTITIONS).filter(|p| !AWAY.contains(p)).all(|p| has_all(&p))
    });
    rig.mock.broker_up(3).unwrap();
    let verdict = rig.verdict(RECORDS);
    assert!(verdict.is_complete(), "{verdict:?}");
    assert_eq!(verdict.disorder, []);
    watch.stop();
    assert_eq!(daemon.wait().counts.unaccounted, 0);
}

#[test]
fn a_batch_that_is_too_large_is_sent_again_in_smaller_ones() {
    let rig = Rig::start();
    let upstream = rig.upstream(34, 2_000, Options { pause_at: Some(500), ..Options::default() });
    let daemon = start_direct(rig.config(&upstream.url(), ""), &upstream);
    let watch = daemon.watch();
    wait_until("the first records are acknowledged", || watch.status().counts.acked == 500);
    rig.mock
        .request_errors(ApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; 2])
        .unwrap();
    upstream.resume();
    let verdict = rig.verdict(2_000);
    assert!(verdict.is_complete(), "{verdict:?}");
    let counts = watch.status().counts;
    assert_eq!(counts.dropped_records(), 0, "no record was to blame: {counts:?}");
    watch.stop();
    assert_eq!(daemon.wait().counts.unaccounted, 0);
}
