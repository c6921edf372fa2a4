//! What a request is answered with: one of the two streams, the number of the last post, or why not.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::session::{Feed, Session};
use super::{Options, State, Timeline};
use crate::http::{self, Request};
use crate::shared::Shared;

/// What every connection needs.
pub(super) struct Server {
    shared: Arc<Shared<State>>,
    rate: u64,
    keep_alive: Duration,
}

impl Server {
    pub(super) fn new(options: &Options, shared: Arc<Shared<State>>) -> Self {
        Self { shared, rate: options.rate, keep_alive: options.keep_alive }
    }

    pub(super) async fn serve(self: Arc<Self>, mut socket: TcpStream) {
        let request = tokio::select! {
            request = Request::read(&mut socket) => request,
            () = self.stopped() => return,
        };
        // A client that went away before it asked gets no answer.
        let Ok(Some(request)) = request else { return };
        match self.answer(&request) {
            Ok((feed, after)) => Session::new(socket, &self.shared, feed, after, self.keep_alive).run().await,
            Err(answer) => {
                // Nor one that went away since.
                let _ = socket.write_all(&answer).await;
                let _ = socket.shutdown().await;
            }
        }
    }

    /// Returns when the server is being stopped. Cancel safe: it keeps nothing.
    async fn stopped(&self) {
        let mut script = self.shared.script();
        while !self.shared.lock().stopping {
            if script.changed().await.is_err() {
                return;
            }
        }
    }

    /// A stream and the number that it begins behind; or a whole answer.
    fn answer(&self, request: &Request) -> Result<(Feed, u64), Vec<u8>> {
        match (&*request.method, request.path()) {
            ("GET", "/stream") => Ok((Feed::Events, self.begin(request)?)),
            ("GET", "/lines") => {
                let mut timeline = Timeline::new(self.rate);
                timeline.begin(Instant::now(), now_ms());
                Ok((Feed::Lines(timeline), 0))
            }
            ("POST", "/end") => {
                // The clock is read under the lock: no stream has seen a later moment.
                let last = self.shared.change(|state| state.timeline.end(Instant::now(), now_ms()));
                Err(text(200, &last.to_string()))
            }
            (_, "/stream" | "/lines" | "/end") => Err(text(405, http::reason(405))),
            _ => Err(text(404, http::reason(404))),
        }
    }

    /// Begins the posts. An id that was never sent is refused: its client has it from elsewhere.
    fn begin(&self, request: &Request) -> Result<u64, Vec<u8>> {
        let after = request.header("last-event-id").map_or(Ok(0), str::parse);
        let mut state = self.shared.lock();
        match after {
            Ok(after) if after <= state.timeline.newest(Instant::now()) => {
                state.timeline.begin(Instant::now(), now_ms());
                Ok(after)
            }
            _ => Err(text(400, "Last-Event-ID is no number of a post")),
        }
    }
}

fn text(status: u16, line: &str) -> Vec<u8> {
    http::answer(status, "text/plain", &[], format!("{line}\n").as_bytes())
}

/// The wall clock in milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
