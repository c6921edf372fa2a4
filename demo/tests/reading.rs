//! What can be done with the tables that the demo has written: `show`, `compact`, `rebuild`, and every query of
//! docs/reading.md, while the demo keeps its Kafka up. One command:
//!
//! cargo test -p spillway-demo --test reading -- --ignored --skip spark
//!
//! The recording that it plays lies on five days, so that there are days to put together; at its end come posts
//! of the first day, which is over by then, and copies of others that were counted. So the demo finds rows that
//! differ from its recount and says so. A rebuild makes them right; then the tables must be those that other
//! programs count from the same recording: the testkit's recount, and Python with the original VADER.
//!
//! Needs `python3` and, the first time, a package index; the test with Spark also a Java and a minute. So neither
//! is run by default.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail loudly, as the test does")]

#[path = "../../consumer/tests/page/mod.rs"]
mod page;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use page::Row;
use serde_json::Value;
use spillway_consumer::compact::{Compact, compact};
use spillway_consumer::rebuild::{Copies, Rebuild, rebuild};
use spillway_consumer::show::{Form, Show, Span, show};
use spillway_consumer::{Config, Micros};
use spillway_service::settings::Environment;
use spillway_testkit::oracle::{Dedup, Recount};
use spillway_testkit::tweets::{Generator, Options};
use tempfile::TempDir;

const TABLES: [&str; 4] = ["activity", "city_activity", "happiest_hashtags", "sentiment_extremes"];
/// 2026-11-01T00:00:00Z: the queries of the page are about this day and the next.
const START: i64 = 1_793_491_200;
const DAY: i64 = 86_400;
const DAYS: usize = 5;
/// Posts a day, all within its first hour: the first wave of the generator, twice as fast as on average.
const POSTS: usize = 2_000;

/// A recording, and what its posts come to.
struct Recording {
    lines: Vec<Vec<u8>>,
    /// So many of them are on time.
    on_time: usize,
    late: u64,
    copies: u64,
}

impl Recording {
    fn new() -> Self {
        let day = |day: usize| {
            let end = (START + DAY * i64::try_from(day).unwrap() + 3_600) * 1_000;
            let options = Options::ending_at(end, Duration::from_secs(3_590), POSTS as u64);
            let options = Options { repeat_share: 0.0, ..options };
            Generator::new(11 + day as u64, options).take(POSTS).map(|post| post.line.to_vec())
        };
        let all: Vec<Vec<u8>> = (0..DAYS).flat_map(day).collect();
        // Some of them change the happiest hashtags.
        let has = |n: usize, what: &str| all[n].windows(what.len()).any(|part| part == what.as_bytes());
        let is_happy = |n: usize| n.is_multiple_of(2) && has(n, ":)") && has(n, "\"hashtags\"");
        let is_late = |n: usize| n < POSTS && (n % 100 == 7 || is_happy(n));
        let is_copied = |n: usize| n < POSTS && n % 250 == 9;
        let of = |is: &dyn Fn(usize) -> bool| -> Vec<Vec<u8>> {
            all.iter().enumerate().filter(|(n, _)| is(*n)).map(|(_, line)| line.clone()).collect()
        };
        let (mut lines, late, copies) = (of(&|n| !is_late(n)), of(&is_late), of(&is_copied));
        let on_time = lines.len();
        let (late_count, copy_count) = (late.len() as u64, copies.len() as u64);
        lines.extend(late.into_iter().chain(copies));
        Self { lines, on_time, late: late_count, copies: copy_count }
    }

    /// The rows of `city_activity` after so many lines, on so many days, as the page's queries give them.
    fn rows(&self, lines: usize, days: i64) -> Vec<Row> {
        let mut recount = Recount::new(Duration::from_secs(300), Dedup::ById);
        for line in &self.lines[..lines] {
            recount.add(line);
        }
        let rows = recount.city_activity().into_iter();
        let rows = rows.map(|((start, place), c)| (start / 1_000_000, place, c.events, c.unique_actors));
        rows.filter(|(start, ..)| *start < START + days * DAY).collect()
    }

    fn all(&self) -> Vec<Row> {
        self.rows(self.lines.len(), 100)
    }
}

