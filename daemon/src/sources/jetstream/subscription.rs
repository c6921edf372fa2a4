//! A Jetstream over a WebSocket: connects where [`Resume`] says, unfolds messages, gives records with
//! their ids. When to connect again is for its user to say.

use bytes::Bytes;
use futures_util::FutureExt;

use super::identity::Reader;
use super::resume::{Gap, Place, Resume};
use crate::ledger::unix_ms;
use crate::sources::websocket::dictionary::Dictionary;
use crate::sources::websocket::{Broken, Connection, Connector, Message};

/// Records that are given at once when more of them are there already.
const BATCH_RECORDS: usize = 256;
/// And their bytes, so that a batch stays small in memory.
const BATCH_BYTES: usize = 1 << 20;

/// An event as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The upstream's bytes, unfolded.
    pub bytes: Bytes,
    /// See [`super::identity`].
    pub id: Option<String>,
    /// `time_us` of the event.
    pub time_us: Option<u64>,
    /// Where to go on once this record and all before it are durable; on the last record of a batch.
    pub place: Option<Place>,
    /// What is missing before it.
    pub gap: Option<Gap>,
}

/// A subscription.
#[derive(Debug)]
pub struct Subscription {
    connector: Connector,
    resume: Resume,
    dictionary: Option<Dictionary>,
    reader: Reader,
    record_bytes_max: usize,
    unfolded_bytes_max: usize,
    connection: Option<Connection>,
    /// Whether the connection has given anything.
    gave: bool,
    /// What ended the connection while a batch was still to be given.
    broken: Option<Broken>,
    /// Told with the next record.
    gap: Option<Gap>,
    too_long: u64,
    received_bytes: u64,
}

impl Subscription {
    /// Records over `record_bytes_max` are dropped and counted; a message that unfolds to more than
    /// `unfolded_bytes_max` breaks the connection.
    #[must_use]
    pub fn new(
        connector: Connector,
        resume: Resume,
        dictionary: Option<Dictionary>,
        record_bytes_max: usize,
        unfolded_bytes_max: usize,
    ) -> Self {
        Self {
            connector,
            resume,
            dictionary,
            reader: Reader::default(),
            record_bytes_max,
            unfolded_bytes_max,
            connection: None,
            gave: false,
            broken: None,
            gap: None,
            too_long: 0,
            received_bytes: 0,
        }
    }

    /// Records that were over the limit.
    #[must_use]
    pub fn too_long(&self) -> u64 {
        self.too_long
    }

    /// Bytes on the wire, over all connections.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes + self.connection.as_ref().map_or(0, Connection::received_bytes)
    }

    /// The instance that is used, for logs.
    #[must_use]
    pub fn host(&self) -> String {
        self.resume.host()
    }

    /// Connects.
    ///
    /// Cancel safety: nothing is lost; the next call begins anew.
    ///
    /// # Errors
    /// When there is no connection. The next attempt goes to the next instance.
    pub async fn connect(&mut self) -> Result<(), Broken> {
        let address = self.resume.address(now_us());
        (self.gave, self.broken) = (false, None);
        match self.connector.connect(&address).await {
            Ok(connection) => {
                self.connection = Some(connection);
                Ok(())
            }
            Err(broken) => {
                self.resume.failed(false);
                Err(broken)
            }
        }
    }

    /// Waits for records.
    ///
    /// Cancel safety: it awaits only the first message; when the future is dropped nothing is lost.
    ///
    /// # Errors
    /// When the connection has ended, or there is none.
    pub async fn next(&mut self) -> Result<Vec<Record>, Broken> {
        let mut records = Vec::new();
        while records.is_empty() {
            let first = match (self.broken.take(), &mut self.connection) {
                (Some(broken), _) => Err(broken),
                (None, Some(connection)) => connection.next().await,
                (None, None) => Err(Broken::Cut),
            };
            let first = first.and_then(|message| self.keep(&message, &mut records));
            if let Err(broken) = first {
                self.end();
                return Err(broken);
            }
            self.take_ready(&mut records);
        }
        if let Some(last) = records.last_mut() {
            last.place = self.resume.place().cloned();
        }
        Ok(records)
    }

    /// Takes what is there already.
    fn take_ready(&mut self, records: &mut Vec<Record>) {
        let mut bytes = 0;
        while records.len() < BATCH_RECORDS && bytes < BATCH_BYTES {
            let Some(message) = self.connection.as_mut().and_then(|c| c.next().now_or_never()) else {
                return;
            };
            let kept = message.and_then(|message| {
                bytes += message.bytes.len();
                self.keep(&message, records)
            });
            if let Err(broken) = kept {
                self.broken = Some(broken);
                return;
            }
        }
    }

    /// Makes a record of a message.
    fn keep(&mut self, message: &Message, records: &mut Vec<Record>) -> Result<(), Broken> {
        let bytes = match &self.dictionary {
            Some(dictionary) if message.is_binary => {
                dictionary.unfold(&message.bytes, self.unfolded_bytes_max)?
            }
            _ => message.bytes.clone(),
        };
        self.gave = true;
        let identity = self.reader.read(&bytes);
        let gap = identity.time_us.and_then(|time| self.resume.take(time, now_us()));
        self.gap = self.gap.or(gap);
        if bytes.len() > self.record_bytes_max {
            self.too_long += 1;
            return Ok(());
        }
        let gap = self.gap.take();
        records.push(Record { bytes, id: identity.id, time_us: identity.time_us, place: None, gap });
        Ok(())
    }

    fn end(&mut self) {
        self.received_bytes += self.connection.take().map_or(0, |connection| connection.received_bytes());
        self.resume.failed(self.gave);
    }
}

fn now_us() -> u64 {
    unix_ms().saturating_mul(1_000)
}
