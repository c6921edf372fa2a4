//! Replay: the only remover of the spool. Reads it in order, sends, and acknowledges to the spool only
//! what is done without a gap. What is in flight is bounded by the window, so memory is bounded
//! whatever the backlog. Partitions that are held are passed over and caught up with later: see
//! [`crate::skips`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use spillway_spool::{Batch, Reader};

use crate::circuit::State;
use crate::config::{Journal, Order};
use crate::inflight::{Goal, InFlight, Replayed, Window};
use crate::kafka::{Permit, SendError, Session};
use crate::lane::Lane;
use crate::pipeline::Shared;
use crate::record;
use crate::shutdown::Phase;
use crate::skips::{Skips, Step};
use crate::tasks::{LOOK_EVERY, TaskName};
use crate::topics::Place;

/// The trickle of real records that HalfOpen tries with.
const TRIAL: Window = Window { records: 50, bytes: 1 << 20 };
/// After a read error, how soon the spool is read again.
const READ_RETRY: Duration = Duration::from_millis(500);
/// Records sent under one permit.
const BATCH: usize = 64;

/// What replay has to do next.
enum Event {
    /// Another session than before: start again at the first record that is not done.
    NewSession(Arc<Session>),
    /// No session, or the breaker is Open.
    Away,
    /// Send what was read.
    Send,
    /// The window is full.
    Full(Window),
    /// Nothing of the spool may be in flight now, and something is.
    Drain(Arc<Session>),
    /// A partition is back that records were kept from: begin a pass for it.
    CatchUp,
    /// What was kept from partitions is delivered: they are like all others.
    CaughtUp,
    /// Read on.
    Read,
    /// The daemon stops.
    Finish,
}

/// What became of one record.
enum Sent {
    /// It is in flight, passed over, or on its way to the dead letters.
    Done,
    /// It could not be handed over; look at the world first.
    Stop,
    /// It may be sent once this is met.
    Wait(Goal),
}

/// Runs until the daemon stops.
pub(crate) fn run(shared: &Shared, reader: Reader) {
    let skips = Skips::new(reader.position());
    let mut replay = Replay { shared, reader, skips, session: None, current: None };
    replay.look_at_backlog();
    loop {
        shared.turn(TaskName::Replay);
        replay.acknowledge();
        match replay.next() {
            Event::NewSession(session) => replay.start_again(session),
            Event::Away => replay.wait_for_kafka(),
            Event::Send => replay.send(),
            Event::Full(window) => replay.wait_for_room(window),
            Event::Drain(session) => {
                session.flight.wait_for(Goal::ReplayDone, LOOK_EVERY);
            }
            Event::CatchUp => replay.begin_pass(),
            Event::CaughtUp => replay.end_catching_up(),
            Event::Read => replay.read(),
            Event::Finish => {
                replay.acknowledge();
                shared.lane.shift(&[Lane::Handover], Lane::Spilling);
                shared.shutdown.replay_is_done();
                return;
            }
        }
    }
}

struct Replay<'a> {
    shared: &'a Shared,
    reader: Reader,
    skips: Skips,
    session: Option<Arc<Session>>,
    /// The batch that is being sent, and the index of its next record.
    current: Option<(Batch, usize)>,
}

