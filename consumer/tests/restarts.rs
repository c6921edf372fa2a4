//! Promises across runs: however a run ends, the tables come to the same, nothing twice and nothing
//! missing.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::{PATIENCE, Rec, Rig, activity, assert_recount, hour, rec};
use rdkafka::types::RDKafkaRespErr;
use spillway_consumer::store::StoreSettings;
use spillway_consumer::{AcquireError, Control, Error, LogError, WriteError, run};
use spillway_testkit::kafka::ApiKey;

/// The contents of all objects by path.
fn objects(store: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let tables = ["activity", "city_activity"];
    let paths = tables.iter().flat_map(|table| spillway_consumer::read::objects(store, table).unwrap());
    paths.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Makes every commit fail for good, until the errors are cleared.
fn fail_commits(rig: &Rig) {
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_COMMIT_OFFSET_SIZE; 1000];
    rig.mock.request_errors(ApiKey::OffsetCommit, &errors).unwrap();
}

#[test]
fn runs_that_are_stopped_on_the_way_come_to_what_one_run_comes_to() {
    let seed = 20_261_101;
    println!("seed {seed}");
    let (lines, recount) = hour(seed, 3000);
    let rig = Rig::new(4);
    for part in lines.chunks(1000) {
        rig.send_lines(part.iter().map(Vec::as_slice), true);
        let running = rig.start(rig.config());
        let seen = u64::try_from(part.len()).unwrap();
        running.wait("the new records", |p| p.read - p.replayed >= seen && p.objects + p.objects_found > 0);
        let before = objects(rig.store());
        running.stop();
        let after = objects(rig.store());
        assert!(
            before.iter().all(|(path, content)| after.get(path) == Some(content)),
            "a final object changed"
        );
    }
    let counted = rig.drain().progress;
    assert!(counted.read < 2500, "the last run begins near the end and not at the start: {counted:?}");
    assert_recount(rig.store(), &recount);
}

#[test]
fn a_crash_between_the_log_and_the_commit_neither_doubles_nor_loses() {
    let rig = Rig::new(2);
    rig.send((0..40).map(|i| rec(i % 2, i.unsigned_abs(), i64::from(i) * 30, "ann")));
    // Every commit fails, so the run ends as one that is killed before it has committed.
    fail_commits(&rig);
    let running = rig.start(rig.config());
    running.wait("the objects", |p| p.objects >= 3);
    let first = running.stop();
    let written = objects(rig.store());
    assert_eq!(written.len() as u64, first.progress.objects);
    rig.mock.clear_request_errors(ApiKey::OffsetCommit).unwrap();

    let second = rig.drain().progress;
    assert!(second.read <= 20, "the log says where to read on: {second:?}");
    assert_eq!(activity(rig.store()), [(0, 10), (300, 10), (600, 10), (900, 10)]);
    let after = objects(rig.store());
    assert!(written.iter().all(|(path, content)| after[path] == *content), "nothing is written twice");
}

#[test]
fn a_partition_that_was_idle_stays_closed_after_a_crash() {
    let rig = Rig::new(2);
    // Partition 1 is empty, so only time can close its panes, which no record repeats.
    rig.send([rec(0, 1, 0, "ann"), rec(0, 2, 900, "ann")]);
    fail_commits(&rig);
    let running = rig.start(rig.config());
    running.wait("the object", |p| p.objects == 1);
    running.stop();
    rig.mock.clear_request_errors(ApiKey::OffsetCommit).unwrap();
    rig.send([rec(1, 3, 10, "eve"), rec(1, 4, 910, "eve")]);
    let counted = rig.drain().progress;
    // The last frontier that was proposed is carried out again: nobody knows whether it was.
    assert_eq!((counted.late, counted.objects_found), (1, 1), "{counted:?}");
    assert_eq!(activity(rig.store()), [(0, 1), (900, 2)]);
}

#[test]
fn after_a_restart_events_for_final_windows_are_late_and_change_nothing() {
    let rig = Rig::new(1);
    rig.send([rec(0, 1, 10, "ann"), rec(0, 2, 400, "bob"), rec(0, 3, 700, "ann")]);
    let running = rig.start(rig.config());
    running.wait("two windows", |p| p.objects == 2);
    running.stop();
    rig.send([rec(0, 4, 20, "eve"), rec(0, 5, 710, "eve")]);
    let counted = rig.drain().progress;
    assert_eq!((counted.late, counted.events), (1, 2), "{counted:?}");
    assert_eq!(activity(rig.store()), [(0, 1), (300, 1), (600, 2)]);
}

#[test]
fn another_group_goes_on_where_the_log_is() {
    let rig = Rig::new(1);
    rig.send([rec(0, 1, 10, "ann"), rec(0, 2, 400, "bob"), rec(0, 3, 700, "ann")]);
    assert_eq!(rig.drain().progress.objects, 3);
    // Offsets that are gone, or those of a new group, say nothing: the log is the truth.
    rig.send([rec(0, 4, 1000, "ann")]);
    let mut config = rig.config();
    config.group = "another".into();
    let control = Control::new();
    control.drain();
    let counted = run(config, &control).unwrap().progress;
    assert_eq!((counted.objects, counted.read), (1, 1), "{counted:?}");
    assert_eq!(activity(rig.store()), [(0, 1), (300, 1), (600, 1), (900, 1)]);
}

