//! Why a WebSocket connection was not made or has ended. Decisions are methods; texts are for people
//! and carry neither addresses' queries nor tokens.

use std::io;
use std::time::Duration;

use tokio_tungstenite::tungstenite;
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::http::{HeaderMap, Response};

use super::Limits;
use super::dictionary::Undecodable;
use super::proxy::ProxyError;

/// Why there is no connection, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The address cannot be used.
    #[error("no usable WebSocket address: {0}")]
    Address(&'static str),
    /// The name has no address.
    #[error("cannot find the address of {host}")]
    Lookup {
        /// The name.
        host: String,
        /// The system's reason.
        source: io::Error,
    },
    /// No TCP connection.
    #[error("cannot connect to {peer}")]
    Connect {
        /// Host and port of the upstream or of the proxy.
        peer: String,
        /// The last address' reason.
        source: io::Error,
    },
    /// No open WebSocket in time.
    #[error("no WebSocket within {0:?}")]
    TimedOut(Duration),
    /// The proxy does not let us through.
    #[error("the proxy does not connect us")]
    Proxy(#[source] ProxyError),
    /// No TLS session.
    #[error("cannot set up TLS with {host}")]
    Tls {
        /// The host that was asked for.
        host: String,
        /// The reason.
        source: io::Error,
    },
    /// The upstream answered with HTTP instead.
    #[error("the upstream answered {status} instead of opening a WebSocket{hint}", hint = status_hint(*.status))]
    Status {
        /// The HTTP status.
        status: u16,
        /// `Retry-After` in seconds, when the answer has one.
        retry_after: Option<Duration>,
        /// `x-rate-limit-reset`, unix seconds, when the answer has one.
        rate_limit_reset: Option<u64>,
    },
    /// What answered does not speak WebSocket.
    #[error("what answered does not speak WebSocket")]
    Handshake(#[source] tungstenite::Error),
    /// Reading or writing failed.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// The bytes ended, in the middle of a message or between two, without a close frame.
    #[error("the connection was cut off")]
    Cut,
    /// The upstream closed it in order.
    #[error("the upstream closed the connection, {}", closing(*.code, .reason))]
    Closed {
        /// The close code, when there is one.
        code: Option<u16>,
        /// What the upstream says.
        reason: String,
    },
    /// Not a byte came, not even the answer to a ping.
    #[error("not a byte for {0:?}")]
    Stalled(Duration),
    /// A message over the limit.
    #[error("a message of {size} bytes or more is over the limit of {limit}")]
    TooLong {
        /// What had been announced when it was given up.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The upstream broke the protocol.
    #[error("the upstream broke the WebSocket protocol")]
    Protocol(#[source] tungstenite::Error),
    /// A compressed message cannot be read.
    #[error("a compressed message cannot be read")]
    Compressed(#[from] Undecodable),
}

impl Broken {
    /// The HTTP status of a refused upgrade.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether an operator has to act: trying again will not help.
    #[must_use]
    pub fn needs_operator(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 300..=499) && !matches!(status, 408 | 425 | 429),
            Self::Proxy(error) => error.needs_operator(),
            Self::Compressed(error) => error.needs_operator(),
            Self::Address(_) => true,
            _ => false,
        }
    }

    /// Whether it ended because nothing came.
    #[must_use]
    pub fn is_stall(&self) -> bool {
        matches!(self, Self::Stalled(_))
    }

    /// Whether the upstream ended it in order.
    #[must_use]
    pub fn is_orderly(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// From an error while a connection is open.
    pub(super) fn from_reading(error: tungstenite::Error, limits: Limits) -> Self {
        use tungstenite::Error as E;
        match error {
            E::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Cut,
            E::Io(error) => Self::Io(error),
            E::ConnectionClosed | E::AlreadyClosed => Self::Cut,
            E::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Cut,
            E::Capacity(CapacityError::MessageTooLong { size, .. }) => {
                Self::TooLong { size, limit: limits.message_bytes }
            }
            error => Self::Protocol(error),
        }
    }

    /// From an error during the upgrade.
    pub(super) fn from_upgrade(error: tungstenite::Error) -> Self {
        use tungstenite::Error as E;
        match error {
            E::Http(response) => Self::from_response(&response),
            E::Io(error) => Self::Io(error),
            E::Protocol(ProtocolError::HandshakeIncomplete) => Self::Cut,
            error => Self::Handshake(error),
        }
    }

    fn from_response<B>(response: &Response<B>) -> Self {
        let number = |name| number(response.headers(), name);
        Self::Status {
            status: response.status().as_u16(),
            retry_after: number("retry-after").map(Duration::from_secs),
            rate_limit_reset: number("x-rate-limit-reset"),
        }
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn status_hint(status: u16) -> &'static str {
    match status {
        300..=399 => "; redirects are not followed, set the address to where it points",
        401 | 403 => "; check the credentials",
        404 => "; check the path of the address",
        _ => "",
    }
}

/// The codes of RFC 6455 and of IANA's registry in words.
fn closing(code: Option<u16>, reason: &str) -> String {
    let words = match code {
        None => return "without a code".to_owned(),
        Some(1000) => "done",
        Some(1001) => "going away",
        Some(1002) => "protocol error",
        Some(1003) => "unsupported data",
        Some(1005) => "no code",
        Some(1007) => "invalid data",
        Some(1008) => "policy violation",
        Some(1009) => "message too big",
        Some(1011) => "internal error",
        Some(1012) => "restarting",
        Some(1013) => "try again later",
        Some(1014) => "bad gateway",
        Some(_) => "own code",
    };
    let code = code.unwrap_or_default();
    if reason.is_empty() { format!("{code} ({words})") } else { format!("{code} ({words}): {reason:?}") }
}
