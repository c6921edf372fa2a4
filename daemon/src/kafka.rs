//! The connection to Kafka: one producer session at a time.
//!
//! A session lives from the probe that was answered to the next outage. Then produce recalls it: what
//! librdkafka still holds is purged, all reports are awaited, and the records come back in the order
//! they were sent. The next session is a new producer, with a new idempotent identity: the same path
//! serves an outage, a changed address, a fatal producer error, and a batch that was too large.
//!
//! Owner: produce opens and recalls sessions; replay only sends through the current one.

mod batch_limit;
mod callbacks;
mod probe;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::Sender;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, PurgeConfig, ThreadedProducer};
use spillway_service::kafka::Access;

use crate::circuit::Input;
use crate::config::KafkaConfig;
use crate::gates::Gates;
use crate::inflight::{Goal, InFlight, Opaque, Window};
use crate::ledger::Ledger;
use crate::record::{HEADER_ID, HEADER_SOURCE, Outgoing, Record};
use crate::topics::{Place, Placed, TopicIndex, Topics};

use batch_limit::{BatchLimit, batch_bytes};
use callbacks::Callbacks;
pub(crate) use callbacks::{Failure, log as log_of_client};
pub(crate) use probe::Prober;

/// librdkafka options that promises depend on; a configuration may not set them.
pub const RESERVED_OPTIONS: &[&str] = &[
    "acks",
    "request.required.acks",
    "enable.idempotence",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "delivery.report.only.error",
    "queue.buffering.max.messages",
    "queue.buffering.max.kbytes",
    "compression.type",
    "compression.codec",
    "linger.ms",
    "statistics.interval.ms",
    "queue.buffering.max.ms",
    "message.max.bytes",
    "partitioner",
    "transactional.id",
];

/// What the breaker hears from the clients.
#[derive(Debug)]
pub enum Signal {
    /// Straight into the machine.
    Input(Input),
    /// A probe came to this.
    Probe(Result<Vec<Seen>, String>),
    /// A topic refuses records, or is not there any more.
    TopicFailed {
        /// Which.
        topic: TopicIndex,
        /// What Kafka said.
        what: String,
    },
}

/// What a probe saw of a topic.
#[derive(Debug)]
pub struct Seen {
    /// Which topic.
    pub topic: TopicIndex,
    /// For each partition whether it has a leader, or why the topic cannot be seen.
    pub leaders: Result<Vec<bool>, String>,
}

/// A record that Kafka refused for itself, on its way to the dead letters.
#[derive(Debug)]
pub enum Refusal {
    /// Straight from the queue.
    Direct {
        /// The record.
        record: Record,
        /// What Kafka said.
        reason: String,
    },
    /// From the spool; it stays in flight until it is a dead letter on disk.
    Replayed {
        /// Where it is in flight.
        flight: Arc<InFlight>,
        /// Which one it is there.
        opaque: Opaque,
        /// The record as the spool held it.
        envelope: Bytes,
        /// What Kafka said.
        reason: String,
    },
}

/// The connection, shared by produce, replay and the breaker.
pub struct Kafka {
    producer_config: ClientConfig,
    access: Access,
    window: Window,
    topics: Arc<Topics>,
    ledger: Arc<Ledger>,
    acks: Arc<AtomicU64>,
    gates: Gates,
    batch_bytes: Arc<AtomicUsize>,
    signals: Sender<Signal>,
    refusals: Sender<Refusal>,
    sessions: AtomicU64,
    session: Mutex<Option<Arc<Session>>>,
}

/// One producer, from its creation to its recall.
pub struct Session {
    /// Number of the session in this process, from 1.
    pub number: u64,
    /// What it has in flight.
    pub flight: Arc<InFlight>,
    producer: ThreadedProducer<Callbacks>,
    /// Set before the purge. A record handed to the producer after the purge would overtake those that
    /// the purge gave back.
    recalled: RwLock<bool>,
}

/// The right to send through a session: while it is held the session is not recalled. Keep it for a
/// batch of records at most.
pub struct Permit<'s> {
    session: &'s Session,
    _not_recalled: RwLockReadGuard<'s, bool>,
}

impl Session {
    /// The right to send; `None` once the session was recalled.
    #[must_use]
    pub fn permit(&self) -> Option<Permit<'_>> {
        let guard = self.recalled.read().unwrap_or_else(PoisonError::into_inner);
        (!*guard).then_some(Permit { session: self, _not_recalled: guard })
    }
}

