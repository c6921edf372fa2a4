//! Bluesky's Jetstream, played over a real WebSocket on loopback, with its faults by script.
//!
//! `GET /subscribe` follows the documented v1 behaviour: `wantedCollections`, `wantedDids`,
//! `maxMessageSizeBytes`, an inclusive `cursor` in unix microseconds, `compress` with a zstd dictionary.
//! As there, a cursor before the look-back is moved up without a word, one from the future means the
//! tip, and `time_us` does not rise strictly: events come in the server's own order, and a stream
//! begins at the first of them that is not older than the cursor.
//!
//! The log grows whether anybody listens or not ([`Growth`]); any number of clients may listen.

mod account;
mod control;
mod event;
mod faults;
mod filter;
mod log;
mod session;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

pub use control::{Connection, End};
use control::{Refusal, State};
pub use event::Event;
pub use faults::{Fault, Kind, random};
use filter::Filter;
use log::Log;
use session::Session;

use super::websocket::{self, Opcode};
use crate::host::Host;
pub use crate::host::StartError;
use crate::http::{self, Request};
use crate::shared::Shared;

/// A zstd dictionary for `compress`, made from events of this module with `zstd --train`. Not the one of
/// the real service.
pub const DICTIONARY: &[u8] = include_bytes!("jetstream/dictionary.zstd");

/// The path of the stream.
const PATH: &str = "/subscribe";

/// When events are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// When a client is ready for one. Nothing is published while nobody listens.
    OnDemand,
    /// This many a second, from the first stream on, whether anybody listens or not.
    Rate(u64),
    /// By [`Jetstream::publish`] only.
    ByHand,
}

/// How the server behaves from the start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// When events are published.
    pub growth: Growth,
    /// How many there will be.
    pub limit: u64,
    /// Events to serve instead of made ones.
    pub recording: Option<Vec<Bytes>>,
    /// Draws the events.
    pub seed: u64,
    /// The time of the first event, unix microseconds.
    pub epoch_us: u64,
    /// From one event to the next on average, in microseconds.
    pub step_us: u64,
    /// How far an event's time may be before the one of its predecessor.
    pub jitter_us: u64,
    /// How old an event may be to be served again.
    pub look_back: Duration,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// A message is sent in frames of at most this many bytes; 0 for one frame.
    pub piece: usize,
    /// A ping is sent after this long without an event.
    pub ping_every: Option<Duration>,
    /// The dictionary of `compress`.
    pub dictionary: Vec<u8>,
    /// The bearer token that a client must present.
    pub token: Option<String>,
    /// Whether clients ask for what they missed. Else it is any WebSocket, and what is published while nobody
    /// listens is missed.
    pub resumable: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            growth: Growth::OnDemand,
            limit: u64::MAX,
            recording: None,
            seed: 1,
            epoch_us: 1_783_175_888_000_000,
            step_us: 1_000,
            jitter_us: 33_000,
            look_back: Duration::from_secs(36 * 3600),
            faults: Vec::new(),
            piece: 0,
            ping_every: None,
            dictionary: DICTIONARY.to_vec(),
            token: None,
            resumable: true,
        }
    }
}

/// How messages look on the wire.
struct Shape {
    piece: usize,
    ping_every: Option<Duration>,
    dictionary: Vec<u8>,
    token: Option<String>,
}

impl Shape {
    /// # Panics
    /// When the dictionary is none.
    fn message(&self, event: &[u8], is_compressed: bool) -> Vec<u8> {
        if !is_compressed {
            return websocket::message(Opcode::Text, event, self.piece);
        }
        let folded = zstd::bulk::Compressor::with_dictionary(3, &self.dictionary)
            .and_then(|mut compressor| compressor.compress(event));
        match folded {
            Ok(folded) => websocket::message(Opcode::Binary, &folded, self.piece),
            Err(error) => panic!("the dictionary of the fake is of no use: {error}"),
        }
    }
}

/// A running server. It ends when this handle is dropped.
pub struct Jetstream {
    shared: Arc<Shared<State>>,
    host: Host,
    resumable: bool,
}

impl std::fmt::Debug for Jetstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jetstream").field("url", &self.url()).finish_non_exhaustive()
    }
}

