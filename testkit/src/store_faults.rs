//! The network and the front of an object store, as a proxy before a test server, on loopback.
//!
//! A store fails in ways that differ in what the client can know. Most important are the ambiguous ones:
//! a put took effect and its answer was lost, or takes effect long after the client gave up. Which request
//! meets which [`Fault`] comes from a seed, the method, the key, and how often that key was asked for: so
//! it does not depend on how the requests of several clients interleave. A key's faults end: after
//! [`Weather::in_a_row`] of them its next request passes.
//!
//! ```no_run
//! use spillway_testkit::s3::Memory;
//! use spillway_testkit::store_faults::{Proxy, Weather};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Memory::start()?;
//! let proxy = Proxy::start(&store.endpoint(), 7, Weather::rough())?;
//! println!("the client's endpoint: {}", proxy.endpoint());
//! println!("{}", proxy.counts());
//! # Ok(())
//! # }
//! ```

mod relay;
mod script;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::host::{Host, StartError};
use script::Script;

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// It is answered rightly, but late.
    Slow,
    /// 500, and the server never saw it.
    ErrorBefore,
    /// 503 `SlowDown`, and the server never saw it.
    Busy,
    /// 409 `ConditionalRequestConflict`, and the server never saw it. Puts only.
    Conflict,
    /// The connection is reset, and the server never saw it.
    ResetBefore,
    /// 500, but the server did it.
    ErrorAfter,
    /// The connection is reset, but the server did it.
    ResetAfter,
    /// The server did it, and the connection is reset in the middle of its answer.
    Cut,
    /// The connection is closed at once, without an answer; the server does it later. Puts only.
    Belated,
}

impl Fault {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::Slow,
        Self::ErrorBefore,
        Self::Busy,
        Self::Conflict,
        Self::ResetBefore,
        Self::ErrorAfter,
        Self::ResetAfter,
        Self::Cut,
        Self::Belated,
    ];

    /// Whether the client cannot know what became of the request.
    #[must_use]
    pub fn is_ambiguous(self) -> bool {
        matches!(self, Self::ErrorAfter | Self::ResetAfter | Self::Cut | Self::Belated)
    }

    /// Whether it makes sense for requests that do not put.
    fn is_for_all(self) -> bool {
        !matches!(self, Self::Conflict | Self::Belated)
    }
}

/// How often requests meet faults, and which.
#[derive(Debug, Clone, PartialEq)]
pub struct Weather {
    /// The share of requests that meet one, from 0 to 1.
    pub share: f64,
    /// Which; each as likely as the others.
    pub faults: Vec<Fault>,
    /// The longest that [`Fault::Slow`] and [`Fault::Belated`] take.
    pub delay_max: Duration,
    /// So many faults of one key in a row; then a request passes.
    pub in_a_row: u32,
    /// Nothing passes: every request is answered with 503, beyond all of the above.
    pub is_down: bool,
}

impl Weather {
    /// All passes.
    #[must_use]
    pub fn fair() -> Self {
        let faults = Vec::new();
        Self { share: 0.0, faults, delay_max: Duration::from_millis(300), in_a_row: 3, is_down: false }
    }

    /// Every fourth request meets a fault, of any kind.
    #[must_use]
    pub fn rough() -> Self {
        Self { share: 0.25, faults: Fault::ALL.to_vec(), ..Self::fair() }
    }

    /// Nothing passes.
    #[must_use]
    pub fn down() -> Self {
        Self { is_down: true, ..Self::fair() }
    }
}

/// What the proxy did so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests by method.
    pub requests: BTreeMap<String, u64>,
    /// Faults that requests met.
    pub faults: BTreeMap<Fault, u64>,
    /// Requests refused while the store was down.
    pub refused: u64,
    /// Puts that the server did and that the client was not told of.
    pub untold: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests = self.requests.iter().map(|(method, n)| format!("{n} {method}"));
        let faults = self.faults.iter().map(|(fault, n)| format!("{fault:?} {n}"));
        let join = |parts: Vec<String>| parts.join(", ");
        write!(
            f,
            "{}; faults: {}; {} refused while down, {} puts untold",
            join(requests.collect()),
            join(faults.collect()),
            self.refused,
            self.untold
        )
    }
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    script: Mutex<Script>,
    counts: Mutex<Counts>,
}

impl Shared {
    /// Both are whole at every moment.
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    host: Host,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
}

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What stands behind it is no `http://address:port`.
    #[error("{0:?} is no http://address:port")]
    Upstream(String),
    /// It cannot listen.
    #[error("the proxy cannot be started")]
    Start(#[from] StartError),
}

impl Proxy {
    /// Starts a proxy before the server at `upstream` (`http://address:port`).
    ///
    /// # Errors
    /// When the address is none, or the system does not let it listen.
    pub fn start(upstream: &str, seed: u64, weather: Weather) -> Result<Self, Error> {
        let address = upstream.strip_prefix("http://").and_then(|address| address.parse().ok());
        let address = address.ok_or_else(|| Error::Upstream(upstream.to_owned()))?;
        let script = Mutex::new(Script::new(seed, weather));
        let shared = Arc::new(Shared { upstream: address, script, counts: Mutex::default() });
        let (stop, stopped) = watch::channel(false);
        let all = Arc::clone(&shared);
        let serve = move |stream| relay::serve(stream, Arc::clone(&all), stopped.clone());
        let host = Host::start((Ipv4Addr::LOCALHOST, 0).into(), "store-faults", serve)?;
        Ok(Self { host, shared, stop })
    }

    /// As `http://host:port`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.host.address())
    }

    /// Changes the weather for the requests that come from now on.
    pub fn set(&self, weather: Weather) {
        self.shared.script().set(weather);
    }

    /// What it did so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counts().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.host.stop();
    }
}
