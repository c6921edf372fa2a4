//! Profiles: how the records of an upstream become events.

mod lenient;
mod x_v2;

use crate::event::{Message, Needs, Unreadable};

/// The shape of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// X API v2 filtered stream.
    XV2,
}

/// What `profile = "…"` can say.
pub(crate) const PROFILES: [(&str, Profile); 1] = [("x_v2", Profile::XV2)];

impl Profile {
    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::XV2 => "x_v2",
        }
    }

    /// Reads one record.
    ///
    /// # Errors
    /// When the record is neither an event nor a notice of this upstream.
    pub fn read(self, record: &[u8], needs: Needs) -> Result<Message<'_>, Unreadable> {
        match self {
            Self::XV2 => x_v2::read(record, needs),
        }
    }
}
