//! A Kafka cluster inside the test: librdkafka's mock cluster, taken down and brought back at will.
//!
//! What it can do: produce, fetch, consumer groups with commits, transactions, injected errors. What
//! it cannot, and a test must live with:
//!
//! - It keeps at most 5 MiB or 100,000 batches a partition and then forgets the oldest without a word.
//!   Read continuously with a [`Reader`], which reports what was forgotten before it was read.
//! - Above about 20,000 records a second a reader cannot be trusted to keep up: a fetch returns one
//!   batch a partition, and an empty fetch waits its full `fetch.wait.max.ms` even when data arrives.
//! - A broker that is down refuses connections but keeps its port; no partition changes its leader.
//!   An answer that was under way when it went down is lost although its records were stored, and
//!   idempotence is checked for transactional producers only: duplicates are to be expected then.
//! - A group's first join takes 3 s. No SASL, no TLS, no Admin API, no retention by time.

mod reader;
#[cfg(test)]
mod tests;

use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaRespErr;

use crate::children::while_none_starts;

pub use rdkafka::types::RDKafkaApiKey as ApiKey;
pub use reader::{Entry, Gap, Reader, Sink, Snapshot};

type Cluster = MockCluster<'static, DefaultProducerContext>;
type Job = Box<dyn FnOnce(&Cluster) + Send>;

/// Why the harness failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster did not start.
    #[error("cannot start a mock cluster of {brokers} brokers")]
    Start {
        /// How many were asked for.
        brokers: u8,
        /// librdkafka's reason.
        source: KafkaError,
    },
    /// The cluster refused a command.
    #[error("the mock cluster refused to {action}")]
    Command {
        /// What it was told to do.
        action: String,
        /// librdkafka's reason.
        source: KafkaError,
    },
    /// A thread could not be started.
    #[error("cannot start the thread {name}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The thread that owns the cluster is gone.
    #[error("the mock cluster has ended")]
    Ended,
    /// The reader's client could not be made.
    #[error("cannot read the topic {topic}")]
    Reader {
        /// The topic.
        topic: String,
        /// librdkafka's reason.
        source: KafkaError,
    },
}

/// A mock cluster. It lives on a thread of its own, so that this handle can be used from any thread
/// and from async code; it ends when the handle is dropped.
#[derive(Debug)]
pub struct Mock {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    bootstrap: String,
    brokers: u8,
}

