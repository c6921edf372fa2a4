//! Recorded real streams through the whole pipeline with an outage in the middle, compared with results
//! that were computed elsewhere. Skips, and says so, where the recordings are not at hand.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail loudly, as the test does")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, SecondsFormat};
use serde_json::Value;
use spillway_consumer::read::read_table;
use spillway_testkit::samples;
use tempfile::TempDir;

/// The columns that count, for one window and place; the place is empty without one.
type Table = BTreeMap<(String, String), [i64; 4]>;

struct Run {
    out: TempDir,
    report: Value,
}

impl Run {
    fn of(recording: &Path) -> Self {
        let out = tempfile::tempdir().unwrap();
        let run = Command::new(env!("CARGO_BIN_EXE_spillway-demo"))
            .args(["--outage", "2", "--input"])
            .arg(recording)
            .arg("--out")
            .arg(out.path().join("out"))
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
        let report = std::fs::read(out.path().join("out/report.json")).unwrap();
        Self { report: serde_json::from_slice(&report).unwrap(), out }
    }

    fn figures<const N: usize>(&self, keys: [&str; N]) -> [u64; N] {
        keys.map(|key| self.report[key].as_u64().unwrap_or_else(|| panic!("{key} in {:#}", self.report)))
    }

    /// `(place, window start)` to events, reposts, referencing, unique actors.
    fn table(&self, name: &str) -> Table {
        let mut table = Table::new();
        for batch in read_table(&self.out.path().join("out/store"), name).unwrap() {
            let number = |column: &str, row| batch[column].as_primitive::<Int64Type>().value(row);
            let starts = batch["window_start"].as_primitive::<TimestampMicrosecondType>();
            for row in 0..batch.num_rows() {
                let start = DateTime::from_timestamp_micros(starts.value(row)).unwrap();
                let start = start.to_rfc3339_opts(SecondsFormat::Secs, true);
                let place = batch.column_by_name("place").map(|p| p.as_string::<i32>().value(row).to_owned());
                let row =
                    ["events", "reposts", "referencing", "unique_actors"].map(|column| number(column, row));
                let before = table.insert((place.unwrap_or_default(), start), row);
                assert_eq!(before, None, "one row a window and place");
            }
        }
        table
    }

    /// One column of `city_activity`, without its zeros, as the expected files have it.
    fn cities(&self, column: usize) -> BTreeMap<(String, String), i64> {
        let rows = self.table("city_activity").into_iter().map(|(key, row)| (key, row[column]));
        rows.filter(|(_, count)| *count > 0).collect()
    }
}

/// Lines of a CSV file without its head. A field may be quoted; none holds a quote.
fn csv(path: &Path) -> Vec<Vec<String>> {
    let fields = |line: &str| -> Vec<String> {
        let mut fields = vec![String::new()];
        let mut quoted = false;
        for c in line.chars() {
            match c {
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(String::new()),
                _ => fields.last_mut().unwrap().push(c),
            }
        }
        fields
    };
    std::fs::read_to_string(path).unwrap().lines().skip(1).map(fields).collect()
}

fn expected_cities(name: &str, test: &str) -> BTreeMap<(String, String), i64> {
    let path = samples::find(&format!("expected/{name}.csv"), test).unwrap();
    csv(&path).into_iter().map(|f| ((f[0].clone(), f[1].clone()), f[2].parse().unwrap())).collect()
}

#[test]
fn three_weeks_of_posts_give_exactly_their_windows() {
    let test = "three_weeks_of_posts_give_exactly_their_windows";
    let Some(recording) = samples::find("x/hk.v2stream.ndjson", test) else { return };
    let run = Run::of(&recording);
    assert_eq!(run.figures(["sent", "lost", "dropped", "torn", "order_violations"]), [1_628, 0, 0, 0, 0]);
    let [spooled, replayed] = run.figures(["spooled", "replayed"]);
    assert!(spooled > 500 && spooled == replayed, "the outage is in the middle: {spooled}");

    let windows = csv(&samples::find("expected/windows5m_hk.csv", test).unwrap());
    // window_start, tweets, retweets by the loose rule, retweets by the strict one, unique users, ...
    let number = |f: &[String], i: usize| f[i].parse::<i64>().unwrap();
    let row = |f: Vec<String>| {
        ((String::new(), f[0].clone()), [number(&f, 1), number(&f, 3), number(&f, 2), number(&f, 4)])
    };
    assert_eq!(run.table("activity"), windows.into_iter().map(row).collect::<Table>());
    for (column, name) in [(0, "tweets"), (2, "retweets"), (3, "uniqueusers")] {
        assert_eq!(run.cities(column), expected_cities(&format!("city5m_hk_dedup_{name}"), test), "{name}");
    }
}

#[test]
fn a_repeated_post_counts_once_and_an_in_stream_error_is_a_notice() {
    let test = "a_repeated_post_counts_once_and_an_in_stream_error_is_a_notice";
    let Some(recording) = samples::find("x/streaming_output.jsonl", test) else { return };
    let run = Run::of(&recording);
    assert_eq!(run.figures(["sent", "lost", "notices", "upstream_repeats", "events"]), [9, 0, 1, 1, 7]);
    for (column, name) in [(0, "tweets"), (2, "retweets"), (3, "uniqueusers")] {
        let expected = expected_cities(&format!("city5m_twarc_streaming_output_dedup_{name}"), test);
        assert_eq!(run.cities(column), expected, "{name}");
    }
}

#[test]
fn a_torn_recording_loses_no_whole_post_and_emits_no_torn_one() {
    let test = "a_torn_recording_loses_no_whole_post_and_emits_no_torn_one";
    let Some(recording) = samples::find("x/streaming_output_with_error.jsonl", test) else { return };
    let run = Run::of(&recording);
    assert_eq!(
        run.figures(["sent", "received", "lost", "torn", "events", "quarantined"]),
        [7, 7, 0, 1, 7, 0]
    );
}
