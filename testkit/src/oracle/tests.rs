//! The oracle against results that others computed, and against errors made on purpose.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use chrono::DateTime;

use super::*;
use crate::kafka::{Entry, Snapshot};
use crate::samples;

const FIVE_MINUTES: Duration = Duration::from_secs(300);

fn recount(path: &Path, dedup: Dedup) -> Recount {
    let mut recount = Recount::new(FIVE_MINUTES, dedup);
    for line in std::fs::read(path).unwrap().split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        recount.add(line);
    }
    recount
}

/// Rows of a CSV file whose first cell may be quoted.
fn rows(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let row = |line: &str| match line.strip_prefix('"') {
        Some(quoted) => {
            let (first, rest) = quoted.split_once("\",").unwrap();
            std::iter::once(first.to_owned()).chain(rest.split(',').map(str::to_owned)).collect()
        }
        None => line.split(',').map(str::to_owned).collect(),
    };
    text.lines().skip(1).map(row).collect()
}

fn micros(time: &str) -> i64 {
    DateTime::parse_from_rfc3339(time).unwrap().timestamp_micros()
}

/// One expected column of the city table; cities with 0 are not listed.
fn city_column(name: &str, test: &str) -> Option<BTreeMap<(i64, String), i64>> {
    let path = samples::find(&format!("expected/{name}.csv"), test)?;
    let cell = |row: Vec<String>| ((micros(&row[1]), row[0].clone()), row[2].parse().unwrap());
    Some(rows(&path).into_iter().map(cell).collect())
}

fn column(table: &CityTable, value: fn(&Counts) -> i64) -> BTreeMap<(i64, String), i64> {
    table.iter().map(|(key, counts)| (key.clone(), value(counts))).filter(|(_, n)| *n > 0).collect()
}

