//! Networks that break or swallow, a name that does not resolve, and a disk that is full meanwhile.

use std::path::Path;

use spillway_testkit::cluster::Wire;

use super::{Fault, Stage};
use crate::Outcome;

/// The brokers' name: only the daemon's own hosts file knows it.
pub(crate) const BROKER_NAME: &str = "broker.spillway.test";

/// Lets the brokers' name resolve for whoever has this hosts file, or not. The file stays the same one,
/// since it is mounted over another.
pub(crate) fn write_hosts(path: &Path, with_brokers: bool) -> std::io::Result<()> {
    let brokers = if with_brokers { format!("127.0.0.1 {BROKER_NAME}\n") } else { String::new() };
    std::fs::write(path, format!("127.0.0.1 localhost\n{brokers}"))
}

pub(super) struct Cut;

impl Fault for Cut {
    fn inject(&mut self, stage: &mut Stage<'_>) -> Outcome {
        Ok(stage.cluster.network().set(Wire::Cut)?)
    }

    fn heal(&mut self, stage: &mut Stage<'_>) -> Outcome {
        Ok(stage.cluster.network().set(Wire::Pass)?)
    }
}

pub(super) struct Blackhole;

impl Fault for Blackhole {
    fn inject(&mut self, stage: &mut Stage<'_>) -> Outcome {
        Ok(stage.cluster.network().set(Wire::Blackhole)?)
    }

    fn heal(&mut self, stage: &mut Stage<'_>) -> Outcome {
        Ok(stage.cluster.network().set(Wire::Pass)?)
    }
}

/// A name is asked for when connections are made: so they break first.
pub(super) struct NameGone;

impl Fault for NameGone {
    fn inject(&mut self, stage: &mut Stage<'_>) -> Outcome {
        write_hosts(stage.hosts, false)?;
        stage.cluster.network().set(Wire::Cut)?;
        Ok(stage.cluster.network().set(Wire::Pass)?)
    }

    fn heal(&mut self, stage: &mut Stage<'_>) -> Outcome {
        Ok(write_hosts(stage.hosts, true)?)
    }
}

/// Kafka is away, so that the disk is needed. Space comes back first, and only then Kafka.
pub(super) struct DiskFull;

impl Fault for DiskFull {
    fn inject(&mut self, stage: &mut Stage<'_>) -> Outcome {
        stage.cluster.network().set(Wire::Cut)?;
        Ok(stage.disk.ok_or("there is no disk of our own")?.fill()?)
    }

    fn heal(&mut self, stage: &mut Stage<'_>) -> Outcome {
        stage.disk.ok_or("there is no disk of our own")?.free_up()?;
        Ok(stage.cluster.network().set(Wire::Pass)?)
    }
}
