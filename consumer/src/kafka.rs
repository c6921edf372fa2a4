//! The Kafka side of the consumer: how the client is configured, what it reports besides records, and
//! how partitions are taken on and offsets committed. It decides nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use spillway_service::kafka::Access;

use crate::config::Config;
use crate::hint::Hint;

mod commits;
mod ends;
mod worker;

pub(crate) use commits::{CommitError, Commits, start as start_commits};
pub(crate) use ends::EndsProbe;
pub(crate) use worker::Worker;

/// The consumer client.
pub(crate) type Client = BaseConsumer<Context>;

/// What the group's coordinator has told the client.
#[derive(Debug)]
pub(crate) enum GroupEvent {
    /// Partitions are given to this member; it has to take them on.
    Assigned(Vec<i32>),
    /// Partitions were taken away.
    Revoked {
        /// Which.
        partitions: Vec<i32>,
        /// The member was expelled, rather than asked to hand them over.
        lost: bool,
    },
}

/// Collects what the client reports while it is polled.
#[derive(Debug)]
pub(crate) struct Context {
    access: Access,
    events: Mutex<VecDeque<GroupEvent>>,
    is_closing: AtomicBool,
}

impl Context {
    fn new(access: Access) -> Self {
        Self { access, events: Mutex::default(), is_closing: AtomicBool::new(false) }
    }

    /// What has been reported since the last call, oldest first.
    pub(crate) fn take(&self) -> VecDeque<GroupEvent> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, event: GroupEvent) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
    }
}

/// Longest wait for credentials, far below what the group allows between two polls.
const TOKEN_PATIENCE: Duration = Duration::from_secs(2);

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        Ok(self.access.token(TOKEN_PATIENCE)?)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            // What librdkafka calls an error it goes on trying to mend: nothing is lost by it.
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => {
                tracing::warn!(target: "librdkafka", event = "kafka_client", facility, "{message}");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "librdkafka", facility, "{message}")
            }
            RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }

    /// Polling gives the same error to the run, which knows what it means; only the reason is more here.
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
        self.access.heard(&error, reason);
    }
}

impl ConsumerContext for Context {
    /// Gives partitions up at once, but leaves taking them on to the run: it has to look up first where
    /// to read from, and that may fail.
    fn rebalance(&self, client: &Client, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = list.elements().iter().map(|element| element.partition()).collect();
        if err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            if self.is_closing.load(Ordering::Relaxed) {
                // A client that is being closed waits for an answer and takes any as "none".
                if let Err(error) = client.incremental_assign(list) {
                    tracing::debug!(%error, "an assignment could not be declined");
                }
            } else {
                self.push(GroupEvent::Assigned(partitions));
            }
            return;
        }
        let lost = client.assignment_lost();
        let released = match client.rebalance_protocol() {
            RebalanceProtocol::Cooperative => client.incremental_unassign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => client.unassign(),
        };
        if let Err(error) = released {
            tracing::warn!(event = "partitions_not_released", %error, "partitions could not be released");
        }
        self.push(GroupEvent::Revoked { partitions, lost });
    }
}

/// Creates the client and joins the group.
pub(crate) fn connect(config: &Config) -> KafkaResult<Client> {
    let client = create(config, &config.group)?;
    client.subscribe(&[&config.topic])?;
    Ok(client)
}

/// Creates a client that reads what it is told to, and neither joins the group nor commits.
pub(crate) fn reader(config: &Config) -> KafkaResult<Client> {
    // librdkafka wants the name of a group; nobody ever sees this one.
    create(config, &format!("{}-reader", config.group))
}

fn create(config: &Config, group: &str) -> KafkaResult<Client> {
    let mut client = config.kafka.client_config();
    // rust-rdkafka asks the log crate which levels are wanted, and here that is not where they are set.
    let is_debug = tracing::enabled!(target: "librdkafka", tracing::Level::DEBUG);
    client.set_log_level(if is_debug { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info });
    client
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // Where to read is the log's affair; an offset that is not there is looked into.
        .set("auto.offset.reset", "error")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true");
    if let Some(id) = &config.instance_id {
        client.set("group.instance.id", id);
    }
    if client.get("client.id").is_none() {
        client.set("client.id", "spillway-consumer");
    }
    client.create_with_context(Context::new(config.kafka.access()))
}

