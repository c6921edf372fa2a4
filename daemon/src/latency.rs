//! How long records take from their receipt to Kafka's acknowledgement, by the wall clock: a record's receipt
//! may be of an earlier run.

use spillway_service::figures::{self, Histogram};

use crate::ledger::unix_ms;

/// Bounds in milliseconds: from a broker on the same host to a backlog of a week.
const BOUNDS_MS: [u64; 19] = [
    2,
    5,
    10,
    20,
    50,
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    30_000,
    60_000,
    600_000,
    3_600_000,
    21_600_000,
    86_400_000,
    604_800_000,
];

/// Counts acknowledged records by the time that they took. Writer: the thread of the delivery reports.
#[derive(Debug)]
pub(crate) struct Latency {
    direct: Histogram<{ BOUNDS_MS.len() }>,
    disk: Histogram<{ BOUNDS_MS.len() }>,
}

/// A copy of the counts.
#[derive(Debug, Clone, Default)]
pub struct Took {
    /// Of records straight from memory.
    pub direct: figures::Took,
    /// Of records that were on disk.
    pub disk: figures::Took,
}

impl Default for Latency {
    fn default() -> Self {
        Self { direct: Histogram::new(BOUNDS_MS), disk: Histogram::new(BOUNDS_MS) }
    }
}

impl Latency {
    /// A record that was received then, unix milliseconds, was acknowledged now.
    pub(crate) fn delivered(&self, received_ms: i64) {
        self.direct.count(age_ms(received_ms, unix_ms()));
    }

    /// The same for a record of the spool.
    pub(crate) fn delivered_from_disk(&self, received_ms: i64) {
        self.disk.count(age_ms(received_ms, unix_ms()));
    }

    pub(crate) fn read(&self) -> Took {
        Took { direct: self.direct.read(), disk: self.disk.read() }
    }
}

/// 0 for the future, which a clock that was set may show.
fn age_ms(received_ms: i64, now_ms: u64) -> u64 {
    now_ms.saturating_sub(u64::try_from(received_ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_has_its_counts() {
        let latency = Latency::default();
        latency.delivered(i64::try_from(unix_ms()).unwrap());
        latency.delivered(i64::MAX);
        latency.delivered_from_disk(0);
        let count = |took: &figures::Took| took.buckets.iter().map(|(_, count)| count).sum::<u64>();
        let read = latency.read();
        assert_eq!((count(&read.direct), count(&read.disk)), (2, 1));
        assert_eq!(read.disk.buckets.last(), Some(&(f64::INFINITY, 1)), "received in 1970");
        assert_eq!((age_ms(900, 1_000), age_ms(1_100, 1_000), age_ms(-5, 1_000)), (100, 0, 1_000));
    }
}
