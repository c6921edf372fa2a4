//! Why the daemon could not start: each variant names what was tried, and maps to an exit code.

use spillway_service::admin::Listen;
use spillway_service::exit::Exit;

use crate::sources::http::ClientError;
use crate::sources::socket::SocketError;

/// Why the daemon could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The admin endpoint's address cannot be bound.
    #[error(
        "cannot listen on {address}; is another spillwayd running? Change admin.listen, or set it to \"none\""
    )]
    Listen {
        /// The address.
        address: Listen,
        /// What the system said.
        source: std::io::Error,
    },
    /// The spool cannot be opened.
    #[error("cannot open the spool")]
    Spool(#[source] spillway_spool::Error),
    /// The HTTP client cannot be set up.
    #[error("cannot set up the source")]
    Client(#[source] ClientError),
    /// Connections over WebSockets cannot be set up.
    #[error("cannot set up the source")]
    Socket(#[source] SocketError),
    /// Tokio cannot be started.
    #[error("cannot start the I/O runtime")]
    Runtime(#[source] std::io::Error),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

impl StartError {
    /// The exit code that tells this failure from others.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Listen { .. } => Exit::Listen,
            Self::Spool(error) if error.is_locked() => Exit::Locked,
            Self::Spool(error) if error.is_newer_version() => Exit::NewerVersion,
            Self::Spool(_) => Exit::CannotWrite,
            Self::Client(_) | Self::Socket(_) | Self::Runtime(_) | Self::Thread(_) => Exit::Failed,
        }
    }
}
