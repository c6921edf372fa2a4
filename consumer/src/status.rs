//! The status of a run: one snapshot for `/status`, `/readyz` and the metrics. All times are unix
//! milliseconds in UTC, all lags are at least 0.

use serde::Serialize;

use crate::control::TableSummary;
use crate::log::Standing;
use crate::micros::Micros;
use crate::newest::WindowStatus;
use crate::store::Requests;

pub(crate) mod metrics;

/// A snapshot.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Version of the program.
    pub version: &'static str,
    /// The topic that is read.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// Its name in the group, when it has one of its own.
    pub instance_id: Option<String>,
    /// Why it does not do what it is there for; nothing when it does.
    pub not_ready: Vec<String>,
    /// How long ago Kafka was asked what it last answered; `None` when it has not answered since the start.
    pub kafka_silent_ms: Option<u64>,
    /// Reading pauses until the store has taken what waits.
    pub is_paused: bool,
    /// What became of records since the start.
    pub counts: Counts,
    /// Records of its partitions that are still to be dealt with.
    pub lag: Lag,
    /// How far windows are final.
    pub frontier: Frontier,
    /// The partitions that it owns.
    pub partitions: Vec<PartitionStatus>,
    /// What it has written, by table.
    pub tables: Vec<TableSummary>,
    /// The newest final window of each table, when this member runs the finaliser and the table's groups come
    /// back from window to window.
    pub windows: Vec<WindowStatus>,
    /// Who was told of final objects.
    pub notifications: Notifications,
    /// Its requests to the store.
    pub store: StoreStatus,
}

/// Notifications of final objects since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Notifications {
    /// Those that were taken.
    pub delivered: u64,
    /// Attempts that failed; each is made again.
    pub failures: u64,
}

/// What became of records since the start. Every record read is one of the first seven after `read`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Records read.
    pub read: u64,
    /// Events counted in a window.
    pub events: u64,
    /// Events that came after their window was closed; kept in the log.
    pub late: u64,
    /// Events whose id was counted before.
    pub duplicates: u64,
    /// Records that had been dealt with before.
    pub replayed: u64,
    /// Records that are no event, or one of the far future; kept in the log.
    pub quarantined: u64,
    /// Messages of the upstream about itself.
    pub notices: u64,
    /// Records that Kafka deleted before they could be read: loss.
    pub missed: u64,
    /// How often another member had written to the log of a partition that this one owned.
    pub log_conflicts: u64,
    /// How often another finaliser was first with a proposal.
    pub frontier_conflicts: u64,
}

/// Records of the partitions that this member owns; `None` while an end is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Lag {
    /// In the topic and not read yet.
    pub processed: Option<u64>,
    /// In the topic and not in the log yet: what a successor would read.
    pub durable: Option<u64>,
}

impl Lag {
    /// Of all of them together.
    pub(crate) fn sum(partitions: &[PartitionStatus]) -> Self {
        Self {
            processed: partitions.iter().map(|partition| partition.lag.processed).sum(),
            durable: partitions.iter().map(|partition| partition.lag.durable).sum(),
        }
    }
}

/// How far windows are final.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Frontier {
    /// This member runs the finaliser: it owns partition 0.
    pub is_ours: bool,
    /// Windows that end at or before this are final.
    pub final_ms: Option<i64>,
    /// How long ago that is.
    pub final_lag_ms: Option<u64>,
    /// How long ago it is at most when all is well: a pane, the delay and the close interval.
    pub usual_lag_ms: u64,
    /// Windows that end at or before this are to be final next.
    pub proposed_ms: Option<i64>,
    /// The partition that it waits for. Only the member that runs the finaliser knows.
    pub blocked_by: Option<BlockedBy>,
}

/// The partition that the frontier waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BlockedBy {
    /// Which.
    pub partition: i32,
    /// It has a log: a member has owned it since it was made.
    pub has_log: bool,
    /// Its panes that end at or before this are closed.
    pub closed_through_ms: Option<i64>,
}

