//! What is known of the daemon that is watched: its last answers, the samples, whether it answers. Pure: told
//! what was heard and when.

use std::collections::VecDeque;

use spillway_daemon::history::Sample;

use super::ask::Heard;
use super::seen::{Partition, Seen, Source};
use super::series::{Point, Points};

/// Rates are taken over so long.
pub(super) const RATE_OVER_MS: u64 = 4_500;
/// Answers that are kept, for the rates of sources and partitions.
const KEPT: usize = 8;

/// Whether the daemon answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    /// It has not been heard yet.
    Connecting,
    /// It answers.
    Live,
    /// It does not.
    Away {
        /// Why.
        why: String,
        /// When it was last heard, unix milliseconds of this machine's clock.
        heard_ms: Option<u64>,
    },
}

/// What is known.
#[derive(Debug)]
pub(crate) struct Model {
    /// Where the daemon is.
    pub(super) address: String,
    pub(super) link: Link,
    pub(super) points: Points,
    /// The last answers of one run, oldest first.
    recent: VecDeque<Seen>,
    heard_ms: Option<u64>,
}

impl Model {
    pub(crate) fn new(address: String) -> Self {
        let recent = VecDeque::with_capacity(KEPT);
        Self { address, link: Link::Connecting, points: Points::default(), recent, heard_ms: None }
    }

    /// Since when samples are to be asked for; none while answers come each second.
    pub(crate) fn wants_samples_after(&self) -> Option<u64> {
        let last = self.points.last().map_or(0, |point| point.sample.at_ms);
        (self.link != Link::Live).then_some(last)
    }

    /// The daemon has answered, at `now_ms` of this machine's clock.
    pub(crate) fn hear(&mut self, heard: Heard, now_ms: u64) {
        let Heard { seen, report } = heard;
        if self.link != Link::Live || self.last().is_some_and(|last| last.started_ms != seen.started_ms) {
            self.recent.clear();
        }
        if let Some(report) = report {
            let known = self.points.last().map(|point| point.sample.at_ms);
            for sample in
                report.samples.rows().filter(|sample| known.is_none_or(|known| sample.at_ms > known))
            {
                self.points.push(Point { run: report.started_ms, sample });
            }
        }
        self.points.push(Point { run: seen.started_ms, sample: seen.sample() });
        if self.recent.len() == KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back(seen);
        self.heard_ms = Some(now_ms);
        self.link = Link::Live;
    }

    /// The daemon has not answered.
    pub(crate) fn miss(&mut self, why: String) {
        self.link = Link::Away { why, heard_ms: self.heard_ms };
    }

    /// The last answer.
    pub(super) fn last(&self) -> Option<&Seen> {
        self.recent.back()
    }

    /// When it was heard, unix milliseconds of this machine's clock.
    pub(super) fn heard_ms(&self) -> Option<u64> {
        self.heard_ms
    }

    /// How fast a count of the daemon grows each second; none is known of a daemon that does not answer.
    pub(super) fn slope(&self, figure: fn(&Sample) -> u64) -> Option<f64> {
        if self.link == Link::Live { self.points.slope(figure, RATE_OVER_MS) } else { None }
    }

    /// Records of a source each second.
    pub(super) fn source_rate(&self, name: &str) -> Option<f64> {
        self.rate(|seen| {
            let source = seen.sources.iter().find(|source: &&Source| source.name == name)?;
            Some(source.received)
        })
    }

    /// Acknowledgements of a partition each second.
    pub(super) fn partition_rate(&self, name: &str) -> Option<f64> {
        self.rate(|seen| {
            let partition = seen.partitions.iter().find(|partition: &&Partition| partition.name == name)?;
            Some(partition.acked)
        })
    }

    /// Between the last answer and the one before that is old enough, or the oldest.
    fn rate(&self, figure: impl Fn(&Seen) -> Option<u64>) -> Option<f64> {
        let last = self.recent.back().filter(|_| self.link == Link::Live)?;
        let is_old = |seen: &&Seen| last.at_ms.saturating_sub(seen.at_ms) >= RATE_OVER_MS;
        let before = self.recent.iter().rev().find(is_old).or_else(|| self.recent.front())?;
        let ms = last.at_ms.checked_sub(before.at_ms).filter(|ms| *ms > 0)?;
        // A count that began anew, as a partition's does after an outage, has no rate yet.
        let grown = figure(last)?.checked_sub(figure(before)?)?;
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let rate = grown as f64 * 1e3 / ms as f64;
        Some(rate)
    }
}

#[cfg(test)]
mod tests {
    use spillway_daemon::history::History;

    use super::super::testing::{heard, seen};
    use super::*;

    fn received(sample: &Sample) -> u64 {
        sample.received
    }

    #[test]
    fn rates_come_from_the_answers_and_end_with_them() {
        let mut model = Model::new("here".into());
        assert_eq!((model.wants_samples_after(), model.slope(received)), (Some(0), None));
        model.hear(heard(seen(10_000, 100)), 1);
        assert_eq!((model.slope(received), model.source_rate("a")), (None, None));
        model.hear(heard(seen(11_000, 300)), 2);
        assert_eq!((model.slope(received), model.source_rate("a")), (Some(200.0), Some(200.0)));
        assert_eq!((model.partition_rate("events/0"), model.partition_rate("events/9")), (Some(20.0), None));
        assert_eq!(model.wants_samples_after(), None);
        model.miss("gone".into());
        assert_eq!((model.slope(received), model.source_rate("a")), (None, None));
        assert_eq!(model.link, Link::Away { why: "gone".into(), heard_ms: Some(2) });
        assert_eq!(model.wants_samples_after(), Some(11_000), "what was missed is asked for");
    }

    #[test]
    fn a_restart_is_no_rate() {
        let mut model = Model::new("here".into());
        model.hear(heard(seen(10_000, 500)), 1);
        let mut anew = seen(12_000, 40);
        anew.started_ms = 11_000;
        model.hear(heard(anew.clone()), 2);
        assert_eq!((model.slope(received), model.source_rate("a")), (None, None));
        (anew.at_ms, anew.counts.received) = (13_000, 50);
        model.hear(heard(anew), 3);
        assert_eq!(model.slope(received), Some(10.0));
    }

    #[test]
    fn the_history_comes_first_and_only_what_is_new_of_it() {
        let mut history = History::default();
        (0..20).for_each(|n| history.push(seen(n * 5_000, n * 50).sample()));
        let mut model = Model::new("here".into());
        let mut first = heard(seen(97_000, 980));
        first.report = Some(history.report(None, 97_000, 5));
        model.hear(first, 1);
        assert_eq!(model.slope(received), Some((980.0 - 900.0) / 7.0), "over the samples before");
        model.miss("gone".into());
        history.push(seen(100_000, 1_010).sample());
        let mut second = heard(seen(101_000, 1_020));
        second.report = Some(history.report(None, 101_000, 5));
        model.hear(second, 1);
        for column in model.points.columns(&[], 4, 2_000) {
            assert!(
                (column.received.unwrap() - 10.0).abs() < 1e-3 || column.received == Some(12.5),
                "{column:?}"
            );
        }
    }
}
