//! Sources: what the stream task reads. A source turns its upstream into lines; it knows nothing of
//! queues, ids or Kafka.

pub mod file;
pub mod http;
pub mod jetstream;
pub mod ndjson;
pub mod websocket;

pub use file::FileSource;
pub use http::HttpSource;

use std::time::Duration;

use bytes::Bytes;

use crate::frontier::Cursor;

/// What a source says.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Whole lines, without their ends, in order.
    Lines(Vec<Line>),
    /// Connected, or open.
    Connected,
    /// Disconnected; the next call waits and connects again.
    Disconnected {
        /// Why, for the operator.
        cause: String,
        /// Whether an operator has to act: trying again will not help.
        refused: bool,
        /// How long the next call waits before it tries again.
        retry_in: Duration,
    },
    /// The input has ended for good.
    Ended,
}

/// A whole line.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Its bytes.
    pub bytes: Bytes,
    /// An id that the source can give and would give again after a restart.
    pub id: Option<String>,
    /// Where the source goes on once this line is durable.
    pub cursor: Option<Cursor>,
}

/// What a source met besides lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Torn lines at the end of a connection or file; never emitted.
    pub torn: u64,
    /// Lines over the limit; dropped.
    pub too_long: u64,
    /// Empty lines: keep-alives.
    pub keep_alives: u64,
}

/// One of the sources.
#[derive(Debug)]
pub enum Source {
    /// NDJSON over HTTP.
    Http(HttpSource),
    /// Lines of a file.
    File(FileSource),
}

impl Source {
    /// Waits for what comes next.
    ///
    /// Cancel safety: when the future is dropped nothing is lost that a later call would not give.
    pub async fn next(&mut self) -> Event {
        match self {
            Self::Http(source) => source.next().await,
            Self::File(source) => source.next().await,
        }
    }

    /// What it met besides lines, since the start.
    #[must_use]
    pub fn oddities(&self) -> Oddities {
        match self {
            Self::Http(source) => source.oddities(),
            Self::File(source) => source.oddities(),
        }
    }
}
