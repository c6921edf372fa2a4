//! The daemon's status: one snapshot for `/status`, `/readyz`, the metrics, the demo and the tests.

use std::time::Instant;

use serde::Serialize;

use crate::circuit::State;
use crate::config::{Journal, SourceConfig};
use crate::health::{Change, StreamStatus};
use crate::lane::Lane;
use crate::latency::Took;
use crate::ledger::{Counts, Dropped, unix_ms};
use crate::pipeline::Shared;
use crate::record::SourceIndex;
use crate::silence::PartitionFlow;
use crate::topics::Place;

/// A snapshot.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Version of the program.
    pub version: &'static str,
    /// The daemon's name.
    pub id: String,
    /// When this was said, unix milliseconds.
    pub at_ms: u64,
    /// When the daemon started, unix milliseconds.
    pub started_ms: u64,
    /// The breaker's state.
    pub breaker: State,
    /// How often the breaker opened.
    pub breaker_opened: u64,
    /// The breaker's last changes, oldest first.
    pub breaker_history: Vec<Change>,
    /// Partitions that are held back, as `topic/partition`: they have no leader, do not answer while others
    /// do, or are of a topic that refuses us. `topic/*` is a topic that does not exist.
    pub held_partitions: Vec<String>,
    /// The partitions that records were sent to since Kafka was last away.
    pub partitions: Vec<PartitionStatus>,
    /// Where records go from the queue.
    pub lane: Lane,
    /// The upstreams, in the order of the configuration.
    pub sources: Vec<SourceStatus>,
    /// The queue in memory.
    pub queue: QueueStatus,
    /// Handed to Kafka and not acknowledged.
    pub in_flight: InFlightStatus,
    /// The queue on disk.
    pub spool: SpoolStatus,
    /// The accounts.
    pub counts: Counts,
    /// Records that a `kill -9` would lose right now.
    pub at_risk_records: u64,
    /// Their bytes.
    pub at_risk_bytes: u64,
    /// From a record's receipt to Kafka's acknowledgement; for the metrics.
    #[serde(skip)]
    pub latency: Took,
}

/// One upstream.
#[derive(Debug, Clone, Serialize)]
pub struct SourceStatus {
    /// Its name: the `spillway-source` header of its records.
    pub name: String,
    /// Records taken from it.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Records of it that a `kill -9` would lose right now.
    pub at_risk_records: u64,
    /// Their bytes.
    pub at_risk_bytes: u64,
    /// Its connection.
    #[serde(flatten)]
    pub stream: StreamStatus,
}

