//! How far a target has been told, in the store: a chain of small objects, each created once. Whoever finds
//! its place taken goes on from what is there: another member has told the target as much.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Final;
use crate::micros::Micros;
use crate::store::{Created, Objects, StoreError};

/// Why a mark cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum MarkError {
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    #[error("{object} does not say how far a target was told; remove it")]
    Foreign { object: String, source: serde_json::Error },
}

/// How far a target has been told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    through: Option<Micros>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    positions: BTreeMap<i32, u64>,
}

impl Mark {
    pub(super) fn of(newest: &Final) -> Self {
        Self { through: newest.through, positions: newest.positions.clone() }
    }

    pub(super) fn through(&self) -> Option<Micros> {
        self.through
    }

    /// The first entry of a partition whose archived events the target has not been told of.
    pub(super) fn position(&self, partition: i32) -> u64 {
        self.positions.get(&partition).copied().unwrap_or(0)
    }

    /// Takes in what another one says: whatever either has told has been told.
    pub(super) fn join(&mut self, other: Self) {
        self.through = self.through.max(other.through);
        for (partition, position) in other.positions {
            let known = self.positions.entry(partition).or_default();
            *known = position.max(*known);
        }
    }
}

/// The marks of one target.
#[derive(Debug)]
pub(super) struct Marks<S> {
    store: S,
    folder: String,
    next: u64,
}

impl<S: Objects> Marks<S> {
    pub(super) fn new(store: S, topic: &str, target: &str) -> Self {
        Self { store, folder: format!("_notify/{topic}/{target}"), next: 0 }
    }

    fn object(&self, seq: u64) -> String {
        format!("{}/{seq:020}.json", self.folder)
    }

    /// The newest mark; an empty one when there is none.
    pub(super) async fn newest(&mut self) -> Result<Mark, MarkError> {
        let names = self.store.list(&self.folder, None).await?;
        let seq = |name: &String| name.rsplit('/').next()?.strip_suffix(".json")?.parse::<u64>().ok();
        let Some(newest) = names.iter().filter_map(seq).max() else { return Ok(Mark::default()) };
        self.next = newest + 1;
        Ok(self.read(newest).await?.unwrap_or_default())
    }

    async fn read(&self, seq: u64) -> Result<Option<Mark>, MarkError> {
        let object = self.object(seq);
        let Some(bytes) = self.store.get(&object).await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|source| MarkError::Foreign { object, source })
    }

    /// Adds a mark. Returns how far the target has been told, which is further when another member did it.
    pub(super) async fn add(&mut self, mark: &Mark) -> Result<Mark, MarkError> {
        let mut told = mark.clone();
        loop {
            let object = self.object(self.next);
            let bytes = serde_json::to_vec(&told)
                .map_err(|source| MarkError::Foreign { object: object.clone(), source })?;
            if self.store.create(&object, Bytes::from(bytes)).await? == Created::Yes {
                self.next += 1;
                return Ok(told);
            }
            // Contended for a moment, if it is not there: the same place again.
            if let Some(theirs) = self.read(self.next).await? {
                self.next += 1;
                if theirs == told {
                    return Ok(told);
                }
                told.join(theirs);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::store::Memory;

    fn mark(through: Micros, positions: &[(i32, u64)]) -> Mark {
        Mark { through: Some(through), positions: positions.iter().copied().collect() }
    }

    #[tokio::test]
    async fn the_newest_mark_counts_and_two_members_join_theirs() {
        let store = Memory::new(1, 0);
        let mut ours = Marks::new(store.clone(), "t", "webhook");
        let mut theirs = Marks::new(store.clone(), "t", "webhook");
        assert_eq!(ours.newest().await.unwrap(), Mark::default());
        assert_eq!(theirs.newest().await.unwrap(), Mark::default());
        ours.add(&mark(5, &[(0, 3)])).await.unwrap();
        assert_eq!(theirs.add(&mark(4, &[(0, 2), (1, 9)])).await.unwrap(), mark(5, &[(0, 3), (1, 9)]));
        let mut other = Marks::new(store.clone(), "t", "topic");
        assert_eq!(other.newest().await.unwrap(), Mark::default(), "each target has its own");
        assert_eq!(ours.newest().await.unwrap(), mark(5, &[(0, 3), (1, 9)]));
    }

    #[tokio::test]
    async fn a_lost_answer_is_no_second_mark() {
        for seed in 0..50 {
            let store = Memory::new(seed, 40);
            let mut marks = Marks::new(store.clone(), "t", "webhook");
            let mut done = false;
            while !done {
                done = marks.add(&mark(5, &[])).await.is_ok();
            }
            store.heal();
            assert_eq!(marks.newest().await.unwrap(), mark(5, &[]), "seed {seed}");
            assert_eq!(store.below("_notify").len(), 1, "seed {seed}");
        }
    }
}
