//! Sources: what the stream task reads. A source turns its upstream into lines; it knows nothing of
//! queues or Kafka.

pub(crate) mod answer;
pub mod event_time;
pub mod fair;
pub mod file;
pub mod gaps;
pub mod http;
pub mod intake;
pub mod jetstream;
pub mod ndjson;
pub mod notices;
pub mod overlap;
pub mod reconnect;
mod retry;
pub mod service;
pub mod socket;
pub mod sse;
pub mod websocket;

pub use file::FileSource;
pub use http::HttpSource;
pub use socket::SocketSource;

use std::time::Duration;

use bytes::Bytes;

use crate::frontier::Cursor;
use intake::Tally;
use reconnect::Cause;

/// What a source says.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Whole records, in order.
    Lines(Vec<Line>),
    /// Connected, or open.
    Connected,
    /// Disconnected; the next call waits and connects again.
    Disconnected(Disconnect),
    /// The input has ended for good.
    Ended,
}

/// The end of a connection, or a failed attempt at one.
#[derive(Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// Why.
    pub cause: Cause,
    /// Why, in words for the operator.
    pub detail: String,
    /// How long the next call waits before it tries again.
    pub retry_in: Duration,
}

/// A whole record.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Its bytes.
    pub bytes: Bytes,
    /// An id that the source can give and would give again after a restart.
    pub id: Option<String>,
    /// Where the source goes on once this line is durable.
    pub cursor: Option<Cursor>,
}

/// What a framer met besides records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Torn records at the end of a connection or file; never emitted.
    pub torn: u64,
    /// Records over the limit; dropped.
    pub too_long: u64,
    /// Empty lines and comments: keep-alives.
    pub keep_alives: u64,
}

/// What a source met, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Met {
    /// Bytes read, as they were before any compression.
    pub bytes: u64,
    /// Besides records.
    pub odd: Oddities,
    /// Among the records.
    pub tally: Tally,
}

/// One of the sources.
#[derive(Debug)]
pub enum Source {
    /// Records over HTTP.
    Http(Box<HttpSource>),
    /// Messages over WebSockets.
    Socket(Box<SocketSource>),
    /// Lines of a file.
    File(Box<FileSource>),
}

impl Source {
    /// Waits for what comes next.
    ///
    /// Cancel safety: when the future is dropped nothing is lost that a later call would not give.
    pub async fn next(&mut self) -> Event {
        match self {
            Self::Http(source) => source.next().await,
            Self::Socket(source) => source.next().await,
            Self::File(source) => source.next().await,
        }
    }

    /// What it met, since the start.
    #[must_use]
    pub fn met(&self) -> Met {
        match self {
            Self::Http(source) => source.met(),
            Self::Socket(source) => source.met(),
            Self::File(source) => source.met(),
        }
    }
}
