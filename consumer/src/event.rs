//! The event model: what a record says once a profile has read it, whatever upstream it came from.
//! Borrows from the record's bytes where it can. No I/O, no clock.

use std::borrow::Cow;

use crate::micros::Micros;

/// What a record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// Something that somebody did, which is counted.
    Event(Event<'a>),
    /// The upstream speaking of itself, such as an announced disconnect; not counted as an event.
    Notice {
        /// What it is about.
        title: Cow<'a, str>,
    },
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// The upstream's id.
    pub id: Cow<'a, str>,
    /// When it happened.
    pub time: Micros,
    /// Who did it; `None` only when no table needs it.
    pub actor: Option<Cow<'a, str>>,
    /// What was done.
    pub kind: Kind,
    /// Whether it refers to another event: a repost, a reply, a quote, a like.
    pub referencing: bool,
    /// Name of the place it is tagged with.
    pub place: Option<Cow<'a, str>>,
    /// What sort of place that is, such as `city`.
    pub place_type: Option<Cow<'a, str>>,
    /// Language code.
    pub lang: Option<Cow<'a, str>>,
    /// Its text.
    pub text: Option<Cow<'a, str>>,
    /// Its hashtags, without `#`; sure to be there only when [`Needs::lists`] says so.
    pub tags: Vec<Cow<'a, str>>,
    /// Tags of the rules that let it through; sure to be there only when [`Needs::lists`] says so.
    pub rule_tags: Vec<Cow<'a, str>>,
}

/// What an event does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Says something of its own.
    Original,
    /// Passes another event on.
    Repost,
    /// Answers another event.
    Reply,
    /// Passes another event on with words of its own.
    Quote,
    /// Anything else, such as a like, a deletion, or a change of what was said before.
    Other,
}

/// All kinds, by the names that a configuration can say.
pub(crate) const KINDS: [(&str, Kind); 5] = [
    ("original", Kind::Original),
    ("repost", Kind::Repost),
    ("reply", Kind::Reply),
    ("quote", Kind::Quote),
    ("other", Kind::Other),
];

impl Kind {
    /// Its name in a configuration and in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// What the tables need beyond what every event has. What is not needed is not read, so a fault in
/// it cannot keep an event out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// [`Event::actor`] must be there.
    pub actor: bool,
    /// [`Event::tags`] and [`Event::rule_tags`].
    pub lists: bool,
}

/// Why a record is neither an event nor a notice; it is quarantined.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON, or not of the shape that the profile knows.
    #[error("cannot be read as JSON of this profile")]
    Json(#[from] serde_json::Error),
    /// Something that must be a JSON object is none.
    #[error("{} is no JSON object", if field.is_empty() { "the record" } else { field.as_ref() })]
    NotObject {
        /// Its JSON pointer; empty for the whole record.
        field: Cow<'static, str>,
    },
    /// A field that an event cannot do without.
    #[error("{field} is missing")]
    Missing {
        /// Its JSON pointer.
        field: Cow<'static, str>,
    },
    /// The time is not of the form that the profile knows.
    #[error("{field} is no {form}: {text:?}")]
    Time {
        /// Its JSON pointer.
        field: Cow<'static, str>,
        /// What should stand there.
        form: &'static str,
        /// What stands there, cut to 64 characters.
        text: String,
    },
}

impl Unreadable {
    pub(crate) fn not_object(field: &'static str) -> Self {
        Self::NotObject { field: Cow::Borrowed(field) }
    }

    pub(crate) fn missing(field: impl Into<Cow<'static, str>>) -> Self {
        Self::Missing { field: field.into() }
    }

    pub(crate) fn time(field: impl Into<Cow<'static, str>>, form: &'static str, text: &str) -> Self {
        Self::Time { field: field.into(), form, text: text.chars().take(64).collect() }
    }
}
