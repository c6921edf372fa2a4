//! A store that a consumer has written over two and a half days, with late events and copies, and what its
//! tables must be: counted here, event by event.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use spillway_consumer::Config;
use spillway_testkit::children;

use crate::common::{Rec, Rig, Rows, START};

pub(crate) const TABLE: &str = "city_activity";
pub(crate) const DAY: i64 = 86_400;
const CITIES: [&str; 5] = ["Oslo", "Rome", "Bonn", "São Paulo", "東京"];

/// An event of the world.
#[derive(Debug, Clone)]
pub(crate) struct Tweet {
    pub(crate) id: u32,
    /// After [`START`].
    pub(crate) secs: i64,
    pub(crate) city: &'static str,
    pub(crate) author: String,
}

impl Tweet {
    fn new(id: u32, secs: i64) -> Self {
        let city = CITIES[usize::try_from(id).unwrap() % CITIES.len()];
        Self { id, secs, city, author: format!("a{}", id % 7) }
    }

    fn record(&self, sent_secs: i64) -> Rec {
        let time = chrono::DateTime::from_timestamp(START + self.secs, 0).unwrap();
        let value = serde_json::json!({
            "data": {
                "id": self.id.to_string(), "author_id": self.author, "text": "t",
                "created_at": time.format("%Y-%m-%dT%H:%M:%S.000Z").to_string(),
            },
            "includes": {"places": [{"full_name": self.city, "place_type": "city"}]},
        });
        Rec {
            partition: i32::try_from(self.id % 2).unwrap(),
            id: Some(self.id.to_string()),
            value: value.to_string().into_bytes(),
            timestamp_ms: Some((START + sent_secs) * 1000),
        }
    }
}

/// What the tables must be.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tweets(Vec<Tweet>);

impl Tweets {
    /// The rows of `city_activity`.
    pub(crate) fn rows(&self) -> Rows {
        let mut groups: BTreeMap<(i64, String), (i64, BTreeSet<&str>)> = BTreeMap::new();
        for tweet in &self.0 {
            let start = START + tweet.secs - tweet.secs.rem_euclid(300);
            let (events, authors) = groups.entry((start, tweet.city.to_owned())).or_default();
            *events += 1;
            authors.insert(&tweet.author);
        }
        let counts =
            |(events, authors): (i64, BTreeSet<&str>)| [events, 0, 0, i64::try_from(authors.len()).unwrap()];
        groups.into_iter().map(|(key, group)| (key, counts(group))).collect()
    }

    /// The starts of its periods.
    pub(crate) fn periods(&self) -> BTreeSet<i64> {
        self.rows().into_keys().map(|(start, _)| start).collect()
    }

    pub(crate) fn with(&self, other: &Self) -> Self {
        Self(self.0.iter().chain(&other.0).cloned().collect())
    }
}

/// See the module.
pub(crate) struct World {
    pub(crate) rig: Rig,
    /// In final objects.
    pub(crate) on_time: Tweets,
    /// In the log only; each once.
    pub(crate) late: Tweets,
    next_id: u32,
}

impl World {
    /// Two and a half days, all on time.
    pub(crate) fn new() -> Self {
        let rig = Rig::new(2);
        let times = (0..5 * DAY / 2).step_by(2_400);
        let on_time: Vec<Tweet> = times
            .flat_map(|secs| (0..3).map(move |i| secs + i * 20))
            .zip(1..)
            .map(|(secs, id)| Tweet::new(id, secs))
            .collect();
        rig.send(on_time.iter().map(|tweet| tweet.record(tweet.secs)));
        let next_id = u32::try_from(on_time.len()).unwrap() + 1;
        let world = Self { rig, on_time: Tweets(on_time), late: Tweets::default(), next_id };
        let summary = world.drain();
        assert_eq!(summary.progress.late, 0, "{summary:?}");
        world
    }

    /// The standard tables of X.
    pub(crate) fn config(&self) -> Config {
        self.rig.config()
    }

    pub(crate) fn store(&self) -> &Path {
        self.rig.store()
    }

    pub(crate) fn drain(&self) -> spillway_consumer::Summary {
        self.rig.drain()
    }

    /// Late events at these times, one of them twice; copies of two that were on time; and one on time at the
    /// end of each partition. A consumer has seen them all.
    pub(crate) fn come_late(&mut self, times: &[i64]) {
        let now = 5 * DAY / 2 + i64::from(self.next_id) * 300;
        let mut tweet = |secs| {
            self.next_id += 1;
            Tweet::new(self.next_id - 1, secs)
        };
        let late: Vec<Tweet> = times.iter().map(|secs| tweet(*secs)).collect();
        let after = [tweet(now), tweet(now)];
        let copies = [self.on_time.0[0].clone(), self.on_time.0[40].clone(), late[0].clone()];
        let sent = late.iter().chain(&copies).chain(&after);
        self.rig.send(sent.map(|tweet| tweet.record(now)));
        let summary = self.drain();
        assert_eq!(summary.progress.late, (late.len() + copies.len()) as u64, "{summary:?}");
        self.late.0.extend(late);
        self.on_time.0.extend(after);
    }

    /// All events, each once.
    pub(crate) fn all(&self) -> Tweets {
        self.on_time.with(&self.late)
    }

    /// The rows that `show` gives as CSV.
    pub(crate) fn shown(&self) -> Rows {
        let output = show(self.store(), &[TABLE, "--from", "2026-11-01", "--csv"]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        rows_of_csv(std::str::from_utf8(&output.stdout).unwrap())
    }
}

/// Runs `show` on a folder.
pub(crate) fn show(store: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spillway-consumer"));
    command.env_clear().arg("show").args(arguments).arg("--store").arg(store);
    children::output(&mut command).unwrap()
}

/// Rows of `city_activity` from CSV; its cities have no commas.
fn rows_of_csv(text: &str) -> Rows {
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some("window_start,window_end,place,events,reposts,referencing,unique_actors,unique_actors_exact")
    );
    let mut rows = Rows::new();
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let start = chrono::DateTime::parse_from_rfc3339(fields[0]).unwrap().timestamp();
        let n = |i: usize| fields[i].parse().unwrap();
        let before = rows.insert((start, fields[2].to_owned()), [n(3), n(4), n(5), n(6)]);
        assert_eq!(before, None, "{line} is there twice");
        assert_eq!(fields[7], "true");
    }
    rows
}

/// Says where rows differ, rather than all of them.
pub(crate) fn assert_rows(are: &Rows, should_be: &Rows) {
    let differs = |(key, counts): &(&(i64, String), &[i64; 4])| should_be.get(key) != Some(*counts);
    let wrong: Vec<_> = are.iter().filter(differs).collect();
    let missing: Vec<_> = should_be.keys().filter(|key| !are.contains_key(key)).collect();
    assert!(wrong.is_empty() && missing.is_empty(), "wrong: {wrong:?}, missing: {missing:?}");
}