/// Why a record was not taken by the producer.
#[derive(Debug, PartialEq, Eq)]
pub enum SendError {
    /// librdkafka's queue is full: try again.
    Full,
    /// The record itself is refused.
    Refused(String),
    /// Something that concerns more than this record.
    Failed(Trouble),
}

/// Why records cannot be delivered that are not to blame themselves, with what Kafka said.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The topic is not there, or refuses all records.
    Topic(String),
    /// Kafka is away, or refuses all records.
    Outage(String),
    /// The producer is broken for good.
    Fatal(String),
}

impl Trouble {
    /// What the breaker is told, when it was met on the way to `place`.
    fn signal(self, place: Option<Place>) -> Signal {
        match (self, place) {
            (Self::Topic(what), Some(place)) => Signal::TopicFailed { topic: place.topic, what },
            (Self::Topic(what) | Self::Outage(what), _) => Signal::Input(Input::DeliveryFailed(what)),
            (Self::Fatal(what), _) => Signal::Input(Input::Fatal(what)),
        }
    }
}

impl Kafka {
    /// A connection without a session yet.
    #[must_use]
    pub fn new(
        config: &KafkaConfig,
        topics: Topics,
        ledger: Arc<Ledger>,
        signals: Sender<Signal>,
        refusals: Sender<Refusal>,
    ) -> Self {
        let topics = Arc::new(topics);
        Self {
            producer_config: producer_config(config),
            access: config.settings.access(),
            window: config.window,
            gates: Gates::new(Arc::clone(&topics)),
            topics,
            ledger,
            acks: Arc::default(),
            batch_bytes: Arc::new(AtomicUsize::new(batch_bytes(config))),
            signals,
            refusals,
            sessions: AtomicU64::new(0),
            session: Mutex::default(),
        }
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<Session>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current session.
    #[must_use]
    pub fn session(&self) -> Option<Arc<Session>> {
        self.slot().clone()
    }

    /// Tells the breaker that a record could not be handed to the producer.
    pub fn tell(&self, trouble: Trouble, place: Option<Place>) {
        // When its channel is full the breaker has more than enough to go by.
        let _ = self.signals.try_send(trouble.signal(place));
    }

    /// Sends a record of the spool that the producer refused at once to the dead letters.
    pub fn refuse_replayed(&self, session: &Session, opaque: Opaque, envelope: Bytes, reason: String) {
        drop(session.flight.refuse(opaque));
        self.refuse(Refusal::Replayed { flight: Arc::clone(&session.flight), opaque, envelope, reason });
    }

    /// Sends a record that the producer refused at once to the dead letters.
    pub fn refuse(&self, refusal: Refusal) {
        callbacks::hand_over(&self.refusals, &self.ledger, refusal);
    }

    /// Room in flight, for both lanes together.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window
    }

    /// Records acknowledged by all sessions, from the queue and from the spool.
    #[must_use]
    pub fn acks(&self) -> u64 {
        self.acks.load(Ordering::Relaxed)
    }

