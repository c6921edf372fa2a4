//! The queries of docs/reading.md, as they stand there, on a store that a consumer has written: with a day
//! that was compacted, periods that were rebuilt twice, and days that neither was done to.
//!
//! The queries need `python3` and, the first time, a package index; that with Spark also a Java and a minute. So
//! they are not run by default.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;
mod page;
mod world;

use std::process::Command;

use common::{Rows, START};
use page::{PAGE, Row, block};
use spillway_consumer::compact::{Compact, compact};
use spillway_consumer::rebuild::{Copies, Rebuild, rebuild};
use spillway_testkit::children;
use world::{DAY, TABLE, Tweets, World, assert_rows};

/// The first day is compacted, and it and the second have rebuilt periods; one of them twice.
fn written() -> World {
    let mut world = World::new();
    let config = world.config();
    let range = (START * 1_000_000, (START + 30 * DAY) * 1_000_000);
    compact(&config, &Compact { tables: vec![TABLE.into()], days: Some((range.0, range.0 + 1)) }).unwrap();
    let again = Rebuild { tables: vec![TABLE.into()], from: range.0, to: range.1, copies: Copies::AskKafka };
    for late in [&[5, 299, 300, DAY + 7_205][..], &[7, 4_900]] {
        world.come_late(late);
        assert!(rebuild(&config, &again).unwrap().tables[0].periods > 0);
    }
    let count = |place: &str| {
        let days = std::fs::read_dir(world.store().join(place).join(TABLE)).unwrap();
        days.map(|day| std::fs::read_dir(day.unwrap().path()).unwrap().count()).sum::<usize>()
    };
    assert_eq!((count("compact"), count("rebuilt")), (1, 3));
    world
}

/// The same of what the rows must be, on the days that a query names.
fn wanted(rows: &Rows, days: std::ops::Range<i64>) -> Vec<Row> {
    let of_days = rows.iter().filter(|((start, _), _)| days.contains(&((start - START) / DAY)));
    of_days.map(|((start, place), counts)| (*start, place.clone(), counts[0], counts[3])).collect()
}

fn all_days(tweets: &Tweets) -> Vec<Row> {
    wanted(&tweets.rows(), 0..100)
}

#[test]
#[ignore = "needs Python and, once, a package index: cargo test -p spillway-consumer --test reading -- --ignored --skip spark"]
fn duckdb_and_pandas_read_what_counts() {
    let world = written();
    let (venv, store) = (page::venv(), world.store());
    assert_rows(&world.shown(), &world.all().rows());
    let on_time = wanted(&world.on_time.rows(), 0..2);
    assert_eq!(page::duckdb_plain(&venv, store), on_time, "final objects, the days of the query");
    assert_eq!(page::duckdb_current(&venv, store), all_days(&world.all()));
    assert_eq!(page::pandas(&venv, store), all_days(&world.all()));
}

#[test]
#[ignore = "needs Python and, once, a package index: cargo test -p spillway-consumer --test reading -- --ignored --skip spark"]
fn the_statements_for_athena_fit_the_objects_and_come_to_what_counts() {
    let world = written();
    let (all, of_days) = page::athena(&page::venv(), world.store());
    assert_eq!(all, all_days(&world.all()));
    assert_eq!(of_days, wanted(&world.all().rows(), 0..2));
}

#[test]
fn a_notification_has_the_form_that_is_described() {
    let keys = |of: &str| -> Vec<String> {
        let described: serde_json::Value = serde_json::from_str(&block(&format!("json {of}"))).unwrap();
        described.as_object().unwrap().keys().cloned().collect()
    };
    let window = ["id", "object", "store", "table", "what", "window_end", "window_start"];
    assert_eq!(keys("notification=window"), window);
    assert_eq!(keys("notification=version"), ["day", "id", "object", "store", "table", "version", "what"]);
    assert_eq!(keys("notification=day"), ["day", "id", "object", "store", "table", "what"]);
}

#[test]
fn the_commands_of_the_page_are_those_of_the_program() {
    let words = |line: &str| -> Vec<String> { line.split_whitespace().skip(1).map(str::to_owned).collect() };
    let commands: Vec<Vec<String>> =
        PAGE.lines().filter(|line| line.starts_with("spillway-consumer ")).map(words).collect();
    assert_eq!(commands.len(), 5);
    for words in commands {
        let empty = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_spillway-consumer"));
        command.env_clear().args(&words).current_dir(empty.path());
        let output = children::output(&mut command).unwrap();
        // The folder is empty: the configuration or the store is missing, and nothing is wrong with the words.
        assert!(matches!(output.status.code(), Some(66 | 78)), "{words:?}: {output:?}");
    }
}

#[test]
#[ignore = "starts Spark, which needs a Java and a minute: cargo test -p spillway-consumer --test reading -- --ignored"]
fn spark_reads_what_counts() {
    let world = written();
    assert_eq!(page::spark(world.store()), all_days(&world.all()));
}
