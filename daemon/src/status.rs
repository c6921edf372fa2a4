//! The daemon's status: one snapshot for `/status`, `/readyz`, the metrics, the demo and the tests.

use std::time::Instant;

use serde::Serialize;

use crate::circuit::State;
use crate::config::Journal;
use crate::health::{Change, StreamStatus};
use crate::lane::Lane;
use crate::ledger::Counts;
use crate::pipeline::Shared;

/// A snapshot.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Version of the program.
    pub version: &'static str,
    /// The daemon's name.
    pub id: String,
    /// The breaker's state.
    pub breaker: State,
    /// How often the breaker opened.
    pub breaker_opened: u64,
    /// The breaker's last changes, oldest first.
    pub breaker_history: Vec<Change>,
    /// Where records go from the queue.
    pub lane: Lane,
    /// The upstream.
    pub source: StreamStatus,
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
    /// Segments.
    pub segments: u64,
    /// Dead letters waiting for an operator.
    pub dead_letters: u64,
    /// Records in frames that were corrupt.
    pub quarantined_records: u64,
    /// Why the disk takes nothing now.
    pub problem: Option<String>,
}

impl Status {
    pub(crate) fn of(shared: &Shared) -> Self {
        let counts = shared.ledger.counts();
        let spool = shared.spool.stats();
        // With a journal a record is accepted when it is on disk, and a source that can resume reads
        // again what was not.
        let is_safe = shared.config.source.can_resume() || shared.config.delivery.journal == Journal::Always;
        Self {
            version: env!("CARGO_PKG_VERSION"),
            id: shared.config.id.clone(),
            breaker: shared.breaker.state(),
            breaker_opened: shared.breaker.opened(),
            breaker_history: shared.breaker.history(),
            lane: shared.lane.now(),
            source: shared.stream.status(),
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
                segments: spool.segments,
                dead_letters: spool.dead_letters,
                quarantined_records: spool.quarantined.records,
                problem: shared.storage.problem(),
            },
            at_risk_records: if is_safe { 0 } else { counts.in_memory() },
            at_risk_bytes: if is_safe { 0 } else { counts.in_memory_bytes() },
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
