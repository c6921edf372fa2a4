//! Which partitions this process reads: taking them on from where the group left them, and insisting
//! on all of them. Until there is a commit log, windows are only right when one process sees the whole
//! topic.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;

use crate::engine::Restored;
use crate::error::{Error, is_refusal};
use crate::kafka::{self, Client};

/// See the module.
#[derive(Debug)]
pub(crate) struct Membership {
    topic: String,
    group: String,
    /// Given by the coordinator and not taken on yet; `None` when there is nothing to answer.
    to_assign: Option<BTreeSet<i32>>,
    retry_at: Option<Instant>,
    owned: BTreeSet<i32>,
    /// The coordinator has answered since this member was last expelled. Before that, owning nothing says
    /// nothing about others: the brokers may just be away.
    is_joined: bool,
    total: usize,
    /// Since when some partition belongs to somebody else.
    partial_since: Option<Instant>,
}

/// How long a rebalance, or the news of a partition that was added, may take to reach this member.
const PARTIAL_GRACE: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_secs(1);

impl Membership {
    pub(crate) fn new(topic: &str, group: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            group: group.to_owned(),
            to_assign: None,
            retry_at: None,
            owned: BTreeSet::new(),
            is_joined: false,
            total: 0,
            partial_since: None,
        }
    }

    /// The coordinator gives partitions to this member.
    pub(crate) fn assigned(&mut self, partitions: &[i32]) {
        self.is_joined = true;
        self.to_assign.get_or_insert_default().extend(partitions);
        self.retry_at = None;
    }

    /// The coordinator takes partitions away.
    ///
    /// # Errors
    /// When it gives them to another member.
    pub(crate) fn revoked(&mut self, partitions: &[i32], lost: bool) -> Result<(), Error> {
        if let Some(waiting) = &mut self.to_assign {
            waiting.retain(|partition| !partitions.contains(partition));
        }
        self.owned.retain(|partition| !partitions.contains(partition));
        self.is_joined &= !lost;
        if lost || partitions.is_empty() { Ok(()) } else { Err(self.not_alone()) }
    }

    /// Takes on what is waiting. Returns what has been taken on, if anything.
    ///
    /// # Errors
    /// When the brokers refuse, or another member owns a part of the topic.
    pub(crate) fn step(
        &mut self,
        client: &Client,
        now: Instant,
    ) -> Result<Option<BTreeMap<i32, Restored>>, Error> {
        let mut taken = None;
        if let Some(waiting) = &self.to_assign
            && self.retry_at.is_none_or(|at| now >= at)
        {
            let partitions: Vec<i32> = waiting.iter().copied().collect();
            match self.take_on(client, &partitions) {
                Ok(restored) => {
                    self.to_assign = None;
                    self.owned.extend(partitions);
                    taken = Some(restored);
                }
                Err(error) => self.failed(error, now)?,
            }
        }
        self.insist(client, now)?;
        Ok(taken)
    }

    fn take_on(
        &mut self,
        client: &Client,
        partitions: &[i32],
    ) -> Result<BTreeMap<i32, Restored>, KafkaError> {
        self.total = kafka::partition_count(client, &self.topic)?;
        let restored = if partitions.is_empty() {
            BTreeMap::new()
        } else {
            kafka::restore(client, &self.topic, partitions)?
        };
        kafka::assign(client, &self.topic, &restored)?;
        Ok(restored)
    }

    fn failed(&mut self, error: KafkaError, now: Instant) -> Result<(), Error> {
        if error.rdkafka_error_code().is_some_and(is_refusal) {
            return Err(Error::Refused {
                topic: self.topic.clone(),
                group: self.group.clone(),
                source: Box::new(error),
            });
        }
        tracing::warn!(%error, "cannot look up where the group left its partitions; trying again");
        self.retry_at = Some(now + RETRY);
        Ok(())
    }

    /// Fails when a part of the topic has belonged to somebody else for too long.
    fn insist(&mut self, client: &Client, now: Instant) -> Result<(), Error> {
        if self.to_assign.is_some() || !self.is_joined || self.total == 0 || self.is_complete() {
            self.partial_since = None;
            return Ok(());
        }
        let since = *self.partial_since.get_or_insert(now);
        if now.saturating_duration_since(since) < PARTIAL_GRACE {
            return Ok(());
        }
        // The number may have been that of a moment before.
        match kafka::partition_count(client, &self.topic) {
            Ok(total) => self.total = total,
            Err(error) => tracing::warn!(%error, "cannot ask how many partitions the topic has"),
        }
        if self.is_complete() { Ok(()) } else { Err(self.not_alone()) }
    }

    fn not_alone(&self) -> Error {
        Error::NotAlone {
            owned: self.owned.len(),
            total: self.total,
            topic: self.topic.clone(),
            group: self.group.clone(),
        }
    }

    /// Whether this process reads the whole topic.
    pub(crate) fn is_complete(&self) -> bool {
        self.to_assign.is_none() && self.total > 0 && self.owned.len() >= self.total
    }

    /// The partitions that this process reads.
    pub(crate) fn owned(&self) -> Vec<i32> {
        self.owned.iter().copied().collect()
    }

    /// Answers what is still waiting, so that the client can be closed.
    pub(crate) fn leave(&mut self, client: &Client) {
        if self.to_assign.take().is_some()
            && let Err(error) = kafka::assign(client, &self.topic, &BTreeMap::new())
        {
            tracing::debug!(%error, "an assignment could not be declined");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expelled_member_is_not_told_from_one_among_others_before_it_has_joined_again() {
        let mut membership = Membership::new("events", "group");
        membership.assigned(&[0, 1]);
        assert!(membership.is_joined);
        membership.revoked(&[0, 1], true).unwrap();
        assert!(!membership.is_joined, "the brokers were away for longer than the session's timeout");
        membership.assigned(&[]);
        assert!(membership.is_joined, "now owning nothing means that another member owns it");
        assert!(matches!(membership.revoked(&[1], false), Err(Error::NotAlone { .. })));
    }
}
