//! A stream over HTTP: one long response of lines or server-sent events, read chunk by chunk, and
//! connected again when it ends, by the service's own rules.
//!
//! Where the service can go on, it is asked to: by `Last-Event-ID`, or by the minutes of the gap
//! (`backfill_minutes`). A refusal (401, 403, 404, 409 and other 4xx) is told as such and not hammered.
//! A redirect that leads to another host does not get the token.

mod body;
pub(crate) mod client;

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, Response};
use spillway_service::errors::chain;
use tokio::time::Instant;

pub use client::{ClientError, choose_cryptography};

use body::Body;

use super::gaps::Coverage;
use super::intake::{Intake, Reading};
use super::reconnect::Cause;
use super::retry::{Failure, Retry};
use super::service::Framing;
use super::{Event, Line, Met, Oddities, answer, ndjson, sse};
use crate::config::HttpConfig;
use crate::frontier::Cursor;
use crate::ledger::unix_ms;

const LAST_EVENT_ID: &str = "last-event-id";
/// Longest id that is kept across restarts: the spool's store for cursors is for small values.
const CURSOR_ID_BYTES_MAX: usize = 1536;
const MINUTE_MS: i64 = 60_000;
/// X serves at most so much again.
const BACKFILL_MINUTES_MAX: i64 = 5;

/// The source.
#[derive(Debug)]
pub struct HttpSource {
    client: Client,
    config: HttpConfig,
    name: String,
    framer: Framer,
    intake: Intake,
    state: State,
    retry: Retry,
    bytes: u64,
    long_id_told: bool,
}

#[derive(Debug)]
enum Framer {
    Ndjson(ndjson::Framer),
    Sse(sse::Framer),
}

#[derive(Debug)]
enum State {
    /// Connect when it is due.
    Waiting,
    /// Reading.
    Streaming(Stream),
    /// The response has ended; tell so at the next call.
    Broken(Failure),
}

#[derive(Debug)]
struct Stream {
    response: Response,
    body: Body,
    /// When the connection counts as dead, if nothing comes.
    stalled_at: Option<Instant>,
}

impl Stream {
    /// The next piece of the body, or why there is none. Cancel safety: between the last await and the end
    /// nothing can be dropped.
    async fn chunk(&mut self, idle: Duration) -> Result<Bytes, Failure> {
        loop {
            match self.body.next() {
                Ok(Some(piece)) => return Ok(piece),
                Ok(None) => {}
                Err(error) => {
                    let detail = format!("the compressed stream is damaged: {error}");
                    return Err(Failure::new(Cause::Network, detail));
                }
            }
            let chunk = self.raw(idle).await?;
            self.body.push(chunk);
        }
    }

    /// What comes next over the connection. Cancel safety: it is taken in the last step, and the deadline
    /// outlasts a call that is dropped.
    async fn raw(&mut self, idle: Duration) -> Result<Bytes, Failure> {
        let read = if idle.is_zero() {
            self.response.chunk().await
        } else {
            let deadline = *self.stalled_at.get_or_insert_with(|| Instant::now() + idle);
            match tokio::time::timeout_at(deadline, self.response.chunk()).await {
                Ok(read) => read,
                Err(_) => return Err(Failure::new(Cause::Stall, format!("nothing came for {idle:?}"))),
            }
        };
        self.stalled_at = None;
        match read {
            Ok(Some(chunk)) => Ok(chunk),
            Ok(None) => Err(Failure::new(Cause::Ended, "the upstream ended the response")),
            Err(error) => Err(Failure::new(Cause::Network, describe(&error))),
        }
    }
}

impl HttpSource {
    /// A source that connects at the first call of [`Self::next`] and goes on at `resume`.
    ///
    /// # Errors
    /// When the client cannot be set up.
    pub fn new(
        name: &str,
        config: HttpConfig,
        max_record: usize,
        resume: Option<Cursor>,
    ) -> Result<Self, ClientError> {
        let service = config.service;
        let mut framer = match config.framing {
            Framing::Ndjson => Framer::Ndjson(ndjson::Framer::new(max_record)),
            Framing::Sse => Framer::Sse(sse::Framer::new(max_record)),
        };
        let mut last_received_ms = None;
        match (resume, &mut framer) {
            (Some(Cursor::Sse { last_event_id }), Framer::Sse(framer)) => framer.resume(last_event_id.into()),
            (Some(Cursor::Time { received_ms }), _) => last_received_ms = Some(received_ms),
            // A cursor of another kind of source: this one was configured under its name later.
            _ => {}
        }
        let reading = Reading {
            source: name.to_owned(),
            id: config.id.clone(),
            time: config.time.clone(),
            ids_by_type: service.ids_by_type,
            notices: service.notices,
            produce_notices: config.produce_notices,
        };
        Ok(Self {
            client: client::build(&config)?,
            name: name.to_owned(),
            framer,
            intake: Intake::new(reading, last_received_ms),
            state: State::Waiting,
            retry: Retry::new(config.link.plan),
            config,
            bytes: 0,
            long_id_told: false,
        })
    }

