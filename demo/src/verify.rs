//! Was anything lost, and is every window right? Compares what was sent with what is in the topic and
//! with what is in the tables.

use std::collections::{BTreeMap, BTreeSet};

use spillway_testkit::kafka::Snapshot;
use spillway_testkit::oracle::{Counts, Verdict, compare_delivery};

use crate::input::Served;
use crate::sentiment;
use crate::tables::Tables;

/// A row that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) table: &'static str,
    pub(crate) window_start: i64,
    /// The place or hashtag.
    pub(crate) group: Option<String>,
    /// What the recount says, in words; `None`: there should be no such row.
    pub(crate) expected: Option<String>,
    /// What the table says; `None`: the row is missing.
    pub(crate) found: Option<String>,
}

/// The result.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    pub(crate) delivery: Verdict,
    pub(crate) differences: Vec<Difference>,
    /// Rows that the recount says there are, in all tables that are wholly counted again.
    pub(crate) rows_expected: usize,
    /// Rows of `sentiment_extremes` that there should be; they are held against what was sent.
    pub(crate) rows_fitted: usize,
}

/// See the module.
pub(crate) fn verify(served: &Served, topic: &Snapshot, tables: &Tables) -> Verified {
    let delivery = compare_delivery(&served.sent, topic);
    let (activity, cities) = (served.recount.activity(), served.recount.city_activity());
    let happiest = served.posts.happiest();
    let mut differences = compare("activity", &activity, &tables.activity, |start| (*start, None), counts);
    let of_group = |(start, group): &(i64, String)| (*start, Some(group.clone()));
    differences.extend(compare("city_activity", &cities, &tables.cities, of_group, counts));
    let smiles = |smiles: &i64| format!("smiles {smiles}");
    differences.extend(compare("happiest_hashtags", &happiest, &tables.happiest, of_group, smiles));
    let misfits = sentiment::misfits(&tables.sentiment, served.posts.texts());
    differences.extend(misfits.into_iter().map(|(window_start, expected, found)| Difference {
        table: "sentiment_extremes",
        window_start,
        group: None,
        expected,
        found,
    }));
    Verified {
        delivery,
        differences,
        rows_expected: activity.len() + cities.len() + happiest.len(),
        rows_fitted: served.posts.texts().len(),
    }
}

fn counts(counts: &Counts) -> String {
    let Counts { events, reposts, referencing, unique_actors } = counts;
    format!("events {events} reposts {reposts} referencing {referencing} unique_actors {unique_actors}")
}

/// The rows that differ.
fn compare<K: Ord, V: PartialEq>(
    table: &'static str,
    expected: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
    key: impl Fn(&K) -> (i64, Option<String>),
    show: impl Fn(&V) -> String,
) -> Vec<Difference> {
    let keys: BTreeSet<&K> = expected.keys().chain(found.keys()).collect();
    let differing = keys.into_iter().filter(|k| expected.get(k) != found.get(k));
    let difference = |k: &K| {
        let (window_start, group) = key(k);
        let [expected, found] = [expected, found].map(|rows| rows.get(k).map(&show));
        Difference { table, window_start, group, expected, found }
    };
    differing.map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Ledger;
    use crate::sentiment::{Extreme, Sentiment};
    use spillway_testkit::kafka::Entry;

    const LINE: &[u8] = br#"{"data":{"id":"1","author_id":"2","created_at":"2026-01-01T00:07:00.000Z","text":"good :)","entities":{"hashtags":[{"tag":"sun"}]}},"includes":{"places":[{"full_name":"X","place_type":"city"}]}}"#;

    fn good() -> (Ledger, Snapshot, Tables) {
        let ledger = Ledger::new();
        ledger.tap()(LINE);
        let entry = Entry {
            offset: 0,
            id: Some("1".into()),
            hash: spillway_testkit::hash(LINE),
            len: LINE.len(),
            timestamp_ms: None,
        };
        let topic = Snapshot { partitions: [(0, vec![entry])].into(), gaps: vec![] };
        let start = 1_767_225_900_000_000;
        let counts = Counts { events: 1, unique_actors: 1, ..Counts::default() };
        let good = Extreme { polarity: 0.7, id: "1".into(), text: "good :)".into() };
        let row =
            Sentiment { count: 1, mean: 0.7, min: 0.7, max: 0.7, positive: good.clone(), negative: good };
        let tables = Tables {
            activity: [(start, counts)].into(),
            cities: [((start, "X".to_owned()), counts)].into(),
            happiest: [((start - 300_000_000, "sun".to_owned()), 1)].into(),
            sentiment: [(start, row)].into(),
            files: 4,
        };
        (ledger, topic, tables)
    }

    #[test]
    fn what_is_right_is_right() {
        let (ledger, topic, tables) = good();
        let verified = verify(&ledger.lock(), &topic, &tables);
        assert_eq!((verified.differences, verified.rows_expected, verified.rows_fitted), (vec![], 3, 1));
        assert_eq!(verified.delivery, Verdict::default());
    }

    #[test]
    fn every_kind_of_wrong_row_is_found() {
        let (ledger, topic, mut tables) = good();
        let start = *tables.activity.keys().next().unwrap();
        tables.activity.get_mut(&start).unwrap().unique_actors = 2;
        tables.cities.remove(&(start, "X".to_owned()));
        tables.cities.insert((start, "Y".to_owned()), Counts::default());
        tables.happiest.values_mut().for_each(|smiles| *smiles = 2);
        tables.sentiment.clear();
        let found = verify(&ledger.lock(), &topic, &tables).differences;
        let seen: Vec<_> = found
            .iter()
            .map(|d| (d.table, d.group.as_deref(), d.expected.as_deref(), d.found.as_deref()))
            .collect();
        let one = Some("events 1 reposts 0 referencing 0 unique_actors 1");
        let wrong = Some("events 1 reposts 0 referencing 0 unique_actors 2");
        let none = Some("events 0 reposts 0 referencing 0 unique_actors 0");
        assert_eq!(
            seen,
            [
                ("activity", None, one, wrong),
                ("city_activity", Some("X"), one, None),
                ("city_activity", Some("Y"), None, none),
                ("happiest_hashtags", Some("sun"), Some("smiles 1"), Some("smiles 2")),
                ("sentiment_extremes", None, Some("sentiment_count 1"), None),
            ]
        );
    }
}
