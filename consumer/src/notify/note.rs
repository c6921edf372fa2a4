//! What a target is told of an object. No I/O, no clock.

use serde::Serialize;

use crate::micros::{self, Micros};

/// A final object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) table: String,
    /// Its name below the store's root.
    pub(crate) object: String,
    /// For a table of windows: start and end, exclusive.
    pub(crate) window: Option<(Micros, Micros)>,
}

#[derive(Serialize)]
struct Said<'a> {
    /// The same whenever the object is spoken of again.
    id: &'a str,
    table: &'a str,
    store: &'a str,
    object: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_end: Option<String>,
}

impl Note {
    /// As JSON. `store` is the store's URL.
    pub(crate) fn json(&self, store: &str) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Said {
            id: &self.object,
            table: &self.table,
            store,
            object: &self.object,
            window_start: self.window.map(|(start, _)| micros::show(start)),
            window_end: self.window.map(|(_, end)| micros::show(end)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_described_by_names_and_times() {
        let note = Note {
            table: "activity".into(),
            object: "tables/activity/dt=2021-06-01/activity-20210601T003500Z.parquet".into(),
            window: Some((1_622_507_700_000_000, 1_622_508_000_000_000)),
        };
        let said: serde_json::Value = serde_json::from_slice(&note.json("s3://b/p").unwrap()).unwrap();
        assert_eq!(
            said,
            serde_json::json!({
                "id": "tables/activity/dt=2021-06-01/activity-20210601T003500Z.parquet",
                "table": "activity", "store": "s3://b/p",
                "object": "tables/activity/dt=2021-06-01/activity-20210601T003500Z.parquet",
                "window_start": "2021-06-01T00:35:00Z", "window_end": "2021-06-01T00:40:00Z",
            })
        );
        let archived = Note { window: None, ..note };
        let said: serde_json::Value = serde_json::from_slice(&archived.json("x").unwrap()).unwrap();
        assert_eq!(said.get("window_start"), None);
    }
}
