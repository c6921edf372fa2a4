//! What one producer session has in flight: the payload of each record until Kafka has acknowledged it,
//! the order in which records were sent, and room for more.
//!
//! Two lanes share the session: records straight from the queue, and records read from the spool. A
//! delivery report names its record by an [`Opaque`]: the lane and the ticket in that lane's ring.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::record::Record;
use crate::ring::{End, Ring, Tally, Ticket};

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

/// How far the spool is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayProgress {
    /// All records below this number of the spool are done, unless nothing was sent yet.
    pub through: Option<u64>,
    /// What became of those that are newly done.
    pub tally: Tally,
}

/// Records in flight of one session.
#[derive(Debug, Default)]
pub struct InFlight {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    direct: Ring<Record>,
    replay: Ring<Replayed>,
    /// The spool's number after the last record that was sent from it.
    replay_sent: Option<u64>,
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
    /// No record at all is without a report.
    AllDone,
}

impl Goal {
    fn is_met(self, load: Load) -> bool {
        match self {
            Self::Room(window) => load.fits(window.most()),
            Self::ReplayRoom(window) => load.of_replay().fits(window.most()),
            Self::DirectDone => load.direct == 0,
            Self::AllDone => load.direct + load.replay == 0,
        }
    }
}

impl State {
    fn finish(&mut self, opaque: Opaque, end: End) -> Option<Landed> {
        if opaque.is_replay() {
            let record = self.replay.finish(opaque.ticket(), end)?;
            if end == End::Refused {
                self.refused = self.refused.saturating_sub(1);
            }
            self.replay_bytes -= record.envelope.len();
            return Some(Landed::Replayed(record));
        }
        let record = self.direct.finish(opaque.ticket(), end)?;
        self.direct_bytes -= record.cost();
        Some(Landed::Direct(record))
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
        if !state.goals.is_empty() && state.goals.iter().any(|goal| goal.is_met(state.load())) {
            self.changed.notify_all();
        }
    }

    /// Takes a record of the queue before it is sent, if the window has room for it.
    ///
    /// # Errors
    /// Gives the record back when there is no room.
    pub fn admit_direct(&self, record: Record, window: Window, now: Instant) -> Result<Opaque, Record> {
        let mut state = self.lock();
        if !state.load().fits(window) {
            return Err(record);
        }
        state.direct_bytes += record.cost();
        Ok(Opaque::new(false, state.direct.admit(record, now)))
    }

    /// Takes a record of the spool before it is sent.
    pub fn admit_replay(&self, record: Replayed, now: Instant) -> Opaque {
        let mut state = self.lock();
        state.replay_bytes += record.envelope.len();
        state.replay_sent = Some(record.spool_seq + 1);
        Opaque::new(true, state.replay.admit(record, now))
    }

    /// Takes back the record of the queue that was admitted last: it was not sent after all.
    pub fn withdraw_direct(&self) -> Option<Record> {
        let mut state = self.lock();
        let record = state.direct.withdraw_last()?;
        state.direct_bytes -= record.cost();
        Some(record)
    }