impl Replay<'_> {
    /// Reads the first records that an earlier run left, so that their age is known while Kafka is away.
    fn look_at_backlog(&mut self) {
        if self.shared.spool.stats().records > 0 {
            self.read();
            self.begin_pass();
        }
    }

    fn next(&self) -> Event {
        let shared = self.shared;
        if shared.shutdown.phase() >= Phase::Draining && self.is_finished() {
            return Event::Finish;
        }
        let current = shared.kafka.session();
        let number = |s: &Option<Arc<Session>>| s.as_ref().map(|s| s.number);
        let state = shared.breaker.state();
        match current {
            Some(session) if Some(session.number) != number(&self.session) => Event::NewSession(session),
            None => Event::Away,
            Some(_) if state == State::Open || shared.shutdown.phase() >= Phase::Draining => Event::Away,
            Some(session) => {
                if let Some(event) = self.turn_of_pass(&session) {
                    return event;
                }
                let window = self.window(state);
                match &self.current {
                    Some(_) if self.has_room(&session.flight, window) => Event::Send,
                    Some(_) => Event::Full(window),
                    None => Event::Read,
                }
            }
        }
    }

    /// Between two passes, and between the two parts of one, nothing of the spool is in flight.
    fn turn_of_pass(&self, session: &Arc<Session>) -> Option<Event> {
        let event = if self.skips.wants_pass(|place| self.is_held(place)) {
            Event::CatchUp
        } else if self.skips.is_at_barrier(self.position()) {
            Event::CaughtUp
        } else {
            return None;
        };
        Some(if session.flight.load().is_replay_done() { event } else { Event::Drain(Arc::clone(session)) })
    }

    /// Number of the next record to send.
    fn position(&self) -> u64 {
        match &self.current {
            Some((batch, index)) => batch.first_seq() + *index as u64,
            None => self.reader.position(),
        }
    }

    fn is_held(&self, place: Place) -> bool {
        self.shared.kafka.gates().is_held(place)
    }

    /// A stop sends nothing new; it waits for what is in flight, while that can still land.
    fn is_finished(&self) -> bool {
        let in_flight = self.session.as_ref().is_some_and(|s| {
            let load = s.flight.load();
            load.replay + load.refused > 0
        });
        !in_flight || self.shared.breaker.state() == State::Open || self.shared.shutdown.is_overdue()
    }

    fn window(&self, state: State) -> Window {
        let whole = self.shared.kafka.window();
        let delivery = self.shared.config.delivery;
        match (state, delivery.order, delivery.journal) {
            (State::HalfOpen, _, _) => TRIAL,
            (_, Order::Fresh, Journal::Outage) => share(whole, self.shared.live.now().replay_share),
            _ => whole,
        }
    }

    /// With `order = "fresh"` the share is the backlog's own; else both lanes share the window.
    fn goal(&self, window: Window) -> Goal {
        match self.shared.config.delivery.order {
            Order::Fresh => Goal::ReplayRoom(window),
            Order::Arrival => Goal::Room(window),
        }
    }

    fn has_room(&self, flight: &InFlight, window: Window) -> bool {
        let load = flight.load();
        match self.goal(window) {
            Goal::ReplayRoom(window) => load.of_replay().fits(window),
            _ => load.fits(window),
        }
    }

    fn start_again(&mut self, session: Arc<Session>) {
        if let Some(old) = self.session.replace(session) {
            let progress = old.flight.take_progress();
            self.shared.ledger.replayed(progress.tally.acked, progress.tally.refused);
            self.skips.recalled(&old.flight.recalled());
        }
        self.begin_pass();
    }

    fn begin_pass(&mut self) {
        self.reader.rewind();
        self.current = None;
        let gates = self.shared.kafka.gates();
        self.skips.begin_pass(self.reader.position(), |place| gates.is_held(place));
    }

    fn end_catching_up(&mut self) {
        self.skips.end_catching_up();
        tracing::info!(event = "partitions_caught_up", "what was kept from partitions is delivered");
    }

    fn wait_for_kafka(&self) {
        if self.shared.breaker.state() == State::Open {
            // A handover that the outage overtook: what waits in the queue goes to disk.
            self.shared.lane.shift(&[Lane::Handover], Lane::Spilling);
        }
        self.shared.breaker.wait_for_change(LOOK_EVERY);
    }

    fn wait_for_room(&self, window: Window) {
        let Some(session) = &self.session else { return };
        session.flight.wait_for(self.goal(window), LOOK_EVERY);
    }

    fn read(&mut self) {
        match self.reader.next() {
            Ok(Some(batch)) => {
                self.shared.ages.note(batch.first_seq(), batch.unix_ms());
                self.current = Some((batch, 0));
            }
            Ok(None) => self.caught_up(),
            Err(error) => {
                tracing::error!(event = "spool_unreadable", %error, "the spool cannot be read; trying again");
                std::thread::sleep(READ_RETRY);
            }
        }
    }

    /// All of the spool was sent: with `order = "arrival"` produce may take over, once spill has paused.
    fn caught_up(&self) {
        let shared = self.shared;
        let delivery = shared.config.delivery;
        let hands_over = delivery.order == Order::Arrival && delivery.journal == Journal::Outage;
        if hands_over && shared.breaker.state() == State::Closed && !self.has_exceptions() {
            if shared.lane.shift(&[Lane::Handover], Lane::Direct) {
                tracing::info!(
                    event = "caught_up",
                    "the backlog is sent; records go straight to Kafka again"
                );
                return;
            }
            shared.lane.want_handover();
        }
        // Whether something came or not, the next round looks.
        let _ = self.reader.wait(LOOK_EVERY);
    }

    /// Whether some records must stay on disk while others flow.
    fn has_exceptions(&self) -> bool {
        self.skips.is_any_owed() || self.shared.kafka.gates().is_any_wanted()
    }

    fn send(&mut self) {
        let Some(session) = self.session.clone() else { return };
        let Some(permit) = session.permit() else { return };
        let Some((batch, mut index)) = self.current.take() else { return };
        let mut wait = None;
        let window = self.window(self.shared.breaker.state());
        let now = Instant::now();
        let end = (index + BATCH).min(batch.records() as usize);
        while index < end && self.has_room(&session.flight, window) {
            let (envelope, seq) = (batch.record(index), batch.first_seq() + index as u64);
            if self.skips.is_at_barrier(seq) {
                break;
            }
            match self.send_one(&session, &permit, &envelope, seq, now) {
                Sent::Done => index += 1,
                Sent::Stop => break,
                Sent::Wait(goal) => {
                    wait = Some(goal);
                    break;
                }
            }
        }
        drop(permit);
        if index < batch.records() as usize {
            self.current = Some((batch, index));
        }
        if let Some(goal) = wait {
            session.flight.wait_for(goal, LOOK_EVERY);
        }
    }

    fn send_one(
        &mut self,
        session: &Session,
        permit: &Permit<'_>,
        envelope: &Bytes,
        seq: u64,
        now: Instant,
    ) -> Sent {
        let kafka = &self.shared.kafka;
        let outgoing = record::decode(envelope);
        let placed = outgoing.as_ref().ok().and_then(|outgoing| kafka.place(outgoing));
        if self.skips.meet(seq, placed, |place| kafka.gates().is_held(place)) == Step::Pass {
            return Sent::Done;
        }
        let place = placed.map(|placed| placed.place);
        let replayed = Replayed { spool_seq: seq, envelope: envelope.clone(), place };
        let opaque = match session.flight.admit_replay(replayed, now) {
            Ok(opaque) => opaque,
            Err(goal) => return Sent::Wait(goal),
        };
        let sent = match &outgoing {
            Ok(outgoing) => kafka.send(permit, outgoing, place, opaque),
            Err(error) => Err(SendError::Refused(error.to_string())),
        };
        match sent {
            Ok(()) => {}
            Err(SendError::Refused(reason)) => {
                kafka.refuse_replayed(session, opaque, envelope.clone(), reason);
            }
            Err(SendError::Full) => {
                session.flight.withdraw_replay();
                return Sent::Stop;
            }
            Err(SendError::Failed(trouble)) => {
                session.flight.withdraw_replay();
                kafka.tell(trouble, place);
                return Sent::Stop;
            }
        }
        self.skips.sent(seq);
        Sent::Done
    }

    fn acknowledge(&mut self) {
        let Some(session) = &self.session else { return };
        let progress = session.flight.take_progress();
        self.shared.ledger.replayed(progress.tally.acked, progress.tally.refused);
        let through = self.skips.floor(progress.front);
        if let Err(error) = self.reader.acknowledge(through) {
            tracing::warn!(event = "spool_not_acknowledged", %error, "what Kafka has of the spool cannot be noted; a restart would send it again");
        }
    }
}

fn share(window: Window, share: f64) -> Window {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share below 1 of a size in memory"
    )]
    let part = |whole: usize| ((whole as f64 * share) as usize).max(1);
    Window { records: part(window.records), bytes: part(window.bytes) }
}
