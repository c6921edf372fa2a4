//! Mastodon's streaming API: server-sent events without ids, so what is published while a client is
//! away is gone for it.
//!
//! `:)` comes at once and `:thump` as the sign of life, both without an empty line after them. The
//! events are `update` and `status.update` (a status; the second has the id of the first),
//! `delete` (a bare id) and `filters_changed` (the word `undefined`). A stream needs a user's token.
//! It ends without a word when the token is revoked.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde_json::json;

use super::control::State;
use super::dialect::{Answer, Dialect, Draft, Form, Reply, Start, event, rfc3339};
use super::log::{Record, What};
use super::{Options, Service, StartError};
use crate::http::{self, Request};

const PATH: &str = "/api/v1/streaming/public";
/// Before the path's last part.
const PREFIX: &str = "/api/v1/streaming/";
const CHANNELS: [&str; 6] = ["public", "public/local", "public/remote", "hashtag", "user", "list"];

/// How this Mastodon behaves.
#[derive(Debug, Clone)]
pub struct Mastodon {
    /// The user's token; without one everybody may listen, as before 4.2.
    pub token: Option<String>,
    /// Every such record is a `status.update` of an earlier one; 0 for none.
    pub edit_every: u64,
    /// Every such record is a `delete`; 0 for none.
    pub delete_every: u64,
    /// Every such record is a `filters_changed`; 0 for none.
    pub filters_every: u64,
}

impl Default for Mastodon {
    fn default() -> Self {
        Self { token: None, edit_every: 11, delete_every: 13, filters_every: 29 }
    }
}

impl Mastodon {
    /// Starts the service.
    ///
    /// # Errors
    /// When the address or a thread is not to be had.
    pub fn start(self, options: Options) -> Result<Service, StartError> {
        Service::launch(Arc::new(self), false, options)
    }

    /// The event's name for a record.
    fn name(&self, number: u64) -> &'static str {
        // 0 divides none of them: numbers begin with 1.
        let is = |every: u64| number.is_multiple_of(every);
        if is(self.filters_every) {
            "filters_changed"
        } else if is(self.delete_every) {
            "delete"
        } else if is(self.edit_every) && number > 1 {
            "status.update"
        } else {
            "update"
        }
    }
}

fn status_id(number: u64) -> String {
    (110_000_000_000_000_000 + number).to_string()
}

impl Dialect for Mastodon {
    fn path(&self) -> &str {
        PATH
    }

    fn compose(&self, draft: &Draft) -> (String, What, Bytes) {
        let name = self.name(draft.number);
        // Of an earlier status.
        let earlier = status_id(draft.number - 1);
        match name {
            "filters_changed" => (String::new(), What::Notice, Bytes::from_static(b"undefined")),
            "delete" => (earlier.clone(), What::Delete, earlier.into()),
            _ => {
                let edit = name == "status.update";
                let id = if edit { earlier } else { status_id(draft.number) };
                let edited = if edit { format!("\"{}\"", draft.time()) } else { "null".into() };
                let body = format!(
                    r#"{{"id":"{id}","created_at":"{}","in_reply_to_id":null,"sensitive":false,"visibility":"public","language":"ja","uri":"http://fake/statuses/{}","edited_at":{edited},"content":"<p>{}</p>","account":{{"id":"{}","acct":"user"}}}}"#,
                    draft.time(),
                    draft.number,
                    draft.text,
                    draft.number % 89
                );
                (id, What::Event, body.into())
            }
        }
    }

    fn answer(&self, request: &Request, state: &mut State, _now: Instant) -> Answer {
        let channel = request.path().strip_prefix(PREFIX);
        if !channel.is_some_and(|channel| CHANNELS.contains(&channel)) || request.method != "GET" {
            return Answer::Other(self.refusal(404));
        }
        if let Some(token) = &self.token {
            let given = request.header("authorization").is_some() || request.query("access_token").is_some();
            if !given {
                return Answer::Refuse(Reply::json(401, &json!({"error": "Missing access token"})));
            }
            if !request.bears(token) && request.query("access_token") != Some(token) {
                return Answer::Refuse(Reply::json(401, &json!({"error": "Invalid access token"})));
            }
        }
        let next = state.log.len() + 1;
        Answer::Stream(Start { form: Form::Events, replay: Vec::new(), next })
    }

    fn refusal(&self, status: u16) -> Reply {
        Reply::json(status, &json!({"error": http::reason(status)}))
    }

    /// Mastodon gives the time itself where others give seconds.
    fn limits(&self, wait_s: u64, now_s: u64) -> Vec<(String, String)> {
        let reset = i64::try_from((now_s + wait_s) * 1_000).unwrap_or(i64::MAX);
        vec![
            ("x-ratelimit-limit".into(), "300".into()),
            ("x-ratelimit-remaining".into(), "0".into()),
            ("x-ratelimit-reset".into(), rfc3339(reset)),
        ]
    }

    fn content_type(&self, _form: Form) -> &'static str {
        "text/event-stream"
    }

    fn hello(&self, _form: Form) -> Vec<u8> {
        b":)\n".to_vec()
    }

    fn frame(&self, record: &Record, _form: Form) -> Vec<u8> {
        event(&[("event", self.name(record.number))], &record.body, "\n")
    }

    fn end_len(&self, _form: Form) -> usize {
        2
    }

    fn keep_alive(&self, _form: Form) -> &'static [u8] {
        b":thump\n"
    }

    fn message(&self, _form: Form, last: bool) -> Vec<u8> {
        if last { Vec::new() } else { b"event: filters_changed\ndata: undefined\n\n".to_vec() }
    }
}
