//! The consumer: turns the topic into windowed tables of Parquet.
//!
//! ```text
//!   Kafka ---> intake ---> engine: partitions, panes, watermarks ---> finaliser ---> writer ---> store
//!              (profile)   (pure)                                     (pure)           |
//!   offsets <------------------------------------------------------ close step <-------+
//! ```
//! Every record is counted as exactly one of: event, late, duplicate, replayed, quarantined, notice.
//! An event is counted in the pane (the longest span that every window is made of whole ones of) that
//! its time falls into. Each partition closes its panes by its own watermark; the frontier is where all
//! of them are closed; windows behind the frontier are written, each once, as objects that are created
//! and never changed; and only then are offsets committed. A crash at any point leads to the same
//! tables: what was not committed is read again, and what was written is found with the same rows.
//!
//! What it guarantees, with Kafka and the object store as its only state:
//! - an event that is on time is in its windows once, however often a run ends and for whatever reason;
//! - a final object never changes, and one that would is an error, never an overwrite;
//! - nothing is dropped silently: late, duplicate and unreadable records are counted and logged.
//!
//! What it does not do yet, and says so when it matters:
//! - it does not scale out: one process must own all partitions, or it stops with an error;
//! - late events and quarantined records are logged and counted but not kept;
//! - closed panes wait in memory until the slowest partition has closed them too.
//!
//! All of this comes with the commit log, which goes between the close step and the commit.

mod activity;
mod aggregate;
mod checkpoint;
mod close;
mod config;
mod control;
mod drain;
mod engine;
mod error;
pub mod event;
mod finalise;
mod intake;
mod kafka;
mod key;
mod membership;
pub mod metrics;
mod micros;
mod pane;
mod parquet;
mod partition;
mod profiles;
pub mod read;
mod run;
pub mod store;
pub mod tables;
#[cfg(test)]
mod testing;
mod throttle;
mod watermark;
mod writer;

pub use config::{Config, TimeSettings};
pub use control::{Control, Progress, Summary, TableSummary, Until};
pub use error::Error;
pub use intake::ID_HEADER;
pub use micros::Micros;
pub use profiles::{Custom, KindOf, Path, Profile, TimeForm, TimeOf};
pub use run::run;
pub use writer::WriteError;
