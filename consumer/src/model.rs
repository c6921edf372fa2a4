//! The consumer as a model: members that crash, freeze and come back, lose partitions and do not know it,
//! over a topic and a store in memory that fails as S3 does. The members run the code of the program for
//! all that decides; only Kafka, the store and the loop around them are played. Every run is given by its
//! seed.
//!
//! What must hold: a final object never changes; and when everybody has calmed down and read to the end,
//! the tables are those of a batch job over the events that the log does not hold as late, each of these is
//! archived once, every record that is in no table is in the log once, and nothing else is there.

mod member;
mod oracle;
mod sink;
mod tables;
mod world;

use world::{Shape, World};

/// How many runs; more with `SPILLWAY_MODEL_RUNS`.
const RUNS: u64 = 60;

fn runs() -> u64 {
    std::env::var("SPILLWAY_MODEL_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS)
}

/// The first seed; another with `SPILLWAY_MODEL_SEED`, to see one run again.
fn first_seed() -> u64 {
    std::env::var("SPILLWAY_MODEL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

fn play(shape: Shape) -> world::Totals {
    let mut totals = world::Totals::default();
    for seed in first_seed()..first_seed() + runs() {
        // A test that panics shows what it has printed: the seed is the last line.
        println!("seed {seed}");
        let mut world = World::new(seed, shape);
        world.run();
        world.settle();
        oracle::check(&world);
        totals.add(&world);
    }
    println!("{totals:?}");
    totals
}

#[test]
fn whatever_happens_the_tables_are_those_of_a_batch_job() {
    let totals = play(Shape::WILD);
    // Else nothing of what this test is for has happened.
    assert!(
        totals.events > 0 && totals.late > 0 && totals.duplicates > 0 && totals.windows > 0,
        "{totals:?}"
    );
    assert!(totals.crashes > 0 && totals.zombies > 0 && totals.lost_races > 0, "{totals:?}");
    assert!(totals.grown > 0 && totals.retaken_proposals > 0, "{totals:?}");
    let faults = totals.faults;
    assert!(faults.before * faults.after * faults.conflict * faults.own_retry > 0, "{totals:?}");
}

#[test]
fn a_topic_may_grow_under_open_windows_and_several_may_run_the_finaliser() {
    let totals = play(Shape::GROWING);
    assert!(totals.grown > runs() && totals.windows > 0 && totals.zombies > 0, "{totals:?}");
    // A new partition that has events of windows that are final already.
    assert!(totals.late > 0 && totals.early_windows > 0, "{totals:?}");
}

#[test]
fn nothing_is_late_when_the_delay_covers_the_disorder_and_nobody_is_idle() {
    let totals = play(Shape::ORDERLY);
    assert!(totals.crashes > 0 && totals.zombies > 0, "{totals:?}");
    assert_eq!(totals.late, 0, "{totals:?}");
}
