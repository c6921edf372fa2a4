//! A Kafka topic as an input: each partition from its beginning to where it ended when the comparison
//! began. No consumer group, no commits.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use spillway_service::kafka::{Access, KafkaSettings};

use super::{Damage, Input, InputError, Item, Progress};
use crate::record::HEADER_ID;

/// Longest wait for the answer to a question, and for credentials.
const ASK_TIMEOUT: Duration = Duration::from_secs(15);
/// Brokers that give nothing for this long will not give the rest either.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);
/// How long the client's own events are served before the first question: the token is one of them.
const SERVE: Duration = Duration::from_millis(50);

/// See the module.
pub struct TopicInput {
    client: BaseConsumer<Context>,
    topic: String,
    spans: Spans,
}

/// First offset and the one after the last, of each partition that has records.
type Spans = BTreeMap<i32, (i64, i64)>;

impl TopicInput {
    /// Asks where the topic begins and ends.
    ///
    /// # Errors
    /// When the brokers cannot be reached, refuse us, or have no such topic.
    pub fn open(settings: &KafkaSettings, topic: &str) -> Result<Self, InputError> {
        let error = |source| InputError::Topic { topic: topic.to_owned(), source };
        let access = settings.access();
        let mut config = access.renewed(&settings.client_config());
        config
            .set("client.id", "spillwayd-compare")
            // Only because librdkafka asks for one; no group is joined.
            .set("group.id", "spillwayd-compare")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest");
        let client: BaseConsumer<Context> = config.create_with_context(Context { access }).map_err(error)?;
        drop(client.poll(SERVE));
        let spans = spans(&client, topic).map_err(error)?;
        let spans = spans.ok_or_else(|| InputError::NoTopic(topic.to_owned()))?;
        Ok(Self { client, topic: topic.to_owned(), spans })
    }

    fn assign(&self) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        for (partition, (begin, _)) in &self.spans {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*begin))?;
        }
        self.client.assign(&list)
    }

    fn records(&self) -> u64 {
        self.spans.values().map(|(begin, end)| end.abs_diff(*begin)).sum()
    }

    /// Whether the partition ends there or later, as its leader says now: a new leader may know less of the
    /// end than the old one did, for a moment. When it does not answer, the silence that follows tells.
    fn reaches(&self, partition: i32, end: i64) -> bool {
        let ends = self.client.fetch_watermarks(&self.topic, partition, ASK_TIMEOUT);
        ends.is_ok_and(|(_, now)| now >= end)
    }

    fn error(&self, source: KafkaError) -> InputError {
        InputError::Topic { topic: self.topic.clone(), source }
    }
}

/// Where each partition that has records begins and ends; `None` when there is no such topic.
fn spans(client: &BaseConsumer<Context>, topic: &str) -> Result<Option<Spans>, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), ASK_TIMEOUT)?;
    let found = metadata.topics().iter().find(|t| t.name() == topic && !t.partitions().is_empty());
    let Some(found) = found else { return Ok(None) };
    let mut spans = Spans::new();
    for partition in found.partitions() {
        let (begin, end) = client.fetch_watermarks(topic, partition.id(), ASK_TIMEOUT)?;
        if begin < end {
            spans.insert(partition.id(), (begin, end));
        }
    }
    Ok(Some(spans))
}

impl Input for TopicInput {
    fn name(&self) -> String {
        format!("kafka://{}", self.topic)
    }

    fn has_ids(&self) -> bool {
        true
    }

    fn read(&mut self, visit: &mut dyn FnMut(Item<'_>, Progress)) -> Result<Damage, InputError> {
        self.assign().map_err(|source| self.error(source))?;
        let mut left = self.spans.clone();
        let (mut done, total) = (0, self.records());
        let (mut heard, mut said) = (Instant::now(), "none".to_owned());
        while !left.is_empty() {
            match self.client.poll(POLL) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let Some((_, end)) = left.get(&message.partition()).copied() else { continue };
                    if message.offset() < end {
                        done += 1;
                        visit(item(&message), Progress { done, total, is_bytes: false });
                    }
                    if message.offset() + 1 >= end {
                        left.remove(&message.partition());
                    }
                }
                // The last offsets of a partition need not be records.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    left.retain(|other, (_, end)| *other != partition || !self.reaches(partition, *end));
                }
                Some(Err(error)) if is_fatal(&error) => return Err(self.error(error)),
                Some(Err(error)) => said = error.to_string(),
                None => {}
            }
            if heard.elapsed() > SILENCE_MAX {
                let (topic, seconds) = (self.topic.clone(), SILENCE_MAX.as_secs());
                return Err(InputError::Stalled { topic, seconds, left: left.len(), said });
            }
        }
        self.client.unassign().map_err(|source| self.error(source))?;
        Ok(Damage::default())
    }
}

/// Errors that no waiting mends.
fn is_fatal(error: &KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::Fatal
                | Code::Authentication
                | Code::TopicAuthorizationFailed
                | Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
        )
    )
}

fn item<'m>(message: &'m BorrowedMessage<'_>) -> Item<'m> {
    let header = message.headers().and_then(|headers| headers.iter().find(|h| h.key == HEADER_ID));
    Item {
        value: message.payload().unwrap_or_default(),
        id: header.and_then(|header| std::str::from_utf8(header.value?).ok()),
        time_ms: message.timestamp().to_millis(),
    }
}

/// Tells the operator why brokers refuse us.
struct Context {
    access: Access,
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        Ok(self.access.token(ASK_TIMEOUT)?)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        crate::kafka::log_of_client(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the client reports an error");
        self.access.heard(&error, reason);
    }
}

impl ConsumerContext for Context {}