fn check_cities(recording: &str, expected: &str, dedup: Dedup, test: &str) {
    let Some(path) = samples::find(recording, test) else { return };
    let table = recount(&path, dedup).city_activity();
    type Metric = (&'static str, fn(&Counts) -> i64);
    let metrics: [Metric; 3] =
        [("tweets", |c| c.events), ("retweets", |c| c.referencing), ("uniqueusers", |c| c.unique_actors)];
    for (metric, value) in metrics {
        let Some(wanted) = city_column(&format!("{expected}_{metric}"), test) else { return };
        assert_eq!(column(&table, value), wanted, "{expected} {metric}");
    }
}

#[test]
fn the_cities_are_those_computed_elsewhere() {
    let test = "the_cities_are_those_computed_elsewhere";
    check_cities("x/hk.v2stream.ndjson", "city5m_hk_dedup", Dedup::ById, test);
    check_cities("x/streaming_output.jsonl", "city5m_twarc_streaming_output_dedup", Dedup::ById, test);
    check_cities("x/streaming_output.jsonl", "city5m_twarc_streaming_output_raw", Dedup::Off, test);
}

#[test]
fn the_windows_are_those_computed_elsewhere() {
    let test = "the_windows_are_those_computed_elsewhere";
    let Some(path) = samples::find("x/hk.v2stream.ndjson", test) else { return };
    let Some(expected) = samples::find("expected/windows5m_hk.csv", test) else { return };
    let number = |cell: &String| cell.parse::<i64>().unwrap();
    let wanted: ActivityTable = rows(&expected)
        .iter()
        .map(|row| {
            let [events, referencing, reposts, unique_actors] = [1, 2, 3, 4].map(|i| number(&row[i]));
            (micros(&row[0]), Counts { events, reposts, referencing, unique_actors })
        })
        .collect();
    let table = recount(&path, Dedup::ById).activity();
    assert_eq!(table.len(), 1_225);
    assert_eq!(table, wanted);
}

#[test]
fn a_recording_holds_events_a_repeat_a_notice_and_a_torn_line() {
    let test = "a_recording_holds_events_a_repeat_a_notice_and_a_torn_line";
    let Some(path) = samples::find("x/streaming_output.jsonl", test) else { return };
    let r = recount(&path, Dedup::ById);
    assert_eq!((r.events, r.duplicates, r.notices, r.unreadable), (7, 1, 1, 0));
    let Some(path) = samples::find("x/streaming_output_with_error.jsonl", test) else { return };
    let r = recount(&path, Dedup::ById);
    assert_eq!((r.events, r.duplicates, r.notices, r.unreadable), (7, 0, 0, 1));
}

#[test]
fn what_cannot_be_counted_is_told_apart() {
    let mut r = Recount::new(FIVE_MINUTES, Dedup::ById);
    let event = br#"{"data":{"id":"1","author_id":"2","created_at":"2026-01-01T00:07:00.000Z"}}"#;
    assert_eq!(r.add(event), Kind::Event);
    assert_eq!(r.add(event), Kind::Duplicate);
    assert_eq!(r.add(br#"{"errors":[{"title":"operational-disconnect"}]}"#), Kind::Notice);
    for bad in [&br#"{"data":{"id":"1""#[..], b"[1]", b"", br#"{"data":{"id":"3","author_id":"2"}}"#, b"\xff"]
    {
        assert_eq!(r.add(bad), Kind::Unreadable);
    }
    assert_eq!(
        r.activity(),
        [(micros("2026-01-01T00:05:00Z"), Counts { events: 1, unique_actors: 1, ..Counts::default() })]
            .into()
    );
    assert_eq!((r.events, r.duplicates, r.notices, r.unreadable), (1, 1, 1, 5));
}

#[test]
fn a_repost_is_a_retweet_and_all_references_refer() {
    let mut r = Recount::new(FIVE_MINUTES, Dedup::ById);
    for (id, references) in [("1", "retweeted"), ("2", "quoted"), ("3", "replied_to"), ("4", "")] {
        let references = match references {
            "" => String::new(),
            kind => format!(",\"referenced_tweets\":[{{\"type\":\"{kind}\",\"id\":\"9\"}}]"),
        };
        let line = format!(
            "{{\"data\":{{\"id\":\"{id}\",\"author_id\":\"7\",\"created_at\":\"2026-01-01T00:00:00.000Z\"{references}}}}}"
        );
        assert_eq!(r.add(line.as_bytes()), Kind::Event);
    }
    let counts = r.activity().into_values().next();
    assert_eq!(counts, Some(Counts { events: 4, reposts: 1, referencing: 3, unique_actors: 1 }));
}

#[test]
fn windows_before_1970_are_aligned_too() {
    let mut r = Recount::new(FIVE_MINUTES, Dedup::Off);
    r.add(br#"{"data":{"id":"1","author_id":"2","created_at":"1969-12-31T23:59:59.999Z"}}"#);
    assert_eq!(r.activity().keys().copied().collect::<Vec<_>>(), [-300_000_000]);
}

fn sent(ids: &[&str]) -> Vec<Sent> {
    ids.iter().map(|id| Sent { id: Some((*id).to_owned()), hash: crate::hash(id.as_bytes()) }).collect()
}

fn topic(partitions: &[&[&str]]) -> Snapshot {
    let entry = |(offset, id): (usize, &&str)| Entry {
        offset: i64::try_from(offset).unwrap(),
        id: Some((*id).into()),
        hash: crate::hash(id.as_bytes()),
        len: id.len(),
        timestamp_ms: None,
    };
    let entries = |ids: &&[&str]| ids.iter().enumerate().map(entry).collect();
    Snapshot { partitions: (0..).zip(partitions.iter().map(entries)).collect(), gaps: vec![] }
}

#[test]
fn a_complete_delivery_has_nothing_to_report() {
    let verdict = compare_delivery(&sent(&["a", "b", "c", "b"]), &topic(&[&["a", "c"], &["b", "b"]]));
    assert_eq!(verdict, Verdict::default());
    assert!(verdict.is_complete());
}

#[test]
fn losses_duplicates_and_strangers_are_counted_by_copy() {
    let verdict =
        compare_delivery(&sent(&["a", "b", "c", "c", "d"]), &topic(&[&["a", "c", "x"], &["b", "b", "b"]]));
    assert_eq!(verdict.lost, ["c", "d"]);
    assert_eq!(verdict.duplicates, ["b", "b"]);
    assert_eq!(verdict.unexpected, ["x"]);
    assert!(!verdict.is_complete());
}

#[test]
fn a_changed_payload_is_lost_and_unexpected() {
    let mut topic = topic(&[&["a", "b"]]);
    topic.partitions.get_mut(&0).unwrap()[1].hash = crate::hash(b"B");
    let verdict = compare_delivery(&sent(&["a", "b"]), &topic);
    assert_eq!((verdict.lost, verdict.unexpected), (vec!["b".to_owned()], vec!["b".to_owned()]));
}

#[test]
fn order_is_that_of_the_first_copies_within_a_partition() {
    let ids = sent(&["a", "b", "c", "d", "e"]);
    // A retry repeats b and c behind d: no disorder. Partitions do not matter to each other.
    assert_eq!(compare_delivery(&ids, &topic(&[&["e"], &["a", "b", "c", "d", "b", "c"]])).disorder, []);
    let verdict = compare_delivery(&ids, &topic(&[&["a", "d", "b", "c", "e"]]));
    let found: Vec<_> =
        verdict.disorder.iter().map(|d| (d.offset, d.id.as_str(), d.sent_as, d.behind)).collect();
    assert_eq!(found, [(2, "b", 1, 3), (3, "c", 2, 3)]);
}

#[test]
fn headers_must_say_the_records_own_id() {
    let mut t = topic(&[&["a", "b", "c"]]);
    let entries = t.partitions.get_mut(&0).unwrap();
    entries[0].id = None;
    entries[1].id = Some("other".into());
    entries[2].id = Some("daemon-7".into());
    let mut ids = sent(&["a", "b", "c"]);
    // c has no id of its own: the one it was given is as good as any.
    ids[2].id = None;
    let verdict = compare_delivery(&ids, &t);
    assert_eq!(verdict.misnamed, ["a", "b"]);
    assert!(!verdict.is_complete());
    // But it must be given one.
    t.partitions.get_mut(&0).unwrap()[2].id = None;
    assert_eq!(compare_delivery(&ids, &t).misnamed.len(), 3);
}

#[test]
fn copies_in_different_partitions_are_reported() {
    let verdict = compare_delivery(&sent(&["a", "a"]), &topic(&[&["a"], &["a"]]));
    assert_eq!(verdict.scattered, ["a"]);
    assert!(verdict.is_complete());
}

#[test]
fn a_sent_record_knows_its_id() {
    assert_eq!(Sent::of(br#"{"data":{"id":"7"}}"#).id.as_deref(), Some("7"));
    assert_eq!(Sent::of(br#"{"errors":[]}"#), Sent { id: None, hash: crate::hash(br#"{"errors":[]}"#) });
    assert_eq!(Sent::of(b"{\"da").id, None);
}
