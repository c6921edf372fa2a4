//! Draining: reading to where the partitions ended when it was asked for, closing every window, ending.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::activity::Activity;
use crate::closing::{Closing, FINALISERS};
use crate::engine::Engine;
use crate::log::Standing;

/// See the module.
#[derive(Debug)]
pub(crate) struct Drain {
    asked: Instant,
    /// Where each partition ended, once its leader has said so.
    targets: BTreeMap<i32, i64>,
}

impl Drain {
    pub(crate) fn new(now: Instant) -> Self {
        Self { asked: now, targets: BTreeMap::new() }
    }

    /// Looks up where to read to. Returns whether all is known.
    pub(crate) fn look_up(&mut self, engine: &Engine, activity: &Activity, now: Instant) -> bool {
        for (partition, _) in engine.positions() {
            if let Some(ends) = activity.ends(partition, now).filter(|ends| ends.asked >= self.asked) {
                self.targets.entry(partition).or_insert(ends.high);
            }
        }
        self.knows_ends(engine)
    }

    /// Whether it is known where to read to.
    pub(crate) fn knows_ends(&self, engine: &Engine) -> bool {
        engine.positions().all(|(partition, _)| self.targets.contains_key(&partition))
    }

    /// Whether a partition has been read to where it should be read to.
    pub(crate) fn is_read(&self, partition: i32, engine: &Engine, activity: &Activity, now: Instant) -> bool {
        let next = engine.position(partition);
        let Some(target) = self.targets.get(&partition) else { return false };
        next >= Some(*target) || activity.is_idle(partition, next, now)
    }

    /// Whether the windows of all that was read are final, as far as this member can know: the owner of
    /// the finaliser waits for the objects, the others for a proposal and their part of it.
    pub(crate) fn is_done(&self, engine: &Engine, closing: &Closing) -> bool {
        let owned: Vec<_> = engine.positions().map(|(partition, _)| partition).collect();
        let is_closed = |partition: &i32| {
            engine.newest_entry(*partition).is_some_and(|newest| {
                matches!(newest.standing, Standing::Drained { end: None })
                    && newest.closed_through <= closing.written_through().max(closing.proposed_through())
            })
        };
        let is_written = |partition: &i32| {
            engine
                .newest_entry(*partition)
                .is_some_and(|newest| newest.closed_through <= closing.written_through())
        };
        owned.iter().all(is_closed) && (!owned.contains(&FINALISERS) || owned.iter().all(is_written))
    }
}
