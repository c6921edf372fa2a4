//! An entry of a partition's log: what one close step has made durable. Plain data; no I/O, no clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::archive::Archived;
use crate::micros::Micros;
use crate::pane::Partials;

/// What an entry says of its partition, and of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// Its place in the partition's log, from 0.
    pub(crate) seq: u64,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// The Kafka cluster, when it says its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cluster_id: Option<String>,
    /// Panes that end at or before this are closed; `None` while none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) closed_through: Option<Micros>,
    /// `closed_through` of the entry before; this one holds the panes between the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) closed_before: Option<Micros>,
    /// The start of the last pane that an event was counted in, open or closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_pane: Option<Micros>,
    /// The first record of a pane that is open: where a successor reads from. `None` while no record
    /// was read and no offset was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resume_offset: Option<i64>,
    /// Records before this have been dealt with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next_offset: Option<i64>,
    /// Whether nobody need wait for the partition.
    #[serde(default)]
    pub(crate) standing: Standing,
    /// Records that Kafka had deleted before they were read, as first offset and the one after the last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) deleted: Vec<(i64, i64)>,
    /// The tables that the panes hold, in this order.
    pub(crate) tables: Vec<Mark>,
}

/// Whether a partition's owner expects more of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    /// Yes.
    #[default]
    Awake,
    /// It has been read to its end and was silent.
    Idle,
    /// It has been read to where it should be read to. `end` is the end of the last window that holds
    /// one of its events, if that is still to be closed.
    Drained { end: Option<Micros> },
}

impl Standing {
    /// Its name in the status.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Awake => "awake",
            Self::Idle => "idle",
            Self::Drained { .. } => "drained",
        }
    }

    /// Whether its owner closes it up to a proposal.
    pub(crate) fn follows(self) -> bool {
        self != Self::Awake
    }
}

/// A table as it was defined when the panes were counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) name: String,
    /// Everything that its partial aggregates depend on.
    pub(crate) definition: String,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) header: Header,
    /// By the panes' starts; in each the partial aggregates in the order of the header's tables.
    pub(crate) panes: BTreeMap<Micros, Partials>,
    /// Records that are in no table.
    pub(crate) kept: Vec<Kept>,
    /// Events for the archives, of the records since the entry before.
    pub(crate) archived: Vec<Archived>,
}

impl Entry {
    /// One that only says that the partition exists.
    pub(crate) fn birth(header: Header) -> Self {
        Self { header, panes: BTreeMap::new(), kept: Vec::new(), archived: Vec::new() }
    }
}

/// Why a record is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its pane was closed.
    Late,
    /// Its time is further ahead of Kafka's than is believable.
    Future,
    /// It is no event.
    Unreadable,
}

impl Reason {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Future => "future",
            Self::Unreadable => "unreadable",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Late, Self::Future, Self::Unreadable].into_iter().find(|reason| reason.name() == name)
    }
}

/// A record that is in no table, whole, so that it can still be counted when Kafka has deleted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) reason: Reason,
    pub(crate) offset: i64,
    /// Kafka's time.
    pub(crate) timestamp: Micros,
    /// The event's own time, when it could be read.
    pub(crate) time: Option<Micros>,
    /// Its `spillway-id`.
    pub(crate) id: Option<Vec<u8>>,
    /// More about the reason; may be empty.
    pub(crate) detail: String,
    /// The record's value.
    pub(crate) value: Vec<u8>,
}

impl Kept {
    /// Roughly what it takes in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.value.len() + self.detail.len() + self.id.as_ref().map_or(0, Vec::len)
    }
}
