//! The consumer: turns the topic into windowed tables of Parquet.
//!
//! ```text
//!   Kafka ---> intake ---> engine: partitions, panes, watermarks ---> entries ---> log on the store
//!              (profile)   (pure)                                                   |
//!   offsets, a hint <---- closing <---- what the store answers <---- background <---+
//!                                                                                   v
//!                          store <---- writer <---- windows (pure) <---- finaliser: all partitions
//! ```
//! Every record is counted as exactly one of: event, late, duplicate, replayed, quarantined, notice.
//! An event is counted in the pane (the longest span that every window is made of whole ones of) that
//! its time falls into. Each partition closes its panes by its own watermark, and makes that durable as
//! an entry of its log: an object that is created and never changed. The finaliser, which the owner of
//! partition 0 runs, puts the entries of all partitions together, and writes each window once, when every
//! partition is closed that far. docs/adr/0007 says why this holds whatever happens.
//!
//! What it guarantees, with Kafka and the object store as its only state:
//! - an event that is on time is in its windows once, however many members there are, however they come
//!   and go, and for whatever reason a run ends;
//! - a final object never changes, and one that would is an error, never an overwrite;
//! - nothing is dropped silently: late and unreadable records are counted, logged, and kept in the log
//!   with their bytes; duplicates are counted.
//!
//! Beside the run stand three commands on what it has written: [`show`](mod@show), [`rebuild`](mod@rebuild) counts
//! late events, [`compact`](mod@compact) puts days together. docs/adr/0008 says how readers tell copies apart.

mod acquire;
mod activity;
mod aggregate;
pub mod archive;
#[cfg(test)]
mod athena;
mod background;
mod closing;
pub mod compact;
mod config;
mod control;
mod csv;
mod drain;
mod engine;
mod error;
pub mod event;
pub mod filter;
mod finalise;
mod finaliser;
mod health;
mod hint;
mod intake;
mod kafka;
mod key;
mod log;
mod membership;
pub mod metrics;
mod micros;
#[cfg(test)]
mod model;
pub mod newest;
mod notify;
mod pane;
mod parquet;
mod partition;
mod patience;
mod presets;
mod profiles;
mod pulse;
pub mod read;
pub mod rebuild;
mod run;
pub mod show;
mod sink;
#[doc(hidden)]
pub mod stages;
pub mod status;
pub mod store;
pub mod tables;
#[cfg(test)]
mod testing;
mod throttle;
mod tls;
mod watch;
mod watermark;
mod writer;

pub use acquire::AcquireError;
pub use config::{Admin, Config, OnGap, TimeSettings};
pub use control::{Control, Progress, Summary, TableSummary, Until};
pub use error::Error;
pub use intake::ID_HEADER;
pub use log::{CodecError, LogError};
pub use micros::Micros;
pub use notify::{CopiesTold, NotifyError, NotifySettings, TopicError, Webhook, WebhookError};
pub use presets::{preset, preset_archive};
pub use profiles::{Custom, KindOf, Path, Profile, TimeForm, TimeOf};
pub use run::run;
pub use watch::Watch;
pub use writer::WriteError;
