//! Late events are counted on request: into new versions, each once, without a copy of anything.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;
mod world;

use std::process::{Command, Output};

use common::{START, rows};
use spillway_consumer::Config;
use spillway_consumer::archive::Archive;
use spillway_consumer::rebuild::{Copies, Rebuild, RebuildError, Rebuilt, rebuild};
use spillway_testkit::children;
use world::{DAY, TABLE, World, assert_rows};

const MICROS: i64 = 1_000_000;

fn count_again(world: &World, copies: Copies) -> Rebuilt {
    let (from, to) = (START * MICROS, (START + 30 * DAY) * MICROS);
    rebuild(&world.config(), &Rebuild { tables: vec![TABLE.into()], from, to, copies }).unwrap()
}

/// The same by the program.
fn run(world: &World, period: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spillway-consumer"));
    command.env_clear().args(["rebuild", "--table", TABLE]).args(period);
    children::output(command.arg("--config").arg(configured(world))).unwrap()
}

/// In windows with events and without, on two days, at the edges of a window.
const LATE: [i64; 6] = [5, 299, 300, 2_410, DAY - 1, DAY + 7_205];

#[test]
fn late_events_become_new_versions_and_copies_do_not() {
    let mut world = World::new();
    world.come_late(&LATE);
    assert_rows(&rows(world.store(), TABLE), &world.on_time.rows());
    assert_rows(&world.shown(), &world.on_time.rows());

    let rebuilt = count_again(&world, Copies::AskKafka);
    assert_eq!((rebuilt.late, rebuilt.copies), (9, 3), "{rebuilt:?}");
    let table = &rebuilt.tables[0];
    // In one more period there are only copies.
    assert_eq!((table.periods, table.unchanged, table.incomplete), (5, 1, 0), "{table:?}");
    assert_eq!(
        table.objects,
        [
            "rebuilt/city_activity/dt=2026-11-01/city_activity-v00001.parquet",
            "rebuilt/city_activity/dt=2026-11-02/city_activity-v00001.parquet",
        ]
    );
    assert_rows(&world.shown(), &world.all().rows());
    assert_rows(&rows(world.store(), TABLE), &world.on_time.rows());

    // Nothing has come since: nothing is written.
    let again = count_again(&world, Copies::AskKafka);
    assert_eq!((again.tables[0].periods, again.tables[0].unchanged), (0, 6), "{again:?}");
    assert_eq!(again.tables[0].objects, Vec::<String>::new());

    // One more on the second day: only its period gets a second version, with all that came before.
    world.come_late(&[DAY + 7_210]);
    let third = count_again(&world, Copies::AskKafka);
    assert_eq!((third.tables[0].periods, third.tables[0].unchanged), (1, 5), "{third:?}");
    assert_eq!(third.tables[0].objects, ["rebuilt/city_activity/dt=2026-11-02/city_activity-v00002.parquet"]);
    assert_rows(&world.shown(), &world.all().rows());
}

#[test]
fn without_asking_kafka_copies_of_counted_events_count() {
    let mut world = World::new();
    world.come_late(&[5]);
    let rebuilt = count_again(&world, Copies::NotLookedFor);
    // The late one that came twice is known by the log alone.
    assert_eq!((rebuilt.late, rebuilt.copies), (4, 1), "{rebuilt:?}");
    let events = |rows: &common::Rows| rows.values().map(|counts| counts[0]).sum::<i64>();
    assert_eq!(events(&world.shown()), events(&world.all().rows()) + 2);
    // Asked, it is put right, by a further version.
    let asked = count_again(&world, Copies::AskKafka);
    assert!(asked.tables[0].objects[0].ends_with("-v00002.parquet"), "{asked:?}");
    assert_rows(&world.shown(), &world.all().rows());
}

#[test]
fn only_periods_of_the_range_are_counted_again() {
    let mut world = World::new();
    world.come_late(&[5, 2_410, 4_900]);
    let output = run(&world, &["--from", "2026-11-01T00:40:00Z", "--to", "2026-11-01T01:00:00Z"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        text,
        "late events 1, of them copies 0\ntable city_activity: 1 periods in a new version, 0 unchanged\n  \
         rebuilt/city_activity/dt=2026-11-01/city_activity-v00001.parquet\n"
    );
    let changed: Vec<_> = {
        let (shown, final_rows) = (world.shown(), world.on_time.rows());
        shown.into_iter().filter(|(key, counts)| final_rows.get(key) != Some(counts)).collect()
    };
    assert!(
        !changed.is_empty() && changed.iter().all(|((start, _), _)| *start == START + 2_400),
        "{changed:?}"
    );
}

#[test]
fn an_unknown_table_is_an_error() {
    let world = World::new();
    let request = Rebuild { tables: vec!["other".into()], from: 0, to: 1, copies: Copies::NotLookedFor };
    let error = rebuild(&world.config(), &request).unwrap_err();
    assert!(
        matches!(&error, RebuildError::NoTable { known, .. } if known == "activity, city_activity"),
        "{error}"
    );
}

#[test]
fn records_that_kafka_has_deleted_are_asked_for_before_anything_is_written() {
    let mut world = World::new();
    world.come_late(&LATE);
    let low = world.rig.overflow(1);
    let everything = |copies| Rebuild {
        tables: vec![TABLE.into()],
        from: START * MICROS,
        to: (START + 30 * DAY) * MICROS,
        copies,
    };
    let error = rebuild(&world.config(), &everything(Copies::AskKafka)).unwrap_err();
    assert!(
        matches!(&error, RebuildError::Deleted { partition: 1, from: 0, low: is } if *is == low),
        "{error:?}"
    );
    let said = error.to_string();
    let expected = format!(
        "Kafka has deleted records of partition 1 before offset {low}, and those from 0 on are needed"
    );
    assert!(said.starts_with(&expected) && said.contains("--count-copies"), "{said}");
    assert!(!world.store().join("rebuilt").exists(), "nothing is written");
    assert_rows(&world.shown(), &world.on_time.rows());

    // The program says the same, and that its input is not there.
    let output = run(&world, &["--from", "2026-11-01", "--to", "2026-12-01"]);
    assert_eq!(output.status.code(), Some(66), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&expected));
    assert!(!world.store().join("rebuilt").exists());

    // Without them, on request.
    let rebuilt = rebuild(&world.config(), &everything(Copies::NotLookedFor)).unwrap();
    assert_eq!((rebuilt.late, rebuilt.tables[0].objects.len()), (9, 2), "{rebuilt:?}");
}

#[test]
fn an_archive_is_not_counted_again() {
    let world = World::new();
    let config = Config { archives: vec![Archive::new("everything")], ..world.config() };
    let request = Rebuild { tables: vec!["everything".into()], from: 0, to: 1, copies: Copies::AskKafka };
    let error = rebuild(&config, &request).unwrap_err();
    assert!(matches!(&error, RebuildError::Archive { table } if table == "everything"), "{error}");
}

fn configured(world: &World) -> std::path::PathBuf {
    let sample = include_str!("../spillway-consumer.toml");
    let config = sample
        .replace("localhost:9092", world.rig.mock.bootstrap())
        .replace("\"spillway-store\"", &format!("{:?}", world.store()));
    let path = world.store().join("c.toml");
    std::fs::write(&path, config).unwrap();
    path
}
