//! Tables that people ask for, from records in Kafka to objects in the store: the presets come to what
//! recorded and computed data says, row by row.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use common::{Rec, Rig, START, rec};
use serde_json::{Value, json};
use spillway_consumer::metrics::{Kind, Plan, words};
use spillway_consumer::read::read_table;
use spillway_consumer::tables::{Table, Top};
use spillway_consumer::{Config, Control, Summary, preset, run};
use spillway_testkit::samples;

fn drain(rig: &Rig, tables: Vec<Table>) -> Summary {
    let control = Control::new();
    control.drain();
    run(Config { tables, ..rig.config() }, &control).unwrap()
}

/// A post as X v2 sends it, at `secs` after [`START`].
fn post(n: usize, secs: i64, text: &str, tags: &[&str]) -> Rec {
    let mut rec = rec(i32::try_from(n % 2).unwrap(), u32::try_from(n).unwrap(), secs, "ann");
    let mut value: Value = serde_json::from_slice(&rec.value).unwrap();
    value["data"]["text"] = json!(text);
    value["data"]["lang"] = json!("en");
    let tags: Vec<Value> = tags.iter().map(|tag| json!({ "tag": tag })).collect();
    value["data"]["entities"] = json!({ "hashtags": tags });
    rec.value = value.to_string().into_bytes();
    rec
}

/// The start of a row's window in seconds after [`START`].
fn start(batch: &RecordBatch, row: usize) -> i64 {
    let starts = batch.column_by_name("window_start").unwrap();
    starts.as_primitive::<TimestampMicrosecondType>().value(row) / 1_000_000 - START
}

fn text(batch: &RecordBatch, column: &str, row: usize) -> String {
    batch.column_by_name(column).unwrap().as_string::<i32>().value(row).to_owned()
}

fn count(batch: &RecordBatch, column: &str, row: usize) -> i64 {
    batch.column_by_name(column).unwrap().as_primitive::<Int64Type>().value(row)
}

fn real(batch: &RecordBatch, column: &str, row: usize) -> Option<f64> {
    let column = batch.column_by_name(column).unwrap().as_primitive::<Float64Type>();
    column.is_valid(row).then(|| column.value(row))
}

/// The groups and counts of each window, in the order in which they are written.
fn ranked(store: &Path, table: &str, column: &str) -> BTreeMap<i64, Vec<(String, i64)>> {
    let mut windows: BTreeMap<i64, Vec<(String, i64)>> = BTreeMap::new();
    for batch in read_table(store, table).unwrap() {
        for row in 0..batch.num_rows() {
            let counted = (text(&batch, "tag", row), count(&batch, column, row));
            windows.entry(start(&batch, row)).or_default().push(counted);
        }
    }
    windows
}

