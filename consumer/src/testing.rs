//! What unit tests build on: events, random numbers, a store that fails.

pub(crate) mod random;
pub(crate) mod store;

use std::borrow::Cow;

use crate::event::{Event, Kind};
use crate::metrics::Value;

/// An event at `secs` seconds after 1970.
pub(crate) fn event<'a>(id: &'a str, secs: i64, actor: &'a str, kind: Kind) -> Event<'a> {
    Event {
        id: Cow::Borrowed(id),
        time: secs * 1_000_000,
        actor: Some(Cow::Borrowed(actor)),
        kind,
        referencing: kind != Kind::Original,
        place: None,
        place_type: None,
        lang: None,
        text: None,
        tags: Vec::new(),
        rule_tags: Vec::new(),
    }
}

/// Values of columns that are numbers of something.
pub(crate) fn counts(numbers: &[u64]) -> Vec<Value> {
    numbers.iter().map(|n| Value::Count(*n)).collect()
}

impl<'a> Event<'a> {
    /// The same event at a place.
    pub(crate) fn at(mut self, place: &'a str, place_type: &'a str) -> Self {
        self.place = Some(Cow::Borrowed(place));
        self.place_type = Some(Cow::Borrowed(place_type));
        self
    }
}
