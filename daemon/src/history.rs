//! The last hour in samples, for plots: a ring of fixed size, without I/O or a clock of its own.
//!
//! Times only grow in it: when the clock was set back, what claims to come from the future is given up. A
//! time without samples - the machine slept, the process was stopped - is a gap between two of them.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::circuit::State;
use crate::status::Status;

/// How often a sample is taken.
pub const EVERY: Duration = Duration::from_secs(5);
/// Samples that are kept: those of an hour. Each takes less than 100 bytes.
pub const KEPT: usize = 720;

/// How things stood at one time. The counts are since the daemon's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When, unix milliseconds.
    pub at_ms: u64,
    /// The breaker's state.
    pub breaker: State,
    /// Records taken from the upstreams.
    pub received: u64,
    /// Records that Kafka has acknowledged, from memory or from the disk.
    pub delivered: u64,
    /// Records in the queue in memory.
    pub queue_records: u64,
    /// Records waiting on disk.
    pub spool_records: u64,
    /// Their bytes.
    pub spool_bytes: u64,
}

impl Sample {
    /// What a status says.
    #[must_use]
    pub fn of(status: &Status) -> Self {
        Self {
            at_ms: status.at_ms,
            breaker: status.breaker,
            received: status.counts.received,
            delivered: status.counts.acked + status.counts.replayed,
            queue_records: status.queue.records as u64,
            spool_records: status.spool.records,
            spool_bytes: status.spool.bytes,
        }
    }
}

/// The last samples. Writer: the task that takes them; the admin endpoint reads.
#[derive(Debug, Default)]
pub struct History(VecDeque<Sample>);

impl History {
    /// Adds a sample; the oldest goes when there are too many.
    pub fn push(&mut self, sample: Sample) {
        while self.0.back().is_some_and(|last| last.at_ms >= sample.at_ms) {
            self.0.pop_back();
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(sample);
    }

    /// The samples that are later than `after_ms`, with what is needed to read them.
    #[must_use]
    pub fn report(&self, after_ms: Option<u64>, at_ms: u64, started_ms: u64) -> Report {
        let first = after_ms.map_or(0, |after| self.0.partition_point(|sample| sample.at_ms <= after));
        let mut samples = Columns::default();
        self.0.range(first..).for_each(|sample| samples.push(sample));
        let every_ms = u64::try_from(EVERY.as_millis()).unwrap_or(u64::MAX);
        Report { at_ms, started_ms, every_ms, keeps: KEPT, samples }
    }
}

/// What `/history` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When this was said, unix milliseconds.
    pub at_ms: u64,
    /// When the daemon started, unix milliseconds: another time is another run, with other counts.
    pub started_ms: u64,
    /// How often a sample is taken, milliseconds. Much more between two of them is a gap.
    pub every_ms: u64,
    /// How many are kept.
    pub keeps: usize,
    /// The samples, oldest first.
    pub samples: Columns,
}

/// Samples, one column each for what a [`Sample`] has; all are of the same length.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns are the fields of a Sample, which has them")]
pub struct Columns {
    pub at_ms: Vec<u64>,
    pub breaker: Vec<State>,
    pub received: Vec<u64>,
    pub delivered: Vec<u64>,
    pub queue_records: Vec<u64>,
    pub spool_records: Vec<u64>,
    pub spool_bytes: Vec<u64>,
}

impl Columns {
    fn push(&mut self, sample: &Sample) {
        self.at_ms.push(sample.at_ms);
        self.breaker.push(sample.breaker);
        self.received.push(sample.received);
        self.delivered.push(sample.delivered);
        self.queue_records.push(sample.queue_records);
        self.spool_records.push(sample.spool_records);
        self.spool_bytes.push(sample.spool_bytes);
    }

    /// The samples; a column that is too short ends them.
    pub fn rows(&self) -> impl Iterator<Item = Sample> + '_ {
        let row = |n: usize| {
            Some(Sample {
                at_ms: *self.at_ms.get(n)?,
                breaker: *self.breaker.get(n)?,
                received: *self.received.get(n)?,
                delivered: *self.delivered.get(n)?,
                queue_records: *self.queue_records.get(n)?,
                spool_records: *self.spool_records.get(n)?,
                spool_bytes: *self.spool_bytes.get(n)?,
            })
        };
        (0..).map_while(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_ms: u64) -> Sample {
        Sample {
            at_ms,
            breaker: if at_ms.is_multiple_of(2) { State::Closed } else { State::HalfOpen },
            received: at_ms * 10,
            delivered: at_ms * 9,
            queue_records: 1,
            spool_records: at_ms,
            spool_bytes: at_ms * 100,
        }
    }

    fn times(history: &History, after: Option<u64>) -> Vec<u64> {
        history.report(after, 0, 0).samples.at_ms
    }

    #[test]
    fn the_oldest_goes_and_what_is_known_is_not_told_again() {
        let mut history = History::default();
        assert_eq!(times(&history, None), [0_u64; 0]);
        (1..=KEPT as u64 + 3).for_each(|n| history.push(sample(n)));
        let all = times(&history, None);
        assert_eq!((all.len(), all[0], all[KEPT - 1]), (KEPT, 4, KEPT as u64 + 3));
        assert_eq!(times(&history, Some(KEPT as u64)), [721, 722, 723]);
        assert_eq!(times(&history, Some(0)).len(), KEPT);
        assert_eq!(times(&history, Some(10_000)), [0_u64; 0]);
    }

    #[test]
    fn a_clock_that_goes_back_takes_its_future_with_it() {
        let mut history = History::default();
        [1, 2, 3, 9, 9, 4, 5].into_iter().for_each(|at| history.push(sample(at)));
        assert_eq!(times(&history, None), [1, 2, 3, 4, 5]);
        history.push(sample(1));
        assert_eq!(times(&history, None), [1]);
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let mut history = History::default();
        (1..=3).for_each(|n| history.push(sample(n)));
        let json = serde_json::to_string(&history.report(Some(1), 7, 5)).unwrap();
        assert!(json.contains("\"breaker\":[\"closed\",\"half_open\"]"), "{json}");
        let report: Report = serde_json::from_str(&json).unwrap();
        assert_eq!((report.at_ms, report.started_ms, report.every_ms, report.keeps), (7, 5, 5_000, 720));
        assert_eq!(report.samples.rows().collect::<Vec<_>>(), [sample(2), sample(3)]);
        let torn = json.replace("[200,300]", "[200]");
        let report: Report = serde_json::from_str(&torn).unwrap();
        assert_eq!(report.samples.rows().count(), 1, "what is not whole is left out");
    }
}
