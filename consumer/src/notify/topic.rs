//! A notification as a record of a topic in the same Kafka: the table's name is the key, JSON the value.

use std::time::Duration;

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use spillway_service::kafka::Access;
use tokio::sync::oneshot;

use super::courier::Target;
use crate::config::Config;

/// How long a record may be on its way before it counts as not delivered.
const TIMEOUT: Duration = Duration::from_secs(30);
const TOKEN_PATIENCE: Duration = Duration::from_secs(2);

/// Why a topic cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the Kafka producer cannot be made")]
pub struct TopicError(#[from] KafkaError);

/// Why a notification was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnnounceError {
    #[error("Kafka did not take the record")]
    Kafka(#[from] KafkaError),
    #[error("the producer ended before Kafka answered")]
    Ended,
}

/// Answers to whoever waits for a record.
struct Reports {
    access: Access,
}

impl ClientContext for Reports {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        Ok(self.access.token(TOKEN_PATIENCE)?)
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
        self.access.heard(&error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<oneshot::Sender<KafkaResult<()>>>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Self::DeliveryOpaque) {
        let result = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        if waiting.send(result).is_err() {
            tracing::debug!("nobody waits for the report any more");
        }
    }
}

/// See the module.
pub(super) struct Announcer {
    producer: ThreadedProducer<Reports>,
    topic: String,
}

impl Announcer {
    pub(super) fn new(config: &Config, topic: &str) -> Result<Self, TopicError> {
        let mut client = config.kafka.client_config();
        // A consumer's own options would only be warned of.
        for (key, _) in &config.kafka.options {
            if CONSUMER_ONLY.contains(&key.as_str()) {
                client.remove(key);
            }
        }
        client
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", TIMEOUT.as_millis().to_string());
        let producer = client.create_with_context(Reports { access: config.kafka.access() })?;
        Ok(Self { producer, topic: topic.to_owned() })
    }
}

/// Options that librdkafka knows of consumers only.
const CONSUMER_ONLY: [&str; 8] = [
    "fetch.max.bytes",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "group.instance.id",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
    "queued.max.messages.kbytes",
    "session.timeout.ms",
];

impl std::fmt::Debug for Announcer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Announcer").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Target for Announcer {
    type Error = AnnounceError;

    async fn deliver(&self, key: &str, json: Vec<u8>) -> Result<(), AnnounceError> {
        let (waiting, answer) = oneshot::channel();
        let record = BaseRecord::with_opaque_to(&self.topic, Box::new(waiting)).key(key).payload(&json);
        self.producer.send(record).map_err(|(error, _)| error)?;
        Ok(answer.await.map_err(|_| AnnounceError::Ended)??)
    }
}
