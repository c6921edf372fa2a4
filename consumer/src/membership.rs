//! Which partitions this member owns, and how far each is on its way from the coordinator's word to being
//! read: claimed, taken on from its log, given to the client.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;

use crate::acquire::Claim;
use crate::error::{Error, is_refusal};
use crate::kafka::{self, Client};
use crate::log::Mark;

/// A partition that the coordinator has given to this member.
#[derive(Debug)]
struct Owned {
    /// Which taking on it belongs to: what the store answers to an earlier one is not heard.
    epoch: u64,
    stage: Stage,
    /// The client has it, so that it can be told to read from elsewhere.
    is_assigned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its committed offset is to be looked up.
    Wanted,
    /// Its log is being read.
    Claimed,
    /// It is to be read from this offset, or from the start.
    Ready(Option<i64>),
    /// Its records are taken in.
    Reading,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Membership {
    topic: String,
    group: String,
    marks: Vec<Mark>,
    owned: BTreeMap<i32, Owned>,
    epochs: u64,
    /// The coordinator waits for an answer.
    must_answer: bool,
    retry_at: Option<Instant>,
    /// The coordinator has answered since this member was last expelled.
    is_joined: bool,
    cluster_id: Option<String>,
    /// How often a log held more than this member knew of.
    conflicts: u64,
}

const RETRY: Duration = Duration::from_secs(1);

impl Membership {
    pub(crate) fn new(topic: &str, group: &str, marks: Vec<Mark>) -> Self {
        Self {
            topic: topic.to_owned(),
            group: group.to_owned(),
            marks,
            owned: BTreeMap::new(),
            epochs: 0,
            must_answer: false,
            retry_at: None,
            is_joined: false,
            cluster_id: None,
            conflicts: 0,
        }
    }

    /// The coordinator gives partitions to this member.
    pub(crate) fn assigned(&mut self, partitions: &[i32]) {
        self.is_joined = true;
        self.must_answer = true;
        self.retry_at = None;
        for partition in partitions {
            self.want(*partition, false);
        }
    }

    fn want(&mut self, partition: i32, is_assigned: bool) {
        self.epochs += 1;
        self.owned.insert(partition, Owned { epoch: self.epochs, stage: Stage::Wanted, is_assigned });
    }

    /// The coordinator takes partitions away.
    pub(crate) fn revoked(&mut self, partitions: &[i32], lost: bool) {
        self.owned.retain(|partition, _| !partitions.contains(partition));
        self.is_joined &= !lost;
    }

    /// The log of a partition holds more than this member knows of: it begins anew.
    pub(crate) fn begin_anew(&mut self, partition: i32) {
        self.conflicts += 1;
        if let Some(is_assigned) = self.owned.get(&partition).map(|owned| owned.is_assigned) {
            self.want(partition, is_assigned);
        }
    }

    /// How often the log of an owned partition held more than this member knew of.
    pub(crate) fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// Looks up what is committed for partitions that are wanted. Returns them, each with its epoch; their
    /// logs are to be read.
    ///
    /// # Errors
    /// When the brokers refuse.
    pub(crate) fn claim(&mut self, client: &Client, now: Instant) -> Result<Vec<(Claim, u64)>, Error> {
        let wanted: Vec<i32> = self.at(|stage| stage == Stage::Wanted).collect();
        if wanted.is_empty() || self.retry_at.is_some_and(|at| now < at) {
            return Ok(Vec::new());
        }
        let committed = match kafka::committed(client, &self.topic, &wanted) {
            Ok(committed) => committed,
            Err(error) => return self.failed(error, now).map(|()| Vec::new()),
        };
        if self.cluster_id.is_none() {
            self.cluster_id = kafka::cluster_id(client);
        }
        let mut claims = Vec::new();
        for partition in wanted {
            let Some(owned) = self.owned.get_mut(&partition) else { continue };
            owned.stage = Stage::Claimed;
            let left = committed.get(&partition).copied().unwrap_or_default();
            let claim = Claim {
                partition,
                cluster_id: self.cluster_id.clone(),
                committed: left.offset,
                hint: left.hint,
                marks: self.marks.clone(),
            };
            claims.push((claim, owned.epoch));
        }
        Ok(claims)
    }

    /// The log of a partition has been read; it is to be read on from `offset`. Returns whether it still
    /// matters.
    pub(crate) fn acquired(&mut self, partition: i32, epoch: u64, offset: Option<i64>) -> bool {
        let Some(owned) = self.owned.get_mut(&partition).filter(|owned| owned.epoch == epoch) else {
            return false;
        };
        owned.stage = Stage::Ready(offset);
        true
    }

