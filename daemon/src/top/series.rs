//! Samples over time, pure: how fast a count grew, and what the columns of a plot show.
//!
//! Between two samples a count is taken to have grown evenly, so samples of each second and of every five
//! seconds can stand in one plot. Where there are none, or the daemon was started anew, there is no value.

use std::collections::VecDeque;

use spillway_daemon::circuit::State;
use spillway_daemon::history::{EVERY, Sample};

use super::seen::Change;

/// Samples that are kept: an hour of them, one a second.
const KEPT: usize = 3_600;

/// A sample, and the run of the daemon that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    /// When the daemon started, unix milliseconds.
    pub(crate) run: u64,
    pub(crate) sample: Sample,
}

/// A figure of a sample.
pub(crate) type Figure = fn(&Sample) -> u64;

/// The samples, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Points(VecDeque<Point>);

/// What a column of the plots shows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Column {
    /// Records received each second.
    pub(crate) received: Option<f64>,
    /// Records acknowledged by Kafka each second.
    pub(crate) delivered: Option<f64>,
    /// Records on disk at its end.
    pub(crate) spool: Option<f64>,
    /// The worst state of the breaker in it.
    pub(crate) breaker: Option<State>,
}

/// Whether nothing is known of the time between two samples that follow each other.
fn is_torn(before: &Point, after: &Point) -> bool {
    let gap_ms = 3 * u64::try_from(EVERY.as_millis()).unwrap_or(u64::MAX);
    before.run != after.run || after.sample.at_ms - before.sample.at_ms > gap_ms
}

/// Open is worse than half open, which is worse than closed.
fn badness(state: State) -> u8 {
    match state {
        State::Closed => 0,
        State::HalfOpen => 1,
        State::Open => 2,
    }
}

