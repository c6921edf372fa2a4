//! X's filtered stream with its rules.
//!
//! A bearer token; 409 while the account has no rules; one connection at a time, a second one gets 429
//! with a `ConnectionException`; a limited number of connects in a window. No resume: what is published
//! while a client is away is gone, unless the plan allows `backfill_minutes`, which serves the last
//! minutes again, unsorted and with duplicates. [`Options::backlog_max`] cuts off a slow reader.

mod rules;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
pub use rules::{Change, Rule, Rules};
use serde_json::{Value, json};

use super::control::State;
use super::dialect::{Answer, Dialect, Draft, Form, Reply, Start};
use super::log::{Record, What};
use super::{Options, Service, StartError, now_ms};
use crate::http::{self, Request};

const STREAM: &str = "/2/tweets/search/stream";
const RULES: &str = "/2/tweets/search/stream/rules";
const COUNTS: &str = "/2/tweets/search/stream/rules/counts";
const MINUTES_MAX: u32 = 5;

/// How this X behaves.
#[derive(Debug, Clone)]
pub struct X {
    /// The bearer token that a client must present.
    pub token: Option<String>,
    /// The account's rules; clones share them.
    pub rules: Rules,
    /// The plan allows `backfill_minutes`; one of its minutes is this long.
    pub backfill: Option<Duration>,
    /// Further connects within the time are refused.
    pub connects_max: Option<(usize, Duration)>,
}

impl Default for X {
    fn default() -> Self {
        Self { token: None, rules: Rules::new([("dam", "water")]), backfill: None, connects_max: None }
    }
}

impl X {
    /// Starts the service.
    ///
    /// # Errors
    /// When the address or a thread is not to be had.
    pub fn start(self, options: Options) -> Result<Service, StartError> {
        Service::launch(Arc::new(self), false, options)
    }

    fn stream(&self, request: &Request, state: &State, now: Instant) -> Answer {
        if let Some(reply) = self.too_many(state, now) {
            return Answer::Refuse(reply);
        }
        if self.rules.list().is_empty() {
            let detail = "You must define rules before connecting to the stream.";
            return Answer::Refuse(exception(409, detail, "RuleConfigurationIssue"));
        }
        let next = state.log.len() + 1;
        match (request.query("backfill_minutes").map(str::parse::<u32>), self.backfill) {
            (None | Some(Ok(0)), _) => Answer::Stream(Start { form: Form::Lines, replay: Vec::new(), next }),
            (Some(Ok(minutes)), Some(minute)) if minutes <= MINUTES_MAX => {
                let replay = replay(state, now.checked_sub(minute * minutes));
                Answer::Stream(Start { form: Form::Lines, replay, next })
            }
            _ => Answer::Refuse(problem(
                400,
                "Invalid Request",
                "The `backfill_minutes` query parameter value is not allowed.",
                "invalid-request",
            )),
        }
    }

    /// The limits of open connections and of connects.
    fn too_many(&self, state: &State, now: Instant) -> Option<Reply> {
        if state.streaming > 0 {
            let detail = "This stream is currently at the maximum allowed connection limit.";
            return Some(exception(429, detail, "TooManyConnections"));
        }
        let (max, window) = self.connects_max?;
        let recent = |at: &Instant| now.saturating_duration_since(*at) < window;
        let mut connects = state.connections.iter().map(|connection| connection.at).filter(recent);
        let first = connects.next()?;
        if connects.count() + 1 < max {
            return None;
        }
        let left = window.saturating_sub(now.saturating_duration_since(first));
        let mut reply = self.refusal(429);
        // Rounded up: when the time is there, the window has passed.
        reply.headers = self.limits(left.as_secs() + 1, now_ms().unsigned_abs() / 1_000);
        Some(reply)
    }
}

/// What was published since then: unsorted, with some of it twice.
fn replay(state: &State, since: Option<Instant>) -> Vec<u64> {
    let recent = |record: &&Record| since.is_none_or(|since| record.born >= since);
    let mut numbers: Vec<u64> =
        state.log.records().iter().filter(recent).map(|record| record.number).collect();
    numbers.chunks_mut(3).for_each(<[u64]>::reverse);
    let twice: Vec<u64> = numbers.iter().copied().step_by(5).collect();
    numbers.extend(twice);
    numbers
}

