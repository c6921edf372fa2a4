//! Reads a topic from its beginning, independently of the code under test: no consumer group, no
//! commits, every partition assigned. It keeps what identifies each record, not the payload.
//!
//! It guarantees that what it has not seen it knows about: a record that the cluster forgot before it
//! was read is a [`Gap`]. (Offsets of a topic without transactions have no holes of their own.)

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::Error;

/// How long the reader waits for a message before it looks whether it should end.
const POLL: Duration = Duration::from_millis(50);

/// One record as it stands in the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its offset.
    pub offset: i64,
    /// The header `spillway-id`.
    pub id: Option<Box<str>>,
    /// [`crate::hash`] of the payload.
    pub hash: u64,
    /// Length of the payload in bytes.
    pub len: usize,
    /// Kafka's timestamp in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
}

/// Records that the cluster forgot before they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The partition.
    pub partition: i32,
    /// The first offset that is missing.
    pub from: i64,
    /// The first offset that is there again.
    pub to: i64,
}

/// All that has been read at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Per partition, in the order of offsets.
    pub partitions: BTreeMap<i32, Vec<Entry>>,
    /// What was missed.
    pub gaps: Vec<Gap>,
}

impl Snapshot {
    /// How many records were read.
    #[must_use]
    pub fn records(&self) -> usize {
        self.partitions.values().map(Vec::len).sum()
    }

    /// Each `spillway-id` and how often it is in the topic. Records without the header are left out.
    #[must_use]
    pub fn ids(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for id in self.partitions.values().flatten().filter_map(|entry| entry.id.as_deref()) {
            *counts.entry(id).or_default() += 1;
        }
        counts
    }

    /// The ids of one partition in the order of offsets; a record without the header is "".
    #[must_use]
    pub fn order(&self, partition: i32) -> Vec<&str> {
        let entries = self.partitions.get(&partition).into_iter().flatten();
        entries.map(|entry| entry.id.as_deref().unwrap_or_default()).collect()
    }

    /// How many records the cluster forgot before they were read.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.to.abs_diff(gap.from)).sum()
    }
}

/// Gets every payload that is read: partition, offset, payload.
pub type Sink = Box<dyn FnMut(i32, i64, &[u8]) + Send>;

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Snapshot>,
    grown: Condvar,
    records: AtomicU64,
    stop: AtomicBool,
}

/// What is read.
#[derive(Debug, Clone)]
struct Source {
    bootstrap: String,
    topic: String,
    partitions: i32,
}

impl Source {
    fn error(&self, source: KafkaError) -> Error {
        Error::Reader { topic: self.topic.clone(), source }
    }

