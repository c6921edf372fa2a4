//! The dead-letter topic: a small producer of its own, so that nothing here touches the flow of records or
//! the breaker. A topic that does not exist, or that may not be written, is no outage.
//!
//! It never blocks. What it cannot take now, it gives back; what is not acknowledged within
//! [`ACK_TIMEOUT`] fails. After a failure that is not the letter's own it rests for [`REST`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use spillway_service::kafka::Access;

use super::Letter;
use crate::config::KafkaConfig;
use crate::kafka::{Failure, Trouble, log_of_client, producer_config, reap};
use crate::record::{self, HEADER_ID, HEADER_REASON, HEADER_REFUSED, HEADER_SOURCE, HEADER_TOPIC, Outgoing};

/// How long a letter may wait for its acknowledgement before it goes to the tree instead.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the topic is left alone after it failed: else every letter would wait for it.
const REST: Duration = Duration::from_secs(10);
/// Letters in flight at most; what comes beyond goes to the tree.
const LETTERS_MAX: usize = 10_000;
/// Bytes in flight at most; a single larger letter may pass when nothing else is in flight.
const BYTES_MAX: usize = 32 << 20;
/// The topic may take larger records than the other one; its brokers decide. Above all that a source gives.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// Number of a letter, never used twice.
type Ticket = usize;

/// What was heard of the letters in flight.
#[derive(Debug, Default)]
pub(super) struct Landed {
    /// Acknowledged.
    pub(super) kept: Vec<Letter>,
    /// Not to be had there; they go to the tree.
    pub(super) failed: Vec<Letter>,
}

/// The topic, and the letters on their way to it.
pub(super) struct DeadTopic {
    config: ClientConfig,
    access: Access,
    topic: String,
    producer: Option<ThreadedProducer<Reports>>,
    in_flight: BTreeMap<Ticket, Letter>,
    bytes: usize,
    next: Ticket,
    reports: Receiver<Report>,
    reports_in: Sender<Report>,
    resting_until: Option<Instant>,
}

