//! A run: one loop that polls the client, takes records in, and every now and then looks after
//! everything else. The loop never waits for anything but the next record.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use tokio::runtime::Runtime;

use crate::activity::Activity;
use crate::close::{Closer, Ports};
use crate::config::Config;
use crate::control::{Control, Progress, Summary, TableSummary, Until};
use crate::drain::Drain;
use crate::engine::Engine;
use crate::error::{Error, is_refusal};
use crate::intake::Intake;
use crate::kafka::{self, Client, Commits, EndsProbe, GroupEvent};
use crate::membership::Membership;
use crate::micros;
use crate::store::Store;
use crate::tables::Tables;
use crate::throttle::Throttle;
use crate::writer::Writer;

/// How long a poll waits for a record: how soon a wish of [`Control`] is noticed.
const POLL: Duration = Duration::from_millis(50);
/// Records taken in before everything else is looked after again.
const RECORDS_PER_TURN: usize = 1000;
/// How often the partitions' ends are asked for.
const ENDS_INTERVAL: Duration = Duration::from_secs(5);
/// The same when a window waits for the answer.
const ENDS_INTERVAL_URGENT: Duration = Duration::from_millis(500);
/// Reading pauses when the store has not taken a batch for this long, so that memory stays bounded.
const STORE_PATIENCE: Duration = Duration::from_secs(30);
/// What a close step that is under way gets to end when the run is told to stop.
const STOP_GRACE: Duration = Duration::from_secs(3);
/// What the store's own threads get to end when the run ends.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// Reads the topic and writes the tables until `control` says to end. Blocks.
///
/// # Errors
/// When it cannot go on; nothing is lost by that, the next run goes on where this one was.
pub fn run(config: Config, control: &Control) -> Result<Summary, Error> {
    let tables = Tables::new(config.tables.clone())?;
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
    client: Arc<Client>,
    probe: EndsProbe,
    commits: Commits,
    membership: Membership,
    intake: Intake,
    engine: Engine,
    activity: Activity,
    writer: Writer,
    facts: Vec<(&'static str, String)>,
    closer: Closer,
    drain: Option<Drain>,
    looked_at: Instant,
    stopping_since: Option<Instant>,
    is_paused: bool,
    troubles: Throttle,
    /// How many deleted records have been reported.
    reported_missed: u64,
}

impl<'a> Run<'a> {
    fn start(config: Config, tables: Tables, control: &'a Control, runtime: &Runtime) -> Result<Self, Error> {
        let store = Store::open(&config.store)?;
        runtime.block_on(store.probe(&probe_name()))?;
        let client = Arc::new(kafka::connect(&config).map_err(Error::Kafka)?);
        let probe = EndsProbe::start(Arc::clone(&client), config.topic.clone()).map_err(Error::Thread)?;
        let commits =
            kafka::start_commits(Arc::clone(&client), config.topic.clone()).map_err(Error::Thread)?;
        tracing::info!(topic = config.topic, group = config.group, store = %config.store.url, tables = tables.list().len(), "reading");
        Ok(Self {
            control,
            probe,
            commits,
            membership: Membership::new(&config.topic, &config.group),
            intake: Intake::new(config.profile),
            activity: Activity::new(config.time.idle_timeout),
            writer: Writer::new(runtime.handle().clone(), store, tables.list().into()),
            facts: facts(&config),
            closer: Closer::new(tables.list().len()),
            engine: Engine::new(
                tables,
                micros::of(config.time.delay),
                micros::of(config.time.future_tolerance),
            ),
            drain: None,
            looked_at: Instant::now(),
            stopping_since: None,
            is_paused: false,
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
        Ok(self.summary(ended))
    }

    fn turn_until_ended(&mut self) -> Result<Until, Error> {
        loop {
            self.read_some()?;
            let now = Instant::now();
            if self.control.is_stopping() && self.may_stop(now) {
                return Ok(Until::Stopped);
            }
            self.group_events()?;
            self.take_on(now)?;
            self.ask_for_ends(now);
            self.report_missed();
            self.close_some(now)?;
            self.control.publish(self.progress(now));
            if self.drain.as_ref().is_some_and(Drain::is_done) {
                return Ok(Until::Drained);
            }
        }
    }

    /// A close step that is under way had better end: else its objects are only compared next time.
    fn may_stop(&mut self, now: Instant) -> bool {
        let asked = *self.stopping_since.get_or_insert(now);
        self.closer.is_open() || now.saturating_duration_since(asked) >= STOP_GRACE
    }

    /// Waits for a record, then takes in what there is, up to a limit.
    fn read_some(&mut self) -> Result<(), Error> {
        let client = Arc::clone(&self.client);
        let mut wait = POLL;
        for _ in 0..RECORDS_PER_TURN {
            match client.poll(wait) {
                None => break,
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
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            return Err(Error::Kafka(error));
        }
        let code = error.rdkafka_error_code();
        if code.is_some_and(is_refusal) {
            let (topic, group) = (self.config.topic.clone(), self.config.group.clone());
            return Err(Error::Refused { topic, group, source: Box::new(error) });
        }
        let is_unknown =
            matches!(code, Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic));
        if is_unknown && self.control.is_draining() && self.membership.owned().is_empty() {
            return Err(Error::NoTopic { topic: self.config.topic.clone() });
        }
        if let Some(held_back) = self.troubles.pass(Instant::now()) {
            tracing::warn!(%error, held_back, "Kafka has trouble; reading goes on when it is over");
        }
        Ok(())
    }

    fn group_events(&mut self) -> Result<(), Error> {
        for event in self.client.context().take() {
            match event {
                GroupEvent::Assigned(partitions) => self.membership.assigned(&partitions),
                GroupEvent::Revoked { partitions, lost } => {
                    self.membership.revoked(&partitions, lost)?;
                    if !partitions.is_empty() {
                        tracing::warn!(
                            ?partitions,
                            "the group has expelled this member; open windows are read again"
                        );
                        self.engine.reset();
                        self.activity.clear();
                        self.closer.reset();
                        // Begins anew with the partitions.
                        self.drain = None;
                    }
                }
            }
        }
        Ok(())
    }

    fn take_on(&mut self, now: Instant) -> Result<(), Error> {
        let Some(restored) = self.membership.step(&self.client, now)? else { return Ok(()) };
        for (partition, left) in &restored {
            match left.offset {
                Some(offset) => tracing::debug!(partition, offset, "reading on"),
                None => tracing::info!(partition, "no offset is committed; reading from the start"),
            }
            self.activity.assign(*partition, now);
        }
        self.engine.assign(restored);
        for (table, start) in self.engine.finaliser().incomplete() {
            let table = &self.config.tables[table].name;
            let window_start = micros::show(start);
            tracing::warn!(table, window_start, "a window began before what is read again; it is left out");
        }
        Ok(())
    }

    /// Asks for the partitions' ends, and takes the answers in.
    fn ask_for_ends(&mut self, now: Instant) {
        if let Some(round) = self.probe.answers() {
            for (partition, ends) in round {
                if let Some(ends) = ends {
                    self.engine.starts_at(partition, ends.low);
                }
                self.activity.asked(partition, ends);
            }
        }
        let is_urgent = match &self.drain {
            Some(drain) => !drain.knows_ends(),
            None => self.engine.behind().any(|partition| self.activity.is_silent(partition, now)),
        };
        let pause = if is_urgent { ENDS_INTERVAL_URGENT } else { ENDS_INTERVAL };
        self.probe.ask(self.membership.owned(), now, pause);
    }

    fn report_missed(&mut self) {
        let missed = self.engine.tally().missed;
        if missed > self.reported_missed {
            let records = missed - self.reported_missed;
            tracing::error!(
                records,
                "Kafka has deleted records that were not read yet; they are in no table"
            );
            self.reported_missed = missed;
        }
    }

    /// Closes windows whose time has come.
    fn close_some(&mut self, now: Instant) -> Result<(), Error> {
        let mut ports = Ports { commits: &mut self.commits, writer: &self.writer, facts: &self.facts };
        self.closer.step(&mut self.engine, &mut ports, now)?;
        if self.control.is_draining() && self.drain.is_none() {
            self.drain = Some(Drain::new(now));
        }
        let may_begin =
            self.closer.is_open() && self.membership.is_complete() && self.stopping_since.is_none();
        let is_time = now.saturating_duration_since(self.looked_at) >= self.config.time.close_interval;
        let (engine, activity) = (&mut self.engine, &self.activity);
        match &mut self.drain {
            _ if !may_begin => {}
            Some(drain) => drain.step(engine, activity, &mut self.closer, &ports, now),
            None if is_time => {
                self.looked_at = now;
                let frontier = engine.frontier(|p| activity.is_idle(p, engine.position(p), now));
                match frontier.filter(|through| engine.is_due(*through)) {
                    Some(through) => self.closer.begin(through, engine, &ports, now),
                    None if self.closer.is_commit_due(now) => self.closer.begin_commit(),
                    None => {}
                }
            }
            None => {}
        }
        self.pause_or_resume(now);
        Ok(())
    }

    fn pause_or_resume(&mut self, now: Instant) {
        let is_stuck = self
            .closer
            .writing_since()
            .is_some_and(|since| now.saturating_duration_since(since) >= STORE_PATIENCE);
        if is_stuck == self.is_paused {
            return;
        }
        match kafka::set_paused(&self.client, &self.config.topic, &self.membership.owned(), is_stuck) {
            Ok(()) if is_stuck => tracing::warn!("the store is too slow or away; reading pauses"),
            Ok(()) => tracing::info!("the store takes objects again; reading goes on"),
            Err(error) => tracing::warn!(%error, "reading could not be paused or resumed"),
        }
        self.is_paused = is_stuck;
    }

    fn progress(&self, now: Instant) -> Progress {
        let tally = self.engine.tally();
        let sum = |of: fn(&crate::writer::Written) -> u64| self.closer.written().iter().map(of).sum();
        let left = |partition: i32, next: Option<i64>| {
            let ends = self.activity.ends(partition, now)?;
            u64::try_from(ends.high - next.unwrap_or(ends.low)).ok().or(Some(0))
        };
        let is_complete = self.membership.is_complete();
        Progress {
            read: tally.read,
            events: tally.counted,
            late: tally.late,
            duplicates: tally.duplicates,
            replayed: tally.replayed,
            quarantined: tally.quarantined,
            notices: tally.notices,
            missed: tally.missed,
            objects: sum(|w| w.objects),
            rows: sum(|w| w.rows),
            objects_found: sum(|w| w.found),
            newest_event: self.engine.newest(),
            frontier: self.engine.finaliser().written_through(),
            lag: if is_complete {
                self.engine.positions().map(|(p, next)| left(p, next)).sum()
            } else {
                None
            },
            partitions: self.engine.partition_count(),
        }
    }

    fn summary(&self, ended: Until) -> Summary {
        let tables = self.config.tables.iter().zip(self.closer.written());
        Summary {
            ended,
            progress: self.progress(Instant::now()),
            tables: tables
                .map(|(table, w)| TableSummary {
                    table: table.name.clone(),
                    objects: w.objects,
                    rows: w.rows,
                    objects_found: w.found,
                })
                .collect(),
        }
    }
}

/// What every object's metadata says.
fn facts(config: &Config) -> Vec<(&'static str, String)> {
    vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("profile", config.profile.name().to_owned()),
        ("topic", config.topic.clone()),
        ("delay_ms", config.time.delay.as_millis().to_string()),
    ]
}

/// A name that no other probe has: two runs must not take each other's probe for their own.
fn probe_name() -> String {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let salt = RandomState::new().hash_one(std::process::id());
    format!("{}-{salt:016x}", since_1970.as_micros())
}