#[test]
fn a_log_that_is_lost_is_not_passed_over() {
    let rig = Rig::new(1);
    rig.send([rec(0, 1, 10, "ann")]);
    rig.drain();
    std::fs::remove_dir_all(rig.store().join("_log")).unwrap();
    let control = Control::new();
    control.drain();
    let error = run(rig.config(), &control).unwrap_err();
    assert!(
        matches!(&error, Error::Acquire(AcquireError::Log { source: LogError::Lost { .. }, .. })),
        "{error:?}"
    );
    assert_eq!(error.exit().code(), 73);
}

#[test]
fn an_object_with_other_content_stops_the_run_and_stays() {
    let rig = Rig::new(1);
    rig.send([rec(0, 1, 10, "ann")]);
    rig.drain();
    let before = objects(rig.store());
    std::fs::remove_dir_all(rig.store().join("_log")).unwrap();
    let other = Rig::new(1);
    other.send([rec(0, 1, 10, "ann"), rec(0, 2, 20, "bob")]);
    let mut config = other.config();
    config.store = StoreSettings::local(rig.store());
    let control = Control::new();
    control.drain();
    let error = run(config, &control).unwrap_err();
    let Error::Write(WriteError::Differs { object, difference }) = &error else { panic!("{error:?}") };
    assert_eq!(object, "tables/activity/dt=2026-11-01/activity-20261101T000000Z.parquet");
    assert_eq!(difference, "its column events has other values");
    assert_eq!(error.exit().code(), 73);
    assert_eq!(objects(rig.store()), before);
}

#[test]
fn an_outage_of_all_brokers_is_waited_out() {
    let rig = Rig::new(2);
    rig.send((0..10).map(|i| rec(i % 2, i.unsigned_abs(), i64::from(i) * 60, "ann")));
    let running = rig.start(rig.config());
    running.wait("the first records", |p| p.read == 10);
    rig.mock.all_down().unwrap();
    running.wait("the ends to be unknown", |p| p.lag.is_none());
    running.control.drain();
    rig.mock.all_up().unwrap();
    rig.send([Rec { partition: 0, ..rec(0, 100, 1000, "bob") }]);
    let counted = running.end().unwrap().progress;
    assert_eq!(counted.late, 0);
    let total: i64 = activity(rig.store()).iter().map(|(_, n)| n).sum();
    // The last record may come after the ends were looked up; then the next run counts it.
    assert_eq!(total, i64::try_from(counted.events).unwrap());
    let rest = rig.drain().progress;
    assert_eq!(counted.events + rest.events + rest.late, 11);
}

#[test]
fn a_member_that_was_expelled_reads_its_open_windows_again_and_counts_them_once() {
    let rig = Rig::new(2);
    rig.send((0..10).map(|i| rec(i % 2, i.unsigned_abs(), i64::from(i) * 10, "ann")));
    let running = rig.start(rig.config());
    running.wait("the first records", |p| p.read == 10);
    rig.mock.all_down().unwrap();
    running.wait("the session to expire", |p| p.partitions == 0);
    rig.mock.all_up().unwrap();
    rig.send([rec(0, 100, 100, "bob")]);
    running.wait("the new record", |p| p.events == 11);
    let counted = running.drain().progress;
    assert_eq!((counted.read, counted.events, counted.replayed), (21, 11, 10));
    assert_eq!(activity(rig.store()), [(0, 11)]);
}

#[test]
fn a_run_stops_soon_when_no_broker_answers() {
    let rig = Rig::new(2);
    rig.send([rec(0, 1, 0, "ann"), rec(1, 2, 0, "ann")]);
    let running = rig.start(rig.config());
    running.wait("the records", |p| p.read == 2);
    rig.mock.all_down().unwrap();
    running.wait("the ends to be unknown", |p| p.lag.is_none());
    let asked = std::time::Instant::now();
    running.stop();
    assert!(asked.elapsed() < PATIENCE / 2, "{:?}", asked.elapsed());
}

#[test]
fn a_run_stops_soon_when_its_coordinator_is_away_and_a_commit_waits_for_it() {
    let rig = Rig::new(1);
    rig.send([rec(0, 1, 0, "ann")]);
    let mut config = rig.config();
    // Without a coordinator there is no sign of life: the session must outlast what is written until the stop. As
    // long, left alone, librdkafka would wait with the commit, and with leaving the group.
    config.kafka.options.push(("session.timeout.ms".into(), "120000".into()));
    let running = rig.start(config);
    running.wait("the record", |p| p.read == 1);
    // Partition 0 is led by broker 1; the group's coordinator is one of the others.
    rig.mock.broker_down(2).unwrap();
    rig.mock.broker_down(3).unwrap();
    rig.send([rec(0, 2, 900, "ann")]);
    running.wait("the object", |p| p.objects == 1);
    let asked = std::time::Instant::now();
    running.stop();
    assert!(asked.elapsed() < PATIENCE / 2, "{:?}", asked.elapsed());
    rig.mock.all_up().unwrap();
    // As another group: in this one the mock keeps the place of the member that is gone. What is done says the store.
    let mut config = rig.config();
    config.group = "another".into();
    let control = Control::new();
    control.drain();
    let counted = run(config, &control).unwrap().progress;
    assert_eq!((counted.objects_found, counted.objects), (1, 1), "{counted:?}");
    assert_eq!(activity(rig.store()), [(0, 1), (900, 1)]);
}