    /// Where each partition ends now.
    fn ends(&self, timeout: Duration) -> Result<Vec<(i32, i64)>, Error> {
        let client: BaseConsumer = self.config().create().map_err(|source| self.error(source))?;
        let end = |partition| {
            client.fetch_watermarks(&self.topic, partition, timeout).map(|(_, high)| (partition, high))
        };
        (0..self.partitions).map(end).collect::<Result<_, _>>().map_err(|source| self.error(source))
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", "spillway-testkit-reader")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // What was forgotten is noticed by its offsets.
            .set("auto.offset.reset", "earliest")
            // The mock answers an empty fetch only after this time, whatever arrives.
            .set("fetch.wait.max.ms", "10")
            // After an outage the backlog comes at once: be back before it is forgotten.
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "100")
            .set("fetch.error.backoff.ms", "20")
            // As much as memory allows: the reader must never hold the fetching up.
            .set("queued.min.messages", "1000000");
        config
    }

    fn connect(&self) -> Result<BaseConsumer, KafkaError> {
        let consumer: BaseConsumer = self.config().create()?;
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions {
            list.add_partition_offset(&self.topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        Ok(consumer)
    }
}

/// Reads a topic on a thread of its own until it is dropped.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Reads the partitions `0..partitions` of `topic` from the beginning.
    ///
    /// # Errors
    /// When the client or the thread cannot be made. An unreachable cluster is no error: it is
    /// waited for.
    pub fn start(bootstrap: &str, topic: &str, partitions: i32) -> Result<Self, Error> {
        Self::with_sink(bootstrap, topic, partitions, Box::new(|_, _, _| {}))
    }

    /// As [`Reader::start`], and gives every payload to `sink`.
    ///
    /// # Errors
    /// As [`Reader::start`].
    pub fn with_sink(bootstrap: &str, topic: &str, partitions: i32, sink: Sink) -> Result<Self, Error> {
        let name = "topic-reader";
        let source = Source { bootstrap: bootstrap.to_owned(), topic: topic.to_owned(), partitions };
        let consumer = source.connect().map_err(|error| source.error(error))?;
        let shared = Arc::new(Shared::default());
        shared.lock().partitions = (0..partitions).map(|p| (p, Vec::new())).collect();
        let mine = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name(name.into()).spawn(move || read(&consumer, &mine, sink));
        let thread = thread.map_err(|source| Error::Thread { name, source })?;
        Ok(Self { source, shared, thread: Some(thread) })
    }

    /// How many records have been read; cheap.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.shared.records.load(Ordering::Acquire)
    }

    /// A copy of all that has been read.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.lock().clone()
    }

    /// Waits until at least `records` have been read. False when `timeout` passed before.
    #[must_use]
    pub fn wait_for(&self, records: u64, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut seen = self.shared.lock();
        while self.records() < records {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            (seen, _) = self.shared.grown.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// Waits until everything is read that is in the topic at the time of the call. False when
    /// `timeout` passed before.
    ///
    /// # Errors
    /// When the brokers do not say where the partitions end.
    pub fn read_to_end(&self, timeout: Duration) -> Result<bool, Error> {
        let deadline = Instant::now() + timeout;
        let ends = self.source.ends(timeout)?;
        let mut seen = self.shared.lock();
        while !ends.iter().all(|(partition, end)| next_offset(&seen, *partition) >= *end) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            (seen, _) = self.shared.grown.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(true)
    }

    /// Ends the reading and returns all that was read.
    #[must_use]
    pub fn stop(mut self) -> Snapshot {
        self.end();
        std::mem::take(&mut *self.shared.lock())
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    /// The data is whole at every moment, even if a sink has panicked.
    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, message: &BorrowedMessage<'_>, payload: &[u8]) {
        let entry = Entry {
            offset: message.offset(),
            id: spillway_id(message),
            hash: crate::hash(payload),
            len: payload.len(),
            timestamp_ms: message.timestamp().to_millis(),
        };
        let mut seen = self.lock();
        let partition = message.partition();
        let expected = next_offset(&seen, partition);
        let gap = (entry.offset > expected).then_some(Gap { partition, from: expected, to: entry.offset });
        seen.partitions.entry(partition).or_default().push(entry);
        seen.gaps.extend(gap);
        self.records.fetch_add(1, Ordering::Release);
        drop(seen);
        self.grown.notify_all();
    }
}

/// The offset that is read next.
fn next_offset(seen: &Snapshot, partition: i32) -> i64 {
    seen.partitions.get(&partition).and_then(|entries| entries.last()).map_or(0, |last| last.offset + 1)
}

fn read(consumer: &BaseConsumer, shared: &Shared, mut sink: Sink) {
    while !shared.stop.load(Ordering::Acquire) {
        // An error is a broker that is down, which is what is being tested; librdkafka reconnects.
        if let Some(Ok(message)) = consumer.poll(POLL) {
            let payload = message.payload().unwrap_or_default();
            shared.note(&message, payload);
            sink(message.partition(), message.offset(), payload);
        }
    }
}

fn spillway_id(message: &BorrowedMessage<'_>) -> Option<Box<str>> {
    let header = message.headers()?.iter().find(|header| header.key == "spillway-id")?;
    Some(String::from_utf8_lossy(header.value?).into())
}
