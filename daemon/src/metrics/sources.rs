//! The metrics of the upstreams: one series a source, labelled with its name.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::status::SourceStatus;

/// A figure of one source.
type Count = fn(&SourceStatus) -> u64;

const COUNTERS: [(&str, &str, Count); 12] = [
    ("source_received_records", "Records taken from the upstream", |s| s.received),
    ("source_received_bytes", "Bytes of the records taken from the upstream", |s| s.received_bytes),
    ("source_read_bytes", "Bytes read from the upstream, before any compression", |s| s.stream.read_bytes),
    ("source_connects", "Connections made to the upstream", |s| s.stream.connects),
    ("source_stalls", "Connections given up because nothing came", |s| s.stream.stalls()),
    ("source_torn_lines", "Torn last records, never emitted", |s| s.stream.torn),
    ("source_too_long_lines", "Records over the limit, dropped", |s| s.stream.too_long),
    ("source_keep_alives", "Empty lines and comments", |s| s.stream.keep_alives),
    ("source_empty_messages", "Messages without data", |s| s.stream.empty),
    ("source_duplicates", "Records that an earlier connection had given, left out", |s| s.stream.duplicates),
    ("source_gaps", "Spans that were missed and cannot be served again", |s| s.stream.gaps),
    ("source_gap_milliseconds", "How long the missed spans are together", |s| s.stream.gap_ms),
];

type Gauge = fn(&SourceStatus) -> Option<i64>;

const GAUGES: [(&str, &str, Gauge); 3] = [
    ("source_connected", "1 while the upstream is connected", |s| Some(i64::from(s.stream.connected))),
    ("source_ended", "1 once the input has ended for good, such as a file", |s| {
        Some(i64::from(s.stream.ended))
    }),
    ("source_lag_milliseconds", "From the newest record's own time to its receipt", |s| s.stream.lag_ms),
];

/// Counters that have a second label.
type Family = fn(&SourceStatus) -> &std::collections::BTreeMap<&'static str, u64>;

const FAMILIES: [(&str, &str, &str, Family); 2] = [
    ("source_disconnects", "Connections that ended and attempts that failed, by cause", "cause", |s| {
        &s.stream.disconnects
    }),
    ("source_notices", "Messages of the upstream that are no data, by kind", "kind", |s| &s.stream.notices),
];

/// One series a source.
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, sources: &[SourceStatus]) -> fmt::Result {
    for (name, help, value) in COUNTERS {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for source in sources {
            let label = [("source", source.name.as_str())];
            ConstCounter::new(value(source)).encode(family.encode_family(&label)?)?;
        }
    }
    for (name, help, value) in GAUGES {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for source in sources {
            let label = [("source", source.name.as_str())];
            if let Some(value) = value(source) {
                ConstGauge::new(value).encode(family.encode_family(&label)?)?;
            }
        }
    }
    for (name, help, second, values) in FAMILIES {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for source in sources {
            for (value, count) in values(source) {
                let labels = [("source", source.name.as_str()), (second, value)];
                ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}
