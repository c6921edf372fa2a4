//! What administrators do: leaders that move, a topic made anew, limits, users deleted, quotas.

use spillway_testkit::cluster::Wire;

use super::{Fault, Stage};
use crate::Outcome;

/// Below the smallest "big" record, above every usual one.
const LOW_LIMIT: &str = "65536";
/// Bytes a second on each broker; the load is some thirty times as much.
const TRICKLE: f64 = 30_000.0;

pub(super) struct LeaderChange;

impl Fault for LeaderChange {
    fn inject(&mut self, stage: &mut Stage<'_>) -> Outcome {
        self.keep_on(stage)
    }

    fn keep_on(&mut self, stage: &mut Stage<'_>) -> Outcome {
        Ok(stage.cluster.admin().move_leaders(stage.topic.name())?)
    }

    fn heal(&mut self, stage: &mut Stage<'_>) -> Outcome {
        Ok(stage.cluster.admin().elect_preferred(stage.topic.name())?)
    }
}

/// What was acknowledged is read before it is deleted; nothing can be acknowledged in between, since the
/// network is cut.
pub(super) struct Recreated;

impl Fault for Recreated {
    fn inject(&mut self, stage: &mut Stage<'_>) -> Outcome {
        stage.cluster.network().set(Wire::Cut)?;
        stage.topic.recreate(stage.cluster)?;
        Ok(stage.cluster.network().set(Wire::Pass)?)
    }

    fn heal(&mut self, _: &mut Stage<'_>) -> Outcome {
        Ok(())
    }
}

pub(super) struct TooLarge;

impl Fault for TooLarge {
    fn inject(&mut self, stage: &mut Stage<'_>) -> Outcome {
        stage.topic.was_limited = true;
        let (admin, topic) = (stage.cluster.admin(), stage.topic.name());
        Ok(admin.alter_topic_config(topic, "max.message.bytes", Some(LOW_LIMIT))?)
    }

    fn heal(&mut self, stage: &mut Stage<'_>) -> Outcome {
        Ok(stage.cluster.admin().alter_topic_config(stage.topic.name(), "max.message.bytes", None)?)
    }
}

/// Open connections outlive their user, so they are cut.
pub(super) struct AuthRevoked;

impl Fault for AuthRevoked {
    fn inject(&mut self, stage: &mut Stage<'_>) -> Outcome {
        stage.cluster.admin().scram_delete(stage.cluster.user().0)?;
        stage.cluster.network().set(Wire::Cut)?;
        Ok(stage.cluster.network().set(Wire::Pass)?)
    }

    fn heal(&mut self, stage: &mut Stage<'_>) -> Outcome {
        let (user, password) = stage.cluster.user();
        Ok(stage.cluster.admin().scram_upsert(user, password)?)
    }
}

pub(super) struct Throttled;

impl Fault for Throttled {
    fn inject(&mut self, stage: &mut Stage<'_>) -> Outcome {
        Ok(stage.cluster.admin().quota_set(None, TRICKLE)?)
    }

    fn heal(&mut self, stage: &mut Stage<'_>) -> Outcome {
        Ok(stage.cluster.admin().quota_clear(None)?)
    }
}
