//! Taking a partition on: from the newest entry of its log, or, when it has none, from one that says that
//! it exists. A partition that has not closed anything yet starts behind what has been proposed to be
//! final: whoever proposed that may not have known of it.

use crate::hint::Hint;
use crate::log::{Entry, Header, Log, LogError, Mark, Put};
use crate::partition::Restored;
use crate::store::Objects;

/// What is known of a partition before its log is read.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) partition: i32,
    pub(crate) cluster_id: Option<String>,
    /// The committed offset: where reading begins when there is no log.
    pub(crate) committed: Option<i64>,
    pub(crate) hint: Option<Hint>,
    pub(crate) marks: Vec<Mark>,
}

/// Why a partition cannot be taken on.
#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    /// The log.
    #[error("the log of partition {partition} cannot be used")]
    Log {
        /// The partition.
        partition: i32,
        /// Why.
        source: LogError,
    },
    /// The log was written for a topic of another cluster.
    #[error(
        "the log in the store is that of topic {topic:?} on the cluster {theirs}, and this is the cluster {ours}; \
         give each cluster a store of its own"
    )]
    OtherCluster {
        /// The topic.
        topic: String,
        /// The cluster's id in the log.
        theirs: String,
        /// This cluster's id.
        ours: String,
    },
}

impl AcquireError {
    /// Whether trying again cannot help.
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::Log { source, .. } => source.is_permanent(),
            Self::OtherCluster { .. } => true,
        }
    }
}

/// Takes a partition on. It can be tried again when it fails.
pub(crate) async fn acquire<S: Objects>(log: &Log<S>, claim: &Claim) -> Result<Restored, AcquireError> {
    let failed = |source| AcquireError::Log { partition: claim.partition, source };
    let header = newest_or_birth(log, claim).await.map_err(failed)?;
    if let (Some(theirs), Some(ours)) = (&header.cluster_id, &claim.cluster_id)
        && theirs != ours
    {
        let (topic, theirs, ours) = (header.topic, theirs.clone(), ours.clone());
        return Err(AcquireError::OtherCluster { topic, theirs, ours });
    }
    // Read after the birth is in the log: a finaliser that has not seen it has proposed before.
    let base = match header.closed_through {
        Some(_) => None,
        None => log.newest_proposal(None).await.map_err(failed)?.map(|proposal| proposal.through),
    };
    Ok(Restored { header, base })
}

async fn newest_or_birth<S: Objects>(log: &Log<S>, claim: &Claim) -> Result<Header, LogError> {
    loop {
        if let Some(header) = log.newest(claim.partition, claim.hint.map(|hint| hint.seq)).await? {
            return Ok(header);
        }
        let header = Header {
            topic: log.topic().to_owned(),
            partition: claim.partition,
            cluster_id: claim.cluster_id.clone(),
            resume_offset: claim.committed,
            next_offset: claim.committed,
            tables: claim.marks.clone(),
            ..Header::default()
        };
        if log.put(&Entry::birth(header.clone())).await? == Put::Ours {
            return Ok(header);
        }
    }
}
