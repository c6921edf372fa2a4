//! Archives: tables that hold the events themselves. No I/O, no clock.
//!
//! ```text
//!   event that counts -> Archived, a row of the next entry of its partition's log -> objects of that entry
//! ```
//! The log is what makes an event be archived once: each entry holds those between the offset of the
//! entry before and its own. What objects an entry comes to, and what is in them, follows from the entry
//! alone, so they can be written again by anybody without harm. An event that is late is in no archive, as
//! it is in no other table; the log keeps it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::event::Event;
use crate::filter::Filter;
use crate::log::Header;
use crate::micros::{self, Micros};
use crate::pane::Record;
use crate::parquet::TABLES;
use crate::tables::{TableFault, check_name};

mod object;

pub(crate) use object::encode;

/// A table of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Its name; it becomes part of the objects' names.
    pub name: String,
    /// Which events it takes.
    pub filter: Filter,
    /// Its columns, before `topic`, `partition` and `offset`, which every archive has.
    pub columns: Vec<Field>,
    /// What its objects are kept apart by, besides the day; nothing without it.
    pub partition: Option<PartitionBy>,
}

/// Keeps the events of each rule apart, as Hive does: the rule is in the objects' names, not in a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionBy {
    /// What the rule is called in the objects' names.
    pub column: String,
    /// Whether rules are in lower case there.
    pub is_folded: bool,
}

/// A column of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The upstream's id.
    Id,
    /// When it happened.
    CreatedAt,
    /// Who did it.
    Actor,
    /// What was done.
    Kind,
    /// The name of the place.
    Place,
    /// What sort of place that is.
    PlaceType,
    /// Language code.
    Lang,
    /// The text.
    Text,
    /// How many words the text has: runs of anything but spaces.
    WordCount,
    /// The tags.
    Tags,
    /// The tags of its rules.
    Rules,
}

/// What `columns = […]` can say; also the columns' names.
pub(crate) const FIELDS: [(&str, Field); 11] = [
    ("id", Field::Id),
    ("created_at", Field::CreatedAt),
    ("actor", Field::Actor),
    ("kind", Field::Kind),
    ("place", Field::Place),
    ("place_type", Field::PlaceType),
    ("lang", Field::Lang),
    ("text", Field::Text),
    ("word_count", Field::WordCount),
    ("tags", Field::Tags),
    ("rules", Field::Rules),
];

/// Names that other columns and folders of an archive have.
const TAKEN: [&str; 4] = ["topic", "partition", "offset", "dt"];

impl Field {
    /// The column's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        FIELDS.iter().find(|(_, field)| *field == self).map_or("", |(name, _)| name)
    }
}

impl Archive {
    /// An archive of everything, by rule.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            filter: Filter::default(),
            columns: FIELDS.iter().map(|(_, field)| *field).collect(),
            partition: Some(PartitionBy { column: "rule".to_owned(), is_folded: false }),
        }
    }

    /// What is wrong with the archive by itself.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<(), TableFault> {
        check_name(&self.name)?;
        let different: BTreeSet<_> = self.columns.iter().collect();
        if different.is_empty() || different.len() < self.columns.len() {
            return Err(TableFault::Columns(self.name.clone()));
        }
        let Some(by) = &self.partition else { return Ok(()) };
        let is_taken = TAKEN.contains(&by.column.as_str())
            || self.columns.iter().any(|field| field.name() == by.column)
            || check_name(&by.column).is_err();
        if is_taken { Err(TableFault::Partition(by.column.clone())) } else { Ok(()) }
    }

    /// Whether an event's lists of tags must be read for it.
    pub(crate) fn needs_lists(&self) -> bool {
        self.partition.is_some()
            || self.filter.needs_lists()
            || self.columns.iter().any(|field| matches!(field, Field::Tags | Field::Rules))
    }

    /// The row of an event, when the archive takes it.
    pub(crate) fn row(&self, record: Record<'_>, event: &Event<'_>) -> Option<Archived> {
        if !self.filter.takes(event) {
            return None;
        }
        let has = |field: Field| self.columns.contains(&field);
        let text = |field: Field, text: &Option<Cow<'_, str>>| {
            text.as_deref().filter(|_| has(field)).map(str::to_owned)
        };
        let list = |field: Field, list: &[Cow<'_, str>]| {
            list.iter().filter(|_| has(field)).map(|tag| tag.clone().into_owned()).collect()
        };
        let needs_text = has(Field::Text) || has(Field::WordCount);
        Some(Archived {
            table: self.name.clone(),
            group: self.group(event),
            offset: record.offset,
            timestamp: record.timestamp,
            time: event.time,
            said: Said {
                id: event.id.clone().into_owned(),
                actor: text(Field::Actor, &event.actor),
                kind: event.kind.name().to_owned(),
                place: text(Field::Place, &event.place),
                place_type: text(Field::PlaceType, &event.place_type),
                lang: text(Field::Lang, &event.lang),
                text: event.text.as_deref().filter(|_| needs_text).map(str::to_owned),
                tags: list(Field::Tags, &event.tags),
                rules: list(Field::Rules, &event.rule_tags),
            },
        })
    }

    /// The rule that an event is kept under: its first; "" for none.
    fn group(&self, event: &Event<'_>) -> String {
        let Some(by) = &self.partition else { return String::new() };
        let first = event.rule_tags.first().map(Cow::as_ref).unwrap_or_default();
        if by.is_folded { first.to_lowercase() } else { first.to_owned() }
    }

    /// The name of the object that holds `rows`, which are of one group and one day.
    fn object_name(&self, header: &Header, part: &Part<'_>) -> String {
        let Self { name, partition, .. } = self;
        let by = partition.as_ref().map(|by| format!("{}={}/", by.column, escaped(part.group)));
        format!(
            "{TABLES}/{name}/{}dt={}/{name}-p{:05}-{:020}.parquet",
            by.unwrap_or_default(),
            micros::day(part.day),
            header.partition,
            part.rows.first().map_or(0, |row| row.offset)
        )
    }
}

