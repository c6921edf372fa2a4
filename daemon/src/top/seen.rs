//! What `/status` says, as far as it is shown. Fields that are not known here are passed over, so that a newer
//! daemon can be watched, too.

use serde::Deserialize;
use spillway_daemon::circuit::State;
use spillway_daemon::history::Sample;

/// One answer.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Seen {
    pub(crate) version: String,
    pub(crate) id: String,
    pub(crate) at_ms: u64,
    pub(crate) started_ms: u64,
    pub(crate) breaker: State,
    pub(crate) breaker_opened: u64,
    pub(crate) breaker_history: Vec<Change>,
    pub(crate) held_partitions: Vec<String>,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) lane: String,
    pub(crate) sources: Vec<Source>,
    pub(crate) queue: Queue,
    pub(crate) in_flight: InFlight,
    pub(crate) spool: Spool,
    pub(crate) counts: Counts,
    pub(crate) at_risk_records: u64,
    pub(crate) at_risk_bytes: u64,
}

/// A change of the breaker.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Change {
    pub(crate) at_ms: u64,
    pub(crate) from: State,
    pub(crate) to: State,
    pub(crate) detail: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Partition {
    pub(crate) name: String,
    pub(crate) in_flight: u64,
    /// Since Kafka was last away.
    pub(crate) acked: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) received: u64,
    pub(crate) connected: bool,
    pub(crate) ended: bool,
    pub(crate) connects: u64,
    pub(crate) gaps: u64,
    pub(crate) lag_ms: Option<i64>,
    pub(crate) last_error: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Queue {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) fill: f64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct InFlight {
    pub(crate) direct: u64,
    pub(crate) replay: u64,
    pub(crate) oldest_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Spool {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) dead_letters: u64,
    pub(crate) quarantined_records: u64,
    pub(crate) dropped_oldest: Dropped,
    pub(crate) problem: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dropped {
    pub(crate) reason: String,
    pub(crate) records: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) acked: u64,
    pub(crate) replayed: u64,
    pub(crate) dead_topic: u64,
    pub(crate) dropped: Vec<Dropped>,
    pub(crate) unaccounted: u64,
}

impl Seen {
    /// As a sample.
    pub(crate) fn sample(&self) -> Sample {
        Sample {
            at_ms: self.at_ms,
            breaker: self.breaker,
            received: self.counts.received,
            delivered: self.counts.acked + self.counts.replayed,
            queue_records: self.queue.records,
            spool_records: self.spool.records,
            spool_bytes: self.spool.bytes,
        }
    }

    /// Records that are neither in Kafka nor given up.
    pub(crate) fn waiting(&self) -> u64 {
        self.queue.records + self.in_flight.direct + self.spool.records
    }
}
