//! Wikimedia EventStreams: server-sent events whose ids are positions in Kafka topics, by timestamp.
//!
//! The timestamps are those of Kafka, which are not moved when the events' own times jump.
//! `Last-Event-ID` is a JSON array with the newest timestamp of each topic. A stream resumed by it
//! begins with the first event that is not older: events of the same millisecond come again, and some
//! before them. `since` begins at a time. `Accept: application/json` gets one event a line, without
//! ids. Some events are canaries: `meta.domain` is `canary`.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;

use super::control::State;
use super::dialect::{Answer, Dialect, Draft, Form, Reply, Start, event, rfc3339};
use super::log::{Record, What};
use super::{Options, Service, StartError};
use crate::http::{self, Request};

const PATH: &str = "/v2/stream/recentchange";
const TOPIC: &str = "eqiad.mediawiki.recentchange";
/// The topic of the data centre that stands by has no events.
const STANDBY: &str = "codfw.mediawiki.recentchange";

/// How this EventStreams behaves.
#[derive(Debug, Clone)]
pub struct Wikimedia {
    /// A resumed stream begins this many events earlier than its timestamp asks.
    pub overlap: u64,
    /// Every such event is a canary; 0 for none.
    pub canary_every: u64,
}

impl Default for Wikimedia {
    fn default() -> Self {
        Self { overlap: 5, canary_every: 25 }
    }
}

impl Wikimedia {
    /// Starts the service.
    ///
    /// # Errors
    /// When the address or a thread is not to be had.
    pub fn start(self, options: Options) -> Result<Service, StartError> {
        Service::launch(Arc::new(self), true, options)
    }

    /// The first record that a stream by this id serves. Records beyond the log are live.
    fn resume(&self, id: &str, state: &State) -> Option<u64> {
        let positions: Vec<Value> = serde_json::from_str(id).ok()?;
        let ours = positions.iter().find(|position| position["topic"] == TOPIC)?;
        let live = state.log.len() + 1;
        match (ours["timestamp"].as_i64(), ours["offset"].as_i64()) {
            (Some(ms), _) => Some(first_at(state, ms).saturating_sub(self.overlap).max(1)),
            (None, Some(-1)) => Some(live),
            (None, Some(offset)) => Some(u64::try_from(offset).ok()?.clamp(1, live)),
            (None, None) => None,
        }
    }
}

/// The first record that is not older, as Kafka looks it up.
fn first_at(state: &State, ms: i64) -> u64 {
    let first = state.log.records().iter().find(|record| record.at_ms >= ms);
    first.map_or(state.log.len() + 1, |record| record.number)
}

fn mark(record: &Record) -> String {
    format!(
        r#"[{{"topic":"{TOPIC}","partition":0,"timestamp":{}}},{{"topic":"{STANDBY}","partition":0,"offset":-1}}]"#,
        record.at_ms
    )
}

impl Dialect for Wikimedia {
    fn path(&self) -> &str {
        PATH
    }

    fn compose(&self, draft: &Draft) -> (String, What, Bytes) {
        let hex = format!("{:032x}", draft.unique);
        let id = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
        // 0 divides none of them: numbers begin with 1.
        let canary = draft.number.is_multiple_of(self.canary_every);
        let (what, domain) =
            if canary { (What::Canary, "canary") } else { (What::Event, "commons.wikimedia.org") };
        let (dt, n, seconds, text) = (draft.time(), draft.number, draft.event_ms / 1_000, &draft.text);
        let body = format!(
            r#"{{"$schema":"/mediawiki/recentchange/1.0.0","meta":{{"uri":"https://commons.wikimedia.org/wiki/{n}","id":"{id}","dt":"{dt}","domain":"{domain}","stream":"mediawiki.recentchange","topic":"{TOPIC}","partition":0,"offset":{n}}},"id":{n},"type":"edit","namespace":0,"title":"Dam {n}","comment":"{text}","timestamp":{seconds},"user":"user{}","bot":false,"wiki":"commonswiki"}}"#,
            n % 97
        );
        (id, what, body.into())
    }

    fn answer(&self, request: &Request, state: &mut State, _now: Instant) -> Answer {
        if request.path() != PATH || request.method != "GET" {
            return Answer::Other(self.refusal(404));
        }
        let lines = request.header("accept").is_some_and(|accept| accept.contains("application/json"));
        let form = if lines { Form::Lines } else { Form::Events };
        let live = state.log.len() + 1;
        let next = match (request.header("last-event-id"), request.query("since")) {
            (Some(id), _) => self.resume(id, state),
            (None, Some(since)) => {
                let time = chrono::DateTime::parse_from_rfc3339(&since.replace("%3A", ":"));
                time.ok().map(|time| first_at(state, time.timestamp_millis()))
            }
            (None, None) => Some(live),
        };
        match next {
            Some(next) => Answer::Stream(Start { form, replay: Vec::new(), next }),
            None => Answer::Refuse(self.refusal(400)),
        }
    }

    fn refusal(&self, status: u16) -> Reply {
        let title = http::reason(status);
        Reply::json(status, &serde_json::json!({"type": "about:blank", "title": title, "status": status}))
    }

    fn hello(&self, form: Form) -> Vec<u8> {
        match form {
            Form::Events => b":ok\n\n".to_vec(),
            Form::Lines => Vec::new(),
        }
    }

    fn frame(&self, record: &Record, form: Form) -> Vec<u8> {
        match form {
            Form::Lines => [&record.body[..], b"\n"].concat(),
            Form::Events => event(&[("event", "message"), ("id", &mark(record))], &record.body, "\n"),
        }
    }

    fn end_len(&self, form: Form) -> usize {
        if form == Form::Lines { 1 } else { 2 }
    }

    fn keep_alive(&self, form: Form) -> &'static [u8] {
        if form == Form::Lines { b"\n" } else { b":\n\n" }
    }

    fn message(&self, form: Form, last: bool) -> Vec<u8> {
        let text = if last { "The stream ends." } else { "A broker is away." };
        let body = format!(
            r#"{{"name":"KafkaSSEError","message":"{text}","origin":"KafkaSSE","at":"{}"}}"#,
            rfc3339(0)
        );
        match form {
            Form::Events => event(&[("event", "error")], body.as_bytes(), "\n"),
            // Lines have no place for it.
            Form::Lines => Vec::new(),
        }
    }
}
