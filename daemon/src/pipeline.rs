//! Wires the five tasks together, starts them, watches over them and stops them in order.
//!
//! What each task owns: stream the upstream and the queue's near end; produce the producer sessions;
//! spill the spool's tail; replay its head; breaker the state. Everything in [`Shared`] is for all to
//! read, and each part of it has one writer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use tokio::runtime::Runtime;

use spillway_service::errors::chain;
use spillway_service::pulse::Pulse;
use spillway_spool::{Appender, Reader, Spool};

use crate::admin;
use crate::ages::Ages;
use crate::circuit::State;
use crate::config::{Config, Journal, SourceConfig};
use crate::control::Control;
use crate::dead::errand;
use crate::error::StartError;
use crate::health::{BreakerView, StorageView, StreamView};
use crate::kafka::{Kafka, Prober, Refusal, Signal};
use crate::lane::{Lane, LaneControl};
use crate::ledger::{Counts, Ledger, unix_ms};
use crate::live::Live;
use crate::queue::{self, Queue};
use crate::record::{Labels, Names};
use crate::resume;
use crate::shutdown::{Phase, Shutdown};
use crate::sources::Source;
use crate::status::Status;
use crate::tasks::{self, LOOK_EVERY, TaskName, breaker, produce, replay, spill, stream};
use crate::topics::Topics;
use crate::watch::Watch;

/// Where the number of the last run is kept in the spool.
const RUN_KEY: &str = "daemon.run";
/// Signals that may wait for the breaker. It takes them every few milliseconds at the latest.
const SIGNALS_MAX: usize = 1024;

/// What all tasks share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// When the daemon started, unix milliseconds.
    pub(crate) started_ms: u64,
    pub(crate) labels: Labels,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) queue: Queue,
    pub(crate) lane: LaneControl,
    pub(crate) kafka: Arc<Kafka>,
    pub(crate) breaker: BreakerView,
    pub(crate) storage: StorageView,
    /// The upstreams, by the sources' index.
    pub(crate) streams: Vec<StreamView>,
    pub(crate) spool: Spool,
    /// Since when records wait in it.
    pub(crate) ages: Ages,
    pub(crate) shutdown: Shutdown,
    /// What a reload can change.
    pub(crate) live: Live,
    /// That the tasks' loops turn.
    pub(crate) pulse: Arc<Pulse>,
    /// That one of them does not.
    pub(crate) is_stuck: AtomicBool,
}

impl Shared {
    /// A task's loop has come around.
    pub(crate) fn turn(&self, task: TaskName) {
        self.pulse.turn(task.index());
    }

    /// Asks all tasks to stop.
    pub(crate) fn begin_stop(&self) {
        self.shutdown.begin(self.live.now().drain_deadline);
    }

    /// Whether records find their way to Kafka as they should without an outage.
    pub(crate) fn is_flowing(&self) -> bool {
        let settled = self.config.delivery.journal == Journal::Always || self.lane.now() == Lane::Direct;
        settled && self.breaker.state() == State::Closed
    }
}

/// How a task ended.
enum TaskEnd {
    Stream(stream::End),
    Finished,
    Panicked(TaskName),
}

/// Why the daemon ended.
#[derive(Debug)]
pub enum Reason {
    /// It was asked to.
    Stopped,
    /// The input has ended and all of it is delivered.
    Delivered,
    /// The upstream could not be reached at all.
    Unreachable(String),
    /// The upstream refuses the credentials or the address.
    Refused(String),
    /// A task failed; the others saved what they could.
    TaskFailed(TaskName),
}

/// How the daemon ended.
#[derive(Debug)]
pub struct Outcome {
    /// Why.
    pub reason: Reason,
    /// The accounts at the end.
    pub counts: Counts,
    /// Records left on disk.
    pub backlog: u64,
}

/// A running daemon.
pub struct Daemon {
    shared: Arc<Shared>,
    ends: Receiver<TaskEnd>,
    threads: Vec<JoinHandle<()>>,
    runtime: Runtime,
    control: Option<Control>,
}