    /// Gives the client what is ready. Returns the partitions that are read from now on.
    ///
    /// # Errors
    /// When the brokers refuse.
    pub(crate) fn step(&mut self, client: &Client, now: Instant) -> Result<Vec<i32>, Error> {
        if self.retry_at.is_some_and(|at| now < at) {
            return Ok(Vec::new());
        }
        let is_on_its_way = |owned: &Owned| matches!(owned.stage, Stage::Wanted | Stage::Claimed);
        // The answer to the coordinator is one for all.
        let may_answer = self.must_answer && !self.owned.values().any(|o| !o.is_assigned && is_on_its_way(o));
        let ready = |(partition, owned): (&i32, &Owned)| match owned.stage {
            Stage::Ready(offset) => Some((*partition, offset, owned.is_assigned)),
            Stage::Wanted | Stage::Claimed | Stage::Reading => None,
        };
        let ready: Vec<_> = self.owned.iter().filter_map(ready).collect();
        let new: BTreeMap<i32, Option<i64>> = ready
            .iter()
            .filter(|(_, _, is_assigned)| !is_assigned)
            .map(|(p, offset, _)| (*p, *offset))
            .collect();
        let mut begun = Vec::new();
        if may_answer {
            if let Err(error) = kafka::assign(client, &self.topic, &new) {
                return self.failed(error, now).map(|()| begun);
            }
            self.must_answer = false;
            begun.extend(new.into_keys());
        }
        for (partition, offset, _) in ready.into_iter().filter(|(_, _, is_assigned)| *is_assigned) {
            match kafka::reassign(client, &self.topic, partition, offset) {
                Ok(()) => begun.push(partition),
                Err(error) => self.failed(error, now)?,
            }
        }
        for partition in &begun {
            if let Some(owned) = self.owned.get_mut(partition) {
                (owned.stage, owned.is_assigned) = (Stage::Reading, true);
            }
        }
        Ok(begun)
    }

    fn failed(&mut self, error: KafkaError, now: Instant) -> Result<(), Error> {
        if error.rdkafka_error_code().is_some_and(is_refusal) {
            return Err(Error::Refused {
                topic: self.topic.clone(),
                group: self.group.clone(),
                source: Box::new(error),
            });
        }
        tracing::warn!(event = "partitions_not_taken", %error, "partitions cannot be taken on; trying again");
        self.retry_at = Some(now + RETRY);
        Ok(())
    }

    fn at(&self, is_wanted: impl Fn(Stage) -> bool) -> impl Iterator<Item = i32> {
        self.owned.iter().filter(move |(_, owned)| is_wanted(owned.stage)).map(|(partition, _)| *partition)
    }

    /// The partitions whose records are taken in.
    pub(crate) fn reading(&self) -> Vec<i32> {
        self.at(|stage| stage == Stage::Reading).collect()
    }

    pub(crate) fn is_reading(&self, partition: i32) -> bool {
        self.owned.get(&partition).is_some_and(|owned| owned.stage == Stage::Reading)
    }

    /// Whether a partition is still owned as it was at `epoch`.
    pub(crate) fn is_at(&self, partition: i32, epoch: u64) -> bool {
        self.epoch(partition) == Some(epoch)
    }

    /// Which taking on of a partition this is.
    pub(crate) fn epoch(&self, partition: i32) -> Option<u64> {
        self.owned.get(&partition).map(|owned| owned.epoch)
    }

    /// Whether the coordinator has answered, and all that it gave is read.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_joined && !self.must_answer && self.owned.values().all(|owned| owned.stage == Stage::Reading)
    }

    /// Whether nothing is owned.
    pub(crate) fn is_empty(&self) -> bool {
        self.owned.is_empty()
    }

    /// Answers what is still waiting, so that the client can be closed.
    pub(crate) fn leave(&mut self, client: &Client) {
        if std::mem::take(&mut self.must_answer)
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
    fn what_an_earlier_taking_on_asked_for_is_not_heard() {
        let mut membership = Membership::new("events", "group", Vec::new());
        membership.assigned(&[0, 1]);
        let first = membership.epoch(0).unwrap();
        membership.begin_anew(0);
        let second = membership.epoch(0).unwrap();
        assert!(!membership.acquired(0, first, Some(3)));
        assert!(membership.acquired(0, second, Some(4)));
        membership.revoked(&[0], false);
        assert!(!membership.acquired(0, second, Some(4)));
        assert!(!membership.is_settled(), "partition 1 is on its way");
    }

    #[test]
    fn an_expelled_member_has_not_settled_before_it_has_joined_again() {
        let mut membership = Membership::new("events", "group", Vec::new());
        membership.assigned(&[]);
        membership.must_answer = false;
        assert!(membership.is_settled() && membership.is_empty());
        membership.revoked(&[], true);
        assert!(!membership.is_settled());
    }
}
