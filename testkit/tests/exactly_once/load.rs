//! The records of a run, in the order they are produced, from its seed alone: posts of which some come
//! twice, late, out of order, from the future or torn. Pure.
//!
//! Whether an event is late must follow from the records of its partition, because that is what the judge
//! sees. So one that is held back comes within [`HELD_MAX`] records, which with the generator's skew is
//! less than the delay; and one that is meant to be late is late by what its own partition holds.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};
use spillway_testkit::rng::Rng;
use spillway_testkit::tweets::{Generator, Options, Tweet};

use crate::plan::Plan;

/// Event time from one record to the next. The generator's first wave goes at half of it, so a run of 4,000
/// records spans an hour.
const STEP_US: u64 = 1_800_000;
/// In records: 7 s of event time.
const HELD_MAX: u64 = 8;
/// How much earlier a late event is than the newest of its partition: more than the delay and a window.
const LATE_MS: i64 = 700_000;

/// A record for the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) id: Option<String>,
    pub(crate) value: Bytes,
}

/// An endless load.
pub(crate) struct Load {
    rng: Rng,
    posts: Generator,
    partitions: i32,
    idle: (i32, std::ops::Range<u64>),
    /// Some events are late.
    is_late: bool,
    produced: u64,
    /// With the record number at which they are due.
    held: Vec<(u64, Record)>,
    /// Where recent ids went: a post that comes twice comes to the same partition.
    places: BTreeMap<String, i32>,
    /// The newest event of each partition, in milliseconds since 1970.
    newest: BTreeMap<i32, i64>,
}

impl Load {
    pub(crate) fn new(plan: &Plan) -> Self {
        let options = Options {
            step_us: STEP_US,
            repeat_share: 0.02,
            place_share: 0.5,
            authors: 300,
            ..Options::default()
        };
        Self {
            rng: Rng::new(plan.seed ^ 0x10ad),
            posts: Generator::new(plan.seed, options),
            partitions: plan.partitions,
            idle: plan.idle.clone(),
            is_late: true,
            produced: 0,
            held: Vec::new(),
            places: BTreeMap::new(),
            newest: BTreeMap::new(),
        }
    }

    /// No event is late.
    pub(crate) fn punctual(plan: &Plan) -> Self {
        Self { is_late: false, ..Self::new(plan) }
    }

    /// From now on the topic has more partitions.
    pub(crate) fn grow(&mut self, by: i32) {
        self.partitions += by;
    }

    /// How many partitions the topic has.
    pub(crate) fn partitions(&self) -> i32 {
        self.partitions
    }

    /// The next record.
    pub(crate) fn next(&mut self) -> Record {
        self.produced += 1;
        if let Some(due) = self.held.iter().position(|(at, _)| *at <= self.produced) {
            return self.held.swap_remove(due).1;
        }
        loop {
            match self.rng.below(1000) {
                0..4 => return self.plain(b"{\"data\":{\"id\":\"torn"),
                4..8 => return self.plain(b"{\"errors\":[{\"title\":\"operational-disconnect\"}]}"),
                8..12 => return self.moved("future", None),
                12..24 => {
                    if let Some(late) = self.late() {
                        return late;
                    }
                }
                24..60 => {
                    let post = self.post();
                    let due = self.produced + 1 + self.rng.below(HELD_MAX);
                    self.held.push((due, post));
                }
                _ => return self.post(),
            }
        }
    }

    /// A partition that is not idle.
    fn partition(&mut self) -> i32 {
        let count = usize::try_from(self.partitions).unwrap_or(1);
        loop {
            let partition = i32::try_from(self.rng.index(count)).unwrap_or(0);
            if partition != self.idle.0 || !self.idle.1.contains(&self.produced) {
                return partition;
            }
        }
    }

    fn plain(&mut self, value: &'static [u8]) -> Record {
        Record { partition: self.partition(), id: None, value: Bytes::from_static(value) }
    }

