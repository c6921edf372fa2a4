//! The server's side of one connection: writes while it watches the client and the script, counts
//! exactly what the operating system has taken, and ends the connection as it is told.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::sync::watch;

/// How a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Close {
    /// With a FIN: what was written arrives.
    Fin,
    /// With an RST: what is still on its way is gone.
    Reset,
}

/// Why a write or a wait was not carried out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Broke<E> {
    /// The client has closed its side.
    Gone,
    /// The script wants the connection to end.
    Told(E),
}

impl<E> Broke<E> {
    /// The end it comes to; `gone` is the one of a client that has gone away.
    pub(crate) fn end(self, gone: E) -> E {
        match self {
            Self::Gone => gone,
            Self::Told(end) => end,
        }
    }
}

/// What ended a wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Woke {
    Timer,
    /// The script has changed.
    Script,
    /// The client has closed its side.
    Gone,
}

pub(crate) struct Pipe {
    socket: TcpStream,
    script: watch::Receiver<u64>,
}

impl Pipe {
    pub(crate) fn new(socket: TcpStream, script: watch::Receiver<u64>) -> Self {
        Self { socket, script }
    }

    /// Writes `bytes`; returns how many were taken, and why it stopped if that is not all. After each
    /// change of the script `must_end` is asked whether to go on.
    pub(crate) async fn write<E>(
        &mut self,
        bytes: &[u8],
        must_end: impl Fn() -> Option<E>,
    ) -> (usize, Result<(), Broke<E>>) {
        let (mut reader, mut writer) = self.socket.split();
        let mut written = 0;
        while written < bytes.len() {
            // Each branch is cancel safe: a write that is cancelled has written nothing.
            tokio::select! {
                result = writer.write(&bytes[written..]) => match result {
                    Ok(n) if n > 0 => written += n,
                    _ => return (written, Err(Broke::Gone)),
                },
                () = gone(&mut reader) => return (written, Err(Broke::Gone)),
                _ = self.script.changed() => if let Some(end) = must_end() {
                    return (written, Err(Broke::Told(end)));
                },
            }
        }
        (written, Ok(()))
    }

    /// Waits for the time, the script or the client. Without a time only for the other two.
    pub(crate) async fn wait(&mut self, until: Option<Instant>) -> Woke {
        let (mut reader, _) = self.socket.split();
        let timer = async {
            match until {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = timer => Woke::Timer,
            _ = self.script.changed() => Woke::Script,
            () = gone(&mut reader) => Woke::Gone,
        }
    }

    /// Ends the connection.
    pub(crate) async fn close(mut self, how: Close) {
        // It ends in any case; a client that is gone already does not mind.
        let _ = match how {
            Close::Fin => self.socket.shutdown().await,
            Close::Reset => self.socket.set_zero_linger(),
        };
    }
}

/// Returns when the client has closed its side. Cancel safe: what a client sends after its request
/// is of no interest.
async fn gone(reader: &mut ReadHalf<'_>) {
    let mut ignored = [0; 64];
    while matches!(reader.read(&mut ignored).await, Ok(n) if n > 0) {}
}
