//! Why a run ends without being told to.

use std::io;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use spillway_service::exit::Exit;

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
    /// This process does not own the whole topic.
    #[error(
        "this process owns {owned} of the {total} partitions of topic {topic:?}: another member of group {group:?} has the rest; \
         for now one process must read the whole topic (scale-out comes with the commit log): stop the other one, or give this \
         one another group and another store"
    )]
    NotAlone {
        /// How many partitions it owns.
        owned: usize,
        /// How many there are.
        total: usize,
        /// The topic.
        topic: String,
        /// The group.
        group: String,
    },
    /// There is nothing to drain.
    #[error("topic {topic:?} does not exist")]
    NoTopic {
        /// The topic.
        topic: String,
    },
    /// The system refuses a thread.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

impl Error {
    /// What the process should exit with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Tables(_) => Exit::Config,
            Self::Store(_) | Self::Write(_) => Exit::CannotWrite,
            Self::Refused { .. } => Exit::Refused,
            Self::NotAlone { .. } => Exit::Locked,
            Self::Kafka(_) | Self::NoTopic { .. } | Self::Thread(_) => Exit::Failed,
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
