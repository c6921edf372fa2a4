//! What the handle and the connections share: the script on one side, the log and the progress on the
//! other.

use std::collections::VecDeque;
use std::time::Instant;

use super::faults::{Fault, Kind};
use super::log::Log;

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client closed it, or it broke.
    ClientGone,
    /// The script ended it.
    Fault(Kind),
    /// The server was stopped.
    Stopped,
    /// The upgrade was refused.
    Refused,
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
    /// The cursor that was asked for.
    pub cursor: Option<u64>,
    /// The number of the first event from which it was served; none when it was refused.
    pub from: Option<u64>,
    /// The events that were wholly written to it, by number, in their order.
    pub served: Vec<u64>,
    /// Pongs that came from the client.
    pub pongs: u64,
    /// Pings that came from the client.
    pub pings: u64,
    /// When and why it ended.
    pub ended: Option<(Instant, End)>,
}

/// A refusal that the script wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) retry_after_s: Option<u64>,
}

/// Script and progress.
pub(super) struct State {
    pub(super) log: Log,
    pub(super) faults: VecDeque<Fault>,
    pub(super) refusals: VecDeque<Refusal>,
    pub(super) connections: Vec<Connection>,
    pub(super) served: u64,
    pub(super) is_stalled: bool,
    pub(super) is_stopping: bool,
    /// A client has been served all that there will ever be.
    pub(super) is_finished: bool,
}

impl State {
    pub(super) fn new(log: Log, faults: Vec<Fault>) -> Self {
        Self {
            log,
            faults: faults.into(),
            refusals: VecDeque::new(),
            connections: Vec::new(),
            served: 0,
            is_stalled: false,
            is_stopping: false,
            is_finished: false,
        }
    }

    /// The next fault, when its time has come.
    pub(super) fn take_fault(&mut self) -> Option<Kind> {
        let is_due = self.faults.front().is_some_and(|fault| fault.after <= self.served);
        if is_due { self.faults.pop_front().map(|fault| fault.kind) } else { None }
    }

    /// Events that may be served before the next fault.
    pub(super) fn room(&self) -> usize {
        let left = self.faults.front().map_or(u64::MAX, |fault| fault.after.saturating_sub(self.served));
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    pub(super) fn refuse(&mut self, status: u16, times: usize, retry_after_s: Option<u64>) {
        self.refusals.extend(std::iter::repeat_n(Refusal { status, retry_after_s }, times));
    }
}
