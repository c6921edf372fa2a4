//! The definitions against the recordings' known results, against the naive recount, and that a wrong
//! table is found wrong. Tables to compare are written by DuckDB from the CSV of the known results.
//! They need Python, as the other tests behind this feature.

#![cfg(feature = "kafka")]

use std::time::Duration;

use super::*;
use crate::oracle::{Dedup, Recount};
use crate::rng::Rng;
use crate::samples;
use crate::tweets::{Generator, Options};

const MINUTE: Duration = Duration::from_secs(60);

/// No event is late or of the future.
fn lenient() -> Rules {
    let forever = Duration::from_secs(1 << 31);
    Rules { pane: 5 * MINUTE, delay: forever, future_tolerance: forever }
}

fn table(name: &str, definition: Definition) -> Table {
    Table { name: name.into(), definition, window: 5 * MINUTE, slide: 5 * MINUTE }
}

fn record(offset: i64, id: Option<&str>, value: &[u8]) -> Record {
    let id = id.map(str::to_owned);
    Record { partition: 0, offset, timestamp_ms: 1_800_000_000_000, id, value: value.to_vec() }
}

/// Writes rows, given as CSV with a header, as a table.
fn write_table(dir: &Path, name: &str, csv: &str) {
    let (file, out) = (dir.join("rows.csv"), dir.join("tables").join(name).join("dt=2026-01-01"));
    std::fs::create_dir_all(&out).unwrap();
    std::fs::write(&file, csv).unwrap();
    let program = "import duckdb, sys\n\
        query = \"SELECT * REPLACE (to_timestamp(window_start) AS window_start, to_timestamp(window_end) AS window_end)\"\n\
        duckdb.sql(f\"COPY ({query} FROM read_csv('{sys.argv[1]}', header = true)) TO '{sys.argv[2]}' (FORMAT parquet)\")";
    let part = out.join(format!("{}.parquet", std::fs::read_dir(&out).unwrap().count()));
    Venv::get("duckdb", &PACKAGES).unwrap().run(program, &[&file, &part]).unwrap();
}

fn judge(records: &[Record], rules: &Rules, tables: &[Table], dir: &Path) -> Verdict {
    compare(records, rules, tables, &dir.join("tables"), dir).unwrap()
}

/// What the naive recount says, as CSV.
fn recounted(recount: &Recount) -> [String; 2] {
    let head = "events,reposts,referencing,unique_actors\n";
    let row = |start: i64, c: &crate::oracle::Counts| {
        let ends = format!("{},{}", start / 1_000_000, start / 1_000_000 + 300);
        (ends, format!("{},{},{},{}\n", c.events, c.reposts, c.referencing, c.unique_actors))
    };
    let all = recount.activity().into_iter().map(|(start, counts)| {
        let (ends, values) = row(start, &counts);
        format!("{ends},{values}")
    });
    let cities = recount.city_activity();
    let cities = cities.iter().map(|((start, city), counts)| {
        let (ends, values) = row(*start, counts);
        format!("{ends},\"{}\",{values}", city.replace('"', "\"\""))
    });
    [
        format!("window_start,window_end,{head}{}", all.collect::<String>()),
        format!("window_start,window_end,place,{head}{}", cities.collect::<String>()),
    ]
}

#[test]
#[ignore = "needs Python and, once, a package index: cargo test -p spillway-testkit --lib -- --include-ignored oracle::windows"]
fn duckdb_and_the_naive_recount_agree_and_a_changed_row_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let tweets = Generator::new(11, Options { step_us: 900_000, repeat_share: 0.05, ..Options::default() });
    let mut recount = Recount::new(5 * MINUTE, Dedup::ById);
    let mut records = Vec::new();
    for (offset, tweet) in (0..).zip(tweets.take(2000)) {
        recount.add(&tweet.line);
        records.push(record(offset, Some(&tweet.id), &tweet.line));
    }
    records.push(record(2000, None, b"{torn"));
    records.push(record(2001, None, b"{\"errors\":[{\"title\":\"operational-disconnect\"}]}"));
    let [all, cities] = recounted(&recount);
    write_table(dir.path(), "activity", &all);
    write_table(dir.path(), "city_activity", &cities);
    let tables = [table("activity", Definition::Activity), table("city_activity", Definition::CityActivity)];
    let verdict = judge(&records, &lenient(), &tables, dir.path());
    assert!(verdict.is_equal(), "{verdict}");
    let Tally { records: all_records, events, duplicates, late, notices, quarantined } = verdict.tally;
    assert_eq!((all_records, events, duplicates), (2002, recount.events, recount.duplicates));
    assert_eq!((late, notices, quarantined), (0, 1, 1));
    assert!(verdict.tables[1].expected > 100, "{verdict}");

    // The same rows once more: every one is surplus. A count that is off: one missing, one surplus.
    write_table(dir.path(), "activity", &all);
    let verdict = judge(&records, &lenient(), &tables[..1], dir.path());
    assert_eq!((verdict.tables[0].missing, verdict.tables[0].surplus), (0, verdict.tables[0].expected));

    // Without one event, whose id comes once, one row of the fresh table is another.
    let fresh = tempfile::tempdir().unwrap();
    write_table(fresh.path(), "activity", &all);
    let once = |at: &usize| records.iter().filter(|record| record.id == records[*at].id).count() == 1;
    let at = (0..records.len()).find(once).unwrap();
    records.remove(at);
    let verdict = judge(&records, &lenient(), &tables[..1], fresh.path());
    assert_eq!((verdict.tables[0].missing, verdict.tables[0].surplus), (1, 1), "{verdict}");
}

