//! What is known of one upstream: its connection, what it met, why it was disconnected.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::Serialize;

use super::lock;
use crate::sources::Met;
use crate::sources::gaps::Gap;
use crate::sources::notices::Kind;
use crate::sources::reconnect::Cause;

/// The upstream. Writer: stream.
#[derive(Debug, Default)]
pub struct StreamView(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    connected: bool,
    ended: bool,
    connects: u64,
    /// By [`Cause::ALL`].
    disconnects: [u64; Cause::ALL.len()],
    met: Met,
    last_error: Option<String>,
}

/// A copy of what is known of the upstream.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StreamStatus {
    /// Whether it is connected.
    pub connected: bool,
    /// Whether its input has ended for good.
    pub ended: bool,
    /// Connections made since the start.
    pub connects: u64,
    /// Connections that ended and attempts that failed, by cause.
    pub disconnects: BTreeMap<&'static str, u64>,
    /// Bytes read from it, as they were before any compression.
    pub read_bytes: u64,
    /// Torn last records: never emitted.
    pub torn: u64,
    /// Records over the limit: dropped before they were records.
    pub too_long: u64,
    /// Empty lines and comments.
    pub keep_alives: u64,
    /// Messages that are no data, by kind.
    pub notices: BTreeMap<&'static str, u64>,
    /// Messages without data.
    pub empty: u64,
    /// Records that an earlier connection had given; recognised by their ids and left out.
    pub duplicates: u64,
    /// Spans of which nothing was received and that the upstream cannot serve again.
    pub gaps: u64,
    /// How long they are together, milliseconds.
    pub gap_ms: u64,
    /// The last one.
    pub last_gap: Option<Gap>,
    /// From the newest record's own time to its receipt, milliseconds; none without such a time.
    pub lag_ms: Option<i64>,
    /// Why it was disconnected last.
    pub last_error: Option<String>,
}

impl StreamStatus {
    /// Connections that were given up because nothing came.
    #[must_use]
    pub fn stalls(&self) -> u64 {
        self.disconnects.get(Cause::Stall.name()).copied().unwrap_or(0)
    }
}

impl StreamView {
    /// What is known now.
    #[must_use]
    pub fn status(&self) -> StreamStatus {
        let known = lock(&self.0);
        let Met { bytes, odd, tally } = known.met;
        StreamStatus {
            connected: known.connected,
            ended: known.ended,
            connects: known.connects,
            disconnects: Cause::ALL.iter().map(|c| (c.name(), known.disconnects[*c as usize])).collect(),
            read_bytes: bytes,
            torn: odd.torn,
            too_long: odd.too_long,
            keep_alives: odd.keep_alives,
            notices: Kind::ALL.iter().map(|k| (k.name(), tally.notices[*k as usize])).collect(),
            empty: tally.empty,
            duplicates: tally.duplicates,
            gaps: tally.gaps,
            gap_ms: tally.gap_ms,
            last_gap: tally.last_gap,
            lag_ms: tally.lag_ms,
            last_error: known.last_error.clone(),
        }
    }

    pub(crate) fn connected(&self) {
        let mut known = lock(&self.0);
        known.connected = true;
        known.connects += 1;
    }

    pub(crate) fn disconnected(&self, cause: Cause, detail: &str) {
        let mut known = lock(&self.0);
        known.connected = false;
        known.disconnects[cause as usize] += 1;
        known.last_error = Some(detail.to_owned());
    }

    pub(crate) fn ended(&self) {
        let mut known = lock(&self.0);
        known.connected = false;
        known.ended = true;
    }

    pub(crate) fn met(&self, met: Met) {
        lock(&self.0).met = met;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disconnects_are_counted_by_cause() {
        let view = StreamView::default();
        view.connected();
        view.disconnected(Cause::Stall, "nothing came");
        view.disconnected(Cause::Told, "told");
        view.disconnected(Cause::Told, "told");
        let status = view.status();
        assert_eq!((status.stalls(), status.disconnects["told"], status.disconnects["network"]), (1, 2, 0));
        assert_eq!(status.last_error.as_deref(), Some("told"));
        assert!(!status.connected && status.connects == 1);
        for (place, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, place);
        }
    }
}
