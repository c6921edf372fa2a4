//! Why the breaker changes its state: in a short fixed name for metrics and the journal, and in words.

use std::fmt;
use std::time::Duration;

/// Why the state changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The daemon has just started and has not heard of Kafka yet.
    Starting,
    /// Records were in flight and none was acknowledged for this long.
    NoAcknowledgement(Duration),
    /// librdkafka reported all brokers down, and no acknowledgement came since.
    AllBrokersDown,
    /// A delivery failed in a way that concerns all records.
    DeliveryFailed(String),
    /// The producer reported a fatal error; it must be rebuilt.
    Fatal(String),
    /// The producer's queue is nearly full, and nothing of it is acknowledged.
    ProducerFull,
    /// Far less is published than received, and the queue grows.
    FallingBehind,
    /// Many client errors and no acknowledgement.
    ErrorRate(String),
    /// These partitions do not answer while others do; what they have in flight must come back.
    PartitionsSilent(Vec<String>),
    /// A probe reached the brokers.
    ProbeAnswered,
    /// The trial was acknowledged.
    TrialAcknowledged,
    /// There was nothing to try with.
    NothingToTry,
    /// The trial was not answered in time.
    TrialUnanswered,
}

impl Cause {
    /// A short fixed name, for metrics and for searching the journal.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::NoAcknowledgement(_) => "no_acknowledgement",
            Self::AllBrokersDown => "all_brokers_down",
            Self::DeliveryFailed(_) => "delivery_failed",
            Self::Fatal(_) => "fatal",
            Self::ProducerFull => "producer_full",
            Self::FallingBehind => "falling_behind",
            Self::ErrorRate(_) => "error_rate",
            Self::PartitionsSilent(_) => "partitions_silent",
            Self::ProbeAnswered => "probe_answered",
            Self::TrialAcknowledged => "trial_acknowledged",
            Self::NothingToTry => "nothing_to_try",
            Self::TrialUnanswered => "trial_unanswered",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("the daemon is starting"),
            Self::NoAcknowledgement(age) => {
                write!(f, "no acknowledgement for {:.1} s with records in flight", age.as_secs_f64())
            }
            Self::AllBrokersDown => f.write_str("all brokers are down"),
            Self::DeliveryFailed(what) => write!(f, "a delivery failed: {what}"),
            Self::Fatal(what) => write!(f, "the producer failed for good: {what}"),
            Self::ProducerFull => f.write_str("the producer's queue is full and nothing is acknowledged"),
            Self::FallingBehind => f.write_str("far less is published than received, and the queue grows"),
            Self::ErrorRate(what) => write!(f, "many client errors and no acknowledgement, last: {what}"),
            Self::PartitionsSilent(which) => {
                write!(f, "partitions {} do not answer while others do; they are held back", which.join(", "))
            }
            Self::ProbeAnswered => f.write_str("the brokers answered a probe"),
            Self::TrialAcknowledged => f.write_str("Kafka acknowledged the trial"),
            Self::NothingToTry => f.write_str("the probe was answered and nothing waits"),
            Self::TrialUnanswered => f.write_str("Kafka did not acknowledge the trial"),
        }
    }
}
