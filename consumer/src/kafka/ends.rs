//! Asks how many partitions there are, and their leaders where they end.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use super::{Client, Worker};
use crate::activity::Ends;
use crate::pulse::Heart;

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
    /// `heart` turns with each partition that is asked for, so that many of them are no hang.
    pub(crate) fn start(client: Arc<Client>, topic: String, heart: Heart) -> io::Result<Self> {
        let heart = Arc::new(heart);
        let own = Arc::clone(&heart);
        let answer = move |partitions: Vec<i32>| ask(&client, &topic, &partitions, &own);
        let worker = Worker::start("ends", move || heart.turn(), answer)?;
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

    /// Its name when its thread has panicked.
    pub(crate) fn panicked(&self) -> Option<&'static str> {
        self.worker.panicked()
    }

    /// How long ago the question was asked that a broker last answered; `None` when none ever has.
    pub(crate) fn silent_for(&self, now: Instant) -> Option<Duration> {
        self.answered.map(|answered| now.saturating_duration_since(answered))
    }
}

/// Asks for all partitions at once. A leader answers only when the fetch before it on the same connection is
/// answered, which may take half a second: one partition after the other, this would add up.
fn ask(client: &Client, topic: &str, partitions: &[i32], heart: &Heart) -> Round {
    let total = super::partition_count(client, topic, TIMEOUT);
    let ends = match &total {
        Err(_) => partitions.iter().map(|partition| (*partition, None)).collect(),
        Ok(_) => at_once(client, topic, partitions).unwrap_or_else(|error| {
            tracing::debug!(%error, "not every leader answers; asking one after the other");
            one_by_one(client, topic, partitions, heart)
        }),
    };
    Round { total: total.ok(), ends }
}

type AllEnds = Vec<(i32, Option<Ends>)>;

fn at_once(client: &Client, topic: &str, partitions: &[i32]) -> KafkaResult<AllEnds> {
    if partitions.is_empty() {
        return Ok(AllEnds::new());
    }
    let asked = Instant::now();
    let low = offsets(client, topic, partitions, Offset::Beginning)?;
    let high = offsets(client, topic, partitions, Offset::End)?;
    let ends = |partition: &i32| {
        let (low, high) = (*low.get(partition)?, *high.get(partition)?);
        Some(Ends { low, high, asked })
    };
    Ok(partitions.iter().map(|partition| (*partition, ends(partition))).collect())
}

/// The offsets that `which` stands for. librdkafka sends one request to each leader, where the place of a
/// time may also be one of the two ends.
fn offsets(
    client: &Client,
    topic: &str,
    partitions: &[i32],
    which: Offset,
) -> KafkaResult<BTreeMap<i32, i64>> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition_offset(topic, *partition, which)?;
    }
    let found = client.offsets_for_times(list, TIMEOUT)?;
    let mut offsets = BTreeMap::new();
    for element in found.elements_for_topic(topic) {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            offsets.insert(element.partition(), offset);
        }
    }
    Ok(offsets)
}

/// When one leader does not answer, the rest of the round is given up: the next one tries again.
fn one_by_one(client: &Client, topic: &str, partitions: &[i32], heart: &Heart) -> AllEnds {
    let mut is_away = false;
    let mut one = |partition: i32| {
        heart.turn();
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
    partitions.iter().map(|partition| one(*partition)).collect()
}
