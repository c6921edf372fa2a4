//! Archives of events, from records in Kafka to objects in the store: each event that counts is there once,
//! with where it lies in the topic, whatever happens to those who write it.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use common::{Rec, Rig, rec};
use serde_json::{Value, json};
use spillway_consumer::read::{objects, read_object};
use spillway_consumer::{Config, Control, Summary, preset_archive, run};
use spillway_testkit::samples;

/// A row: where it lies, then what its object's name and its columns say.
type Rows = BTreeMap<(i32, i64), (String, String, i64, String, i64)>;

fn config(rig: &Rig) -> Config {
    Config { archives: vec![preset_archive("company_archive").unwrap()], ..rig.config() }
}

fn drain(config: Config) -> Summary {
    let control = Control::new();
    control.drain();
    run(config, &control).unwrap()
}

/// All rows of the archive. Fails when one is there twice.
fn rows(store: &Path) -> Rows {
    let mut rows = Rows::new();
    for path in objects(store, "company_archive").unwrap() {
        let folder = path.strip_prefix(store.join("tables/company_archive")).unwrap();
        let company = folder.components().next().unwrap().as_os_str().to_str().unwrap();
        let company = company.strip_prefix("company=").unwrap();
        for batch in read_object(&path).unwrap() {
            let column = |name: &str| batch.column_by_name(name).unwrap();
            let times = column("created_at").as_primitive::<TimestampMicrosecondType>();
            let (ids, texts) = (column("id").as_string::<i32>(), column("text").as_string::<i32>());
            let words = column("word_count").as_primitive::<Int64Type>();
            let partitions = column("partition").as_primitive::<Int32Type>();
            let offsets = column("offset").as_primitive::<Int64Type>();
            for i in 0..batch.num_rows() {
                let row = (
                    company.to_owned(),
                    ids.value(i).to_owned(),
                    times.value(i),
                    texts.value(i).to_owned(),
                    words.value(i),
                );
                let before = rows.insert((partitions.value(i), offsets.value(i)), row);
                assert_eq!(before, None, "{} at {}", partitions.value(i), offsets.value(i));
            }
        }
    }
    rows
}

#[test]
fn a_recording_is_archived_whole_by_company() {
    let test = "a_recording_is_archived_whole_by_company";
    let Some(recording) = samples::find("x/hk.v2stream.ndjson", test) else { return };
    let bytes = std::fs::read(recording).unwrap();
    let lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
    let rig = Rig::new(3);
    let (mut expected, mut ends) = (Rows::new(), [0_i64; 3]);
    let records: Vec<Rec> = lines
        .iter()
        .enumerate()
        .map(|(n, line)| {
            let mut value: Value = serde_json::from_slice(line).unwrap();
            value["matching_rules"] =
                [json!([{ "tag": "ACME" }, { "tag": "x" }]), json!([{ "tag": "Æon/Co" }]), json!([])][n % 3]
                    .clone();
            let company = ["acme", "%C3%A6on%2Fco", "__HIVE_DEFAULT_PARTITION__"][n % 3];
            let field = |name: &str| value["data"][name].as_str().unwrap().to_owned();
            let time = chrono::DateTime::parse_from_rfc3339(&field("created_at")).unwrap().timestamp_micros();
            let words = i64::try_from(field("text").split_whitespace().count()).unwrap();
            let (partition, id) = (n % 3, field("id"));
            let row = (company.to_owned(), id.clone(), time, field("text"), words);
            expected.insert((i32::try_from(partition).unwrap(), ends[partition]), row);
            ends[partition] += 1;
            Rec {
                partition: i32::try_from(partition).unwrap(),
                id: Some(id),
                value: value.to_string().into_bytes(),
                timestamp_ms: None,
            }
        })
        .collect();
    rig.send(records);
    let summary = drain(config(&rig));
    assert_eq!((summary.progress.events, summary.progress.late), (1628, 0));
    let archive = summary.tables.last().unwrap();
    assert_eq!((archive.table.as_str(), archive.rows), ("company_archive", 1628));
    assert_eq!(rows(rig.store()), expected);
}

#[test]
fn an_event_is_archived_once_however_often_it_is_read() {
    let rig = Rig::new(2);
    let all = |from: u32, to: u32| {
        (from..to).map(|n| rec(i32::try_from(n % 2).unwrap(), n, i64::from(n) * 3, "ann"))
    };
    rig.send(all(0, 400).chain(all(390, 400)));
    // Most of the events are in open panes, and are read again by each run.
    for _ in 0..3 {
        let running = rig.start(config(&rig));
        running.wait("records", |progress| progress.read >= 1 && progress.lag == Some(0));
        running.stop();
    }
    rig.send(all(400, 800));
    drain(config(&rig));
    let ids: Vec<u32> = rows(rig.store()).into_values().map(|row| row.1.parse().unwrap()).collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..800).collect::<Vec<_>>());
}
