//! Promises about offsets that are not what they should be: set by another tool, deleted by retention, of
//! another topic or cluster.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use common::{GROUP, Rig, TOPIC, activity, rec};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use spillway_consumer::store::StoreSettings;
use spillway_consumer::{AcquireError, Config, Control, Error, OnGap, Summary, run};

/// Sets the group's offset of partition 0, as an operator's tool does.
fn set_offset(rig: &Rig, offset: i64) {
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", rig.mock.bootstrap())
        .set("group.id", GROUP)
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(TOPIC, 0, Offset::Offset(offset)).unwrap();
    client.commit(&list, CommitMode::Sync).unwrap();
}

fn drain(config: Config) -> Result<Summary, Error> {
    let control = Control::new();
    control.drain();
    run(config, &control)
}

#[test]
fn an_offset_that_another_tool_has_set_counts_when_there_is_no_log() {
    let rig = Rig::new(1);
    rig.send((0..10).map(|i| rec(0, i, i64::from(i), "ann")));
    set_offset(&rig, 4);
    assert_eq!(rig.drain().progress.read, 6);
    assert_eq!(activity(rig.store()), [(0, 6)]);
    assert_eq!(rig.drain().progress.read, 0, "now the log is the truth");
}

#[test]
fn records_that_were_deleted_are_counted_and_passed_over() {
    let rig = Rig::new(1);
    let low = rig.overflow(0);
    set_offset(&rig, 2);
    let counted = rig.drain().progress;
    assert_eq!(i64::try_from(counted.missed).unwrap(), low - 2, "{counted:?}");
    assert_eq!(i64::try_from(counted.events).unwrap(), 800 - low, "{counted:?}");
}

#[test]
fn records_that_were_deleted_stop_a_run_that_should_not_pass_them_over() {
    let rig = Rig::new(1);
    let low = rig.overflow(0);
    set_offset(&rig, 2);
    for _ in 0..2 {
        let config = Config { on_gap: OnGap::Stop, ..rig.config() };
        let error = drain(config).unwrap_err();
        assert!(
            matches!(&error, Error::Gap { records, .. } if i64::try_from(*records).unwrap() == low - 2),
            "{error:?}"
        );
    }
    assert_eq!(activity(rig.store()), []);
}

#[test]
fn a_topic_that_ends_before_what_was_read_is_another_topic() {
    let rig = Rig::new(1);
    rig.send([rec(0, 1, 0, "ann")]);
    set_offset(&rig, 100);
    let error = drain(rig.config()).unwrap_err();
    assert!(matches!(&error, Error::Rewound { end: 1, next: 100, partition: 0, .. }), "{error:?}");
}

#[test]
fn the_log_of_another_cluster_is_not_gone_on_with() {
    let rig = Rig::new(1);
    rig.send([rec(0, 1, 0, "ann")]);
    rig.drain();
    let other = Rig::new(1);
    let config = Config { store: StoreSettings::local(rig.store()), ..other.config() };
    let error = drain(config).unwrap_err();
    assert!(matches!(&error, Error::Acquire(AcquireError::OtherCluster { .. })), "{error:?}");
    assert_eq!(error.exit().code(), 73);
}