    fn tweet(&mut self) -> Option<Tweet> {
        self.posts.next()
    }

    fn post(&mut self) -> Record {
        let Some(tweet) = self.tweet() else { return self.plain(b"") };
        let partition = match self.places.get(&tweet.id) {
            Some(place) => *place,
            None => self.partition(),
        };
        self.places.insert(tweet.id.clone(), partition);
        let created = created_ms(&tweet.line);
        let newest = self.newest.entry(partition).or_insert(created);
        *newest = created.max(*newest);
        Record { partition, id: Some(tweet.id), value: tweet.line }
    }

    /// An event that is late by what its partition holds, when that holds anything.
    fn late(&mut self) -> Option<Record> {
        let partition = self.partition();
        let newest = *self.newest.get(&partition).filter(|_| self.is_late)?;
        let late = self.moved("late", Some(newest - LATE_MS));
        Some(Record { partition, ..late })
    }

    /// A post with another time and an id of its own.
    fn moved(&mut self, kind: &str, to_ms: Option<i64>) -> Record {
        let (partition, id) = (self.partition(), format!("{kind}-{}", self.produced));
        let line = self.tweet().map(|tweet| tweet.line).unwrap_or_default();
        let mut value: Value = serde_json::from_slice(&line).unwrap_or_default();
        let time = to_ms.and_then(chrono::DateTime::from_timestamp_millis);
        let time = time.map_or("2099-01-01T00:00:00.000Z".to_owned(), |time| time.to_rfc3339());
        value["data"]["created_at"] = json!(time);
        value["data"]["id"] = json!(id);
        Record { partition, id: Some(id), value: value.to_string().into() }
    }
}

fn created_ms(line: &[u8]) -> i64 {
    let value: Value = serde_json::from_slice(line).unwrap_or_default();
    let text = value.pointer("/data/created_at").and_then(Value::as_str).unwrap_or_default();
    chrono::DateTime::parse_from_rfc3339(text).map_or(0, |time| time.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plan::Abilities;

    #[test]
    fn a_load_follows_from_its_seed_and_keeps_its_promises() {
        let plan = Plan::new(3, Abilities { members: 1, grow: false });
        let all = |mut load: Load| -> Vec<Record> { (0..plan.records).map(|_| load.next()).collect() };
        let records = all(Load::new(&plan));
        assert_eq!(all(Load::new(&plan)), records);
        let mut places = BTreeMap::new();
        let mut newest: BTreeMap<i32, i64> = BTreeMap::new();
        let (mut twice, mut late) = (0, 0);
        for record in records.iter().filter(|record| !record.value.is_empty()) {
            let Some(id) = &record.id else { continue };
            let created = created_ms(&record.value);
            if id.starts_with("late-") {
                late += 1;
                assert!(created < newest[&record.partition] - 600_000, "late by its own partition");
            } else if !id.starts_with("future-") {
                let newest = newest.entry(record.partition).or_insert(created);
                *newest = created.max(*newest);
                twice += i32::from(places.insert(id, record.partition).is_some_and(|place| {
                    assert_eq!(place, record.partition, "an id keeps its partition");
                    true
                }));
            }
        }
        assert!(twice > 20 && late > 20, "{twice} twice, {late} late");
        let idle = records
            .iter()
            .zip(1..)
            .filter(|(record, number)| record.partition == plan.idle.0 && plan.idle.1.contains(number));
        // What was held back before, and what comes a second time.
        assert!(idle.count() < 20);
        let punctual = all(Load::punctual(&plan));
        assert!(punctual.iter().all(|record| !record.id.as_deref().is_some_and(|id| id.starts_with("late"))));
        let partitions: BTreeSet<i32> = punctual.iter().map(|record| record.partition).collect();
        assert_eq!(partitions.len(), usize::try_from(plan.partitions).unwrap_or(0));
    }
}
