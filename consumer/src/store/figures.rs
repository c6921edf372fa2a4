//! Figures of the requests to the store: how many, how they ended, how long they took. Written from the
//! store's threads, read by whoever asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

/// Bounds of the histogram, in milliseconds: from a local folder to a request that is timed out.
const BOUNDS_MS: [u64; 14] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000];

/// The requests of all kinds.
#[derive(Debug, Default)]
pub(crate) struct Requested {
    pub(crate) put: Meter,
    pub(crate) get: Meter,
    pub(crate) list: Meter,
}

/// The requests of one kind.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    failed: AtomicU64,
    refused: AtomicU64,
    micros: AtomicU64,
    max_micros: AtomicU64,
    /// By bound; the last one is for what took longer.
    took: [AtomicU64; BOUNDS_MS.len() + 1],
}

impl Meter {
    /// Measures a request.
    ///
    /// Cancel safety: one that is dropped is not counted.
    pub(crate) async fn time<T>(
        &self,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> object_store::Result<T> {
        let began = Instant::now();
        let answer = request.await;
        self.count(began.elapsed(), answer.as_ref().err());
        answer
    }

    /// A request took so long and ended so.
    pub(crate) fn count(&self, took: Duration, error: Option<&object_store::Error>) {
        use object_store::Error as E;
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        self.max_micros.fetch_max(micros, Ordering::Relaxed);
        let bucket = BOUNDS_MS.partition_point(|bound| bound * 1000 < micros);
        self.took[bucket].fetch_add(1, Ordering::Relaxed);
        match error {
            None => {}
            Some(E::AlreadyExists { .. } | E::NotFound { .. }) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            Some(_) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// What it has come to.
    pub(crate) fn read(&self) -> Requests {
        let took: Vec<u64> = self.took.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let requests = took.iter().sum();
        let max_ms = self.max_micros.load(Ordering::Relaxed).div_ceil(1000);
        Requests {
            requests,
            failed: self.failed.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            p50_ms: quantile(&took, requests.div_ceil(2), max_ms),
            p99_ms: quantile(&took, (requests * 99).div_ceil(100), max_ms),
            max_ms,
            seconds: Duration::from_micros(self.micros.load(Ordering::Relaxed)).as_secs_f64(),
            took,
        }
    }
}

/// The bound that so many requests did not pass.
fn quantile(took: &[u64], rank: u64, max_ms: u64) -> u64 {
    let mut sum = 0;
    let bucket = took.iter().position(|count| {
        sum += count;
        sum >= rank
    });
    bucket.and_then(|bucket| BOUNDS_MS.get(bucket)).map_or(max_ms, |bound| max_ms.min(*bound))
}

/// Requests of one kind since the start.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Requests {
    /// How many were answered, or given up.
    pub requests: u64,
    /// Those that failed; they are tried again.
    pub failed: u64,
    /// Puts of objects that existed, and gets of such that did not: part of how the log works.
    pub refused: u64,
    /// Half of them took at most this long, in milliseconds, rounded up to a bound of the histogram.
    pub p50_ms: u64,
    /// The same for 99 of 100.
    pub p99_ms: u64,
    /// The longest, in milliseconds.
    pub max_ms: u64,
    /// All of them together, in seconds.
    #[serde(skip)]
    pub(crate) seconds: f64,
    #[serde(skip)]
    took: Vec<u64>,
}

impl Requests {
    /// Upper bounds in seconds, each with how many are between it and the one before.
    #[expect(clippy::cast_precision_loss, reason = "bounds are small")]
    pub(crate) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS_MS.iter().map(|ms| *ms as f64 / 1000.0).chain([f64::INFINITY]);
        bounds.zip(self.took.iter().copied().chain(std::iter::repeat(0))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_how_they_ended_and_how_long_they_took() {
        let meter = Meter::default();
        assert_eq!((meter.read().requests, meter.read().p99_ms), (0, 0));
        for ms in [1, 1, 1, 3] {
            meter.count(Duration::from_millis(ms), None);
        }
        let existed = object_store::Error::AlreadyExists { path: "x".into(), source: "there".into() };
        meter.count(Duration::from_millis(15), Some(&existed));
        let away = object_store::Error::Generic { store: "test", source: "away".into() };
        meter.count(Duration::from_secs(40), Some(&away));
        let read = meter.read();
        assert_eq!((read.requests, read.failed, read.refused), (6, 1, 1));
        assert_eq!((read.p50_ms, read.p99_ms, read.max_ms), (1, 40_000, 40_000));
        assert!((read.seconds - 40.021).abs() < 1e-9, "{read:?}");
        let buckets = read.buckets();
        assert_eq!(buckets[0], (0.001, 3));
        assert_eq!(buckets[2], (0.005, 1));
        assert_eq!(buckets[4], (0.02, 1));
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, 1)));
    }

    #[tokio::test]
    async fn a_request_is_measured_whatever_it_gives() {
        let meter = Meter::default();
        meter.time(async { Ok(1) }).await.unwrap();
        let absent = object_store::Error::NotFound { path: "x".into(), source: "no".into() };
        meter.time(async { Err::<(), _>(absent) }).await.unwrap_err();
        assert_eq!((meter.read().requests, meter.read().refused), (2, 1));
    }
}
