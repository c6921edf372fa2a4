//! JSON of any shape: the configuration says where the parts of an event stand. Slower than the other
//! profiles, since the whole document is built.

use std::borrow::Cow;

use serde_json::Value;

use super::lenient::LIST_MAX;
use super::path::Path;
use crate::event::{Event, Kind, Message, Needs, Unreadable};
use crate::micros::{self, Micros};

/// Where the parts of an event stand. An event without an id or a time is quarantined, also one without an
/// actor when a table counts actors; of the rest, what is absent or of another type is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custom {
    /// Its id.
    pub id: Path,
    /// When it happened.
    pub time: TimeOf,
    /// Who did it.
    pub actor: Option<Path>,
    /// What was done; without it every event is an original.
    pub kind: Option<KindOf>,
    /// The name of its place.
    pub place: Option<Path>,
    /// The type of its place.
    pub place_type: Option<Path>,
    /// Its language.
    pub lang: Option<Path>,
    /// Its text.
    pub text: Option<Path>,
    /// Its tags: a list, or with `*` a part of each element of one.
    pub tags: Option<Path>,
    /// The tags of its rules, in the same way.
    pub rule_tags: Option<Path>,
}

/// Where an event's time stands, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeOf {
    /// Where.
    pub at: Path,
    /// How.
    pub form: TimeForm,
}

/// How a time is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TimeForm {
    /// `2021-06-01T00:35:27.000Z`
    #[default]
    Rfc3339,
    /// Seconds since 1970, with a fraction or without.
    Seconds,
    /// Milliseconds since 1970.
    Millis,
    /// Microseconds since 1970.
    Micros,
}

/// Where it stands what an event does, and by which words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindOf {
    /// Where. An event that has nothing there is an original.
    pub at: Path,
    /// What the words mean; one that is not here means [`Kind::Other`].
    pub words: Vec<(String, Kind)>,
}

impl Custom {
    /// Reads one record.
    ///
    /// # Errors
    /// When it is no JSON, or lacks what an event cannot do without.
    pub fn read(&self, record: &[u8], needs: Needs) -> Result<Message<'static>, Unreadable> {
        let document: Value = serde_json::from_slice(record)?;
        if !document.is_object() {
            return Err(Unreadable::not_object(""));
        }
        self.event(&document, needs).map(Message::Event)
    }

    fn event(&self, document: &Value, needs: Needs) -> Result<Event<'static>, Unreadable> {
        let text = |path: &Option<Path>| path.as_ref().and_then(|path| path.text(document)).map(Cow::Owned);
        let list = |path: &Option<Path>| match path {
            Some(path) if needs.lists => {
                path.texts(document).into_iter().take(LIST_MAX).map(Cow::Owned).collect()
            }
            _ => Vec::new(),
        };
        let id = self.id.text(document).ok_or_else(|| Unreadable::missing(self.id.to_string()))?;
        let time = self.time.read(document)?;
        let actor = text(&self.actor);
        if needs.actor && actor.is_none() {
            let path = self.actor.as_ref().map_or_else(|| "actor".to_owned(), ToString::to_string);
            return Err(Unreadable::missing(path));
        }
        let kind = self.kind.as_ref().map_or(Kind::Original, |kind| kind.read(document));
        Ok(Event {
            id: Cow::Owned(id),
            time,
            actor,
            kind,
            referencing: matches!(kind, Kind::Repost | Kind::Reply | Kind::Quote),
            place: text(&self.place),
            place_type: text(&self.place_type),
            lang: text(&self.lang),
            text: text(&self.text),
            tags: list(&self.tags),
            rule_tags: list(&self.rule_tags),
        })
    }
}

impl TimeOf {
    fn read(&self, document: &Value) -> Result<Micros, Unreadable> {
        let text = self.at.text(document).ok_or_else(|| Unreadable::missing(self.at.to_string()))?;
        self.form.parse(&text).ok_or_else(|| Unreadable::time(self.at.to_string(), self.form.name(), &text))
    }
}

impl TimeForm {
    fn name(self) -> &'static str {
        match self {
            Self::Rfc3339 => "RFC 3339 time",
            Self::Seconds => "number of seconds",
            Self::Millis => "number of milliseconds",
            Self::Micros => "number of microseconds",
        }
    }

    fn parse(self, text: &str) -> Option<Micros> {
        match self {
            Self::Rfc3339 => micros::parse(text),
            Self::Seconds => seconds(text),
            Self::Millis => text.parse::<i64>().ok()?.checked_mul(1000),
            Self::Micros => text.parse().ok(),
        }
    }
}

/// Seconds with up to six digits of a fraction that count; by digits, so that none is rounded away.
fn seconds(text: &str) -> Option<Micros> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_plain = fraction.bytes().all(|b| b.is_ascii_digit());
    let micros: i64 = format!("{:0<6}", fraction.get(..6).unwrap_or(fraction)).parse().ok()?;
    let signed = if whole.starts_with('-') { -micros } else { micros };
    let seconds = whole.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(signed);
    seconds.filter(|_| is_plain)
}

impl KindOf {
    fn read(&self, document: &Value) -> Kind {
        let Some(word) = self.at.text(document) else { return Kind::Original };
        self.words.iter().find(|(name, _)| *name == word).map_or(Kind::Other, |(_, kind)| *kind)
    }
}

#[cfg(test)]
mod tests;
