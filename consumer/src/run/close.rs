//! The close step of a run: which partitions get an entry, when the finaliser goes on, and whether a drain has
//! come to its end. A drain does not wait for the next step where nothing more can come: what it waits for
//! are the answers of the store, and other members.

use std::time::Instant;

use super::Run;
use crate::closing::Due;
use crate::drain::Drain;
use crate::engine::Engine;
use crate::log::Standing;

impl Run<'_> {
    /// Makes entries, commits, and lets the finaliser go on, when it is time.
    pub(super) fn close_some(&mut self, now: Instant) {
        self.closing.commit(&self.engine, &mut self.commits, now);
        if self.control.is_draining() && self.drain.is_none() {
            self.drain = Some(Drain::new(now));
        }
        if let Some(drain) = &mut self.drain {
            drain.look_up(&self.engine, &self.activity, now);
        }
        if now.saturating_duration_since(self.looked_at) >= self.config.time.close_interval {
            self.looked_at = now;
            for partition in self.membership.reading() {
                self.close(partition, now);
            }
            self.finalise(now);
        } else if self.has_drained_all(now) {
            self.close_drained(now);
        }
        self.pause_or_resume(now);
    }

    /// Whether this member has read all of its partitions to where it should read them to.
    pub(super) fn has_drained_all(&self, now: Instant) -> bool {
        let Some(drain) = &self.drain else { return false };
        let is_read = |partition: i32| drain.is_read(partition, &self.engine, &self.activity, now);
        self.membership.is_settled() && self.membership.reading().into_iter().all(is_read)
    }

    /// What has been read to its end is closed as soon as there is a proposal to follow; and the finaliser
    /// goes on as soon as there is something for it to read, or another member may have made something.
    fn close_drained(&mut self, now: Instant) {
        for partition in self.membership.reading() {
            self.close(partition, now);
        }
        let Some(drain) = &mut self.drain else { return };
        if drain.should_look(std::mem::take(&mut self.has_news), self.config.time.close_interval, now) {
            let has_begun = self.finalise(now);
            // A step that is under way may have looked before the news.
            self.has_news |= !has_begun;
        }
    }

    fn close(&mut self, partition: i32, now: Instant) {
        let Some(epoch) = self.membership.epoch(partition) else { return };
        let Self { drain, activity, engine, closing, .. } = self;
        let is_drained = drain.as_ref().is_some_and(|drain| drain.is_read(partition, engine, activity, now));
        let is_idle = activity.is_idle(partition, engine.position(partition), now);
        let standing = |engine: &Engine| match (is_drained, is_idle) {
            (true, _) => engine.drained(partition),
            (false, true) => Standing::Idle,
            (false, false) => Standing::Awake,
        };
        match closing.due(partition, standing, engine, now) {
            Some(Due::Put(entry)) => self.background.put(*entry, epoch),
            Some(Due::Check { seq }) => self.background.check(partition, seq, epoch),
            None => {}
        }
    }

    /// Lets the finaliser go on, or asks for its newest proposal. Returns whether that has begun.
    pub(super) fn finalise(&mut self, now: Instant) -> bool {
        // A partition more would not be one that exists.
        let partitions = i32::try_from(self.total).unwrap_or(i32::MAX);
        self.closing.finalise(partitions, &self.background, now)
    }

    pub(super) fn is_drained(&self) -> bool {
        let Some(drain) = &self.drain else { return false };
        self.total > 0
            && self.membership.is_settled()
            && drain.knows_ends(&self.engine)
            && drain.is_done(&self.engine, &self.closing)
            && self.closing.is_quiet(&self.commits)
    }
}
