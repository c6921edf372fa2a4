//! Fake streaming services over real HTTP/1.1 and WebSockets on loopback. Each follows what its service documents:
//! who may connect, how a stream is resumed, what stands in it beside the data, how it ends.
//!
//! | module | plays | resumed by |
//! |---|---|---|
//! | [`x`] | X's filtered stream and its rules | nothing, or `backfill_minutes` |
//! | [`wikimedia`] | Wikimedia EventStreams | `Last-Event-ID` by timestamp, `since` |
//! | [`mastodon`] | Mastodon's streaming API | nothing |
//! | [`sse`] | any server of server-sent events | `Last-Event-ID`, exactly |
//! | [`jetstream`] | Bluesky's Jetstream, over a WebSocket | `cursor`, inclusive |
//!
//! A service has a log of numbered records that grows whether anybody listens or not. So what was
//! served, what was missed, and what could be served again is known exactly: [`Service::history`] is
//! what the oracle ([`crate::oracle::sources`]) judges by. What the operating system has taken is noted
//! right after it has: a client that was quick waits for the note ([`Service::wait_served`],
//! [`Service::wait_idle`]) before it asks.
//!
//! Things go wrong by script ([`Faults`]) or by hand. [`crate::upstream`] is the simpler way to X's
//! stream: a feed in which nothing is ever missed.
//!
//! ```text
//! handle (any thread)  --script-->  State  <--log, progress--  one session a connection (own thread)
//! ```

mod control;
mod dialect;
mod faults;
mod gzip;
pub mod jetstream;
mod log;
pub mod mastodon;
mod session;
pub mod sse;
#[cfg(test)]
mod tests;
pub mod websocket;
pub mod wikimedia;
mod wire;
pub mod x;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

pub use control::{Connection, End};
use control::{Refusal, State, Ways};
use dialect::{Answer, Dialect, Reply, Start};
pub use faults::{Close, Cut, Fault, Faults, Kind, Measure};
use log::Log;
pub use log::{Growth, Record, What};
use session::Session;

use crate::host::Host;
pub use crate::host::StartError;
use crate::http::{self, Request};
use crate::oracle::sources::{History, Item, Session as Account, Torn};
use crate::shared::Shared;

/// What all services have in common.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// When records are published.
    pub growth: Growth,
    /// How many records there will be.
    pub limit: u64,
    /// Draws the records' contents.
    pub seed: u64,
    /// What goes wrong.
    pub faults: Faults,
    /// The sign of life comes after this long without a record.
    pub keep_alive: Duration,
    /// A stream ends after this long, without a word.
    pub connection_max: Option<Duration>,
    /// A client this many records behind is cut off.
    pub backlog_max: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            growth: Growth::OnDemand,
            limit: u64::MAX,
            seed: 1,
            faults: Faults::none(),
            keep_alive: Duration::from_secs(15),
            connection_max: None,
            backlog_max: None,
        }
    }
}

/// A running service. It ends when this handle is dropped.
pub struct Service {
    shared: Arc<Shared<State>>,
    host: Host,
    dialect: Arc<dyn Dialect>,
    resumable: bool,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("url", &self.url()).finish_non_exhaustive()
    }
}

impl Service {
    /// `resumable` when every record can be served again.
    fn launch(dialect: Arc<dyn Dialect>, resumable: bool, options: Options) -> Result<Self, StartError> {
        let log = Log::new(options.growth, options.limit, options.seed, Instant::now(), now_ms());
        let shared = Arc::new(Shared::new(State::new(log, options.faults.0.clone())));
        let listen = options.listen;
        let server = Arc::new(Server { shared: Arc::clone(&shared), dialect: Arc::clone(&dialect), options });
        let host = Host::start(listen, "fake-service", move |socket| Arc::clone(&server).serve(socket))?;
        Ok(Self { shared, host, dialect, resumable })
    }

