//! The end of a run: the whole topic and all final objects, to a program that counts again.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use spillway_testkit::kafka::Reader;
use spillway_testkit::oracle::windows::{Definition, Record, Rules, Table, Verdict, compare};

use crate::Outcome;
use crate::world::World;

const READ_WITHIN: Duration = Duration::from_secs(60);
const MINUTE: Duration = Duration::from_secs(60);

/// All records of a topic, read by no group.
pub(crate) fn read_topic(bootstrap: &str, topic: &str, partitions: i32) -> Outcome<Vec<Record>> {
    let payloads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&payloads);
    let sink = move |partition: i32, offset: i64, payload: &[u8]| {
        kept.lock().unwrap_or_else(PoisonError::into_inner).push((partition, offset, payload.to_vec()));
    };
    let reader = Reader::with_sink(bootstrap, topic, partitions, Box::new(sink))?;
    if !reader.read_to_end(READ_WITHIN)? {
        return Err("the topic could not be read to its end".into());
    }
    let seen = reader.stop();
    if !seen.gaps.is_empty() {
        return Err(format!("the cluster has forgotten records: {:?}", seen.gaps).into());
    }
    let payloads = std::mem::take(&mut *payloads.lock().unwrap_or_else(PoisonError::into_inner));
    let record = |(partition, offset, value): (i32, i64, Vec<u8>)| {
        let entries = seen.partitions.get(&partition)?;
        let entry = &entries[entries.binary_search_by_key(&offset, |entry| entry.offset).ok()?];
        let id = entry.id.as_ref().map(ToString::to_string);
        Some(Record { partition, offset, timestamp_ms: entry.timestamp_ms?, id, value })
    };
    let records: Option<Vec<Record>> = payloads.into_iter().map(record).collect();
    records.ok_or_else(|| "a record has no timestamp".into())
}

/// Copies the objects below `prefix` into a folder; how many.
pub(crate) fn download(world: &World, prefix: &str, into: &Path) -> Outcome<usize> {
    let client = world.objects();
    let keys = client.list(&format!("{prefix}/"))?;
    for key in &keys {
        let path = into.join(key.strip_prefix(prefix).unwrap_or(key).trim_start_matches('/'));
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, client.read(key)?.ok_or("an object that was listed is not there")?)?;
    }
    Ok(keys.len())
}

/// Compares the tables below `dir` with the records.
pub(crate) fn judge(records: &[Record], dir: &Path) -> Outcome<Verdict> {
    let table =
        |name: &str, definition, window| Table { name: name.into(), definition, window, slide: window };
    let tables = [
        table("activity", Definition::Activity, MINUTE),
        table("city_activity", Definition::CityActivity, 5 * MINUTE),
        Table { slide: MINUTE, ..table("sliding", Definition::Activity, 5 * MINUTE) },
        table("happiest_hashtags", Definition::HappiestHashtags { top: 10 }, 5 * MINUTE),
    ];
    let rules =
        Rules { pane: MINUTE, delay: Duration::from_secs(30), future_tolerance: Duration::from_secs(600) };
    Ok(compare(records, &rules, &tables, &dir.join("tables"), dir)?)
}
