//! What one producer session has in flight: the payload of each record until Kafka has acknowledged it,
//! the order in which records were sent, and room for more.
//!
//! Two lanes share the session: records straight from the queue, and records read from the spool. A
//! delivery report names its record by an [`Opaque`]: the lane and the ticket in that lane's ring.
//!
//! The first record of each partition in a session travels alone, until it is acknowledged (ADR 5): a
//! leader that does not know a producer takes any batch of it for the first one.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::record::Record;
use crate::ring::{End, Ring, Tally, Ticket};
use crate::silence::PartitionFlow;
use crate::skips::Recalled;
use crate::topics::Place;

/// Which record a delivery report is about, as librdkafka carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opaque(pub usize);

const REPLAY: usize = 1 << (usize::BITS - 1);

impl Opaque {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "usize has 64 bits on every supported target, and a ticket stays far below 2^63"
    )]
    const fn new(replay: bool, ticket: Ticket) -> Self {
        Self(ticket as usize | if replay { REPLAY } else { 0 })
    }

    const fn is_replay(self) -> bool {
        self.0 & REPLAY != 0
    }

    const fn ticket(self) -> Ticket {
        (self.0 & !REPLAY) as Ticket
    }
}

/// A record read from the spool.
#[derive(Debug)]
pub struct Replayed {
    /// Its number in the spool.
    pub spool_seq: u64,
    /// Its envelope, kept in case that Kafka refuses it.
    pub envelope: Bytes,
    /// Where it goes, if that can be read from it.
    pub place: Option<Place>,
}

/// A record straight from the queue, in flight.
#[derive(Debug)]
struct Direct {
    record: Record,
    place: Option<Place>,
}

/// What a report took out of flight.
#[derive(Debug)]
pub enum Landed {
    /// A record straight from the queue.
    Direct(Record),
    /// A record from the spool; its end shows in [`InFlight::take_progress`].
    Replayed(Replayed),
}

/// Room for records in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Records.
    pub records: usize,
    /// Bytes; a single larger record may pass when nothing else is in flight.
    pub bytes: usize,
}

impl Window {
    /// Three quarters of it.
    const fn most(self) -> Self {
        Self { records: self.records - self.records / 4, bytes: self.bytes - self.bytes / 4 }
    }
}

/// How far the records of the spool are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayProgress {
    /// The number of the first record of the spool that is in flight, or was when the session was recalled.
    pub front: Option<u64>,
    /// What became of those that are newly done.
    pub tally: Tally,
}

/// Records in flight of one session.
#[derive(Debug, Default)]
pub struct InFlight {
    state: Mutex<State>,
    changed: Condvar,
}

/// What one partition has in flight.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    flow: PartitionFlow,
    /// Its leader knows this session's producer, by a record that it has acknowledged.
    known: bool,
    entered_at: Option<Instant>,
}

impl Share {
    /// Until the leader knows the producer, one record at a time.
    fn has_room(self) -> bool {
        self.known || self.flow.in_flight == 0
    }
}

/// A leader forgets a producer after a day without records by default; long before that the next record
/// travels alone again.
const KNOWN_FOR: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
struct State {
    direct: Ring<Direct>,
    replay: Ring<Replayed>,
    /// The records of the spool that were in flight when the session was recalled.
    recalled: Recalled,
    /// By topic and partition.
    shares: Vec<Vec<Share>>,
    direct_bytes: usize,
    replay_bytes: usize,
    /// Records of the spool that Kafka refused and that are no dead letters yet.
    refused: usize,
    /// What is waited for; at most one goal each of produce and replay.
    goals: Vec<Goal>,
}

/// What a task can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Room for a good many more records, so that the waiter is not woken for every single one.
    Room(Window),
    /// The same, counting only the records of the spool.
    ReplayRoom(Window),
    /// No record of the queue is without a report.
    DirectDone,
    /// No record of the spool is without a report, and none waits to become a dead letter.
    ReplayDone,
    /// No record at all is without a report.
    AllDone,
    /// The partition takes one more record.
    Place(Place),
}

