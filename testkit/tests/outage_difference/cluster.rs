//! The long one: a real cluster, real time, all brokers killed and away for two minutes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spillway_testkit::cluster::{Cluster, Listener, Options};
use spillway_testkit::tweets;

use crate::system::{Brokers, Outage, Plan, System};
use crate::{PARTITIONS, assert_counted, seed, tables};

/// The cluster is shared: each run has a topic of its own.
struct Killable<'a>(&'a Cluster);

impl Brokers for Killable<'_> {
    fn bootstrap(&self) -> String {
        self.0.bootstrap(Listener::Plain)
    }

    fn down(&self) {
        self.0.kill_all().unwrap();
    }

    fn up(&self) {
        self.0.start_all().unwrap();
    }
}

/// Four minutes of 100 records a second, now.
fn plan(seed: u64, topic: &str) -> Plan {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    Plan {
        topic: topic.into(),
        partitions: PARTITIONS,
        seed,
        records: 24_000,
        options: tweets::Options {
            start_ms: i64::try_from(now).unwrap(),
            step_us: 10_000,
            place_share: 0.5,
            ..tweets::Options::default()
        },
        rate: 100,
        delay: "30s",
        idle_timeout: "30s",
        tables: "[[table]]\npreset = 'city_activity'\nwindow = '1m'\n\
                 [[table]]\npreset = 'sentiment_extremes'\nwindow = '1m'\n\
                 [[table]]\nname = 'tags'\nwindow = '2m'\nslide = '1m'\ngroup_by = ['tag']\n\
                 metrics = ['events', 'unique_actors', 'smiles', 'sentiment']\n"
            .into(),
        delivery: "",
        outage: None,
    }
}

#[test]
fn two_minutes_without_brokers_make_no_difference() {
    let cluster = Cluster::start(Options::default()).unwrap();
    let seed = seed("two_minutes_without_brokers_make_no_difference");
    // Without an outage nothing depends on how fast the stream is.
    let calm = Plan { rate: 400, ..plan(seed, "calm") };
    let outage = Outage { from: 6_000, during: Duration::from_secs(120), spooled: 11_000 };
    // The same records: also their times.
    let stormy = Plan { topic: "stormy".into(), rate: 100, outage: Some(outage), ..calm.clone() };
    for topic in [&calm.topic, &stormy.topic] {
        cluster.admin().create_topic(topic, PARTITIONS, 3, &[]).unwrap();
    }
    let (without, before) = System::new(&calm).run(&Killable(&cluster), &calm);
    let (with, after) = System::new(&stormy).run(&Killable(&cluster), &stormy);
    // On a busy machine brokers that are there may be slow enough for a moment on disk.
    assert!(before.late == 0 && before.spooled < 2_400, "that was no calm run: {before:?}");
    assert!(after.opened > 0, "the outage was none: {after:?}");
    assert_eq!(after.late, 0, "{after:?}");
    assert_counted(&without);
    for table in ["city_activity", "sentiment_extremes", "tags"] {
        tables::assert_equal(table, &without.rows(table), &with.rows(table));
    }
}