    /// The socket's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.host.address()
    }

    /// The address without a path.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The address of the stream.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}{}", self.base(), self.dialect.path())
    }

    /// Records wholly written so far, over all connections; repeated ones count again.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.shared.lock().served
    }

    /// Every record published so far.
    #[must_use]
    pub fn log(&self) -> Vec<Record> {
        let mut state = self.shared.lock();
        state.log.grow(Instant::now(), &*self.dialect);
        state.log.records().to_vec()
    }

    /// Every request for the stream so far, refused ones too, in the order they came.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        self.shared.lock().connections.clone()
    }

    /// Every other request so far: method and target.
    #[must_use]
    pub fn other_requests(&self) -> Vec<(String, String)> {
        self.shared.lock().others.clone()
    }

    /// The numbers of the records that were published between the start of the first stream and the
    /// last record served, and were never wholly written to anyone.
    #[must_use]
    pub fn missed(&self) -> Vec<u64> {
        let state = self.shared.lock();
        let first = state.connections.iter().find_map(|connection| connection.from);
        let last = state.connections.iter().flat_map(|connection| &connection.served).max();
        let (Some(first), Some(last)) = (first, last) else { return Vec::new() };
        let inside = |record: &&Record| (first..=*last).contains(&record.number);
        let missed = state.log.records().iter().filter(inside).filter(|record| record.served == 0);
        missed.map(|record| record.number).collect()
    }

    /// What the oracle judges by.
    #[must_use]
    pub fn history(&self) -> History {
        let state = self.shared.lock();
        let sessions = state.connections.iter().filter(|connection| connection.from.is_some());
        let account = |connection: &Connection| {
            let end = connection.ended.map(|(_, end)| end);
            Account {
                from: connection.from.unwrap_or(0),
                served: connection.served.clone(),
                unended: connection.unended,
                may_lose: end.is_some_and(End::may_lose),
                end: format!("{end:?}"),
                torn: end.map_or(Torn::No, |end| end.torn(connection.gzip)),
            }
        };
        History {
            records: state.log.records().iter().map(Into::into).collect(),
            sessions: sessions.map(account).collect(),
            resumable: self.resumable,
        }
    }

    /// Waits until `records` were served. False when `timeout` passed before.
    #[must_use]
    pub fn wait_served(&self, records: u64, timeout: Duration) -> bool {
        self.shared.wait(Instant::now() + timeout, |state| state.served >= records)
    }

    /// Waits until a stream has come to the end of [`Options::limit`]. False when `timeout` passed
    /// before.
    #[must_use]
    pub fn wait_finished(&self, timeout: Duration) -> bool {
        self.shared.wait(Instant::now() + timeout, |state| state.finished)
    }

    /// Waits until `number` requests for the stream have come. False when `timeout` passed before.
    #[must_use]
    pub fn wait_connections(&self, number: usize, timeout: Duration) -> bool {
        self.shared.wait(Instant::now() + timeout, |state| state.connections.len() >= number)
    }

    /// Whether everything has gone wrong that was to, and somebody listens.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.shared.lock().is_calm()
    }

    /// Publishes nothing more.
    pub fn finish(&self) {
        self.shared.change(|state| state.log.finish());
    }

    /// Waits until nobody is connected to the stream. False when `timeout` passed before.
    #[must_use]
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        self.shared.wait(Instant::now() + timeout, |state| state.streaming == 0)
    }

    /// Publishes records ([`Growth::ByHand`]).
    pub fn publish(&self, records: u64) {
        let dialect = &*self.dialect;
        self.shared.change(|state| {
            state.log.publish(records);
            state.log.grow(Instant::now(), dialect);
        });
    }

    /// Lets this happen at the next record.
    pub fn fault(&self, kind: Kind) {
        self.shared.change(|state| state.faults.push_front(Fault { after: 0, kind }));
    }

    /// Refuses the next `times` requests for the stream; streams go on. The answer tells to wait.
    pub fn refuse(&self, status: u16, times: usize, wait_s: Option<u64>) {
        let refusals = std::iter::repeat_n(Refusal { status, wait_s }, times);
        self.shared.change(|state| state.refusals.extend(refusals));
    }

    /// Compresses the next stream whose client accepts gzip.
    pub fn compress_next(&self) {
        self.shared.change(|state| state.gzip += 1);
    }

    /// While `stalled`, not a byte is sent, no sign of life and no answer; connections stay open.
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

