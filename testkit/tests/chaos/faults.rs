//! What lasts a while: each fault is injected and healed. The blows that hit the daemon in one moment
//! are in `round.rs`, since they are ends and beginnings of its lives.

mod brokers;
mod network;
mod topic;

use std::path::Path;

use spillway_testkit::cluster::Cluster;
use spillway_testkit::disk::Disk;
use spillway_testkit::rng::Rng;

use crate::Outcome;
use crate::plan::Kind;
use crate::topic::Topic;
pub(crate) use network::{BROKER_NAME, write_hosts};

/// What a fault may touch.
pub(crate) struct Stage<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) topic: &'a mut Topic,
    /// The daemon's own `/etc/hosts`.
    pub(crate) hosts: &'a Path,
    /// The spool's disk.
    pub(crate) disk: Option<&'a Disk>,
}

/// A fault.
pub(crate) trait Fault {
    /// Begins it.
    fn inject(&mut self, stage: &mut Stage<'_>) -> Outcome;

    /// Goes on with it; called every now and then while it lasts.
    fn keep_on(&mut self, _: &mut Stage<'_>) -> Outcome {
        Ok(())
    }

    /// Ends it.
    fn heal(&mut self, stage: &mut Stage<'_>) -> Outcome;
}

/// The fault of a kind that lasts; `None` for a blow.
pub(crate) fn of(kind: Kind, rng: &mut Rng) -> Option<Box<dyn Fault>> {
    let fault: Box<dyn Fault> = match kind {
        Kind::BrokersKilled => Box::new(brokers::AllKilled),
        Kind::OneKilled => Box::new(brokers::OneKilled::draw(rng)),
        Kind::RollingRestart => Box::new(brokers::RollingRestart),
        Kind::BrokersFrozen => Box::new(brokers::AllFrozen),
        Kind::OneFrozen => Box::new(brokers::OneFrozen::draw(rng)),
        Kind::NetworkCut => Box::new(network::Cut),
        Kind::NetworkBlackhole => Box::new(network::Blackhole),
        Kind::Dns => Box::new(network::NameGone),
        Kind::DiskFull => Box::new(network::DiskFull),
        Kind::LeaderChange => Box::new(topic::LeaderChange),
        Kind::TopicRecreated => Box::new(topic::Recreated),
        Kind::TooLarge => Box::new(topic::TooLarge),
        Kind::AuthRevoked => Box::new(topic::AuthRevoked),
        Kind::Throttled => Box::new(topic::Throttled),
        Kind::DaemonKilled | Kind::DaemonStopped | Kind::PowerCut | Kind::SpoolDamaged => return None,
    };
    Some(fault)
}
