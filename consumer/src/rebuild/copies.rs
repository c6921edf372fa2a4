//! Which late events are copies of events that were counted: those whose id an earlier record of the same
//! partition has, of the same pane. The log keeps no ids of what it counted, so Kafka is read from when the
//! periods were open to the last late event.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::RebuildError;
use super::late::Chain;
use crate::config::Config;
use crate::error::is_refusal;
use crate::event::{Message, Needs};
use crate::intake::id;
use crate::kafka::{self, Client};
use crate::log::Kept;
use crate::micros::{self, Micros};
use crate::tables::Tables;

/// How long Kafka may take for an answer or for the next record.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(500);

/// Parts the copies from the chains' late rows.
pub(super) fn part(config: &Config, tables: &Tables, chains: &mut [Chain]) -> Result<(), RebuildError> {
    let needed = chains.iter().any(|chain| chain.late.iter().any(|kept| kept.id.is_some()));
    if !needed {
        return Ok(());
    }
    let client = kafka::reader(config).map_err(RebuildError::Kafka)?;
    for chain in chains {
        let search = Search { config, pane: tables.pane(), client: &client };
        let copies = search.copies(chain)?;
        let is_copy = |kept: &Kept| copies.contains(&kept.offset);
        (chain.copies, chain.late) = std::mem::take(&mut chain.late).into_iter().partition(is_copy);
    }
    Ok(())
}

struct Search<'a> {
    config: &'a Config,
    pane: Micros,
    client: &'a Client,
}

impl Search<'_> {
    /// The offsets of the late rows that are copies.
    fn copies(&self, chain: &Chain) -> Result<HashSet<i64>, RebuildError> {
        let mut copies = HashSet::new();
        let mut wanted: HashMap<&[u8], Vec<&Kept>> = HashMap::new();
        for kept in &chain.late {
            if let Some(id) = &kept.id {
                wanted.entry(id).or_default().push(kept);
            }
        }
        let Some(last) = wanted.values().flatten().map(|kept| kept.offset).max() else { return Ok(copies) };
        let late: HashSet<i64> = chain.late.iter().map(|kept| kept.offset).collect();
        self.each_before(chain, last, |message| {
            let same = id(message).and_then(|id| wanted.get(id));
            // Of late rows that are each other's copies one is counted, when they are counted.
            let Some(same) = same.filter(|_| !late.contains(&message.offset())) else { return };
            let Some(pane) = self.pane_of(message) else { return };
            let is_copy = |kept: &&&Kept| {
                kept.offset > message.offset()
                    && kept.time.is_some_and(|time| micros::floor(time, self.pane) == pane)
            };
            copies.extend(same.iter().filter(is_copy).map(|kept| kept.offset));
        })?;
        Ok(copies)
    }

    /// The pane that a record was counted in, if it was.
    fn pane_of(&self, message: &BorrowedMessage<'_>) -> Option<Micros> {
        let read = self.config.profile.read(message.payload().unwrap_or_default(), Needs::default());
        let Ok(Message::Event(event)) = read else { return None };
        let tolerance = micros::of(self.config.time.future_tolerance);
        let is_future = message
            .timestamp()
            .to_millis()
            .is_some_and(|ms| event.time > ms.saturating_mul(1000).saturating_add(tolerance));
        (!is_future).then(|| micros::floor(event.time, self.pane))
    }

    /// Reads the records of a chain's range up to the one at `last`, without it.
    fn each_before(
        &self,
        chain: &Chain,
        last: i64,
        mut with: impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<(), RebuildError> {
        let (partition, from) = (chain.partition, chain.resume.unwrap_or(0));
        let topic = &self.config.topic;
        let (low, _) =
            self.client.fetch_watermarks(topic, partition, PATIENCE).map_err(RebuildError::Kafka)?;
        if low > from {
            return Err(RebuildError::Deleted { partition, from, low });
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(from)).map_err(RebuildError::Kafka)?;
        self.client.assign(&list).map_err(RebuildError::Kafka)?;
        let (mut next, mut heard) = (from, Instant::now());
        while next < last {
            match self.client.poll(POLL) {
                Some(Ok(message)) if message.partition() == partition && message.offset() >= next => {
                    next = message.offset() + 1;
                    heard = Instant::now();
                    if message.offset() < last {
                        with(&message);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(ended))) if ended == partition => break,
                Some(Err(error)) if error.rdkafka_error_code().is_some_and(is_refusal) => {
                    return Err(RebuildError::Kafka(error));
                }
                // librdkafka mends the rest itself, or time runs out.
                Some(_) | None => {}
            }
            if heard.elapsed() >= PATIENCE {
                return Err(RebuildError::Silent { partition, offset: next });
            }
        }
        Ok(())
    }
}
