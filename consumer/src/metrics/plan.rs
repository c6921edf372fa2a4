//! What a table asks of its groups: which metrics, in which order, and the columns that they become.

use super::distinct::EXACT_MAX;
use crate::event::Needs;

/// A metric. One can have several columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Events.
    Events,
    /// Events that pass another one on, unchanged.
    Reposts,
    /// Events that refer to another: reposts, replies, quotes.
    Referencing,
    /// Different actors: exactly up to a number, then by estimate; a column says which.
    UniqueActors,
    /// How often `:)` stands in the texts.
    Smiles,
    /// How many smiling emoji stand in the texts.
    SmileEmoji,
    /// Polarity of the texts by VADER.
    Sentiment,
    /// The most positive and the most negative event.
    Extreme,
}

/// All metrics, by the names that a configuration can say.
pub const KINDS: [(&str, Kind); 8] = [
    ("events", Kind::Events),
    ("reposts", Kind::Reposts),
    ("referencing", Kind::Referencing),
    ("unique_actors", Kind::UniqueActors),
    ("smiles", Kind::Smiles),
    ("smile_emoji", Kind::SmileEmoji),
    ("sentiment", Kind::Sentiment),
    ("extreme", Kind::Extreme),
];

/// A column of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What stands in it.
    pub form: Form,
    /// Whether it can be empty.
    pub is_nullable: bool,
}

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// [`Value::Count`].
    Count,
    /// [`Value::Real`].
    Real,
    /// [`Value::Flag`].
    Flag,
    /// [`Value::Text`].
    Text,
}

/// The value of a column in a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// How many.
    Count(u64),
    /// A number with a fraction; `None` when the events give none, such as the deviation of a single one.
    Real(Option<f64>),
    /// Yes or no.
    Flag(bool),
    /// Words; `None` when there is no such event.
    Text(Option<String>),
}

const fn sure(name: &'static str, form: Form) -> Column {
    Column { name, form, is_nullable: false }
}

const fn nullable(name: &'static str, form: Form) -> Column {
    Column { name, form, is_nullable: true }
}

static UNIQUE_ACTORS: [Column; 2] =
    [sure("unique_actors", Form::Count), sure("unique_actors_exact", Form::Flag)];

static SENTIMENT: [Column; 6] = [
    sure("sentiment_count", Form::Count),
    nullable("sentiment_mean", Form::Real),
    nullable("sentiment_stddev", Form::Real),
    nullable("sentiment_variance", Form::Real),
    nullable("sentiment_min", Form::Real),
    nullable("sentiment_max", Form::Real),
];

static EXTREME: [Column; 6] = [
    nullable("most_positive", Form::Real),
    nullable("most_positive_id", Form::Text),
    nullable("most_positive_text", Form::Text),
    nullable("most_negative", Form::Real),
    nullable("most_negative_id", Form::Text),
    nullable("most_negative_text", Form::Text),
];

impl Kind {
    /// Its name in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.columns_and_name().0
    }

    /// Its columns.
    #[must_use]
    pub fn columns(self) -> &'static [Column] {
        self.columns_and_name().1
    }

    fn columns_and_name(self) -> (&'static str, &'static [Column]) {
        match self {
            Self::Events => ("events", const { &[sure("events", Form::Count)] }),
            Self::Reposts => ("reposts", const { &[sure("reposts", Form::Count)] }),
            Self::Referencing => ("referencing", const { &[sure("referencing", Form::Count)] }),
            Self::UniqueActors => ("unique_actors", &UNIQUE_ACTORS),
            Self::Smiles => ("smiles", const { &[sure("smiles", Form::Count)] }),
            Self::SmileEmoji => ("smile_emoji", const { &[sure("smile_emoji", Form::Count)] }),
            Self::Sentiment => ("sentiment", &SENTIMENT),
            Self::Extreme => ("extreme", &EXTREME),
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// The metrics of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    kinds: Vec<Kind>,
    set: u16,
    exact_max: usize,
}

impl Plan {
    /// A plan of these metrics, whose columns come in this order.
    #[must_use]
    pub fn new(kinds: Vec<Kind>) -> Self {
        let set = kinds.iter().fold(0, |set, kind| set | kind.bit());
        Self { kinds, set, exact_max: EXACT_MAX }
    }

    /// The same plan, with actors counted exactly up to this many different ones.
    #[must_use]
    pub fn exact_up_to(self, exact_max: usize) -> Self {
        Self { exact_max, ..self }
    }

    /// The metrics, in the order of their columns.
    #[must_use]
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// The columns of a row.
    pub fn columns(&self) -> impl Iterator<Item = Column> {
        self.kinds.iter().flat_map(|kind| kind.columns()).copied()
    }

    /// What must be read of an event for it.
    #[must_use]
    pub fn needs(&self) -> Needs {
        Needs { actor: self.has(Kind::UniqueActors), ..Needs::default() }
    }

    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.set & kind.bit() != 0
    }

    /// Whether any metric is of the text.
    pub(super) fn reads_text(&self) -> bool {
        [Kind::Smiles, Kind::SmileEmoji, Kind::Sentiment, Kind::Extreme]
            .into_iter()
            .any(|kind| self.has(kind))
    }

    /// Up to how many different actors are counted exactly.
    pub(crate) fn exact_max(&self) -> usize {
        self.exact_max
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_metric_has_its_name_and_its_own_columns() {
        for (name, kind) in KINDS {
            assert_eq!(kind.name(), name);
        }
        let all = Plan::new(KINDS.map(|(_, kind)| kind).to_vec());
        let names: BTreeSet<_> = all.columns().map(|column| column.name).collect();
        assert_eq!(names.len(), all.columns().count());
        assert_eq!(all.columns().count(), 19);
        assert!(KINDS.iter().all(|(_, kind)| all.has(*kind)));
        assert!(!Plan::new(vec![Kind::Events]).reads_text());
    }
}
