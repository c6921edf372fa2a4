//! Every service that the daemon knows, end to end into Kafka, while its upstream has a handful of random
//! faults. The same with many more, on a real cluster: `testkit/tests/upstreams/`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the helpers of a test fail loudly, and say what can repeat it"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use spillway_testkit::kafka::{Mock, Reader};
use spillway_testkit::presets::{PRESETS, Upstreams, Weather, run};
use spillway_testkit::program::Launch;

const PARTITIONS: i32 = 2;
/// For each service.
const FAULTS: usize = 10;
/// The mock keeps only little of what it gets: large is what is far above the usual.
const BIG: usize = 300_000;
/// Far above what anything here takes; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn seed() -> u64 {
    let seed = std::env::var("SPILLWAY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(4);
    eprintln!("SPILLWAY_SEED={seed}");
    seed
}

#[test]
fn each_service_comes_through_ten_random_faults_of_its_upstream() {
    let (seed, began) = (seed(), Instant::now());
    let mock = Mock::start(3).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let reader = |name: &str| {
        mock.create_topic(name, PARTITIONS, 3).unwrap();
        Reader::start(mock.bootstrap(), name, PARTITIONS).unwrap()
    };
    mock.create_topic("events", PARTITIONS, 3).unwrap();
    let readers: Vec<Reader> = PRESETS.iter().map(|preset| reader(preset.name)).collect();
    let upstreams =
        Upstreams::start(&PRESETS, |place| Weather::rough(seed * 100 + place, FAULTS, BIG)).unwrap();
    let config = format!(
        "{}[kafka]\nbrokers = '{}'\ntopic = 'events'\n[spool]\ndir = '{}'\nfree_floor = 0\n",
        upstreams.config(dir.path()).unwrap(),
        mock.bootstrap(),
        dir.path().join("spool").display()
    );
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_spillwayd"));
    let launch = Launch { binary, dir: dir.path().to_owned(), config, hosts: None };
    let outcomes = run(&upstreams, &readers, &launch, PATIENCE).unwrap_or_else(|failure| {
        panic!("{failure}\n{}", std::fs::read_to_string(launch.log()).unwrap_or_default())
    });
    outcomes.iter().for_each(|outcome| eprintln!("{outcome}"));
    eprintln!("took {:?}", began.elapsed());
}
