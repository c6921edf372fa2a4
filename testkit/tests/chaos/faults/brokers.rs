//! Brokers that die, stand still, or are restarted.

use spillway_testkit::rng::Rng;

use super::{Fault, Stage};
use crate::Outcome;

const BROKERS: u64 = 3;

fn any_broker(rng: &mut Rng) -> u8 {
    u8::try_from(1 + rng.below(BROKERS)).unwrap_or(1)
}

pub(super) struct AllKilled;

impl Fault for AllKilled {
    fn inject(&mut self, stage: &mut Stage<'_>) -> Outcome {
        Ok(stage.cluster.kill_all()?)
    }

    fn heal(&mut self, stage: &mut Stage<'_>) -> Outcome {
        Ok(stage.cluster.start_all()?)
    }
}

pub(super) struct OneKilled(u8);

impl OneKilled {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        Self(any_broker(rng))
    }
}

impl Fault for OneKilled {
    fn inject(&mut self, stage: &mut Stage<'_>) -> Outcome {
        Ok(stage.cluster.kill(self.0)?)
    }

    fn heal(&mut self, stage: &mut Stage<'_>) -> Outcome {
        Ok(stage.cluster.restart(self.0)?)
    }
}

/// Each broker is back before the next one goes, but not always in sync.
pub(super) struct RollingRestart;

impl Fault for RollingRestart {
    fn inject(&mut self, stage: &mut Stage<'_>) -> Outcome {
        for broker in (1..).take(usize::try_from(BROKERS)?) {
            stage.cluster.restart(broker)?;
        }
        Ok(())
    }

    fn heal(&mut self, _: &mut Stage<'_>) -> Outcome {
        Ok(())
    }
}

pub(super) struct AllFrozen;

impl Fault for AllFrozen {
    fn inject(&mut self, stage: &mut Stage<'_>) -> Outcome {
        Ok(stage.cluster.freeze_all()?)
    }

    fn heal(&mut self, stage: &mut Stage<'_>) -> Outcome {
        Ok(stage.cluster.thaw_all()?)
    }
}

pub(super) struct OneFrozen(u8);

impl OneFrozen {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        Self(any_broker(rng))
    }
}

impl Fault for OneFrozen {
    fn inject(&mut self, stage: &mut Stage<'_>) -> Outcome {
        Ok(stage.cluster.freeze(self.0)?)
    }

    fn heal(&mut self, stage: &mut Stage<'_>) -> Outcome {
        Ok(stage.cluster.thaw(self.0)?)
    }
}
