//! Every service that the daemon knows, end to end: one real `spillwayd` reads them all, each fake upstream
//! has random faults from a seed, and a real cluster of three brokers has a topic for each. What every
//! upstream did is compared with what is in its topic and with what the daemon reports.
//!
//! `SPILLWAY_FAULTS` says how many faults each upstream has (200 for the figure in `docs/delivery.md`),
//! `SPILLWAY_SEED` which.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the helpers of a test fail loudly, and say what can repeat it"
)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use spillway_testkit::cluster::{Cluster, Listener, Options};
use spillway_testkit::kafka::Reader;
use spillway_testkit::presets::{PRESETS, Upstreams, Weather, run};
use spillway_testkit::program::{self, Launch};

const FAULTS: u64 = 20;
const PARTITIONS: i32 = 6;
/// A large record: some services' sources take it, for the others it is too long.
const BIG: usize = 10 << 20;
/// More than the largest record that any source takes.
const RECORD_MAX: &str = "13631488";
/// Far above what anything here takes; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(480);

fn number(name: &str, usual: impl FnOnce() -> u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => usual(),
    }
}

#[test]
fn each_service_comes_through_random_faults_of_its_upstream() {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into();
    let seed = number("SPILLWAY_SEED", clock);
    let faults = usize::try_from(number("SPILLWAY_FAULTS", || FAULTS)).unwrap();
    eprintln!("SPILLWAY_SEED={seed} SPILLWAY_FAULTS={faults}");
    let cluster = Cluster::start(Options::default()).unwrap();
    let bootstrap = cluster.bootstrap(Listener::Plain);
    let settings = [("max.message.bytes", RECORD_MAX)];
    let reader = |name: &str| {
        cluster.admin().create_topic(name, PARTITIONS, 3, &settings).unwrap();
        Reader::start(&bootstrap, name, PARTITIONS).unwrap()
    };
    let _usual = reader("events");
    let readers: Vec<Reader> = PRESETS.iter().map(|preset| reader(preset.name)).collect();
    let (dir, binary) = (tempfile::tempdir().unwrap(), program::build().unwrap());
    let began = Instant::now();
    let upstreams = Upstreams::start(&PRESETS, |place| {
        Weather::rough(seed.wrapping_mul(100).wrapping_add(place), faults, BIG)
    })
    .unwrap();
    let config = format!(
        "{}[kafka]\nbrokers = '{bootstrap}'\ntopic = 'events'\nmax_record_bytes = {RECORD_MAX}\n\
         [spool]\ndir = '{}'\nfree_floor = 0\n",
        upstreams.config(dir.path()).unwrap(),
        dir.path().join("spool").display()
    );
    let launch = Launch { binary, dir: dir.path().to_owned(), config, hosts: None };
    let outcomes = run(&upstreams, &readers, &launch, PATIENCE).unwrap_or_else(|failure| {
        panic!("{failure}\n{}", std::fs::read_to_string(launch.log()).unwrap_or_default())
    });
    outcomes.iter().for_each(|outcome| eprintln!("{outcome}"));
    eprintln!("took {:?}", began.elapsed());
}