impl Daemon {
    /// Opens everything that can fail, recovers the spool, then starts the tasks.
    ///
    /// # Errors
    /// See [`StartError`]; nothing was read from the upstream then.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let listener = admin::bind(config.admin.as_ref())?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("spillway-io")
            .enable_all()
            .build()
            .map_err(StartError::Runtime)?;
        let (spool, appender, reader) = Spool::open(config.spool.clone()).map_err(StartError::Spool)?;
        log_recovery(&spool);
        let sources = resume::open_sources(&config, &spool)?;
        let labels = Labels {
            topics: Names::new(config.routes.topics()),
            sources: config.sources.iter().map(|source| source.name.clone()).collect(),
            id_prefix: format!("{}-{}", config.id, next_run(&spool)?),
        };
        let resumes: Vec<bool> = config.sources.iter().map(SourceConfig::keeps_cursor).collect();
        let ledger = Ledger::new(&resumes);
        let (sender, queue) = queue::queue(config.queue.max_records, config.queue.max_bytes);
        let (signals, signals_out) = bounded(SIGNALS_MAX);
        let (refusals, refusals_out) = unbounded();
        let topics = Topics::new(config.routes.topics().iter().map(String::as_str));
        let kafka = Arc::new(Kafka::new(&config.kafka, topics, Arc::clone(&ledger), signals, refusals));
        let pulse = Arc::new(Pulse::new(&tasks::hearts()));
        let timeout = config.breaker.probe_timeout;
        let prober = Prober::start(&config.kafka, Arc::clone(&kafka), Arc::clone(&pulse), timeout)
            .map_err(StartError::Thread)?;
        let shared = Arc::new(Shared {
            lane: LaneControl::new(Lane::Spilling),
            breaker: BreakerView::default(),
            storage: StorageView::default(),
            streams: config.sources.iter().map(|_| StreamView::default()).collect(),
            ages: Ages::default(),
            shutdown: Shutdown::default(),
            live: Live::new(&config),
            pulse,
            is_stuck: AtomicBool::new(false),
            config,
            started_ms: unix_ms(),
            labels,
            ledger,
            queue,
            kafka,
            spool,
        });
        let (orders, orders_out) = unbounded();
        // Before the admin endpoint: who sees the daemon answer there can also give it errands.
        let control = start_control(&shared.config.spool.dir, orders);
        if let Some(listener) = listener {
            runtime.spawn(admin::serve(listener, Arc::clone(&shared)));
        }
        let (ends_in, ends) = unbounded();
        let ports = Ports {
            appender,
            reader,
            signals: signals_out,
            refusals: refusals_out,
            orders: orders_out,
            prober,
        };
        let threads = spawn_threads(&shared, ports, &ends_in)?;
        spawn_stream(&runtime, &shared, sources, sender, ends_in);
        Ok(Self { shared, ends, threads, runtime, control })
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::of(&self.shared)
    }

    /// A handle to look at it and to stop it with, while [`Self::wait`] waits.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch::new(Arc::clone(&self.shared))
    }

    /// Waits until it has ended: stopped, delivered a finite input, or failed.
    #[must_use]
    pub fn wait(self) -> Outcome {
        let mut reason = Reason::Stopped;
        let mut running = self.threads.len() + 1;
        let mut delivering = false;
        while running > 0 {
            if delivering && self.is_delivered() {
                delivering = false;
                self.shared.begin_stop();
                self.shared.shutdown.advance(Phase::Draining);
            }
            let Ok(end) = self.ends.recv_timeout(LOOK_EVERY) else {
                // A stop that was asked for after the input's end.
                if delivering && self.shared.shutdown.is_asked() {
                    delivering = false;
                    self.shared.shutdown.advance(Phase::Draining);
                }
                continue;
            };
            running -= 1;
            delivering |= matches!(end, TaskEnd::Stream(stream::End::Exhausted));
            if let Some(why) = self.decide(end) {
                reason = why;
            }
        }
        self.finish(reason)
    }

    /// What happens when a task ends.
    fn decide(&self, end: TaskEnd) -> Option<Reason> {
        let shutdown = &self.shared.shutdown;
        match end {
            TaskEnd::Finished => None,
            TaskEnd::Stream(stream::End::Stopped) => {
                shutdown.advance(Phase::Draining);
                None
            }
            TaskEnd::Stream(stream::End::Exhausted) => Some(Reason::Delivered),
            TaskEnd::Stream(stream::End::NeverConnected { cause, refused }) => {
                self.shared.begin_stop();
                shutdown.advance(Phase::Draining);
                Some(if refused { Reason::Refused(cause) } else { Reason::Unreachable(cause) })
            }
            TaskEnd::Panicked(task) => {
                tracing::error!(event = "task_failed", %task, "a task failed; stopping, and saving what can be saved");
                // Nobody may wait for what the failed task should have done.
                shutdown.begin(Duration::ZERO);
                match task {
                    TaskName::Stream => shutdown.advance(Phase::Draining),
                    TaskName::Replay => {
                        shutdown.replay_is_done();
                        shutdown.advance(Phase::Draining);
                    }
                    TaskName::Produce => shutdown.advance(Phase::Spilling),
                    TaskName::Spill => shutdown.advance(Phase::Done),
                    TaskName::Breaker => {}
                }
                Some(Reason::TaskFailed(task))
            }
        }
    }

    fn is_delivered(&self) -> bool {
        self.shared.ledger.counts().in_memory() == 0 && self.shared.spool.stats().records == 0
    }

    fn finish(self, reason: Reason) -> Outcome {
        for thread in self.threads {
            // A panic in it was told by its end.
            let _ = thread.join();
        }
        // Its socket goes before the spool's lock: a command that finds neither has the spool to itself.
        drop(self.control);
        // The admin endpoint may be in the middle of an answer.
        self.runtime.shutdown_timeout(Duration::from_millis(200));
        let counts = self.shared.ledger.counts();
        let backlog = self.shared.spool.stats().records;
        if counts.unaccounted > 0 {
            tracing::error!(
                event = "unaccounted",
                records = counts.unaccounted,
                "records ended without a fate; this is a bug"
            );
        }
        Outcome { reason, counts, backlog }
    }
}

