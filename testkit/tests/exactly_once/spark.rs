//! The job in `consumer/spark/` on the same topic as the consumer: its tables, the consumer's and those of
//! the recount are equal, row by row. Spark decides by batches which events are late, so here none is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use spillway_testkit::children;
use spillway_testkit::oracle::windows::{Definition, Record, Rules, Table, compare};
use spillway_testkit::python::Venv;
use spillway_testkit::spark::Spark;

use crate::judge::{download, read_topic};
use crate::load::Load;
use crate::member::{Config, Launch, Member};
use crate::plan::{Abilities, Plan, SESSION};
use crate::producer::Producer;
use crate::world::{BUCKET, World};
use crate::{Outcome, say};

const TOPIC: &str = "events-for-spark";
const SEED: u64 = 5;
const TOP: u32 = 10;
const DRAIN_WITHIN: Duration = Duration::from_secs(120);
const WINDOW: Duration = Duration::from_secs(300);

pub(crate) fn compare_with_spark() -> Outcome {
    let (world, dir) = (World::start(false)?, tempfile::tempdir()?);
    let partitions = fill(&world)?;
    let records = read_topic(&world.bootstrap(), TOPIC, partitions)?;
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("spark"));
    consume(&world, dir.path(), &ours)?;
    run_spark(&world.bootstrap(), dir.path(), &theirs)?;
    let cities = table("city_activity", Definition::CityActivity);
    let hashtags = table("happiest_hashtags", Definition::HappiestHashtags { top: TOP });
    let tables = [cities, hashtags];
    expect(&records, &tables, &ours.join("tables"), dir.path())?;
    expect(&records, &tables, &theirs, dir.path())?;
    // And with each other, by the program that the README names.
    let program = std::fs::read_to_string(published("compare.py"))?;
    let duckdb = Venv::get("duckdb", &["duckdb==2.0.0"])?;
    for Table { name, .. } in &tables {
        let said = duckdb.run(&program, &[&ours.join("tables").join(name), &theirs.join(name)])?;
        say(&format!("{name}, ours and Spark's: {}", String::from_utf8_lossy(&said).trim()));
    }
    Ok(())
}

fn published(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../consumer/spark").join(name)
}

fn table(name: &str, definition: Definition) -> Table {
    Table { name: name.into(), definition, window: WINDOW, slide: WINDOW }
}

/// Produces everything; how many partitions the topic has.
fn fill(world: &World) -> Outcome<i32> {
    let plan = Plan::new(SEED, Abilities { members: 1, grow: false });
    world.create_topic(TOPIC, plan.partitions)?;
    let (mut load, producer) = (Load::punctual(&plan), Producer::new(&world.bootstrap(), TOPIC)?);
    for _ in 0..plan.records / 5 {
        let records: Vec<_> = (0..5).map(|_| load.next()).collect();
        producer.send(&records)?;
    }
    Ok(plan.partitions)
}

fn consume(world: &World, dir: &Path, tables: &Path) -> Outcome {
    let (bootstrap, endpoint) = (world.bootstrap(), world.endpoint());
    let store = format!("s3://{BUCKET}/{TOPIC}");
    let config =
        Config { bootstrap: &bootstrap, topic: TOPIC, endpoint: &endpoint, store: &store, session: SESSION };
    let config = config.write(dir)?;
    let launch = Launch { binary: world.binary.clone(), config, log: dir.join("consumer.log") };
    let status = Member::start(&launch, true)?.wait(DRAIN_WITHIN)?;
    if !status.success() {
        return Err(format!("the consumer ended with {status}:\n{}", launch.tail()).into());
    }
    download(world, TOPIC, tables).map(drop)
}

fn run_spark(bootstrap: &str, dir: &Path, out: &Path) -> Outcome {
    let mut command = Spark::get()?.submit(2);
    command.args(["--driver-memory", "1g", "--conf", "spark.sql.shuffle.partitions=4"]);
    command.arg(published("tables.py")).args(["--brokers", bootstrap, "--topic", TOPIC, "--once"]);
    // Several batches: state is kept from one to the next.
    command.args(["--records-per-batch", "1500", "--top", &TOP.to_string()]);
    command.arg("--out").arg(out).arg("--checkpoint").arg(dir.join("spark-state"));
    let output = children::output(&mut command)?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    let end = lines[lines.len().saturating_sub(60)..].join("\n");
    Err(format!("spark-submit ended with {}:\n{end}", output.status).into())
}

fn expect(records: &[Record], tables: &[Table], dir: &Path, scratch: &Path) -> Outcome {
    let rules =
        Rules { pane: WINDOW, delay: Duration::from_secs(30), future_tolerance: Duration::from_secs(600) };
    let verdict = compare(records, &rules, tables, dir, scratch)?;
    say(&verdict.to_string());
    let proves = verdict.tally.late == 0
        && verdict.tally.duplicates > 0
        && verdict.tables.iter().all(|table| table.expected > 0);
    if verdict.is_equal() && proves { Ok(()) } else { Err(verdict.to_string().into()) }
}
