//! Recorded streams through the mock cluster come to the results that were computed independently.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Rig, Rows, rows};
use spillway_consumer::Until;
use spillway_testkit::samples;

fn lines(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

/// The records of a CSV file without its header. Handles quoted fields, as the expected files need.
fn csv(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let field = |line: &str| {
        let (mut fields, mut field, mut is_quoted) = (Vec::new(), String::new(), false);
        for c in line.chars() {
            match c {
                '"' => is_quoted = !is_quoted,
                ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
                c => field.push(c),
            }
        }
        fields.push(field);
        fields
    };
    text.lines().skip(1).map(field).collect()
}

fn secs(time: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(time).unwrap().timestamp()
}

/// A file `city,date,count` as counts by window and city.
fn cities(path: &Path) -> BTreeMap<(i64, String), i64> {
    csv(path).into_iter().map(|row| ((secs(&row[1]), row[0].clone()), row[2].parse().unwrap())).collect()
}

/// One column of the table, without the zeros, which the expected files do not list.
fn column(rows: &Rows, column: usize) -> BTreeMap<(i64, String), i64> {
    rows.iter().map(|(key, counts)| (key.clone(), counts[column])).filter(|(_, count)| *count > 0).collect()
}

fn assert_cities(rows: &Rows, stem: &str, test: &str) {
    // Their "retweets" are all events that refer to another.
    for (index, name) in [(0, "tweets"), (2, "retweets"), (3, "uniqueusers")] {
        let path = samples::find(&format!("expected/{stem}_{name}.csv"), test).unwrap();
        assert_eq!(column(rows, index), cities(&path), "{stem}_{name}");
    }
}

#[test]
fn the_hong_kong_recording_comes_to_its_windows_and_cities() {
    let test = "the_hong_kong_recording_comes_to_its_windows_and_cities";
    let (Some(recording), Some(windows)) =
        (samples::find("x/hk.v2stream.ndjson", test), samples::find("expected/windows5m_hk.csv", test))
    else {
        return;
    };
    let rig = Rig::new(4);
    let lines = lines(&recording);
    assert_eq!(rig.send_lines(lines.iter().map(Vec::as_slice), true), 1628);
    let summary = rig.drain();
    assert_eq!(summary.ended, Until::Drained);
    assert_eq!((summary.progress.read, summary.progress.events, summary.progress.late), (1628, 1628, 0));

    let expected: Rows = csv(&windows)
        .into_iter()
        .map(|row| {
            let n = |i: usize| row[i].parse().unwrap();
            ((secs(&row[0]), String::new()), [n(1), n(3), n(2), n(4)])
        })
        .collect();
    assert_eq!(expected.len(), 1225);
    assert_eq!(rows(rig.store(), "activity"), expected);
    assert_cities(&rows(rig.store(), "city_activity"), "city5m_hk_dedup", test);
}

#[test]
fn a_tweet_that_comes_twice_counts_once_when_it_has_an_id_and_twice_when_it_has_none() {
    let test = "a_tweet_that_comes_twice_counts_once_when_it_has_an_id_and_twice_when_it_has_none";
    let Some(recording) = samples::find("x/streaming_output.jsonl", test) else { return };
    let lines = lines(&recording);
    for (with_ids, stem, events, duplicates) in [(true, "dedup", 7, 1), (false, "raw", 8, 0)] {
        let rig = Rig::new(3);
        assert_eq!(rig.send_lines(lines.iter().map(Vec::as_slice), with_ids), 9);
        let counted = rig.drain().progress;
        assert_eq!(
            (counted.events, counted.duplicates, counted.notices, counted.late),
            (events, duplicates, 1, 0),
            "{stem}"
        );
        assert_cities(
            &rows(rig.store(), "city_activity"),
            &format!("city5m_twarc_streaming_output_{stem}"),
            test,
        );
    }
}

#[test]
fn a_torn_last_line_is_quarantined() {
    let test = "a_torn_last_line_is_quarantined";
    let Some(recording) = samples::find("x/streaming_output_with_error.jsonl", test) else { return };
    let lines = lines(&recording);
    let rig = Rig::new(2);
    assert_eq!(rig.send_lines(lines.iter().map(Vec::as_slice), true), 8);
    let counted = rig.drain().progress;
    assert_eq!((counted.read, counted.events, counted.quarantined), (8, 7, 1));
    assert_eq!(rows(rig.store(), "activity").values().map(|counts| counts[0]).sum::<i64>(), 7);
}
