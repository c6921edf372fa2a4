//! What is committed to Kafka beside each partition's offset: JSON in the offset's metadata that says
//! which entry of the log the offset belongs to. The log is the truth; this saves looking for its end,
//! and shows when it was lost.

use serde::{Deserialize, Serialize};

use crate::micros::Micros;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hint {
    /// The entry's place in the partition's log.
    pub(crate) seq: u64,
    /// Panes that end at or before this are closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) closed_through: Option<Micros>,
}

/// Metadata that was not written by this program.
#[derive(Debug, thiserror::Error)]
#[error("the committed metadata {text:?} is not this program's")]
pub(crate) struct ForeignMetadata {
    text: String,
    source: serde_json::Error,
}

impl Hint {
    pub(crate) fn to_metadata(self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&self)
    }

    /// Reads committed metadata; no text at all is no hint.
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
    fn a_hint_survives_as_metadata() {
        let hint = Hint { seq: 12, closed_through: Some(300) };
        let text = hint.to_metadata().unwrap();
        assert_eq!(text, r#"{"seq":12,"closed_through":300}"#);
        assert_eq!(Hint::from_metadata(&text).unwrap(), Some(hint));
    }

    #[test]
    fn none_and_foreign_metadata_are_told_apart() {
        assert_eq!(Hint::from_metadata("").unwrap(), None);
        assert!(Hint::from_metadata("NONE").is_err());
        assert!(Hint::from_metadata("{\"seq\":-1}").is_err());
    }
}
