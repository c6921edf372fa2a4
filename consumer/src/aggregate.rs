//! Partial aggregates: what the events of one pane and one partition come to for one table, and how
//! such parts are put together to the rows of a window. Adding and merging commute, so neither the
//! order of events nor that of partitions matters. No I/O, no clock.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize, Serializer};

use crate::event::{Event, Kind};
use crate::key::Key;
use crate::tables::{Metric, Table};

/// The groups of one pane.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Partial {
    groups: HashMap<Box<str>, Cell>,
}

/// One group. The log holds it as JSON.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cell {
    events: u64,
    reposts: u64,
    referencing: u64,
    /// Exact, so that parts can be merged without counting anyone twice; empty unless it is asked for.
    #[serde(default, skip_serializing_if = "HashSet::is_empty", serialize_with = "sorted")]
    actors: HashSet<Key>,
}

/// So that equal sets are equal JSON.
fn sorted<S: Serializer>(keys: &HashSet<Key>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut sorted: Vec<_> = keys.iter().collect();
    sorted.sort_unstable();
    serializer.collect_seq(sorted)
}

/// One row of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// "" in a table without groups.
    pub(crate) group: String,
    /// In the order of the table's metrics.
    pub(crate) values: Vec<i64>,
}

impl Partial {
    /// Counts `event` if `table` takes it.
    pub(crate) fn add(&mut self, table: &Table, event: &Event<'_>) {
        let Some(group) = table.group(event) else { return };
        match self.groups.get_mut(group) {
            Some(cell) => cell.add(table, event),
            None => self.groups.entry(group.into()).or_default().add(table, event),
        }
    }

    /// The groups in order.
    pub(crate) fn sorted(&self) -> Vec<(&str, &Cell)> {
        let mut groups: Vec<_> = self.groups.iter().map(|(group, cell)| (group.as_ref(), cell)).collect();
        groups.sort_unstable_by_key(|(group, _)| *group);
        groups
    }

    /// Puts a group in as the log holds it.
    pub(crate) fn put(&mut self, group: Box<str>, cell: Cell) {
        self.groups.insert(group, cell);
    }

    /// Takes the counts of another partition in.
    pub(crate) fn merge(&mut self, other: Self) {
        for (group, cell) in other.groups {
            self.groups.entry(group).or_default().merge(cell);
        }
    }
}

impl Cell {
    fn add(&mut self, table: &Table, event: &Event<'_>) {
        self.events += 1;
        self.reposts += u64::from(event.kind == Kind::Repost);
        self.referencing += u64::from(event.referencing);
        if table.has(Metric::UniqueActors)
            && let Some(actor) = &event.actor
        {
            self.actors.insert(Key::new(actor.as_bytes()));
        }
    }

    fn merge(&mut self, mut other: Self) {
        self.events += other.events;
        self.reposts += other.reposts;
        self.referencing += other.referencing;
        if self.actors.len() < other.actors.len() {
            std::mem::swap(&mut self.actors, &mut other.actors);
        }
        self.actors.extend(other.actors);
    }
}

/// The rows of the window that consists of `panes`, sorted by group.
pub(crate) fn rows(table: &Table, panes: &[&Partial]) -> Vec<Row> {
    let mut groups: BTreeMap<&str, Vec<&Cell>> = BTreeMap::new();
    for (group, cell) in panes.iter().flat_map(|pane| &pane.groups) {
        groups.entry(group).or_default().push(cell);
    }
    let row = |(group, cells): (&str, Vec<&Cell>)| {
        let values = table.metrics.iter().map(|metric| clamped(value(*metric, &cells))).collect();
        Row { group: group.to_owned(), values }
    };
    groups.into_iter().map(row).collect()
}

fn value(metric: Metric, cells: &[&Cell]) -> u64 {
    match metric {
        Metric::Events => cells.iter().map(|cell| cell.events).sum(),
        Metric::Reposts => cells.iter().map(|cell| cell.reposts).sum(),
        Metric::Referencing => cells.iter().map(|cell| cell.referencing).sum(),
        Metric::UniqueActors => match cells {
            [cell] => cell.actors.len() as u64,
            _ => cells.iter().flat_map(|cell| &cell.actors).collect::<HashSet<_>>().len() as u64,
        },
    }
}

/// A count as a column holds it.
fn clamped(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tables::{Filter, GroupBy};
    use crate::testing::event;

    fn cities() -> Table {
        Table::new(
            "cities",
            Duration::from_secs(300),
            GroupBy::Place,
            Filter { place_type: Some("city".into()) },
        )
    }

    fn partial(table: &Table, events: &[Event<'_>]) -> Partial {
        let mut partial = Partial::default();
        events.iter().for_each(|event| partial.add(table, event));
        partial
    }

    #[test]
    fn a_group_counts_what_its_metrics_say() {
        let table = cities();
        let events = [
            event("1", 0, "ann", Kind::Original).at("Rome", "city"),
            event("2", 0, "ann", Kind::Repost).at("Rome", "city"),
            event("3", 0, "bob", Kind::Reply).at("Rome", "city"),
            event("4", 0, "bob", Kind::Original).at("Oslo", "city"),
            event("5", 0, "bob", Kind::Original).at("Malawi", "country"),
            event("6", 0, "bob", Kind::Original),
        ];
        let rows = rows(&table, &[&partial(&table, &events)]);
        assert_eq!(
            rows,
            [
                Row { group: "Oslo".into(), values: vec![1, 0, 0, 1] },
                Row { group: "Rome".into(), values: vec![3, 1, 2, 2] }
            ]
        );
    }

    #[test]
    fn an_actor_seen_in_two_panes_and_two_partitions_is_one() {
        let table = Table {
            metrics: vec![Metric::UniqueActors, Metric::Events],
            ..Table::new("all", Duration::from_secs(600), GroupBy::None, Filter::default())
        };
        let mut first = partial(&table, &[event("1", 0, "ann", Kind::Original)]);
        first.merge(partial(
            &table,
            &[event("2", 0, "ann", Kind::Original), event("3", 0, "bob", Kind::Original)],
        ));
        let second =
            partial(&table, &[event("4", 300, "bob", Kind::Original), event("5", 300, "7", Kind::Original)]);
        assert_eq!(rows(&table, &[&first, &second]), [Row { group: String::new(), values: vec![3, 5] }]);
    }

    #[test]
    fn actors_are_not_kept_when_they_are_not_counted() {
        let table = Table { metrics: vec![Metric::Events], ..cities() };
        let partial = partial(&table, &[event("1", 0, "ann", Kind::Original).at("Rome", "city")]);
        assert!(partial.groups["Rome"].actors.is_empty());
    }
}