/// The tweets of a list in the sample, as posts at `secs`.
fn posts(list: &Value, secs: impl Fn(&Value) -> i64, first: usize) -> Vec<Rec> {
    let posted = |(n, tweet): (usize, &Value)| {
        let tags: Vec<&str> =
            tweet["hashtags"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
        post(first + n, secs(tweet), tweet["text"].as_str().unwrap(), &tags)
    };
    list.as_array().unwrap().iter().enumerate().map(posted).collect()
}

#[test]
fn the_happiest_hashtags_of_an_hour_leave_out_what_is_late_and_sum_the_smiles() {
    let test = "the_happiest_hashtags_of_an_hour_leave_out_what_is_late_and_sum_the_smiles";
    let Some(sample) = samples::find("hashtags/happiest_hashtags.json", test) else { return };
    let sample: Value = serde_json::from_slice(&std::fs::read(sample).unwrap()).unwrap();
    let by_time = &sample["ts_based"];
    let rig = Rig::new(2);
    let ago = |tweet: &Value| if tweet["createdAt"] == "NOW" { 7_300 } else { 100 };
    // First something that closes what was two hours ago, in both partitions.
    rig.send([post(0, 7_250, "none", &[]), post(1, 7_250, "none", &[])]);
    rig.send(posts(&by_time["batch"], ago, 2));
    let top = Some(Top { by: "smiles".into(), n: 4 });
    let summary = drain(&rig, vec![Table { top, csv: true, ..preset("happiest_hashtags").unwrap() }]);
    assert_eq!(summary.progress.late, 1);
    let expected = [("someI1", 7), ("someS1", 6), (":):):)", 3), ("someE0", 3)];
    let expected: Vec<_> = expected.iter().map(|(tag, n)| ((*tag).to_owned(), *n)).collect();
    let windows = ranked(rig.store(), "happiest_hashtags", "smiles");
    assert_eq!(windows, BTreeMap::from([(7_200, expected)]));
    let csv = rig.store().join("csv/happiest_hashtags/dt=2026-11-01/happiest_hashtags-20261101T020000Z.csv");
    let lines = std::fs::read_to_string(csv).unwrap();
    assert_eq!(
        lines.lines().take(2).collect::<Vec<_>>(),
        ["window_start,window_end,tag,smiles", "2026-11-01T02:00:00Z,2026-11-01T03:00:00Z,someI1,7"]
    );
}

#[test]
fn the_happiest_hashtags_slide() {
    let test = "the_happiest_hashtags_slide";
    let Some(sample) = samples::find("hashtags/happiest_hashtags.json", test) else { return };
    let sample: Value = serde_json::from_slice(&std::fs::read(sample).unwrap()).unwrap();
    let rig = Rig::new(2);
    // The batches come a minute apart: a window of ten minutes holds all, some hold only the last.
    let batches = sample["window_based"]["batches_2s_apart"].as_array().unwrap();
    let mut all = Vec::new();
    for (minute, batch) in (0..).zip(batches) {
        all.extend(posts(batch, |_| minute * 60 + 30, all.len()));
    }
    let mut french = post(all.len(), 30, "\u{1f600}\u{1f600}\u{1f600}", &["someI1"]);
    french.value = String::from_utf8(french.value).unwrap().replace("\"en\"", "\"fr\"").into_bytes();
    all.push(french);
    rig.send(all);
    drain(&rig, vec![preset("happiest_hashtags_sliding").unwrap()]);
    let windows = ranked(rig.store(), "happiest_hashtags_sliding", "smile_emoji");
    let first =
        |start: i64| windows[&start].iter().take(2).map(|(t, n)| (t.as_str(), *n)).collect::<Vec<_>>();
    for whole in [-420, -360, 0] {
        assert_eq!(first(whole), [("someI1", 7), ("someG2", 5)], "{whole}");
        assert_eq!(windows[&whole].len(), 10);
    }
    // The first window has only the first batch, the last one only the last.
    assert_eq!(first(-540), [("someB1", 1), ("someB2", 1)]);
    let starts: Vec<i64> = windows.keys().copied().collect();
    assert_eq!((starts[0], starts.len()), (-540, 12), "{starts:?}");
}

/// Texts with their polarity as VADER has it, 2 s apart.
fn scored(test: &str) -> Option<Vec<(i64, String, f64)>> {
    let path = samples::find("expected/vader_compound.jsonl", test)?;
    let lines = std::fs::read_to_string(path).unwrap();
    let one = |(n, line): (i64, &str)| {
        let scored: Value = serde_json::from_str(line).unwrap();
        (n * 2, scored["text"].as_str().unwrap().to_owned(), scored["vader_compound"].as_f64().unwrap())
    };
    Some((0..).zip(lines.lines()).map(one).collect())
}

/// Count, mean, variance, least and greatest.
type Stats = (i64, f64, Option<f64>, f64, f64);

fn stats(scores: &[f64]) -> Stats {
    let n = scores.len() as f64;
    let mean = scores.iter().sum::<f64>() / n;
    let squares: f64 = scores.iter().map(|score| (score - mean).powi(2)).sum();
    let variance = (scores.len() > 1).then(|| squares / (n - 1.0));
    let least = scores.iter().copied().fold(f64::MAX, f64::min);
    (
        i64::try_from(scores.len()).unwrap(),
        mean,
        variance,
        least,
        scores.iter().copied().fold(f64::MIN, f64::max),
    )
}

fn assert_stats(batch: &RecordBatch, row: usize, scores: &[f64]) {
    let (n, mean, variance, least, most) = stats(scores);
    let reals = [
        ("mean", Some(mean)),
        ("variance", variance),
        ("stddev", variance.map(f64::sqrt)),
        ("min", Some(least)),
        ("max", Some(most)),
    ];
    assert_eq!(count(batch, "sentiment_count", row), n);
    for (name, expected) in reals {
        let is = real(batch, &format!("sentiment_{name}"), row);
        let is_close = match (is, expected) {
            (Some(is), Some(expected)) => (is - expected).abs() < 1e-9,
            (is, expected) => is == expected,
        };
        assert!(is_close, "{name}: {is:?}, not {expected:?}");
    }
}

#[test]
fn sentiment_is_vaders_and_the_extremes_are_the_texts_that_have_it() {
    let test = "sentiment_is_vaders_and_the_extremes_are_the_texts_that_have_it";
    let Some(texts) = scored(test) else { return };
    let rig = Rig::new(2);
    rig.send(texts.iter().enumerate().map(|(n, (secs, text, _))| post(n, *secs, text, &[])));
    let minute = std::time::Duration::from_secs(60);
    let five = preset("sentiment_extremes").unwrap();
    let one = Table { name: "one".into(), window: minute, slide: minute, ..five.clone() };
    drain(&rig, vec![five, one]);
    for (table, length) in [("sentiment_extremes", 300), ("one", 60)] {
        let mut windows = 0;
        for batch in read_table(rig.store(), table).unwrap() {
            let from = start(&batch, 0);
            let inside: Vec<_> = texts
                .iter()
                .enumerate()
                .filter(|(_, (secs, ..))| (from..from + length).contains(secs))
                .collect();
            let scores: Vec<f64> = inside.iter().map(|(_, (_, _, score))| *score).collect();
            assert_eq!(batch.num_rows(), 1);
            assert_stats(&batch, 0, &scores);
            // Of equals the one with the least id, as text.
            let end = |sign: f64| {
                let key = |(n, (_, _, score)): &(usize, &(i64, String, f64))| (sign * score, n.to_string());
                let order = |a: &(f64, String), b: &(f64, String)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
                let best = inside.iter().min_by(|a, b| order(&key(a), &key(b))).unwrap();
                (best.0.to_string(), best.1.1.clone(), best.1.2)
            };
            for (name, sign) in [("most_positive", -1.0), ("most_negative", 1.0)] {
                let of = |part: &str| text(&batch, &format!("{name}_{part}"), 0);
                let is = (of("id"), of("text"), real(&batch, name, 0).unwrap());
                assert_eq!(is, end(sign), "{name} at {from}");
            }
            windows += 1;
        }
        assert_eq!(windows, 3000 / length);
    }
}

#[test]
fn the_polarity_of_words_is_that_of_the_texts_they_are_in() {
    let test = "the_polarity_of_words_is_that_of_the_texts_they_are_in";
    let Some(texts) = scored(test) else { return };
    let texts = &texts[..400];
    let rig = Rig::new(2);
    rig.send(texts.iter().enumerate().map(|(n, (secs, text, _))| post(n, *secs, text, &[])));
    drain(&rig, vec![preset("word_polarity").unwrap()]);
    let mut words_of: BTreeMap<(i64, String), Vec<f64>> = BTreeMap::new();
    for (secs, text, score) in texts {
        for word in words(text) {
            let last = secs.div_euclid(30) * 30;
            for start in (last - 870..=last).step_by(30) {
                words_of.entry((start, word.clone())).or_default().push(*score);
            }
        }
    }
    let mut rows = 0;
    for batch in read_table(rig.store(), "word_polarity").unwrap() {
        for row in 0..batch.num_rows() {
            let scores = &words_of[&(start(&batch, row), text(&batch, "word", row))];
            assert_stats(&batch, row, scores);
            rows += 1;
        }
    }
    assert_eq!(rows, words_of.len());
    assert!(rows > 10_000, "{rows}");
}

#[test]
fn the_top_hashtags_of_a_recording_are_those_computed_elsewhere() {
    let test = "the_top_hashtags_of_a_recording_are_those_computed_elsewhere";
    let (Some(recording), Some(windows)) =
        (samples::find("x/hk.v2stream.ndjson", test), samples::find("expected/windows5m_hk.csv", test))
    else {
        return;
    };
    let rig = Rig::new(4);
    let recording = std::fs::read(recording).unwrap();
    rig.send_lines(recording.split(|b| *b == b'\n').filter(|line| !line.is_empty()), true);
    let five = std::time::Duration::from_secs(300);
    let by = spillway_consumer::metrics::By::FoldedTag;
    let table = Table {
        plan: Plan::new(vec![Kind::Events]),
        top: Some(Top { by: "events".into(), n: 5 }),
        ..Table::new("top_hashtags", five, by, Default::default())
    };
    drain(&rig, vec![table]);
    let is = ranked(rig.store(), "top_hashtags", "events");
    let windows = std::fs::read_to_string(windows).unwrap();
    let mut expected = BTreeMap::new();
    for window in windows.lines().skip(1) {
        let fields: Vec<&str> = window.split(',').collect();
        let start = chrono::DateTime::parse_from_rfc3339(fields[0]).unwrap().timestamp() - START;
        let tags = fields[5].split('|').filter(|tag| !tag.is_empty());
        let pair =
            |tag: &str| tag.rsplit_once(':').map(|(tag, n)| (tag.to_owned(), n.parse().unwrap())).unwrap();
        let tags: Vec<(String, i64)> = tags.map(pair).collect();
        if !tags.is_empty() {
            expected.insert(start, tags);
        }
    }
    assert!(expected.len() > 1000);
    assert_eq!(is, expected);
}
