//! Tests of what a run shows of itself: from nothing at all to a loop that hangs.

use super::*;
use crate::control::TableSummary;
use crate::newest::{GroupStatus, WindowStatus};
use crate::status::{BlockedBy, Counts, Figures, Frontier, Lag, Notifications, PartitionStatus, StoreStatus};
use crate::store::Meter;

fn status() -> Status {
    let figures = Figures { partition: 3, next: Some(90), watermark: Some(5_000_000), ..Figures::default() };
    let partition = PartitionStatus::of(figures, Some((10, 100)), 8_000_000);
    let meter = Meter::default();
    meter.count(Duration::from_millis(3), None);
    meter.count(Duration::from_secs(40), None);
    Status {
        version: "1",
        topic: "events".into(),
        group: "g".into(),
        instance_id: None,
        not_ready: Vec::new(),
        is_paused: false,
        counts: Counts { read: 7, late: 2, log_conflicts: 1, ..Counts::default() },
        lag: Lag::sum(std::slice::from_ref(&partition)),
        frontier: Frontier {
            is_ours: true,
            final_ms: Some(4_000),
            final_lag_ms: Some(4_000),
            usual_lag_ms: 91_000,
            proposed_ms: None,
            blocked_by: Some(BlockedBy { partition: 3, has_log: true, closed_through_ms: Some(4_000) }),
        },
        partitions: vec![partition],
        tables: vec![TableSummary { table: "activity".into(), objects: 5, rows: 6, objects_found: 0 }],
        windows: vec![WindowStatus {
            table: "city_activity".into(),
            start_ms: 0,
            end_ms: 300_000,
            groups: 40,
            top: vec![GroupStatus { group: "Hong \"Kong\"".into(), counts: [("events", 9)].into() }],
        }],
        notifications: Notifications { delivered: 4, failures: 3 },
        kafka_silent_ms: Some(0),
        store: StoreStatus { put: meter.read(), ..StoreStatus::default() },
    }
}

#[test]
fn before_its_first_turn_a_run_is_alive_and_not_ready() {
    let watch = Watch::default();
    assert!(watch.is_due(Instant::now()));
    assert_eq!(watch.health(), Ok(()));
    assert_eq!(watch.ready(), Err(STARTING.to_owned()));
    assert!(Endpoint::status(&watch).is_err() && watch.metrics().is_err());
}

#[test]
fn a_run_is_ready_unless_it_says_why_not() {
    let (watch, now) = (Watch::default(), Instant::now());
    watch.set(status(), now);
    assert!(!watch.is_due(now) && watch.is_due(now + INTERVAL));
    assert_eq!((watch.health(), watch.ready()), (Ok(()), Ok(())));
    watch.set(Status { not_ready: vec!["Kafka is away".into(), "so is the store".into()], ..status() }, now);
    assert_eq!(watch.ready().unwrap_err(), "Kafka is away; so is the store");
    assert_eq!(watch.health(), Ok(()), "starting it anew would not help");
}

#[test]
fn a_loop_that_hangs_is_neither_well_nor_ready() {
    let watch = Watch::default();
    let Some(long_ago) = Instant::now().checked_sub(Duration::from_secs(61)) else { return };
    watch.set(status(), long_ago);
    assert!(watch.health().unwrap_err().contains("has not turned for 61 s"));
    assert!(watch.ready().is_err());
}

#[test]
fn the_status_is_json_and_the_metrics_name_their_units() {
    let watch = Watch::default();
    watch.set(status(), Instant::now());
    let json: serde_json::Value = serde_json::from_str(&Endpoint::status(&watch).unwrap()).unwrap();
    assert_eq!(json["partitions"][0]["processed"], 10, "{json}");
    assert_eq!(json["frontier"]["blocked_by"]["partition"], 3);
    assert_eq!(json["store"]["put"]["p99_ms"], 40_000);
    let metrics = watch.metrics().unwrap();
    for line in [
        "spillway_consumer_read_records_total 7",
        "spillway_consumer_notify_failures_total 3",
        "spillway_consumer_window_end_seconds{table=\"city_activity\"} 300",
        "spillway_consumer_window_groups{table=\"city_activity\"} 40",
        "spillway_consumer_window_count{table=\"city_activity\",group=\"Hong \\\"Kong\\\"\",column=\"events\"} 9",
        "spillway_consumer_late_events_total 2",
        "spillway_consumer_log_conflicts_total 1",
        "spillway_consumer_ready 1",
        "spillway_consumer_lag_records 10",
        "spillway_consumer_lag_durable_records 90",
        "spillway_consumer_partition_lag_records{partition=\"3\"} 10",
        "spillway_consumer_partition_watermark_lag_milliseconds{partition=\"3\"} 3000",
        "spillway_consumer_frontier_lag_milliseconds 4000",
        "spillway_consumer_frontier_usual_lag_milliseconds 91000",
        "spillway_consumer_frontier_blocked{partition=\"3\"} 1",
        "spillway_consumer_table_objects_total{table=\"activity\"} 5",
        "spillway_consumer_store_request_seconds_count{request=\"put\"} 2",
        "spillway_consumer_store_request_seconds_bucket{le=\"0.002\",request=\"put\"} 0",
        "spillway_consumer_store_request_seconds_bucket{le=\"0.005\",request=\"put\"} 1",
        "spillway_consumer_store_request_seconds_bucket{le=\"+Inf\",request=\"put\"} 2",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn only_an_address_that_was_asked_for_must_be_had() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = admin::Listen::Tcp(taken.local_addr().unwrap());
    let usual = Admin { listen: listen.clone(), is_asked_for: false };
    assert!(serve(Some(&usual), Watch::default()).unwrap().is_none());
    let error = serve(Some(&Admin { is_asked_for: true, ..usual }), Watch::default()).unwrap_err();
    assert!(matches!(&error, Error::Listen { address, .. } if *address == listen), "{error:?}");
    assert!(serve(None, Watch::default()).unwrap().is_none());
}
