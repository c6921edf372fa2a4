//! The consumer's metrics, all in this file: names, units and help. They are read off one [`Status`] at each
//! scrape.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use spillway_service::figures::{self, counter};

use super::{PartitionStatus, Status, StoreStatus};
use crate::control::TableSummary;
use crate::newest::WindowStatus;
use crate::store::Requests;

/// The status in the OpenMetrics text format.
///
/// # Errors
/// Only if writing to a string fails.
pub(crate) fn encode(status: Status) -> Result<String, fmt::Error> {
    figures::encode(Snapshot(status))
}

#[derive(Debug)]
struct Snapshot(Status);

type Count = fn(&Status) -> u64;

const COUNTERS: [(&str, &str, Count); 12] = [
    ("consumer_read_records", "Records read", |s| s.counts.read),
    ("consumer_events", "Events counted in a window", |s| s.counts.events),
    ("consumer_late_events", "Events after their window was closed; kept in the log", |s| s.counts.late),
    ("consumer_duplicate_events", "Events whose id was counted before", |s| s.counts.duplicates),
    ("consumer_replayed_records", "Records that had been dealt with before", |s| s.counts.replayed),
    (
        "consumer_quarantined_records",
        "Records that are no event, or one of the far future; kept in the log",
        |s| s.counts.quarantined,
    ),
    ("consumer_notices", "Messages of the upstream about itself", |s| s.counts.notices),
    ("consumer_missed_records", "Records that Kafka deleted before they were read: loss", |s| {
        s.counts.missed
    }),
    (
        "consumer_log_conflicts",
        "Times that another member had written to the log of an owned partition",
        |s| s.counts.log_conflicts,
    ),
    ("consumer_frontier_conflicts", "Times that another finaliser was first with a proposal", |s| {
        s.counts.frontier_conflicts
    }),
    ("consumer_notified_objects", "Notifications of final objects that were taken", |s| {
        s.notifications.delivered
    }),
    ("consumer_notify_failures", "Attempts to notify that failed; each is made again", |s| {
        s.notifications.failures
    }),
];

/// A gauge that may be unknown; then it has no series.
type Level = fn(&Status) -> Option<u64>;

const GAUGES: [(&str, &str, Level); 10] = [
    ("consumer_ready", "1 while it does what it is there for", |s| Some(u64::from(s.not_ready.is_empty()))),
    ("consumer_paused", "1 while reading waits for the store", |s| Some(u64::from(s.is_paused))),
    ("consumer_partitions", "Partitions owned", |s| Some(s.partitions.len() as u64)),
    ("consumer_lag_records", "Records of the owned partitions not read yet", |s| s.lag.processed),
    ("consumer_lag_durable_records", "Records of the owned partitions not in the log yet", |s| s.lag.durable),
    ("consumer_finaliser", "1 for the member that runs the finaliser", |s| {
        Some(u64::from(s.frontier.is_ours))
    }),
    ("consumer_frontier_seconds", "Windows that end by this unix time are final", |s| {
        u64::try_from(s.frontier.final_ms?.div_euclid(1000)).ok()
    }),
    ("consumer_frontier_lag_milliseconds", "How long ago the frontier is", |s| s.frontier.final_lag_ms),
    (
        "consumer_frontier_usual_lag_milliseconds",
        "How long ago the frontier is at most when all is well: a pane, the delay, the close interval",
        |s| Some(s.frontier.usual_lag_ms),
    ),
    ("consumer_store_waiting_milliseconds", "How long something has waited for the store", |s| {
        Some(s.store.waiting_ms.unwrap_or(0))
    }),
];

type OfPartition = fn(&PartitionStatus) -> Option<u64>;

const OF_PARTITION: [(&str, &str, OfPartition); 4] = [
    ("consumer_partition_lag_records", "Records not read yet", |p| p.lag.processed),
    ("consumer_partition_lag_durable_records", "Records not in the log yet", |p| p.lag.durable),
    ("consumer_partition_watermark_seconds", "The watermark, as unix time", |p| {
        u64::try_from(p.watermark_ms?.div_euclid(1000)).ok()
    }),
    ("consumer_partition_watermark_lag_milliseconds", "How long ago the watermark is", |p| {
        p.watermark_lag_ms
    }),
];

type OfTable = fn(&TableSummary) -> u64;

