//! Chaos: the real daemon between a source and a real Kafka cluster, and everything goes wrong at random.
//! At the end of each round another program reads the whole topic, and a judge says whether any record is
//! missing, changed, misplaced or repeated in a way that is not promised.
//!
//! ```sh
//! cargo test -p spillway-testkit --test chaos --features kafka
//! SPILLWAY_CHAOS_SECONDS=300     # how long faults go on; 60 by default
//! SPILLWAY_CHAOS_SEED=7          # the same seed gives the same schedule; it is printed first
//! SPILLWAY_CHAOS_ONLY=dns,daemon-killed  # these kinds, in turn and each alone; the names are in plan.rs
//! ```
//!
//! As root all faults are possible. What is not possible is named as SKIPPED at the end. Needs a JDK, once
//! Maven, and kcat.

mod daemon;
mod dead;
mod faults;
mod load;
mod plan;
mod report;
mod round;
mod topic;
mod world;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use plan::{Kind, Schedule};
use report::{Summary, say};
use round::Round;
use world::World;

/// What goes wrong with the test itself or the daemon is told as it is; nobody decides by it.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

#[test]
fn nothing_is_lost_whatever_happens() {
    let seed = std::env::var("SPILLWAY_CHAOS_SEED").map_or_else(|_| Ok(random_seed()), |text| text.parse());
    let Ok(seed) = seed else { panic!("SPILLWAY_CHAOS_SEED is no number") };
    say!("SPILLWAY_CHAOS_SEED={seed}");
    if let Err(error) = run(seed) {
        panic!("SPILLWAY_CHAOS_SEED={seed}: {error}");
    }
}

fn run(seed: u64) -> Outcome {
    let seconds = match std::env::var("SPILLWAY_CHAOS_SECONDS") {
        Ok(text) => text.parse().map_err(|_| format!("SPILLWAY_CHAOS_SECONDS={text}: no number"))?,
        Err(_) => 60,
    };
    let only: Vec<Kind> = match std::env::var("SPILLWAY_CHAOS_ONLY") {
        Ok(list) => list.split(',').map(named).collect::<Outcome<_>>()?,
        Err(_) => Vec::new(),
    };
    let sasl = seed % 2 == 1 || only.contains(&Kind::AuthRevoked);
    let world = World::start(sasl)?;
    for (kind, why) in &world.skipped {
        say!("SKIPPED {}: {why}", kind.name());
        if only.contains(kind) {
            return Err(format!("{} cannot be done here: {why}", kind.name()).into());
        }
    }
    let mut schedule = Schedule::new(seed, world.possible(), only);
    let mut summary = Summary::default();
    let began = Instant::now();
    let deadline = began + Duration::from_secs(seconds);
    while Instant::now() < deadline {
        let report = Round::start(&world, schedule.round())?.run(deadline)?;
        say!("{report}");
        summary.add(report);
    }
    summary.tell(&world, began.elapsed());
    Ok(())
}

fn named(name: &str) -> Outcome<Kind> {
    let names: Vec<_> = Kind::all().map(Kind::name).collect();
    Kind::named(name)
        .ok_or_else(|| format!("SPILLWAY_CHAOS_ONLY: {name:?} is none of {}", names.join(", ")).into())
}

fn random_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) ^ (now.as_secs() << 20) ^ u64::from(std::process::id())
}
