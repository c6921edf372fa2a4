//! The log on the object store: a chain of entries for each partition, and a chain of proposals for the
//! frontier. Every object is created and never changed; the place in the chain is the object's name, so
//! of two writers one finds its place taken.
//!
//! It guarantees that [`Put::Ours`] means that the chain holds exactly what was given, also when an
//! answer was lost on the way: what is there is read and compared by content before it is believed to be
//! another's. It never tries again by itself; a failed call can be made again as it is.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::micros::Micros;
use crate::store::{Created, Objects, StoreError};

mod codec;
mod entry;

pub use codec::CodecError;
pub(crate) use codec::{decode, encode};
pub(crate) use entry::{Entry, Header, Kept, Mark, Reason, Standing};

/// The folder of the log below the store's root.
const LOG: &str = "_log";

/// Why the log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The store failed.
    #[error("the log cannot be reached")]
    Store(#[from] StoreError),
    /// An object is not what it should be.
    #[error("{object} is no entry of the log, or is damaged; restore it, or start with a new store")]
    Entry {
        /// The object.
        object: String,
        /// Why.
        source: CodecError,
    },
    /// A proposal of the frontier is not what it should be.
    #[error("{object} is no proposal of a frontier; restore it, or start with a new store")]
    Proposal {
        /// The object.
        object: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The store says that an object exists, and that it does not: S3 answers so while another request
    /// for the same object is under way.
    #[error("{object} is being created by another request")]
    Contended {
        /// The object.
        object: String,
    },
    /// The log does not hold what it once held.
    #[error(
        "the log has lost {object}, which the group's offsets or other entries speak of; restore it, or, to count again, \
         remove what the store holds and use a new group"
    )]
    Lost {
        /// The object.
        object: String,
    },
}

impl LogError {
    /// Whether trying again cannot help.
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::Store(error) => error.is_permanent(),
            Self::Contended { .. } => false,
            Self::Entry { .. } | Self::Proposal { .. } | Self::Lost { .. } => true,
        }
    }
}

/// What adding to a chain came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// The chain holds what was given.
    Ours,
    /// Another writer was first.
    Theirs,
}

/// A frontier that has been proposed: its windows are to be written when every partition is closed up
/// to `through`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proposal {
    /// Its place in the chain, from 0.
    pub(crate) seq: u64,
    /// The proposal before this one, which has been carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<Micros>,
    pub(crate) through: Micros,
    /// For each partition the first entry that windows behind `from` need.
    pub(crate) positions: BTreeMap<i32, u64>,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Log<S> {
    store: S,
    topic: String,
}

impl<S: Objects> Log<S> {
    pub(crate) fn new(store: S, topic: impl Into<String>) -> Self {
        Self { store, topic: topic.into() }
    }

    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    fn folder(&self, partition: i32) -> String {
        format!("{LOG}/{}/p={partition:05}", self.topic)
    }

    fn entry_name(&self, partition: i32, seq: u64) -> String {
        format!("{}/{seq:020}.parquet", self.folder(partition))
    }

    fn frontier(&self) -> String {
        format!("{LOG}/{}/frontier", self.topic)
    }

    fn proposal_name(&self, seq: u64) -> String {
        format!("{}/{seq:020}.json", self.frontier())
    }

    /// Adds an entry to its partition's chain.
    pub(crate) async fn put(&self, entry: &Entry) -> Result<Put, LogError> {
        let object = self.entry_name(entry.header.partition, entry.header.seq);
        let ours =
            codec::encode(entry).map_err(|source| LogError::Entry { object: object.clone(), source })?;
        if self.store.create(&object, ours.bytes).await? == Created::Yes {
            return Ok(Put::Ours);
        }
        let theirs = self.store.get(&object).await?;
        let theirs = theirs.ok_or_else(|| LogError::Contended { object: object.clone() })?;
        let theirs = codec::decode(theirs).map_err(|source| LogError::Entry { object, source })?;
        Ok(if theirs.hash == ours.hash { Put::Ours } else { Put::Theirs })
    }

