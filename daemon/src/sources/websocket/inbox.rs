//! The messages of one connection after the other, in batches: what is there already is taken together.

use bytes::Bytes;
use futures_util::FutureExt;
use spillway_service::secret::Address;

use super::dictionary::{Dictionary, Undecodable};
use super::{Broken, Connection, Connector, Message};

/// Messages that are given at once when more of them are there already.
const BATCH_MESSAGES: usize = 256;
/// And their bytes, so that a batch stays small in memory.
const BATCH_BYTES: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub struct Inbox {
    connector: Connector,
    dictionary: Option<Dictionary>,
    /// Longest message, after it is unfolded.
    message_bytes_max: usize,
    connection: Option<Connection>,
    /// What ended the connection while a batch was still to be given.
    broken: Option<Broken>,
    too_long: u64,
}

impl Inbox {
    /// Messages are unfolded by `dictionary`, if there is one, to at most `message_bytes_max` bytes.
    #[must_use]
    pub fn new(connector: Connector, dictionary: Option<Dictionary>, message_bytes_max: usize) -> Self {
        Self { connector, dictionary, message_bytes_max, connection: None, broken: None, too_long: 0 }
    }

    /// Whether there is something to wait for.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.connection.is_some() || self.broken.is_some()
    }

    /// Messages that were over the limit, and so never came out.
    #[must_use]
    pub fn too_long(&self) -> u64 {
        self.too_long
    }

    /// Connects.
    ///
    /// Cancel safety: nothing is lost; the next call begins anew.
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn connect(&mut self, address: &Address) -> Result<(), Broken> {
        (self.connection, self.broken) = (None, None);
        self.connection = Some(self.connector.connect(address).await?);
        Ok(())
    }

    /// Waits for messages; there may be none when all were too long.
    ///
    /// Cancel safety: it awaits only the first message; when the future is dropped nothing is lost.
    ///
    /// # Errors
    /// When the connection has ended, or there is none.
    pub async fn next(&mut self) -> Result<Vec<Bytes>, Broken> {
        let first = match (self.broken.take(), &mut self.connection) {
            (Some(broken), _) => Err(broken),
            (None, Some(connection)) => connection.next().await,
            (None, None) => Err(Broken::Cut),
        };
        let mut messages = Vec::new();
        match first.and_then(|message| self.unfold(message)) {
            Ok(message) => messages.extend(message),
            Err(broken) => {
                self.connection = None;
                self.too_long += u64::from(broken.is_too_long());
                return Err(broken);
            }
        }
        self.take_ready(&mut messages);
        Ok(messages)
    }

    /// Takes what is there already. An end waits for the next call, as the messages before it go first.
    fn take_ready(&mut self, messages: &mut Vec<Bytes>) {
        let mut bytes: usize = messages.iter().map(Bytes::len).sum();
        for _ in 1..BATCH_MESSAGES {
            let ready = self.connection.as_mut().filter(|_| bytes < BATCH_BYTES);
            let Some(message) = ready.and_then(|connection| connection.next().now_or_never()) else {
                return;
            };
            match message.and_then(|message| self.unfold(message)) {
                Ok(message) => {
                    bytes += message.as_ref().map_or(0, Bytes::len);
                    messages.extend(message);
                }
                Err(broken) => {
                    self.broken = Some(broken);
                    return;
                }
            }
        }
    }

    /// The message's bytes, unfolded; `None` when it unfolds to too much.
    fn unfold(&mut self, message: Message) -> Result<Option<Bytes>, Broken> {
        let Some(dictionary) = self.dictionary.as_ref().filter(|_| message.is_binary) else {
            return Ok(Some(message.bytes));
        };
        match dictionary.unfold(&message.bytes, self.message_bytes_max) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Undecodable::TooLong { .. }) => {
                self.too_long += 1;
                Ok(None)
            }
            Err(error) => Err(Broken::Compressed(error)),
        }
    }
}
