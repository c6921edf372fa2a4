//! Was anything lost, and is every window right? Compares what was sent with what is in the topic and
//! with what is in the tables.

use std::collections::{BTreeMap, BTreeSet};

use spillway_testkit::kafka::Snapshot;
use spillway_testkit::oracle::{Counts, Recount, Verdict, compare_delivery};

use crate::input::Served;
use crate::tables::Tables;

/// A row that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) table: &'static str,
    pub(crate) window_start: i64,
    pub(crate) place: Option<String>,
    /// What the recount says; `None`: there should be no such row.
    pub(crate) expected: Option<Counts>,
    /// What the table says; `None`: the row is missing.
    pub(crate) found: Option<Counts>,
}

/// The result.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    pub(crate) delivery: Verdict,
    pub(crate) differences: Vec<Difference>,
    /// Rows that the recount says there are, in both tables.
    pub(crate) rows_expected: usize,
}

/// See the module.
pub(crate) fn verify(served: &Served, topic: &Snapshot, tables: &Tables) -> Verified {
    let delivery = compare_delivery(&served.sent, topic);
    let (differences, rows_expected) = compare_tables(&served.recount, tables);
    Verified { delivery, differences, rows_expected }
}

fn compare_tables(recount: &Recount, tables: &Tables) -> (Vec<Difference>, usize) {
    let (activity, cities) = (recount.activity(), recount.city_activity());
    let rows_expected = activity.len() + cities.len();
    let mut differences: Vec<Difference> = compare(&activity, &tables.activity)
        .map(|(start, expected, found)| Difference {
            table: "activity",
            window_start: start,
            place: None,
            expected,
            found,
        })
        .collect();
    differences.extend(compare(&cities, &tables.cities).map(|((start, place), expected, found)| {
        Difference { table: "city_activity", window_start: start, place: Some(place), expected, found }
    }));
    (differences, rows_expected)
}

/// The rows that differ.
fn compare<'a, K: Ord + Clone>(
    expected: &'a BTreeMap<K, Counts>,
    found: &'a BTreeMap<K, Counts>,
) -> impl Iterator<Item = (K, Option<Counts>, Option<Counts>)> + 'a {
    let keys: BTreeSet<&K> = expected.keys().chain(found.keys()).collect();
    let pairs =
        keys.into_iter().map(|key| (key.clone(), expected.get(key).copied(), found.get(key).copied()));
    pairs.filter(|(_, expected, found)| expected != found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Ledger;
    use spillway_testkit::kafka::Entry;

    const LINE: &[u8] = br#"{"data":{"id":"1","author_id":"2","created_at":"2026-01-01T00:07:00.000Z"},"includes":{"places":[{"full_name":"X","place_type":"city"}]}}"#;

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
        let tables = Tables {
            activity: [(start, counts)].into(),
            cities: [((start, "X".to_owned()), counts)].into(),
            files: 2,
        };
        (ledger, topic, tables)
    }

    #[test]
    fn what_is_right_is_right() {
        let (ledger, topic, tables) = good();
        let verified = verify(&ledger.lock(), &topic, &tables);
        assert_eq!((verified.differences, verified.rows_expected), (vec![], 2));
        assert_eq!(verified.delivery, Verdict::default());
    }

    #[test]
    fn every_kind_of_wrong_row_is_found() {
        let (ledger, topic, mut tables) = good();
        let start = *tables.activity.keys().next().unwrap();
        tables.activity.get_mut(&start).unwrap().unique_actors = 2;
        let counts = tables.cities.remove(&(start, "X".to_owned()));
        tables.cities.insert((start, "Y".to_owned()), Counts::default());
        let found = verify(&ledger.lock(), &topic, &tables).differences;
        let seen: Vec<_> = found.iter().map(|d| (d.table, d.place.as_deref(), d.expected, d.found)).collect();
        let wrong = counts.map(|counts| Counts { unique_actors: 2, ..counts });
        assert_eq!(
            seen,
            [
                ("activity", None, counts, wrong),
                ("city_activity", Some("X"), counts, None),
                ("city_activity", Some("Y"), None, Some(Counts::default())),
            ]
        );
    }
}
