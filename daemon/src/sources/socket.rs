//! A stream over a WebSocket: whole messages, a record each, connected again when it ends.
//!
//! Two protocols. A plain one has no places to go on from: what it repeats is recognised by the ids, what
//! it does not is reported as a gap. A Jetstream goes on at the latest time so far, a little rewound; what
//! it no longer has is reported by its own times. A message over the limit is dropped alone, unless it is
//! so long that it cannot be skipped ([`MESSAGE_BYTES_MAX`]): then the connection is given up.

use bytes::Bytes;
use spillway_service::errors::chain;
use spillway_service::secret::Address;

use super::gaps::{Coverage, Gap};
use super::intake::{Intake, Reading};
use super::jetstream::identity::Reader;
use super::jetstream::{self, Place, Resume};
use super::retry::{Failure, Retry};
use super::websocket::dictionary::{Dictionary, DictionaryError};
use super::websocket::{Broken, Connector, Dialling, Inbox, Limits, SetupError};
use super::{Event, Line, Met, Oddities};
use crate::config::{SocketConfig, Speech};
use crate::frontier::Cursor;
use crate::ledger::unix_ms;

/// Longest message that is read, whatever the limit of a record is: well above it, so that what is too long
/// for a record is usually dropped alone.
pub const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// Why a source over WebSockets cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Headers, certificates or TLS.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The dictionary.
    #[error(transparent)]
    Dictionary(#[from] DictionaryError),
}

/// The source.
#[derive(Debug)]
pub struct SocketSource {
    inbox: Inbox,
    speaker: Speaker,
    intake: Intake,
    retry: Retry,
    record_bytes_max: usize,
    keeps_cursor: bool,
    bytes: u64,
    too_long: u64,
}

/// What is particular about a protocol: where to connect, and what a message is.
#[derive(Debug)]
enum Speaker {
    Plain(Address),
    Jetstream(Box<Jetstream>),
}

#[derive(Debug)]
struct Jetstream {
    resume: Resume,
    reader: Reader,
}

impl SocketSource {
    /// A source that connects at the first call of [`Self::next`] and goes on at `cursor`.
    ///
    /// # Errors
    /// When headers, certificates or the dictionary are of no use.
    pub fn new(
        name: &str,
        config: SocketConfig,
        record_bytes_max: usize,
        cursor: Option<Cursor>,
    ) -> Result<Self, SocketError> {
        let connector = Connector::new(dialling(&config))?;
        let reading = Reading {
            source: name.to_owned(),
            id: config.id,
            time: config.time,
            ids_by_type: config.service.ids_by_type,
            notices: config.service.notices,
            produce_notices: false,
        };
        // A cursor of another kind is of a source that had this name before.
        let (place, last_received_ms) = match cursor {
            Some(Cursor::Jetstream { time_us, host }) => (Some(Place { time_us, host }), None),
            Some(Cursor::Time { received_ms }) => (None, Some(received_ms)),
            _ => (None, None),
        };
        let (speaker, dictionary) = match config.speech {
            Speech::Plain { url, .. } => (Speaker::Plain(url), None),
            Speech::Jetstream(settings) => {
                let dictionary = settings.zstd_dictionary.as_deref().map(Dictionary::read).transpose()?;
                let resume = Resume::new(settings, place);
                (Speaker::Jetstream(Box::new(Jetstream { resume, reader: Reader::default() })), dictionary)
            }
        };
        Ok(Self {
            inbox: Inbox::new(connector, dictionary, MESSAGE_BYTES_MAX),
            speaker,
            intake: Intake::new(reading, last_received_ms),
            retry: Retry::new(config.link.plan),
            record_bytes_max,
            keeps_cursor: config.service.resume.keeps_cursor(),
            bytes: 0,
            too_long: 0,
        })
    }

