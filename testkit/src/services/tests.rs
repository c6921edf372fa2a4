//! The services through reqwest, as a daemon meets them. The client here is a naive one: lines, then
//! server-sent events out of lines.

mod faults;
mod mastodon;
mod random;
mod sse;
mod wikimedia;
mod x;

use std::error::Error as _;
use std::time::Duration;

use super::*;

const WAIT: Duration = Duration::from_secs(20);

/// What a client reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Got {
    /// A line of a stream of lines; an empty one is a sign of life.
    Line(String),
    /// A line that begins with a colon.
    Comment(String),
    /// A server-sent event: its name, its id, its data.
    Event(String, String, String),
}

impl Got {
    /// The bytes that a record's hash is of.
    pub(super) fn body(&self) -> &str {
        match self {
            Self::Line(body) | Self::Event(_, _, body) => body,
            Self::Comment(_) => "",
        }
    }
}

/// How a stream ended for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With HTTP's end mark.
    Complete,
    /// The body broke off.
    Cut,
    /// The connection was reset.
    Reset,
    /// Nothing came for as long as the client waits.
    Silent,
}

/// An answer that is no stream.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) body: serde_json::Value,
}

/// In a build of the whole workspace reqwest speaks TLS, and wants to be told with which cryptography.
pub(super) fn client() -> reqwest::Client {
    // Another test of this process may have said so before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// One stream, being read.
pub(super) struct Stream {
    response: reqwest::Response,
    patience: Duration,
    events: bool,
    gzip: Option<Vec<u8>>,
    line: Vec<u8>,
    lines: std::collections::VecDeque<String>,
    fields: (String, String, Vec<String>),
}

pub(super) async fn get(url: &str, headers: &[(&str, &str)]) -> Result<Stream, Refused> {
    let mut request = client().get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    if status != 200 {
        let body = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        return Err(Refused { status, headers, body });
    }
    let is = |name, value: &str| headers.get(name).is_some_and(|own| own.to_str().unwrap().contains(value));
    Ok(Stream {
        response,
        patience: WAIT,
        events: is("content-type", "event-stream"),
        gzip: is("content-encoding", "gzip").then(Vec::new),
        line: Vec::new(),
        lines: std::collections::VecDeque::new(),
        fields: Default::default(),
    })
}

impl Stream {
    /// The next line or event, or how the stream ended.
    pub(super) async fn next(&mut self) -> Result<Got, Ending> {
        loop {
            while let Some(line) = self.lines.pop_front() {
                if let Some(got) = self.take(line) {
                    return Ok(got);
                }
            }
            self.read().await?;
        }
    }

    /// Reads until `n` records have come; signs of life do not count.
    pub(super) async fn records(&mut self, n: usize) -> Vec<Got> {
        let mut records = Vec::new();
        while records.len() < n {
            let got = self.next().await.unwrap();
            if !got.body().is_empty() {
                records.push(got);
            }
        }
        records
    }

    /// Reads to the end.
    pub(super) async fn rest(&mut self) -> (Vec<Got>, Ending) {
        let mut all = Vec::new();
        loop {
            match self.next().await {
                Ok(got) => all.push(got),
                Err(ending) => return (all, ending),
            }
        }
    }

    /// What is left of a line that has no end.
    pub(super) fn torn(&self) -> &[u8] {
        &self.line
    }

    async fn read(&mut self) -> Result<(), Ending> {
        let chunk = tokio::time::timeout(self.patience, self.response.chunk()).await;
        let bytes = match chunk.map_err(|_| Ending::Silent)? {
            Ok(Some(bytes)) => bytes.to_vec(),
            Ok(None) => return Err(Ending::Complete),
            Err(error) => return Err(ending(&error)),
        };
        let bytes = match &mut self.gzip {
            Some(buffer) => {
                buffer.extend(bytes);
                stored(buffer)
            }
            None => bytes,
        };
        self.line.extend(bytes);
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            self.lines.push_back(String::from_utf8(line).unwrap().trim_end_matches(['\r', '\n']).to_owned());
        }
        Ok(())
    }

    fn take(&mut self, line: String) -> Option<Got> {
        if !self.events {
            return Some(Got::Line(line));
        }
        let (name, id, data) = &mut self.fields;
        if line.is_empty() {
            let (name, data) = (std::mem::take(name), std::mem::take(data));
            return (!data.is_empty()).then(|| Got::Event(name, id.clone(), data.join("\n")));
        }
        match line.split_once(':').unwrap() {
            ("", _) => return Some(Got::Comment(line)),
            ("event", value) => value[1..].clone_into(name),
            ("id", value) => value[1..].clone_into(id),
            ("data", value) => data.push(value[1..].to_owned()),
            other => assert_eq!(other.0, "retry"),
        }
        None
    }
}

fn ending(error: &reqwest::Error) -> Ending {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>()
            && error.kind() == std::io::ErrorKind::ConnectionReset
        {
            return Ending::Reset;
        }
        cause = error.source();
    }
    Ending::Cut
}

/// Takes the whole blocks out of a gzip stream of stored blocks.
fn stored(stream: &mut Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    if stream.starts_with(&[0x1f, 0x8b]) {
        stream.drain(..10);
    }
    while stream.len() >= 5 {
        let len = usize::from(u16::from_le_bytes([stream[1], stream[2]]));
        if stream[0] != 0 || stream.len() < 5 + len {
            break;
        }
        out.extend(stream.drain(..5 + len).skip(5));
    }
    out
}

pub(super) fn by_hand() -> Options {
    Options { growth: Growth::ByHand, ..Options::default() }
}

pub(super) fn hashes(got: &[Got]) -> Vec<u64> {
    got.iter().map(|got| crate::hash(got.body().as_bytes())).collect()
}

/// The numbers of the records that were read.
pub(super) fn numbers(service: &Service, got: &[Got]) -> Vec<u64> {
    let log = service.log();
    let number = |hash: u64| log.iter().find(|record| record.hash == hash).unwrap().number;
    hashes(got).into_iter().map(number).collect()
}

pub(super) fn ends(service: &Service) -> Vec<End> {
    service.connections().iter().filter_map(|connection| connection.ended).map(|(_, end)| end).collect()
}
