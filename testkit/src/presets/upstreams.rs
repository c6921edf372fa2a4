//! Fakes side by side, the configuration of one daemon that reads them all, and the judgement.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Again, Fake, Preset, TOKEN, Weather};
use crate::kafka::Snapshot;
use crate::oracle::sources::reported::{self, Reported};
use crate::oracle::sources::{History, Verdict};
use crate::services::StartError;

/// The daemon's words for Kafka, or a part of it, being away.
const AWAY: [&str; 2] = ["event=\"breaker_open\"", "event=\"partitions_held\""];

/// A running fake, and what goes wrong with it.
pub struct Case {
    /// Its service.
    pub preset: &'static Preset,
    /// It.
    pub fake: Box<dyn Fake>,
    /// How much goes wrong with it, by kind.
    pub faults: BTreeMap<&'static str, usize>,
}

impl Case {
    /// What the fake did, as the daemon can use it.
    #[must_use]
    pub fn history(&self) -> History {
        History { resumable: self.preset.again != Again::Nothing, ..self.fake.history() }
    }

    /// The verdict on this source, and everything that is wrong.
    #[must_use]
    pub fn check(&self, topic: &Snapshot, status: &Value, log: &str) -> (Verdict, Vec<String>) {
        let Some(reported) = Reported::read(status, log, self.preset.name) else {
            return (Verdict::default(), vec!["the status does not tell all".to_owned()]);
        };
        let entries = topic.partitions.values().flatten();
        let arrived: Vec<_> = entries.map(|entry| (entry.hash, entry.timestamp_ms)).collect();
        let record_max = self.preset.record_max;
        let resent = AWAY.iter().any(|event| log.contains(event));
        let case = reported::Case {
            history: self.history(),
            record_max,
            arrived: &arrived,
            resent,
            reported: &reported,
        };
        let (verdict, mut wrong) = case.check();
        if topic.missed() > 0 {
            wrong.push("the cluster forgot records before they were read".to_owned());
        }
        (verdict, wrong)
    }

    fn config(&self, token: &Path) -> String {
        let Preset { name, service, config, .. } = self.preset;
        let token = token.display().to_string();
        format!(
            "[[source]]\ntype = '{service}'\nname = '{name}'\nurl = '{}'\nidle_timeout = '1s'\n{}[[route]]\nsource = '{name}'\ntopic = '{name}'\n",
            self.fake.url(),
            config.replace("{token}", &token)
        )
    }
}

/// Several fakes at once.
pub struct Upstreams(pub Vec<Case>);

impl Upstreams {
    /// Starts the fakes of these services, each with the weather that `weather` makes of its place.
    ///
    /// # Errors
    /// When one cannot listen.
    pub fn start(
        presets: impl IntoIterator<Item = &'static Preset>,
        weather: impl Fn(u64) -> Weather,
    ) -> Result<Self, StartError> {
        let case = |(place, preset): (u64, &'static Preset)| {
            let weather = weather(place);
            let (fake, faults) = (preset.start)(&weather)?;
            Ok(Case { preset, fake, faults })
        };
        (0..).zip(presets).map(case).collect::<Result<_, _>>().map(Self)
    }

    /// The part of the configuration that tells of the sources and where their records go. Writes the
    /// token to `dir`.
    ///
    /// # Errors
    /// When the token cannot be written.
    pub fn config(&self, dir: &Path) -> std::io::Result<String> {
        let token = dir.join("token");
        std::fs::write(&token, TOKEN)?;
        let mut text = String::new();
        for case in &self.0 {
            // Writing to a String cannot fail.
            let _ = write!(text, "{}", case.config(&token));
        }
        Ok(text)
    }

    /// Waits until all faults of all fakes have happened and all are listened to. False when `timeout`
    /// passed before.
    #[must_use]
    pub fn wait_calm(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        while !self.0.iter().all(|case| case.fake.is_calm()) {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// Lets all fakes publish nothing more.
    pub fn finish(&self) {
        self.0.iter().for_each(|case| case.fake.finish());
    }
}
