//! What open windows take of memory: a million keys stay below 200 MiB, also with what their texts come to.
//!
//! Each figure is of a process of its own, so that none profits from what another has freed. `--nocapture` shows
//! them; docs/scaling.md has them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a test may fail loudly, and says its figures"
)]

use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use spillway_consumer::event::{Event, Kind};
use spillway_consumer::filter::Filter;
use spillway_consumer::metrics::{By, KINDS, Plan};
use spillway_consumer::stages::Stages;
use spillway_consumer::tables::Table;

const KEYS: usize = 1_000_000;
/// Names the case to the process that is measured.
const CASE: &str = "SPILLWAY_TEST_MEMORY_OF";

/// What is kept: how it is grouped, what is counted, and the most that it may take, in MiB.
const CASES: [(&str, By, &str, usize); 5] = [
    ("ids", By::None, "events", 50),
    ("ids and groups", By::Place, "events", 200),
    ("ids and groups with actors", By::Place, "events,unique_actors", 200),
    ("ids and groups of city_activity", By::Place, "events,reposts,referencing,unique_actors", 200),
    ("ids and groups with sentiment", By::Place, "events,smiles,sentiment", 200),
];

#[test]
fn a_million_open_keys_take_less_than_they_may() {
    for (name, _, _, mib_max) in CASES {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "the_process_that_is_measured", "--ignored", "--nocapture"]).env(CASE, name);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{name}: {said}{}", String::from_utf8_lossy(&output.stderr));
        let grown = said.lines().find_map(|line| line.split_once("grown by ")).unwrap().1;
        let grown: usize = grown.parse().unwrap();
        println!("{name:<34} {:>6.1} MiB, {:>4} bytes each", grown as f64 / 1_048_576.0, grown / KEYS);
        assert!(grown < mib_max << 20, "{name}: {grown} bytes");
    }
}

/// One event for each key, each with an id and an actor of its own, all in one pane that is open.
#[test]
#[ignore = "it is run by the other test, as a process of its own"]
fn the_process_that_is_measured() {
    let case = std::env::var(CASE).unwrap();
    let (_, by, kinds, _) = CASES.iter().find(|(name, ..)| *name == case).unwrap();
    let kind = |name| KINDS.iter().find(|(known, _)| *known == name).unwrap().1;
    let mut table = Table::new("keys", Duration::from_secs(3600), *by, Filter::default());
    table.plan = Plan::new(kinds.split(',').map(kind).collect());
    let mut stages = Stages::new(vec![table], 1).unwrap();
    let before = resident();
    for i in 0..KEYS {
        let (id, actor, place) = (format!("18{i:017}"), (i * 7).to_string(), format!("place {i:07}"));
        stages.window(0, i64::try_from(i).unwrap(), (id.as_bytes(), b""), &event(&id, &actor, &place));
    }
    println!("\ngrown by {}", resident() - before);
    black_box(stages);
}

fn event<'a>(id: &'a str, actor: &'a str, place: &'a str) -> Event<'a> {
    Event {
        id: id.into(),
        time: 1_793_491_200_000_000,
        actor: Some(actor.into()),
        kind: Kind::Original,
        referencing: false,
        place: Some(place.into()),
        place_type: Some("city".into()),
        lang: Some("en".into()),
        text: Some("a good day :)".into()),
        tags: Vec::new(),
        rule_tags: Vec::new(),
    }
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap() * 1024
}