impl Goal {
    fn is_met(self, state: &State) -> bool {
        let load = state.load();
        match self {
            Self::Place(place) => state.share(Some(place)).is_none_or(Share::has_room),
            Self::Room(window) => load.fits(window.most()),
            Self::ReplayRoom(window) => load.of_replay().fits(window.most()),
            Self::DirectDone => load.direct == 0,
            Self::ReplayDone => load.is_replay_done(),
            Self::AllDone => load.direct + load.replay == 0,
        }
    }
}

impl State {
    fn finish(&mut self, opaque: Opaque, end: End) -> Option<Landed> {
        let before = self.pending();
        let (landed, place) = if opaque.is_replay() {
            let record = self.replay.finish(opaque.ticket(), end)?;
            if end == End::Refused {
                self.refused = self.refused.saturating_sub(1);
            }
            self.replay_bytes -= record.envelope.len();
            let place = record.place;
            (Landed::Replayed(record), place)
        } else {
            let Direct { record, place } = self.direct.finish(opaque.ticket(), end)?;
            self.direct_bytes -= record.cost();
            (Landed::Direct(record), place)
        };
        let was_pending = self.pending() < before;
        if let Some(share) = self.share_mut(place).filter(|_| was_pending) {
            share.flow.in_flight -= 1;
            if end == End::Acked {
                share.flow.acked += 1;
                share.known = true;
            }
        }
        Some(landed)
    }

    fn fail(&mut self, opaque: Opaque) {
        let (before, ticket) = (self.pending(), opaque.ticket());
        if opaque.is_replay() {
            self.replay.fail(ticket);
        } else {
            self.direct.fail(ticket);
        }
        if self.pending() < before {
            let place = self.place(opaque);
            self.left(place);
        }
    }

    fn pending(&self) -> usize {
        self.direct.pending() + self.replay.pending()
    }

    fn place(&mut self, opaque: Opaque) -> Option<Place> {
        if opaque.is_replay() {
            self.replay.peek(opaque.ticket()).and_then(|record| record.place)
        } else {
            self.direct.peek(opaque.ticket()).and_then(|direct| direct.place)
        }
    }

    fn entered(&mut self, place: Option<Place>, now: Instant) {
        let Some((topic, at)) = place.and_then(cell) else { return };
        if self.shares.len() <= topic {
            self.shares.resize(topic + 1, Vec::new());
        }
        let shares = &mut self.shares[topic];
        if shares.len() <= at {
            shares.resize(at + 1, Share::default());
        }
        let share = &mut shares[at];
        let is_old = |at: Instant| now.saturating_duration_since(at) > KNOWN_FOR;
        if share.flow.in_flight == 0 && share.entered_at.is_some_and(is_old) {
            share.known = false;
        }
        share.flow.in_flight += 1;
        share.entered_at = Some(now);
    }

    fn left(&mut self, place: Option<Place>) {
        if let Some(share) = self.share_mut(place) {
            share.flow.in_flight -= 1;
        }
    }

    fn share_mut(&mut self, place: Option<Place>) -> Option<&mut Share> {
        let (topic, at) = cell(place?)?;
        self.shares.get_mut(topic)?.get_mut(at)
    }

    fn share(&self, place: Option<Place>) -> Option<Share> {
        let (topic, at) = cell(place?)?;
        self.shares.get(topic)?.get(at).copied()
    }

    /// What must be waited for before a record of the partition may enter; `None` when it may.
    fn obstacle(&self, place: Option<Place>) -> Option<Goal> {
        let share = self.share(place)?;
        if share.has_room() { None } else { place.map(Goal::Place) }
    }

    fn load(&self) -> Load {
        Load {
            direct: self.direct.pending(),
            replay: self.replay.pending(),
            refused: self.refused,
            direct_bytes: self.direct_bytes,
            replay_bytes: self.replay_bytes,
        }
    }
}

/// Where the share of a place is kept. All of a topic has none.
fn cell(place: Place) -> Option<(usize, usize)> {
    Some((usize::from(place.topic), usize::try_from(place.partition).ok()?))
}

