//! Metrics in the OpenMetrics text format, read off a snapshot at each scrape, so that the figures of a
//! scrape belong together and nothing is counted twice.

mod histogram;
mod process;

use std::fmt;

pub use histogram::{Histogram, Took};
use process::Process;
pub(crate) use process::began;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// What all metrics' names begin with.
const PREFIX: &str = "spillway";

/// What the collector says, as text, and what every program says of itself.
///
/// # Errors
/// Only if writing to a string fails.
pub fn encode(collector: impl Collector) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Process));
    registry.register_collector(Box::new(collector));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

/// A counter without labels.
///
/// # Errors
/// Only if writing to a string fails.
pub fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = ConstCounter::new(value);
    metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

/// A gauge without labels.
///
/// # Errors
/// Only if writing to a string fails.
pub fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    metric.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}
