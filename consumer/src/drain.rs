//! Draining: reading to where the partitions ended when it was asked for, closing every window, ending.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::activity::Activity;
use crate::close::{Closer, Ports};
use crate::engine::Engine;

/// See the module.
#[derive(Debug)]
pub(crate) struct Drain {
    asked: Instant,
    /// Where each partition ended, once its leader has said so.
    targets: BTreeMap<i32, i64>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    LookingUpEnds,
    Reading,
    Closing,
    Committing,
    Done,
}

impl Drain {
    pub(crate) fn new(now: Instant) -> Self {
        Self { asked: now, targets: BTreeMap::new(), stage: Stage::LookingUpEnds }
    }

    /// Whether it is known where to read to.
    pub(crate) fn knows_ends(&self) -> bool {
        self.stage != Stage::LookingUpEnds
    }

    pub(crate) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Goes on as far as it can. Only when no close step is under way and the whole topic is owned.
    pub(crate) fn step(
        &mut self,
        engine: &mut Engine,
        activity: &Activity,
        closer: &mut Closer,
        ports: &Ports<'_>,
        now: Instant,
    ) {
        match self.stage {
            Stage::LookingUpEnds => {
                if self.look_up(engine, activity, now) {
                    self.stage = Stage::Reading;
                }
            }
            Stage::Reading => {
                let is_read = |(partition, next): (i32, Option<i64>)| {
                    next >= self.targets.get(&partition).copied() || activity.is_idle(partition, next, now)
                };
                if engine.positions().all(is_read) {
                    self.stage = Stage::Closing;
                }
            }
            Stage::Closing => {
                match engine.end_of_input() {
                    Some(through) => closer.begin(through, engine, ports, now),
                    None => closer.begin_commit(),
                }
                self.stage = Stage::Committing;
            }
            // The close step is over, and it ends with a commit.
            Stage::Committing => self.stage = Stage::Done,
            Stage::Done => {}
        }
    }

    fn look_up(&mut self, engine: &Engine, activity: &Activity, now: Instant) -> bool {
        for (partition, _) in engine.positions() {
            if let Some(ends) = activity.ends(partition, now).filter(|ends| ends.asked >= self.asked) {
                self.targets.entry(partition).or_insert(ends.high);
            }
        }
        engine.positions().all(|(partition, _)| self.targets.contains_key(&partition))
    }
}
