//! `spillwayd compare` as the real program: recordings and topics with planted differences, counted again
//! here with sets.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may fail loudly, and says its seed")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::PATIENCE;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};
use spillway_daemon::record::HEADER_ID;
use spillway_testkit::kafka::Mock;
use spillway_testkit::rng::Rng;
use spillway_testkit::samples;
use tempfile::TempDir;

const SPILLWAYD: &str = env!("CARGO_BIN_EXE_spillwayd");
const MINUTE: i64 = 60_000;
const BEGAN: i64 = 1_700_000_000_000;

struct Answer {
    code: i32,
    out: String,
    err: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{}{}", self.out, self.err))
    }
}

fn compare(a: &str, b: &str, words: &[&str]) -> Answer {
    let output = Command::new(SPILLWAYD).args(["compare", a, b]).args(words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn write(dir: &TempDir, name: &str, content: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// A record: its id and its time.
type Record = (String, i64);

/// What two vantage points have of one stream of `total` records: each misses a run in the middle and single
/// ones, and repeats some.
fn vantage_points(seed: u64, total: u64) -> [Vec<Record>; 2] {
    eprintln!("seed {seed}");
    let mut rng = Rng::new(seed);
    let mut sides = [Vec::new(), Vec::new()];
    let runs = [rng.below(total), rng.below(total)];
    for n in 0..total {
        let record = (format!("id-{n}"), BEGAN + i64::try_from(n).unwrap() * 700);
        for (side, run) in sides.iter_mut().zip(runs) {
            let is_lost = (run..run + total / 20).contains(&n) || rng.below(50) == 0;
            let copies = if is_lost { 0 } else { 1 + u64::from(rng.below(30) == 0) };
            side.extend((0..copies).map(|_| record.clone()));
        }
    }
    sides
}

fn ndjson(records: &[Record]) -> String {
    records.iter().fold(String::new(), |mut text, (id, time)| {
        writeln!(text, "{}", json!({"data": {"text": "…", "id": id, "at": time}})).unwrap();
        text
    })
}

fn sse(records: &[Record]) -> String {
    records.iter().fold(":)\n".to_owned(), |mut text, (id, time)| {
        let data = json!({"data": {"id": id, "at": time}});
        write!(text, "event: update\r\nid: {time}\r\ndata: {data}\r\n\r\n").unwrap();
        text
    })
}

/// Counts with sets, and compares with the report: totals, and by window the number and the first and the last
/// id that is missing.
fn check(report: &Value, sides: &[Vec<Record>; 2], window: i64) {
    let sets = sides.clone().map(|side| side.into_iter().collect::<BTreeMap<String, i64>>());
    let mut told: BTreeMap<(i64, &str), (u64, String, String)> = BTreeMap::new();
    for shown in report["windows"].as_array().unwrap() {
        for key in ["missing_in_a", "missing_in_b"] {
            if let Some(ids) = shown[key]["ids"].as_u64() {
                let end = |name: &str| shown[key][name]["id"].as_str().unwrap().to_owned();
                told.insert((shown["start_ms"].as_i64().unwrap(), key), (ids, end("first"), end("last")));
            }
        }
    }
    let mut counted = BTreeMap::new();
    for (own, other, name, key) in [(0, 1, "a", "missing_in_b"), (1, 0, "b", "missing_in_a")] {
        assert_eq!(report[name]["records"], sides[own].len());
        assert_eq!(report[name]["ids"], sets[own].len());
        assert_eq!(report[name]["repeated"], sides[own].len() - sets[own].len());
        let mut alone: Vec<(i64, &String)> = sets[own]
            .iter()
            .filter(|(id, _)| !sets[other].contains_key(*id))
            .map(|(id, time)| (*time, id))
            .collect();
        alone.sort_unstable();
        assert_eq!(report[name]["only_here"], alone.len());
        assert_eq!(report[name]["not_found_again"], 0);
        for (time, id) in alone {
            let place = (time - time % window, key);
            let (count, _, last) = counted.entry(place).or_insert((0, id.clone(), String::new()));
            *count += 1;
            last.clone_from(id);
        }
    }
    assert!(!counted.is_empty(), "something was planted");
    assert_eq!(told, counted);
}

const POINTERS: [&str; 6] = ["--id", "/data/id", "--time", "/data/at", "--window", "1m"];

#[test]
fn planted_differences_of_recordings_are_found() {
    let dir = tempfile::tempdir().unwrap();
    for seed in [1, 2, 3] {
        let sides = vantage_points(seed, 3_000);
        let a = write(&dir, "a.ndjson", &ndjson(&sides[0]));
        let b = write(&dir, "b.sse", &sse(&sides[1]));
        let answer = compare(text(&a), text(&b), &[&POINTERS[..], &["--json"]].concat());
        assert_eq!(answer.code, 1, "{}", answer.err);
        check(&answer.json(), &sides, MINUTE);
    }
}

#[test]
fn the_same_records_in_another_order_and_form_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let [mut records, _] = vantage_points(4, 500);
    let a = write(&dir, "a.ndjson", &ndjson(&records));
    records.reverse();
    let b = write(&dir, "b.sse", &sse(&records));
    let answer = compare(text(&a), text(&b), &POINTERS);
    assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    assert!(answer.out.contains("the same: neither misses an id of the other"), "{}", answer.out);
    assert!(!answer.out.contains("window"), "{}", answer.out);
}

#[test]
fn the_text_says_what_each_misses() {
    let dir = tempfile::tempdir().unwrap();
    let record = |id: &str, minute: i64| (id.to_owned(), BEGAN + 40_000 + minute * MINUTE);
    let all = [record("x", 0), record("y", 1), record("z\u{1b}", 1), record("v", 2), record("w", 3)];
    let a = write(&dir, "a.ndjson", &(ndjson(&all) + "{\"delete\":1}\n{\"data\":{\"id\":\"to"));
    let b = write(&dir, "b.ndjson", &ndjson(&[all[0].clone(), all[3].clone(), record("u", 2)]));
    let answer = compare(text(&a), text(&b), &POINTERS);
    assert_eq!(answer.code, 1, "{}", answer.err);
    let column = |name: &str| {
        let line = answer.out.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split("  ").map(str::trim).filter(|s| !s.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(column("records"), ["6", "3"]);
    assert_eq!(column("without id"), ["1", "0"]);
    assert_eq!(column("torn, too long"), ["1, 0", "0, 0"]);
    assert_eq!(column("missing here"), ["1", "3"]);
    let windows: Vec<&str> =
        answer.out.lines().skip_while(|line| !line.starts_with("window")).skip(1).collect();
    assert_eq!(
        windows,
        [
            "2023-11-14T22:15:00.000Z             2             0  in B: 2, from y (2023-11-14T22:15:00.000Z) to \
             z\\u{1b} (2023-11-14T22:15:00.000Z)",
            "2023-11-14T22:16:00.000Z             1             2  in A: 1, u (2023-11-14T22:16:00.000Z)",
            "2023-11-14T22:17:00.000Z             1             0  in B: 1, w (2023-11-14T22:17:00.000Z)",
        ]
    );
    assert!(
        answer.out.contains("1 of those that only A has are earlier or later than all of B"),
        "{}",
        answer.out
    );
    let common = compare(text(&a), text(&b), &[&POINTERS[..], &["--common-span", "--json"]].concat()).json();
    assert_eq!((&common["a"]["only_here"], &common["b"]["only_here"]), (&json!(2), &json!(1)));
}

/// Real posts: the second vantage point was away for a while.
#[test]
fn a_gap_in_a_real_recording_is_found() {
    let name = "a_gap_in_a_real_recording_is_found";
    let Some(recording) = samples::find("x/hk.v2stream.ndjson", name) else { return };
    let whole = std::fs::read_to_string(&recording).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let dir = tempfile::tempdir().unwrap();
    let cut = write(&dir, "cut.ndjson", &[&lines[..700], &lines[731..]].concat().join("\n"));
    let words = ["--id", "/data/id", "--time", "/data/created_at", "--json"];
    let answer = compare(text(&recording), text(&cut), &words);
    assert_eq!(answer.code, 1, "{}", answer.err);
    let id = |line: &&str| -> String {
        let json: Value = serde_json::from_str(line).unwrap();
        json["data"]["id"].as_str().unwrap().to_owned()
    };
    let kept: BTreeSet<String> = lines[..700].iter().chain(&lines[731..]).map(id).collect();
    let lost: BTreeSet<String> = lines[700..731].iter().map(id).filter(|id| !kept.contains(id)).collect();
    let report = answer.json();
    assert_eq!((&report["a"]["records"], &report["a"]["without_id"]), (&json!(lines.len()), &json!(0)));
    assert_eq!((&report["a"]["only_here"], &report["b"]["only_here"]), (&json!(lost.len()), &json!(0)));
    let windows = report["windows"].as_array().unwrap();
    let told: u64 = windows.iter().map(|window| window["missing_in_b"]["ids"].as_u64().unwrap()).sum();
    assert_eq!(told, lost.len() as u64);
    let first = windows[0]["missing_in_b"]["first"]["id"].as_str().unwrap();
    assert!(lost.contains(first), "{first}");
}

/// Raw SSE of two services, as it was received.
#[test]
fn real_sse_is_the_same_as_itself() {
    let name = "real_sse_is_the_same_as_itself";
    for (recording, id, ids) in
        [("wikimedia/recentchange.events", "/meta/id", 2), ("mastodon/test_stream_user_direct.sse", "/id", 4)]
    {
        let Some(path) = samples::find(recording, name) else { return };
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("copy.sse");
        std::fs::copy(&path, &copy).unwrap();
        let answer = compare(text(&copy), text(&copy), &["--id", id, "--json"]);
        assert_eq!(answer.code, 0, "{recording}: {}{}", answer.out, answer.err);
        assert_eq!(answer.json()["shared"], ids, "{recording}: {}", answer.out);
    }
}

struct Kafka {
    mock: Mock,
    producer: BaseProducer,
    dir: TempDir,
}

impl Kafka {
    fn start() -> Self {
        let mock = Mock::start(1).unwrap();
        let producer = ClientConfig::new().set("bootstrap.servers", mock.bootstrap()).create().unwrap();
        let dir = tempfile::tempdir().unwrap();
        Self { mock, producer, dir }
    }

    /// Six partitions, of which the last stays empty.
    fn fill(&self, topic: &str, records: &[Record], with_ids: bool) {
        self.mock.create_topic(topic, 6, 1).unwrap();
        for (n, (id, time)) in records.iter().enumerate() {
            let value = json!({"data": {"id": id, "at": time}}).to_string();
            let partition = i32::try_from(n % 5).unwrap();
            let mut record =
                BaseRecord::<(), str>::to(topic).payload(&value).partition(partition).timestamp(*time);
            if with_ids {
                record =
                    record.headers(OwnedHeaders::new().insert(Header { key: HEADER_ID, value: Some(id) }));
            }
            self.producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        self.producer.flush(PATIENCE).unwrap();
    }

    fn config(&self) -> PathBuf {
        let text = format!(
            "[source]\ntype = 'file'\npath = '/x'\n[kafka]\nbrokers = '{}'\ntopic = 't'\n[spool]\ndir = '/x'\n",
            self.mock.bootstrap()
        );
        write(&self.dir, "spillwayd.toml", &text)
    }
}

#[test]
fn planted_differences_of_topics_are_found() {
    let kafka = Kafka::start();
    let sides = vantage_points(5, 2_000);
    kafka.fill("east", &sides[0], true);
    kafka.fill("west", &sides[1], true);
    let config = kafka.config();
    let words = ["--config", text(&config), "--window", "1m", "--json"];
    let answer = compare("kafka://east", "kafka://west", &words);
    assert_eq!(answer.code, 1, "{}", answer.err);
    check(&answer.json(), &sides, MINUTE);
    assert_eq!(compare("kafka://east", "kafka://east", &words).code, 0);

    // A topic with a recording: the ids come from the records.
    let file = write(&kafka.dir, "west.ndjson", &ndjson(&sides[1]));
    let words = [&words[..], &POINTERS[..4]].concat();
    let mixed = compare("kafka://east", text(&file), &words);
    assert_eq!(mixed.code, 1, "{}", mixed.err);
    check(&mixed.json(), &sides, MINUTE);
}

#[test]
fn what_cannot_be_compared_is_told() {
    let kafka = Kafka::start();
    let records = [("x".to_owned(), BEGAN)];
    kafka.fill("plain", &records, false);
    let config = kafka.config();
    let file = write(&kafka.dir, "a.ndjson", &ndjson(&records));
    let (config, file) = (text(&config), text(&file));
    let folder = text(kafka.dir.path());
    let cases: [(&str, &str, &[&str], i32, &str); 8] = [
        (file, "/no/such/file", &["--id", "/id"], 66, "cannot read /no/such/file"),
        (file, folder, &["--id", "/id"], 66, "is no regular file"),
        (file, file, &[], 64, "say where in them the id is, with --id"),
        (file, file, &["--id", "/data/idd"], 64, "none of the 1 records"),
        (file, file, &["--id", "data"], 64, "begins with a slash"),
        (file, "kafka://plain", &["--id", "/data/id"], 64, "give a configuration with --config"),
        ("kafka://plain", "kafka://plain", &["--config", config], 64, "has an id in its header"),
        ("kafka://none", "kafka://plain", &["--config", config], 69, "none"),
    ];
    for (a, b, words, code, said) in cases {
        let answer = compare(a, b, words);
        assert_eq!(answer.code, code, "{a} {b} {words:?}: {}{}", answer.out, answer.err);
        assert!(answer.err.contains(said), "{a} {b} {words:?}: {}", answer.err);
    }
}
