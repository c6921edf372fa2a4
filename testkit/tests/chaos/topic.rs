//! The topic of a round, over all its generations, and how it is read: by another program, through
//! another listener than the daemon's.

use std::collections::BTreeMap;

use spillway_testkit::cluster::{Cluster, Listener};
use spillway_testkit::kcat;
use spillway_testkit::numbered::Numbered;
use spillway_testkit::oracle::chaos::Found;

use crate::Outcome;

const PARTITIONS: i32 = 12;
const REPLICATION: i16 = 3;
/// The broker's clock says when a record arrived, which the recovery and the judge ask for.
const CONFIG: [(&str, &str); 1] = [("message.timestamp.type", "LogAppendTime")];

/// A topic.
pub(crate) struct Topic {
    name: String,
    load: Numbered,
    /// What was in the generations that are deleted.
    earlier: Vec<Found>,
    /// Where dead letters go.
    pub(crate) letters: Option<String>,
    /// Its limit was lowered for a while.
    pub(crate) was_limited: bool,
}

impl Topic {
    pub(crate) fn create(cluster: &Cluster, name: String, load: Numbered, letters: bool) -> Outcome<Self> {
        cluster.admin().create_topic(&name, PARTITIONS, REPLICATION, &CONFIG)?;
        let letters = letters.then(|| format!("{name}.dead"));
        if let Some(letters) = &letters {
            cluster.admin().create_topic(letters, 1, REPLICATION, &[])?;
        }
        Ok(Self { name, load, earlier: Vec::new(), letters, was_limited: false })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// All that is and was in it.
    pub(crate) fn read(&self, cluster: &Cluster) -> Outcome<Vec<Found>> {
        let found = self.read_present(cluster)?;
        let mut next: BTreeMap<i32, i64> = BTreeMap::new();
        for earlier in &self.earlier {
            next.insert(earlier.partition, earlier.offset + 1);
        }
        let begin = |partition| next.get(&partition).copied().unwrap_or(0);
        let present = found.into_iter().map(|f| Found { offset: f.offset + begin(f.partition), ..f });
        Ok(self.earlier.iter().cloned().chain(present).collect())
    }

    /// What is in it now; fails unless that is all that the brokers say there is.
    fn read_present(&self, cluster: &Cluster) -> Outcome<Vec<Found>> {
        let mut ends = cluster.admin().end_offsets(&self.name)?;
        loop {
            let found = kcat::read(&cluster.bootstrap(Listener::Plain), &self.name, self.load)?;
            let now = cluster.admin().end_offsets(&self.name)?;
            if now != ends {
                // What a broker had taken in before the network was cut.
                ends = now;
                continue;
            }
            for (partition, end) in ends {
                let read = found.iter().filter(|f| f.partition == partition).count();
                if i64::try_from(read)? != end {
                    return Err(format!("kcat read {read} of {end} records of partition {partition}").into());
                }
            }
            return Ok(found);
        }
    }

    /// Reads it, deletes it and makes it anew. The caller keeps the daemon away meanwhile.
    pub(crate) fn recreate(&mut self, cluster: &Cluster) -> Outcome {
        self.earlier = self.read(cluster)?;
        cluster.admin().delete_topic(&self.name)?;
        cluster.admin().create_topic(&self.name, PARTITIONS, REPLICATION, &CONFIG)?;
        Ok(())
    }

    pub(crate) fn delete(&self, cluster: &Cluster) -> Outcome {
        for topic in self.letters.iter().chain([&self.name]) {
            cluster.admin().delete_topic(topic)?;
        }
        Ok(())
    }
}
