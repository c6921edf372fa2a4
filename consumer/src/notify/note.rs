//! What a target is told of an object. No I/O, no clock.

use serde::Serialize;

use crate::micros::{self, Micros};
use crate::show::layout::Day;

/// An object that somebody is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) table: String,
    /// Its name below the store's root.
    pub(crate) object: String,
    pub(crate) of: Of,
}

/// What an object holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// A window as it became final; its end is exclusive.
    Window { start: Micros, end: Micros },
    /// Archived events.
    Events,
    /// Periods of a day that were counted again, as their newest version.
    Version { day: Day, version: u64 },
    /// All final objects of a day, put together.
    Day(Day),
}

#[derive(Serialize)]
struct Said<'a> {
    /// The same whenever the object is spoken of again.
    id: &'a str,
    what: &'static str,
    table: &'a str,
    store: &'a str,
    object: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_end: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

impl Note {
    /// As JSON. `store` is the store's URL.
    pub(crate) fn json(&self, store: &str) -> Result<Vec<u8>, serde_json::Error> {
        let (table, id) = (&self.table, &self.object);
        let said = |what| Said {
            id,
            what,
            table,
            store,
            object: id,
            window_start: None,
            window_end: None,
            day: None,
            version: None,
        };
        serde_json::to_vec(&match self.of {
            Of::Window { start, end } => Said {
                window_start: Some(micros::show(start)),
                window_end: Some(micros::show(end)),
                ..said("window")
            },
            Of::Events => said("events"),
            Of::Version { day, version } => {
                Said { day: Some(day.show()), version: Some(version), ..said("version") }
            }
            Of::Day(day) => Said { day: Some(day.show()), ..said("day") },
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(table: &str, object: &str, of: Of) -> Value {
        let note = Note { table: table.into(), object: object.into(), of };
        serde_json::from_slice(&note.json("s3://b/p").unwrap()).unwrap()
    }

    #[test]
    fn an_object_is_described_by_what_it_is_and_by_names_and_times() {
        let window = Of::Window { start: 1_622_507_700_000_000, end: 1_622_508_000_000_000 };
        assert_eq!(
            said("a", "tables/a/x", window),
            json!({
                "id": "tables/a/x", "what": "window", "table": "a", "store": "s3://b/p", "object": "tables/a/x",
                "window_start": "2021-06-01T00:35:00Z", "window_end": "2021-06-01T00:40:00Z",
            })
        );
        assert_eq!(
            said("a", "tables/a/y", Of::Events),
            json!({"id": "tables/a/y", "what": "events", "table": "a", "store": "s3://b/p", "object": "tables/a/y"})
        );
    }

    /// A block of the page that describes them.
    fn described(what: &str) -> Value {
        let page = include_str!("../../../docs/reading.md");
        let block = page.split_once(&format!("```json notification={what}\n")).unwrap().1;
        serde_json::from_str(block.split_once("```").unwrap().0).unwrap()
    }

    #[test]
    fn notifications_are_what_the_page_says() {
        let time = |text| micros::parse(text).unwrap();
        let day = Day::named("dt=2026-11-01").unwrap();
        let (start, end) = (time("2026-11-01T00:35:00Z"), time("2026-11-01T00:40:00Z"));
        for (what, of) in [
            ("window", Of::Window { start, end }),
            ("version", Of::Version { day, version: 2 }),
            ("day", Of::Day(day)),
        ] {
            let described = described(what);
            let object = described["object"].as_str().unwrap().to_owned();
            let note = Note { table: "city_activity".into(), object, of };
            let said: Value = serde_json::from_slice(&note.json("s3://bucket/prefix").unwrap()).unwrap();
            assert_eq!(said, described);
        }
    }

    #[test]
    fn a_copy_is_described_by_its_day() {
        let day = Day::named("dt=2021-06-01").unwrap();
        assert_eq!(
            said("a", "rebuilt/a/x", Of::Version { day, version: 7 }),
            json!({
                "id": "rebuilt/a/x", "what": "version", "table": "a", "store": "s3://b/p", "object": "rebuilt/a/x",
                "day": "2021-06-01", "version": 7,
            })
        );
        assert_eq!(
            said("a", "compact/a/x", Of::Day(day)),
            json!({
                "id": "compact/a/x", "what": "day", "table": "a", "store": "s3://b/p", "object": "compact/a/x",
                "day": "2021-06-01",
            })
        );
    }
}
