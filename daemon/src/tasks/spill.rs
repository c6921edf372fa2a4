//! Spill: the only appender to the spool. While the lane is Spilling it takes the queue and writes it to
//! disk in groups: one write and one fdatasync for what came within 10 ms or 1 MiB. It also owns the dead
//! letters (see [`crate::dead`]) and persists the sources' cursors, never beyond what is durable.
//!
//! When the disk will not take a group, the group stays in hand and is tried again; the queue fills up
//! and the stream waits. Nothing is dropped unless the configuration says so or the daemon must end.

use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use spillway_service::errors::chain;
use spillway_spool::{Appended, Appender, Group};

use crate::circuit::State;
use crate::config::{Journal, Order};
use crate::dead::DeadLetters;
use crate::dead::errand::{self, Errands};
use crate::frontier::Cursor;
use crate::kafka::Refusal;
use crate::lane::Lane;
use crate::ledger::{DropReason, Fate, unix_ms};
use crate::pipeline::Shared;
use crate::queue::Popped;
use crate::record::{Record, SourceIndex};
use crate::resume;
use crate::shutdown::Phase;
use crate::tasks::{LOOK_EVERY, TaskName};

/// A group is written when it holds this much …
const GROUP_BYTES: usize = 1 << 20;
/// … but what waits already joins it up to this much: when the disk is slow, fewer and larger writes.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// … or when its first record has waited this long.
const GROUP_WAIT: Duration = Duration::from_millis(10);
/// How soon a failed write is tried again.
const RETRY_WAIT: Duration = Duration::from_millis(200);
/// How often the cursor is persisted: a crash repeats at most so much of a resumable source.
const CURSOR_EVERY: Duration = Duration::from_secs(1);
/// After the drain deadline, how long a disk that does not take the rest is still tried.
const LAST_TRIES: Duration = Duration::from_secs(5);

/// Runs until the daemon stops and everything is on disk.
pub(crate) fn run(
    shared: &Shared,
    appender: Appender,
    refusals: Receiver<Refusal>,
    orders: Receiver<errand::Order>,
) {
    let mut spill = Spill {
        shared,
        appender,
        letters: DeadLetters::new(shared, refusals),
        errands: Errands::new(orders),
        hand: Vec::new(),
        group: Group::new(),
        since: Instant::now(),
        retry_at: None,
        unproven: false,
        cursors: vec![None; shared.config.sources.len()],
        cursors_at: Instant::now(),
        header: Vec::new(),
        id: String::new(),
        finishing_since: None,
        exhausted: false,
    };
    while !spill.step() {}
}

struct Spill<'a> {
    shared: &'a Shared,
    appender: Appender,
    letters: DeadLetters<'a>,
    errands: Errands,
    /// The records of the group, in its order.
    hand: Vec<Record>,
    group: Group,
    /// When the first record of the group was taken.
    since: Instant,
    /// After a failed write: when to try again.
    retry_at: Option<Instant>,
    /// A group that the disk did not take went back to the queue: whether it would take one is not known.
    unproven: bool,
    /// The cursor of each source that was persisted last.
    cursors: Vec<Option<Cursor>>,
    cursors_at: Instant,
    header: Vec<u8>,
    id: String,
    finishing_since: Option<Instant>,
    exhausted: bool,
}