    /// Reads an entry; `None` when the chain does not reach that far.
    pub(crate) async fn read(&self, partition: i32, seq: u64) -> Result<Option<Entry>, LogError> {
        let object = self.entry_name(partition, seq);
        let Some(bytes) = self.store.get(&object).await? else { return Ok(None) };
        codec::decode(bytes)
            .map(|decoded| Some(decoded.entry))
            .map_err(|source| LogError::Entry { object, source })
    }

    /// The newest entry of a partition. `hint` is one that has been there: it saves listing all before.
    pub(crate) async fn newest(&self, partition: i32, hint: Option<u64>) -> Result<Option<Header>, LogError> {
        let after = hint.map(|seq| self.entry_name(partition, seq));
        let names = self.store.list(&self.folder(partition), after.as_deref()).await?;
        let newest = names.iter().filter_map(|name| seq_of(name)).max().or(hint);
        let Some(seq) = newest else { return Ok(None) };
        match self.read(partition, seq).await? {
            Some(entry) => Ok(Some(entry.header)),
            None => Err(self.lost(partition, seq)),
        }
    }

    /// The error that an entry is not there that must be.
    pub(crate) fn lost(&self, partition: i32, seq: u64) -> LogError {
        LogError::Lost { object: self.entry_name(partition, seq) }
    }

    /// Whether the chain goes on after an entry that was the newest: somebody else has written.
    pub(crate) async fn goes_on_after(&self, partition: i32, seq: u64) -> Result<bool, LogError> {
        Ok(self.store.get(&self.entry_name(partition, seq + 1)).await?.is_some())
    }

    /// The partitions that have a log.
    pub(crate) async fn partitions(&self) -> Result<BTreeSet<i32>, LogError> {
        let folders = self.store.folders(&format!("{LOG}/{}", self.topic)).await?;
        Ok(folders.iter().filter_map(|name| name.strip_prefix("p=")?.parse().ok()).collect())
    }

    /// Adds a proposal to the frontier's chain.
    pub(crate) async fn propose(&self, proposal: &Proposal) -> Result<Put, LogError> {
        let object = self.proposal_name(proposal.seq);
        let bytes = serde_json::to_vec(proposal)
            .map_err(|source| LogError::Proposal { object: object.clone(), source })?;
        if self.store.create(&object, Bytes::from(bytes)).await? == Created::Yes {
            return Ok(Put::Ours);
        }
        let theirs = self.proposal(proposal.seq).await?.ok_or(LogError::Contended { object })?;
        Ok(if theirs == *proposal { Put::Ours } else { Put::Theirs })
    }

    /// Reads a proposal; `None` when the chain does not reach that far.
    pub(crate) async fn proposal(&self, seq: u64) -> Result<Option<Proposal>, LogError> {
        let object = self.proposal_name(seq);
        let Some(bytes) = self.store.get(&object).await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|source| LogError::Proposal { object, source })
    }

    /// The newest proposal. `known` is one that has been there.
    pub(crate) async fn newest_proposal(
        &self,
        known: Option<&Proposal>,
    ) -> Result<Option<Proposal>, LogError> {
        let mut newest = known.cloned();
        if newest.is_none() {
            let names = self.store.list(&self.frontier(), None).await?;
            if let Some(seq) = names.iter().filter_map(|name| seq_of(name)).max() {
                newest = self.proposal(seq).await?;
            }
        }
        let mut next = newest.as_ref().map_or(0, |proposal| proposal.seq + 1);
        while let Some(proposal) = self.proposal(next).await? {
            next = proposal.seq + 1;
            newest = Some(proposal);
        }
        Ok(newest)
    }
}

/// The place in its chain that an object's name says.
fn seq_of(name: &str) -> Option<u64> {
    let file = name.rsplit('/').next()?;
    file.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