    /// See [`super::Source::next`]. Cancel safety: the state changes only between the awaits.
    pub async fn next(&mut self) -> Event {
        loop {
            let read = match &mut self.state {
                State::Streaming(stream) => stream.chunk(self.config.link.idle_timeout).await,
                State::Waiting | State::Broken(_) => return self.go_on().await,
            };
            let lines = match read {
                Ok(chunk) => self.take(chunk),
                Err(failure) => self.broke(failure),
            };
            if !lines.is_empty() {
                return Event::Lines(lines);
            }
        }
    }

    /// What was met, since the start.
    #[must_use]
    pub fn met(&self) -> Met {
        Met { bytes: self.bytes, odd: self.oddities(), tally: self.intake.tally() }
    }

    fn oddities(&self) -> Oddities {
        match &self.framer {
            Framer::Ndjson(framer) => framer.oddities(),
            Framer::Sse(framer) => framer.oddities(),
        }
    }

    /// Tells the end of a connection, or makes the next one when it is due.
    ///
    /// Cancel safety: the state changes only between the awaits.
    async fn go_on(&mut self) -> Event {
        if let State::Broken(failure) = std::mem::replace(&mut self.state, State::Waiting) {
            return self.retry.failed(failure);
        }
        self.retry.due().await;
        let (request, coverage) = self.request();
        match self.connect(request).await {
            Ok((response, body)) => {
                self.intake.connected(coverage);
                self.state = State::Streaming(Stream { response, body, stalled_at: None });
                self.retry.connected()
            }
            Err(failure) => self.retry.failed(failure),
        }
    }

    async fn connect(&self, request: RequestBuilder) -> Result<(Response, Body), Failure> {
        let limit = self.config.link.connect_timeout;
        let response = match tokio::time::timeout(limit, request.send()).await {
            Ok(answered) => answered.map_err(|error| Failure::new(Cause::Network, describe(&error)))?,
            Err(_) => return Err(Failure::new(Cause::Network, format!("no answer within {limit:?}"))),
        };
        let status = response.status();
        if !status.is_success() {
            let told = answer::told(response.headers(), SystemTime::now());
            let detail = answer::describe(status, self.config.service.name);
            return Err(Failure { cause: answer::cause(status), detail, told });
        }
        if let Some(detail) = self.wrong_type(&response) {
            return Err(Failure::new(Cause::Refused, detail));
        }
        let encoding = response.headers().get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
        let Some(body) = Body::new(encoding) else {
            let detail = format!("the upstream compresses by {encoding:?}, which it was not offered");
            return Err(Failure::new(Cause::Refused, detail));
        };
        Ok((response, body))
    }

    /// The request for the stream, and what its answer will give of the time since the last one.
    fn request(&self) -> (RequestBuilder, Coverage) {
        let (url, since) = self.backfill();
        let mut request =
            self.client.get(url).header(ACCEPT, self.accepts()).header(ACCEPT_ENCODING, body::ACCEPTED);
        if let Some(token) = &self.config.link.bearer_token {
            request = request.bearer_auth(token.reveal());
        }
        let last_id = match &self.framer {
            Framer::Sse(framer) if !framer.last_id().is_empty() => {
                HeaderValue::from_bytes(framer.last_id()).ok()
            }
            _ => None,
        };
        match (last_id, since) {
            (Some(id), _) => (request.header(LAST_EVENT_ID, id), Coverage::Full),
            (None, Some(since)) => (request, since),
            (None, None) => (request, Coverage::None),
        }
    }

