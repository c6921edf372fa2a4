//! Any server of server-sent events: `id:` is the number of the record, `retry:` comes at the start,
//! and `Last-Event-ID` resumes exactly behind it. Some records have several lines.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;

use super::control::State;
use super::dialect::{Answer, Dialect, Draft, Form, Reply, Start, event};
use super::log::{Record, What};
use super::{Options, Service, StartError};
use crate::http::{self, Request};

const PATH: &str = "/events";

/// How this server behaves.
#[derive(Debug, Clone)]
pub struct Sse {
    /// The bearer token that a client must present.
    pub token: Option<String>,
    /// Told to the client as `retry:`.
    pub retry: Option<Duration>,
    /// `\n`, `\r\n` or `\r`.
    pub line_end: &'static str,
    /// Every such record has several lines; 0 for none.
    pub lines_every: u64,
    /// The stream begins with a byte order mark.
    pub bom: bool,
}

impl Default for Sse {
    fn default() -> Self {
        Self { token: None, retry: None, line_end: "\n", lines_every: 7, bom: false }
    }
}

impl Sse {
    /// Starts the service.
    ///
    /// # Errors
    /// When the address or a thread is not to be had.
    pub fn start(self, options: Options) -> Result<Service, StartError> {
        Service::launch(Arc::new(self), true, options)
    }
}

impl Dialect for Sse {
    fn path(&self) -> &str {
        PATH
    }

    fn compose(&self, draft: &Draft) -> (String, What, Bytes) {
        let id = draft.number.to_string();
        // 0 divides none of them: numbers begin with 1.
        let several = draft.number.is_multiple_of(self.lines_every);
        let gap = if several { "\n  " } else { "" };
        let body = format!(
            "{{{gap}\"id\":\"{id}\",{gap}\"time\":\"{}\",{gap}\"unique\":\"{:032x}\",{gap}\"text\":\"{}\"}}",
            draft.time(),
            draft.unique,
            draft.text
        );
        (id, What::Event, body.into())
    }

    fn answer(&self, request: &Request, state: &mut State, _now: Instant) -> Answer {
        if request.path() != PATH || request.method != "GET" {
            return Answer::Other(self.refusal(404));
        }
        if self.token.as_ref().is_some_and(|token| !request.bears(token)) {
            return Answer::Refuse(self.refusal(401));
        }
        let live = state.log.len() + 1;
        let next = match request.header("last-event-id") {
            None => live,
            Some(id) => match id.parse::<u64>() {
                Ok(number) => number.saturating_add(1).min(live),
                Err(_) => return Answer::Refuse(self.refusal(400)),
            },
        };
        Answer::Stream(Start { form: Form::Events, replay: Vec::new(), next })
    }

    fn refusal(&self, status: u16) -> Reply {
        Reply::json(status, &json!({"error": http::reason(status)}))
    }

    fn hello(&self, _form: Form) -> Vec<u8> {
        let bom = if self.bom { "\u{feff}" } else { "" };
        let retry = self.retry.map_or(String::new(), |retry| {
            format!("retry: {}{}{}", retry.as_millis(), self.line_end, self.line_end)
        });
        format!("{bom}{retry}").into_bytes()
    }

    fn frame(&self, record: &Record, _form: Form) -> Vec<u8> {
        event(&[("id", &record.id)], &record.body, self.line_end)
    }

    fn end_len(&self, _form: Form) -> usize {
        2 * self.line_end.len()
    }

    fn keep_alive(&self, _form: Form) -> &'static [u8] {
        match self.line_end {
            "\r" => b":\r\r",
            "\r\n" => b":\r\n\r\n",
            _ => b":\n\n",
        }
    }

    /// A comment; such a server has no messages of its own.
    fn message(&self, _form: Form, last: bool) -> Vec<u8> {
        let text = if last { ": ends" } else { ": a comment" };
        format!("{text}{}{}", self.line_end, self.line_end).into_bytes()
    }
}
