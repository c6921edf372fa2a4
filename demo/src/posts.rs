//! What the posts that were sent say, the naive way: which hashtags have how many smiles, hour by hour, and
//! which texts there are in each window. No code in common with the consumer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::DateTime;
use serde_json::Value;

use crate::input::{HOUR, WINDOW};

/// A table of `happiest_hashtags` has so many rows an hour at most.
const HAPPIEST: usize = 10;

/// Rows of the table `happiest_hashtags`: start of the hour, in microseconds since 1970, and hashtag; smiles.
pub(crate) type HappiestTable = BTreeMap<(i64, String), i64>;

/// The texts of one window.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    /// How many posts have one.
    pub(crate) posts: i64,
    /// Each text, and of the posts that say it the id that comes first, byte by byte.
    pub(crate) first_ids: BTreeMap<String, String>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Posts {
    smiles: HappiestTable,
    texts: BTreeMap<i64, Texts>,
}

impl Posts {
    /// Notes a post; what is none is left out. Whoever calls this leaves out posts that come twice.
    pub(crate) fn add(&mut self, line: &[u8]) {
        let Ok(record) = serde_json::from_slice::<Value>(line) else { return };
        let said = |path: &str| record.pointer(path).and_then(Value::as_str);
        let time = said("/data/created_at").and_then(|time| DateTime::parse_from_rfc3339(time).ok());
        let (Some(time), Some(id), Some(text)) = (time, said("/data/id"), said("/data/text")) else { return };
        let texts = self.texts.entry(start(time.timestamp_micros(), WINDOW)).or_default();
        texts.posts += 1;
        let first = texts.first_ids.entry(text.to_owned()).or_insert_with(|| id.to_owned());
        if id < first.as_str() {
            id.clone_into(first);
        }
        let smiles = i64::try_from(text.matches(":)").count()).unwrap_or(i64::MAX);
        let hashtags = record.pointer("/data/entities/hashtags").and_then(Value::as_array);
        let tags: BTreeSet<&str> =
            hashtags.into_iter().flatten().filter_map(|tag| tag.get("tag")?.as_str()).collect();
        for tag in tags.into_iter().filter(|_| smiles > 0) {
            *self.smiles.entry((start(time.timestamp_micros(), HOUR), tag.to_owned())).or_default() += smiles;
        }
    }

    /// The rows of `happiest_hashtags`: those with the most smiles, equal ones by name.
    pub(crate) fn happiest(&self) -> HappiestTable {
        let mut hours: BTreeMap<i64, Vec<(&String, i64)>> = BTreeMap::new();
        for ((hour, tag), smiles) in &self.smiles {
            hours.entry(*hour).or_default().push((tag, *smiles));
        }
        let mut rows = HappiestTable::new();
        for (hour, mut tags) in hours {
            // Stable: equal ones stay sorted by name.
            tags.sort_by_key(|(_, smiles)| std::cmp::Reverse(*smiles));
            rows.extend(tags.into_iter().take(HAPPIEST).map(|(tag, smiles)| ((hour, tag.clone()), smiles)));
        }
        rows
    }

    /// The texts by window start.
    pub(crate) fn texts(&self) -> &BTreeMap<i64, Texts> {
        &self.texts
    }
}

/// The start of the window that a time is in.
fn start(micros: i64, window: Duration) -> i64 {
    let length = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
    micros.div_euclid(length) * length
}

#[cfg(test)]
pub(crate) fn post(id: &str, at: &str, text: &str, tags: &[&str]) -> Vec<u8> {
    let hashtags: Vec<Value> = tags.iter().map(|tag| serde_json::json!({"tag": tag})).collect();
    let time = format!("2026-01-01T{at}.000Z");
    let data = serde_json::json!({"id": id, "author_id": "1", "created_at": time, "text": text, "entities": {"hashtags": hashtags}});
    serde_json::json!({"data": data}).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-01T00:00:00Z
    const MIDNIGHT: i64 = 1_767_225_600_000_000;

    #[test]
    fn smiles_are_summed_by_hour_and_hashtag() {
        let mut posts = Posts::default();
        posts.add(&post("1", "00:10:00", "one :) two :)", &["sun", "rain", "sun"]));
        posts.add(&post("2", "00:59:59", "three :)", &["sun"]));
        posts.add(&post("3", "01:00:00", ":)", &["sun"]));
        posts.add(&post("4", "00:20:00", "none :( \u{1f600}", &["fog"]));
        posts.add(&post("5", "00:20:00", "no tags :)", &[]));
        posts.add(b"not json");
        posts.add(br#"{"errors":[]}"#);
        let row = |hour: i64, tag: &str, smiles| ((MIDNIGHT + hour * 3_600_000_000, tag.to_owned()), smiles);
        assert_eq!(posts.happiest(), [row(0, "sun", 3), row(0, "rain", 2), row(1, "sun", 1)].into());
    }

    #[test]
    fn ten_stay_and_of_equal_ones_the_first_by_name() {
        let mut posts = Posts::default();
        let names: Vec<String> = (0..12).map(|n| format!("t{n:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        posts.add(&post("1", "00:10:00", ":)", &names));
        posts.add(&post("2", "00:10:00", ":)", &["t11"]));
        let happiest = posts.happiest();
        let tags: Vec<&str> = happiest.keys().map(|(_, tag)| tag.as_str()).collect();
        assert_eq!(tags, ["t00", "t01", "t02", "t03", "t04", "t05", "t06", "t07", "t08", "t11"]);
    }

    #[test]
    fn texts_are_kept_by_window_with_the_first_id() {
        let mut posts = Posts::default();
        for (id, at, text) in
            [("9", "00:04:59", "a"), ("10", "00:00:00", "a"), ("2", "00:01:00", "b"), ("1", "00:05:00", "a")]
        {
            posts.add(&post(id, at, text, &[]));
        }
        let first = &posts.texts()[&MIDNIGHT];
        assert_eq!(first.posts, 3);
        assert_eq!(first.first_ids, [("a".into(), "10".into()), ("b".into(), "2".into())].into());
        assert_eq!(posts.texts()[&(MIDNIGHT + 300_000_000)].posts, 1);
    }
}
