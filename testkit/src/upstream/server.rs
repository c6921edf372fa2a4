//! Refuses the requests that the script or the request itself says, and hands the feed to the newest
//! connection.

use std::sync::Arc;
use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::control::{Connection, End, Refusal, Shared, State};
use super::feed::{Feed, Feeder};
use super::stream::Streamer;
use super::{Options, http, pace::Pacer};
use crate::http::Request;

/// What every connection needs.
pub(super) struct Server {
    shared: Arc<Shared>,
    /// Held by the connection that streams.
    feeder: Mutex<Feeder>,
    token: Option<String>,
    rate: u64,
    keep_alive: std::time::Duration,
}

impl Server {
    pub(super) fn new(feed: Feed, options: Options, shared: Arc<Shared>) -> Self {
        Self {
            shared,
            feeder: Mutex::new(Feeder::new(feed, options.tap)),
            token: options.token,
            rate: options.rate,
            keep_alive: options.keep_alive,
        }
    }

    pub(super) async fn serve(self: Arc<Self>, mut socket: TcpStream) {
        let mut script = self.shared.script();
        let request = tokio::select! {
            request = Request::read(&mut socket) => request,
            () = stopped(&self.shared, &mut script) => return,
        };
        let Ok(Some(request)) = request else { return };
        while let (true, false) = self.stalled_or_stopping() {
            if script.changed().await.is_err() {
                return;
            }
        }
        let (index, refusal) = self.shared.change(|state| self.register(state, &request));
        match refusal {
            Some(refusal) => {
                // A client that has gone away needs no answer.
                let _ = socket.write_all(&http::refusal(&refusal)).await;
                let _ = socket.shutdown().await;
            }
            None => self.stream(socket, index).await,
        }
    }

    fn stalled_or_stopping(&self) -> (bool, bool) {
        let state = self.shared.lock();
        (state.stalled, state.stopping)
    }

    /// Notes the connection, and whether it may stream.
    fn register(&self, state: &mut State, request: &Request) -> (usize, Option<Refusal>) {
        let refusal = http::fault(request, self.token.as_deref()).or_else(|| state.refusals.pop_front());
        let now = Instant::now();
        let index = state.connections.len();
        state.connections.push(Connection {
            at: now,
            target: request.target.clone(),
            status: refusal.as_ref().map_or(200, |refusal| refusal.status),
            served: 0,
            ended: refusal.as_ref().map(|_| (now, End::Refused)),
        });
        if refusal.is_none() {
            state.current = index;
        }
        (index, refusal)
    }

    async fn stream(&self, socket: TcpStream, index: usize) {
        // The one before lets go as soon as it sees that it is no longer the current one.
        let mut feeder = self.feeder.lock().await;
        let pacer = Pacer::new(self.rate, Instant::now());
        let streamer = Streamer::new(socket, &mut feeder, &self.shared, pacer, self.keep_alive, index);
        let end = streamer.run().await;
        drop(feeder);
        self.shared.progress(|state| state.connections[index].ended = Some((Instant::now(), end)));
    }
}

/// Returns when the upstream is being stopped. Cancel safe: it keeps nothing.
async fn stopped(shared: &Shared, script: &mut tokio::sync::watch::Receiver<u64>) {
    while !shared.lock().stopping {
        if script.changed().await.is_err() {
            return;
        }
    }
}
