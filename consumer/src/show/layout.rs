//! Where readers find what: the objects of a table besides the final ones, by their names (docs/adr/0008).
//! Names only; no I/O, no clock.
//!
//! ```text
//! tables/<table>/dt=2021-06-01/<table>-20210601T003500Z.parquet    a period, as it became final: version 0
//! rebuilt/<table>/dt=2021-06-01/<table>-v00001.parquet             periods of the day, counted again
//! compact/<table>/dt=2021-06-01/<table>-20210601.parquet           all final objects of a day that is over
//! ```

use chrono::{DateTime, NaiveDate, NaiveDateTime};

use crate::micros::{self, Micros};
use crate::parquet::TABLES;

/// The folder of periods that were counted again.
pub(crate) const REBUILT: &str = "rebuilt";
/// The folder of days that were put together.
pub(crate) const COMPACT: &str = "compact";
/// The folders that hold periods of a table.
pub(crate) const PLACES: [&str; 3] = [TABLES, REBUILT, COMPACT];

/// How long a day is.
pub(crate) const DAY: Micros = 86_400_000_000;

/// A day in UTC, by its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(Micros);

impl Day {
    /// The day that holds `time`.
    pub(crate) fn of(time: Micros) -> Self {
        Self(micros::floor(time, DAY))
    }

    /// Reads the name of a folder, `dt=2021-06-01`.
    pub(crate) fn named(folder: &str) -> Option<Self> {
        let date = NaiveDate::parse_from_str(folder.strip_prefix("dt=")?, "%Y-%m-%d").ok()?;
        Some(Self(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros()))
    }

    pub(crate) fn start(self) -> Micros {
        self.0
    }

    /// Exclusive.
    pub(crate) fn end(self) -> Micros {
        self.0.saturating_add(DAY)
    }

    /// As people write it, `2021-06-01`.
    pub(crate) fn show(self) -> String {
        micros::day(self.0)
    }

    /// The folder of the day in one of [`PLACES`].
    pub(crate) fn folder(self, place: &str, table: &str) -> String {
        format!("{place}/{table}/dt={}", self.show())
    }

    /// The object that holds the day as a whole.
    pub(crate) fn compact(self, table: &str) -> String {
        let date = DateTime::from_timestamp_micros(self.0);
        let date = date.map_or_else(|| self.show(), |date| date.format("%Y%m%d").to_string());
        format!("{}/{table}-{date}.parquet", self.folder(COMPACT, table))
    }

    /// The object that holds periods of the day as they were counted for the `version`th time.
    pub(crate) fn rebuilt(self, table: &str, version: u64) -> String {
        format!("{}/{table}-v{version:05}.parquet", self.folder(REBUILT, table))
    }
}

/// The start of the period that a final object of `table` holds, by its name.
pub(crate) fn period_of(object: &str, table: &str) -> Option<Micros> {
    let time = stem(object, table)?;
    let time = NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%SZ").ok()?;
    Some(time.and_utc().timestamp_micros())
}

/// The version of what [`Day::rebuilt`] has named.
pub(crate) fn version_of(object: &str, table: &str) -> Option<u64> {
    stem(object, table)?.strip_prefix('v')?.parse().ok()
}

/// Whether an object is what [`Day::compact`] has named.
pub(crate) fn is_compact(object: &str, table: &str, day: Day) -> bool {
    object == day.compact(table)
}

/// What an object's name says besides its folders, its table and that it is Parquet.
fn stem<'a>(object: &'a str, table: &str) -> Option<&'a str> {
    let file = object.rsplit('/').next()?;
    file.strip_suffix(".parquet")?.strip_prefix(table)?.strip_prefix('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_read_again() {
        let time = micros::parse("2021-06-01T00:35:00Z").unwrap();
        let day = Day::of(time);
        assert_eq!(Day::named("dt=2021-06-01"), Some(day));
        assert_eq!(day.compact("a-b"), "compact/a-b/dt=2021-06-01/a-b-20210601.parquet");
        assert_eq!(day.rebuilt("a-b", 7), "rebuilt/a-b/dt=2021-06-01/a-b-v00007.parquet");
        assert_eq!(version_of(&day.rebuilt("a-b", 123_456), "a-b"), Some(123_456));
        assert_eq!(period_of("tables/a-b/dt=2021-06-01/a-b-20210601T003500Z.parquet", "a-b"), Some(time));
        assert_eq!(day.end() - day.start(), DAY);
    }

    #[test]
    fn other_names_say_nothing() {
        for name in ["dt=2021-06-31", "2021-06-01", "dt=", "rule=x"] {
            assert_eq!(Day::named(name), None, "{name}");
        }
        assert_eq!(period_of("tables/a/dt=2021-06-01/a-p00001-00000000000000000007.parquet", "a"), None);
        assert_eq!(period_of("tables/a/dt=2021-06-01/a-20210601T003500Z.csv", "a"), None);
        assert_eq!(version_of("rebuilt/a/dt=2021-06-01/b-v00001.parquet", "a"), None);
    }
}