#[test]
#[ignore = "needs Python and, once, a package index: cargo test -p spillway-testkit --lib -- --include-ignored oracle::windows"]
fn what_is_late_of_the_future_and_a_duplicate_follows_from_the_records() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("tables")).unwrap();
    let mut rng = Rng::new(1);
    let event = |rng: &mut Rng, id: &str, second: i64| {
        let time = chrono::DateTime::from_timestamp(1_767_225_600 + second, 0).unwrap().to_rfc3339();
        let author = rng.below(3);
        format!("{{\"data\":{{\"id\":\"{id}\",\"author_id\":\"{author}\",\"created_at\":\"{time}\"}}}}")
    };
    // Panes of 300 s, a delay of 30 s: that before 300 s closes with the event at 330 s.
    let times = [
        ("a", 10),
        ("b", 329),
        ("c", 299),
        ("d", 330),
        ("e", 299),
        ("f", 300),
        ("a", 400),
        ("g", 99_999_999),
    ];
    let mut records = Vec::new();
    for (offset, (id, second)) in (0..).zip(times) {
        records.push(record(offset, Some(id), event(&mut rng, id, second).as_bytes()));
    }
    // Another partition has a watermark of its own.
    records.push(Record { partition: 1, ..record(0, Some("h"), event(&mut rng, "h", 20).as_bytes()) });
    let rules = Rules { delay: Duration::from_secs(30), future_tolerance: MINUTE, ..lenient() };
    let verdict = judge(&records, &rules, &[table("activity", Definition::Activity)], dir.path());
    let Tally { events, duplicates, late, quarantined, .. } = verdict.tally;
    assert_eq!((events, duplicates, late, quarantined), (6, 1, 1, 1), "{verdict}");
    assert_eq!((verdict.tables[0].expected, verdict.tables[0].missing), (2, 2));
}

#[test]
#[ignore = "needs Python and, once, a package index: cargo test -p spillway-testkit --lib -- --include-ignored oracle::windows"]
fn the_hong_kong_recording_comes_to_its_known_windows() {
    let test = "the_hong_kong_recording_comes_to_its_known_windows";
    let (Some(stream), Some(known)) =
        (samples::find("x/hk.v2stream.ndjson", test), samples::find("expected/windows5m_hk.csv", test))
    else {
        return;
    };
    let stream = std::fs::read(stream).unwrap();
    let lines = stream.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let id = |line: &[u8]| {
        let value: Value = serde_json::from_slice(line).unwrap();
        value.pointer("/data/id").and_then(Value::as_str).map(str::to_owned)
    };
    let records: Vec<Record> =
        (0..).zip(lines).map(|(n, line)| record(n, id(line).as_deref(), line)).collect();
    let mut csv = "window_start,window_end,events,reposts,referencing,unique_actors\n".to_owned();
    for line in std::fs::read_to_string(known).unwrap().lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let start = chrono::DateTime::parse_from_rfc3339(fields[0]).unwrap().timestamp();
        // tweets, all that refer to another, retweets alone, users
        csv += &format!("{start},{},{},{},{},{}\n", start + 300, fields[1], fields[3], fields[2], fields[4]);
    }
    let dir = tempfile::tempdir().unwrap();
    write_table(dir.path(), "activity", &csv);
    let verdict = judge(&records, &lenient(), &[table("activity", Definition::Activity)], dir.path());
    assert!(verdict.is_equal() && verdict.tally.events > 1000, "{verdict}");
}

#[test]
#[ignore = "needs Python and, once, a package index: cargo test -p spillway-testkit --lib -- --include-ignored oracle::windows"]
fn smiles_are_summed_by_hashtag_and_windows_may_overlap() {
    let dir = tempfile::tempdir().unwrap();
    let line = |id: u32, second: i64, text: &str, tags: &[&str]| {
        let time = chrono::DateTime::from_timestamp(1_767_225_600 + second, 0).unwrap().to_rfc3339();
        let tags: Vec<Value> = tags.iter().map(|tag| json!({ "tag": tag })).collect();
        let data = json!({"id": id.to_string(), "author_id": "1", "created_at": time, "text": text, "entities": {"hashtags": tags}});
        json!({ "data": data }).to_string()
    };
    let lines = [
        line(1, 10, "a :) b :):)", &["x", "y", "x"]),
        line(2, 70, ":)", &["y"]),
        line(3, 80, "none", &["z"]),
        line(4, 90, ":)", &["x", "w"]),
    ];
    let records: Vec<Record> = (0..).zip(&lines).map(|(n, line)| record(n, None, line.as_bytes())).collect();
    let t = 1_767_225_600_i64;
    // Two minutes, sliding by one: the second window of the three holds all.
    let rows = [(-60, "x", 3), (-60, "y", 3), (0, "x", 4), (0, "y", 4), (60, "w", 1), (60, "x", 1)];
    let rows = rows.map(|(start, tag, smiles)| format!("{},{},{tag},{smiles}\n", t + start, t + start + 120));
    write_table(dir.path(), "happiest", &format!("window_start,window_end,tag,smiles\n{}", rows.concat()));
    let definition = Definition::HappiestHashtags { top: 2 };
    let table = Table { name: "happiest".into(), definition, window: 2 * MINUTE, slide: MINUTE };
    let rules = Rules { pane: MINUTE, ..lenient() };
    let verdict = judge(&records, &rules, &[table], dir.path());
    assert!(verdict.is_equal() && verdict.tables[0].expected == 6, "{verdict}");
}