/// An event in an entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Archived {
    /// The archive's name.
    pub(crate) table: String,
    /// The rule that it is kept under; "" for none.
    pub(crate) group: String,
    pub(crate) offset: i64,
    /// Kafka's time.
    pub(crate) timestamp: Micros,
    /// The event's own time.
    pub(crate) time: Micros,
    pub(crate) said: Said,
}

/// What columns are made of; what no column asks for is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Said {
    pub(crate) id: String,
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) place_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lang: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rules: Vec<String>,
}

impl Archived {
    /// Roughly what it takes in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let said = &self.said;
        let optional = [&said.actor, &said.place, &said.place_type, &said.lang, &said.text];
        let texts: usize = optional.into_iter().flatten().map(String::len).sum();
        let lists: usize = said.tags.iter().chain(&said.rules).map(|tag| tag.len() + 32).sum();
        size_of::<Self>() + self.table.len() + self.group.len() + said.id.len() + texts + lists
    }
}

/// The rows of one object.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    group: &'a str,
    /// A moment of the day.
    day: Micros,
    pub(crate) rows: Vec<&'a Archived>,
}

const DAY: Micros = 86_400_000_000;

/// The objects that the rows of one entry come to for `archive`, with their names.
pub(crate) fn parts<'a>(archive: &Archive, header: &Header, rows: &'a [Archived]) -> Vec<(String, Part<'a>)> {
    let mut parts: BTreeMap<(&str, Micros), Vec<&Archived>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.table == archive.name) {
        parts.entry((&row.group, micros::floor(row.time, DAY))).or_default().push(row);
    }
    let named = |((group, day), rows): ((&'a str, Micros), Vec<&'a Archived>)| {
        let part = Part { group, day, rows };
        (archive.object_name(header, &part), part)
    };
    parts.into_iter().map(named).collect()
}

/// What Hive and its heirs call a partition of what has no value.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// Longer ones do not fit into file names.
const ESCAPED_MAX: usize = 180;

/// A value as part of an object's name, as Hive writes it: all but plain characters by their bytes. One that
/// is too long is cut, and told from others by its hash.
fn escaped(value: &str) -> String {
    if value.is_empty() {
        return NO_VALUE.to_owned();
    }
    let escape = |mut text: String, byte: u8| {
        if byte.is_ascii_alphanumeric() || b"_-. ".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
        text
    };
    let whole = value.bytes().fold(String::new(), escape);
    if whole.len() <= ESCAPED_MAX {
        return whole;
    }
    let cut = value.bytes().map_while(|byte| byte.is_ascii().then_some(byte)).take(ESCAPED_MAX / 3);
    let hash = Sha256::digest(value.as_bytes());
    hash.iter().take(8).fold(cut.fold(String::new(), escape) + "-", |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
