//! The windows, counted again: five minutes (or any length) over `data.created_at`, over all events
//! and per city.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use chrono::DateTime;
use serde_json::Value;

/// The metrics of one row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events.
    pub events: i64,
    /// Retweets: a reference of type `retweeted`.
    pub reposts: i64,
    /// Events that refer to any other: retweets, replies and quotes.
    pub referencing: i64,
    /// Different authors.
    pub unique_actors: i64,
}

/// Rows of the table `activity`: window start, in microseconds since 1970.
pub type ActivityTable = BTreeMap<i64, Counts>;

/// Rows of the table `city_activity`: window start, in microseconds since 1970, and the city.
pub type CityTable = BTreeMap<(i64, String), Counts>;

/// Whether an event that comes twice counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dedup {
    /// Events with the same `data.id` count once; the first is taken.
    ById,
    /// Every record counts.
    Off,
}

/// What a record was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An event, counted.
    Event,
    /// An event that was counted before.
    Duplicate,
    /// A message of the stream itself, such as an in-stream error: an object without `data`.
    Notice,
    /// Nothing that can be counted: no JSON object, or an event without id, author or time.
    Unreadable,
}

/// An event with what the tables need.
#[derive(Debug, Clone)]
struct Event {
    author: String,
    references: Vec<String>,
    city: Option<String>,
}

/// Counts records as they are given to it.
#[derive(Debug, Clone)]
pub struct Recount {
    window_us: i64,
    dedup: Dedup,
    seen: HashSet<String>,
    windows: BTreeMap<i64, Vec<Event>>,
    /// Events counted.
    pub events: u64,
    /// Events left out because they were counted before.
    pub duplicates: u64,
    /// Messages of the stream itself.
    pub notices: u64,
    /// Records that could not be read.
    pub unreadable: u64,
}

impl Recount {
    /// Windows of `window` (at least a microsecond), aligned to 1970.
    #[must_use]
    pub fn new(window: Duration, dedup: Dedup) -> Self {
        Self {
            window_us: i64::try_from(window.as_micros()).unwrap_or(i64::MAX).max(1),
            dedup,
            seen: HashSet::new(),
            windows: BTreeMap::new(),
            events: 0,
            duplicates: 0,
            notices: 0,
            unreadable: 0,
        }
    }

    /// Counts one record, given without its line end, and says what it was.
    pub fn add(&mut self, line: &[u8]) -> Kind {
        let kind = self.count(line);
        match kind {
            Kind::Event => self.events += 1,
            Kind::Duplicate => self.duplicates += 1,
            Kind::Notice => self.notices += 1,
            Kind::Unreadable => self.unreadable += 1,
        }
        kind
    }

    fn count(&mut self, line: &[u8]) -> Kind {
        let Ok(record @ Value::Object(_)) = serde_json::from_slice::<Value>(line) else {
            return Kind::Unreadable;
        };
        if record.get("data").is_none() {
            return Kind::Notice;
        }
        let Some((id, time_us, event)) = read_event(&record) else { return Kind::Unreadable };
        if self.dedup == Dedup::ById && !self.seen.insert(id) {
            return Kind::Duplicate;
        }
        let start = time_us.div_euclid(self.window_us) * self.window_us;
        self.windows.entry(start).or_default().push(event);
        Kind::Event
    }

    /// The rows of `activity`.
    #[must_use]
    pub fn activity(&self) -> ActivityTable {
        self.windows.iter().map(|(start, events)| (*start, counts(events.iter()))).collect()
    }

    /// The rows of `city_activity`.
    #[must_use]
    pub fn city_activity(&self) -> CityTable {
        let mut rows = CityTable::new();
        for (start, events) in &self.windows {
            let cities: BTreeSet<&String> = events.iter().filter_map(|event| event.city.as_ref()).collect();
            for city in cities {
                let there = events.iter().filter(|event| event.city.as_ref() == Some(city));
                rows.insert((*start, city.clone()), counts(there));
            }
        }
        rows
    }
}

fn counts<'a>(events: impl Iterator<Item = &'a Event> + Clone) -> Counts {
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let refers = |event: &&Event, kind: &str| event.references.iter().any(|r| r == kind);
    Counts {
        events: number(events.clone().count()),
        reposts: number(events.clone().filter(|event| refers(event, "retweeted")).count()),
        referencing: number(events.clone().filter(|event| !event.references.is_empty()).count()),
        unique_actors: number(events.map(|event| &event.author).collect::<BTreeSet<_>>().len()),
    }
}

/// The id, the time in microseconds, and the rest.
fn read_event(record: &Value) -> Option<(String, i64, Event)> {
    let data = record.get("data")?;
    let id = data.get("id")?.as_str()?.to_owned();
    let author = data.get("author_id")?.as_str()?.to_owned();
    let time = DateTime::parse_from_rfc3339(data.get("created_at")?.as_str()?).ok()?;
    let references = data.get("referenced_tweets").and_then(Value::as_array).into_iter().flatten();
    let references = references.filter_map(|r| Some(r.get("type")?.as_str()?.to_owned())).collect();
    let place = record.pointer("/includes/places/0");
    let is_city = |place: &&Value| place.get("place_type").and_then(Value::as_str) == Some("city");
    let city = place.filter(is_city).and_then(|place| Some(place.get("full_name")?.as_str()?.to_owned()));
    Some((id, time.timestamp_micros(), Event { author, references, city }))
}
