//! What is particular to a service: how it answers a request, what its records look like, and how it
//! says that it is still there or that it ends the stream.

use std::time::Instant;

use bytes::Bytes;

use super::control::State;
use super::log::{Record, What};
use crate::http::Request;
use crate::rng::Rng;

/// How records stand in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A line each.
    Lines,
    /// Server-sent events.
    Events,
}

/// A stream to be begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) form: Form,
    /// Records to be served before the others, in this order.
    pub(super) replay: Vec<u64>,
    /// The first record after those.
    pub(super) next: u64,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn json(status: u16, body: &serde_json::Value) -> Self {
        let body = body.to_string().into_bytes();
        Self { status, content_type: "application/json; charset=utf-8", headers: Vec::new(), body }
    }
}

/// What a request is answered with.
#[derive(Debug)]
pub(super) enum Answer {
    /// The stream.
    Stream(Start),
    /// The stream is refused; this is told.
    Refuse(Reply),
    /// The request was for something else.
    Other(Reply),
}

/// A service's ways.
pub(super) trait Dialect: Send + Sync {
    /// The path of the stream.
    fn path(&self) -> &str;

    /// Id, kind and body of a record.
    fn compose(&self, draft: &Draft) -> (String, What, Bytes);

    /// Answers a request. The log has grown up to `now`.
    fn answer(&self, request: &Request, state: &mut State, now: Instant) -> Answer;

    /// What is told with a refusal of this status that the script wants.
    fn refusal(&self, status: u16) -> Reply;

    /// The headers that tell when a client may come again.
    fn limits(&self, wait_s: u64, now_s: u64) -> Vec<(String, String)> {
        let _ = now_s;
        vec![("retry-after".into(), wait_s.to_string())]
    }

    fn content_type(&self, form: Form) -> &'static str {
        match form {
            Form::Lines => "application/json; charset=utf-8",
            Form::Events => "text/event-stream; charset=utf-8",
        }
    }

    /// The first bytes of a stream.
    fn hello(&self, _form: Form) -> Vec<u8> {
        Vec::new()
    }

    /// A record as it stands in the stream, with its end.
    fn frame(&self, record: &Record, form: Form) -> Vec<u8>;

    /// How many bytes of a frame are its end, without which it is torn.
    fn end_len(&self, form: Form) -> usize;

    fn keep_alive(&self, form: Form) -> &'static [u8];

    /// A message that is no data. `last` when the stream ends after it; then empty if the service
    /// says nothing.
    fn message(&self, form: Form, last: bool) -> Vec<u8>;
}

/// What a record is made of.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) number: u64,
    pub(super) event_ms: i64,
    /// 128 bits that no other record of the seed has.
    pub(super) unique: u128,
    /// Of one to four bytes a letter, nothing that JSON would escape.
    pub(super) text: String,
}

/// Letters of one to four bytes, so that a cut can fall inside of each kind.
const WORDS: [&str; 8] = ["spill", "Überlauf", "déversoir", "водослив", "余水路", "🌊🚰", "حاجز", "dam-7"];

impl Draft {
    /// The draft of record `number`; its text is `big` bytes long, or some more, if that is given.
    pub(super) fn new(seed: u64, number: u64, event_ms: i64, big: Option<usize>) -> Self {
        let mut rng = Rng::new(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let unique = u128::from(rng.next_u64()) << 64 | u128::from(number);
        let usual = if rng.chance(0.05) { 4_000 } else { 400 };
        let size = big.unwrap_or(20 + rng.index(usual));
        let mut text = String::with_capacity(size + 32);
        while text.len() < size {
            text.push_str(rng.pick(&WORDS));
            text.push(' ');
        }
        text.push('末');
        Self { number, event_ms, unique, text }
    }

    /// The event time in RFC 3339 with milliseconds.
    pub(super) fn time(&self) -> String {
        rfc3339(self.event_ms)
    }
}

/// Milliseconds since 1970 in RFC 3339.
pub(super) fn rfc3339(ms: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(ms).unwrap_or_default();
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// A record as a server-sent event with fields of its own before the data.
pub(super) fn event(fields: &[(&str, &str)], body: &[u8], line_end: &str) -> Vec<u8> {
    let mut frame = Vec::with_capacity(body.len() + 64);
    let mut line = |name: &str, value: &[u8]| {
        frame.extend_from_slice(name.as_bytes());
        frame.extend_from_slice(b": ");
        frame.extend_from_slice(value);
        frame.extend_from_slice(line_end.as_bytes());
    };
    for (name, value) in fields {
        line(name, value.as_bytes());
    }
    for part in body.split(|byte| *byte == b'\n') {
        line("data", part);
    }
    frame.extend_from_slice(line_end.as_bytes());
    frame
}