    fn accepts(&self) -> &'static str {
        match self.framer {
            Framer::Ndjson(_) => "application/x-ndjson, application/json;q=0.9, */*;q=0.1",
            Framer::Sse(_) => "text/event-stream",
        }
    }

    /// The address, with the minutes since the last record where the service serves them again.
    fn backfill(&self) -> (String, Option<Coverage>) {
        let url = self.config.url.reveal().to_owned();
        let Some(last_ms) = self.intake.last_received_ms().filter(|_| self.config.backfill) else {
            return (url, None);
        };
        let now = now_ms();
        let minutes = backfill_minutes(now.saturating_sub(last_ms));
        let joint = if url.contains('?') { '&' } else { '?' };
        let since = Coverage::Since { since_ms: now - minutes * MINUTE_MS, now_ms: now };
        (format!("{url}{joint}backfill_minutes={minutes}"), Some(since))
    }

    /// A page instead of a stream of events, as proxies and servers give for a wrong address.
    fn wrong_type(&self, response: &Response) -> Option<String> {
        let Framer::Sse(_) = self.framer else { return None };
        let given = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
        let is_right = given.trim_start().to_ascii_lowercase().starts_with("text/event-stream");
        (!is_right).then(|| {
            format!("the upstream answered with {given:?} instead of text/event-stream; check source.url")
        })
    }

    fn take(&mut self, chunk: Bytes) -> Vec<Line> {
        self.bytes += chunk.len() as u64;
        let now = now_ms();
        let Self { framer, intake, .. } = self;
        let (mut lines, mut last_id, mut retry) = (Vec::new(), Bytes::new(), None);
        match framer {
            Framer::Ndjson(framer) => {
                framer.push(chunk, |bytes, _| lines.extend(intake.take(b"", bytes, now)))
            }
            Framer::Sse(framer) => {
                framer.push(&chunk, |event| {
                    if let Some(line) = intake.take(event.name, event.data, now) {
                        last_id = event.last_id.clone();
                        lines.push(line);
                    }
                });
                retry = framer.take_retry();
            }
        }
        if let Some(retry) = retry {
            self.retry.base(retry);
        }
        self.seal(&mut lines, &last_id, now);
        self.retry.read(!lines.is_empty());
        lines
    }

    /// Gives the last of the lines the cursor: one for all of them, a restart repeats at most so much.
    fn seal(&mut self, lines: &mut [Line], last_id: &Bytes, now: i64) {
        self.intake.newest(now);
        let Some(last) = lines.last_mut() else { return };
        if !self.config.service.resume.keeps_cursor() {
            return;
        }
        last.cursor = match std::str::from_utf8(last_id) {
            Ok("") => Some(Cursor::Time { received_ms: self.intake.last_received_ms().unwrap_or(now) }),
            Ok(id) if id.len() <= CURSOR_ID_BYTES_MAX => Some(Cursor::Sse { last_event_id: id.to_owned() }),
            _ => {
                self.tell_long_id(last_id.len());
                None
            }
        };
    }

    fn tell_long_id(&mut self, bytes: usize) {
        if !std::mem::replace(&mut self.long_id_told, true) {
            tracing::warn!(event = "source_id_not_kept", source = %self.name, bytes, "the upstream's event ids are too long, or no UTF-8, to be kept across restarts");
        }
    }

    /// The connection has ended: gives the last line if it is whole, and tells the end at the next call.
    fn broke(&mut self, failure: Failure) -> Vec<Line> {
        let last = match &mut self.framer {
            Framer::Ndjson(framer) => framer.finish(),
            Framer::Sse(framer) => {
                framer.finish();
                None
            }
        };
        let now = now_ms();
        let mut lines: Vec<Line> =
            last.and_then(|bytes| self.intake.take(b"", bytes, now)).into_iter().collect();
        self.seal(&mut lines, &Bytes::new(), now);
        self.retry.read(!lines.is_empty());
        let cause = self.intake.announced().unwrap_or(failure.cause);
        self.state = State::Broken(Failure { cause, ..failure });
        lines
    }
}

/// The minutes of a gap, rounded up, as far as they are served again.
fn backfill_minutes(gap_ms: i64) -> i64 {
    (gap_ms.max(0).saturating_add(MINUTE_MS - 1) / MINUTE_MS).clamp(1, BACKFILL_MINUTES_MAX)
}

fn now_ms() -> i64 {
    i64::try_from(unix_ms()).unwrap_or(i64::MAX)
}

/// The error with its causes and without the address, which may carry a secret.
fn describe(error: &reqwest::Error) -> String {
    let what = match (error.is_timeout(), error.is_connect()) {
        (true, _) => "timed out",
        (_, true) => "cannot connect",
        _ => "the connection broke",
    };
    error.source().map_or_else(|| what.to_owned(), |cause| format!("{what}: {}", chain(cause)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minutes_of_a_gap_are_rounded_up_to_what_is_served() {
        let of =
            [(-5, 1), (0, 1), (1, 1), (60_000, 1), (60_001, 2), (299_999, 5), (300_001, 5), (i64::MAX, 5)];
        for (gap_ms, minutes) in of {
            assert_eq!(backfill_minutes(gap_ms), minutes, "{gap_ms}");
        }
    }
}
