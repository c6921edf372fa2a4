//! Everything that runs: the cluster, the reader, the consumer, the daemon, the upstream. Started in
//! that order, so that each finds what it needs; looked at together; ended in the order of the flow.

use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use spillway_consumer::{Control, Summary};
use spillway_daemon::health::Change;
use spillway_daemon::{Daemon, Outcome, Reason, Status, Watch};
use spillway_testkit::kafka::{Mock, Reader, Snapshot};
use spillway_testkit::upstream::{Feed, Options, Upstream};

use crate::args::Args;
use crate::config::{self, PARTITIONS, TOPIC};
use crate::error::Error;
use crate::facts::Facts;
use crate::folder::Folder;
use crate::input::{Input, Ledger};

const BROKERS: u8 = 3;
/// X sends a keep-alive every 20 s; a demo is too short for that.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long the reader may take for the rest of the topic.
const READ_PATIENCE: Duration = Duration::from_secs(30);

/// The cluster and who reads from it; the stream has not begun.
pub(crate) struct Stage {
    began: Instant,
    mock: Mock,
    reader: Reader,
    control: Control,
    consumer: Option<JoinHandle<Result<Summary, Box<spillway_consumer::Error>>>>,
}

impl Stage {
    pub(crate) fn set(args: &Args, folder: &Folder, input: &Input) -> Result<Self, Error> {
        let began = Instant::now();
        let mock = Mock::start(BROKERS)?;
        mock.create_topic(TOPIC, PARTITIONS, i32::from(BROKERS))?;
        let reader = Reader::start(mock.bootstrap(), TOPIC, PARTITIONS)?;
        let config = config::consumer(args, folder, input, mock.bootstrap())?;
        let control = Control::new();
        let steering = control.clone();
        let run = move || spillway_consumer::run(config, &steering).map_err(Box::new);
        let consumer =
            std::thread::Builder::new().name("consumer".into()).spawn(run).map_err(Error::Thread)?;
        Ok(Self { began, mock, reader, control, consumer: Some(consumer) })
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The cluster forgets quickly: the stream may begin only when the consumer reads.
    pub(crate) fn is_ready(&self) -> bool {
        self.control.progress().partitions == usize::try_from(PARTITIONS).unwrap_or(usize::MAX)
    }

    /// Nothing is served yet, but the consumer may have failed.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        if self.consumer.as_ref().is_some_and(JoinHandle::is_finished) {
            self.join_consumer()?;
            return Err(Error::ConsumerEnded);
        }
        Ok(())
    }

    fn join_consumer(&mut self) -> Result<Summary, Error> {
        let handle = self.consumer.take().ok_or(Error::ConsumerEnded)?;
        let result = handle.join().map_err(|_| Error::Panicked { name: "consumer" })?;
        result.map_err(Error::Consumer)
    }
}

/// The whole of it, running.
pub(crate) struct Services {
    stage: Stage,
    upstream: Upstream,
    watch: Watch,
    daemon: Option<JoinHandle<Outcome>>,
    total: u64,
}

impl Services {
    /// Starts the upstream and the daemon.
    pub(crate) fn start(
        stage: Stage,
        args: &Args,
        folder: &Folder,
        input: Input,
        ledger: &Ledger,
    ) -> Result<Self, Error> {
        let Input { feed, records, outage_at, .. } = input;
        let upstream = start_upstream(feed, args.rate, outage_at, ledger)?;
        let config = config::daemon(args, folder, &upstream.url(), stage.mock.bootstrap())?;
        let daemon = Daemon::start(config)?;
        let watch = daemon.watch();
        let wait = move || daemon.wait();
        let daemon = std::thread::Builder::new().name("daemon".into()).spawn(wait).map_err(Error::Thread)?;
        Ok(Self { stage, upstream, watch, daemon: Some(daemon), total: records })
    }

