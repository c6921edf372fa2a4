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
//! and have threads of their own. No wait is longer than [`LOOK_EVERY`], stream's than [`TURN_EVERY`]: a loop
//! turns also when nothing happens, and counts its turns in the pulse, by which the watchdog is fed. So does the prober,
//! which asks the brokers for breaker. What happens when one ends is decided in one place: see [`crate::pipeline`].

pub(crate) mod breaker;
pub(crate) mod produce;
pub(crate) mod replay;
pub(crate) mod spill;
pub(crate) mod stream;

use std::fmt;
use std::time::Duration;

/// How long a blocking task waits at most before it looks around again.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The prober's number in the pulse, behind the tasks'.
pub(crate) const PROBER_HEART: usize = TaskName::ALL.len();

/// The names of all whose loops must turn, by their numbers in the pulse.
pub(crate) fn hearts() -> Vec<&'static str> {
    TaskName::ALL.iter().map(|task| task.name()).chain(["prober"]).collect()
}

/// How long stream waits at most before its loop turns.
pub(crate) const TURN_EVERY: Duration = Duration::from_secs(1);

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

impl TaskName {
    /// All tasks, each at its index.
    pub(crate) const ALL: [Self; 5] = [Self::Stream, Self::Produce, Self::Spill, Self::Replay, Self::Breaker];

    /// Its number, in the pulse.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Produce => "produce",
            Self::Spill => "spill",
            Self::Replay => "replay",
            Self::Breaker => "breaker",
        }
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
