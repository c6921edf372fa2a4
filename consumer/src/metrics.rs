//! What can be said of a group of events beside how many they are, as pure cores: sentiment, smiles,
//! extremes, different actors. No I/O, no clock.
//!
//! ```text
//!   Event -> Reading (each thing computed from its text at most once) -> By: its groups
//!              |
//!              v  observe              merge                values             top
//!           Metrics of a group  <---> Metrics of the same -----> columns of a row ---> rows
//! ```
//! Observing and merging commute and associate, exactly: the same events come to the same values, bit by
//! bit, in whatever order and over whatever parts they were counted. That is why polarities are summed as
//! whole numbers and why every tie is broken by what the events say.
//!
//! [`Metrics`] is kept in the commit log as JSON (serde), which is the same for the same events, too.

mod distinct;
mod extreme;
pub(crate) mod groups;
mod hashtags;
mod moments;
mod plan;
mod reading;
mod sentiment;
mod top;
mod words;

use serde::{Deserialize, Serialize};

pub use distinct::{Distinct, EXACT_MAX};
pub use extreme::{Extreme, Extremes};
pub use groups::By;
pub use hashtags::{faces, folded, smile_emoji};
pub use moments::Moments;
pub use plan::{Column, Form, KINDS, Kind, Plan, Value};
pub use reading::Reading;
pub use sentiment::Polarity;
pub use top::{Rank, top};
pub use words::words;

use crate::event::Kind as Deed;

/// One group: what its events come to. Holds only what its plan asks for; a group that is only counted
/// needs no memory of its own beside its entry in a map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    #[serde(default, skip_serializing_if = "is_zero")]
    events: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    reposts: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    referencing: u64,
    #[serde(default, skip_serializing_if = "Distinct::is_empty")]
    actors: Distinct,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Box<OfText>>,
}

/// What the events' texts come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfText {
    #[serde(default, skip_serializing_if = "is_zero")]
    smiles: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    smile_emoji: u64,
    #[serde(default, skip_serializing_if = "Moments::is_empty")]
    sentiment: Moments,
    /// Boxed: few tables ask for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extremes: Option<Box<Extremes>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Metrics {
    /// Counts an event.
    pub fn observe(&mut self, plan: &Plan, reading: &Reading<'_>) {
        let event = reading.event();
        self.events = self.events.saturating_add(1);
        self.reposts = self.reposts.saturating_add(u64::from(event.kind == Deed::Repost));
        self.referencing = self.referencing.saturating_add(u64::from(event.referencing));
        if plan.has(Kind::UniqueActors)
            && let Some(actor) = &event.actor
        {
            self.actors.insert(actor, plan.exact_max());
        }
        if plan.reads_text() && event.text.is_some() {
            self.text.get_or_insert_default().observe(plan, reading);
        }
    }

    /// Takes in what another part of the same events came to. Both must be of the same plan.
    pub fn merge(&mut self, plan: &Plan, other: Self) {
        self.events = self.events.saturating_add(other.events);
        self.reposts = self.reposts.saturating_add(other.reposts);
        self.referencing = self.referencing.saturating_add(other.referencing);
        self.actors.merge(other.actors, plan.exact_max());
        match (&mut self.text, other.text) {
            (Some(text), Some(other)) => text.merge(*other),
            (text @ None, other) => *text = other,
            (Some(_), None) => {}
        }
    }

    /// The values of [`Plan::columns`].
    #[must_use]
    pub fn values(&self, plan: &Plan) -> Vec<Value> {
        plan.kinds().iter().flat_map(|kind| self.values_of(*kind)).collect()
    }

    fn values_of(&self, kind: Kind) -> Vec<Value> {
        let none = OfText::default();
        let text = self.text.as_deref().unwrap_or(&none);
        match kind {
            Kind::Events => vec![Value::Count(self.events)],
            Kind::Reposts => vec![Value::Count(self.reposts)],
            Kind::Referencing => vec![Value::Count(self.referencing)],
            Kind::UniqueActors => {
                vec![Value::Count(self.actors.count()), Value::Flag(self.actors.is_exact())]
            }
            Kind::Smiles => vec![Value::Count(text.smiles)],
            Kind::SmileEmoji => vec![Value::Count(text.smile_emoji)],
            Kind::Sentiment => text.sentiment.values(),
            Kind::Extreme => text.extremes.as_deref().unwrap_or(&Extremes::default()).values(),
        }
    }
}

impl OfText {
    fn observe(&mut self, plan: &Plan, reading: &Reading<'_>) {
        if plan.has(Kind::Smiles) {
            self.smiles = self.smiles.saturating_add(reading.smiles());
        }
        if plan.has(Kind::SmileEmoji) {
            self.smile_emoji = self.smile_emoji.saturating_add(reading.smile_emoji());
        }
        if !(plan.has(Kind::Sentiment) || plan.has(Kind::Extreme)) {
            return;
        }
        let Some(polarity) = reading.polarity() else { return };
        if plan.has(Kind::Sentiment) {
            self.sentiment.observe(polarity);
        }
        if plan.has(Kind::Extreme) {
            let event = reading.event();
            let extremes = self.extremes.get_or_insert_default();
            extremes.observe(polarity, &event.id, event.text.as_deref().unwrap_or_default());
        }
    }

    fn merge(&mut self, other: Self) {
        self.smiles = self.smiles.saturating_add(other.smiles);
        self.smile_emoji = self.smile_emoji.saturating_add(other.smile_emoji);
        self.sentiment.merge(&other.sentiment);
        if let Some(other) = other.extremes {
            self.extremes.get_or_insert_default().merge(*other);
        }
    }
}

#[cfg(test)]
mod tests;
