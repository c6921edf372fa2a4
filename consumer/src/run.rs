//! A run: one loop that polls the client, takes records in, and every now and then looks after
//! everything else. The loop never waits for anything but the next record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use tokio::runtime::Runtime;

use crate::activity::Activity;
use crate::background::{Background, Done};
use crate::closing::Closing;
use crate::config::Config;
use crate::control::{Control, Summary, Until};
use crate::drain::Drain;
use crate::engine::Engine;
use crate::error::{Error, is_refusal};
use crate::intake::Intake;
use crate::kafka::{self, Client, Commits, EndsProbe, GroupEvent};
use crate::log::{Header, Put};
use crate::membership::Membership;
use crate::micros;
use crate::notify::Notifier;
use crate::pulse::{self, Heart, Part};
use crate::store::{Requested, Store};
use crate::tables::Tables;
use crate::throttle::Throttle;
use crate::watch;

mod close;
mod ends;
pub(crate) mod names;
mod report;
mod status;

/// How long a poll waits for a record: how soon a wish of [`Control`] is noticed.
const POLL: Duration = Duration::from_millis(50);
/// The same when a drain has read everything and waits for the store.
const POLL_READ: Duration = Duration::from_millis(5);
/// Records taken in before everything else is looked after again.
const RECORDS_PER_TURN: usize = 1000;
/// Reading pauses when the store has not taken a batch for this long, so that memory stays bounded.
const STORE_PATIENCE: Duration = Duration::from_secs(30);
/// Reading pauses when the records that entries are to hold take this much memory, in bytes.
const KEPT_BYTES_PAUSE: usize = 64 << 20;
/// What the store's own threads get to end when the run ends.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// Reads the topic and writes the tables until `control` says to end. Blocks.
///
/// # Errors
/// When it cannot go on; nothing is lost by that, the next run goes on where this one was.
pub fn run(config: Config, control: &Control) -> Result<Summary, Error> {
    let tables = Tables::new(config.tables.clone(), config.archives.clone())?;
    let _served = watch::serve(config.admin.as_ref(), control.watch().clone())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("store")
        .enable_all()
        .build()
        .map_err(Error::Thread)?;
    let result = Run::start(config, tables, control, &runtime).and_then(Run::drive);
    runtime.shutdown_timeout(SHUTDOWN);
    result
}

struct Run<'a> {
    config: Config,
    control: &'a Control,
    heart: Heart,
    client: Arc<Client>,
    probe: EndsProbe,
    commits: Commits,
    membership: Membership,
    intake: Intake,
    engine: Engine,
    activity: Activity,
    background: Background,
    closing: Closing,
    notifier: Notifier,
    drain: Option<Drain>,
    /// How many partitions the topic has; 0 while it is not known, or does not exist.
    total: usize,
    looked_at: Instant,
    /// Something has come of the store's work that the finaliser has not looked at.
    has_news: bool,
    is_paused: bool,
    /// It pauses for the store.
    is_store_away: bool,
    /// The client asked for an offset that a partition does not hold: since when.
    out_of_range: Option<Instant>,
    troubles: Throttle,
    requests: Arc<Requested>,
    /// How many deleted records have been reported.
    reported_missed: u64,
}

impl<'a> Run<'a> {
    fn start(config: Config, tables: Tables, control: &'a Control, runtime: &Runtime) -> Result<Self, Error> {
        let store = Store::open(&config.store)?;
        runtime.block_on(store.probe(&names::of_probe()))?;
        let client = Arc::new(kafka::connect(&config).map_err(Error::Kafka)?);
        let probe = EndsProbe::start(Arc::clone(&client), config.topic.clone(), control.heart(Part::Ends))
            .map_err(Error::Thread)?;
        let commits =
            kafka::start_commits(Arc::clone(&client), config.topic.clone()).map_err(Error::Thread)?;
        let count = tables.list().len() + tables.archives().len();
        tracing::info!(event = "consumer_started", topic = config.topic, group = config.group, store = %config.store.url, tables = count, "reading");
        let handle = runtime.handle().clone();
        handle.spawn(pulse::beat(control.heart(Part::Store)));
        let notifier = Notifier::start(&handle, &config, &store)?;
        Ok(Self {
            heart: control.heart(Part::Read),
            control,
            probe,
            commits,
            membership: Membership::new(&config.topic, &config.group, tables.marks()),
            intake: Intake::new(config.profile),
            activity: Activity::new(config.time.idle_timeout),
            requests: store.requests(),
            background: Background::new(handle, store, &config.topic, tables.clone(), names::facts(&config)),
            closing: Closing::new(tables.list().len(), tables.archives().len()),
            notifier,
            engine: Engine::new(
                tables,
                micros::of(config.time.delay),
                micros::of(config.time.future_tolerance),
            ),
            drain: None,
            total: 0,
            looked_at: Instant::now(),
            has_news: false,
            is_paused: false,
            is_store_away: false,
            out_of_range: None,
            troubles: Throttle::new(5, Duration::from_secs(10)),
            reported_missed: 0,
            client,
            config,
        })
    }

