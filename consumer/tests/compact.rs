//! A day that is over becomes one object, beside the others; nobody counts double by it.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;
mod world;

use common::rows;
use spillway_consumer::Config;
use spillway_consumer::archive::Archive;
use spillway_consumer::compact::{Compact, CompactError, Compacted, compact};
use spillway_consumer::rebuild::{Copies, Rebuild, rebuild};
use world::{DAY, TABLE, World, assert_rows};

fn cities() -> Compact {
    Compact { tables: vec![TABLE.into()], days: None }
}

#[test]
fn days_that_are_over_are_put_together_once() {
    let mut world = World::new();
    let all = compact(&world.config(), &Compact::default()).unwrap();
    // Two tables, three days, the last of which goes on.
    assert_eq!((all.days.len(), all.found, all.open), (4, 0, 2), "{all:?}");
    let day =
        all.days.iter().find(|day| day.object.contains("compact/city_activity/dt=2026-11-01/")).unwrap();
    let first_day = |start: &i64| *start < common::START + DAY;
    let periods = world.on_time.periods().into_iter().filter(first_day).count() as u64;
    let of_day = world.on_time.rows().into_keys().filter(|(start, _)| first_day(start)).count() as u64;
    assert_eq!((day.objects, day.rows), (periods, of_day), "{day:?}");
    assert!(periods > 30);
    assert_rows(&world.shown(), &world.on_time.rows());
    assert_rows(&rows(world.store(), TABLE), &world.on_time.rows());

    let again = compact(&world.config(), &cities()).unwrap();
    assert_eq!(again, Compacted { through: again.through, found: 2, open: 1, ..Compacted::default() });

    // Small objects of a compacted day are not needed any more; a rebuild counts above the compacted day.
    std::fs::remove_dir_all(world.store().join("tables/city_activity/dt=2026-11-01")).unwrap();
    assert_rows(&world.shown(), &world.on_time.rows());
    world.come_late(&[5, 299, DAY + 10]);
    let range = (common::START * 1_000_000, (common::START + 9 * DAY) * 1_000_000);
    let request =
        Rebuild { tables: vec![TABLE.into()], from: range.0, to: range.1, copies: Copies::AskKafka };
    let rebuilt = rebuild(&world.config(), &request).unwrap();
    assert_eq!(rebuilt.tables[0].periods, 2, "{rebuilt:?}");
    assert_rows(&world.shown(), &world.all().rows());
}

#[test]
fn an_archive_is_not_put_together() {
    let world = World::new();
    let config = Config { archives: vec![Archive::new("everything")], ..world.config() };
    let archive = Compact { tables: vec!["everything".into()], days: None };
    let error = compact(&config, &archive).unwrap_err();
    assert!(matches!(&error, CompactError::Archive { table } if table == "everything"), "{error}");
    // All tables are those of windows.
    assert_eq!(compact(&config, &Compact::default()).unwrap().days.len(), 4);
}

#[test]
fn an_unknown_table_is_an_error() {
    let world = World::new();
    let other = Compact { tables: vec!["other".into()], days: None };
    let error = compact(&world.config(), &other).unwrap_err();
    assert!(
        matches!(&error, CompactError::NoTable { known, .. } if known == "activity, city_activity"),
        "{error}"
    );
}
