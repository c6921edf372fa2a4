//! spillwayd: streams events into Kafka and loses none while Kafka is away.
//!
//! Five tasks, see [`tasks`]; every record ends in exactly one fate, see [`ledger`]; what is promised
//! when is in `docs/delivery.md`. The library runs the daemon inside another program, as the demo does:
//! [`Config::parse`], [`Daemon::start`], [`Daemon::status`], [`Daemon::watch`], [`Daemon::wait`].

mod admin;
mod ages;
pub mod circuit;
pub mod compare;
pub mod config;
pub mod control;
pub mod dead;
mod error;
pub mod frontier;
pub mod gates;
pub mod health;
pub mod history;
pub mod inflight;
pub mod kafka;
pub mod lane;
pub mod latency;
pub mod ledger;
mod live;
pub mod metrics;
mod page;
mod partitioner;
mod pipeline;
pub mod pointer;
pub mod queue;
pub mod record;
mod reload;
mod resume;
pub mod ring;
pub mod routes;
pub mod rules;
pub mod shutdown;
pub mod silence;
pub mod skips;
pub mod sources;
pub mod status;
pub mod systemd;
pub mod tasks;
#[cfg(test)]
mod testing;
pub mod topics;
mod watch;

pub use config::Config;
pub use error::StartError;
pub use pipeline::{Daemon, Outcome, Reason};
pub use reload::{Answer, Reload, ReloadError};
pub use status::Status;
pub use watch::Watch;
