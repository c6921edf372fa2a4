//! The most positive and the most negative event of a group. Of events that are equally so, the one with
//! the smaller id counts (byte by byte), then the one with the smaller text, so that it does not matter
//! which came first.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::plan::Value;
use super::sentiment::Polarity;

/// An event at one end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extreme {
    /// How positive or negative.
    pub polarity: Polarity,
    /// The event's id.
    pub id: Box<str>,
    /// Its text.
    pub text: Box<str>,
}

/// Both ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extremes {
    /// The most positive, which is the least negative when there is nothing better.
    pub positive: Option<Extreme>,
    /// The most negative.
    pub negative: Option<Extreme>,
}

impl Extremes {
    /// Takes an event in.
    pub fn observe(&mut self, polarity: Polarity, id: &str, text: &str) {
        let event = || Some(Extreme { polarity, id: id.into(), text: text.into() });
        let positive = self.positive.as_ref().map(|end| (Reverse(end.polarity), &*end.id, &*end.text));
        if positive.is_none_or(|end| (Reverse(polarity), id, text) < end) {
            self.positive = event();
        }
        let negative = self.negative.as_ref().map(|end| (end.polarity, &*end.id, &*end.text));
        if negative.is_none_or(|end| (polarity, id, text) < end) {
            self.negative = event();
        }
    }

    /// Takes another part in.
    pub fn merge(&mut self, other: Self) {
        for end in [other.positive, other.negative].into_iter().flatten() {
            self.observe(end.polarity, &end.id, &end.text);
        }
    }

    /// Whether nothing was observed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positive.is_none() && self.negative.is_none()
    }

    /// In the order of the columns.
    pub(super) fn values(&self) -> Vec<Value> {
        [&self.positive, &self.negative].into_iter().flat_map(|end| values(end.as_ref())).collect()
    }
}

fn values(end: Option<&Extreme>) -> [Value; 3] {
    [
        Value::Real(end.map(|end| end.polarity.value())),
        Value::Text(end.map(|end| end.id.to_string())),
        Value::Text(end.map(|end| end.text.to_string())),
    ]
}