/// What belongs to one task alone.
struct Ports {
    appender: Appender,
    reader: Reader,
    signals: Receiver<Signal>,
    refusals: Receiver<Refusal>,
    orders: Receiver<errand::Order>,
    prober: Prober,
}

fn spawn_threads(
    shared: &Arc<Shared>,
    ports: Ports,
    ends: &Sender<TaskEnd>,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let Ports { appender, reader, signals, refusals, orders, prober } = ports;
    Ok(vec![
        spawn(TaskName::Produce, shared, ends, produce::run)?,
        spawn(TaskName::Spill, shared, ends, |shared| spill::run(shared, appender, refusals, orders))?,
        spawn(TaskName::Replay, shared, ends, |shared| replay::run(shared, reader))?,
        spawn(TaskName::Breaker, shared, ends, move |shared| breaker::run(shared, &signals, prober))?,
    ])
}

fn spawn(
    name: TaskName,
    shared: &Arc<Shared>,
    ends: &Sender<TaskEnd>,
    run: impl FnOnce(&Shared) + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let (shared, ends) = (Arc::clone(shared), ends.clone());
    let body = move || {
        let end = match catch_unwind(AssertUnwindSafe(|| run(&shared))) {
            Ok(()) => TaskEnd::Finished,
            Err(_) => TaskEnd::Panicked(name),
        };
        shared.pulse.end(name.index());
        // Nobody listens any more only when the daemon was dropped without being waited for.
        let _ = ends.send(end);
    };
    std::thread::Builder::new().name(name.to_string()).spawn(body).map_err(StartError::Thread)
}

fn spawn_stream(
    runtime: &Runtime,
    shared: &Arc<Shared>,
    sources: Vec<Source>,
    sender: queue::Sender,
    ends: Sender<TaskEnd>,
) {
    let task = runtime.spawn(stream::run(Arc::clone(shared), sources, sender));
    let shared = Arc::clone(shared);
    runtime.spawn(async move {
        let end = match task.await {
            Ok(end) => TaskEnd::Stream(end),
            Err(_) => TaskEnd::Panicked(TaskName::Stream),
        };
        shared.pulse.end(TaskName::Stream.index());
        // As above.
        let _ = ends.send(end);
    });
}

/// Records flow without the control socket, too.
fn start_control(dir: &Path, orders: Sender<errand::Order>) -> Option<Control> {
    let started = Control::start(dir, orders);
    if let Err(error) = &started {
        tracing::warn!(
            event = "control_unavailable",
            error = chain(error),
            "no control socket: spool dead retry and drop work only while the daemon is stopped"
        );
    }
    started.ok()
}

/// A number that no other run of this daemon has: the ids that it gives must never name two records.
/// It is the time of the start, but always above the last one, in case that the clock went back.
fn next_run(spool: &Spool) -> Result<String, StartError> {
    let last = spool.meta_get(RUN_KEY).map_err(StartError::Spool)?;
    let last = last.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
    let run = unix_ms().max(last.map_or(0, |last| last + 1));
    spool.meta_put(RUN_KEY, &run.to_le_bytes()).and_then(|()| spool.sync()).map_err(StartError::Spool)?;
    Ok(format!("{run:x}"))
}

fn log_recovery(spool: &Spool) {
    let (stats, found) = (spool.stats(), spool.recovery());
    let took_ms = u64::try_from(found.took.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        event = "spool_open",
        records = stats.records,
        bytes = stats.bytes,
        took_ms,
        "the spool is open"
    );
    if found.position_lost {
        tracing::warn!(
            event = "spool_position_lost",
            records = stats.records,
            "what Kafka has of the spool is not known any more; all that is on disk is sent again"
        );
    }
    if found.torn_bytes > 0 {
        tracing::warn!(
            event = "spool_torn",
            bytes = found.torn_bytes,
            "an unfinished write was cut off the spool; its records were never said to be on disk"
        );
    }
    if found.records_lost > 0 {
        let (frames, segments) = (found.quarantined_frames, found.segments_missing);
        tracing::error!(
            event = "spool_damaged",
            records = found.records_lost,
            frames,
            segments,
            "the spool was damaged and records are lost; the rest is served"
        );
    }
}
