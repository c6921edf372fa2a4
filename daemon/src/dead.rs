//! Dead letters: what becomes of a record that Kafka refuses for itself.
//!
//! ```text
//!   refused --> the dead-letter topic, if one is set and the breaker is Closed --> acknowledged: done
//!          \              | refused there too, not acknowledged in time, Kafka away, a stop
//!           \             v
//!            `--> the spool's dead-letter tree --> durable: done
//! ```
//!
//! Spill owns them. A record has its fate only when it is durable in one of the two places; a record that
//! came from the spool stays unacknowledged there until then. It is in one place and not in both, unless an
//! acknowledgement was lost. Nothing waits for a dead letter, and none is lost.

pub mod errand;
mod topic;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::Receiver;
use spillway_service::errors::chain;
use spillway_spool::{MAX_RECORD_BYTES, NewDeadLetter};

use crate::circuit::State;
use crate::inflight::{InFlight, Opaque};
use crate::kafka::Refusal;
use crate::ledger::{DeadPlace, DropReason, Fate, unix_ms};
use crate::pipeline::Shared;
use crate::record::{Labels, Record};
use crate::ring::End;
use crate::shutdown::Phase;

use topic::DeadTopic;

/// How soon a write to the tree that failed is tried again.
const RETRY_WAIT: Duration = Duration::from_millis(200);
/// How long a stop waits for the topic's acknowledgements, within the drain deadline.
const STOP_WAIT: Duration = Duration::from_secs(2);
/// Letters that share a write to the tree: this many …
const BATCH: usize = 256;
/// … or this many bytes.
const BATCH_BYTES: usize = 1 << 20;

/// A refused record on its way to one of the places.
#[derive(Debug)]
pub(crate) struct Letter {
    owner: Owner,
    /// The record as the spool holds it: the value, the key and the original headers.
    pub(crate) envelope: Bytes,
    /// What Kafka said.
    pub(crate) reason: String,
    /// When, unix milliseconds.
    pub(crate) refused_ms: u64,
}

/// Where the record is accounted for until it is settled.
#[derive(Debug)]
enum Owner {
    /// Nowhere else: it came straight from the queue.
    Direct(Record),
    /// In the spool, unacknowledged.
    Replayed { flight: Arc<InFlight>, opaque: Opaque },
}

impl Letter {
    fn new(refusal: Refusal, labels: &Labels, refused_ms: u64) -> Self {
        match refusal {
            Refusal::Direct { record, reason } => {
                let envelope = envelope(&record, labels);
                Self { owner: Owner::Direct(record), envelope, reason, refused_ms }
            }
            Refusal::Replayed { flight, opaque, envelope, reason } => {
                Self { owner: Owner::Replayed { flight, opaque }, envelope, reason, refused_ms }
            }
        }
    }

    /// Whether the spool has taken the record back meanwhile: an outage recalled what was in flight. It is
    /// sent again then, and refused again.
    fn is_recalled(&self) -> bool {
        match &self.owner {
            Owner::Direct(_) => false,
            Owner::Replayed { flight, opaque } => flight.envelope(*opaque).is_none(),
        }
    }

    fn as_new(&self) -> NewDeadLetter<'_> {
        NewDeadLetter { record: &self.envelope, reason: &self.reason, unix_ms: self.refused_ms }
    }

    fn settle(self, shared: &Shared, fate: Fate) {
        match self.owner {
            Owner::Direct(record) => shared.ledger.settle(record, fate),
            // When it was recalled in this very moment the spool sends it again: a second letter, no loss.
            Owner::Replayed { flight, opaque } => drop(flight.finish(opaque, End::Refused)),
        }
    }
}

fn envelope(record: &Record, labels: &Labels) -> Bytes {
    let (parts, mut id) = (record.parts(), String::new());
    let mut bytes = Vec::with_capacity(record.cost() + 128);
    labels.outgoing(&parts, &mut id).write_header(&mut bytes);
    bytes.extend_from_slice(&record.value);
    Bytes::from(bytes)
}

/// All letters that are not durable yet.
pub(crate) struct DeadLetters<'a> {
    shared: &'a Shared,
    refusals: Receiver<Refusal>,
    topic: Option<DeadTopic>,
    /// For the tree, in the order in which they were refused.
    tree: VecDeque<Letter>,
    /// After a failed write to the tree: when to try again.
    retry_at: Option<Instant>,
    stopping_since: Option<Instant>,
}

impl<'a> DeadLetters<'a> {
    pub(crate) fn new(shared: &'a Shared, refusals: Receiver<Refusal>) -> Self {
        Self {
            shared,
            refusals,
            topic: DeadTopic::of(&shared.config.kafka, shared.kafka.access()),
            tree: VecDeque::new(),
            retry_at: None,
            stopping_since: None,
        }
    }

    /// One round: takes in what was refused, hears of the topic, writes to the tree. Waits for nothing but
    /// the disk.
    pub(crate) fn round(&mut self) {
        self.hear_of_topic();
        self.recall_from_topic();
        let refused: Vec<Refusal> = self.refusals.try_iter().take(BATCH).collect();
        for refusal in refused {
            self.take(Letter::new(refusal, &self.shared.labels, unix_ms()));
        }
        self.write_tree();
    }