const OF_TABLE: [(&str, &str, OfTable); 3] = [
    ("consumer_table_objects", "Objects written", |t| t.objects),
    ("consumer_table_rows", "Rows written", |t| t.rows),
    ("consumer_table_objects_found", "Objects that were there already, with the same content", |t| {
        t.objects_found
    }),
];

type OfRequests = fn(&Requests) -> u64;

const OF_REQUESTS: [(&str, &str, OfRequests); 2] = [
    ("consumer_store_failed_requests", "Requests to the store that failed", |r| r.failed),
    ("consumer_store_refused_requests", "Objects that existed, or did not, when asked for", |r| r.refused),
];

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Self(status) = self;
        for (name, help, value) in COUNTERS {
            counter(&mut encoder, name, help, value(status))?;
        }
        for (name, help, value) in GAUGES {
            // The name and its help are said in any case, so that who looks for it finds it.
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            if let Some(value) = value(status) {
                ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric)?;
            }
        }
        for (name, help, value) in OF_PARTITION {
            partitions(&mut encoder, name, help, value, &status.partitions)?;
        }
        blocked(&mut encoder, status)?;
        for (name, help, value) in OF_TABLE {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for table in &status.tables {
                let labels = [("table", table.table.as_str())];
                ConstCounter::new(value(table)).encode(family.encode_family(&labels)?)?;
            }
        }
        windows(&mut encoder, &status.windows)?;
        store(&mut encoder, &status.store)
    }
}

fn partitions(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: OfPartition,
    partitions: &[PartitionStatus],
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for partition in partitions {
        let Some(value) = value(partition).and_then(|value| i64::try_from(value).ok()) else { continue };
        let labels = [("partition", partition.partition.to_string())];
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// One series at most: the partition that the frontier waits for.
fn blocked(encoder: &mut DescriptorEncoder<'_>, status: &Status) -> fmt::Result {
    let help = "1 for the partition that the frontier waits for; said by the finaliser";
    let mut family = encoder.encode_descriptor("consumer_frontier_blocked", help, None, MetricType::Gauge)?;
    let Some(blocked) = status.frontier.blocked_by else { return Ok(()) };
    let labels = [("partition", blocked.partition.to_string())];
    ConstGauge::new(1).encode(family.encode_family(&labels)?)
}

type OfWindow = fn(&WindowStatus) -> i64;

const OF_WINDOW: [(&str, &str, OfWindow); 2] = [
    ("consumer_window_end_seconds", "The end of the table's newest final window, as unix time", |w| {
        w.end_ms.div_euclid(1000)
    }),
    ("consumer_window_groups", "Groups in the table's newest final window", |w| {
        i64::try_from(w.groups).unwrap_or(i64::MAX)
    }),
];

/// Of tables whose newest final window has a row. A series for each of the greatest groups and column: at most
/// 20 groups a table.
fn windows(encoder: &mut DescriptorEncoder<'_>, windows: &[WindowStatus]) -> fmt::Result {
    for (name, help, value) in OF_WINDOW {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for window in windows {
            let labels = [("table", window.table.as_str())];
            ConstGauge::new(value(window)).encode(family.encode_family(&labels)?)?;
        }
    }
    let help = "Counts of the greatest groups of the table's newest final window; said by the finaliser";
    let mut family = encoder.encode_descriptor("consumer_window_count", help, None, MetricType::Gauge)?;
    for window in windows {
        for group in &window.top {
            for (column, count) in &group.counts {
                let labels =
                    [("table", window.table.as_str()), ("group", group.group.as_str()), ("column", column)];
                let count = i64::try_from(*count).unwrap_or(i64::MAX);
                ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}

fn store(encoder: &mut DescriptorEncoder<'_>, store: &StoreStatus) -> fmt::Result {
    let all = [("put", &store.put), ("get", &store.get), ("list", &store.list)];
    let mut family = encoder.encode_descriptor(
        "consumer_store_request_seconds",
        "How long requests to the store took, those that failed among them",
        None,
        MetricType::Histogram,
    )?;
    for (kind, requests) in all {
        family.encode_family(&[("request", kind)])?.encode_histogram::<NoLabelSet>(
            requests.seconds,
            requests.requests,
            &requests.buckets(),
            None,
        )?;
    }
    for (name, help, value) in OF_REQUESTS {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (kind, requests) in all {
            ConstCounter::new(value(requests)).encode(family.encode_family(&[("request", kind)])?)?;
        }
    }
    Ok(())
}