/// One partition that this member owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionStatus {
    /// Which.
    pub partition: i32,
    /// The offset of the next record to be read.
    pub offset: Option<i64>,
    /// Where a successor would read from: the first record of a pane that is not in the log.
    pub durable_offset: Option<i64>,
    /// The offset of the next record to be written, as its leader last said.
    pub end_offset: Option<i64>,
    /// Its share of the lag.
    #[serde(flatten)]
    pub lag: Lag,
    /// The greatest event time seen minus the delay, or where it was closed up to by decision.
    pub watermark_ms: Option<i64>,
    /// How long ago that is.
    pub watermark_lag_ms: Option<u64>,
    /// Its panes that end at or before this are closed.
    pub closed_through_ms: Option<i64>,
    /// `awake`, `idle` or `drained`, by its newest entry.
    pub standing: &'static str,
    /// Place of its newest entry in its log.
    pub entry: u64,
    /// Panes that are in memory and not in the log.
    pub open_panes: usize,
}

/// What the engine knows of a partition.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) partition: i32,
    pub(crate) next: Option<i64>,
    pub(crate) resume: Option<i64>,
    pub(crate) watermark: Option<Micros>,
    pub(crate) closed_through: Option<Micros>,
    pub(crate) standing: Standing,
    pub(crate) seq: u64,
    pub(crate) open_panes: usize,
}

impl PartitionStatus {
    /// `ends` is the first offset that there is, and the one after the last; `wall` the time now.
    pub(crate) fn of(figures: Figures, ends: Option<(i64, i64)>, wall: Micros) -> Self {
        let left = |from: Option<i64>| {
            ends.map(|(low, high)| u64::try_from(high - from.unwrap_or(low).max(low)).unwrap_or(0))
        };
        Self {
            partition: figures.partition,
            offset: figures.next,
            durable_offset: figures.resume,
            end_offset: ends.map(|(_, high)| high),
            lag: Lag { processed: left(figures.next), durable: left(figures.resume) },
            watermark_ms: figures.watermark.map(millis),
            watermark_lag_ms: figures.watermark.map(|mark| age_ms(mark, wall)),
            closed_through_ms: figures.closed_through.map(millis),
            standing: figures.standing.name(),
            entry: figures.seq,
            open_panes: figures.open_panes,
        }
    }
}

/// A time of the run as one of the status.
pub(crate) fn millis(time: Micros) -> i64 {
    time.div_euclid(1000)
}

/// How long ago `time` was at `wall`, in milliseconds; 0 for the future.
pub(crate) fn age_ms(time: Micros, wall: Micros) -> u64 {
    u64::try_from(millis(wall.saturating_sub(time))).unwrap_or(0)
}

/// Requests to the store since the start.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StoreStatus {
    /// How long something that was brought to it has waited; `None` when nothing waits.
    pub waiting_ms: Option<u64>,
    /// Creating objects.
    pub put: Requests,
    /// Reading objects, until the answer begins.
    pub get: Requests,
    /// Listing.
    pub list: Requests,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        Figures {
            partition: 3,
            next: Some(90),
            resume: Some(60),
            watermark: Some(5_000_999),
            closed_through: Some(5_000_000),
            ..Figures::default()
        }
    }

    #[test]
    fn the_lag_is_counted_from_what_is_read_and_from_what_is_durable() {
        let status = PartitionStatus::of(figures(), Some((10, 100)), 8_000_000);
        assert_eq!(status.lag, Lag { processed: Some(10), durable: Some(40) });
        assert_eq!((status.watermark_ms, status.watermark_lag_ms), (Some(5000), Some(2999)));
        assert_eq!(status.standing, "awake");
        // What was deleted cannot be read, and an end may be older than what was read since.
        let deleted = PartitionStatus::of(figures(), Some((80, 85)), 0);
        assert_eq!(deleted.lag, Lag { processed: Some(0), durable: Some(5) });
        assert_eq!(deleted.watermark_lag_ms, Some(0));
        let fresh = PartitionStatus::of(Figures::default(), Some((10, 100)), 0);
        assert_eq!(fresh.lag.processed, Some(90));
    }

    #[test]
    fn the_lag_of_all_is_unknown_while_one_is() {
        let one = PartitionStatus::of(figures(), Some((10, 100)), 0);
        let away = PartitionStatus::of(figures(), None, 0);
        assert_eq!(away.lag, Lag::default());
        assert_eq!(Lag::sum(&[one.clone(), one.clone()]).durable, Some(80));
        assert_eq!(Lag::sum(&[one, away]), Lag::default());
        assert_eq!(Lag::sum(&[]).processed, Some(0), "a member without partitions lags behind nothing");
    }
}