    pub(crate) fn facts(&self) -> Facts {
        let Status { breaker, lane, sources, queue, in_flight, spool, counts, .. } = self.watch.status();
        let consumer = self.stage.control.progress();
        Facts {
            elapsed: self.stage.elapsed(),
            total: self.total,
            served: self.upstream.served(),
            feed_waits: self.upstream.is_paused(),
            feed_finished: self.upstream.finished(),
            received: counts.received,
            too_long: sources.iter().map(|source| source.stream.too_long).sum(),
            acked: counts.acked,
            spooled: counts.spooled,
            replayed: counts.replayed,
            dropped: counts.dropped_records(),
            replay_refused: counts.replay_refused,
            breaker,
            lane,
            queue_records: queue.records as u64,
            in_flight: (in_flight.direct + in_flight.replay) as u64,
            spool_records: spool.records,
            spool_bytes: spool.bytes,
            disk_problem: spool.problem,
            in_topic: self.stage.reader.records(),
            consumed: consumer.read,
            partitions: consumer.partitions,
            objects: consumer.objects,
        }
    }

    /// The breaker's changes so far.
    pub(crate) fn changes(&self) -> Vec<Change> {
        self.watch.status().breaker_history
    }

    /// Fails when something has ended that should run.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        if self.daemon.as_ref().is_some_and(JoinHandle::is_finished) {
            let outcome = self.join_daemon()?;
            return Err(Error::DaemonEnded { reason: describe(&outcome.reason) });
        }
        self.stage.check()
    }

    pub(crate) fn take_brokers_down(&self) -> Result<u64, Error> {
        let now = unix_ms();
        self.stage.mock.all_down()?;
        self.upstream.resume();
        Ok(now)
    }

    pub(crate) fn bring_brokers_up(&self) -> Result<(), Error> {
        Ok(self.stage.mock.all_up()?)
    }

    pub(crate) fn resume_feed(&self) {
        self.upstream.resume();
    }

    /// Asks the daemon to stop, as SIGTERM does.
    pub(crate) fn stop_daemon(&self) {
        self.watch.stop();
    }

    pub(crate) fn is_daemon_done(&self) -> bool {
        self.daemon.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Asks the consumer to read to the end and close every window.
    pub(crate) fn drain_consumer(&self) {
        self.stage.control.drain();
    }

    pub(crate) fn is_consumer_done(&self) -> bool {
        self.stage.consumer.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends what is left but the cluster, and returns what everyone has to say.
    pub(crate) fn end(mut self) -> Result<(Ended, Mock), Error> {
        let status = self.watch.status();
        let outcome = self.join_daemon()?;
        let consumer = self.stage.join_consumer()?;
        let connections = self.upstream.connections().len();
        self.upstream.stop();
        let complete = self.stage.reader.read_to_end(READ_PATIENCE)?;
        let Stage { mock, reader, .. } = self.stage;
        let topic = reader.stop();
        Ok((Ended { status, outcome, consumer, topic, complete, connections }, mock))
    }

    fn join_daemon(&mut self) -> Result<Outcome, Error> {
        let handle = self.daemon.take().ok_or(Error::Panicked { name: "daemon" })?;
        handle.join().map_err(|_| Error::Panicked { name: "daemon" })
    }
}

/// What everyone has to say at the end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Status,
    pub(crate) outcome: Outcome,
    pub(crate) consumer: Summary,
    pub(crate) topic: Snapshot,
    /// The reader has seen the topic to its end.
    pub(crate) complete: bool,
    /// Connections that the upstream has seen.
    pub(crate) connections: usize,
}

fn start_upstream(feed: Feed, rate: u64, outage_at: u64, ledger: &Ledger) -> Result<Upstream, Error> {
    let options = Options {
        rate,
        keep_alive: KEEP_ALIVE,
        pause_at: Some(outage_at),
        tap: Some(ledger.tap()),
        ..Options::default()
    };
    Ok(Upstream::start(feed, options)?)
}

fn describe(reason: &Reason) -> String {
    match reason {
        Reason::Stopped => "it was stopped".to_owned(),
        Reason::Delivered => "its input ended".to_owned(),
        Reason::Unreachable(cause) => format!("the upstream cannot be reached: {cause}"),
        Reason::Refused(cause) => format!("the upstream refuses it: {cause}"),
        Reason::TaskFailed(task) => format!("its task {task} failed"),
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