impl Drop for Service {
    fn drop(&mut self) {
        self.end();
    }
}

impl From<&Record> for Item {
    fn from(record: &Record) -> Self {
        let Record { number, hash, event_ms, what, .. } = *record;
        Self { number, hash, event_ms, len: record.body.len(), data: what == What::Event }
    }
}

/// What every connection needs.
struct Server {
    shared: Arc<Shared<State>>,
    dialect: Arc<dyn Dialect>,
    options: Options,
}

impl Server {
    async fn serve(self: Arc<Self>, mut socket: TcpStream) {
        let mut script = self.shared.script();
        let request = tokio::select! {
            request = Request::read(&mut socket) => request,
            () = self.until(&mut script, |state| state.stopping) => return,
        };
        let Ok(Some(request)) = request else { return };
        let mut script = self.shared.script();
        self.until(&mut script, |state| state.stopping || !state.stalled).await;
        // Streams whose client has gone away notice it first.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        match self.answer(&request) {
            Ok((index, start)) => self.stream(socket, index, start, &request).await,
            Err(reply) => {
                let answer = http::answer(reply.status, reply.content_type, &reply.headers, &reply.body);
                // A client that has gone away needs no answer.
                let _ = socket.write_all(&answer).await;
                let _ = socket.shutdown().await;
            }
        }
    }

    /// Returns when the state is as wanted. Cancel safe: it keeps nothing.
    async fn until(&self, script: &mut tokio::sync::watch::Receiver<u64>, wanted: impl Fn(&State) -> bool) {
        while !wanted(&self.shared.lock()) {
            if script.changed().await.is_err() {
                return;
            }
        }
    }

    /// Decides on a request and notes it.
    fn answer(&self, request: &Request) -> Result<(usize, Start), Reply> {
        let now = Instant::now();
        self.shared.change(|state| {
            state.log.grow(now, &*self.dialect);
            let answer = self.dialect.answer(request, state, now);
            let answer = match answer {
                Answer::Stream(start) => match state.refusals.pop_front() {
                    Some(refusal) => Answer::Refuse(self.refusal(refusal)),
                    None => Answer::Stream(start),
                },
                other => other,
            };
            match answer {
                Answer::Stream(start) => {
                    state.log.begin(now);
                    Ok((state.register(request, 200, now), start))
                }
                Answer::Refuse(reply) => {
                    state.register(request, reply.status, now);
                    Err(reply)
                }
                Answer::Other(reply) => {
                    state.others.push((request.method.clone(), request.target.clone()));
                    Err(reply)
                }
            }
        })
    }

    fn refusal(&self, refusal: Refusal) -> Reply {
        let mut reply = self.dialect.refusal(refusal.status);
        if let Some(wait_s) = refusal.wait_s {
            reply.headers.extend(self.dialect.limits(wait_s, now_ms().unsigned_abs() / 1_000));
        }
        reply
    }

    async fn stream(&self, socket: TcpStream, index: usize, start: Start, request: &Request) {
        let ways = Ways {
            form: start.form,
            keep_alive: self.options.keep_alive,
            connection_max: self.options.connection_max,
            backlog_max: self.options.backlog_max,
        };
        let from = start.replay.iter().copied().min().unwrap_or(start.next);
        let accepts = request.header("accept-encoding").is_some_and(|names| names.contains("gzip"));
        let gzip = self.shared.change(|state| state.begin(index, from, accepts));
        let end = Session::new(socket, &self.shared, &*self.dialect, ways, index, (start, gzip)).run().await;
        self.shared.change(|state| {
            state.streaming -= 1;
            state.connections[index].ended = Some((Instant::now(), end));
        });
    }
}

/// The wall clock in milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
