//! What a service's handle and its connections share: the script on one side, the log and the
//! progress on the other.

use std::collections::VecDeque;
use std::time::Instant;

use super::dialect::Form;
use super::faults::{Close, Cut, Fault, Kind};
use super::log::Log;
use crate::http::Request;
use crate::oracle::sources::Torn;

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client closed it, or it broke.
    ClientGone,
    /// The script closed it between two records.
    Closed(Close),
    /// The script cut it in the middle of a record.
    Torn(Cut, Close),
    /// The service said that it ends the stream.
    Told,
    /// It was open for as long as the service allows.
    Limit,
    /// The client was too far behind.
    SlowReader,
    /// The service was stopped.
    Stopped,
    /// The request was refused.
    Refused,
}

impl End {
    /// Whether the client may not have read the last of what was written.
    #[must_use]
    pub fn may_lose(self) -> bool {
        match self {
            Self::ClientGone | Self::Stopped => true,
            Self::Closed(close) | Self::Torn(_, close) => close == Close::Reset,
            Self::Told | Self::Limit | Self::SlowReader | Self::Refused => false,
        }
    }

    /// What the client has of a torn record.
    pub(super) fn torn(self, gzip: bool) -> Torn {
        match self {
            // Compressed, a part of it may come to nothing.
            Self::Torn(Cut::Letter, Close::Fin | Close::Complete) if !gzip => Torn::Part,
            // A client that goes away in the middle of a record has left the rest.
            Self::Torn(..) | Self::ClientGone => Torn::Perhaps,
            _ => Torn::No,
        }
    }
}

/// One request for the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// When it was answered.
    pub at: Instant,
    /// The path and query that were asked for.
    pub target: String,
    /// The request's headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The first record of the stream, by number, if it is not refused: the oldest one of a replay.
    pub from: Option<u64>,
    /// The records that were wholly written to it, by number, in their order.
    pub served: Vec<u64>,
    /// A record that was written but for the end of its line: a client may see that it is whole.
    pub unended: Option<u64>,
    /// The answer is compressed.
    pub gzip: bool,
    /// When and why it ended.
    pub ended: Option<(Instant, End)>,
}

impl Connection {
    /// The first header of this name, given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// A refusal that the script wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) wait_s: Option<u64>,
}

/// Script and progress.
pub(super) struct State {
    pub(super) stopping: bool,
    pub(super) stalled: bool,
    /// In the order in which they happen.
    pub(super) faults: VecDeque<Fault>,
    pub(super) refusals: VecDeque<Refusal>,
    /// The next streams are compressed for who accepts it, this many.
    pub(super) gzip: usize,
    pub(super) log: Log,
    /// Records wholly written, over all connections.
    pub(super) served: u64,
    /// Connections that stream now.
    pub(super) streaming: usize,
    /// A stream has come to the end of the log's limit.
    pub(super) finished: bool,
    pub(super) connections: Vec<Connection>,
    /// What was asked for beside the stream: method and target.
    pub(super) others: Vec<(String, String)>,
}

impl State {
    pub(super) fn new(log: Log, faults: Vec<Fault>) -> Self {
        Self {
            stopping: false,
            stalled: false,
            faults: faults.into(),
            refusals: VecDeque::new(),
            gzip: 0,
            log,
            served: 0,
            streaming: 0,
            finished: false,
            connections: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Everything has gone wrong that was to, and somebody listens.
    pub(super) fn is_calm(&self) -> bool {
        self.faults.is_empty() && self.refusals.is_empty() && self.streaming > 0
    }

    /// The fault that is due now; it happens once.
    pub(super) fn take_fault(&mut self) -> Option<Kind> {
        let due = self.faults.front().is_some_and(|fault| fault.after <= self.served);
        if due { self.faults.pop_front().map(|fault| fault.kind) } else { None }
    }

    /// How many records may be served before the next fault.
    pub(super) fn room(&self) -> u64 {
        self.faults.front().map_or(u64::MAX, |fault| fault.after.saturating_sub(self.served))
    }

    /// Notes a request for the stream; returns its index.
    pub(super) fn register(&mut self, request: &Request, status: u16, now: Instant) -> usize {
        let ended = (status != 200).then_some((now, End::Refused));
        self.connections.push(Connection {
            at: now,
            target: request.target.clone(),
            headers: request.headers.clone(),
            status,
            from: None,
            served: Vec::new(),
            unended: None,
            gzip: false,
            ended,
        });
        self.connections.len() - 1
    }

    /// Notes that record `number` was wholly written to connection `index`.
    pub(super) fn wrote(&mut self, index: usize, number: u64) {
        self.served += 1;
        self.log.served(number);
        self.connections[index].served.push(number);
    }

    /// Notes that the stream of a connection begins with record `from`; returns whether it is to be
    /// compressed.
    pub(super) fn begin(&mut self, index: usize, from: u64, compress: bool) -> bool {
        self.streaming += 1;
        let gzip = compress && self.gzip > 0;
        self.gzip -= usize::from(gzip);
        let connection = &mut self.connections[index];
        (connection.from, connection.gzip) = (Some(from), gzip);
        gzip
    }
}

/// What a connection needs to know of its service's ways.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ways {
    pub(super) form: Form,
    pub(super) keep_alive: std::time::Duration,
    pub(super) connection_max: Option<std::time::Duration>,
    pub(super) backlog_max: Option<u64>,
}
