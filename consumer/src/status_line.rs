//! What `systemctl status` shows of the consumer: one line.

use std::time::Duration;

use spillway_consumer::status::{Frontier, Status};
use spillway_service::units::{show_count, show_duration, show_time};

/// `to_do` is what an operator still has to do.
pub(crate) fn of(status: &Status, to_do: Option<&str>) -> String {
    let Status { counts, partitions, lag, frontier, .. } = status;
    let mut parts = vec![
        format!("{} partitions", partitions.len()),
        lag.processed.map_or_else(
            || "how many records are to be read is not known".to_owned(),
            |records| format!("{} records to be read", show_count(records)),
        ),
        final_through(frontier),
        format!("{} late", show_count(counts.late)),
    ];
    let troubles = [(counts.quarantined, "quarantined"), (counts.missed, "deleted unread")];
    let counted = troubles.iter().filter(|(count, _)| *count > 0);
    parts.extend(counted.map(|(count, what)| format!("{} {what}", show_count(*count))));
    if status.is_paused {
        parts.push("reading pauses".to_owned());
    }
    parts.extend(status.not_ready.iter().cloned());
    parts.extend(to_do.map(str::to_owned));
    parts.join(", ")
}

fn final_through(frontier: &Frontier) -> String {
    // Windows that ended before 1970 there are none.
    let Some(ms) = frontier.final_ms.and_then(|ms| u64::try_from(ms).ok()) else {
        return "no window is final yet".to_owned();
    };
    let ago =
        frontier.final_lag_ms.map(|lag| format!(" ({} ago)", show_duration(Duration::from_millis(lag))));
    format!("windows are final to {}{}", show_time(ms), ago.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use spillway_consumer::status::{Counts, Lag, Notifications, StoreStatus};

    use super::*;

    fn status() -> Status {
        Status {
            version: "1",
            topic: "events".into(),
            group: "g".into(),
            instance_id: None,
            not_ready: Vec::new(),
            kafka_silent_ms: None,
            is_paused: false,
            counts: Counts { late: 1_200, ..Counts::default() },
            lag: Lag { processed: Some(3_400), durable: Some(5_600) },
            frontier: Frontier {
                final_ms: Some(1_622_507_700_000),
                final_lag_ms: Some(45_000),
                ..Frontier::default()
            },
            partitions: Vec::new(),
            tables: Vec::new(),
            windows: Vec::new(),
            notifications: Notifications::default(),
            store: StoreStatus::default(),
        }
    }

    #[test]
    fn a_run_that_is_well_says_how_far_it_is() {
        let line = "0 partitions, 3,400 records to be read, \
                    windows are final to 2021-06-01T00:35:00.000Z (45.0 s ago), 1,200 late";
        assert_eq!(of(&status(), None), line);
    }

    #[test]
    fn what_is_not_known_or_not_well_is_said() {
        let status = Status {
            counts: Counts { quarantined: 2, missed: 7, ..Counts::default() },
            lag: Lag::default(),
            frontier: Frontier::default(),
            is_paused: true,
            not_ready: vec!["Kafka has not answered yet".into()],
            ..status()
        };
        let line = "0 partitions, how many records are to be read is not known, no window is final yet, 0 late, \
                    2 quarantined, 7 deleted unread, reading pauses, Kafka has not answered yet, \
                    a restart is needed for kafka.topic";
        assert_eq!(of(&status, Some("a restart is needed for kafka.topic")), line);
    }
}
