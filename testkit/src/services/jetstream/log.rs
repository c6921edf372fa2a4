//! What the server has: events in the order in which it got them. It grows whether anybody listens or
//! not, so what a client missed is known exactly. Without I/O and without a clock of its own.

use std::time::{Duration, Instant};

use super::event::Event;
use super::{Growth, Options};
use crate::rng::Rng;

pub(super) struct Log {
    events: Vec<Event>,
    recorded: std::vec::IntoIter<bytes::Bytes>,
    is_recording: bool,
    growth: Growth,
    limit: u64,
    rng: Rng,
    step_us: u64,
    jitter_us: u64,
    look_back_us: u64,
    /// The time of the next event, without its jitter.
    clock_us: u64,
    since: Option<Instant>,
    asked: u64,
    big: Option<usize>,
}

impl Log {
    pub(super) fn new(options: &Options) -> Self {
        let recording = options.recording.clone().unwrap_or_default();
        let is_recording = options.recording.is_some();
        Self {
            events: Vec::new(),
            limit: if is_recording { recording.len() as u64 } else { options.limit },
            recorded: recording.into_iter(),
            is_recording,
            growth: options.growth,
            rng: Rng::new(options.seed),
            step_us: options.step_us,
            jitter_us: options.jitter_us,
            look_back_us: u64::try_from(options.look_back.as_micros()).unwrap_or(u64::MAX),
            clock_us: options.epoch_us,
            since: None,
            asked: 0,
            big: None,
        }
    }

    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn at_limit(&self) -> bool {
        self.events.len() as u64 >= self.limit
    }

    pub(super) fn served(&mut self, at: usize) {
        if let Some(event) = self.events.get_mut(at) {
            event.served += 1;
        }
    }

    pub(super) fn jump(&mut self, us: i64) {
        self.clock_us = self.clock_us.saturating_add_signed(us);
    }

    /// Publishes nothing more.
    pub(super) fn finish(&mut self) {
        self.limit = self.limit.min(self.events.len() as u64);
    }

    pub(super) fn big(&mut self, bytes: usize) {
        self.big = Some(bytes);
    }

    pub(super) fn ask(&mut self, events: u64) {
        self.asked += events;
    }

    /// The clock of [`Growth::Rate`] runs from the first call on.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Publishes what is due; `at_tip` when a client is ready for more than there is.
    pub(super) fn grow(&mut self, now: Instant, at_tip: bool) {
        let due = match self.growth {
            Growth::OnDemand => self.events.len() as u64 + u64::from(at_tip) * 64,
            Growth::ByHand => self.asked,
            Growth::Rate(rate) => {
                let gone = self.since.map_or(Duration::ZERO, |since| now.duration_since(since));
                u64::try_from(gone.as_micros() * u128::from(rate) / 1_000_000).unwrap_or(u64::MAX)
            }
        };
        while (self.events.len() as u64) < due.min(self.limit) {
            self.publish();
        }
    }

    fn publish(&mut self) {
        let number = self.events.len() as u64 + 1;
        let event = if self.is_recording {
            let Some(bytes) = self.recorded.next() else { return };
            Event::recorded(number, bytes)
        } else {
            let time_us = self.clock_us - self.rng.below(self.jitter_us + 1);
            self.clock_us += 1 + self.rng.below(2 * self.step_us);
            Event::made(number, time_us, &mut self.rng, self.big.take())
        };
        self.events.push(event);
    }

    /// Where a stream with this cursor begins: at the first event that is not older. A cursor before
    /// the look-back begins with what is left, without a word; one from the future at the tip.
    pub(super) fn begin_at(&self, cursor: Option<u64>) -> usize {
        let newest = self.events.iter().map(|event| event.time_us).max().unwrap_or(0);
        match cursor {
            Some(cursor) if cursor <= newest => self.first_since(cursor).max(self.floor()),
            _ => self.events.len(),
        }
    }

    /// The oldest event that can still be served.
    fn floor(&self) -> usize {
        let newest = self.events.iter().map(|event| event.time_us).max().unwrap_or(0);
        self.first_since(newest.saturating_sub(self.look_back_us))
    }

    fn first_since(&self, time_us: u64) -> usize {
        self.events.iter().position(|event| event.time_us >= time_us).unwrap_or(self.events.len())
    }
}
