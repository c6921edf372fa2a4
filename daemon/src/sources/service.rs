//! The services, one row each: how each is read, resumed and connected again when the configuration says
//! nothing else.

use std::time::Duration;

use super::notices::Dialect;
use super::reconnect::{self, Plan};

/// What is particular about a service.
#[derive(Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name: `type` in the configuration.
    pub name: &'static str,
    /// How it is reached.
    pub transport: Transport,
    /// Where it is, if there is one place.
    pub url: Option<&'static str>,
    /// Whether it serves nobody without a token.
    pub needs_token: bool,
    /// JSON pointer to a record's id, if all records have one.
    pub id: Option<&'static str>,
    /// JSON pointer to a record's time.
    pub time: Option<&'static str>,
    /// Whether events of different types share ids: then the type becomes a part of the id.
    pub ids_by_type: bool,
    /// No bytes for this long: the connection is dead.
    pub stall: Duration,
    /// When to connect again.
    pub plan: Plan,
    /// Whether `reconnect_max` may change the plan.
    pub plan_is_ours: bool,
    /// What a new connection can give of the time between.
    pub resume: Resume,
    /// Whose notices are looked for.
    pub notices: Dialect,
}

/// How a service is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// By one long response over HTTP.
    Http(Framing),
    /// By messages over a WebSocket.
    WebSocket(Protocol),
}

/// What is spoken over a WebSocket: in each protocol a message is a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Nothing but messages.
    Plain,
    /// Bluesky's Jetstream: events with a time, which is the place to go on from.
    Jetstream,
}

/// How records are told apart in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A line each.
    Ndjson,
    /// Server-sent events.
    Sse,
}

/// What a new connection can give of the time between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// Nothing, and across restarts the gap is not known either.
    No,
    /// Nothing; the time of the last record is kept, so that the gap is known across restarts.
    Time,
    /// Some minutes, for accounts that may ask for them.
    Backfill,
    /// All since the event with the last id, if events have ids.
    LastEventId,
    /// All since the last event; the service gives its place, an id or a time, with all events.
    Always,
}

impl Resume {
    /// Whether the place is kept across restarts.
    #[must_use]
    pub fn keeps_cursor(self) -> bool {
        self != Self::No
    }
}

const STALL: Duration = Duration::from_secs(60);

/// The services.
pub static SERVICES: [Service; 7] = [
    Service {
        name: "http_ndjson",
        transport: Transport::Http(Framing::Ndjson),
        url: None,
        needs_token: false,
        id: None,
        time: None,
        ids_by_type: false,
        stall: STALL,
        plan: reconnect::USUAL,
        plan_is_ours: true,
        resume: Resume::No,
        notices: Dialect::None,
    },
    Service {
        name: "http_sse",
        transport: Transport::Http(Framing::Sse),
        url: None,
        needs_token: false,
        id: None,
        time: None,
        ids_by_type: false,
        stall: STALL,
        plan: reconnect::SSE,
        plan_is_ours: true,
        resume: Resume::LastEventId,
        notices: Dialect::None,
    },
    Service {
        name: "x_filtered_stream",
        transport: Transport::Http(Framing::Ndjson),
        url: Some(
            "https://api.x.com/2/tweets/search/stream?tweet.fields=author_id,created_at,lang,referenced_tweets",
        ),
        needs_token: true,
        id: Some("/data/id"),
        time: Some("/data/created_at"),
        ids_by_type: false,
        // A keep-alive comes at least every 20 s.
        stall: Duration::from_secs(20),
        plan: reconnect::X,
        plan_is_ours: false,
        resume: Resume::Backfill,
        notices: Dialect::X,
    },
    Service {
        name: "wikimedia",
        transport: Transport::Http(Framing::Sse),
        url: Some("https://stream.wikimedia.org/v2/stream/recentchange"),
        needs_token: false,
        id: Some("/meta/id"),
        time: Some("/meta/dt"),
        ids_by_type: false,
        stall: STALL,
        plan: reconnect::SSE,
        plan_is_ours: true,
        resume: Resume::Always,
        notices: Dialect::Wikimedia,
    },
    Service {
        name: "mastodon",
        transport: Transport::Http(Framing::Sse),
        url: None,
        needs_token: false,
        id: Some("/id"),
        time: Some("/created_at"),
        // A notification's id is no status' id, and an edit has the id of what it edits.
        ids_by_type: true,
        // `:thump` comes every 15 s; two of them may be late.
        stall: Duration::from_secs(40),
        plan: reconnect::SSE,
        plan_is_ours: true,
        resume: Resume::Time,
        notices: Dialect::Mastodon,
    },
    Service {
        name: "bluesky_jetstream",
        transport: Transport::WebSocket(Protocol::Jetstream),
        // Several instances serve the same: `jetstream::INSTANCES`.
        url: None,
        needs_token: false,
        // Made of several fields: `jetstream::identity`.
        id: None,
        time: Some("/time_us"),
        ids_by_type: false,
        // After half of it a ping is sent, so that an idle subscription is no stall.
        stall: Duration::from_secs(30),
        plan: reconnect::JETSTREAM,
        plan_is_ours: true,
        resume: Resume::Always,
        notices: Dialect::None,
    },
    Service {
        name: "websocket",
        transport: Transport::WebSocket(Protocol::Plain),
        url: None,
        needs_token: false,
        id: None,
        time: None,
        ids_by_type: false,
        stall: STALL,
        plan: reconnect::USUAL,
        plan_is_ours: true,
        resume: Resume::Time,
        notices: Dialect::None,
    },
];

/// The row with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointer::Pointer;

    #[test]
    fn the_rows_are_whole() {
        for service in &SERVICES {
            assert_eq!(find(service.name), Some(service));
            for pointer in service.id.iter().chain(&service.time) {
                assert!(Pointer::parse(pointer).is_some(), "{}", service.name);
            }
            assert!(service.stall >= Duration::from_secs(20), "{}", service.name);
            assert!(service.url.is_none_or(|url| url.starts_with("https://")), "{}", service.name);
            let is_socket = matches!(service.transport, Transport::WebSocket(_));
            assert!(
                !is_socket || service.notices == Dialect::None,
                "{} has no setting for them",
                service.name
            );
        }
        assert_eq!(find("x"), None);
    }

    #[test]
    fn x_counts_as_stalled_after_20_seconds_and_has_its_own_plan() {
        let x = find("x_filtered_stream").map(|x| (x.stall, x.plan, x.plan_is_ours));
        assert_eq!(x, Some((Duration::from_secs(20), reconnect::X, false)));
    }
}
