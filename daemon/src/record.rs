//! The unit of data: one record of the upstream, and its form on disk.
//!
//! A [`Record`] lives in memory and carries a guard: dropped without having been settled it counts as
//! unaccounted, which is a bug. An [`Envelope`] is the same record as the spool holds it. Both turn
//! into an [`Outgoing`], which is what Kafka gets: the upstream's bytes unchanged, and the headers.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::ledger::Guard;
use crate::topics::TopicIndex;

/// Name of the header that carries the record's stable id.
pub const HEADER_ID: &str = "spillway-id";
/// Name of the header that carries the source's name.
pub const HEADER_SOURCE: &str = "spillway-source";
/// Name of the header that says why a dead letter was refused.
pub const HEADER_REASON: &str = "spillway-reason";
/// Name of the header that says when a dead letter was refused, unix milliseconds as text.
pub const HEADER_REFUSED: &str = "spillway-refused-ms";
/// Name of the header that says to which topic a dead letter should have gone.
pub const HEADER_TOPIC: &str = "spillway-topic";

/// Position of a record in the stream of this process, from 1.
pub type Seq = u64;

/// Number of a source in the configuration, from 0.
pub type SourceIndex = u16;

/// One record in memory.
#[derive(Debug)]
pub struct Record {
    /// Position in the stream of this process.
    pub seq: Seq,
    /// Which source gave it.
    pub source: SourceIndex,
    /// The topic that it goes to.
    pub topic: TopicIndex,
    /// The upstream's own id, when it has one.
    pub upstream_id: Option<Arc<str>>,
    /// Key for Kafka, when one is configured and present.
    pub key: Option<Bytes>,
    /// The upstream's bytes.
    pub value: Bytes,
    /// When the daemon received it, unix milliseconds.
    pub received_ms: i64,
    /// Counts the record's fate.
    pub(crate) guard: Guard,
}

/// Cheap copies of what Kafka gets of a record.
#[derive(Debug, Clone)]
pub struct Parts {
    seq: Seq,
    source: SourceIndex,
    topic: TopicIndex,
    upstream_id: Option<Arc<str>>,
    key: Option<Bytes>,
    value: Bytes,
    received_ms: i64,
}

impl Record {
    /// Bytes that the record is charged for: its value and its key.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.value.len() + self.key.as_ref().map_or(0, Bytes::len)
    }

    /// What Kafka gets of it.
    #[must_use]
    pub fn parts(&self) -> Parts {
        Parts {
            seq: self.seq,
            source: self.source,
            topic: self.topic,
            upstream_id: self.upstream_id.clone(),
            key: self.key.clone(),
            value: self.value.clone(),
            received_ms: self.received_ms,
        }
    }
}

/// Topics that the routes of one run may lead to in all, those of later reloads among them.
const NAMES_MAX: usize = 2048;

/// Names of topics by their index. A name stays for as long as the process runs, since records that were read
/// under earlier routes still carry its index; new ones are entered while others read.
#[derive(Debug, Clone)]
pub struct Names(Box<[OnceLock<String>]>);

impl Names {
    /// The names of the topics 0, 1, …
    #[must_use]
    pub fn new(names: &[String]) -> Self {
        let slot =
            |index: usize| names.get(index).map_or_else(OnceLock::new, |name| OnceLock::from(name.clone()));
        Self((0..NAMES_MAX).map(slot).collect())
    }

    /// Enters a name; false when there is no place for that index.
    pub fn enter(&self, index: TopicIndex, name: &str) -> bool {
        self.0.get(usize::from(index)).is_some_and(|slot| slot.get_or_init(|| name.to_owned()) == name)
    }

    fn get(&self, index: TopicIndex) -> &str {
        self.0.get(usize::from(index)).and_then(OnceLock::get).map_or("", String::as_str)
    }
}

/// What the records of one run share: the names of their topics and of their sources, and the prefix of the ids
/// that the daemon gives to records without one of their own.
#[derive(Debug, Clone)]
pub struct Labels {
    /// The names of the topics that routes lead to, by their index.
    pub topics: Names,
    /// The names of the sources, by their index: values of the `spillway-source` header.
    pub sources: Vec<String>,
    /// `<daemon id>-<run>`: unique among all runs of all daemons.
    pub id_prefix: String,
}

impl Labels {
    /// The name of a source.
    #[must_use]
    pub fn source(&self, index: SourceIndex) -> &str {
        self.sources.get(usize::from(index)).map_or("", String::as_str)
    }

    /// A record as Kafka gets it. `buffer` holds the id if the daemon gives it.
    pub fn outgoing<'a>(&'a self, parts: &'a Parts, buffer: &'a mut String) -> Outgoing<'a> {
        let id = match &parts.upstream_id {
            Some(id) => id,
            None => {
                buffer.clear();
                // Writing to a String cannot fail.
                let _ = write!(buffer, "{}-{}", self.id_prefix, parts.seq);
                buffer.as_str()
            }
        };
        Outgoing {
            topic: self.topics.get(parts.topic),
            source: self.source(parts.source),
            id,
            key: parts.key.as_deref(),
            value: &parts.value,
            timestamp_ms: parts.received_ms,
        }
    }
}

/// A record as Kafka gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Value of the `spillway-source` header.
    pub source: &'a str,
    /// Value of the `spillway-id` header.
    pub id: &'a str,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value: the upstream's bytes.
    pub value: &'a [u8],
    /// Kafka timestamp: when the daemon received it, unix milliseconds.
    pub timestamp_ms: i64,
}

/// Version of the envelope. A newer one is refused, so that it is never misread.
const ENVELOPE_VERSION: u8 = 1;
const NO_KEY: u32 = u32::MAX;