    /// Takes back the record of the spool that was admitted last: it was not sent after all.
    pub fn withdraw_replay(&self) {
        let mut state = self.lock();
        if let Some(record) = state.replay.withdraw_last() {
            state.replay_bytes -= record.envelope.len();
            state.replay_sent = Some(record.spool_seq);
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
        if opaque.is_replay() {
            state.replay.fail(opaque.ticket());
        } else {
            state.direct.fail(opaque.ticket());
        }
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
        state.replay.fail(opaque.ticket());
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

    /// How far the spool is done since the last call.
    pub fn take_progress(&self) -> ReplayProgress {
        let mut state = self.lock();
        let through = state.replay.front().map(|r| r.spool_seq).or(state.replay_sent);
        ReplayProgress { through, tally: state.replay.take_tally() }
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
        let waited = self.changed.wait_timeout_while(state, timeout, |s| !goal.is_met(s.load()));
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
        state.replay_sent = state.replay.front().map(|r| r.spool_seq).or(state.replay_sent);
        drop(state.replay.recall());
        state.refused = 0;
        state.direct_bytes = 0;
        state.replay_bytes = 0;
        self.wake(&state);
        state.direct.recall()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Fate, Ledger};
    use crate::testing::record;

    const WINDOW: Window = Window { records: 100, bytes: 1000 };

    fn replayed(spool_seq: u64) -> Replayed {
        Replayed { spool_seq, envelope: Bytes::from_static(b"12345") }
    }

    #[test]
    fn the_spool_is_done_up_to_the_first_record_without_a_report() {
        let flight = InFlight::default();
        assert_eq!(flight.take_progress().through, None);
        let now = Instant::now();
        let tickets: Vec<_> = (10..14).map(|seq| flight.admit_replay(replayed(seq), now)).collect();
        flight.finish(tickets[1], End::Acked);
        assert_eq!(flight.take_progress().through, Some(10));
        assert!(flight.refuse(tickets[0]).is_some());
        assert_eq!((flight.load().replay, flight.load().refused), (2, 1));
        assert_eq!(flight.take_progress().through, Some(10), "it is no dead letter yet");
        flight.finish(tickets[0], End::Refused);
        let progress = flight.take_progress();
        assert_eq!((progress.through, progress.tally), (Some(12), Tally { acked: 1, refused: 1 }));
        flight.finish(tickets[2], End::Acked);
        flight.finish(tickets[3], End::Acked);
        assert_eq!(flight.take_progress().through, Some(14));
        assert_eq!(flight.load(), Load::default());
    }

    #[test]
    fn a_recall_gives_back_the_queue_in_order_and_late_reports_find_nothing() {
        let ledger = Ledger::new(false);
        let flight = InFlight::default();
        let now = Instant::now();
        let tickets: Vec<_> = (1..=4)
            .map(|seq| flight.admit_direct(record(&ledger, seq, b"abc"), WINDOW, now).unwrap())
            .collect();
        flight.admit_replay(replayed(7), now);
        assert_eq!(
            flight.load(),
            Load { direct: 4, replay: 1, refused: 0, direct_bytes: 12, replay_bytes: 5 }
        );
        let Some(Landed::Direct(done)) = flight.finish(tickets[1], End::Acked) else {
            panic!("record 2 was in flight")
        };
        ledger.settle(done, Fate::Acked);
        flight.fail(tickets[3]);
        let back = flight.recall();
        assert_eq!(back.iter().map(|r| r.seq).collect::<Vec<_>>(), [1, 3, 4]);
        assert!(flight.finish(tickets[0], End::Acked).is_none());
        assert_eq!(flight.load(), Load::default());
        assert_eq!(flight.take_progress().through, Some(7), "a recalled record of the spool is not done");
        back.into_iter().for_each(|r| ledger.settle(r, Fate::Spooled));
        assert_eq!(ledger.counts().unaccounted, 0);
    }

    #[test]
    fn the_lanes_do_not_mix_their_tickets() {
        let ledger = Ledger::new(false);
        let flight = InFlight::default();
        let direct = flight.admit_direct(record(&ledger, 1, b"a"), WINDOW, Instant::now()).unwrap();
        let replay = flight.admit_replay(replayed(1), Instant::now());
        assert_ne!(direct, replay);
        assert!(flight.refuse(direct).is_none() && flight.envelope(direct).is_none());
        assert!(matches!(flight.finish(replay, End::Acked), Some(Landed::Replayed(_))));
        let Some(Landed::Direct(done)) = flight.finish(direct, End::Acked) else {
            panic!("the direct record was in flight")
        };
        ledger.settle(done, Fate::Acked);
    }

    #[test]
    fn the_window_counts_both_lanes() {
        let window = Window { records: 2, bytes: 100 };
        let load = Load { direct: 1, replay: 0, refused: 0, direct_bytes: 90, replay_bytes: 0 };
        assert!(load.fits(window));
        assert!(!Load { refused: 1, ..load }.fits(window), "a refused record keeps its room");
        assert!(!Load { replay: 1, ..load }.fits(window));
        assert!(!Load { replay_bytes: 10, ..load }.fits(window));
        assert!((load.fill(window) - 0.9).abs() < 1e-9);
        let ledger = Ledger::new(false);
        let flight = InFlight::default();
        let full = Window { records: 1, bytes: 100 };
        flight.admit_replay(replayed(1), Instant::now());
        ledger.settle(
            flight.admit_direct(record(&ledger, 1, b"a"), full, Instant::now()).unwrap_err(),
            Fate::Acked,
        );
    }

    #[test]
    fn a_waiter_for_room_is_woken_when_a_quarter_is_free() {
        let flight = InFlight::default();
        let window = Window { records: 8, bytes: 1000 };
        let tickets: Vec<_> = (1..=8).map(|seq| flight.admit_replay(replayed(seq), Instant::now())).collect();
        flight.finish(tickets[0], End::Acked);
        assert!(flight.load().fits(window) && !flight.wait_for(Goal::Room(window), Duration::ZERO));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| flight.wait_for(Goal::ReplayRoom(window), Duration::from_secs(10)));
            flight.finish(tickets[1], End::Acked);
            flight.finish(tickets[2], End::Acked);
            assert!(waiter.join().unwrap());
        });
        assert!(!flight.wait_for(Goal::AllDone, Duration::ZERO));
        assert!(flight.wait_for(Goal::DirectDone, Duration::ZERO));
    }
}