impl Spill<'_> {
    /// One round; true when all is done.
    fn step(&mut self) -> bool {
        self.shared.turn(TaskName::Spill);
        self.letters.round();
        self.errands.step(&self.shared.spool, &mut self.appender, &self.shared.ledger);
        self.keep_cursors(false);
        let finishing = self.shared.shutdown.phase() >= Phase::Spilling;
        if self.must_commit(finishing) {
            self.commit();
        } else if finishing || self.may_take() {
            self.take();
        } else {
            self.shared.lane.wait_for(Lane::Spilling, LOOK_EVERY);
        }
        self.offer_lane();
        self.look_at_disk();
        finishing && self.finish()
    }

    fn may_take(&self) -> bool {
        self.retry_at.is_none() && self.shared.lane.now() == Lane::Spilling && !self.is_lane_wanted()
    }

    fn must_commit(&self, finishing: bool) -> bool {
        if self.hand.is_empty() {
            return false;
        }
        if let Some(at) = self.retry_at {
            return Instant::now() >= at;
        }
        finishing && self.exhausted
            || self.group.bytes() >= GROUP_BYTES_MAX
            || (self.group.bytes() >= GROUP_BYTES && self.shared.queue.records() == 0)
            || self.since.elapsed() >= GROUP_WAIT
            || self.shared.lane.now() != Lane::Spilling
            || self.is_lane_wanted()
    }

    fn take(&mut self) {
        let wait =
            if self.hand.is_empty() { LOOK_EVERY } else { GROUP_WAIT.saturating_sub(self.since.elapsed()) };
        match self.shared.queue.pop(wait) {
            Popped::Record(record) => self.add(record),
            Popped::Empty => self.exhausted = false,
            Popped::Closed => {
                self.exhausted = true;
                let waits_for_letters = self.hand.is_empty() && !self.letters.is_empty();
                if self.shared.shutdown.phase() < Phase::Spilling || waits_for_letters {
                    // Closed, but produce may still give something back, or the dead-letter topic answer.
                    self.shared.lane.wait_for(Lane::Direct, LOOK_EVERY);
                }
            }
        }
    }

    fn add(&mut self, record: Record) {
        if self.hand.is_empty() {
            self.since = Instant::now();
        }
        let parts = record.parts();
        self.shared.labels.outgoing(&parts, &mut self.id).write_header(&mut self.header);
        self.group.push(&[&self.header, &record.value]);
        self.hand.push(record);
    }

    fn commit(&mut self) {
        match self.appender.append(&self.group) {
            Ok(Appended::Stored { first_seq, .. }) => {
                self.shared.ages.note(first_seq, unix_ms());
                self.settle_hand(Fate::Spooled);
            }
            Ok(Appended::Dropped { .. }) => self.settle_hand(Fate::Dropped(DropReason::SpoolFull)),
            Err(error) if error.is_too_large() => self.commit_one_by_one(),
            Err(error) => return self.failed(&error),
        }
        self.recovered();
    }

    fn settle_hand(&mut self, fate: Fate) {
        for record in self.hand.drain(..) {
            self.shared.ledger.settle(record, fate);
        }
        self.group.clear();
    }

    /// Finds the record that is too large and lets the others through.
    fn commit_one_by_one(&mut self) {
        if self.hand.len() > 1 {
            let all = std::mem::take(&mut self.hand);
            self.group.clear();
            for record in all {
                self.add(record);
                self.commit();
            }
            return;
        }
        let bytes = self.group.bytes();
        tracing::error!(
            event = "record_too_large",
            bytes,
            "a record is larger than the spool can hold and is dropped"
        );
        self.settle_hand(Fate::Dropped(DropReason::TooLarge));
    }

    fn failed(&mut self, error: &spillway_spool::Error) {
        self.retry_at = Some(Instant::now() + RETRY_WAIT);
        if self.shared.storage.set(Some(chain(error))) {
            let waiting = self.hand.len() + self.shared.queue.records();
            tracing::error!(
                event = "spool_failed",
                error = chain(error),
                waiting,
                "the spool takes nothing; records wait in memory and the stream with them until it does"
            );
        }
    }

    /// While Kafka takes what the disk did not, no append shows that there is room again: ask the spool.
    fn look_at_disk(&mut self) {
        if self.unproven {
            let stats = self.shared.spool.stats();
            if stats.full.is_none() && stats.io_error.is_none() {
                self.recovered();
            }
        }
    }

    fn recovered(&mut self) {
        self.retry_at = None;
        self.unproven = false;
        if self.shared.storage.set(None) {
            tracing::info!(event = "spool_recovered", "the spool takes records again");
        }
    }

    /// Whether somebody else should have the lane.
    fn is_lane_wanted(&self) -> bool {
        let delivery = self.shared.config.delivery;
        if delivery.journal == Journal::Always || self.shared.breaker.state() != State::Closed {
            return false;
        }
        match delivery.order {
            Order::Arrival => self.shared.lane.handover_wanted(),
            // Records of a partition that is held back must not pass those on disk.
            Order::Fresh => {
                !self.shared.kafka.gates().is_any_wanted()
                    && self.shared.queue.fill() < self.shared.live.now().spill_at / 2.0
            }
        }
    }

    /// Lets go of the lane once nothing is in hand. A hand that the disk will not take goes back to the
    /// queue: Kafka is there, so it need not wait for the disk.
    fn offer_lane(&mut self) {
        let finishing = self.shared.shutdown.phase() >= Phase::Spilling;
        if finishing || self.shared.lane.now() != Lane::Spilling || !self.is_lane_wanted() {
            return;
        }
        if self.retry_at.take().is_some() {
            self.group.clear();
            self.unproven = true;
            self.shared.queue.give_back(std::mem::take(&mut self.hand));
        }
        if self.hand.is_empty() {
            let next = match self.shared.config.delivery.order {
                Order::Arrival => Lane::Handover,
                Order::Fresh => Lane::Direct,
            };
            self.shared.lane.shift(&[Lane::Spilling], next);
        }
    }

    fn keep_cursors(&mut self, now: bool) {
        let due = now || self.cursors_at.elapsed() >= CURSOR_EVERY;
        if due {
            self.cursors_at = Instant::now();
        }
        for (index, source) in (0..SourceIndex::MAX).zip(&self.shared.config.sources) {
            let kept = &mut self.cursors[usize::from(index)];
            // The first one is kept at once: without any a killed daemon would begin anew.
            if !due && kept.is_some() {
                continue;
            }
            let durable = self.shared.ledger.frontier(index).durable();
            let Some(cursor) = durable.filter(|cursor| kept.as_ref() != Some(cursor)) else { continue };
            match resume::persist(&self.shared.spool, &source.name, &cursor) {
                Ok(()) => *kept = Some(cursor),
                Err(error) => tracing::warn!(
                    event = "cursor_not_kept",
                    error = chain(&error),
                    source = source.name,
                    "the source's cursor cannot be written; a crash now would repeat more records"
                ),
            }
        }
    }

    /// The end: true once everything that was in memory is on disk, or was given up.
    fn finish(&mut self) -> bool {
        let began = *self.finishing_since.get_or_insert_with(Instant::now);
        let empty = self.exhausted && self.hand.is_empty() && self.letters.is_empty();
        let stuck = self.retry_at.is_some() || self.letters.is_stuck();
        let hopeless = stuck && self.shared.shutdown.is_overdue() && began.elapsed() >= LAST_TRIES;
        if !empty && !hopeless {
            return false;
        }
        if hopeless {
            self.give_up();
        }
        self.keep_cursors(true);
        if let Err(error) = self.shared.spool.sync() {
            tracing::warn!(
                event = "spool_not_synced",
                error = chain(&error),
                "the spool's index could not be written; the next start finds out from the log"
            );
        }
        self.shared.shutdown.advance(Phase::Done);
        true
    }

    fn give_up(&mut self) {
        let mut lost = self.hand.len() as u64;
        self.settle_hand(Fate::Dropped(DropReason::Shutdown));
        while let Popped::Record(record) = self.shared.queue.pop(Duration::ZERO) {
            self.shared.ledger.settle(record, Fate::Dropped(DropReason::Shutdown));
            lost += 1;
        }
        lost += self.letters.give_up();
        tracing::error!(
            event = "lost_at_shutdown",
            records = lost,
            "neither Kafka nor the disk took the last records; they are lost"
        );
    }
}
