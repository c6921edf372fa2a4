//! The biggest cities and windows, the happiest hashtags and the extremes, for the end of the report.

use std::collections::BTreeMap;

use spillway_testkit::oracle::{ActivityTable, CityTable};

use crate::posts::HappiestTable;
use crate::sentiment::{Extreme, Sentiment, SentimentTable};

/// A city over all windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct City {
    pub(crate) place: String,
    pub(crate) events: i64,
    pub(crate) reposts: i64,
    /// Start of the window with most events, and how many they were.
    pub(crate) busiest: (i64, i64),
}

/// A window over all places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: i64,
    pub(crate) events: i64,
    pub(crate) reposts: i64,
    pub(crate) unique_actors: i64,
}

/// The `n` cities with most events; equal ones by name.
pub(crate) fn cities(table: &CityTable, n: usize) -> Vec<City> {
    let mut cities: BTreeMap<&str, City> = BTreeMap::new();
    for ((start, place), counts) in table {
        let new = || City { place: place.clone(), events: 0, reposts: 0, busiest: (*start, 0) };
        let city = cities.entry(place).or_insert_with(new);
        city.events += counts.events;
        city.reposts += counts.reposts;
        // The first of equal ones, since windows come in order.
        if counts.events > city.busiest.1 {
            city.busiest = (*start, counts.events);
        }
    }
    let mut cities: Vec<City> = cities.into_values().collect();
    // Stable: equal ones stay sorted by name.
    cities.sort_by_key(|city| std::cmp::Reverse(city.events));
    cities.truncate(n);
    cities
}

/// The `n` windows with most events; equal ones by time.
pub(crate) fn windows(table: &ActivityTable, n: usize) -> Vec<Window> {
    let window = |(start, counts): (&i64, &spillway_testkit::oracle::Counts)| Window {
        start: *start,
        events: counts.events,
        reposts: counts.reposts,
        unique_actors: counts.unique_actors,
    };
    let mut windows: Vec<Window> = table.iter().map(window).collect();
    windows.sort_by_key(|window| std::cmp::Reverse(window.events));
    windows.truncate(n);
    windows
}

/// The hashtags of one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HappyHour {
    pub(crate) start: i64,
    /// Hashtags and their smiles, most first.
    pub(crate) tags: Vec<(String, i64)>,
}

/// The hour with the most smiles, the later of equal ones, and its first `n` hashtags; equal ones by name.
pub(crate) fn happiest(table: &HappiestTable, n: usize) -> Option<HappyHour> {
    let mut hours: BTreeMap<i64, Vec<(String, i64)>> = BTreeMap::new();
    for ((start, tag), smiles) in table {
        hours.entry(*start).or_default().push((tag.clone(), *smiles));
    }
    let smiles = |tags: &[(String, i64)]| tags.iter().map(|(_, smiles)| *smiles).sum::<i64>();
    let (start, mut tags) = hours.into_iter().max_by_key(|(_, tags)| smiles(tags))?;
    // Stable: equal ones stay sorted by name.
    tags.sort_by_key(|(_, smiles)| std::cmp::Reverse(*smiles));
    tags.truncate(n);
    Some(HappyHour { start, tags })
}

/// An extreme post and the start of its window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outstanding {
    pub(crate) start: i64,
    pub(crate) post: Extreme,
}

/// The most positive and the most negative post of all windows; the earliest of equal ones.
pub(crate) fn extremes(table: &SentimentTable) -> Option<[Outstanding; 2]> {
    let first = |post: fn(&Sentiment) -> &Extreme, sign: f64| {
        // The first of equal ones, since windows come in order and `min_by` takes the first.
        let least = |a: &(i64, &Extreme), b: &(i64, &Extreme)| {
            (sign * a.1.polarity).total_cmp(&(sign * b.1.polarity))
        };
        let (start, post) = table.iter().map(|(start, row)| (*start, post(row))).min_by(least)?;
        Some(Outstanding { start, post: post.clone() })
    };
    Some([first(|row| &row.positive, -1.0)?, first(|row| &row.negative, 1.0)?])
}

#[cfg(test)]
mod tests {
    use spillway_testkit::oracle::Counts;

    use super::*;

    fn counts(events: i64) -> Counts {
        Counts { events, reposts: 1, referencing: 1, unique_actors: events }
    }

    #[test]
    fn cities_are_summed_and_ties_go_by_name() {
        let rows = [(1, "B", 3), (1, "A", 2), (2, "A", 2), (2, "C", 3), (3, "D", 1), (3, "A", 1)];
        let table =
            rows.into_iter().map(|(start, place, n)| ((start, place.to_owned()), counts(n))).collect();
        let top: Vec<_> =
            cities(&table, 3).into_iter().map(|c| (c.place, c.events, c.reposts, c.busiest)).collect();
        assert_eq!(top, [("A".into(), 5, 3, (1, 2)), ("B".into(), 3, 1, (1, 3)), ("C".into(), 3, 1, (2, 3))]);
    }

    #[test]
    fn windows_go_by_events_then_time() {
        let table = [(1, counts(2)), (2, counts(5)), (3, counts(5))].into();
        assert_eq!(windows(&table, 2).iter().map(|w| w.start).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn the_happiest_hour_is_the_one_with_the_most_smiles() {
        let rows = [(1, "b", 4), (1, "a", 4), (2, "a", 3), (2, "b", 3), (2, "c", 5), (3, "a", 1)];
        let table = rows.into_iter().map(|(start, tag, smiles)| ((start, tag.to_owned()), smiles)).collect();
        let tags = [("c", 5), ("a", 3)].map(|(tag, smiles)| (tag.to_owned(), smiles)).to_vec();
        assert_eq!(happiest(&table, 2), Some(HappyHour { start: 2, tags }));
        assert_eq!(happiest(&HappiestTable::new(), 2), None);
    }

    #[test]
    fn of_equal_extremes_the_earliest_is_shown() {
        let post = |polarity, id: &str| Extreme { polarity, id: id.to_owned(), text: "t".to_owned() };
        let row = |max, min, id: &str| Sentiment {
            count: 2,
            mean: 0.0,
            min,
            max,
            positive: post(max, id),
            negative: post(min, id),
        };
        let table = [(1, row(0.5, -0.1, "a")), (2, row(0.9, -0.2, "b")), (3, row(0.9, -0.2, "c"))].into();
        let shown = extremes(&table).unwrap().map(|end| (end.start, end.post.id, end.post.polarity));
        assert_eq!(shown, [(2, "b".to_owned(), 0.9), (2, "b".to_owned(), -0.2)]);
        assert_eq!(extremes(&SentimentTable::new()), None);
    }
}