    /// Starts a session if there is none.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration or cannot start its threads.
    pub fn open(&self) -> Result<Arc<Session>, KafkaError> {
        let mut slot = self.slot();
        if let Some(session) = &*slot {
            return Ok(Arc::clone(session));
        }
        let flight = Arc::new(InFlight::default());
        let callbacks = Callbacks {
            flight: Arc::clone(&flight),
            ledger: Arc::clone(&self.ledger),
            acks: Arc::clone(&self.acks),
            signals: self.signals.clone(),
            refusals: self.refusals.clone(),
            batch_limit: BatchLimit::new(&self.batch_bytes),
            access: self.access.clone(),
            failure_told: AtomicBool::new(false),
        };
        let mut config = self.access.renewed(&self.producer_config);
        callbacks.batch_limit.apply(&mut config);
        let producer = config.create_with_context(callbacks)?;
        let number = self.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        let session = Arc::new(Session { number, flight, producer, recalled: RwLock::new(false) });
        *slot = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Ends the current session: purges the producer, waits at most `wait` for the reports, and gives
    /// back the records of the queue that were not acknowledged, in the order they were sent.
    #[must_use]
    pub fn recall(&self, wait: Duration) -> Vec<Record> {
        let Some(session) = self.slot().take() else { return Vec::new() };
        *session.recalled.write().unwrap_or_else(PoisonError::into_inner) = true;
        session.producer.purge(PurgeConfig::default().queue().inflight());
        session.flight.wait_for(Goal::AllDone, wait);
        let records = session.flight.recall();
        reap(session);
        records
    }

    /// The credentials, which all clients of this daemon share.
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// The gates of all partitions.
    #[must_use]
    pub fn gates(&self) -> &Gates {
        &self.gates
    }

    /// The topics.
    #[must_use]
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The places that are held back, as an operator reads them.
    #[must_use]
    pub fn held(&self) -> Vec<String> {
        self.gates.held().into_iter().map(|place| self.topics.describe(place)).collect()
    }

    /// Where a record of the spool goes. Its topic may be one of an earlier configuration. `None` lets
    /// librdkafka choose: when there were more topics than can be numbered.
    #[must_use]
    pub fn place(&self, out: &Outgoing<'_>) -> Option<Placed> {
        Some(self.topics.place(self.topics.index(out.topic)?, out.key, out.id))
    }

    /// Sends a record to its place.
    ///
    /// # Errors
    /// See [`SendError`]; the record has then not been taken.
    pub fn send(
        &self,
        permit: &Permit<'_>,
        out: &Outgoing<'_>,
        place: Option<Place>,
        opaque: Opaque,
    ) -> Result<(), SendError> {
        let headers = OwnedHeaders::new_with_capacity(2)
            .insert(Header { key: HEADER_ID, value: Some(out.id) })
            .insert(Header { key: HEADER_SOURCE, value: Some(out.source) });
        let mut record: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(out.topic, opaque.0)
            .payload(out.value)
            .timestamp(out.timestamp_ms)
            .headers(headers);
        record.key = out.key;
        record.partition = place.map(|place| place.partition);
        permit.session.producer.send(record).map_err(|(error, _)| SendError::from(&error))
    }
}

impl From<&KafkaError> for SendError {
    fn from(error: &KafkaError) -> Self {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) {
            return Self::Full;
        }
        match Failure::from(error) {
            Failure::Record(reason) | Failure::TooLarge(reason) => Self::Refused(reason),
            Failure::Recalled => Self::Failed(Trouble::Outage(error.to_string())),
            Failure::Trouble(trouble) => Self::Failed(trouble),
        }
    }
}

/// Drops a session, or another producer, where it may block: librdkafka joins its threads, one of which
/// may be resolving a name. Replay may hold on to the session for the length of a batch.
pub(crate) fn reap(producer: impl Send + 'static) {
    let spawned = std::thread::Builder::new().name("reaper".to_owned()).spawn(move || drop(producer));
    if let Err(error) = spawned {
        // The closure, and the session with it, was dropped here instead: slower, not wrong.
        tracing::warn!(event = "producer_not_closed", %error, "no thread to close a producer on");
    }
}

/// librdkafka's configuration for a producer: the promises, then the settings.
#[must_use]
pub fn producer_config(config: &KafkaConfig) -> ClientConfig {
    let mut producer = config.settings.client_config();
    // Twice the window: the limits that count are our own, librdkafka's must never be met first.
    let messages = config.window.records.saturating_mul(2).min(10_000_000);
    let kbytes = (config.window.bytes / 1024)
        .saturating_mul(2)
        .saturating_add(config.max_record_bytes / 512)
        .clamp(1024, 2_097_151);
    producer
        .set("client.id", "spillwayd")
        .set("acks", "all")
        .set("enable.idempotence", "true")
        // Never: only the breaker decides that Kafka is away, and nothing is dropped for its age.
        .set("message.timeout.ms", "0")
        .set("partitioner", "murmur2_random")
        .set("compression.type", &config.compression)
        // Tells whether the brokers throttle us.
        .set("statistics.interval.ms", "1000")
        .set("linger.ms", config.linger.as_millis().to_string())
        .set("message.max.bytes", config.max_record_bytes.max(1000).to_string())
        .set("queue.buffering.max.messages", messages.to_string())
        .set("queue.buffering.max.kbytes", kbytes.to_string());
    set_reconnect_defaults(&mut producer, config);
    producer
}

/// Short reconnect waits, unless the configuration says otherwise: the first record should flow within
/// a second of the brokers' return.
fn set_reconnect_defaults(client: &mut ClientConfig, config: &KafkaConfig) {
    let given = |key: &str| config.settings.options.iter().any(|(k, _)| k == key);
    let defaults = [
        ("reconnect.backoff.ms", "50"),
        ("reconnect.backoff.max.ms", "500"),
        ("socket.connection.setup.timeout.ms", "5000"),
        ("socket.keepalive.enable", "true"),
    ];
    for (key, value) in defaults.into_iter().filter(|(key, _)| !given(key)) {
        client.set(key, value);
    }
}
