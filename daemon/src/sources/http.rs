//! Newline-delimited JSON over HTTP: one long response, read chunk by chunk, and connected again when it
//! ends.
//!
//! A connection that gave data is followed by a new attempt at once; failures in a row wait longer and
//! longer, with jitter, up to a limit. A refusal (401, 403, 404 and other 4xx) is told as such and is
//! not hammered. `Retry-After` is obeyed.

use std::error::Error as _;
use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use reqwest::header::{ACCEPT, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use spillway_service::errors::chain;
use tokio::time::Instant;

use super::ndjson::Framer;
use super::{Event, Line, Oddities};
use crate::config::HttpConfig;

/// After a refusal: an operator has to act, so there is no hurry.
const REFUSED_WAIT: Duration = Duration::from_secs(60);
/// The longest `Retry-After` that is obeyed, so that a broken header cannot stop the stream for a day.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(15 * 60);
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Why there is no HTTP client.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up an HTTP client")]
pub struct ClientError(#[source] reqwest::Error);

/// The source.
#[derive(Debug)]
pub struct HttpSource {
    client: Client,
    config: HttpConfig,
    framer: Framer,
    state: State,
    waits: ExponentialBackoff,
}

#[derive(Debug)]
enum State {
    /// Connect at this time.
    Waiting(Instant),
    /// Reading. `gave` says whether the connection has given a line.
    Streaming { response: Response, gave: bool },
    /// The response has ended; tell so at the next call.
    Broken { cause: String, gave: bool },
}

impl HttpSource {
    /// A source that connects at the first call of [`Self::next`].
    ///
    /// # Errors
    /// When the TLS setup fails.
    pub fn new(config: HttpConfig, max_line: usize) -> Result<Self, ClientError> {
        choose_cryptography();
        let mut client = Client::builder()
            .connect_timeout(config.connect_timeout)
            .user_agent(concat!("spillwayd/", env!("CARGO_PKG_VERSION")))
            .tcp_keepalive(Duration::from_secs(30));
        if !config.idle_timeout.is_zero() {
            client = client.read_timeout(config.idle_timeout);
        }
        let waits = ExponentialBackoff {
            initial_interval: FIRST_WAIT,
            current_interval: FIRST_WAIT,
            max_interval: config.reconnect_max,
            multiplier: 2.0,
            randomization_factor: 0.3,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        Ok(Self {
            client: client.build().map_err(ClientError)?,
            framer: Framer::new(max_line),
            state: State::Waiting(Instant::now()),
            config,
            waits,
        })
    }

    /// See [`super::Source::next`]. Cancel safety: the state changes only between the awaits.
    pub async fn next(&mut self) -> Event {
        loop {
            match &mut self.state {
                State::Waiting(until) => {
                    tokio::time::sleep_until(*until).await;
                    return self.connect().await;
                }
                State::Broken { cause, gave } => {
                    let (cause, gave) = (std::mem::take(cause), *gave);
                    return self.wait_after_drop(cause, gave);
                }
                State::Streaming { response, gave } => {
                    let ended = match response.chunk().await {
                        Ok(Some(chunk)) => {
                            let mut lines = Vec::new();
                            self.framer
                                .push(chunk, |bytes, _| lines.push(Line { bytes, id: None, cursor: None }));
                            if lines.is_empty() {
                                continue;
                            }
                            *gave = true;
                            return Event::Lines(lines);
                        }
                        Ok(None) => "the upstream ended the response".to_owned(),
                        Err(error) => describe(&error),
                    };
                    let gave = *gave;
                    self.state = State::Broken { cause: ended, gave };
                    if let Some(bytes) = self.framer.finish() {
                        return Event::Lines(vec![Line { bytes, id: None, cursor: None }]);
                    }
                }
            }
        }
    }

    /// What was met besides lines.
    #[must_use]
    pub fn oddities(&self) -> Oddities {
        self.framer.oddities()
    }

    async fn connect(&mut self) -> Event {
        let mut request = self
            .client
            .get(self.config.url.reveal())
            .header(ACCEPT, "application/x-ndjson, application/json;q=0.9, */*;q=0.1");
        if let Some(token) = &self.config.bearer_token {
            request = request.bearer_auth(token.reveal());
        }
        let answered = tokio::time::timeout(self.config.connect_timeout, request.send()).await;
        match answered {
            Ok(Ok(response)) if response.status().is_success() => {
                self.state = State::Streaming { response, gave: false };
                Event::Connected
            }
            Ok(Ok(response)) => self.wait_after_status(&response),
            Ok(Err(error)) => self.wait_longer(describe(&error)),
            Err(_) => self.wait_longer(format!("no answer within {:?}", self.config.connect_timeout)),
        }
    }

    fn wait_after_status(&mut self, response: &Response) -> Event {
        let status = response.status();
        let cause = format!("the upstream answered {status}");
        let temporary = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
        if status.is_client_error() && !temporary.contains(&status) {
            return self.wait(cause, true, REFUSED_WAIT);
        }
        let told = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|v| v.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        match told {
            Some(told) => self.wait(cause, false, told.min(RETRY_AFTER_MAX)),
            None => self.wait_longer(cause),
        }
    }

    fn wait_after_drop(&mut self, cause: String, gave: bool) -> Event {
        if gave {
            self.waits.reset();
            return self.wait(cause, false, Duration::ZERO);
        }
        self.wait_longer(cause)
    }

    fn wait_longer(&mut self, cause: String) -> Event {
        let wait = self.waits.next_backoff().unwrap_or(self.config.reconnect_max);
        self.wait(cause, false, wait)
    }

    fn wait(&mut self, cause: String, refused: bool, retry_in: Duration) -> Event {
        self.state = State::Waiting(Instant::now() + retry_in);
        Event::Disconnected { cause, refused, retry_in }
    }
}

/// Chooses the cryptography for HTTPS, which must be done before the first client of a process is built;
/// whoever chose before keeps the choice. Does nothing in a build without TLS.
pub fn choose_cryptography() {
    #[cfg(feature = "tls")]
    {
        // An error means that it was chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
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
