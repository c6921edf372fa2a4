//! What librdkafka calls back with: delivery reports and errors, turned into ends of records and
//! signals for the breaker. Runs on the producer's polling thread and never blocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::Sender;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::statistics::{Statistics, Window};
use spillway_service::kafka::Access;

use super::batch_limit::BatchLimit;
use super::{Refusal, Signal, Trouble};
use crate::circuit::Input;
use crate::inflight::{InFlight, Landed, Opaque};
use crate::ledger::{DropReason, Fate, Ledger};
use crate::record;
use crate::ring::End;

/// What a failed delivery means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Kafka refuses this record, and would refuse it again.
    Record(String),
    /// Too large: this record, or the batch that it was in.
    TooLarge(String),
    /// We took it back ourselves.
    Recalled,
    /// Something that concerns more than this record.
    Trouble(Trouble),
}

impl From<&KafkaError> for Failure {
    fn from(error: &KafkaError) -> Self {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge) => {
                Self::TooLarge(error.to_string())
            }
            Some(Code::InvalidTimestamp | Code::InvalidRecord | Code::UnsupportedForMessageFormat) => {
                Self::Record(error.to_string())
            }
            Some(Code::PurgeQueue | Code::PurgeInflight) => Self::Recalled,
            Some(
                Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::TopicAuthorizationFailed
                | Code::InvalidTopic,
            ) => Self::Trouble(Trouble::Topic(error.to_string())),
            Some(
                Code::Fatal
                | Code::OutOfOrderSequenceNumber
                | Code::ProducerFenced
                | Code::InvalidProducerEpoch,
            ) => Self::Trouble(Trouble::Fatal(error.to_string())),
            _ => Self::Trouble(Trouble::Outage(error.to_string())),
        }
    }
}

/// The callbacks of one session.
pub(crate) struct Callbacks {
    pub(super) flight: Arc<InFlight>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) acks: Arc<AtomicU64>,
    pub(super) signals: Sender<Signal>,
    pub(super) refusals: Sender<Refusal>,
    pub(super) batch_limit: BatchLimit,
    pub(super) access: Access,
    /// One failed delivery opens the breaker; thousands more would only fill its channel.
    pub(super) failure_told: AtomicBool,
}

impl Callbacks {
    fn acked(&self, opaque: Opaque) {
        self.acks.fetch_add(1, Ordering::Relaxed);
        match self.flight.finish(opaque, End::Acked) {
            Some(Landed::Direct(record)) => self.ledger.settle(record, Fate::Acked),
            Some(Landed::Replayed(replayed)) => {
                if let Some(received_ms) = record::received_ms(&replayed.envelope) {
                    self.ledger.delivered_from_disk(received_ms);
                }
            }
            None => {}
        }
    }

    fn failed(&self, opaque: Opaque, failure: Failure) {
        match failure {
            Failure::Record(reason) => self.refused(opaque, reason),
            Failure::TooLarge(reason) => self.too_large(opaque, reason),
            Failure::Recalled => self.flight.fail(opaque),
            Failure::Trouble(trouble) => self.fail_and_tell(opaque, trouble),
        }
    }

    /// librdkafka fails all records of a batch that the broker finds too large. Only one that must have
    /// been alone in its batch is to blame; else all come back and are sent again in smaller batches.
    fn too_large(&self, opaque: Opaque, reason: String) {
        let Some(size) = self.flight.size(opaque) else { return };
        if self.batch_limit.is_alone(size) {
            return self.refused(opaque, reason);
        }
        if let Some(limit) = self.batch_limit.shrink() {
            tracing::warn!(
                event = "batch_too_large",
                limit,
                reason,
                "the broker takes only smaller batches; sending them again with at most so many bytes"
            );
        }
        self.fail_and_tell(opaque, Trouble::Outage(format!("a batch of records: {reason}")));
    }

    fn fail_and_tell(&self, opaque: Opaque, trouble: Trouble) {
        self.flight.fail(opaque);
        if !self.failure_told.swap(true, Ordering::Relaxed) {
            self.tell(trouble.signal(self.flight.place(opaque)));
        }
    }

    fn refused(&self, opaque: Opaque, reason: String) {
        let refusal = match self.flight.refuse(opaque) {
            Some(envelope) => {
                Refusal::Replayed { flight: Arc::clone(&self.flight), opaque, envelope, reason }
            }
            None => match self.flight.finish(opaque, End::Refused) {
                Some(Landed::Direct(record)) => Refusal::Direct { record, reason },
                Some(Landed::Replayed(_)) | None => return,
            },
        };
        hand_over(&self.refusals, &self.ledger, refusal);
    }

    /// The breaker's channel is bounded; when it is full the breaker has more than enough to go by.
    fn tell(&self, signal: Signal) {
        let _ = self.signals.try_send(signal);
    }
}

/// Hands a refusal to spill, which has ended only when the daemon stops; a record of the spool is still
/// on disk then.
pub(super) fn hand_over(refusals: &Sender<Refusal>, ledger: &Ledger, refusal: Refusal) {
    if let Err(crossbeam_channel::SendError(Refusal::Direct { record, .. })) = refusals.send(refusal) {
        ledger.settle(record, Fate::Dropped(DropReason::Shutdown));
    }
}

impl ProducerContext for Callbacks {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        match result {
            Ok(_) => self.acked(Opaque(opaque)),
            Err((error, _)) => self.failed(Opaque(opaque), Failure::from(error)),
        }
    }
}

impl ClientContext for Callbacks {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    /// Waits for nothing: reports come through this thread. The prober has had the credentials fetched.
    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        Ok(self.access.token(Duration::ZERO)?)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        let throttles = |window: &Window| window.max > 0;
        if statistics.brokers.values().any(|broker| broker.throttle.as_ref().is_some_and(throttles)) {
            self.tell(Signal::Input(Input::Throttled));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka reports an error");
        self.access.heard(&error, reason);
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.tell(Signal::Input(Input::AllBrokersDown)),
            Some(RDKafkaErrorCode::Fatal) => self.tell(Signal::Input(Input::Fatal(reason.to_owned()))),
            _ => self.tell(Signal::Input(Input::ClientError(reason.to_owned()))),
        }
    }
}

/// librdkafka's own log. Its errors are about connections: the breaker says what they come to, so they
/// are details here.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart() {
        let of = |code| Failure::from(&KafkaError::MessageProduction(code));
        assert!(matches!(of(RDKafkaErrorCode::MessageSizeTooLarge), Failure::TooLarge(_)));
        assert!(matches!(of(RDKafkaErrorCode::InvalidRecord), Failure::Record(_)));
        assert_eq!(of(RDKafkaErrorCode::PurgeInflight), Failure::Recalled);
        assert!(matches!(of(RDKafkaErrorCode::Fatal), Failure::Trouble(Trouble::Fatal(_))));
        assert!(matches!(of(RDKafkaErrorCode::NotEnoughReplicas), Failure::Trouble(Trouble::Outage(_))));
        assert!(matches!(of(RDKafkaErrorCode::UnknownTopicOrPartition), Failure::Trouble(Trouble::Topic(_))));
        assert!(matches!(
            of(RDKafkaErrorCode::TopicAuthorizationFailed),
            Failure::Trouble(Trouble::Topic(_))
        ));
    }
}