/// The demo, which has shown its report and keeps Kafka up.
struct Demo {
    dir: TempDir,
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Demo {
    fn of(recording: &Recording) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let input = dir.path().join("recording.ndjson");
        std::fs::write(
            &input,
            recording.lines.iter().flat_map(|l| [&l[..], b"\n"].concat()).collect::<Vec<u8>>(),
        )
        .unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_spillway-demo"))
            .args(["--keep", "--outage", "2", "--rate", "2500", "--input"])
            .arg(&input)
            .arg("--out")
            .arg(dir.path().join("out"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        while !text.contains("Kafka stays up until you press Enter") {
            assert!(said.read_line(&mut text).unwrap() > 0, "it ended: {text}");
        }
        Self { dir, child, said }
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn store(&self) -> PathBuf {
        self.out().join("store")
    }

    fn config(&self) -> Config {
        Config::read(&self.out().join("spillway-consumer.toml"), &Environment::default()).unwrap()
    }

    fn report(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.out().join("report.json")).unwrap()).unwrap()
    }

    /// Presses Enter; the exit code.
    fn end(mut self) -> Option<i32> {
        drop(self.child.stdin.take());
        self.said.read_to_end(&mut Vec::new()).unwrap();
        self.child.wait().unwrap().code()
    }

    fn show(&self, table: &str, form: Form) -> String {
        let span = Span::Between(Micros::MIN, Micros::MAX);
        let mut out = Vec::new();
        show(&self.config().store, &Show { table: table.to_owned(), span, form }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }
}

/// The first two days are compacted and the late posts of the first are counted.
fn put_right(demo: &Demo, recording: &Recording) {
    let (config, start) = (demo.config(), START * 1_000_000);
    let first_days = Some((Micros::MIN, start + 2 * DAY * 1_000_000));
    let compacted = compact(&config, &Compact { tables: vec![], days: first_days }).unwrap();
    assert_eq!(compacted.days.len(), 2 * TABLES.len(), "{compacted:?}");
    let again = Rebuild {
        tables: TABLES.map(str::to_owned).to_vec(),
        from: start,
        to: start + 100 * DAY * 1_000_000,
        copies: Copies::AskKafka,
    };
    let rebuilt = rebuild(&config, &again).unwrap();
    assert_eq!((rebuilt.late, rebuilt.copies), (recording.late + recording.copies, recording.copies));
    for table in &rebuilt.tables {
        assert!(table.periods > 0 && table.incomplete == 0 && table.objects.len() == 1, "{table:?}");
    }
    let rebuilt = rebuild(&config, &again).unwrap();
    assert!(rebuilt.tables.iter().all(|table| table.periods == 0), "nothing is left to do: {rebuilt:?}");
}

#[test]
#[ignore = "needs Python and, once, a package index: cargo test -p spillway-demo --test reading -- --ignored --skip spark"]
fn what_the_demo_wrote_can_be_rebuilt_compacted_shown_and_queried() {
    let recording = Recording::new();
    let demo = Demo::of(&recording);
    let report = demo.report();
    assert_eq!(report["lost"], 0, "{report:#}");
    assert_eq!(report["late"], recording.late + recording.copies, "{report:#}");
    assert_eq!(report["faults"].as_array().unwrap().len(), 1, "only rows that lack late posts: {report:#}");
    put_right(&demo, &recording);

    let (venv, store) = (page::venv(), demo.store());
    let on_time = recording.rows(recording.on_time, 2);
    assert_eq!(page::duckdb_plain(&venv, &store), on_time, "final objects, the days of the query");
    assert_eq!(page::duckdb_current(&venv, &store), recording.all());
    assert_eq!(page::pandas(&venv, &store), recording.all());
    let (all, of_days) = page::athena(&venv, &store);
    assert_eq!((all, of_days), (recording.all(), recording.rows(recording.lines.len(), 2)));
    assert_eq!(rows_of_csv(&demo.show("city_activity", Form::Csv)), recording.all());
    second_opinion(&demo);

    for (table, column) in TABLES.into_iter().zip(["events", "unique_actors", "smiles", "sentiment_mean"]) {
        let plot = demo.show(table, Form::Plot { column: Some(column.to_owned()) });
        assert!(plot.starts_with(column) && plot.contains('█'), "{plot}");
        let rows = demo.show(table, Form::Table { rows_max: 10 });
        assert!(rows.contains("window_start") && rows.lines().count() > 10, "{rows}");
    }

    let compacted = compact(&demo.config(), &Compact::default()).unwrap();
    assert_eq!((compacted.found, compacted.open), (2 * TABLES.len() as u64, TABLES.len() as u64));
    assert_eq!(page::duckdb_current(&venv, &store), recording.all(), "no day counts twice");
    assert_eq!(demo.end(), Some(1), "the demo itself has said that rows differ");
}

#[test]
#[ignore = "starts Spark, which needs a Java and a minute: cargo test -p spillway-demo --test reading -- --ignored"]
fn spark_reads_what_the_demo_wrote() {
    let recording = Recording::new();
    let demo = Demo::of(&recording);
    put_right(&demo, &recording);
    assert_eq!(page::spark(&demo.store()), recording.all());
    assert_eq!(demo.end(), Some(1));
}

/// Hashtags and sentiment, counted from the recording by Python and the original VADER, against the rows that
/// the page's function for pandas reads.
fn second_opinion(demo: &Demo) {
    let read = page::block_on("python pandas=current", &demo.store());
    let place = serde_json::to_string(demo.store().to_str().unwrap()).unwrap();
    let program = format!("{read}\nstore = {place}\n{}", include_str!("reading/second_opinion.py"));
    let recording = demo.dir.path().join("recording.ndjson");
    let said = page::venv().run(&program, &[Path::new(&recording)]).unwrap_or_else(|error| panic!("{error}"));
    let rows: BTreeMap<String, usize> = serde_json::from_slice(&said).unwrap();
    assert!(rows["happiest_hashtags"] > 10 && rows["sentiment_extremes"] >= 6 * DAYS, "{rows:?}");
}

/// Rows of `city_activity` as `show` writes them; a name may be in quotes.
fn rows_of_csv(text: &str) -> Vec<Row> {
    let row = |line: &str| {
        let mut fields = vec![String::new()];
        let mut is_quoted = false;
        for c in line.chars() {
            match c {
                '"' => is_quoted = !is_quoted,
                ',' if !is_quoted => fields.push(String::new()),
                _ => fields.last_mut().unwrap().push(c),
            }
        }
        let start = chrono::DateTime::parse_from_rfc3339(&fields[0]).unwrap().timestamp();
        (start, fields[2].clone(), fields[3].parse().unwrap(), fields[6].parse().unwrap())
    };
    let mut rows: Vec<Row> = text.lines().skip(1).map(row).collect();
    rows.sort();
    rows
}
