//! Profiles: how the records of an upstream become events.

mod bluesky;
mod custom;
mod fields;
mod html;
mod lenient;
mod mastodon;
mod path;
mod wikimedia;
mod x_v1;
mod x_v2;

use crate::event::{Message, Needs, Unreadable};

pub use custom::{Custom, KindOf, TimeForm, TimeOf};
pub use path::Path;

/// The shape of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// X API v2 filtered stream.
    XV2,
    /// X's streams of API v1.1.
    XV1,
    /// Wikimedia's recent changes.
    Wikimedia,
    /// Mastodon's streams.
    Mastodon,
    /// Bluesky's Jetstream.
    Bluesky,
    /// JSON of any shape. A configuration is read once and lives as long as the program.
    Custom(&'static Custom),
}

/// What `profile = "…"` can say, apart from `custom`, which needs to be told more.
pub(crate) const PROFILES: [(&str, Profile); 5] = [
    ("x_v2", Profile::XV2),
    ("x_v1", Profile::XV1),
    ("wikimedia", Profile::Wikimedia),
    ("mastodon", Profile::Mastodon),
    ("bluesky", Profile::Bluesky),
];

impl Profile {
    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::XV2 => "x_v2",
            Self::XV1 => "x_v1",
            Self::Wikimedia => "wikimedia",
            Self::Mastodon => "mastodon",
            Self::Bluesky => "bluesky",
            Self::Custom(_) => "custom",
        }
    }

    /// Reads one record.
    ///
    /// # Errors
    /// When the record is neither an event nor a notice of this upstream.
    pub fn read(self, record: &[u8], needs: Needs) -> Result<Message<'_>, Unreadable> {
        match self {
            Self::XV2 => x_v2::read(record, needs),
            Self::XV1 => x_v1::read(record, needs),
            Self::Wikimedia => wikimedia::read(record, needs),
            Self::Mastodon => mastodon::read(record, needs),
            Self::Bluesky => bluesky::read(record),
            Self::Custom(custom) => custom.read(record, needs),
        }
    }
}

#[cfg(test)]
mod tests;
