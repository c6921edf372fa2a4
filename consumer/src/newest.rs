//! The newest final window of each table, as far as a plot of counts and trends needs it: its greatest groups,
//! with their counts. What is complete is in the tables; this is bounded, whatever the events hold.
//!
//! Only tables whose groups come back from window to window are shown: by place, language or rule, or one row
//! a window. Each new tag or word would be a series of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::aggregate::Row;
use crate::finalise::FinalWindow;
use crate::metrics::{By, Value};
use crate::micros::Micros;
use crate::status::millis;
use crate::tables::Table;

/// Groups that are shown of a window.
const GROUPS_MAX: usize = 20;
/// Characters of a group's name that are shown.
const NAME_MAX: usize = 100;

/// A window of a table, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WindowStatus {
    /// The table's name.
    pub table: String,
    /// Its start, unix milliseconds.
    pub start_ms: i64,
    /// Its end, exclusive.
    pub end_ms: i64,
    /// How many groups it has.
    pub groups: u64,
    /// The greatest of them, at most 20.
    pub top: Vec<GroupStatus>,
}

/// A group of a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupStatus {
    /// Its name; "" in a table without groups.
    pub group: String,
    /// Its columns that are counts.
    pub counts: BTreeMap<&'static str, u64>,
}

/// What was written last. Writer: the finaliser's work with the store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Newest(Arc<Mutex<BTreeMap<usize, Shown>>>);

#[derive(Debug)]
struct Shown {
    window: WindowStatus,
    end: Micros,
    /// From one window's end to the next one's.
    step: Micros,
}

impl Newest {
    /// Of windows that are about to be written: what will be shown of them.
    pub(crate) fn pick(tables: &[Table], windows: &[FinalWindow]) -> Picked {
        let mut newest: BTreeMap<usize, &FinalWindow> = BTreeMap::new();
        for window in windows.iter().filter(|window| is_shown(&tables[window.table])) {
            let best = newest.entry(window.table).or_insert(window);
            if window.end > best.end {
                *best = window;
            }
        }
        let shown = newest.into_iter().map(|(place, window)| (place, shown(&tables[place], window)));
        Picked(shown.collect())
    }

    /// They have been written.
    pub(crate) fn written(&self, picked: Picked) {
        let mut all = self.lock();
        for (place, shown) in picked.0 {
            if all.get(&place).is_none_or(|before| before.end < shown.end) {
                all.insert(place, shown);
            }
        }
    }

    /// The windows of the tables whose newest final window has a row: everything up to `through` is final.
    pub(crate) fn at(&self, through: Option<Micros>) -> Vec<WindowStatus> {
        let is_newest = |shown: &&Shown| through.is_none_or(|through| through < shown.end + shown.step);
        self.lock().values().filter(is_newest).map(|shown| shown.window.clone()).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, Shown>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is shown once it has been written.
#[derive(Debug)]
pub(crate) struct Picked(BTreeMap<usize, Shown>);

fn is_shown(table: &Table) -> bool {
    matches!(table.group_by, By::None | By::Place | By::Lang | By::Rule)
}

fn shown(table: &Table, window: &FinalWindow) -> Shown {
    let mut ranked: Vec<(u64, &Row)> = window.rows.iter().map(|row| (rank(table, row), row)).collect();
    ranked.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.group.cmp(&other.group)));
    let top = ranked.iter().take(GROUPS_MAX).map(|(_, row)| group(table, row)).collect();
    let window_status = WindowStatus {
        table: table.name.clone(),
        start_ms: millis(window.start),
        end_ms: millis(window.end),
        groups: window.rows.len() as u64,
        top,
    };
    Shown { window: window_status, end: window.end, step: table.step() }
}

/// The count that a row is ranked by: that of the table's own ranking, or else its first one.
fn rank(table: &Table, row: &Row) -> u64 {
    let of_table = table.rank().and_then(|rank| row.values.get(rank.by));
    of_table.into_iter().chain(&row.values).find_map(count).unwrap_or(0)
}

fn count(value: &Value) -> Option<u64> {
    match value {
        Value::Count(count) => Some(*count),
        Value::Real(_) | Value::Flag(_) | Value::Text(_) => None,
    }
}

fn group(table: &Table, row: &Row) -> GroupStatus {
    let columns = table.plan.columns().map(|column| column.name);
    let counts = columns.zip(&row.values).filter_map(|(name, value)| Some((name, count(value)?)));
    GroupStatus { group: row.group.chars().take(NAME_MAX).collect(), counts: counts.collect() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::filter::Filter;

    const MINUTE: Micros = 60_000_000;

    fn table(by: By) -> Table {
        Table::new("t", Duration::from_secs(60), by, Filter::default())
    }

    fn window(table: usize, minute: Micros, groups: &[(&str, u64)]) -> FinalWindow {
        let row = |(group, events): &(&str, u64)| Row {
            group: (*group).to_owned(),
            values: vec![
                Value::Count(*events),
                Value::Count(0),
                Value::Count(1),
                Value::Count(2),
                Value::Flag(true),
            ],
        };
        let rows = groups.iter().map(row).collect();
        FinalWindow { table, start: minute * MINUTE, end: (minute + 1) * MINUTE, rows }
    }

    #[test]
    fn the_greatest_groups_of_the_newest_window_are_shown_once_it_is_written() {
        let (tables, newest) = ([table(By::Place), table(By::None)], Newest::default());
        let cities: Vec<(String, u64)> = (0..30).map(|n| (format!("city {n:02}"), n / 2)).collect();
        let cities: Vec<(&str, u64)> = cities.iter().map(|(city, events)| (city.as_str(), *events)).collect();
        let windows = [window(0, 2, &cities), window(0, 1, &[("old", 99)]), window(1, 1, &[("", 5)])];
        let picked = Newest::pick(&tables, &windows);
        assert_eq!(newest.at(None), []);
        newest.written(picked);
        let shown = newest.at(Some(3 * MINUTE));
        assert_eq!(shown.len(), 1, "the other table has had an empty window since");
        assert_eq!((shown[0].start_ms, shown[0].end_ms, shown[0].groups), (120_000, 180_000, 30));
        let top: Vec<_> =
            shown[0].top.iter().map(|group| (group.group.as_str(), group.counts["events"])).collect();
        assert_eq!((top.len(), top[0], top[1]), (20, ("city 28", 14), ("city 29", 14)), "ties by name");
        assert_eq!(shown[0].top[0].counts.len(), 4, "counts only");
        assert_eq!(newest.at(Some(2 * MINUTE)).len(), 2);
        assert_eq!(newest.at(Some(4 * MINUTE)), [], "an empty window is the newest");
        newest.written(Newest::pick(&tables, &[window(0, 0, &[("older", 1)])]));
        assert_eq!(newest.at(Some(3 * MINUTE)), shown, "an older one replaces nothing");
    }

    #[test]
    fn names_that_never_come_back_are_no_series_and_long_ones_are_cut() {
        let tables = [table(By::Word), table(By::Tag), table(By::Rule)];
        let long = "é".repeat(300);
        let windows = [window(0, 1, &[("a", 1)]), window(1, 1, &[("a", 1)]), window(2, 1, &[(&long, 1)])];
        let picked = Newest::pick(&tables, &windows);
        assert_eq!(picked.0.keys().copied().collect::<Vec<_>>(), [2]);
        assert_eq!(picked.0[&2].window.top[0].group.chars().count(), 100);
    }
}
