//! The biggest cities and windows, for the end of the report.

use std::collections::BTreeMap;

use spillway_testkit::oracle::{ActivityTable, CityTable};

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
}
