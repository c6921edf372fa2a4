//! How long something took, counted by bounds. Written from any thread, read at a scrape.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};

/// Counts of `N` bounds, in milliseconds, and of what took longer.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    bounds_ms: [u64; N],
    sum_ms: AtomicU64,
    beyond: AtomicU64,
    took: [AtomicU64; N],
}

impl<const N: usize> Histogram<N> {
    /// One that has counted nothing. The bounds grow.
    #[must_use]
    pub fn new(bounds_ms: [u64; N]) -> Self {
        let took = std::array::from_fn(|_| AtomicU64::new(0));
        Self { bounds_ms, sum_ms: AtomicU64::new(0), beyond: AtomicU64::new(0), took }
    }

    /// Something took so long.
    pub fn count(&self, ms: u64) {
        self.sum_ms.fetch_add(ms, Ordering::Relaxed);
        let bucket = self.bounds_ms.partition_point(|bound| *bound < ms);
        self.took.get(bucket).unwrap_or(&self.beyond).fetch_add(1, Ordering::Relaxed);
    }

    /// What it has come to.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "seconds for a plot")]
    pub fn read(&self) -> Took {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let seconds = self.bounds_ms.iter().map(|ms| *ms as f64 / 1000.0).chain([f64::INFINITY]);
        Took {
            buckets: seconds.zip(self.took.iter().chain([&self.beyond]).map(load)).collect(),
            seconds: load(&self.sum_ms) as f64 / 1000.0,
        }
    }
}

/// A copy of what a histogram has counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Took {
    /// Upper bounds in seconds, each with how many are between it and the one before.
    pub buckets: Vec<(f64, u64)>,
    /// All of them together, in seconds.
    pub seconds: f64,
}

impl Took {
    /// Writes it as a metric of the type histogram.
    ///
    /// # Errors
    /// Only if writing to a string fails.
    pub fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let count = self.buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.seconds, count, &self.buckets, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_falls_below_the_first_bound_that_it_does_not_pass() {
        let histogram = Histogram::new([10, 1_000]);
        [0, 10, 11, 1_000, 1_001, 60_000].into_iter().for_each(|ms| histogram.count(ms));
        let took = histogram.read();
        assert_eq!(took.buckets, [(0.01, 2), (1.0, 2), (f64::INFINITY, 2)]);
        assert!((took.seconds - 62.022).abs() < 1e-9, "{took:?}");
    }
}
