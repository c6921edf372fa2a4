//! The daemon's metrics, all in this file: names, units and help. They are read off one [`Status`] at
//! each scrape, so that the figures of a scrape belong together and nothing is counted twice.

mod sources;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use spillway_service::figures::{self, counter, gauge};

use crate::circuit::State;
use crate::latency::Took;
use crate::ledger::{Counts, DeadPlace, Dropped, unix_ms};
use crate::status::{SpoolStatus, Status};

/// The status in the Prometheus text format.
///
/// # Errors
/// Only if writing to a string fails.
pub fn encode(status: Status) -> Result<String, fmt::Error> {
    figures::encode(Snapshot(status))
}

#[derive(Debug)]
struct Snapshot(Status);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Status { counts, queue, in_flight, spool, .. } = &self.0;
        for (name, help, value) in [
            ("received_records", "Records taken from the upstream", counts.received),
            ("received_bytes", "Bytes of the records taken from the upstream", counts.received_bytes),
            ("acked_records", "Records acknowledged by Kafka straight from memory", counts.acked),
            ("spooled_records", "Records written to the spool", counts.spooled),
            ("replayed_records", "Records of the spool acknowledged by Kafka", counts.replayed),
            (
                "replay_refused_records",
                "Records of the spool that Kafka refused for themselves",
                counts.replay_refused,
            ),
            ("dead_letters_retried", "Dead letters that an operator had sent again", counts.dead_retried),
            ("dead_letters_deleted", "Dead letters that an operator deleted", counts.dead_deleted),
            ("unaccounted_records", "Records that ended without a fate; a bug unless 0", counts.unaccounted),
            ("breaker_opened", "How often the breaker opened", self.0.breaker_opened),
            ("spool_quarantined_records", "Records lost in corrupt frames", spool.quarantined_records),
        ] {
            counter(&mut encoder, name, help, value)?;
        }
        for (name, help, value) in [
            ("queue_records", "Records in the queue in memory", queue.records as u64),
            ("queue_bytes", "Bytes in the queue in memory", queue.bytes as u64),
            (
                "in_flight_direct_records",
                "Records of the queue handed to Kafka and not acknowledged",
                in_flight.direct as u64,
            ),
            (
                "in_flight_replay_records",
                "Records of the spool handed to Kafka and not acknowledged",
                in_flight.replay as u64,
            ),
            ("in_flight_oldest_milliseconds", "Age of the oldest record in flight", in_flight.oldest_ms),
            (
                "held_partitions",
                "Partitions without an answer, whose records wait on disk while the others go on",
                self.0.held_partitions.len() as u64,
            ),
            ("spool_records", "Records waiting on disk", spool.records),
            ("spool_bytes", "Bytes of the records waiting on disk", spool.bytes),
            ("spool_disk_bytes", "Bytes of the spool's segments", spool.disk_bytes),
            (
                "spool_room_bytes",
                "How many more bytes the spool may write, by its quota and the disk's free space above the floor",
                spool.room_bytes,
            ),
            (
                "dead_letters_waiting",
                "Dead letters in the spool, waiting for an operator",
                spool.dead_letters,
            ),
            ("spool_failing", "1 while the disk takes nothing", u64::from(spool.problem.is_some())),
            ("at_risk_records", "Records that a kill -9 would lose right now", self.0.at_risk_records),
            (
                "at_risk_bytes",
                "Bytes of the records that a kill -9 would lose right now",
                self.0.at_risk_bytes,
            ),
        ] {
            gauge(&mut encoder, name, help, value)?;
        }
        sources::encode(&mut encoder, &self.0.sources)?;
        oldest(&mut encoder, spool)?;
        delivery(&mut encoder, &self.0.latency)?;
        breaker(&mut encoder, self.0.breaker)?;
        dead_letters(&mut encoder, counts)?;
        dropped(&mut encoder, &counts.dropped, &spool.dropped_oldest)
    }
}

/// None while that is not known.
fn oldest(encoder: &mut DescriptorEncoder<'_>, spool: &SpoolStatus) -> fmt::Result {
    let help = "How long ago the oldest record that waits on disk was written there; 0 when none waits";
    let metric = encoder.encode_descriptor("spool_oldest_milliseconds", help, None, MetricType::Gauge)?;
    let age_ms = match spool.oldest_ms {
        Some(written_ms) => unix_ms().saturating_sub(written_ms),
        None if spool.records == 0 => 0,
        None => return Ok(()),
    };
    ConstGauge::new(i64::try_from(age_ms).unwrap_or(i64::MAX)).encode(metric)
}

fn delivery(encoder: &mut DescriptorEncoder<'_>, latency: &Took) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "delivery_seconds",
        "From a record's receipt to Kafka's acknowledgement, by the way that it took",
        None,
        MetricType::Histogram,
    )?;
    for (path, took) in [("direct", &latency.direct), ("disk", &latency.disk)] {
        took.encode(family.encode_family(&[("path", path)])?)?;
    }
    Ok(())
}

/// One series a state, 1 for the one it is in.
fn breaker(encoder: &mut DescriptorEncoder<'_>, state: State) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "breaker_state",
        "1 for the state that the breaker is in",
        None,
        MetricType::Gauge,
    )?;
    for (name, each) in [("closed", State::Closed), ("half_open", State::HalfOpen), ("open", State::Open)] {
        ConstGauge::new(i64::from(each == state)).encode(family.encode_family(&[("state", name)])?)?;
    }
    Ok(())
}

fn dead_letters(encoder: &mut DescriptorEncoder<'_>, counts: &Counts) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "dead_letters",
        "Records that Kafka refused for themselves, by the place that has them",
        None,
        MetricType::Counter,
    )?;
    for place in DeadPlace::ALL {
        let letters = match place {
            DeadPlace::Topic => counts.dead_topic,
            DeadPlace::Spool => counts.dead_spool,
        };
        ConstCounter::new(letters).encode(family.encode_family(&[("place", place.name())])?)?;
    }
    Ok(())
}

fn dropped(encoder: &mut DescriptorEncoder<'_>, dropped: &[Dropped], oldest: &Dropped) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "dropped_records",
        "Records dropped, by reason",
        None,
        MetricType::Counter,
    )?;
    for reason in crate::ledger::DropReason::ALL {
        let records = dropped.iter().find(|d| d.reason == reason.name()).map_or(0, |d| d.records);
        ConstCounter::new(records).encode(family.encode_family(&[("reason", reason.name())])?)?;
    }
    // Records that had been spooled, and were given up for younger ones.
    ConstCounter::new(oldest.records).encode(family.encode_family(&[("reason", oldest.reason)])?)
}