    /// See [`super::Source::next`]. Cancel safety: the state changes only between the awaits.
    pub async fn next(&mut self) -> Event {
        while self.inbox.is_open() {
            let lines = match self.inbox.next().await {
                Ok(messages) => self.take(messages),
                Err(broken) => return self.failed(&broken),
            };
            if !lines.is_empty() {
                return Event::Lines(lines);
            }
        }
        self.retry.due().await;
        let (address, coverage) = self.speaker.call();
        match self.inbox.connect(&address).await {
            Ok(()) => {
                self.intake.connected(coverage);
                self.retry.connected()
            }
            Err(broken) => self.failed(&broken),
        }
    }

    /// What was met, since the start.
    #[must_use]
    pub fn met(&self) -> Met {
        let odd = Oddities { too_long: self.too_long + self.inbox.too_long(), ..Oddities::default() };
        Met { bytes: self.bytes, odd, tally: self.intake.tally() }
    }

    fn take(&mut self, messages: Vec<Bytes>) -> Vec<Line> {
        let now_ms = i64::try_from(unix_ms()).unwrap_or(i64::MAX);
        let mut lines = Vec::with_capacity(messages.len());
        for message in messages {
            self.bytes += message.len() as u64;
            let id = self.speaker.look(&message, &mut self.intake);
            if message.len() > self.record_bytes_max {
                self.too_long += 1;
                continue;
            }
            lines.extend(match id {
                Some(id) => self.intake.take_known(id, message, now_ms),
                None => self.intake.take(b"", message, now_ms),
            });
        }
        self.retry.read(!lines.is_empty());
        self.intake.newest(now_ms);
        if let Some(last) = lines.last_mut() {
            last.cursor = self.speaker.cursor(now_ms).filter(|_| self.keeps_cursor);
        }
        lines
    }

    fn failed(&mut self, broken: &Broken) -> Event {
        let cause = broken.cause();
        if let Speaker::Jetstream(jetstream) = &mut self.speaker {
            jetstream.resume.failed(self.retry.has_worked(cause));
        }
        self.retry.failed(Failure { cause, detail: chain(broken), told: broken.told() })
    }
}

impl Speaker {
    /// Where the next attempt goes, and what it will give of the time since the last one.
    fn call(&mut self) -> (Address, Coverage) {
        match self {
            Self::Plain(url) => (url.clone(), Coverage::None),
            Self::Jetstream(jetstream) => (jetstream.resume.address(now_us()), Coverage::Full),
        }
    }

    /// Looks at a message for what the protocol needs of it. Returns its id if that is read by the
    /// protocol's own rule, and not by the configured pointer.
    fn look(&mut self, message: &[u8], intake: &mut Intake) -> Option<Option<String>> {
        let Self::Jetstream(jetstream) = self else { return None };
        let identity = jetstream.reader.read(message);
        let gap = identity.time_us.and_then(|time| jetstream.resume.take(time, now_us()));
        if let Some(jetstream::Gap { from_us, to_us }) = gap {
            intake.missing(Gap { from_ms: to_ms(from_us), to_ms: to_ms(to_us) });
        }
        Some(identity.id)
    }

    /// Where to go on once everything so far is durable.
    fn cursor(&self, now_ms: i64) -> Option<Cursor> {
        match self {
            Self::Plain(_) => Some(Cursor::Time { received_ms: now_ms }),
            Self::Jetstream(jetstream) => jetstream
                .resume
                .place()
                .map(|Place { time_us, host }| Cursor::Jetstream { time_us: *time_us, host: host.clone() }),
        }
    }
}

fn dialling(config: &SocketConfig) -> Dialling {
    let link = &config.link;
    Dialling {
        headers: config.headers.clone(),
        bearer_token: link.bearer_token.clone(),
        connect_timeout: link.connect_timeout,
        proxy: config.proxy.clone(),
        uses_tls: config.uses_tls(),
        ca_file: link.ca_file.clone(),
        greetings: config.sent().to_vec(),
        limits: Limits {
            message_bytes: MESSAGE_BYTES_MAX,
            silence: (!link.idle_timeout.is_zero()).then_some(link.idle_timeout),
        },
    }
}

fn now_us() -> u64 {
    unix_ms().saturating_mul(1_000)
}

fn to_ms(us: u64) -> i64 {
    i64::try_from(us / 1_000).unwrap_or(i64::MAX)
}
