//! Why a run ends without being told to.

use std::io;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use spillway_service::admin::Listen;
use spillway_service::exit::Exit;

use crate::acquire::AcquireError;
use crate::log::LogError;
use crate::notify::NotifyError;
use crate::store::StoreError;
use crate::tables::TableFault;
use crate::writer::WriteError;

/// See the module. Nothing is lost by any of these: the next run goes on where this one was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tables cannot be kept.
    #[error("the tables are not valid")]
    Tables(#[from] TableFault),
    /// The store cannot be used.
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    /// A final object cannot be written.
    #[error("a window cannot be made final")]
    Write(#[from] WriteError),
    /// The client cannot be created, or has failed for good.
    #[error("the Kafka client failed")]
    Kafka(#[source] KafkaError),
    /// The brokers refuse this client.
    #[error(
        "Kafka refuses access; check the credentials and the rights on topic {topic:?} and group {group:?}"
    )]
    Refused {
        /// The topic.
        topic: String,
        /// The group.
        group: String,
        /// What the brokers said.
        source: Box<KafkaError>,
    },
    /// A partition cannot be taken on.
    #[error("a partition cannot be read on")]
    Acquire(#[from] AcquireError),
    /// The log cannot be read or written.
    #[error("the log in the store cannot be used")]
    Log(#[from] LogError),
    /// Nobody can be notified of objects.
    #[error("notifications cannot be set up")]
    Notify(#[from] NotifyError),
    /// Kafka has deleted records that were not read, and that is to end the run.
    #[error(
        "Kafka has deleted {records} records of topic {topic:?} that were not read yet; to go on without them, \
         set input.on_gap = \"record\""
    )]
    Gap {
        /// The topic.
        topic: String,
        /// How many.
        records: u64,
    },
    /// The topic ends before what has been read of it.
    #[error(
        "partition {partition} of topic {topic:?} ends at offset {end}, and {next} is the next one to read: the topic \
         was deleted and made anew; give this one another store"
    )]
    Rewound {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where it ends.
        end: i64,
        /// Where it was read to.
        next: i64,
    },
    /// There is nothing to drain.
    #[error("topic {topic:?} does not exist")]
    NoTopic {
        /// The topic.
        topic: String,
    },
    /// Another member has taken this one's place.
    #[error(
        "another member of the group has taken the place of {instance_id:?}; \
         give each member a kafka.instance_id of its own, or none"
    )]
    Fenced {
        /// The name of both in the group.
        instance_id: String,
        /// What Kafka said.
        source: Box<KafkaError>,
    },
    /// The admin endpoint's address cannot be bound.
    #[error(
        "cannot listen on {address}; is another spillway-consumer running? Change admin.listen, or set it to \"none\""
    )]
    Listen {
        /// The address.
        address: Listen,
        /// What the system said.
        source: io::Error,
    },
    /// A part of the consumer has panicked, which is a bug. It does not come back within the run.
    #[error("a part of the consumer has panicked: {part}; what it said is on standard error")]
    Panicked {
        /// Which.
        part: &'static str,
    },
    /// The system refuses a thread.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

impl Error {
    /// The client has failed for good. `cause` is what it says of that itself, `instance_id` its name in the
    /// group.
    pub(crate) fn fatal(
        error: KafkaError,
        cause: Option<RDKafkaErrorCode>,
        instance_id: Option<&str>,
    ) -> Self {
        match (cause.or(error.rdkafka_error_code()), instance_id) {
            (Some(RDKafkaErrorCode::FencedInstanceId), Some(id)) => {
                Self::Fenced { instance_id: id.to_owned(), source: Box::new(error) }
            }
            _ => Self::Kafka(error),
        }
    }

    /// What the process should exit with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Tables(_) | Self::Notify(_) => Exit::Config,
            Self::Store(_) | Self::Write(_) | Self::Log(_) | Self::Acquire(_) => Exit::CannotWrite,
            Self::Refused { .. } => Exit::Refused,
            Self::Fenced { .. } => Exit::Locked,
            Self::Listen { .. } => Exit::Listen,
            Self::Kafka(_)
            | Self::NoTopic { .. }
            | Self::Rewound { .. }
            | Self::Gap { .. }
            | Self::Panicked { .. }
            | Self::Thread(_) => Exit::Failed,
        }
    }
}

/// Whether the brokers refuse this client, which waiting does not mend.
pub(crate) fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as C;
    matches!(
        code,
        C::TopicAuthorizationFailed
            | C::GroupAuthorizationFailed
            | C::ClusterAuthorizationFailed
            | C::SaslAuthenticationFailed
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_whose_place_was_taken_says_by_what_name() {
        let told = || KafkaError::MessageConsumption(RDKafkaErrorCode::Fatal);
        let fenced = Some(RDKafkaErrorCode::FencedInstanceId);
        let error = Error::fatal(told(), fenced, Some("one"));
        assert!(error.to_string().contains("taken the place of \"one\""), "{error}");
        assert_eq!(error.exit(), Exit::Locked);
        assert!(matches!(Error::fatal(told(), fenced, None), Error::Kafka(_)));
        assert!(matches!(Error::fatal(told(), None, Some("one")), Error::Kafka(_)));
    }
}