impl Points {
    /// Adds a sample. Those that claim to be later are of before the clock was set back: they go.
    pub(crate) fn push(&mut self, point: Point) {
        while self.0.back().is_some_and(|last| last.sample.at_ms >= point.sample.at_ms) {
            self.0.pop_back();
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(point);
    }

    pub(crate) fn last(&self) -> Option<&Point> {
        self.0.back()
    }

    /// By how much a figure changed each second over the last `over_ms`, or as much of it as there is.
    pub(crate) fn slope(&self, figure: Figure, over_ms: u64) -> Option<f64> {
        let last = self.0.back()?;
        let mut first = last;
        for point in self.0.iter().rev().skip(1) {
            if is_torn(point, first) {
                break;
            }
            first = point;
            if last.sample.at_ms - point.sample.at_ms >= over_ms {
                break;
            }
        }
        let seconds = seconds(first.sample.at_ms, last.sample.at_ms);
        (seconds > 0.0).then(|| (float(figure(&last.sample)) - float(figure(&first.sample))) / seconds)
    }

    /// The figure at a time, between two samples.
    fn at(&self, figure: Figure, at_ms: u64) -> Option<f64> {
        let after = self.0.partition_point(|point| point.sample.at_ms < at_ms);
        let right = self.0.get(after)?;
        let (right_ms, value) = (right.sample.at_ms, float(figure(&right.sample)));
        if right_ms == at_ms {
            return Some(value);
        }
        let left = self.0.get(after.checked_sub(1)?).filter(|left| !is_torn(left, right))?;
        let share = seconds(left.sample.at_ms, at_ms) / seconds(left.sample.at_ms, right_ms);
        let before = float(figure(&left.sample));
        Some(before + (value - before) * share)
    }

    /// How fast the figure grew between two times, none over a gap or a start.
    fn rate(&self, figure: Figure, from_ms: u64, to_ms: u64) -> Option<f64> {
        let first = self.0.partition_point(|point| point.sample.at_ms <= from_ms).saturating_sub(1);
        let end = self.0.partition_point(|point| point.sample.at_ms < to_ms);
        let inside = self.0.range(first..(end + 1).min(self.0.len()));
        if inside.clone().zip(inside.skip(1)).any(|(before, after)| is_torn(before, after)) {
            return None;
        }
        let grown = self.at(figure, to_ms)? - self.at(figure, from_ms)?;
        Some((grown / seconds(from_ms, to_ms)).max(0.0))
    }

    /// When the figure was at `value` last, unix milliseconds; none if that was before what is known.
    pub(crate) fn time_of(&self, figure: Figure, value: u64) -> Option<u64> {
        let last = self.0.back()?;
        let point = self.0.iter().rev().find(|point| figure(&point.sample) <= value)?;
        (point.run == last.run).then_some(point.sample.at_ms)
    }

    /// The state at a time, from the changes, or from the samples where they do not go back that far.
    fn state(&self, changes: &[Change], at_ms: u64) -> Option<State> {
        let after = self.0.partition_point(|point| point.sample.at_ms <= at_ms);
        let right = self.0.get(after);
        let left = self.0.get(after.checked_sub(1)?)?;
        if right.is_some_and(|right| is_torn(left, right)) {
            return None;
        }
        let change = changes.iter().rev().find(|change| change.at_ms <= at_ms);
        let known = change.filter(|change| change.at_ms >= left.sample.at_ms);
        Some(known.map_or(left.sample.breaker, |change| change.to))
    }

    /// `number` columns of `step_ms` each, the last one ending with the last whole step.
    pub(crate) fn columns(&self, changes: &[Change], number: usize, step_ms: u64) -> Vec<Column> {
        let Some(last) = self.0.back() else { return vec![Column::default(); number] };
        let end = last.sample.at_ms / step_ms * step_ms;
        let column = |back: u64| {
            let to = end.checked_sub(back * step_ms)?;
            let from = to.checked_sub(step_ms)?;
            let within = changes.iter().filter(|change| change.at_ms > from && change.at_ms <= to);
            let states = within.map(|change| change.to).chain(self.state(changes, from));
            Some(Column {
                received: self.rate(|sample| sample.received, from, to),
                delivered: self.rate(|sample| sample.delivered, from, to),
                spool: self.at(|sample| sample.spool_records, to),
                breaker: states.max_by_key(|state| badness(*state)),
            })
        };
        (0..number as u64).rev().map(|back| column(back).unwrap_or_default()).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn float(count: u64) -> f64 {
    count as f64
}

fn seconds(from_ms: u64, to_ms: u64) -> f64 {
    float(to_ms.saturating_sub(from_ms)) / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(run: u64, at_s: u64, received: u64, breaker: State) -> Point {
        let sample = Sample {
            at_ms: at_s * 1_000,
            breaker,
            received,
            delivered: received / 2,
            queue_records: 0,
            spool_records: received / 2,
            spool_bytes: 0,
        };
        Point { run, sample }
    }

    fn points(all: impl IntoIterator<Item = (u64, u64, u64)>) -> Points {
        let mut points = Points::default();
        all.into_iter().for_each(|(run, at, received)| points.push(point(run, at, received, State::Closed)));
        points
    }

    fn received(columns: &[Column]) -> Vec<Option<f64>> {
        columns.iter().map(|column| column.received).collect()
    }

    #[test]
    fn samples_of_five_seconds_and_of_one_make_one_plot() {
        let known = points([(1, 0, 0), (1, 5, 500), (1, 6, 700), (1, 7, 700)]);
        let columns = known.columns(&[], 8, 1_000);
        let expected =
            [None, Some(100.0), Some(100.0), Some(100.0), Some(100.0), Some(100.0), Some(200.0), Some(0.0)];
        assert_eq!(received(&columns), expected);
        assert_eq!(columns[3].delivered, Some(50.0));
        assert_eq!(columns[7].spool, Some(350.0));
        assert_eq!(received(&known.columns(&[], 2, 5_000)), [None, Some(100.0)], "only whole steps");
        assert_eq!(known.slope(|sample| sample.received, 1_500), Some(100.0));
        assert_eq!(known.slope(|sample| sample.received, 9_000), Some(100.0), "as far as it goes back");
    }

    #[test]
    fn a_restart_and_a_gap_have_no_value() {
        let known = points([(1, 0, 900), (1, 5, 1_000), (2, 10, 0), (2, 15, 50), (2, 40, 300), (2, 45, 400)]);
        let expected = [Some(20.0), None, Some(10.0), None, None, None, None, None, Some(20.0)];
        assert_eq!(received(&known.columns(&[], 9, 5_000)), expected);
        assert_eq!(received(&known.columns(&[], 1, 45_000)), [None], "a column over a gap");
        let states: Vec<_> =
            known.columns(&[], 9, 5_000).iter().map(|column| column.breaker.is_some()).collect();
        assert_eq!(states, [true, false, true, false, false, false, false, false, true]);
        assert_eq!(known.slope(|sample| sample.received, 60_000), Some(20.0), "only since the gap");
        assert_eq!(points([(1, 3, 10)]).slope(|sample| sample.received, 5_000), None);
    }

    #[test]
    fn the_worst_state_of_a_column_is_shown_though_no_sample_saw_it() {
        let mut known = points([(1, 0, 0), (1, 5, 0)]);
        known.push(point(1, 10, 0, State::HalfOpen));
        known.push(point(1, 15, 0, State::Closed));
        let change = |at_ms, to| Change { at_ms, from: to, to, detail: String::new() };
        let changes =
            [change(6_000, State::Open), change(7_000, State::HalfOpen), change(11_000, State::Closed)];
        let states: Vec<_> = known.columns(&changes, 3, 5_000).iter().map(|column| column.breaker).collect();
        assert_eq!(states, [Some(State::Closed), Some(State::Open), Some(State::HalfOpen)]);
    }

    #[test]
    fn a_clock_that_goes_back_and_an_hour_that_is_over_are_forgotten() {
        let mut known = points([(1, 10, 1), (1, 20, 2)]);
        known.push(point(1, 15, 3, State::Closed));
        assert_eq!(known.0.iter().map(|p| p.sample.received).collect::<Vec<_>>(), [1, 3]);
        let known = points((0..4_000).map(|n| (1, n, n)));
        assert_eq!((known.0.len(), known.0[0].sample.received), (KEPT, 400));
    }

    #[test]
    fn it_is_found_when_a_record_came_in() {
        let known = points([(1, 0, 900), (2, 10, 0), (2, 15, 50), (2, 20, 80)]);
        let time = |value| known.time_of(|sample| sample.received, value);
        assert_eq!((time(80), time(60), time(0)), (Some(20_000), Some(15_000), Some(10_000)));
        assert_eq!(points([(2, 15, 50)]).time_of(|sample| sample.received, 49), None);
    }
}