/// How long a question to the brokers may take while the run waits for it.
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// How many partitions the topic has; 0 when it does not exist.
pub(crate) fn partition_count(client: &Client, topic: &str, timeout: Duration) -> KafkaResult<usize> {
    let metadata = client.fetch_metadata(Some(topic), timeout)?;
    Ok(metadata.topics().iter().find(|t| t.name() == topic).map_or(0, |t| t.partitions().len()))
}

/// What the group has committed for a partition.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Committed {
    pub(crate) offset: Option<i64>,
    pub(crate) hint: Option<Hint>,
}

/// Looks up what the group has committed for `partitions`.
pub(crate) fn committed(
    client: &Client,
    topic: &str,
    partitions: &[i32],
) -> KafkaResult<BTreeMap<i32, Committed>> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    let found = client.committed_offsets(list, ASK_TIMEOUT)?;
    let mut committed = BTreeMap::new();
    for element in found.elements_for_topic(topic) {
        element.error()?;
        let of = match element.offset() {
            Offset::Offset(offset) => {
                let hint = hint(element.partition(), offset, element.metadata());
                Committed { offset: Some(offset), hint }
            }
            _ => Committed::default(),
        };
        committed.insert(element.partition(), of);
    }
    Ok(committed)
}

/// An offset that another tool has set has no hint.
fn hint(partition: i32, offset: i64, metadata: &str) -> Option<Hint> {
    match Hint::from_metadata(metadata) {
        Ok(Some(hint)) => Some(hint),
        Ok(None) => {
            tracing::warn!(
                event = "offset_without_hint",
                partition,
                offset,
                "the committed offset says nothing of the log; another tool has set it"
            );
            None
        }
        Err(error) => {
            tracing::warn!(event = "offset_without_hint", partition, offset, %error, "the committed offset says nothing of the log; another program has set it");
            None
        }
    }
}

/// The id of the cluster, if the brokers say it in time.
pub(crate) fn cluster_id(client: &Client) -> Option<String> {
    client.client().fetch_cluster_id(ASK_TIMEOUT)
}

/// Takes partitions on, each from where it was left.
pub(crate) fn assign(client: &Client, topic: &str, offsets: &BTreeMap<i32, Option<i64>>) -> KafkaResult<()> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, *partition, offset.map_or(Offset::Beginning, Offset::Offset))?;
    }
    client.incremental_assign(&list)
}

/// Reads on from another offset of a partition that is assigned. Seeking would not do: it fails for a
/// partition whose offset the broker does not hold.
pub(crate) fn reassign(client: &Client, topic: &str, partition: i32, offset: Option<i64>) -> KafkaResult<()> {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    if let Err(error) = client.incremental_unassign(&list) {
        // It is not assigned any more when an earlier attempt came only halfway.
        tracing::debug!(partition, %error, "the partition was not released");
    }
    assign(client, topic, &BTreeMap::from([(partition, offset)]))
}

/// Stops or resumes the delivery of records of `partitions`.
pub(crate) fn set_paused(client: &Client, topic: &str, partitions: &[i32], paused: bool) -> KafkaResult<()> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    if paused { client.pause(&list) } else { client.resume(&list) }
}

/// How long leaving the group may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Leaves the group, so that the next member need not wait for this one's session to expire.
///
/// A commit for which there is no coordinator librdkafka keeps for as long as the session lasts, and does not close
/// before. A stop leaves that to a thread, and to the end of the process. Nothing depends on it: the log says what is
/// done, and what is read again is known.
pub(crate) fn close(client: &Arc<Client>) {
    client.context().is_closing.store(true, Ordering::Relaxed);
    if let Err(error) = client.close_queue() {
        tracing::warn!(event = "kafka_not_closed", %error, "the Kafka client cannot be closed in order");
        return;
    }
    let began = Instant::now();
    while began.elapsed() < CLOSE_TIMEOUT {
        if client.closed() {
            return;
        }
        serve_closing(client);
    }
    let waited_ms = CLOSE_TIMEOUT.as_millis();
    tracing::warn!(
        event = "kafka_not_closed",
        waited_ms,
        "the group's coordinator does not answer; not waiting for it"
    );
    // Whoever drops a client last waits until it is closed: that is this thread.
    let owned = Arc::clone(client);
    let left = std::thread::Builder::new().name("leaving".into()).spawn(move || {
        while !owned.closed() {
            serve_closing(&owned);
        }
    });
    if let Err(error) = left {
        tracing::debug!(%error, "no thread to leave the group on; the stop waits for it");
    }
}

/// What is still delivered is read again by the next run.
fn serve_closing(client: &Client) {
    drop(client.poll(Duration::from_millis(20)));
}
