//! Why a WebSocket connection was not made or has ended. Decisions are methods; texts are for people
//! and carry neither addresses' queries nor tokens.

use std::io;
use std::time::{Duration, SystemTime};

use tokio_tungstenite::tungstenite;
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::http::{Response, StatusCode};

use super::Limits;
use super::dictionary::Undecodable;
use super::proxy::ProxyError;
use crate::sources::answer;
use crate::sources::reconnect::Cause;

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
    #[error("no WebSocket: {}", answer::describe(*.status, ""))]
    Status {
        /// The HTTP status.
        status: StatusCode,
        /// How long the answer's headers ask us to stay away.
        told: Option<Duration>,
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
    /// By which the wait before the next attempt is chosen.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::Status { status, .. } => answer::cause(*status),
            Self::Proxy(error) if error.needs_operator() => Cause::Refused,
            Self::Compressed(error) if error.needs_operator() => Cause::Refused,
            Self::Address(_) => Cause::Refused,
            Self::Stalled(_) => Cause::Stall,
            // Restarts, and ends without a complaint.
            Self::Closed { code: None | Some(1000 | 1001 | 1005 | 1012), .. } => Cause::Ended,
            // Complaints: a connection at once would most likely end in the same way.
            Self::Closed { .. } => Cause::Told,
            _ => Cause::Network,
        }
    }

    /// Whether an operator has to act: trying again will not help.
    #[must_use]
    pub fn needs_operator(&self) -> bool {
        self.cause().needs_operator()
    }

    /// How long the upstream asks us to stay away.
    #[must_use]
    pub fn told(&self) -> Option<Duration> {
        match self {
            Self::Status { told, .. } => *told,
            _ => None,
        }
    }

    /// Whether it ended because nothing came.
    #[must_use]
    pub fn is_stall(&self) -> bool {
        matches!(self, Self::Stalled(_))
    }

    /// Whether it ended by a message over the limit.
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        matches!(self, Self::TooLong { .. })
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
        let told = answer::told(response.headers(), SystemTime::now());
        Self::Status { status: response.status(), told }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_cause() {
        let closed = |code| Broken::Closed { code, reason: String::new() };
        let status = |status| Broken::Status { status, told: None };
        for (broken, cause) in [
            (closed(None), Cause::Ended),
            (closed(Some(1000)), Cause::Ended),
            (closed(Some(1012)), Cause::Ended),
            (closed(Some(1008)), Cause::Told),
            (closed(Some(1013)), Cause::Told),
            (closed(Some(4000)), Cause::Told),
            (Broken::Cut, Cause::Network),
            (Broken::TimedOut(Duration::ZERO), Cause::Network),
            (Broken::TooLong { size: 2, limit: 1 }, Cause::Network),
            (Broken::Stalled(Duration::ZERO), Cause::Stall),
            (Broken::Address("it is no URL"), Cause::Refused),
            (Broken::Proxy(ProxyError::Status(407)), Cause::Refused),
            (Broken::Proxy(ProxyError::Status(502)), Cause::Network),
            (Broken::Compressed(Undecodable::OtherDictionary { found: 1, ours: 2 }), Cause::Refused),
            (Broken::Compressed(Undecodable::NotOneFrame), Cause::Network),
            (status(StatusCode::UNAUTHORIZED), Cause::Refused),
            (status(StatusCode::TOO_MANY_REQUESTS), Cause::RateLimited),
            (status(StatusCode::SERVICE_UNAVAILABLE), Cause::Http),
            (status(StatusCode::OK), Cause::Http),
        ] {
            assert_eq!(broken.cause(), cause, "{broken:?}");
        }
    }
}
