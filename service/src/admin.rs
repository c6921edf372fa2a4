//! The admin endpoint of a service: `/healthz`, `/readyz`, `/status` (JSON) and `/metrics` (OpenMetrics), on
//! a TCP address or a UNIX socket; and what a service answers at paths of its own. Plain HTTP without
//! authentication: bind it to loopback. It only reads.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::figures;
use crate::settings::Section;
use crate::sockets;

/// Why something cannot be said now.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no answer at a path of a service's own.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The question is wrong: in what, and what to ask instead. Asking it again does not help.
    #[error("{0}")]
    Question(String),
    /// It cannot be said now.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl Refusal {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Question(_) => StatusCode::BAD_REQUEST,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// What a service says of itself. Each answer is made when it is asked for, and must not block.
pub trait Endpoint: Send + Sync + 'static {
    /// Whether the process works at all.
    ///
    /// # Errors
    /// Why it should be started anew.
    fn health(&self) -> Result<(), String>;

    /// Whether it does what it is there for now.
    ///
    /// # Errors
    /// Why it does not.
    fn ready(&self) -> Result<(), String>;

    /// The status as JSON.
    ///
    /// # Errors
    /// When there is none.
    fn status(&self) -> Result<String, Failure>;

    /// The metrics as OpenMetrics text.
    ///
    /// # Errors
    /// When there are none.
    fn metrics(&self) -> Result<String, Failure>;

    /// What there is at a path that is none of the above, if anything; `query` is what follows the question
    /// mark.
    ///
    /// # Errors
    /// When the question is wrong, or it cannot be said now.
    fn more(&self, _path: &str, _query: Option<&str>) -> Result<Option<Answer>, Refusal> {
        Ok(None)
    }
}

/// An answer at a path of a service's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Names, in lower case, and values; the Content-Type among them.
    pub headers: Vec<(&'static str, String)>,
    /// What it says.
    pub body: String,
}

/// Where the endpoint listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An address.
    Tcp(SocketAddr),
    /// A socket of the file system.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// What the path of a socket begins with in a configuration.
const UNIX: &str = "unix:";

impl Listen {
    /// Reads `listen` of the `[admin]` table; `None` when it is `"none"`.
    #[must_use]
    pub fn read(section: &Section<'_>, default: &str) -> Option<Self> {
        let text: String = section.get("listen", default.to_owned());
        if text == "none" {
            return None;
        }
        let parsed = match text.strip_prefix(UNIX) {
            Some(path) => path.starts_with('/').then(|| Self::Unix(path.into())),
            None => text.parse().ok().map(Self::Tcp),
        };
        if parsed.is_none() {
            let message = format!(
                "must be an address with a port, such as \"{default}\", a socket, such as \"unix:/run/spillway/admin.sock\", or \"none\""
            );
            section.problem("listen", &message);
        }
        parsed
    }
}

/// An endpoint that is bound and not served yet.
#[derive(Debug)]
pub struct Bound(Listener);

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, Socket),
}

/// Binds the address, so that a service can do it before it touches anything else.
///
/// # Errors
/// What the system says; also when somebody answers at the socket.
pub fn bind(listen: &Listen) -> io::Result<Bound> {
    // Both programs do this first, so it is the time of their start.
    figures::began();
    match listen {
        Listen::Tcp(address) => {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(Bound(Listener::Tcp(listener)))
        }
        Listen::Unix(path) => bind_socket(path),
    }
}

/// The group may connect as well: a scraper is seldom the service's own user.
const SOCKET_MODE: u32 = 0o660;

fn bind_socket(path: &Path) -> io::Result<Bound> {
    if UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let listener = sockets::listen(path, SOCKET_MODE)?;
    Ok(Bound(Listener::Unix(listener, Socket(path.to_owned()))))
}

/// Removes the socket when it is dropped.
#[derive(Debug)]
struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            // One that stays behind does no harm.
            tracing::debug!(%error, "cannot remove the admin endpoint's socket");
        }
    }
}

/// Serves until it is dropped. A failure is logged; the service goes on without its endpoint.
pub async fn serve<E: Endpoint>(bound: Bound, endpoint: Arc<E>) {
    let router = Router::new()
        .route("/healthz", get(health::<E>))
        .route("/readyz", get(ready::<E>))
        .route("/status", get(status::<E>))
        .route("/metrics", get(scrape::<E>))
        .fallback_service(get(more::<E>).with_state(Arc::clone(&endpoint)))
        .with_state(endpoint);
    let served = match bound.0 {
        Listener::Tcp(listener) => match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => axum::serve(listener, router).await,
            Err(error) => Err(error),
        },
        Listener::Unix(listener, _socket) => match tokio::net::UnixListener::from_std(listener) {
            Ok(listener) => axum::serve(listener, router).await,
            Err(error) => Err(error),
        },
    };
    if let Err(error) = served {
        tracing::error!(event = "admin_failed", %error, "the admin endpoint failed; records flow on");
    }
}

async fn health<E: Endpoint>(State(endpoint): State<Arc<E>>) -> Response {
    match endpoint.health() {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not healthy: {why}\n")).into_response(),
    }
}

async fn ready<E: Endpoint>(State(endpoint): State<Arc<E>>) -> Response {
    match endpoint.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response(),
    }
}

async fn status<E: Endpoint>(State(endpoint): State<Arc<E>>) -> Response {
    let body = endpoint.status().map(|json| json + "\n");
    answer(body, "application/json")
}

async fn scrape<E: Endpoint>(State(endpoint): State<Arc<E>>) -> Response {
    answer(endpoint.metrics(), "application/openmetrics-text; version=1.0.0; charset=utf-8")
}

async fn more<E: Endpoint>(State(endpoint): State<Arc<E>>, uri: Uri) -> Response {
    let found = endpoint.more(uri.path(), uri.query());
    match found.and_then(|found| Ok(found.map(with_headers).transpose()?)) {
        Ok(Some(response)) => response,
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(refusal) => (refusal.status(), format!("{refusal}\n")).into_response(),
    }
}

fn with_headers(answer: Answer) -> Result<Response, Failure> {
    let pairs = answer.headers.into_iter();
    let pairs = pairs.map(|(name, value)| Ok((HeaderName::from_static(name), HeaderValue::try_from(value)?)));
    let headers = pairs.collect::<Result<HeaderMap, axum::http::header::InvalidHeaderValue>>()?;
    Ok((headers, answer.body).into_response())
}

fn answer(body: Result<String, Failure>, kind: &'static str) -> Response {
    match body {
        Ok(text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests;