    fn drive(mut self) -> Result<Summary, Error> {
        let result = self.turn_until_ended();
        self.control.publish(self.progress(Instant::now()));
        self.membership.leave(&self.client);
        kafka::close(&self.client);
        let ended = result?;
        if ended == Until::Drained {
            self.notifier.settle();
        }
        Ok(self.summary(ended))
    }

    fn turn_until_ended(&mut self) -> Result<Until, Error> {
        loop {
            self.heart.turn();
            self.read_some()?;
            let now = Instant::now();
            // What is under way with the store either reaches it or is done again by the next owner.
            if self.control.is_stopping() {
                return Ok(Until::Stopped);
            }
            self.group_events();
            self.take_on(now)?;
            self.hear(now)?;
            self.check_parts()?;
            self.ask_for_ends(now)?;
            self.report_missed()?;
            self.close_some(now);
            self.show(now);
            if self.is_drained() {
                return Ok(Until::Drained);
            }
        }
    }

    /// Waits for a record, then takes in what there is, up to a limit.
    fn read_some(&mut self) -> Result<(), Error> {
        let client = Arc::clone(&self.client);
        let mut wait = if self.has_drained_all(Instant::now()) { POLL_READ } else { POLL };
        for _ in 0..RECORDS_PER_TURN {
            match client.poll(wait) {
                None => break,
                // One that was fetched before the partition was taken on anew.
                Some(Ok(message)) if !self.membership.is_reading(message.partition()) => {}
                Some(Ok(message)) => {
                    let now = Instant::now();
                    self.activity.record(message.partition(), now);
                    self.intake.take(&message, &mut self.engine, now);
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => self.activity.at_end(partition),
                Some(Err(error)) => self.trouble(error)?,
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    /// librdkafka mends most of its troubles itself.
    fn trouble(&mut self, error: KafkaError) -> Result<(), Error> {
        let code = error.rdkafka_error_code();
        // librdkafka tells it as any other error, and what it is only when it is asked.
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) || code == Some(RDKafkaErrorCode::Fatal) {
            let cause = self.client.client().fatal_error().map(|(cause, _)| cause);
            return Err(Error::fatal(error, cause, self.config.instance_id.as_deref()));
        }
        if code.is_some_and(is_refusal) {
            let (topic, group) = (self.config.topic.clone(), self.config.group.clone());
            return Err(Error::Refused { topic, group, source: Box::new(error) });
        }
        if code == Some(RDKafkaErrorCode::AutoOffsetReset) {
            self.out_of_range.get_or_insert_with(Instant::now);
            return Ok(());
        }
        let is_unknown =
            matches!(code, Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic));
        if is_unknown && self.control.is_draining() && self.membership.is_empty() {
            return Err(Error::NoTopic { topic: self.config.topic.clone() });
        }
        if let Some(held_back) = self.troubles.pass(Instant::now()) {
            tracing::warn!(event = "kafka_trouble", %error, held_back, "Kafka has trouble; reading goes on when it is over");
        }
        Ok(())
    }

    fn group_events(&mut self) {
        for event in self.client.context().take() {
            match event {
                GroupEvent::Assigned(partitions) => self.membership.assigned(&partitions),
                GroupEvent::Revoked { partitions, lost } => {
                    if lost && !partitions.is_empty() {
                        tracing::warn!(
                            event = "member_expelled",
                            ?partitions,
                            "the group has expelled this member; open windows are read again"
                        );
                    }
                    self.membership.revoked(&partitions, lost);
                    partitions.into_iter().for_each(|partition| self.give_up(partition));
                }
            }
        }
    }

    /// What is not in the partition's log is forgotten; its next owner reads it again.
    fn give_up(&mut self, partition: i32) {
        self.engine.revoke(partition);
        self.activity.forget(partition);
        self.closing.end(partition);
    }

    fn take_on(&mut self, now: Instant) -> Result<(), Error> {
        for (claim, epoch) in self.membership.claim(&self.client, now)? {
            self.background.acquire(claim, epoch);
        }
        for partition in self.membership.step(&self.client, now)? {
            let offset = self.engine.position(partition);
            tracing::info!(event = "partition_taken", partition, offset, "reading");
            self.activity.assign(partition, now);
            self.closing.begin(partition, now);
        }
        Ok(())
    }

    /// Takes in what the store has answered.
    fn hear(&mut self, now: Instant) -> Result<(), Error> {
        while let Some(done) = self.background.take() {
            match done {
                Done::Acquired { partition, epoch, restored } => {
                    let offset = restored.header.resume_offset;
                    if self.membership.acquired(partition, epoch, offset) {
                        self.engine.assign(partition, *restored);
                    }
                }
                Done::Put { epoch, header, put } => {
                    self.has_news = true;
                    self.put(epoch, *header, put);
                }
                Done::Checked { partition, epoch, seq, goes_on } => {
                    let is_as_it_was =
                        self.membership.is_at(partition, epoch) && self.engine.is_resting_at(partition, seq);
                    if goes_on && is_as_it_was {
                        self.begin_anew(partition);
                    }
                }
                Done::Step { finaliser, step } => {
                    let can_go_on = self.closing.stepped(finaliser, step);
                    self.notifier.tell(self.closing.finished());
                    if can_go_on {
                        self.finalise(now);
                    }
                }
                Done::Proposal(newest) => self.has_news |= self.closing.asked(newest),
                Done::Failed(error) => return Err(*error),
            }
        }
        Ok(())
    }

    /// What has panicked outside of the store's work would be missing without a word.
    fn check_parts(&self) -> Result<(), Error> {
        let mut panicked =
            [self.probe.panicked(), self.commits.panicked(), self.notifier.panicked()].into_iter();
        match panicked.find_map(|part| part) {
            Some(part) => Err(Error::Panicked { part }),
            None => Ok(()),
        }
    }

    fn put(&mut self, epoch: u64, header: Header, put: Put) {
        let partition = header.partition;
        if !self.membership.is_at(partition, epoch) {
            return;
        }
        match put {
            Put::Ours => {
                self.engine.logged(header);
                self.closing.put(partition);
            }
            Put::Theirs => self.begin_anew(partition),
        }
    }

    /// Another member has written to the log of a partition that this one owns.
    fn begin_anew(&mut self, partition: i32) {
        tracing::warn!(
            event = "log_conflict",
            partition,
            "another member has written to this partition's log; going on from there"
        );
        self.give_up(partition);
        self.membership.begin_anew(partition);
    }

    fn pause_or_resume(&mut self, now: Instant) {
        let is_stuck = self
            .closing
            .waiting_since()
            .is_some_and(|since| now.saturating_duration_since(since) >= STORE_PATIENCE);
        let is_paused = is_stuck || self.engine.kept_bytes() >= KEPT_BYTES_PAUSE;
        if is_paused == self.is_paused {
            return;
        }
        match kafka::set_paused(&self.client, &self.config.topic, &self.membership.reading(), is_paused) {
            Ok(()) if is_stuck => {
                self.is_store_away = true;
                tracing::warn!(event = "store_away", "the store is too slow or away; reading pauses");
            }
            Ok(()) if std::mem::take(&mut self.is_store_away) => {
                tracing::info!(event = "store_back", "the store takes entries again; reading goes on");
            }
            Ok(()) => tracing::debug!(is_paused, "reading pauses or goes on"),
            Err(error) => {
                tracing::warn!(event = "pause_failed", %error, "reading could not be paused or resumed");
            }
        }
        self.is_paused = is_paused;
    }
}
