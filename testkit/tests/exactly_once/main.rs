//! Exactly once: members of a consumer group turn a topic into tables while they are killed and frozen, the
//! store is slow, failing and ambiguous, and events come twice, late and out of order. Then another program
//! counts the whole topic as a batch, and every row must be equal.
//!
//! ```sh
//! cargo test -p spillway-testkit --test exactly_once --features kafka -- --nocapture
//! SPILLWAY_EXACTLY_ONCE_RUNS=200     # 3 by default
//! SPILLWAY_EXACTLY_ONCE_SEED=7       # of the first run; the next has the next. Printed.
//! SPILLWAY_EXACTLY_ONCE_MEMBERS=4    # members of the group; 2 by default
//! SPILLWAY_EXACTLY_ONCE_GROW=1       # the topic gets more partitions in the middle
//! SPILLWAY_EXACTLY_ONCE_JOBS=4       # so many runs at a time, on one cluster and one store; 1 by default
//! SPILLWAY_EXACTLY_ONCE_STRICT=1     # a member that ends by itself is a failure; else it is started again
//! SPILLWAY_EXACTLY_ONCE_QUICK=1      # librdkafka's mock cluster and a store in memory: no Java, no moto
//! # The job in consumer/spark/ on the same topic; needs a JDK of version 17 or 21:
//! cargo test -p spillway-testkit --test exactly_once --features kafka -- --ignored spark --nocapture
//! ```
//!
//! A member that ends by itself when the store is away for long is started again, as a service manager does;
//! each end is counted and told. Needs a JDK, once Maven, and Python. A seed fixes the load, the faults of
//! each object's requests, and what is done to the members after how many records; not what the machine
//! makes of it.

mod judge;
mod load;
mod member;
mod plan;
mod producer;
mod run;
mod spark;
mod world;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use plan::{Abilities, Plan};
use run::Run;
use world::World;

/// What goes wrong with the test itself or a member is told as it is; nobody decides by it.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

#[expect(clippy::print_stderr, reason = "a long test says what it does, and what can repeat it")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// One test at a time has a cluster of three Java machines.
static CLUSTER: Mutex<()> = Mutex::new(());

#[test]
fn the_tables_are_those_of_a_batch_whatever_happens() {
    let _alone = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = all_runs() {
        panic!("{error}");
    }
}

#[test]
#[ignore = "fetches Spark, 430 MB, once; its command is above"]
fn spark_makes_the_same_tables() {
    let _alone = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = spark::compare_with_spark() {
        panic!("{error}");
    }
}

fn all_runs() -> Outcome {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos().into();
    let (runs, first) = (number("RUNS", 3)?, number("SEED", clock)?);
    let world = World::start(number("QUICK", 0)? > 0)?;
    let abilities = Abilities { members: number("MEMBERS", 2)?.max(1), grow: number("GROW", 0)? > 0 };
    let began = Instant::now();
    let (strict, next, early) = (number("STRICT", 0)? > 0, AtomicU64::new(first), AtomicUsize::new(0));
    let all = Runs { world: &world, abilities, strict, next, early };
    let (end, jobs) = (first + runs, number("JOBS", 1)?.clamp(1, runs.max(1)));
    let failed: Vec<String> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..jobs).map(|_| scope.spawn(|| all.until(end))).collect();
        started
            .into_iter()
            .filter_map(|job| job.join().unwrap_or(Err("a run panicked".to_owned())).err())
            .collect()
    });
    if !failed.is_empty() {
        return Err(failed.join("\n").into());
    }
    if all.early.into_inner() == 0 {
        return Err("no run wrote a window before its drain: the members never worked under chaos".into());
    }
    say(&format!("{runs} runs, all tables equal, in {:.0} s", began.elapsed().as_secs_f64()));
    Ok(())
}

/// Runs to be done, one seed each.
struct Runs<'a> {
    world: &'a World,
    abilities: Abilities,
    strict: bool,
    /// The next seed.
    next: AtomicU64,
    /// Final objects that were written while things went wrong.
    early: AtomicUsize,
}

impl Runs<'_> {
    /// Does one after the other while there are any. The first that fails ends it.
    fn until(&self, end: u64) -> Result<(), String> {
        loop {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return Ok(());
            }
            let plan = Plan::new(seed, self.abilities);
            let named = |text: String| format!("SPILLWAY_EXACTLY_ONCE_SEED={seed}: {text}");
            say(&named(plan.to_string()));
            let report = Run::start(self.world, plan, self.strict).and_then(Run::finish);
            let report = report.map_err(|error| {
                // The others need not begin.
                self.next.store(end, Ordering::Relaxed);
                named(error.to_string())
            })?;
            self.early.fetch_add(report.early, Ordering::Relaxed);
            say(&named(report.text));
        }
    }
}

/// A number of the environment, or the usual one.
fn number(name: &str, usual: u64) -> Outcome<u64> {
    let name = format!("SPILLWAY_EXACTLY_ONCE_{name}");
    match std::env::var(&name) {
        Ok(text) => text.parse().map_err(|_| format!("{name}={text} is no number").into()),
        Err(_) => Ok(usual),
    }
}
