//! What the handle and the server share: the script on one side, the progress on the other.

use std::collections::VecDeque;
use std::time::Instant;

/// How a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutKind {
    /// Between two records, with HTTP's end mark: the client sees a complete response.
    Clean,
    /// Between two records, without the end mark: the client sees a connection that broke.
    Abrupt,
    /// In the middle of a record. The record is served again whole at the next connection.
    Torn,
}

/// A connection to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// When this many records have been served over all connections.
    pub after: u64,
    /// How.
    pub kind: CutKind,
}

/// An answer other than the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status, 400 to 599.
    pub status: u16,
    /// Further headers, such as `x-rate-limit-reset`.
    pub headers: Vec<(String, String)>,
}

impl Refusal {
    /// A refusal without further headers.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new() }
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client closed it, or it broke.
    ClientGone,
    /// The script cut it.
    Cut(CutKind),
    /// A newer connection took its place.
    Replaced,
    /// The recording was at its end.
    RecordingEnded,
    /// The upstream was stopped.
    Stopped,
    /// It was refused.
    Refused,
}

/// One request for the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// When the request was read.
    pub at: Instant,
    /// The path and query that were asked for.
    pub target: String,
    /// The HTTP status of the answer.
    pub status: u16,
    /// Records served over it.
    pub served: u64,
    /// When and why it ended.
    pub ended: Option<(Instant, End)>,
}

/// What the handle and the server share.
pub(super) type Shared = crate::shared::Shared<State>;

/// Script and progress.
#[derive(Debug)]
pub(super) struct State {
    pub(super) stopping: bool,
    pub(super) stalled: bool,
    pub(super) paused: bool,
    /// So many connections are writing records.
    pub(super) sending: usize,
    pub(super) pause_at: Option<u64>,
    /// In the order in which they happen.
    pub(super) cuts: VecDeque<Cut>,
    pub(super) refusals: VecDeque<Refusal>,
    /// Index of the connection that may stream.
    pub(super) current: usize,
    pub(super) served: u64,
    pub(super) finished: bool,
    pub(super) connections: Vec<Connection>,
}

impl State {
    pub(super) fn new(mut cuts: Vec<Cut>, pause_at: Option<u64>) -> Self {
        cuts.sort_by_key(|cut| cut.after);
        Self {
            stopping: false,
            stalled: false,
            paused: false,
            sending: 0,
            pause_at,
            cuts: cuts.into(),
            refusals: VecDeque::new(),
            current: 0,
            served: 0,
            finished: false,
            connections: Vec::new(),
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused || self.pause_at.is_some_and(|at| self.served >= at)
    }

    /// How many records may be served before the script wants something.
    pub(super) fn room(&self) -> u64 {
        let until = |at: Option<u64>| at.map_or(u64::MAX, |at| at.saturating_sub(self.served));
        if self.is_paused() {
            0
        } else {
            until(self.pause_at).min(until(self.cuts.front().map(|cut| cut.after)))
        }
    }

    /// The cut that is due now; it happens once.
    pub(super) fn take_cut(&mut self) -> Option<CutKind> {
        let due = self.cuts.front().is_some_and(|cut| cut.after <= self.served);
        if due { self.cuts.pop_front().map(|cut| cut.kind) } else { None }
    }

    /// Why connection `index` must end whatever it is doing.
    pub(super) fn must_end(&self, index: usize) -> Option<End> {
        if self.stopping {
            Some(End::Stopped)
        } else if self.current != index {
            Some(End::Replaced)
        } else {
            None
        }
    }
}
