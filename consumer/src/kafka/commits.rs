//! Commits offsets.
//!
//! librdkafka's asynchronous commit would not need a thread, but rust-rdkafka 0.39 never delivers its
//! answer (fede1024/rust-rdkafka#856), and a commit whose failure goes unnoticed is worth nothing here.

use std::io;
use std::sync::Arc;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::{Client, Worker};
use crate::engine::Commit;

/// Why offsets were not committed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    /// The hint cannot be written as JSON.
    #[error("the hint cannot be encoded")]
    Encode(#[from] serde_json::Error),
    /// The coordinator did not take them.
    #[error("the group's coordinator did not take the offsets")]
    Kafka(#[from] KafkaError),
}

/// Commits what it is given. One commit is under way at a time.
pub(crate) type Commits = Worker<Vec<Commit>, Result<(), CommitError>>;

pub(crate) fn start(client: Arc<Client>, topic: String) -> io::Result<Commits> {
    Worker::start("commits", || {}, move |commits: Vec<Commit>| commit(&client, &topic, &commits))
}

fn commit(client: &Client, topic: &str, commits: &[Commit]) -> Result<(), CommitError> {
    let mut list = TopicPartitionList::with_capacity(commits.len());
    for commit in commits {
        let metadata = commit.hint.to_metadata()?;
        let mut element = list.add_partition(topic, commit.partition);
        element.set_offset(Offset::Offset(commit.resume_offset))?;
        element.set_metadata(metadata);
    }
    Ok(client.commit(&list, CommitMode::Sync)?)
}
