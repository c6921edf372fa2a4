//! X's v2 filtered stream, played over real HTTP/1.1 on loopback, with its faults by script.
//!
//! `GET /2/tweets/search/stream` answers with chunks of newline-delimited JSON. As with X there is no
//! resume: a client that comes back gets what follows, and what it had not read yet is gone. Unlike X,
//! a record that was not wholly written when the connection ended is served again, whole, to the next
//! one; so the sum of what [`Upstream::served`] counts is what a client that reads on must have.
//!
//! One connection at a time: a new one replaces the old one. The server runs on a thread of its own
//! with a runtime of its own; the handle can be used from sync and async code and never blocks except
//! in the `wait_…` functions.

mod control;
mod feed;
mod http;
mod pace;
mod server;
mod stream;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use control::{Connection, Cut, CutKind, End, Refusal};
use control::{Shared, State};
pub use feed::Feed;
use server::Server;

use crate::host::Host;
pub use crate::host::StartError;

/// How long a pause waits for what is being written.
const PAUSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Gets every record that has been wholly written, in order, without its line end.
pub type Tap = Box<dyn FnMut(&[u8]) + Send>;

/// How the upstream behaves from the start.
pub struct Options {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The bearer token that a client must present.
    pub token: Option<String>,
    /// Records a second; 0 is as fast as the client reads. Time spent disconnected, paused or stalled
    /// is not caught up.
    pub rate: u64,
    /// An empty line is sent after this long without a record. X: 20 s.
    pub keep_alive: Duration,
    /// Connections to end, in the order of `after`.
    pub cuts: Vec<Cut>,
    /// Pause when this many records are served, until [`Upstream::resume`].
    pub pause_at: Option<u64>,
    /// Sees every record that has been served.
    pub tap: Option<Tap>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: None,
            rate: 0,
            keep_alive: Duration::from_secs(20),
            cuts: Vec::new(),
            pause_at: None,
            tap: None,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token stays out of logs; the tap has nothing to show.
        f.debug_struct("Options")
            .field("listen", &self.listen)
            .field("rate", &self.rate)
            .field("keep_alive", &self.keep_alive)
            .field("cuts", &self.cuts)
            .field("pause_at", &self.pause_at)
            .finish_non_exhaustive()
    }
}

/// A running upstream. It ends when this handle is dropped.
#[derive(Debug)]
pub struct Upstream {
    shared: Arc<Shared>,
    host: Host,
}

impl Upstream {
    /// Listens and serves `feed`.
    ///
    /// # Errors
    /// When the address or a thread is not to be had.
    pub fn start(feed: Feed, options: Options) -> Result<Self, StartError> {
        let shared = Arc::new(Shared::new(State::new(options.cuts.clone(), options.pause_at)));
        let listen = options.listen;
        let server = Arc::new(Server::new(feed, options, Arc::clone(&shared)));
        let host = Host::start(listen, "fake-upstream", move |socket| Arc::clone(&server).serve(socket))?;
        Ok(Self { shared, host })
    }

    /// The address of the stream.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{}", self.host.address(), http::STREAM_PATH)
    }

    /// The socket's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.host.address()
    }

    /// Records wholly written to a connection so far.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.shared.lock().served
    }

    /// The feed is at its end and all of it is written.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.shared.lock().finished
    }

    /// Every request for the stream so far, refused ones too, in the order they came.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        self.shared.lock().connections.clone()
    }

    /// Waits until `records` are served. False when `timeout` passed before.
    #[must_use]
    pub fn wait_served(&self, records: u64, timeout: Duration) -> bool {
        self.shared.wait(Instant::now() + timeout, |state| state.served >= records)
    }

    /// Waits until the feed is at its end and all of it is written. False when `timeout` passed before.
    #[must_use]
    pub fn wait_finished(&self, timeout: Duration) -> bool {
        self.shared.wait(Instant::now() + timeout, |state| state.finished)
    }

    /// Waits until `number` requests for the stream have come. False when `timeout` passed before.
    #[must_use]
    pub fn wait_connections(&self, number: usize, timeout: Duration) -> bool {
        self.shared.wait(Instant::now() + timeout, |state| state.connections.len() >= number)
    }

    /// Ends the present connection, or the next one, at the next record.
    pub fn cut(&self, kind: CutKind) {
        self.shared.change(|state| state.cuts.push_front(Cut { after: 0, kind }));
    }

    /// Answers the next `times` requests with this refusal.
    pub fn refuse(&self, refusal: &Refusal, times: usize) {
        self.shared.change(|state| state.refusals.extend(std::iter::repeat_n(refusal.clone(), times)));
    }

    /// Serves no more records; keep-alives go on. What is being written is served first: returns when it is, or
    /// after a while when the client does not read.
    pub fn pause(&self) {
        self.shared.change(|state| state.paused = true);
        self.shared.wait(Instant::now() + PAUSE_TIMEOUT, |state| state.sending == 0);
    }

    /// Ends a pause, also one at [`Options::pause_at`].
    pub fn resume(&self) {
        self.shared.change(|state| {
            state.paused = false;
            state.pause_at = None;
        });
    }

    /// True while a pause holds the feed.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.shared.lock().is_paused()
    }

    /// While `stalled`, not a byte is sent, no keep-alive and no answer to a request; connections stay
    /// open.
    pub fn stall(&self, stalled: bool) {
        self.shared.change(|state| state.stalled = stalled);
    }

    /// Ends all connections and the server.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.change(|state| state.stopping = true);
        self.host.stop();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.end();
    }
}
