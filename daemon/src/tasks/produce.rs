//! Produce: queue to Kafka while the breaker is Closed and the lane Direct. The owner of the producer
//! sessions: opens one when the breaker lets it, recalls it when the breaker opens, and gives back to
//! the queue, in order, what Kafka did not acknowledge.

use std::time::{Duration, Instant};

use crate::circuit::State;
use crate::config::{Journal, Order};
use crate::inflight::Goal;
use crate::kafka::{Refusal, SendError, Session};
use crate::lane::Lane;
use crate::pipeline::Shared;
use crate::queue::Popped;
use crate::record::Record;
use crate::shutdown::Phase;
use crate::tasks::{LOOK_EVERY, TaskName};

/// Longest wait for the reports of purged records; librdkafka gives them at once, so this is for a
/// library that hangs. What is not reported by then counts as not delivered and goes to disk.
const RECALL_WAIT: Duration = Duration::from_secs(5);
/// Records sent between two looks at the world.
const BATCH: usize = 256;

/// What produce has to do next.
enum Event {
    /// The breaker opened: take everything back.
    Outage,
    /// The breaker lets us try: start a session.
    Recovered,
    /// The queue fills up although Kafka is there: let it run to disk.
    Overload,
    /// After an overload: nothing of the queue is in flight any more.
    Drained,
    /// Send.
    Feed(std::sync::Arc<Session>),
    /// The daemon stops and all is sent that can be.
    Finish,
    /// Nothing.
    Wait,
}

/// Runs until the daemon stops.
pub(crate) fn run(shared: &Shared) {
    let mut produce = Produce { shared, held: None, id: String::new(), exhausted: false };
    loop {
        shared.turn(TaskName::Produce);
        match produce.next() {
            Event::Outage => produce.take_back(),
            Event::Recovered => produce.open(),
            Event::Overload => produce.overloaded(),
            Event::Drained => {
                shared.lane.shift(&[Lane::Draining], Lane::Spilling);
            }
            Event::Feed(session) => produce.feed(&session),
            Event::Wait => {
                shared.lane.wait_for(Lane::Direct, LOOK_EVERY);
            }
            Event::Finish => {
                produce.take_back();
                shared.lane.shift(&[Lane::Handover], Lane::Spilling);
                shared.shutdown.advance(Phase::Spilling);
                return;
            }
        }
    }
}

struct Produce<'a> {
    shared: &'a Shared,
    /// A record that was taken from the queue and found no room.
    held: Option<Record>,
    id: String,
    /// The queue is closed and empty.
    exhausted: bool,
}