    /// Whether every letter is durable.
    pub(crate) fn is_empty(&self) -> bool {
        self.tree.is_empty()
            && self.refusals.is_empty()
            && self.topic.as_ref().is_none_or(DeadTopic::is_empty)
    }

    /// Whether the disk does not take them.
    pub(crate) fn is_stuck(&self) -> bool {
        self.retry_at.is_some()
    }

    fn take(&mut self, letter: Letter) {
        if letter.is_recalled() {
            return;
        }
        let is_open =
            self.shared.breaker.state() == State::Closed && self.shared.shutdown.phase() < Phase::Spilling;
        let left = match &mut self.topic {
            Some(topic) if is_open => topic.offer(letter, Instant::now()),
            _ => Some(letter),
        };
        self.tree.extend(left);
    }

    fn hear_of_topic(&mut self) {
        let Some(topic) = &mut self.topic else { return };
        if topic.is_empty() {
            return;
        }
        let landed = topic.landed(Instant::now());
        self.tree.extend(landed.failed);
        let Some(first) = landed.kept.first() else { return };
        tracing::warn!(
            event = "dead_letter_sent",
            place = DeadPlace::Topic.name(),
            records = landed.kept.len(),
            reason = first.reason,
            "Kafka refuses records for themselves; they are in the dead-letter topic"
        );
        self.settle(landed.kept, DeadPlace::Topic);
    }

    /// Takes back what the topic has not acknowledged, once Kafka is away or the daemon stops.
    fn recall_from_topic(&mut self) {
        let shutdown = &self.shared.shutdown;
        let Some(topic) = self.topic.as_mut().filter(|topic| !topic.is_empty()) else { return };
        let is_stopping = shutdown.phase() >= Phase::Spilling && {
            let since = *self.stopping_since.get_or_insert_with(Instant::now);
            shutdown.is_overdue() || since.elapsed() >= STOP_WAIT
        };
        if is_stopping || self.shared.breaker.state() != State::Closed {
            self.tree.extend(topic.recall());
        }
    }

    fn write_tree(&mut self) {
        while !self.tree.is_empty() && self.retry_at.is_none_or(|at| Instant::now() >= at) {
            let batch = self.next_batch();
            let letters: Vec<NewDeadLetter<'_>> = batch.iter().map(Letter::as_new).collect();
            match self.shared.spool.dead_put_all(&letters) {
                Ok(ids) => self.written(batch, &ids),
                Err(error) => self.not_written(batch, &error),
            }
        }
    }

    /// The letters of one write. Leaves out what the spool has taken back and drops what it can never hold.
    fn next_batch(&mut self) -> Vec<Letter> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH && bytes < BATCH_BYTES {
            let Some(letter) = self.tree.pop_front() else { break };
            if letter.envelope.len() > MAX_RECORD_BYTES {
                tracing::error!(
                    event = "record_too_large",
                    bytes = letter.envelope.len(),
                    "a dead letter is larger than the spool can hold and is dropped"
                );
                letter.settle(self.shared, Fate::Dropped(DropReason::TooLarge));
            } else if !letter.is_recalled() {
                bytes += letter.envelope.len();
                batch.push(letter);
            }
        }
        batch
    }

    fn written(&mut self, batch: Vec<Letter>, ids: &[u64]) {
        if self.retry_at.take().is_some() && self.shared.storage.set(None) {
            tracing::info!(event = "spool_recovered", "the spool takes dead letters again");
        }
        let (Some(first), Some(id)) = (batch.first(), ids.first()) else { return };
        tracing::error!(
            event = "record_refused",
            place = DeadPlace::Spool.name(),
            records = batch.len(),
            dead_letter = id,
            reason = first.reason,
            "Kafka refuses records for themselves; they are kept as dead letters: see spillwayd spool dead ls"
        );
        self.settle(batch, DeadPlace::Spool);
    }

    fn not_written(&mut self, batch: Vec<Letter>, error: &spillway_spool::Error) {
        for letter in batch.into_iter().rev() {
            self.tree.push_front(letter);
        }
        self.retry_at = Some(Instant::now() + RETRY_WAIT);
        if self.shared.storage.set(Some(chain(error))) {
            tracing::error!(
                event = "spool_failed",
                error = chain(error),
                waiting = self.tree.len(),
                "dead letters cannot be written; they wait in memory"
            );
        }
    }

    fn settle(&self, letters: Vec<Letter>, place: DeadPlace) {
        self.shared.ledger.dead_letters(place, letters.len() as u64);
        for letter in letters {
            letter.settle(self.shared, Fate::Dropped(DropReason::Refused));
        }
    }

    /// The end, and the disk takes nothing: returns how many records are lost with it.
    pub(crate) fn give_up(&mut self) -> u64 {
        let recalled = self.topic.as_mut().map(DeadTopic::recall).unwrap_or_default();
        self.tree.extend(recalled);
        let labels = &self.shared.labels;
        self.tree.extend(self.refusals.try_iter().map(|refusal| Letter::new(refusal, labels, unix_ms())));
        let mut lost = 0;
        for letter in std::mem::take(&mut self.tree) {
            // One that came from the spool is still there, and is sent again after the next start.
            if let Owner::Direct(record) = letter.owner {
                self.shared.ledger.settle(record, Fate::Dropped(DropReason::Shutdown));
                lost += 1;
            }
        }
        lost
    }
}
