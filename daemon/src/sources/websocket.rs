//! WebSocket: one connection, message by message. No reconnect here: a source decides that from what
//! [`Broken`] says.
//!
//! It guarantees that a message is whole and at most [`Limits::message_bytes`] long, that pings are
//! answered, and that a dead peer is noticed: after half of [`Limits::silence`] without a byte it asks with
//! a ping, after all of it the connection is given up. What is buffered is bounded: one message, one read
//! buffer, and 64 KiB of answers that the peer does not take.

mod broken;
pub mod dial;
pub mod dictionary;
mod inbox;
mod io;
pub mod proxy;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};

pub use broken::Broken;
pub use dial::{Connector, Dialling, SetupError};
pub use inbox::Inbox;
use io::{Io, Metered};

/// Answers (pongs) that wait for a peer that does not read; more are not kept.
const ANSWERS_BYTES_MAX: usize = 64 << 10;
/// Read buffer: large enough that a busy stream costs few system calls.
const READ_BYTES: usize = 64 << 10;
/// How long the answer to a close frame may take: only a courtesy.
const GOODBYE: Duration = Duration::from_millis(500);

/// The limits of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest message, in bytes. A longer one breaks the connection before it is read into memory: set
    /// it well above the longest record that is wanted, and drop those above that yourself.
    pub message_bytes: usize,
    /// Longest time without a byte from the peer; none for no limit.
    pub silence: Option<Duration>,
}

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its payload; valid UTF-8 when it is text.
    pub bytes: Bytes,
    /// Whether it was sent as binary data.
    pub is_binary: bool,
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    socket: WebSocketStream<Metered<Box<dyn Io>>>,
    limits: Limits,
    pinged: Option<Instant>,
    /// The peer's close frame, once it has come.
    goodbye: Option<(Option<u16>, String)>,
}

impl Connection {
    /// Takes a stream over which the upgrade is done.
    pub async fn upgraded(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static,
        limits: Limits,
    ) -> Self {
        let role = tungstenite::protocol::Role::Client;
        let io: Box<dyn Io> = Box::new(io);
        let socket = WebSocketStream::from_raw_socket(Metered::new(io), role, Some(config(limits)));
        Self::new(socket.await, limits)
    }

    fn new(socket: WebSocketStream<Metered<Box<dyn Io>>>, limits: Limits) -> Self {
        Self { socket, limits, pinged: None, goodbye: None }
    }

    /// Bytes that came from the peer, with all that the protocol adds.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.socket.get_ref().bytes()
    }

    /// Sends a text message.
    pub(super) async fn send(&mut self, text: &str) -> Result<(), Broken> {
        let sent = self.socket.send(tungstenite::Message::text(text)).await;
        sent.map_err(|error| Broken::from_reading(error, self.limits))
    }

    /// Waits for the next message. After an error the connection is of no further use.
    ///
    /// Cancel safety: when the future is dropped, no message is lost; at worst a ping is sent twice.
    ///
    /// # Errors
    /// When the connection has ended, for whatever reason.
    pub async fn next(&mut self) -> Result<Message, Broken> {
        loop {
            if let Some((code, reason)) = self.goodbye.clone() {
                // Our answer is queued already; that the peer does not take it changes nothing.
                let _ = tokio::time::timeout(GOODBYE, SinkExt::flush(&mut self.socket)).await;
                return Err(Broken::Closed { code, reason });
            }
            let look = self.next_look();
            tokio::select! {
                biased;
                item = self.socket.next() => {
                    if let Some(message) = self.take(item)? {
                        return Ok(message);
                    }
                }
                () = until(look) => self.look().await?,
            }
        }
    }

    fn take(
        &mut self,
        item: Option<Result<tungstenite::Message, tungstenite::Error>>,
    ) -> Result<Option<Message>, Broken> {
        let message = match item {
            None => return Err(Broken::Cut),
            Some(message) => message.map_err(|error| Broken::from_reading(error, self.limits))?,
        };
        Ok(match message {
            tungstenite::Message::Text(text) => Some(Message { bytes: text.into(), is_binary: false }),
            tungstenite::Message::Binary(bytes) => Some(Message { bytes, is_binary: true }),
            tungstenite::Message::Close(frame) => {
                self.goodbye = Some(frame.as_ref().map_or((None, String::new()), described));
                None
            }
            // Pings are answered by the library at its next read; pongs have done their work by coming.
            _ => None,
        })
    }

    /// When the silence has to be looked at again.
    fn next_look(&self) -> Option<Instant> {
        let silence = self.limits.silence?;
        let last = self.socket.get_ref().last();
        let asked = self.pinged.is_some_and(|at| at >= last);
        Some(if asked { last + silence } else { last + silence / 2 })
    }

    /// Asks a silent peer whether it is there, or gives it up.
    async fn look(&mut self) -> Result<(), Broken> {
        let Some(silence) = self.limits.silence else { return Ok(()) };
        let deadline = self.socket.get_ref().last() + silence;
        if Instant::now() >= deadline {
            return Err(Broken::Stalled(silence));
        }
        let ping = self.socket.send(tungstenite::Message::Ping(Bytes::new()));
        match tokio::time::timeout_at(deadline, ping).await {
            Ok(sent) => sent.map_err(|error| Broken::from_reading(error, self.limits))?,
            Err(_) => return Err(Broken::Stalled(silence)),
        }
        self.pinged = Some(Instant::now());
        Ok(())
    }
}

fn described(frame: &CloseFrame) -> (Option<u16>, String) {
    (Some(frame.code.into()), frame.reason.as_str().to_owned())
}

/// Cancel safety: it keeps nothing.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn config(limits: Limits) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(ANSWERS_BYTES_MAX)
        .max_message_size(Some(limits.message_bytes))
        .max_frame_size(Some(limits.message_bytes))
}
