//! Tests of the tally against a plain count by sets.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

type Records = Vec<(Option<String>, Option<i64>)>;

fn run([a, b]: [&Records; 2], window: u64, common_span: bool) -> Tally {
    let mut tally = Tally::new(Duration::from_millis(window), common_span);
    for (side, records) in [(Side::A, a), (Side::B, b)] {
        for (id, time) in records {
            tally.take(side, id.as_deref(), *time);
        }
    }
    for (side, records) in [(Side::A, a), (Side::B, b)] {
        for (id, time) in records {
            if let Some(id) = id {
                tally.name(side, id, *time);
            }
        }
    }
    tally
}

fn record(id: &str, time: i64) -> (Option<String>, Option<i64>) {
    (Some(id.to_owned()), Some(time))
}

#[test]
fn a_window_names_the_first_and_the_last_that_is_missing() {
    let a = vec![
        record("late", 19),
        record("early", 10),
        record("mid", 12),
        record("both", 15),
        record("next", 20),
    ];
    let b = vec![record("both", 15)];
    let tally = run([&a, &b], 10, false);
    let lack = tally.windows[&Some(10)].only_at[0].as_ref().unwrap();
    assert_eq!((lack.ids, lack.first.id.as_str(), lack.last.id.as_str()), (3, "early", "late"));
    let next = tally.windows[&Some(20)].only_at[0].as_ref().unwrap();
    assert_eq!((next.ids, &next.first), (1, &next.last));
    assert_eq!((tally.only_at(Side::A), tally.only_at(Side::B), tally.shared), (4, 0, 1));
}

#[test]
fn what_the_other_could_not_have_may_be_left_out() {
    let a = vec![record("before", 1), record("x", 5), record("lost", 7), record("y", 9), record("after", 12)];
    let b = vec![record("x", 5), record("y", 9)];
    let all = run([&a, &b], 100, false);
    assert_eq!((all.lacking(Side::A), all.outside), (3, [2, 0]));
    let common = run([&a, &b], 100, true);
    assert_eq!((common.lacking(Side::A), common.outside), (1, [2, 0]));
    assert_eq!(common.windows[&Some(0)].only_at[0].as_ref().unwrap().first.id, "lost");
}

/// As when a topic has deleted a record between the two readings.
#[test]
fn what_is_not_found_again_is_counted() {
    let mut tally = Tally::new(Duration::from_secs(1), false);
    tally.take(Side::A, Some("gone"), Some(1));
    tally.take(Side::A, Some("there"), Some(2));
    tally.name(Side::A, "there", Some(2));
    assert_eq!((tally.only_at(Side::A), tally.unnamed(Side::A), tally.lacking(Side::A)), (2, 1, 2));
}

#[test]
fn times_before_1970_round_down() {
    let tally = run([&vec![record("x", -1)], &vec![]], 10, false);
    assert!(tally.windows.contains_key(&Some(-10)));
}

fn records() -> impl Strategy<Value = Records> {
    let id = proptest::option::weighted(0.9, "[a-f]{1,2}");
    let time = proptest::option::weighted(0.9, -50_i64..50);
    proptest::collection::vec((id, time), 0..40)
}

proptest! {
    #[test]
    fn it_counts_what_sets_count(a in records(), b in records(), window in 1_u64..40) {
        let tally = run([&a, &b], window, false);
        let ids = |records: &Records| -> BTreeSet<String> {
            records.iter().filter_map(|(id, _)| id.clone()).collect()
        };
        let sets = [ids(&a), ids(&b)];
        prop_assert_eq!(tally.shared, sets[0].intersection(&sets[1]).count() as u64);
        for (side, records) in [(Side::A, &a), (Side::B, &b)] {
            let (own, other) = (&sets[side.index()], &sets[1 - side.index()]);
            let counts = tally.side(side);
            let without = records.iter().filter(|(id, _)| id.is_none()).count() as u64;
            prop_assert_eq!(counts.records, records.len() as u64);
            prop_assert_eq!(counts.distinct, own.len() as u64);
            prop_assert_eq!(counts.without_id, without);
            prop_assert_eq!(counts.repeated, counts.records - without - counts.distinct);
            let alone: BTreeSet<&String> = own.difference(other).collect();
            prop_assert_eq!(tally.only_at(side), alone.len() as u64);
            prop_assert_eq!(tally.unnamed(side), 0);

            // An id belongs to the window of its first record.
            let mut windows: BTreeMap<Option<i64>, BTreeSet<&String>> = BTreeMap::new();
            let mut met = BTreeSet::new();
            for (id, time) in records {
                if let Some(id) = id.as_ref().filter(|id| alone.contains(id) && met.insert(*id)) {
                    let width = i64::try_from(window).unwrap();
                    let start = time.map(|t| t - t.rem_euclid(width));
                    windows.entry(start).or_default().insert(id);
                }
            }
            let told: BTreeMap<_, _> = tally
                .windows
                .iter()
                .filter_map(|(start, w)| Some((*start, w.only_at[side.index()].as_ref()?.ids)))
                .collect();
            let expected: BTreeMap<_, _> = windows.iter().map(|(s, ids)| (*s, ids.len() as u64)).collect();
            prop_assert_eq!(told, expected);
            for (start, named) in &windows {
                let lack = tally.windows[start].only_at[side.index()].as_ref().unwrap();
                prop_assert!(named.contains(&lack.first.id) && named.contains(&lack.last.id));
                prop_assert!(lack.first.time <= lack.last.time);
            }
        }
    }
}
