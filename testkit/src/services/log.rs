//! What a service has published: numbered records, each with the time of its birth. The log grows
//! while the service runs, whether anybody listens or not; so what a client missed is known exactly.
//!
//! Without I/O, and without a clock of its own.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::dialect::{Dialect, Draft};

/// When records are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// When a client is ready for one. Nothing is published while nobody listens.
    OnDemand,
    /// This many a second, from the first stream on, whether anybody listens or not.
    Rate(u64),
    /// By [`super::Service::publish`] only.
    ByHand,
}

/// What a record is to its readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Data: it must arrive.
    Event,
    /// A test event of the service itself.
    Canary,
    /// Says that an earlier event is deleted.
    Delete,
    /// Another message about the stream.
    Notice,
}

/// One published record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Counted from 1, without gaps.
    pub number: u64,
    /// The service's own id of it.
    pub id: String,
    /// When it happened, as it says itself: milliseconds since 1970.
    pub event_ms: i64,
    /// When it was published by the service's clock, milliseconds since 1970.
    pub at_ms: i64,
    /// The same moment.
    pub born: Instant,
    /// What it is.
    pub what: What,
    /// The bytes that a client must get out of it.
    pub body: Bytes,
    /// [`crate::hash`] of the body.
    pub hash: u64,
    /// How often it was wholly written to a connection.
    pub served: u32,
}

pub(super) struct Log {
    records: Vec<Record>,
    growth: Growth,
    limit: u64,
    seed: u64,
    /// The same moment by both clocks.
    epoch: (Instant, i64),
    /// Since when [`Growth::Rate`] counts.
    since: Option<Instant>,
    by_hand: u64,
    /// Added to the event time of what comes.
    shift_ms: i64,
    /// The next record is to be this large.
    big: Option<usize>,
}

impl Log {
    /// `now` and `now_ms` are the same moment.
    pub(super) fn new(growth: Growth, limit: u64, seed: u64, now: Instant, now_ms: i64) -> Self {
        let epoch = (now, now_ms);
        Self {
            records: Vec::new(),
            growth,
            limit,
            seed,
            epoch,
            since: None,
            by_hand: 0,
            shift_ms: 0,
            big: None,
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.records.len() as u64
    }

    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    pub(super) fn get(&self, number: u64) -> Option<&Record> {
        self.records.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    pub(super) fn served(&mut self, number: u64) {
        let index = number.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        if let Some(record) = index.and_then(|index| self.records.get_mut(index)) {
            record.served += 1;
        }
    }

    /// All that will ever be is published.
    pub(super) fn at_limit(&self) -> bool {
        self.len() >= self.limit
    }

    /// The clock of [`Growth::Rate`] runs from the first call on.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    pub(super) fn publish(&mut self, records: u64) {
        self.by_hand += records;
    }

    /// Publishes nothing more.
    pub(super) fn finish(&mut self) {
        self.limit = self.limit.min(self.len());
    }

    pub(super) fn shift(&mut self, ms: i64) {
        self.shift_ms += ms;
    }

    pub(super) fn big(&mut self, bytes: usize) {
        self.big = Some(bytes);
    }

    /// Publishes what is due at `now`.
    pub(super) fn grow(&mut self, now: Instant, dialect: &dyn Dialect) {
        let due = match (self.growth, self.since) {
            (Growth::OnDemand, _) | (Growth::Rate(_), None) => 0,
            (Growth::ByHand, _) => self.by_hand,
            (Growth::Rate(rate), Some(since)) => {
                let passed = now.saturating_duration_since(since).as_nanos();
                u64::try_from(passed * u128::from(rate) / 1_000_000_000).unwrap_or(u64::MAX)
            }
        };
        while self.len() < due.min(self.limit) {
            self.push(now, dialect);
        }
    }

    /// Whether record `number` exists at `now`; on demand it does when it is asked for.
    pub(super) fn has(&mut self, number: u64, now: Instant, dialect: &dyn Dialect) -> bool {
        if self.growth == Growth::OnDemand && number == self.len() + 1 && !self.at_limit() {
            self.push(now, dialect);
        }
        number <= self.len()
    }

    /// When the next record is born, if the clock decides that.
    pub(super) fn next_birth(&self) -> Option<Instant> {
        match (self.growth, self.since) {
            (Growth::Rate(rate), Some(_)) if !self.at_limit() => self.birth(self.len() + 1, rate),
            _ => None,
        }
    }

    fn birth(&self, number: u64, rate: u64) -> Option<Instant> {
        let nanos = u128::from(number) * 1_000_000_000 / u128::from(rate.max(1));
        self.since.map(|since| since + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    fn push(&mut self, now: Instant, dialect: &dyn Dialect) {
        let number = self.len() + 1;
        let born = match self.growth {
            Growth::Rate(rate) => self.birth(number, rate).unwrap_or(now),
            Growth::OnDemand | Growth::ByHand => now,
        };
        let age = i64::try_from(born.saturating_duration_since(self.epoch.0).as_millis());
        let at_ms = self.epoch.1 + age.unwrap_or(i64::MAX / 2);
        let event_ms = at_ms + self.shift_ms;
        let draft = Draft::new(self.seed, number, event_ms, self.big.take());
        let (id, what, body) = dialect.compose(&draft);
        let hash = crate::hash(&body);
        self.records.push(Record { number, id, event_ms, at_ms, born, what, body, hash, served: 0 });
    }
}
