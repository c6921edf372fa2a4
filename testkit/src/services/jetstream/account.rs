//! What the server did, for the oracle.

use super::{End, Event, Jetstream, Kind};
use crate::oracle::sources::{History, Item, Session, Torn};

impl Jetstream {
    /// What the oracle judges by.
    #[must_use]
    pub fn history(&self) -> History {
        let state = self.shared.lock();
        let streams = state.connections.iter().filter(|connection| connection.from.is_some());
        let session = |connection: &super::Connection| {
            let end = connection.ended.map(|(_, end)| end);
            Session {
                from: connection.from.unwrap_or(0),
                served: connection.served.clone(),
                unended: None,
                may_lose: end.is_some_and(may_lose),
                torn: end.map_or(Torn::No, torn),
                end: format!("{:?}", connection.ended),
            }
        };
        History {
            records: state.log.events().iter().map(Into::into).collect(),
            sessions: streams.map(session).collect(),
            resumable: self.resumable,
        }
    }

    /// Whether everything has gone wrong that was to, and somebody listens.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        let state = self.shared.lock();
        let listens = state.connections.iter().any(|c| c.from.is_some() && c.ended.is_none());
        state.faults.is_empty() && state.refusals.is_empty() && listens
    }

    /// Publishes nothing more.
    pub fn finish(&self) {
        self.shared.change(|state| state.log.finish());
    }
}

impl From<&Event> for Item {
    fn from(event: &Event) -> Self {
        Self {
            number: event.number,
            hash: crate::hash(&event.bytes),
            event_ms: i64::try_from(event.time_us / 1_000).unwrap_or(i64::MAX),
            len: event.bytes.len(),
            data: true,
        }
    }
}

fn may_lose(end: End) -> bool {
    matches!(end, End::ClientGone | End::Stopped | End::Fault(Kind::Reset))
}

fn torn(end: End) -> Torn {
    match end {
        End::Fault(Kind::Torn) | End::ClientGone => Torn::Perhaps,
        _ => Torn::No,
    }
}