impl Produce<'_> {
    fn next(&self) -> Event {
        let shared = self.shared;
        let (state, session, lane) = (shared.breaker.state(), shared.kafka.session(), shared.lane.now());
        if shared.shutdown.phase() >= Phase::Draining && self.is_finished(session.as_deref(), lane) {
            return Event::Finish;
        }
        match (state, session) {
            (State::Open, Some(_)) => Event::Outage,
            (State::Open, None) if matches!(lane, Lane::Direct | Lane::Draining) => Event::Outage,
            (State::HalfOpen | State::Closed, None) => Event::Recovered,
            (State::Closed, Some(session)) => match lane {
                Lane::Direct if self.is_overloaded() => Event::Overload,
                Lane::Direct => Event::Feed(session),
                Lane::Draining if session.flight.load().direct == 0 => Event::Drained,
                Lane::Draining | Lane::Spilling | Lane::Handover => Event::Wait,
            },
            (State::Open, None) | (State::HalfOpen, Some(_)) => Event::Wait,
        }
    }

    fn is_finished(&self, session: Option<&Session>, lane: Lane) -> bool {
        if self.shared.shutdown.is_overdue() {
            return true;
        }
        let in_flight = session.is_some_and(|s| s.flight.load().direct > 0);
        let sent = self.exhausted && self.held.is_none() && !in_flight;
        let idle = matches!(lane, Lane::Spilling) && !in_flight;
        self.shared.shutdown.is_replay_done() && (sent || idle)
    }

    fn is_overloaded(&self) -> bool {
        let config = &self.shared.config;
        config.delivery.journal == Journal::Outage
            && self.shared.queue.fill() >= self.shared.live.now().spill_at
    }

    /// Ends the session and puts what was not acknowledged back in front of the queue.
    fn take_back(&mut self) {
        let shared = self.shared;
        shared.lane.shift(&[Lane::Direct], Lane::Draining);
        let mut records = shared.kafka.recall(RECALL_WAIT);
        // What was held is younger than all that was sent.
        records.extend(self.held.take());
        let count = records.len();
        shared.queue.give_back(records);
        shared.lane.shift(&[Lane::Draining], Lane::Spilling);
        tracing::debug!(count, "taken back from the producer");
    }

    fn open(&self) {
        if let Err(error) = self.shared.kafka.open() {
            tracing::error!(event = "producer_failed", %error, "cannot start a producer; trying again");
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    fn overloaded(&mut self) {
        tracing::info!(
            event = "overload",
            fill = self.shared.queue.fill(),
            "the queue fills faster than Kafka takes it; it runs to disk"
        );
        self.stop_feeding();
    }

    /// Lets the queue run to disk. With `order = "arrival"` what is in flight must land first: a record that
    /// came back later would stand behind younger ones.
    fn stop_feeding(&mut self) {
        self.shared.queue.give_back(self.held.take());
        let next = match self.shared.config.delivery.order {
            Order::Arrival => Lane::Draining,
            Order::Fresh => Lane::Spilling,
        };
        self.shared.lane.shift(&[Lane::Direct], next);
    }

    fn feed(&mut self, session: &Session) {
        let now = Instant::now();
        for i in 0..BATCH {
            let wait = if i == 0 { LOOK_EVERY } else { Duration::ZERO };
            let popped = match self.held.take() {
                Some(record) => Popped::Record(record),
                None => self.shared.queue.pop(wait),
            };
            let record = match popped {
                Popped::Record(record) => record,
                Popped::Empty => return,
                Popped::Closed => {
                    self.exhausted = true;
                    // Nothing comes any more: wait for what is in flight instead of for records.
                    session.flight.wait_for(Goal::DirectDone, LOOK_EVERY);
                    return;
                }
            };
            // The first record may have come long after the look at the clock.
            let sent_at = if i == 0 { Instant::now() } else { now };
            if !self.send(session, record, sent_at) {
                return;
            }
        }
    }

    /// Returns whether to go on with the batch.
    fn send(&mut self, session: &Session, record: Record, now: Instant) -> bool {
        let Some(permit) = session.permit() else {
            self.held = Some(record);
            return false;
        };
        // The record goes into the flight before it is sent, since the report may come at once; the
        // producer gets cheap copies of its parts.
        let parts = record.parts();
        let (kafka, window) = (&self.shared.kafka, self.shared.kafka.window());
        let outgoing = self.shared.labels.outgoing(&parts, &mut self.id);
        let place = kafka.topics().place(record.topic, outgoing.key, outgoing.id).place;
        if kafka.gates().stops(place) {
            // It waits on disk, which replay passes over; all behind it goes the same way, in order.
            self.held = Some(record);
            drop(permit);
            self.stop_feeding();
            return false;
        }
        let opaque = match session.flight.admit_direct(record, Some(place), window, now) {
            Ok(opaque) => opaque,
            Err(record) => {
                self.held = Some(record);
                session.flight.wait_for(session.flight.obstacle(Some(place), window), LOOK_EVERY);
                return false;
            }
        };
        let sent = kafka.send(&permit, &outgoing, Some(place), opaque);
        let Err(error) = sent else { return true };
        let Some(record) = session.flight.withdraw_direct() else { return true };
        match error {
            SendError::Full => self.held = Some(record),
            SendError::Refused(reason) => {
                self.shared.kafka.refuse(Refusal::Direct { record, reason });
                return true;
            }
            SendError::Failed(trouble) => {
                self.held = Some(record);
                self.shared.kafka.tell(trouble, Some(place));
            }
        }
        session.flight.wait_for(Goal::DirectDone, LOOK_EVERY);
        false
    }
}
