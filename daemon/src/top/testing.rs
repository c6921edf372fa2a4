//! Answers of a daemon, for the tests.

use spillway_daemon::circuit::State;

use super::ask::Heard;
use super::seen::{Counts, Dropped, InFlight, Partition, Queue, Seen, Source, Spool};

/// A daemon with one source and one partition that runs since 5 ms, all of whose records are in Kafka.
pub(super) fn seen(at_ms: u64, received: u64) -> Seen {
    Seen {
        version: "0.1.0".into(),
        id: "edge-1".into(),
        at_ms,
        started_ms: 5,
        breaker: State::Closed,
        breaker_opened: 0,
        breaker_history: Vec::new(),
        held_partitions: Vec::new(),
        partitions: vec![Partition { name: "events/0".into(), in_flight: 0, acked: received / 10 }],
        lane: "direct".into(),
        sources: vec![source("a", received)],
        queue: Queue { records: 0, bytes: 0, fill: 0.0 },
        in_flight: InFlight { direct: 0, replay: 0, oldest_ms: 0 },
        spool: Spool {
            records: 0,
            bytes: 0,
            disk_bytes: 0,
            dead_letters: 0,
            quarantined_records: 0,
            dropped_oldest: Dropped { reason: "spool_oldest".into(), records: 0 },
            problem: None,
        },
        counts: Counts {
            received,
            acked: received,
            replayed: 0,
            dead_topic: 0,
            dropped: Vec::new(),
            unaccounted: 0,
        },
        at_risk_records: 0,
        at_risk_bytes: 0,
    }
}

pub(super) fn source(name: &str, received: u64) -> Source {
    Source {
        name: name.into(),
        received,
        connected: true,
        ended: false,
        connects: 1,
        gaps: 0,
        lag_ms: None,
        last_error: None,
    }
}

/// An answer without samples.
pub(super) fn heard(seen: Seen) -> Heard {
    Heard { seen, report: None }
}
