//! `report.json`. Durations are seconds, times RFC 3339, sizes bytes.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use super::Report;
use crate::folder::Folder;
use crate::top::Outstanding;
use crate::verify::Difference;

/// Lists of ids and differences end here; their lengths are given beside them.
const LISTED: usize = 100;

impl Report {
    pub(super) fn json(&self, folder: &Folder) -> Value {
        let parts = [self.records(), self.events(), self.times(), self.top(), self.parameters(folder)];
        let members = parts.into_iter().filter_map(|part| match part {
            Value::Object(members) => Some(members),
            _ => None,
        });
        Value::Object(members.flatten().collect())
    }

    fn records(&self) -> Value {
        let d = &self.delivery;
        json!({
            "sent": self.sent,
            "sent_bytes": self.sent_bytes,
            "received": self.received,
            "acked": self.acked,
            "spooled": self.spooled,
            "replayed": self.replayed,
            "delivered": self.acked + self.replayed,
            "dropped": self.given_up(),
            "refused_after_replay": self.dead_letters,
            "too_long": self.too_long,
            "duplicates": d.duplicates.len(),
            "lost": d.lost.len(),
            "lost_ids": &d.lost[..d.lost.len().min(LISTED)],
            "unexpected": d.unexpected.len(),
            "misnamed": d.misnamed.len(),
            "scattered": d.scattered.len(),
            "order_violations": d.disorder.len(),
            "unaccounted": self.unaccounted,
            "torn": self.torn,
            "forgotten_by_cluster": self.forgotten,
        })
    }

    fn events(&self) -> Value {
        json!({
            "passed": self.passed(),
            "faults": self.faults(),
            "events": self.events,
            "event_duplicates": self.repeats,
            "upstream_repeats": self.repeats_expected,
            "notices": self.notices,
            "quarantined": self.quarantined,
            "late": self.late,
            "window_rows": self.rows,
            "sentiment_rows": self.rows_fitted,
            "window_differences": self.differences.len(),
            "differences": self.differences.iter().take(LISTED).map(difference).collect::<Vec<_>>(),
        })
    }

    fn times(&self) -> Value {
        let line = &self.course.timeline;
        json!({
            "detect_seconds": seconds(self.course.detected),
            "catch_up_seconds": seconds(self.caught_up()),
            "took_seconds": seconds(Some(self.course.took)),
            "brokers_down_at_seconds": seconds(line.down),
            "brokers_up_at_seconds": seconds(line.up),
            "delivered_at_seconds": seconds(line.delivered),
            "breaker_opened": self.breaker_opened,
            "spool_peak_records": self.course.spool_peak_records,
            "spool_peak_bytes": self.course.spool_peak_bytes,
            "upstream_connections": self.connects,
        })
    }

    fn top(&self) -> Value {
        json!({
            "biggest_cities": self.cities.iter().map(|city| json!({
                "place": city.place,
                "events": city.events,
                "reposts": city.reposts,
                "busiest_window": time(city.busiest.0),
            })).collect::<Vec<_>>(),
            "biggest_windows": self.windows.iter().map(|window| json!({
                "window_start": time(window.start),
                "events": window.events,
                "reposts": window.reposts,
                "unique_actors": window.unique_actors,
            })).collect::<Vec<_>>(),
            "happiest_hashtags": self.happiest.as_ref().map(|hour| json!({
                "window_start": time(hour.start),
                "hashtags": hour.tags.iter().map(|(tag, smiles)| json!({
                    "hashtag": tag,
                    "smiles": smiles,
                })).collect::<Vec<_>>(),
            })),
            "most_positive": self.extremes.as_ref().map(|[positive, _]| outstanding(positive)),
            "most_negative": self.extremes.as_ref().map(|[_, negative]| outstanding(negative)),
        })
    }

    fn parameters(&self, folder: &Folder) -> Value {
        json!({
            "rate": self.rate,
            "outage_seconds": self.outage.as_secs_f64(),
            "order": self.order.name(),
            "journal": self.journal.name(),
            "seed": self.seed,
            "input": self.input.as_ref().map(|path| path.to_string_lossy()),
            "store": folder.store().to_string_lossy(),
            "objects": self.files,
        })
    }
}

fn outstanding(end: &Outstanding) -> Value {
    json!({
        "window_start": time(end.start),
        "polarity": end.post.polarity,
        "id": end.post.id,
        "text": end.post.text,
    })
}

fn difference(difference: &Difference) -> Value {
    json!({
        "table": difference.table,
        "window_start": time(difference.window_start),
        "group": difference.group,
        "expected": difference.expected,
        "found": difference.found,
    })
}

/// To the millisecond; more would be noise.
fn seconds(duration: Option<Duration>) -> Option<f64> {
    duration.map(|duration| (duration.as_secs_f64() * 1000.0).round() / 1000.0)
}

fn time(micros: i64) -> Option<String> {
    Some(DateTime::from_timestamp_micros(micros)?.to_rfc3339_opts(SecondsFormat::Secs, true))
}
