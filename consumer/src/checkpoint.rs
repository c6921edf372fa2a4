//! What is committed to Kafka beside each partition's offset: JSON in the offset's metadata.
//!
//! The offset is `resume_offset`: the first event that is in no final object. The metadata says what
//! the events from there on must not be counted for again. It is written only after the objects it
//! speaks of, except for `forced`, which is written before them.

use serde::{Deserialize, Serialize};

use crate::micros::Micros;
use crate::watermark::Forced;

/// See the module. Times are microseconds since 1970, ends exclusive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// Every window of every table that starts before this is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) closed_through: Option<Micros>,
    /// Every window of every table that ends at or before this is final. Greater than
    /// `closed_through` when a longer window is still open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) written_through: Option<Micros>,
    /// Records before this offset have been read.
    #[serde(default)]
    pub(crate) next_offset: i64,
    /// Decisions to close panes, as pairs of time and offset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    forced: Vec<(Micros, i64)>,
}

/// Metadata that was not written by this program.
#[derive(Debug, thiserror::Error)]
#[error("the committed metadata {text:?} is not this program's")]
pub(crate) struct ForeignMetadata {
    text: String,
    source: serde_json::Error,
}

impl Checkpoint {
    pub(crate) fn new(
        closed_through: Option<Micros>,
        written_through: Option<Micros>,
        next_offset: i64,
        forced: &[Forced],
    ) -> Self {
        let forced = forced.iter().map(|f| (f.through, f.at)).collect();
        Self { closed_through, written_through, next_offset, forced }
    }

    /// The decisions, in the order they were taken.
    pub(crate) fn forced(&self) -> Vec<Forced> {
        self.forced.iter().map(|(through, at)| Forced { through: *through, at: *at }).collect()
    }

    pub(crate) fn to_metadata(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads committed metadata; no text at all is no checkpoint.
    pub(crate) fn from_metadata(text: &str) -> Result<Option<Self>, ForeignMetadata> {
        if text.is_empty() {
            return Ok(None);
        }
        let foreign = |source| ForeignMetadata { text: text.chars().take(100).collect(), source };
        serde_json::from_str(text).map(Some).map_err(foreign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_survives_as_metadata() {
        let forced = [Forced { through: 600, at: 7 }];
        let checkpoint = Checkpoint::new(Some(300), Some(600), 12, &forced);
        let text = checkpoint.to_metadata().unwrap();
        assert_eq!(
            text,
            r#"{"closed_through":300,"written_through":600,"next_offset":12,"forced":[[600,7]]}"#
        );
        assert_eq!(Checkpoint::from_metadata(&text).unwrap(), Some(checkpoint));
        assert_eq!(Checkpoint::default().to_metadata().unwrap(), r#"{"next_offset":0}"#);
    }

    #[test]
    fn the_metadata_fits_what_a_broker_takes() {
        // A broker refuses more than offset.metadata.max.bytes, 4096 by default.
        let forced = [Forced { through: i64::MAX, at: i64::MAX }; 33];
        assert!(
            Checkpoint::new(Some(i64::MAX), Some(i64::MAX), i64::MAX, &forced).to_metadata().unwrap().len()
                < 4096
        );
    }

    #[test]
    fn none_and_foreign_metadata_are_told_apart() {
        assert_eq!(Checkpoint::from_metadata("").unwrap(), None);
        assert!(Checkpoint::from_metadata("NONE").is_err());
        assert!(Checkpoint::from_metadata("{\"next_offset\":\"x\"}").is_err());
    }
}
