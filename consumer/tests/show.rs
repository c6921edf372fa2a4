//! `show` gives what is in the store: as a table, as bars, as CSV, each period once.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;
mod world;

use std::process::{Command, Output};

use spillway_testkit::children;
use world::{TABLE, World, assert_rows, show};

fn text(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_table_is_shown_in_the_form_that_is_asked_for() {
    let world = World::new();
    assert_rows(&world.shown(), &world.on_time.rows());

    // The last events are at 59:20:00, 59:20:20 and 59:20:40 after the start.
    let lines = text(&show(world.store(), &["activity"]));
    let expected = "\
window_start          window_end            events  reposts  referencing  unique_actors  unique_actors_exact
--------------------  --------------------  ------  -------  -----------  -------------  -------------------
2026-11-03T10:40:00Z  2026-11-03T10:45:00Z       3        0            0              3  true
2026-11-03T11:20:00Z  2026-11-03T11:25:00Z       3        0            0              3  true
";
    assert_eq!(lines, expected);
    let one = text(&show(world.store(), &["activity", "--last", "6h", "--rows", "1"]));
    assert!(one.contains("... 8 rows before these") && one.contains("11:20:00Z"), "{one}");

    let bars = text(&show(world.store(), &["activity", "--plot", "--last", "41m"]));
    let bar = "█".repeat(50);
    assert_eq!(bars, format!("events\n2026-11-03T10:40:00Z  3  {bar}\n2026-11-03T11:20:00Z  3  {bar}\n"));
    let groups = text(&show(world.store(), &[TABLE, "--plot", "unique_actors"]));
    assert!(groups.starts_with("unique_actors, 2026-11-03T11:20:00Z to 2026-11-03T11:25:00Z\n"), "{groups}");
    assert_eq!(groups.lines().count(), 1 + 3, "{groups}");

    let range = ["activity", "--from", "2026-11-01T00:00:00Z", "--to", "2026-11-01T00:41:00Z", "--csv"];
    let csv = text(&show(world.store(), &range));
    assert_eq!(
        csv,
        "window_start,window_end,events,reposts,referencing,unique_actors,unique_actors_exact\r\n\
         2026-11-01T00:00:00Z,2026-11-01T00:05:00Z,3,0,0,3,true\r\n\
         2026-11-01T00:40:00Z,2026-11-01T00:45:00Z,3,0,0,3,true\r\n"
    );
    let nothing = ["activity", "--from", "2030-01-01"];
    assert_eq!(text(&show(world.store(), &nothing)), "no rows\n");
}

#[test]
fn what_is_not_there_is_said_and_nothing_is_made() {
    let world = World::new();
    let fails = |arguments: &[&str], store: &std::path::Path, code: i32, why: &str| {
        let output = show(store, arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    };
    fails(&["other"], world.store(), 66, "no table of windows \"other\"; it has activity, city_activity");
    fails(&[TABLE, "--plot", "place"], world.store(), 64, "no column of numbers \"place\"; it has events");
    fails(&[TABLE, "--last", "x"], world.store(), 64, "a length of time");
    fails(&[TABLE, "--from", "yesterday"], world.store(), 64, "a time in UTC");
    let absent = world.store().join("absent");
    fails(&[TABLE], &absent, 66, "there is no store at");
    assert!(!absent.exists());
}

/// The same objects in a bucket give the same rows.
#[cfg(feature = "s3")]
#[test]
fn a_bucket_is_read_as_a_folder_is() {
    use spillway_testkit::s3::{Client, Memory};

    let world = World::new();
    let server = Memory::start().unwrap();
    let client = Client::new(&server.endpoint(), "bucket");
    client.create_bucket().unwrap();
    for object in spillway_consumer::read::objects(world.store(), TABLE).unwrap() {
        let key = object.strip_prefix(world.store()).unwrap().to_str().unwrap().to_owned();
        client.write(&format!("edge/{key}"), &std::fs::read(&object).unwrap()).unwrap();
    }
    let secret = world.store().join("secret");
    std::fs::write(&secret, "test").unwrap();
    let config = include_str!("../spillway-consumer.toml").replace(
        "url = \"spillway-store\"",
        &format!(
            "url = \"s3://bucket/edge\"\nregion = \"us-east-1\"\nendpoint = {:?}\naccess_key_id = \"test\"\n\
             secret_access_key_file = {secret:?}",
            server.endpoint()
        ),
    );
    let path = world.store().join("s3.toml");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_spillway-consumer"));
    command.env_clear().args(["show", TABLE, "--from", "2026-11-01", "--csv", "--config"]).arg(&path);
    let of_bucket = children::output(&mut command).unwrap();
    let of_folder = show(world.store(), &[TABLE, "--from", "2026-11-01", "--csv"]);
    assert_eq!(text(&of_bucket), text(&of_folder));
    assert!(text(&of_bucket).lines().count() > 200);
}