impl Mock {
    /// Starts `brokers` brokers with the ids 1 to `brokers`, each on a port of its own on loopback.
    ///
    /// # Errors
    /// When librdkafka or the thread cannot be started.
    pub fn start(brokers: u8) -> Result<Self, Error> {
        let name = "mock-cluster";
        let (jobs, inbox) = bounded::<Job>(1);
        let (started, bootstrap) = bounded(1);
        let run = move || match MockCluster::new(i32::from(brokers)) {
            Ok(cluster) => {
                // The receiver waits below; were it gone, there would be no one to serve.
                let _ = started.send(Ok(cluster.bootstrap_servers()));
                serve(&cluster, &inbox);
            }
            Err(source) => {
                let _ = started.send(Err(Error::Start { brokers, source }));
            }
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn(run);
        let thread = thread.map_err(|source| Error::Thread { name, source })?;
        let bootstrap = bootstrap.recv().map_err(|_| Error::Ended)??;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), bootstrap, brokers })
    }

    /// The brokers' addresses, for `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Creates `topic`. Partition `p` is led by broker `p % brokers + 1`, where librdkafka alone would
    /// choose at random.
    ///
    /// # Errors
    /// When the cluster refuses, for example because the topic exists.
    pub fn create_topic(&self, topic: &str, partitions: i32, replication: i32) -> Result<(), Error> {
        let name = topic.to_owned();
        self.command(format!("create the topic {topic}"), move |c| {
            c.create_topic(&name, partitions, replication)
        })?;
        (0..partitions).try_for_each(|p| self.set_leader(topic, p, Some(p % i32::from(self.brokers) + 1)))
    }

    /// Makes `broker` the leader of a partition, or no one.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub fn set_leader(&self, topic: &str, partition: i32, broker: Option<i32>) -> Result<(), Error> {
        let name = topic.to_owned();
        let action = format!("set the leader of {topic}-{partition} to {broker:?}");
        self.command(action, move |c| c.partition_leader(&name, partition, broker))
    }

    /// Answers for a topic with `error` until it is set to no error: in metadata, as if the topic were not
    /// there, and to records.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub fn topic_error(&self, topic: &str, error: RDKafkaRespErr) -> Result<(), Error> {
        let name = topic.to_owned();
        self.command(format!("answer for {topic} with {error:?}"), move |c| c.topic_error(&name, error))
    }

    /// Takes all brokers down: connections are cut, new ones refused.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub fn all_down(&self) -> Result<(), Error> {
        while_none_starts(|| self.command("take all brokers down".into(), |c| c.broker_down(-1)))
    }

    /// Brings all brokers back, on their old ports and with their data.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub fn all_up(&self) -> Result<(), Error> {
        self.command("bring all brokers up".into(), |c| c.broker_up(-1))
    }

    /// Takes one broker down, counted from 1.
    ///
    /// # Errors
    /// When the cluster refuses, for example because there is no such broker.
    pub fn broker_down(&self, broker: i32) -> Result<(), Error> {
        while_none_starts(|| {
            self.command(format!("take broker {broker} down"), move |c| c.broker_down(broker))
        })
    }

    /// Brings one broker back, counted from 1.
    ///
    /// # Errors
    /// When the cluster refuses, for example because there is no such broker.
    pub fn broker_up(&self, broker: i32) -> Result<(), Error> {
        self.command(format!("bring broker {broker} up"), move |c| c.broker_up(broker))
    }

    /// Delays every answer of `broker` (all with -1) by `delay`.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub fn round_trip(&self, broker: i32, delay: std::time::Duration) -> Result<(), Error> {
        self.command(format!("delay broker {broker}"), move |c| c.broker_round_trip_time(broker, delay))
    }

    /// The next requests of kind `api` fail with `errors`, one each, in this order; see
    /// [`RDKafkaRespErr`]. The error `_TRANSPORT` cuts the connection instead.
    ///
    /// # Errors
    /// When the cluster has ended.
    pub fn request_errors(&self, api: ApiKey, errors: &[RDKafkaRespErr]) -> Result<(), Error> {
        let errors = errors.to_vec();
        self.command(format!("fail {api:?} requests"), move |c| {
            c.request_errors(api, &errors);
            Ok(())
        })
    }

    /// Forgets the errors that [`Mock::request_errors`] has left.
    ///
    /// # Errors
    /// When the cluster has ended.
    pub fn clear_request_errors(&self, api: ApiKey) -> Result<(), Error> {
        self.command(format!("answer {api:?} requests"), move |c| {
            c.clear_request_errors(api);
            Ok(())
        })
    }

    fn command(
        &self,
        action: String,
        job: impl FnOnce(&Cluster) -> Result<(), KafkaError> + Send + 'static,
    ) -> Result<(), Error> {
        let (done, outcome) = bounded(1);
        let job: Job = Box::new(move |cluster| {
            // The receiver waits below.
            let _ = done.send(job(cluster));
        });
        self.jobs.as_ref().ok_or(Error::Ended)?.send(job).map_err(|_| Error::Ended)?;
        outcome.recv().map_err(|_| Error::Ended)?.map_err(|source| Error::Command { action, source })
    }
}

fn serve(cluster: &Cluster, inbox: &Receiver<Job>) {
    for job in inbox {
        job(cluster);
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        // Closing the channel ends the thread; only then is the cluster gone.
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