impl Outgoing<'_> {
    /// Writes everything but the value, which follows it in the spool:
    ///
    /// ```text
    /// u8 version | i64 received, unix ms | u8 len, topic | u8 len, source | u16 len, id | u32 len, key | value …
    /// ```
    ///
    /// Little endian; a key's length of `u32::MAX` means no key. Topic, source and id are cut to what
    /// their lengths can say; the configuration and the stream task keep them shorter.
    pub fn write_header(&self, out: &mut Vec<u8>) {
        out.clear();
        out.push(ENVELOPE_VERSION);
        out.extend_from_slice(&self.timestamp_ms.to_le_bytes());
        for short in [self.topic, self.source] {
            let len = u8::try_from(short.len()).unwrap_or(u8::MAX);
            out.push(len);
            out.extend_from_slice(&short.as_bytes()[..usize::from(len)]);
        }
        let len = u16::try_from(self.id.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&self.id.as_bytes()[..usize::from(len)]);
        let key_len = self.key.map_or(NO_KEY, |k| u32::try_from(k.len()).unwrap_or(NO_KEY));
        out.extend_from_slice(&key_len.to_le_bytes());
        if key_len != NO_KEY {
            out.extend_from_slice(self.key.unwrap_or_default());
        }
    }
}

/// Why bytes of the spool are no envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Written by a newer version of the program.
    #[error("the record has format {0}, which this version does not know")]
    Version(u8),
    /// It ends too early.
    #[error("the record is cut short")]
    Short,
    /// A name is no UTF-8.
    #[error("the record's topic, source or id is no UTF-8")]
    NotText,
}

/// Reads a record as the spool holds it.
///
/// # Errors
/// When the bytes are no envelope of a known version.
pub fn decode(bytes: &[u8]) -> Result<Outgoing<'_>, EnvelopeError> {
    let mut rest = bytes;
    let version = take(&mut rest, 1)?[0];
    if version != ENVELOPE_VERSION {
        return Err(EnvelopeError::Version(version));
    }
    let timestamp_ms = i64::from_le_bytes(take_array(&mut rest)?);
    let topic = short_text(&mut rest)?;
    let source = short_text(&mut rest)?;
    let id_len = u16::from_le_bytes(take_array(&mut rest)?);
    let id = text(take(&mut rest, usize::from(id_len))?)?;
    let key = match u32::from_le_bytes(take_array(&mut rest)?) {
        NO_KEY => None,
        len => Some(take(&mut rest, usize::try_from(len).map_err(|_| EnvelopeError::Short)?)?),
    };
    Ok(Outgoing { topic, source, id, key, value: rest, timestamp_ms })
}

/// When an envelope's record was received, unix milliseconds, without reading the rest; `None` if it is none.
#[must_use]
pub fn received_ms(envelope: &[u8]) -> Option<i64> {
    let (version, rest) = envelope.split_first()?;
    (*version == ENVELOPE_VERSION).then(|| rest.first_chunk().map(|bytes| i64::from_le_bytes(*bytes)))?
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], EnvelopeError> {
    let (taken, left) = rest.split_at_checked(len).ok_or(EnvelopeError::Short)?;
    *rest = left;
    Ok(taken)
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], EnvelopeError> {
    take(rest, N)?.try_into().map_err(|_| EnvelopeError::Short)
}

fn short_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, EnvelopeError> {
    let len = take(rest, 1)?[0];
    text(take(rest, usize::from(len))?)
}

fn text(bytes: &[u8]) -> Result<&str, EnvelopeError> {
    std::str::from_utf8(bytes).map_err(|_| EnvelopeError::NotText)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            topic in "[a-z.]{1,40}", source in "[a-z_]{1,20}", id in "\\PC{0,60}",
            key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
            value in proptest::collection::vec(any::<u8>(), 0..300), timestamp_ms in any::<i64>(),
        ) {
            let sent = Outgoing { topic: &topic, source: &source, id: &id, key: key.as_deref(), value: &value, timestamp_ms };
            let mut bytes = Vec::new();
            sent.write_header(&mut bytes);
            bytes.extend_from_slice(&value);
            prop_assert_eq!(decode(&bytes), Ok(sent));
            prop_assert_eq!(received_ms(&bytes), Some(timestamp_ms));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let read = decode(&bytes).map(|sent| sent.timestamp_ms);
            prop_assert!(read.is_err() || received_ms(&bytes) == read.ok());
        }
    }

    #[test]
    fn the_bytes_on_disk_are_fixed() {
        let sent =
            Outgoing { topic: "t", source: "s", id: "7", key: Some(b"k"), value: b"v", timestamp_ms: 258 };
        let mut bytes = Vec::new();
        sent.write_header(&mut bytes);
        assert_eq!(bytes, b"\x01\x02\x01\0\0\0\0\0\0\x01t\x01s\x01\x007\x01\0\0\0k");
    }

    #[test]
    fn names_are_entered_while_running_and_never_exchanged() {
        let names = Names::new(&["events".to_owned()]);
        assert!(names.enter(5, "events.hk") && names.enter(5, "events.hk"));
        assert!(!names.enter(0, "other") && !names.enter(TopicIndex::MAX, "other"));
        assert_eq!((names.get(0), names.get(5), names.get(1)), ("events", "events.hk", ""));
    }

    #[test]
    fn a_newer_version_is_refused() {
        assert_eq!(decode(&[2, 0, 0]), Err(EnvelopeError::Version(2)));
        assert_eq!(decode(&[1, 0, 0]), Err(EnvelopeError::Short));
    }
}
