//! What takes its time with the store, on the store's own threads: each piece of work reports to the run
//! when it is done. What may pass is tried again for as long as it takes.

use crossbeam_channel::{Receiver, Sender, unbounded};
use tokio::runtime::Handle;

use crate::acquire::{AcquireError, Claim, acquire};
use crate::error::Error;
use crate::finaliser::{FinaliseError, Finaliser, Step};
use crate::log::{Entry, Header, Log, LogError, Proposal, Put};
use crate::newest::Newest;
use crate::partition::Restored;
use crate::patience::Patience;
use crate::sink::TableSink;
use crate::store::Store;
use crate::tables::Tables;

/// What a piece of work came to.
#[derive(Debug)]
pub(crate) enum Done {
    /// A partition has been taken on.
    Acquired { partition: i32, epoch: u64, restored: Box<Restored> },
    /// An entry was brought to the log.
    Put { epoch: u64, header: Box<Header>, put: Put },
    /// The log of a partition that rests was looked at.
    Checked { partition: i32, epoch: u64, seq: u64, goes_on: bool },
    /// The finaliser took a step.
    Step { finaliser: Box<Finaliser<Store>>, step: Step },
    /// The newest proposal was asked for.
    Proposal(Option<Proposal>),
    /// Something failed in a way that trying again does not mend.
    Failed(Box<Error>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Background {
    runtime: Handle,
    log: Log<Store>,
    tables: Tables,
    sink: TableSink,
    done: Sender<Done>,
    results: Receiver<Done>,
}

impl Background {
    /// `facts` is what every final object's metadata says.
    pub(crate) fn new(
        runtime: Handle,
        store: Store,
        topic: &str,
        tables: Tables,
        facts: Vec<(&'static str, String)>,
    ) -> Self {
        let (done, results) = unbounded();
        let sink = TableSink::new(store.clone(), &tables, facts);
        Self { runtime, log: Log::new(store, topic), tables, sink, done, results }
    }

    /// The newest windows that have been written.
    pub(crate) fn newest(&self) -> &Newest {
        self.sink.newest()
    }

    /// What has been done, one at a time.
    pub(crate) fn take(&self) -> Option<Done> {
        self.results.try_recv().ok()
    }

    /// Takes a partition on.
    pub(crate) fn acquire(&self, claim: Claim, epoch: u64) {
        let log = self.log.clone();
        self.spawn(async move {
            let mut patience = Patience::new();
            loop {
                match acquire(&log, &claim).await {
                    Ok(restored) => {
                        let partition = claim.partition;
                        return Ok(Done::Acquired { partition, epoch, restored: Box::new(restored) });
                    }
                    Err(error) => patience.after::<AcquireError>(error).await?,
                }
            }
        });
    }

    /// Brings an entry to the log.
    pub(crate) fn put(&self, entry: Entry, epoch: u64) {
        let log = self.log.clone();
        self.spawn(async move {
            let mut patience = Patience::new();
            loop {
                match log.put(&entry).await {
                    Ok(put) => return Ok(Done::Put { epoch, header: Box::new(entry.header), put }),
                    Err(error) => patience.after::<LogError>(error).await?,
                }
            }
        });
    }

    /// Looks whether somebody else has written after what should be a partition's newest entry.
    pub(crate) fn check(&self, partition: i32, seq: u64, epoch: u64) {
        let log = self.log.clone();
        self.spawn(async move {
            let mut patience = Patience::new();
            loop {
                match log.goes_on_after(partition, seq).await {
                    Ok(goes_on) => return Ok(Done::Checked { partition, epoch, seq, goes_on }),
                    Err(error) => patience.after::<LogError>(error).await?,
                }
            }
        });
    }

    /// Asks for the newest proposal.
    pub(crate) fn ask(&self, known: Option<Proposal>) {
        let log = self.log.clone();
        self.spawn(async move {
            let mut patience = Patience::new();
            loop {
                match log.newest_proposal(known.as_ref()).await {
                    Ok(newest) => return Ok(Done::Proposal(newest)),
                    Err(error) => patience.after::<LogError>(error).await?,
                }
            }
        });
    }

    /// Lets the finaliser take a step; without one, a new one.
    pub(crate) fn finalise(&self, finaliser: Option<Box<Finaliser<Store>>>, partitions: i32) {
        let (log, tables, sink) = (self.log.clone(), self.tables.clone(), self.sink.clone());
        self.spawn(async move {
            let mut patience = Patience::new();
            let mut finaliser = finaliser;
            let mut read = 0;
            loop {
                let result = match &mut finaliser {
                    Some(finaliser) => finaliser.step(partitions, &sink).await.map(Some),
                    None => match Finaliser::open(log.clone(), tables.clone()).await {
                        Ok(opened) => {
                            finaliser = Some(Box::new(opened));
                            Ok(None)
                        }
                        Err(error) => Err(error.into()),
                    },
                };
                match (result, finaliser.take()) {
                    (Ok(Some(step)), Some(finaliser)) => return Ok(Done::Step { finaliser, step }),
                    (Ok(_), opened) => finaliser = opened,
                    (Err(FinaliseError::Write(error)), _) => return Err(error.into()),
                    (Err(FinaliseError::Log(error)), opened) => {
                        // A step may need hundreds of requests; only one that fails again and again is a
                        // reason to wait longer each time.
                        let now = opened.as_ref().map_or(0, |finaliser| finaliser.entries_read());
                        if std::mem::replace(&mut read, now) != now {
                            patience = Patience::new();
                        }
                        patience.after::<LogError>(error).await?;
                        finaliser = opened;
                    }
                }
            }
        });
    }

    /// Work that panics fails as well: the run would wait for its answer for ever.
    fn spawn(&self, work: impl Future<Output = Result<Done, Error>> + Send + 'static) {
        let done = self.done.clone();
        let work = self.runtime.spawn(work);
        self.runtime.spawn(async move {
            // It is cancelled only with the runtime, after the run.
            let result = work.await.unwrap_or(Err(Error::Panicked { part: "store" }));
            let result = result.unwrap_or_else(|error| Done::Failed(Box::new(error)));
            if done.send(result).is_err() {
                tracing::debug!("the run ended before the store answered; the next run finds out");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use spillway_service::kafka::KafkaSettings;

    use super::*;
    use crate::config::Config;
    use crate::store::StoreSettings;

    #[test]
    fn work_that_panics_has_failed() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let settings = StoreSettings::local(dir.path());
        let config = Config::new(KafkaSettings::plain("k:1"), "t", "g", settings.clone());
        let store = Store::open(&settings).unwrap();
        let tables = Tables::new(config.tables, config.archives).unwrap();
        let background = Background::new(runtime.handle().clone(), store, "t", tables, Vec::new());
        background.spawn(async { panic!("as a bug would") });
        let done = background.results.recv_timeout(Duration::from_secs(60)).unwrap();
        let Done::Failed(error) = done else { panic!("{done:?}") };
        assert!(matches!(*error, Error::Panicked { part: "store" }), "{error:?}");
        background.spawn(async { Ok(Done::Proposal(None)) });
        let done = background.results.recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(matches!(done, Done::Proposal(None)), "{done:?}");
    }
}
