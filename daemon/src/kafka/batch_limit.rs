//! How large a batch may be, as the broker taught us. librdkafka fails every record of a batch that is
//! too large for the topic, and cannot tell which one was to blame. So a refusal for size is believed
//! only of a record that must have been alone in its batch; else the limit shrinks, and the next session
//! sends all of them again in smaller batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rdkafka::ClientConfig;

use crate::config::KafkaConfig;

/// librdkafka's own default.
const USUAL: usize = 1_000_000;
/// Below this every record travels alone.
const LEAST: usize = 4_096;

/// The limit to begin with.
pub(super) fn batch_bytes(config: &KafkaConfig) -> usize {
    let given = config.settings.options.iter().find(|(key, _)| key == "batch.size");
    given.and_then(|(_, value)| value.parse().ok()).unwrap_or(USUAL)
}

/// The limit of one session.
pub(crate) struct BatchLimit {
    bytes: usize,
    learnt: Arc<AtomicUsize>,
}

impl BatchLimit {
    /// The limit as it is known now; what is learnt goes back to `learnt`.
    pub(super) fn new(learnt: &Arc<AtomicUsize>) -> Self {
        Self { bytes: learnt.load(Ordering::Relaxed), learnt: Arc::clone(learnt) }
    }

    /// Sets it for a producer.
    pub(super) fn apply(&self, config: &mut ClientConfig) {
        if self.bytes < LEAST {
            config.set("batch.num.messages", "1");
        } else {
            config.set("batch.size", self.bytes.to_string());
        }
    }

    /// Whether a record of this many bytes cannot have shared its batch.
    pub(super) fn is_alone(&self, bytes: usize) -> bool {
        bytes >= self.bytes || self.bytes < LEAST
    }

    /// A batch was too large: the next session keeps a quarter of this one's limit, in bytes. `None` when
    /// another record of this session said so before.
    pub(super) fn shrink(&self) -> Option<usize> {
        let less = self.bytes / 4;
        let told = self.learnt.compare_exchange(self.bytes, less, Ordering::Relaxed, Ordering::Relaxed);
        told.is_ok().then_some(less)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_to_blame_only_when_it_was_alone() {
        let learnt = Arc::new(AtomicUsize::new(USUAL));
        let session = BatchLimit::new(&learnt);
        assert!(!session.is_alone(300_000) && session.is_alone(1_000_000));
        assert_eq!((session.shrink(), session.shrink()), (Some(250_000), None));
        assert!(BatchLimit::new(&learnt).is_alone(300_000));
        let mut limits = Vec::new();
        while let Some(limit) =
            Some(BatchLimit::new(&learnt)).filter(|l| !l.is_alone(1)).and_then(|l| l.shrink())
        {
            limits.push(limit);
        }
        assert_eq!(limits, [62_500, 15_625, 3_906], "in the end every record travels alone");
        let mut config = ClientConfig::new();
        BatchLimit::new(&learnt).apply(&mut config);
        assert_eq!(config.get("batch.num.messages"), Some("1"));
    }
}
