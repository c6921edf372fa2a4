//! Partial aggregates: what the events of one pane and one partition come to for one table, and how
//! such parts are put together to the rows of a window. Adding and merging commute, so neither the
//! order of events nor that of partitions matters. No I/O, no clock.

use std::collections::BTreeMap;

mod groups;

use groups::Groups;

use crate::metrics::{Metrics, Reading, Value, top};
use crate::tables::Table;

/// The groups of one pane.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Partial {
    groups: Groups,
}

/// One row of a window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// "" in a table without groups.
    pub(crate) group: String,
    /// In the order of the table's columns.
    pub(crate) values: Vec<Value>,
}

impl Partial {
    /// Counts an event if `table` takes it.
    pub(crate) fn add(&mut self, table: &Table, reading: &Reading<'_>) {
        table.each_group(reading, |group| self.groups.entry(group).observe(&table.plan, reading));
    }

    /// Whether no event counts.
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The groups in order.
    pub(crate) fn sorted(&self) -> Vec<(&str, &Metrics)> {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_unstable_by_key(|(group, _)| *group);
        groups
    }

    /// Puts a group in as the log holds it.
    pub(crate) fn put(&mut self, group: &str, metrics: Metrics) {
        *self.groups.entry(group) = metrics;
    }

    /// Takes the counts of another partition in.
    pub(crate) fn merge(&mut self, table: &Table, other: Self) {
        if self.is_empty() {
            self.groups = other.groups;
            return;
        }
        other.groups.give(|group, metrics| self.groups.entry(group).merge(&table.plan, metrics));
    }
}

/// The rows of the window that consists of `panes`: sorted by group, or ranked when the table has a top.
pub(crate) fn rows(table: &Table, panes: &[&Partial]) -> Vec<Row> {
    let mut groups: BTreeMap<&str, Vec<&Metrics>> = BTreeMap::new();
    for (group, metrics) in panes.iter().flat_map(|pane| pane.groups.iter()) {
        groups.entry(group).or_default().push(metrics);
    }
    let row = |(group, parts): (&str, Vec<&Metrics>)| (group.to_owned(), values(table, &parts));
    let rows: Vec<_> = groups.into_iter().map(row).collect();
    let rows = match table.rank() {
        Some(rank) => top(rows, rank),
        None => rows,
    };
    rows.into_iter().map(|(group, values)| Row { group, values }).collect()
}

fn values(table: &Table, parts: &[&Metrics]) -> Vec<Value> {
    if let [one] = parts {
        return one.values(&table.plan);
    }
    let mut sum = Metrics::default();
    parts.iter().for_each(|part| sum.merge(&table.plan, (*part).clone()));
    sum.values(&table.plan)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::{Event, Kind as Deed};
    use crate::filter::Filter;
    use crate::metrics::{By, Kind, Plan};
    use crate::tables::Top;
    use crate::testing::{counts, event};

    fn cities() -> Table {
        Table::new("cities", Duration::from_secs(300), By::Place, Filter::place_type("city"))
    }

    fn partial(table: &Table, events: &[Event<'_>]) -> Partial {
        let mut partial = Partial::default();
        events.iter().for_each(|event| partial.add(table, &Reading::new(event)));
        partial
    }

    fn row(group: &str, numbers: &[u64]) -> Row {
        Row { group: group.into(), values: counts(numbers) }
    }

    #[test]
    fn a_group_counts_what_its_metrics_say() {
        let table = Table { plan: Plan::new(crate::tables::COUNTS[..3].to_vec()), ..cities() };
        let events = [
            event("1", 0, "ann", Deed::Original).at("Rome", "city"),
            event("2", 0, "ann", Deed::Repost).at("Rome", "city"),
            event("3", 0, "bob", Deed::Reply).at("Rome", "city"),
            event("4", 0, "bob", Deed::Original).at("Oslo", "city"),
            event("5", 0, "bob", Deed::Original).at("Malawi", "country"),
            event("6", 0, "bob", Deed::Original),
        ];
        let rows = rows(&table, &[&partial(&table, &events)]);
        assert_eq!(rows, [row("Oslo", &[1, 0, 0]), row("Rome", &[3, 1, 2])]);
    }

    #[test]
    fn an_actor_seen_in_two_panes_and_two_partitions_is_one() {
        let plan = Plan::new(vec![Kind::UniqueActors, Kind::Events]);
        let table =
            Table { plan, ..Table::new("all", Duration::from_secs(600), By::None, Filter::default()) };
        let mut first = partial(&table, &[event("1", 0, "ann", Deed::Original)]);
        first.merge(
            &table,
            partial(&table, &[event("2", 0, "ann", Deed::Original), event("3", 0, "bob", Deed::Original)]),
        );
        let second =
            partial(&table, &[event("4", 300, "bob", Deed::Original), event("5", 300, "7", Deed::Original)]);
        let values = vec![Value::Count(3), Value::Flag(true), Value::Count(5)];
        assert_eq!(rows(&table, &[&first, &second]), [Row { group: String::new(), values }]);
    }

    #[test]
    fn only_whole_windows_are_ranked() {
        let top = Some(Top { by: "events".into(), n: 1 });
        let table = Table { top, plan: Plan::new(vec![Kind::Events]), ..cities() };
        let at = |place| event("1", 0, "ann", Deed::Original).at(place, "city");
        // Neither pane alone has Rome first.
        let panes = [
            partial(&table, &[at("Oslo"), at("Oslo"), at("Rome")]),
            partial(&table, &[at("Bonn"), at("Bonn"), at("Rome"), at("Rome")]),
        ];
        assert_eq!(rows(&table, &[&panes[0], &panes[1]]), [row("Rome", &[3])]);
        // Of equals the first by name.
        assert_eq!(rows(&table, &[&partial(&table, &[at("Rome"), at("Bonn")])]), [row("Bonn", &[1])]);
    }
}
