//! What single records and silent partitions come to.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::time::Duration;

use common::{Rec, Rig, activity, rec, rows, tweet};
use rdkafka::types::RDKafkaRespErr;
use spillway_consumer::filter::Filter;
use spillway_consumer::metrics::{By, Kind, Plan};
use spillway_consumer::tables::Table;
use spillway_consumer::{Control, Error, Until, run};
use spillway_testkit::kafka::ApiKey;

#[test]
fn every_record_is_counted_as_one_thing_and_none_stops_the_run() {
    let rig = Rig::new(1);
    let raw = |value: &str| Rec { value: value.into(), ..Rec::default() };
    rig.send([
        rec(0, 1, 0, "ann"),
        rec(0, 1, 0, "ann"),
        raw(r#"{"data": {"author_id": "1021159080151404544"adr"#),
        raw(""),
        raw(r#"{"errors":[{"title":"operational-disconnect"}]}"#),
        raw(r#"{"errors":[{"title":"operational-disconnect"}]}"#),
        raw("[]"),
        Rec { value: tweet(9, 700, "eve"), timestamp_ms: Some(common::START * 1000), ..Rec::default() },
        rec(0, 2, 900, "bob"),
        rec(0, 3, 10, "eve"),
        Rec { id: None, ..rec(0, 4, 905, "bob") },
        Rec { id: None, ..rec(0, 4, 905, "bob") },
    ]);
    let counted = rig.drain().progress;
    assert_eq!(counted.read, 12);
    assert_eq!(
        (counted.events, counted.duplicates, counted.late, counted.notices, counted.quarantined),
        (4, 1, 1, 2, 4)
    );
    assert_eq!(activity(rig.store()), [(0, 1), (900, 3)], "the one from the future closed nothing");
}

#[test]
fn empty_and_idle_partitions_do_not_hold_the_windows_back() {
    let rig = Rig::new(3);
    // Partition 2 stays empty; partition 1 falls silent early.
    rig.send([rec(1, 1, 0, "ann"), rec(0, 2, 10, "ann")]);
    let running = rig.start(rig.config());
    running.wait("both", |p| p.read == 2);
    rig.send([rec(0, 3, 1000, "bob")]);
    running.wait("the first window", |p| p.objects == 1);
    // It speaks again: what belongs to the closed window is late, the rest is not.
    rig.send([rec(1, 4, 20, "eve"), rec(1, 5, 990, "eve")]);
    running.wait("all", |p| p.read == 5);
    let counted = running.drain().progress;
    assert_eq!((counted.events, counted.late), (4, 1));
    assert_eq!(activity(rig.store()), [(0, 2), (900, 2)]);
}

#[test]
fn a_partition_whose_leader_is_away_is_not_taken_for_idle() {
    let rig = Rig::new(3);
    rig.send((0..3).map(|p| rec(p, p.unsigned_abs(), 0, "ann")));
    let mut config = rig.config();
    config.time.idle_timeout = Duration::from_millis(300);
    let running = rig.start(config);
    running.wait("all three", |p| p.read == 3 && p.lag == Some(0));
    // Partition 2 is led by broker 3, which is not the group's coordinator.
    rig.mock.broker_down(3).unwrap();
    running.wait("its end to be unknown", |p| p.lag.is_none());
    rig.send([rec(0, 3, 1000, "bob"), rec(1, 4, 1000, "bob")]);
    running.wait("the later records", |p| p.read == 5);
    // Far longer than the idle timeout.
    let is_closed = running.control.wait_until(Duration::from_secs(3), |p| p.objects > 0);
    assert!(!is_closed, "a window was closed over a partition that could not be read");
    // Nobody learns of its end before it has more.
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN;
    rig.mock.request_errors(ApiKey::ListOffsets, &[unknown; 1_000]).unwrap();
    rig.mock.broker_up(3).unwrap();
    rig.send([rec(2, 5, 20, "eve"), rec(2, 6, 1000, "eve")]);
    rig.mock.clear_request_errors(ApiKey::ListOffsets).unwrap();
    running.wait("the first window", |p| p.objects == 1);
    assert_eq!(running.drain().progress.late, 0);
    assert_eq!(activity(rig.store()), [(0, 4), (900, 3)]);
}

#[test]
fn draining_works_when_everything_has_long_been_read() {
    let rig = Rig::new(3);
    rig.send((0..30).map(|i| rec(i % 3, i.unsigned_abs(), i64::from(i), "ann")));
    let running = rig.start(rig.config());
    running.wait("the end", |p| p.read == 30 && p.lag == Some(0));
    let summary = running.drain();
    assert_eq!(summary.ended, Until::Drained);
    assert_eq!(
        (summary.progress.objects, summary.tables[0].rows, summary.tables[0].table.as_str()),
        (1, 1, "activity")
    );
    assert_eq!(activity(rig.store()), [(0, 30)]);
    let again = rig.drain();
    assert_eq!((again.progress.read, again.progress.objects), (0, 0), "nothing is left to read");
}

#[test]
fn an_empty_topic_drains_to_nothing_and_a_missing_one_is_an_error() {
    let rig = Rig::new(2);
    let summary = rig.drain();
    assert_eq!((summary.ended, summary.progress.read, summary.progress.objects), (Until::Drained, 0, 0));
    let mut config = rig.config();
    config.topic = "no-such-topic".into();
    // Without this the mock creates what it is asked for.
    config.kafka.options.push(("allow.auto.create.topics".into(), "false".into()));
    let control = Control::new();
    control.drain();
    let result = run(config, &control);
    assert!(matches!(&result, Err(Error::NoTopic { topic }) if topic == "no-such-topic"), "{result:?}");
}

#[test]
fn tables_of_other_windows_metrics_and_groups_are_kept_side_by_side() {
    let rig = Rig::new(2);
    let place = |id: u32, secs: i64, place: &str, sort: &str| {
        let time = chrono::DateTime::from_timestamp(common::START + secs, 0).unwrap().to_rfc3339();
        let value = format!(
            r#"{{"data":{{"id":"{id}","author_id":"1","created_at":"{time}"}},"includes":{{"places":[{{"full_name":"{place}","place_type":"{sort}"}}]}}}}"#
        );
        Rec { partition: 0, id: Some(id.to_string()), value: value.into_bytes(), timestamp_ms: None }
    };
    rig.send([
        place(1, 0, "Rome", "city"),
        place(2, 400, "Rome", "city"),
        place(3, 700, "Italy", "country"),
        place(4, 700, "Oslo", "city"),
    ]);
    let mut config = rig.config();
    let hour = Table::new("places_hour", Duration::from_secs(3600), By::Place, Filter::default());
    config.tables.push(Table { plan: Plan::new(vec![Kind::Events]), ..hour });
    let control = Control::new();
    control.drain();
    let summary = run(config, &control).unwrap();
    let objects: Vec<_> = summary.tables.iter().map(|t| (t.table.as_str(), t.objects, t.rows)).collect();
    assert_eq!(objects, [("activity", 3, 3), ("city_activity", 3, 3), ("places_hour", 1, 3)]);
    let cities: Vec<_> = rows(rig.store(), "city_activity")
        .into_iter()
        .map(|((start, city), c)| (start - common::START, city, c[0]))
        .collect();
    assert_eq!(cities, [(0, "Rome".to_owned(), 1), (300, "Rome".to_owned(), 1), (600, "Oslo".to_owned(), 1)]);
    let batches = spillway_consumer::read::read_table(rig.store(), "places_hour").unwrap();
    assert_eq!(batches.len(), 1);
    let names: Vec<_> = batches[0].schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["window_start", "window_end", "place", "events"]);
}
