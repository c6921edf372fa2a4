//! An outage of Kafka makes no difference: the same stream through the real `spillwayd` and the real
//! `spillway-consumer`, once with all brokers away in the middle and once without, gives the same final tables,
//! row by row, and no event is late. With `order = "arrival"`, the default, that is what the whole system is
//! for; with `order = "fresh"` it is not promised, and the same comparison finds the difference.
//!
//! In `cargo test` the brokers are librdkafka's mock cluster, the stream runs 80 times as fast as its events'
//! time, and the outage takes 3 s, which is 4 minutes of it. With `--features kafka` there is one more test,
//! of 6 minutes: a real cluster whose brokers are killed and stay away for 2 minutes, in real time.
//!
//! `SPILLWAY_SEED` repeats a run.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails loudly, and says what can repeat it"
)]

#[cfg(feature = "kafka")]
mod cluster;
mod system;
mod tables;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spillway_testkit::kafka::Mock;
use spillway_testkit::tweets::Options;
use system::{Brokers, Outage, Outcome, Plan, System};

const PARTITIONS: i32 = 4;

/// A cluster of its own for each run: what one run left behind must not help the other.
struct InProcess(Mock);

impl InProcess {
    fn start(topic: &str) -> Self {
        let mock = Mock::start(3).unwrap();
        mock.create_topic(topic, PARTITIONS, 3).unwrap();
        Self(mock)
    }
}

impl Brokers for InProcess {
    fn bootstrap(&self) -> String {
        self.0.bootstrap().to_owned()
    }

    fn down(&self) {
        self.0.all_down().unwrap();
    }

    fn up(&self) {
        self.0.all_up().unwrap();
    }
}

/// Twenty minutes of events in 15 seconds.
fn plan(seed: u64) -> Plan {
    let records = 3000;
    // Of now: an event is refused when it is ahead of Kafka's time.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let end = i64::try_from(now).unwrap() / 3_600_000 * 3_600_000;
    let options = Options { place_share: 0.5, ..Options::ending_at(end, Duration::from_secs(1200), records) };
    Plan {
        topic: "events".into(),
        partitions: PARTITIONS,
        seed,
        records,
        options,
        rate: 200,
        // 1.5 s of real time: a record that Kafka stored without saying so comes again, in its place, when the
        // brokers are back, and those behind it may have been stored, too.
        delay: "2m",
        // Longer than all of it: which parts of Kafka come back first, and how much later the last, must not matter.
        idle_timeout: "10m",
        tables: "[[table]]\npreset = 'city_activity'\nwindow = '1m'\n\
                 [[table]]\nname = 'activity'\nwindow = '2m'\nslide = '1m'\n\
                 metrics = ['events', 'reposts', 'referencing', 'unique_actors']\n\
                 [[table]]\npreset = 'sentiment_extremes'\nwindow = '1m'\n\
                 [[table]]\npreset = 'happiest_hashtags'\nwindow = '5m'\n"
            .into(),
        delivery: "",
        outage: None,
    }
}

const TABLES: [&str; 4] = ["city_activity", "activity", "sentiment_extremes", "happiest_hashtags"];

fn on_mock(plan: &Plan) -> (System, Outcome) {
    System::new(plan).run(&InProcess::start(&plan.topic), plan)
}

/// A seed of the environment (`SPILLWAY_SEED`), else one of the clock; printed, so that it can be used again.
fn seed(test: &str) -> u64 {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into();
    let seed = std::env::var("SPILLWAY_SEED").map_or_else(|_| clock(), |text| text.parse().unwrap());
    eprintln!("{test}: SPILLWAY_SEED={seed}");
    seed
}

/// Two runs that are wrong in the same way would be equal, too.
fn assert_counted(run: &System) {
    assert!(in_cities(run) > 500);
    assert_eq!(run.events("city_activity"), in_cities(run));
}

/// Events in cities, counted by another program from the stream itself.
fn in_cities(run: &System) -> i64 {
    run.recount(Duration::from_secs(300)).city_activity().values().map(|counts| counts.events).sum()
}

#[test]
fn an_outage_makes_no_difference() {
    let calm = plan(seed("an_outage_makes_no_difference"));
    let outage = Outage { from: 1000, during: Duration::from_secs(3), spooled: 300 };
    let stormy = Plan { outage: Some(outage), ..calm.clone() };
    let (without, (with, outcome)) = std::thread::scope(|scope| {
        let without = scope.spawn(|| on_mock(&calm));
        let with = on_mock(&stormy);
        (without.join().unwrap(), with)
    });
    assert!(outcome.opened > 0, "the outage was none: {outcome:?}");
    // On a busy machine the start may take a moment, which goes to disk.
    assert!(without.1.late == 0 && without.1.spooled < 300, "that was no calm run: {:?}", without.1);
    assert_eq!(outcome.late, 0, "{outcome:?}");
    assert_counted(&without.0);
    for table in TABLES {
        tables::assert_equal(table, &without.0.rows(table), &with.rows(table));
    }
}

#[test]
fn the_comparison_finds_the_difference_that_another_order_makes() {
    let calm = plan(seed("the_comparison_finds_the_difference"));
    // The backlog goes a few records at a time, so that the fresh ones are sure to be before it.
    let stormy = Plan {
        outage: Some(Outage { from: 1000, during: Duration::from_secs(3), spooled: 300 }),
        delivery: "in_flight_records = 400\n[delivery]\norder = 'fresh'\nreplay_share = 0.01\n",
        ..calm.clone()
    };
    let (with, outcome) = on_mock(&stormy);
    assert!(outcome.late > 0, "{outcome:?}");
    assert!(with.events("city_activity") < in_cities(&with), "{outcome:?}");
}