impl SourceStatus {
    fn of(shared: &Shared, index: SourceIndex, source: &SourceConfig) -> Self {
        let counts = shared.ledger.of_source(index);
        // With a journal a record is accepted when it is on disk, and a source that can resume reads
        // again what was not.
        let is_safe = source.can_resume() || shared.config.delivery.journal == Journal::Always;
        Self {
            name: source.name.clone(),
            received: counts.received,
            received_bytes: counts.received_bytes,
            at_risk_records: if is_safe { 0 } else { counts.in_memory() },
            at_risk_bytes: if is_safe { 0 } else { counts.in_memory_bytes() },
            stream: shared.streams[usize::from(index)].status(),
        }
    }
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionStatus {
    /// Its name, as `topic/partition`.
    pub name: String,
    /// Records that it has not answered for.
    pub in_flight: usize,
    /// Records that it acknowledged since Kafka was last away.
    pub acked: u64,
}

/// The queue in memory.
#[derive(Debug, Clone, Serialize)]
pub struct QueueStatus {
    /// Records.
    pub records: usize,
    /// Bytes.
    pub bytes: usize,
    /// Share in use, 0 to 1.
    pub fill: f64,
}

/// Handed to Kafka and not acknowledged.
#[derive(Debug, Clone, Default, Serialize)]
pub struct InFlightStatus {
    /// Records of the queue.
    pub direct: usize,
    /// Records of the spool.
    pub replay: usize,
    /// Age of the oldest, milliseconds.
    pub oldest_ms: u64,
}

/// The queue on disk.
#[derive(Debug, Clone, Serialize)]
pub struct SpoolStatus {
    /// Records waiting.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of the segments on disk.
    pub disk_bytes: u64,
    /// How many more bytes it may write: of its quota, or of the disk above the free floor.
    pub room_bytes: u64,
    /// When the oldest record that waits was written, unix milliseconds.
    pub oldest_ms: Option<u64>,
    /// Segments.
    pub segments: u64,
    /// Dead letters waiting for an operator.
    pub dead_letters: u64,
    /// Records in frames that were corrupt.
    pub quarantined_records: u64,
    /// What `when_full = "drop_oldest"` gave up over the life of the spool.
    pub dropped_oldest: Dropped,
    /// Why the disk takes nothing now.
    pub problem: Option<String>,
}

impl Status {
    pub(crate) fn of(shared: &Shared) -> Self {
        let counts = shared.ledger.counts();
        let spool = shared.spool.stats();
        let indexed = (0..SourceIndex::MAX).zip(&shared.config.sources);
        let sources: Vec<_> =
            indexed.map(|(index, source)| SourceStatus::of(shared, index, source)).collect();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            id: shared.config.id.clone(),
            at_ms: unix_ms(),
            started_ms: shared.started_ms,
            breaker: shared.breaker.state(),
            breaker_opened: shared.breaker.opened(),
            breaker_history: shared.breaker.history(),
            held_partitions: shared.kafka.held(),
            partitions: partitions(shared),
            lane: shared.lane.now(),
            queue: QueueStatus {
                records: shared.queue.records(),
                bytes: shared.queue.bytes(),
                fill: shared.queue.fill(),
            },
            in_flight: in_flight(shared),
            spool: SpoolStatus {
                records: spool.records,
                bytes: spool.bytes,
                disk_bytes: spool.disk_bytes,
                room_bytes: spool.room_bytes,
                oldest_ms: oldest(shared, &spool),
                segments: spool.segments,
                dead_letters: spool.dead_letters,
                quarantined_records: spool.quarantined.records,
                dropped_oldest: dropped_oldest(spool.dropped_oldest),
                problem: shared.storage.problem(),
            },
            at_risk_records: sources.iter().map(|source| source.at_risk_records).sum(),
            at_risk_bytes: sources.iter().map(|source| source.at_risk_bytes).sum(),
            latency: shared.ledger.latency(),
            sources,
            counts,
        }
    }

    /// Whether the daemon can take records: its disk works. An open breaker is no reason to be unready,
    /// since that is what the disk is for.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.spool.problem.is_none()
    }
}

fn oldest(shared: &Shared, spool: &spillway_spool::Stats) -> Option<u64> {
    if spool.records > 0 {
        return shared.ages.oldest(spool.head_seq);
    }
    shared.ages.forget_before(spool.tail_seq);
    None
}

fn dropped_oldest(spool: spillway_spool::Dropped) -> Dropped {
    let spillway_spool::Dropped { records, bytes, first_at_ms: first_ms, last_at_ms: last_ms } = spool;
    Dropped { reason: "spool_oldest", records, bytes, first_ms, last_ms }
}

fn partitions(shared: &Shared) -> Vec<PartitionStatus> {
    let Some(session) = shared.kafka.session() else { return Vec::new() };
    let flows = session.flight.partitions().into_iter();
    let partition = |(place, flow): (Place, PartitionFlow)| PartitionStatus {
        name: shared.kafka.topics().describe(place),
        in_flight: flow.in_flight,
        acked: flow.acked,
    };
    flows.map(partition).collect()
}

fn in_flight(shared: &Shared) -> InFlightStatus {
    let Some(session) = shared.kafka.session() else { return InFlightStatus::default() };
    let load = session.flight.load();
    let oldest = session.flight.oldest(Instant::now());
    InFlightStatus {
        direct: load.direct,
        replay: load.replay,
        oldest_ms: u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX),
    }
}