impl DeadTopic {
    /// The topic of the configuration, if it names one. Nothing is connected before the first letter.
    pub(super) fn of(kafka: &KafkaConfig, access: &Access) -> Option<Self> {
        let topic = kafka.dead_letter_topic.clone()?;
        let (reports_in, reports) = unbounded();
        Some(Self {
            config: client_config(kafka),
            access: access.clone(),
            topic,
            producer: None,
            in_flight: BTreeMap::new(),
            bytes: 0,
            next: 0,
            reports,
            reports_in,
            resting_until: None,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Sends a letter, or gives it back.
    pub(super) fn offer(&mut self, letter: Letter, now: Instant) -> Option<Letter> {
        let len = letter.envelope.len();
        let has_room =
            self.is_empty() || (self.in_flight.len() < LETTERS_MAX && self.bytes + len <= BYTES_MAX);
        if !has_room || self.resting_until.is_some_and(|until| now < until) {
            return Some(letter);
        }
        // What is no envelope of a known version cannot be written as a record.
        let Ok(outgoing) = record::decode(&letter.envelope) else { return Some(letter) };
        let ticket = self.next;
        match self.send(&outgoing, &letter, ticket) {
            Ok(()) => {
                self.next += 1;
                self.bytes += len;
                self.in_flight.insert(ticket, letter);
                None
            }
            Err(error) => self.failed(letter, &Failure::from(&error), now),
        }
    }

    fn send(&mut self, outgoing: &Outgoing<'_>, letter: &Letter, ticket: Ticket) -> Result<(), KafkaError> {
        let producer = match &self.producer {
            Some(producer) => producer,
            None => {
                let reports = Reports { reports: self.reports_in.clone(), access: self.access.clone() };
                self.producer.insert(self.access.renewed(&self.config).create_with_context(reports)?)
            }
        };
        let refused_ms = letter.refused_ms.to_string();
        let headers = OwnedHeaders::new_with_capacity(5)
            .insert(Header { key: HEADER_ID, value: Some(outgoing.id) })
            .insert(Header { key: HEADER_SOURCE, value: Some(outgoing.source) })
            .insert(Header { key: HEADER_REASON, value: Some(&letter.reason) })
            .insert(Header { key: HEADER_REFUSED, value: Some(&refused_ms) })
            .insert(Header { key: HEADER_TOPIC, value: Some(outgoing.topic) });
        let mut record: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(&self.topic, ticket)
            .payload(outgoing.value)
            .timestamp(outgoing.timestamp_ms)
            .headers(headers);
        if let Some(key) = outgoing.key {
            record = record.key(key);
        }
        producer.send(record).map_err(|(error, _)| error)
    }

    /// What was heard since the last call.
    pub(super) fn landed(&mut self, now: Instant) -> Landed {
        let mut landed = Landed::default();
        let reports: Vec<Report> = self.reports.try_iter().collect();
        for Report { ticket, failure } in reports {
            // A report of a producer that was recalled finds nothing.
            let Some(letter) = self.in_flight.remove(&ticket) else { continue };
            self.bytes -= letter.envelope.len();
            match failure {
                None => {
                    self.resting_until = None;
                    landed.kept.push(letter);
                }
                Some(failure) => landed.failed.extend(self.failed(letter, &failure, now)),
            }
        }
        landed
    }

    /// Notes why a letter failed, and gives it back with that in its reason if it is the letter's own fault.
    fn failed(&mut self, mut letter: Letter, failure: &Failure, now: Instant) -> Option<Letter> {
        let what = match failure {
            Failure::Record(what) | Failure::TooLarge(what) => {
                letter.reason = format!("{}; the dead-letter topic refuses it too: {what}", letter.reason);
                return Some(letter);
            }
            Failure::Recalled => return Some(letter),
            Failure::Trouble(Trouble::Topic(what) | Trouble::Outage(what)) => what,
            Failure::Trouble(Trouble::Fatal(what)) => {
                self.close();
                what
            }
        };
        if self.resting_until.is_none_or(|until| now >= until) {
            tracing::warn!(
                event = "dead_letter_topic_failed",
                topic = self.topic,
                error = what,
                "the dead-letter topic does not take records; they go to the spool's dead letters for a while"
            );
        }
        self.resting_until = Some(now + REST);
        Some(letter)
    }

    /// Takes everything back. One that the topic has already, without its acknowledgement, is then in both.
    pub(super) fn recall(&mut self) -> Vec<Letter> {
        self.close();
        self.bytes = 0;
        std::mem::take(&mut self.in_flight).into_values().collect()
    }

    fn close(&mut self) {
        if let Some(producer) = self.producer.take() {
            reap(producer);
        }
    }
}

impl Drop for DeadTopic {
    fn drop(&mut self) {
        self.close();
    }
}

fn client_config(kafka: &KafkaConfig) -> ClientConfig {
    let mut client = producer_config(kafka);
    client
        .set("client.id", "spillwayd-dead")
        .set("message.timeout.ms", ACK_TIMEOUT.as_millis().to_string())
        .set("message.max.bytes", RECORD_BYTES_MAX.to_string())
        // A batch that is refused is refused as a whole: each letter stands for itself.
        .set("batch.num.messages", "1")
        // What is unknown to a leader must travel alone (ADR 5).
        .set("max.in.flight.requests.per.connection", "1")
        .set("queue.buffering.max.messages", (2 * LETTERS_MAX).to_string())
        .set("queue.buffering.max.kbytes", ((2 * BYTES_MAX + RECORD_BYTES_MAX) / 1024).to_string());
    client
}

/// What became of a letter.
struct Report {
    ticket: Ticket,
    failure: Option<Failure>,
}

/// Passes the delivery reports on to spill.
struct Reports {
    reports: Sender<Report>,
    access: Access,
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: usize) {
        let failure = result.as_ref().err().map(|(error, _)| Failure::from(error));
        // Nobody listens any more once spill has ended, and then nothing is in flight.
        let _ = self.reports.send(Report { ticket, failure });
    }
}

impl ClientContext for Reports {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    /// Waits for nothing: the prober has had the credentials fetched.
    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        Ok(self.access.token(Duration::ZERO)?)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_of_client(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the client of the dead-letter topic reports an error");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::inflight::{InFlight, Opaque};
    use spillway_service::kafka::KafkaSettings;

    fn topic() -> DeadTopic {
        let text = "[source]\ntype = 'http_ndjson'\nurl = 'http://h/'\n[kafka]\nbrokers = 'b:1'\ntopic = 't'\n[spool]\ndir = '/x'\n";
        let config =
            crate::Config::parse("t", text, &spillway_service::settings::Environment::default()).unwrap();
        // Nobody listens at port 9 of this host.
        let settings = KafkaSettings::plain("127.0.0.1:9");
        let kafka = KafkaConfig { settings, dead_letter_topic: Some("dead".to_owned()), ..config.kafka };
        DeadTopic::of(&kafka, &kafka.settings.access()).unwrap()
    }

    fn letter(len: usize) -> Letter {
        let outgoing = Outgoing { topic: "t", source: "s", id: "i", key: None, value: &[], timestamp_ms: 1 };
        let mut envelope = Vec::new();
        outgoing.write_header(&mut envelope);
        envelope.resize(envelope.len() + len, b'x');
        let owner =
            super::super::Owner::Replayed { flight: Arc::new(InFlight::default()), opaque: Opaque(0) };
        Letter { owner, envelope: envelope.into(), reason: "why".to_owned(), refused_ms: 5 }
    }

    #[test]
    fn what_finds_no_room_is_given_back_and_a_recall_gives_back_all() {
        let (mut topic, now) = (topic(), Instant::now());
        assert!(topic.offer(letter(BYTES_MAX), now).is_none(), "a single large letter must pass");
        assert!(topic.offer(letter(1), now).is_some());
        assert_eq!(topic.recall().len(), 1);
        assert!(topic.is_empty());
        for _ in 0..10 {
            assert!(topic.offer(letter(10), now).is_none());
        }
        assert_eq!(topic.recall().len(), 10);
        assert_eq!(topic.bytes, 0);
    }

    #[test]
    fn a_failure_that_is_not_the_letters_own_makes_the_topic_rest() {
        let (mut topic, now) = (topic(), Instant::now());
        for ticket in 0..3 {
            assert!(topic.offer(letter(1), now).is_none());
            let failure = match ticket {
                0 => None,
                1 => Some(Failure::Record("too large".to_owned())),
                _ => Some(Failure::Trouble(Trouble::Topic("unknown topic".to_owned()))),
            };
            topic.reports_in.send(Report { ticket, failure }).unwrap();
        }
        topic.reports_in.send(Report { ticket: 0, failure: None }).unwrap();
        let landed = topic.landed(now);
        assert_eq!((landed.kept.len(), topic.bytes), (1, 0), "a report counts once");
        let reasons: Vec<_> = landed.failed.iter().map(|letter| letter.reason.as_str()).collect();
        assert_eq!(reasons, ["why; the dead-letter topic refuses it too: too large", "why"]);
        assert!(topic.offer(letter(1), now).is_some());
        assert!(topic.offer(letter(1), now + REST).is_none());
    }

    #[test]
    fn what_is_no_envelope_is_given_back() {
        let mut topic = topic();
        let garbage = Letter { envelope: bytes::Bytes::from_static(b"\xffgarbage"), ..letter(1) };
        assert!(topic.offer(garbage, Instant::now()).is_some());
    }
}