impl Jetstream {
    /// Listens and serves.
    ///
    /// # Errors
    /// When the address or a thread is not to be had.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let shared = Arc::new(Shared::new(State::new(Log::new(&options), options.faults.clone())));
        let listen = options.listen;
        let Options { piece, ping_every, dictionary, token, resumable, .. } = options;
        let shape = Arc::new(Shape { piece, ping_every, dictionary, token });
        let server = Arc::new(Server { shared: Arc::clone(&shared), shape });
        let host = Host::start(listen, "fake-jetstream", move |socket| Arc::clone(&server).serve(socket))?;
        Ok(Self { shared, host, resumable })
    }

    /// The address of the stream.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}{PATH}", self.host.address())
    }

    /// The socket's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.host.address()
    }

    /// Events wholly written so far, over all connections; repeated ones count again.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.shared.lock().served
    }

    /// Every event published so far.
    #[must_use]
    pub fn log(&self) -> Vec<Event> {
        self.shared.lock().log.events().to_vec()
    }

    /// Every request for the stream so far, refused ones too, in the order they came.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        self.shared.lock().connections.clone()
    }

    /// Waits until `events` were served. False when `timeout` passed before.
    #[must_use]
    pub fn wait_served(&self, events: u64, timeout: Duration) -> bool {
        self.shared.wait(Instant::now() + timeout, |state| state.served >= events)
    }

    /// Waits until a client has been served up to [`Options::limit`]. False when `timeout` passed before.
    #[must_use]
    pub fn wait_finished(&self, timeout: Duration) -> bool {
        self.shared.wait(Instant::now() + timeout, |state| state.is_finished)
    }

    /// Waits until `number` requests for the stream have come. False when `timeout` passed before.
    #[must_use]
    pub fn wait_connections(&self, number: usize, timeout: Duration) -> bool {
        self.shared.wait(Instant::now() + timeout, |state| state.connections.len() >= number)
    }

    /// Publishes events ([`Growth::ByHand`]).
    pub fn publish(&self, events: u64) {
        self.shared.change(|state| {
            state.log.ask(events);
            state.log.grow(Instant::now(), false);
        });
    }

    /// Lets this happen at the next event.
    pub fn fault(&self, kind: Kind) {
        self.shared.change(|state| state.faults.push_front(Fault { after: 0, kind }));
    }

    /// Refuses the next `times` upgrades; streams go on.
    pub fn refuse(&self, status: u16, times: usize, retry_after_s: Option<u64>) {
        self.shared.change(|state| state.refuse(status, times, retry_after_s));
    }

    /// While `stalled`, not a byte is sent, no answer to a ping or a request; connections stay open.
    pub fn stall(&self, stalled: bool) {
        self.shared.change(|state| state.is_stalled = stalled);
    }

    /// Ends all connections and the server.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.change(|state| state.is_stopping = true);
        self.host.stop();
    }
}

impl Drop for Jetstream {
    fn drop(&mut self) {
        self.end();
    }
}

/// What every connection needs.
struct Server {
    shared: Arc<Shared<State>>,
    shape: Arc<Shape>,
}

impl Server {
    async fn serve(self: Arc<Self>, mut socket: TcpStream) {
        let request = tokio::select! {
            request = Request::read(&mut socket) => request,
            () = self.until(|state| state.is_stopping) => return,
        };
        let Ok(Some(request)) = request else { return };
        self.until(|state| state.is_stopping || !state.is_stalled).await;
        match self.register(&request) {
            Ok((filter, head, index, at)) => {
                let mut session = Session::new(&self.shared, &self.shape, filter, socket, index, at);
                let end = session.run(&head).await;
                self.shared.progress(|state| state.connections[index].ended = Some((Instant::now(), end)));
                session.linger(end).await;
            }
            Err(refusal) => {
                let wait = refusal.retry_after_s.map(|s| ("retry-after".to_owned(), s.to_string()));
                let headers: Vec<_> = wait.into_iter().collect();
                let answer = http::answer(refusal.status, "text/plain", &headers, b"");
                // A client that has gone away needs no answer.
                let _ = socket.write_all(&answer).await;
                let _ = socket.shutdown().await;
            }
        }
    }

    /// Notes the request, and where its stream begins if it may have one.
    fn register(&self, request: &Request) -> Result<(Filter, Vec<u8>, usize, usize), Refusal> {
        let wrong = self.fault(request);
        let filter = Filter::read(request);
        self.shared.change(|state| {
            let now = Instant::now();
            let refusal = wrong.map(|status| Refusal { status, retry_after_s: None });
            let refusal = refusal.or_else(|| state.refusals.pop_front());
            let bad = Refusal { status: 400, retry_after_s: None };
            let opened = match (refusal, filter, websocket::accept(request)) {
                (Some(refusal), ..) => Err(refusal),
                (None, Some(filter), Some(head)) => Ok((filter, head)),
                _ => Err(bad),
            };
            let cursor = opened.as_ref().ok().and_then(|(filter, _)| filter.cursor);
            let at = state.log.begin_at(cursor);
            state.log.begin(now);
            let index = state.connections.len();
            state.connections.push(Connection {
                at: now,
                target: request.target.clone(),
                headers: request.headers.clone(),
                status: opened.as_ref().map_or_else(|refusal| refusal.status, |_| 101),
                cursor,
                from: opened.is_ok().then_some(at as u64 + 1),
                served: Vec::new(),
                pongs: 0,
                pings: 0,
                ended: opened.is_err().then_some((now, End::Refused)),
            });
            opened.map(|(filter, head)| (filter, head, index, at))
        })
    }

    /// The status for a request that the server never takes.
    fn fault(&self, request: &Request) -> Option<u16> {
        match &self.shape.token {
            Some(token) if !request.bears(token) => Some(401),
            _ if request.path() != PATH => Some(404),
            _ if request.method != "GET" => Some(405),
            _ => None,
        }
    }

    /// Returns when the state is as wanted. Cancel safe: it keeps nothing.
    async fn until(&self, wanted: impl Fn(&State) -> bool) {
        let mut script = self.shared.script();
        while !wanted(&self.shared.lock()) {
            if script.changed().await.is_err() {
                return;
            }
        }
    }
}
