//! Asks how many partitions there are, and their leaders where they end.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use super::{Client, Worker};
use crate::activity::Ends;

/// What one round of questions gave.
#[derive(Debug)]
pub(crate) struct Round {
    /// How many partitions the topic has; `None` when no broker said so.
    pub(crate) total: Option<usize>,
    /// For each partition its ends, or nothing when the leader did not answer.
    pub(crate) ends: Vec<(i32, Option<Ends>)>,
}

/// See the module. At most one round is under way.
#[derive(Debug)]
pub(crate) struct EndsProbe {
    worker: Worker<Vec<i32>, Round>,
    asked: Option<Instant>,
    /// When a broker last answered.
    answered: Option<Instant>,
}

const TIMEOUT: Duration = Duration::from_secs(2);

impl EndsProbe {
    pub(crate) fn start(client: Arc<Client>, topic: String) -> io::Result<Self> {
        let worker = Worker::start("ends", move |partitions: Vec<i32>| ask(&client, &topic, &partitions))?;
        Ok(Self { worker, asked: None, answered: None })
    }

    /// Begins a round unless one is under way or the last began less than `pause` ago.
    pub(crate) fn ask(&mut self, partitions: Vec<i32>, now: Instant, pause: Duration) {
        let too_soon = self.asked.is_some_and(|asked| now.saturating_duration_since(asked) < pause);
        if !too_soon && self.worker.ask(partitions) {
            self.asked = Some(now);
        }
    }

    /// The answers of the round that was under way, once it is complete.
    pub(crate) fn answers(&mut self) -> Option<Round> {
        let round = self.worker.answer()?;
        if round.total.is_some() {
            self.answered = self.asked;
        }
        Some(round)
    }

    /// How long ago the question was asked that a broker last answered; `None` when none ever has.
    pub(crate) fn silent_for(&self, now: Instant) -> Option<Duration> {
        self.answered.map(|answered| now.saturating_duration_since(answered))
    }
}

/// Asks for each partition. When one leader does not answer, the rest of the round is given up: the
/// next one tries again.
fn ask(client: &Client, topic: &str, partitions: &[i32]) -> Round {
    let total = super::partition_count(client, topic, TIMEOUT);
    let mut is_away = total.is_err();
    let mut one = |partition: i32| {
        if is_away {
            return (partition, None);
        }
        let asked = Instant::now();
        match client.fetch_watermarks(topic, partition, TIMEOUT) {
            Ok((low, high)) => (partition, Some(Ends { low, high, asked })),
            Err(error) => {
                tracing::debug!(partition, %error, "the partition's ends are unknown");
                is_away = true;
                (partition, None)
            }
        }
    };
    Round { total: total.ok(), ends: partitions.iter().map(|partition| one(*partition)).collect() }
}