fn problem(status: u16, title: &str, detail: &str, kind: &str) -> Reply {
    let kind = format!("https://api.twitter.com/2/problems/{kind}");
    Reply::json(status, &json!({"title": title, "detail": detail, "type": kind, "status": status}))
}

fn exception(status: u16, detail: &str, issue: &str) -> Reply {
    let kind = "https://api.twitter.com/2/problems/streaming-connection";
    let body =
        json!({"title": "ConnectionException", "detail": detail, "connection_issue": issue, "type": kind});
    Reply::json(status, &body)
}

impl Dialect for X {
    fn path(&self) -> &str {
        STREAM
    }

    fn compose(&self, draft: &Draft) -> (String, What, Bytes) {
        let id = (1_900_000_000_000_000_000 + draft.number).to_string();
        let rules = self.rules.list();
        let rule = rules.get(usize::try_from(draft.number).unwrap_or(0) % rules.len().max(1));
        let matching: Value = rule.map_or(json!([]), |rule| json!([{"id": rule.id, "tag": rule.tag}]));
        let body = format!(
            r#"{{"data":{{"author_id":"{}","created_at":"{}","edit_history_tweet_ids":["{id}"],"id":"{id}","lang":"en","text":"{}"}},"matching_rules":{matching}}}"#,
            draft.number % 101,
            draft.time(),
            draft.text
        );
        (id, What::Event, body.into())
    }

    fn answer(&self, request: &Request, state: &mut State, now: Instant) -> Answer {
        let (path, method) = (request.path(), request.method.as_str());
        let authorized = self.token.as_ref().is_none_or(|token| request.bears(token));
        match (path, method) {
            (STREAM, "GET") if authorized => self.stream(request, state, now),
            (STREAM, "GET") => Answer::Refuse(self.refusal(401)),
            (RULES | COUNTS, _) if !authorized => Answer::Other(self.refusal(401)),
            (RULES, "GET") => Answer::Other(self.rules.page(request)),
            (RULES, "POST") => Answer::Other(self.rules.post(request)),
            (COUNTS, "GET") => Answer::Other(self.rules.counts()),
            (STREAM | RULES | COUNTS, _) => Answer::Other(self.refusal(405)),
            _ => Answer::Other(self.refusal(404)),
        }
    }

    fn refusal(&self, status: u16) -> Reply {
        let title = http::reason(status);
        Reply::json(
            status,
            &json!({"title": title, "type": "about:blank", "status": status, "detail": title}),
        )
    }

    fn limits(&self, wait_s: u64, now_s: u64) -> Vec<(String, String)> {
        vec![
            ("x-rate-limit-limit".into(), "50".into()),
            ("x-rate-limit-remaining".into(), "0".into()),
            ("x-rate-limit-reset".into(), (now_s + wait_s).to_string()),
        ]
    }

    fn frame(&self, record: &Record, _form: Form) -> Vec<u8> {
        [&record.body[..], b"\r\n"].concat()
    }

    fn end_len(&self, _form: Form) -> usize {
        2
    }

    fn keep_alive(&self, _form: Form) -> &'static [u8] {
        b"\r\n"
    }

    fn message(&self, _form: Form, last: bool) -> Vec<u8> {
        let error = if last {
            json!({
                "title": "operational-disconnect",
                "disconnect_type": "UpstreamOperationalDisconnect",
                "detail": "This stream has been disconnected upstream for operational reasons.",
                "type": "https://api.twitter.com/2/problems/operational-disconnect"
            })
        } else {
            json!({
                "title": "Field Authorization Error",
                "detail": "Sorry, you are not authorized to access a field.",
                "type": "https://api.twitter.com/2/problems/not-authorized-for-field"
            })
        };
        format!("{}\r\n", json!({"errors": [error]})).into_bytes()
    }
}
