//! The five tasks, in the order in which a record meets them.
//!
//! ```text
//!   upstream --> stream --> queue --> produce --> Kafka
//!                             |          |  ^
//!                             v          v  | acknowledgements
//!                           spill --> spool --> replay --> Kafka
//!
//!   breaker: watches the acknowledgements and the brokers, and writes one state
//! ```
//!
//! Each task is a loop that waits for an event, then applies it. Stream runs on tokio; the others block
//! and have threads of their own. What happens when one ends is decided in one place: see
//! [`crate::pipeline`].

pub(crate) mod breaker;
pub(crate) mod produce;
pub(crate) mod replay;
pub(crate) mod spill;
pub(crate) mod stream;

use std::fmt;
use std::time::Duration;

/// How long a blocking task waits at most before it looks around again.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The tasks' names: of their threads, in the log and in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskName {
    /// Upstream to queue.
    Stream,
    /// Queue to Kafka.
    Produce,
    /// Queue to disk.
    Spill,
    /// Disk to Kafka.
    Replay,
    /// Watches.
    Breaker,
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream => "stream",
            Self::Produce => "produce",
            Self::Spill => "spill",
            Self::Replay => "replay",
            Self::Breaker => "breaker",
        })
    }
}