/// What is in flight now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Records of the queue without a report.
    pub direct: usize,
    /// Records of the spool without a report.
    pub replay: usize,
    /// Records of the spool that Kafka refused and that are no dead letters yet. They keep their room, but
    /// no report is awaited: they are no sign of an outage.
    pub refused: usize,
    /// Bytes of the records of the queue.
    pub direct_bytes: usize,
    /// Bytes of the records of the spool.
    pub replay_bytes: usize,
}

impl Load {
    /// Whether one more record would fit.
    #[must_use]
    pub fn fits(&self, window: Window) -> bool {
        self.direct + self.replay + self.refused < window.records
            && self.direct_bytes + self.replay_bytes < window.bytes
    }

    /// Whether all records of the spool that were sent are done.
    #[must_use]
    pub fn is_replay_done(&self) -> bool {
        self.replay + self.refused == 0
    }

    /// The records of the spool alone.
    #[must_use]
    pub fn of_replay(self) -> Self {
        Self { direct: 0, direct_bytes: 0, ..self }
    }

    /// Share of the window in use, 0 to 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share, compared with 0.7")]
    pub fn fill(&self, window: Window) -> f64 {
        let records = (self.direct + self.replay + self.refused) as f64 / window.records as f64;
        let bytes = (self.direct_bytes + self.replay_bytes) as f64 / window.bytes as f64;
        records.max(bytes)
    }
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No step below leaves the rings half-changed when it panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, state: &MutexGuard<'_, State>) {
        if !state.goals.is_empty() && state.goals.iter().any(|goal| goal.is_met(state)) {
            self.changed.notify_all();
        }
    }

    /// Takes a record of the queue before it is sent, if there is room for it.
    ///
    /// # Errors
    /// Gives the record back when there is none; see [`Self::obstacle`].
    pub fn admit_direct(
        &self,
        record: Record,
        place: Option<Place>,
        window: Window,
        now: Instant,
    ) -> Result<Opaque, Record> {
        let mut state = self.lock();
        if !state.load().fits(window) || state.obstacle(place).is_some() {
            return Err(record);
        }
        state.direct_bytes += record.cost();
        state.entered(place, now);
        Ok(Opaque::new(false, state.direct.admit(Direct { record, place }, now)))
    }

    /// What a record of the queue must wait for that was not admitted.
    #[must_use]
    pub fn obstacle(&self, place: Option<Place>, window: Window) -> Goal {
        self.lock().obstacle(place).unwrap_or(Goal::Room(window))
    }

    /// Takes a record of the spool before it is sent. The caller looks after the window.
    ///
    /// # Errors
    /// What must be waited for, when the partition does not take it yet.
    pub fn admit_replay(&self, record: Replayed, now: Instant) -> Result<Opaque, Goal> {
        let mut state = self.lock();
        if let Some(goal) = state.obstacle(record.place) {
            return Err(goal);
        }
        state.replay_bytes += record.envelope.len();
        state.entered(record.place, now);
        Ok(Opaque::new(true, state.replay.admit(record, now)))
    }

    /// Takes back the record of the queue that was admitted last: it was not sent after all.
    pub fn withdraw_direct(&self) -> Option<Record> {
        let mut state = self.lock();
        let Direct { record, place } = state.direct.withdraw_last()?;
        state.direct_bytes -= record.cost();
        state.left(place);
        Some(record)
    }

    /// Takes back the record of the spool that was admitted last: it was not sent after all.
    pub fn withdraw_replay(&self) {
        let mut state = self.lock();
        if let Some(record) = state.replay.withdraw_last() {
            state.replay_bytes -= record.envelope.len();
            state.left(record.place);
        }
    }

    /// The record has ended. Gives back what was kept of it; `None` when it was recalled before.
    pub fn finish(&self, opaque: Opaque, end: End) -> Option<Landed> {
        let mut state = self.lock();
        let landed = state.finish(opaque, end);
        self.wake(&state);
        landed
    }

    /// The record was not delivered, for a reason that concerns all: it stays until it is recalled.
    pub fn fail(&self, opaque: Opaque) {
        let mut state = self.lock();
        state.fail(opaque);
        self.wake(&state);
    }

    /// Kafka has refused a record of the spool. It stays in flight, without awaiting a report, until it is
    /// kept as a dead letter. `None` for a record of the queue, and for one that was recalled.
    pub fn refuse(&self, opaque: Opaque) -> Option<Bytes> {
        if !opaque.is_replay() {
            return None;
        }
        let mut state = self.lock();
        let envelope = state.replay.peek(opaque.ticket()).map(|r| r.envelope.clone())?;
        state.fail(opaque);
        state.refused += 1;
        self.wake(&state);
        Some(envelope)
    }

    /// The envelope of a record of the spool that stays in flight.
    pub fn envelope(&self, opaque: Opaque) -> Option<Bytes> {
        if !opaque.is_replay() {
            return None;
        }
        self.lock().replay.peek(opaque.ticket()).map(|r| r.envelope.clone())
    }

    /// Size of a record in flight, in bytes; `None` when it has ended.
    #[must_use]
    pub fn size(&self, opaque: Opaque) -> Option<usize> {
        let mut state = self.lock();
        if opaque.is_replay() {
            state.replay.peek(opaque.ticket()).map(|r| r.envelope.len())
        } else {
            state.direct.peek(opaque.ticket()).map(|d| d.record.cost())
        }
    }

    /// Where a record in flight goes; `None` when it has ended, or when that is not known.
    #[must_use]
    pub fn place(&self, opaque: Opaque) -> Option<Place> {
        self.lock().place(opaque)
    }

    /// How far the records of the spool are done, and what became of them since the last call.
    pub fn take_progress(&self) -> ReplayProgress {
        let mut state = self.lock();
        let front = state.replay.front().map(|r| r.spool_seq).or(state.recalled.front);
        ReplayProgress { front, tally: state.replay.take_tally() }
    }

    /// The records of the spool that were in flight when the session was recalled.
    #[must_use]
    pub fn recalled(&self) -> Recalled {
        self.lock().recalled.clone()
    }

    /// What each partition has in flight.
    #[must_use]
    pub fn partitions(&self) -> Vec<(Place, PartitionFlow)> {
        let of_topic = |(topic, shares): (u16, &Vec<Share>)| -> Vec<_> {
            (0..).zip(shares).map(|(p, share)| (Place::new(topic, p), share.flow)).collect()
        };
        (0..).zip(&self.lock().shares).flat_map(of_topic).collect()
    }

    /// What is in flight.
    #[must_use]
    pub fn load(&self) -> Load {
        self.lock().load()
    }

    /// Age of the oldest record without a report; zero when there is none.
    #[must_use]
    pub fn oldest(&self, now: Instant) -> Duration {
        let state = self.lock();
        let oldest = [state.direct.oldest(), state.replay.oldest()].into_iter().flatten().min();
        oldest.map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
    }

    /// Waits until the goal is met, at most `timeout`; returns whether it is.
    pub fn wait_for(&self, goal: Goal, timeout: Duration) -> bool {
        let mut state = self.lock();
        state.goals.push(goal);
        let waited = self.changed.wait_timeout_while(state, timeout, |s| !goal.is_met(s));
        let (mut state, result) = waited.unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = state.goals.iter().position(|g| *g == goal) {
            state.goals.swap_remove(at);
        }
        !result.timed_out()
    }

    /// Takes everything out; returns the records of the queue in the order they were sent. Those of the
    /// spool are still on disk. Reports that come later find nothing.
    #[must_use]
    pub fn recall(&self) -> Vec<Record> {
        let mut state = self.lock();
        // What was sent of the spool is not done: a late look at the progress must not say so.
        for record in state.replay.recall() {
            state.recalled.add(record.spool_seq, record.place);
        }
        state.refused = 0;
        state.direct_bytes = 0;
        state.replay_bytes = 0;
        state.shares.clear();
        self.wake(&state);
        state.direct.recall().into_iter().map(|direct| direct.record).collect()
    }
}

#[cfg(test)]
mod tests;
