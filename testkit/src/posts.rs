//! An upstream of numbered posts in the form of X's v2 API, for tests of whole hosts. Nothing is kept: a post
//! follows from its number, so whoever counts what arrived needs the number of the last one only.
//!
//! | request | answer |
//! |---|---|
//! | `GET /stream` | server-sent events from number 1 on, so many a second, from the first such request on whether anybody listens or not; `Last-Event-ID` resumes exactly behind it |
//! | `GET /lines` | lines of JSON from 1 on, on a clock of their own, without resume |
//! | `POST /end` | the number of the last post. The stream has [`CLOSING`] further ones, dated [`CLOSING_AHEAD`] later: a reader's windows before them are over |
//!
//! It differs from [`crate::services`] in that it has no faults: what goes wrong in such a test goes wrong for real.

mod server;
mod session;
#[cfg(test)]
mod tests;
mod timeline;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use server::Server;
use timeline::Timeline;
pub use timeline::{CLOSING, CLOSING_AHEAD};

use crate::host::Host;
pub use crate::host::StartError;
use crate::shared::Shared;

/// How the upstream behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Posts a second, at least 1.
    pub rate: u64,
    /// A sign of life is sent after this long without a post.
    pub keep_alive: Duration,
}

/// What the handle and the server share.
#[derive(Debug)]
struct State {
    stopping: bool,
    /// Of `/stream`.
    timeline: Timeline,
}

/// A running upstream. It ends when this handle is dropped.
#[derive(Debug)]
pub struct Posts {
    shared: Arc<Shared<State>>,
    host: Host,
}

impl Posts {
    /// Listens and serves.
    ///
    /// # Errors
    /// When the address or a thread is not to be had.
    pub fn start(options: &Options) -> Result<Self, StartError> {
        let state = State { stopping: false, timeline: Timeline::new(options.rate) };
        let shared = Arc::new(Shared::new(state));
        let server = Arc::new(Server::new(options, Arc::clone(&shared)));
        let host = Host::start(options.listen, "posts", move |socket| Arc::clone(&server).serve(socket))?;
        Ok(Self { shared, host })
    }

    /// The address without a path.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.host.address())
    }

    /// Serves until the process ends.
    pub fn wait(mut self) {
        self.host.wait();
    }
}

impl Drop for Posts {
    fn drop(&mut self) {
        self.shared.change(|state| state.stopping = true);
        self.host.stop();
    }
}
