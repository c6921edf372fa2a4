//! What every program says of itself: its version, when it began, and how often it has logged each kind of
//! trouble.

use std::fmt;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::gauge;
use crate::logging;

static BEGAN: OnceLock<SystemTime> = OnceLock::new();

/// When the program began: the time of the first call.
pub(crate) fn began() -> SystemTime {
    *BEGAN.get_or_init(SystemTime::now)
}

/// See the module.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let seconds = began().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        gauge(&mut encoder, "start_time_seconds", "When the program was started, as unix time", seconds)?;
        let mut family =
            encoder.encode_descriptor("build_info", "1, with the version", None, MetricType::Gauge)?;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        ConstGauge::new(1_i64).encode(family.encode_family(&version)?)?;
        let help =
            "How often a WARN or an ERROR was logged, by the event's name: docs/runbook.md explains each";
        let mut family = encoder.encode_descriptor("logged_events", help, None, MetricType::Counter)?;
        for (kind, count) in logging::logged() {
            let labels = [("event", kind.name), ("level", kind.level.as_str())];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_scrape_names_the_version_the_start_and_every_kind_of_trouble() {
        #[derive(Debug)]
        struct Nothing;
        impl super::Collector for Nothing {
            fn encode(&self, _: super::DescriptorEncoder<'_>) -> std::fmt::Result {
                Ok(())
            }
        }
        let text = crate::figures::encode(Nothing).unwrap();
        assert!(text.contains(&format!("build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"))));
        let start = text.lines().find_map(|line| line.strip_prefix("spillway_start_time_seconds ")).unwrap();
        assert!(start.parse::<u64>().unwrap() > 1_700_000_000, "{start}");
        let troubles = text.matches("\nspillway_logged_events_total{event=").count();
        assert_eq!(troubles, crate::logging::logged().count());
        assert!(text.contains("logged_events_total{event=\"breaker_open\",level=\"WARN\"} 0\n"));
    }
}
