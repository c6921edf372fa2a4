//! Breaker: the only writer of the breaker's state. Feeds the pure machine in [`crate::circuit`] with
//! signals and with a regular look at the flow, and has the brokers probed while it is Open.

use std::time::{Duration, Instant};

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::circuit::{Cause, Circuit, Flow, Input, State, Transition};
use crate::kafka::{Prober, Seen, Signal};
use crate::pipeline::Shared;
use crate::shutdown::Phase;
use crate::silence::Silence;
use crate::tasks::{LOOK_EVERY, TaskName};
use crate::topics::{Place, TopicIndex};

const PROBE_WAIT_MIN: Duration = Duration::from_millis(100);
/// After a relapse, although a probe was answered, waits grow to this.
const TRIAL_WAIT_MAX: Duration = Duration::from_secs(2);
/// While sending, how often the topics' partitions are looked at: one may have grown …
const LOOK_AT_TOPIC: Duration = Duration::from_secs(30);
/// … and a partition that is held back may be there again.
const LOOK_AT_HELD: Duration = Duration::from_secs(1);

/// Runs until everything is on disk or in Kafka.
pub(crate) fn run(shared: &Shared, signals: &Receiver<Signal>, prober: Prober) {
    let config = &shared.config.breaker;
    let mut breaker = Breaker {
        shared,
        prober,
        circuit: Circuit::new(config.policy.clone(), Instant::now()),
        probe_waits: waits(config.probe_wait_max),
        trial_waits: waits(TRIAL_WAIT_MAX),
        looked_at: Instant::now(),
        silence: Silence::new(config.policy.partition_timeout),
        topic_at: Instant::now(),
        told: false,
    };
    while shared.shutdown.phase() < Phase::Done {
        shared.turn(TaskName::Breaker);
        breaker.probe_if_due();
        match signals.recv_timeout(LOOK_EVERY) {
            Ok(Signal::Input(input)) => breaker.feed(input),
            Ok(Signal::Probe(answer)) => breaker.heard(answer),
            Ok(Signal::TopicFailed { topic, what }) => breaker.topic_failed(topic, what),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        breaker.look_if_due();
    }
}

fn waits(max: Duration) -> ExponentialBackoff {
    ExponentialBackoff {
        initial_interval: PROBE_WAIT_MIN,
        current_interval: PROBE_WAIT_MIN,
        max_interval: max.max(PROBE_WAIT_MIN),
        multiplier: 1.6,
        randomization_factor: 0.3,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    }
}

struct Breaker<'a> {
    shared: &'a Shared,
    prober: Prober,
    circuit: Circuit,
    probe_waits: ExponentialBackoff,
    trial_waits: ExponentialBackoff,
    looked_at: Instant,
    silence: Silence,
    /// When the topic was last asked for while sending.
    topic_at: Instant,
    /// Whether it was said that Kafka is away since the start.
    told: bool,
}

impl Breaker<'_> {
    fn probe_if_due(&mut self) {
        let now = Instant::now();
        let may_try = !self.is_recall_due();
        if (may_try && self.circuit.take_due_probe(now)) || self.is_topic_due(now) {
            self.topic_at = now;
            self.prober.request();
        }
    }

    /// Whether produce has not taken back yet what was in flight when the breaker opened. On a busy machine
    /// an outage can be over before it has looked: what failed then would wait in the flight for the next.
    fn is_recall_due(&self) -> bool {
        self.circuit.state() == State::Open && self.shared.kafka.session().is_some()
    }

    fn is_topic_due(&self, now: Instant) -> bool {
        let kafka = &self.shared.kafka;
        let held = kafka.gates().is_any_held() || kafka.topics().is_any_unknown();
        let wait = if held { LOOK_AT_HELD } else { LOOK_AT_TOPIC };
        self.circuit.state() != State::Open && now.duration_since(self.topic_at) >= wait
    }

    fn heard(&mut self, answer: Result<Vec<Seen>, String>) {
        let now = Instant::now();
        let open = self.circuit.state() == State::Open;
        let input = match answer {
            Ok(seen) => {
                seen.iter().for_each(|seen| self.saw(seen, open, now));
                // A probe that was asked for before the breaker opened: the next one is due at once.
                if self.is_recall_due() { Input::ProbeFailed { next: now } } else { Input::ProbeAnswered }
            }
            Err(cause) if open => {
                self.tell_probe_failure(&cause);
                Input::ProbeFailed { next: now + next(&mut self.probe_waits) }
            }
            // The deliveries tell how Kafka is.
            Err(cause) => return tracing::debug!(cause, "the topic could not be looked at"),
        };
        self.feed(input);
    }

    fn saw(&self, seen: &Seen, open: bool, now: Instant) {
        let kafka = &self.shared.kafka;
        let names = |places: &[Place]| -> Vec<String> {
            places.iter().map(|place| kafka.topics().describe(*place)).collect()
        };
        let (changes, reason) = match &seen.leaders {
            Ok(led) => (kafka.gates().heard(seen.topic, led, open, now), None),
            Err(reason) => (kafka.gates().missing(seen.topic, open, now), Some(reason)),
        };
        match reason {
            Some(reason) => log_missing(&names(&changes.held), reason),
            None => log_held(&names(&changes.held)),
        }
        log_released(&names(&changes.released));
    }

    /// With one topic that is an outage like any other; with several the topic is held and the others go
    /// on.
    fn topic_failed(&mut self, topic: TopicIndex, what: String) {
        let kafka = &self.shared.kafka;
        if kafka.topics().len() > 1 && kafka.gates().strike_topic(topic, Instant::now()) {
            let name = kafka.topics().describe(Place::whole(topic));
            tracing::error!(
                event = "topic_failed",
                topic = name,
                cause = what,
                "a topic does not take records; they wait on disk and the others go on; check that it exists and that the daemon may write to it"
            );
        }
        self.feed(Input::DeliveryFailed(what));
    }

    /// The breaker starts Open: if Kafka is away then, nothing else would say so.
    fn tell_probe_failure(&mut self, cause: &str) {
        let at_start = !self.shared.breaker.has_spoken();
        if at_start && !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                event = "kafka_unreachable",
                cause,
                "Kafka does not answer; records go to disk until it does"
            );
        } else {
            tracing::debug!(cause, "a probe failed");
        }
    }

    fn look_if_due(&mut self) {
        if self.looked_at.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked_at = Instant::now();
        let flow = flow(self.shared);
        self.feed(Input::Tick(flow));
        self.listen_to_partitions();
    }

    /// Holds back the partitions that do not answer while others do. Their gates are shut before the
    /// breaker opens: what comes back of them then stays on disk.
    fn listen_to_partitions(&mut self) {
        let kafka = &self.shared.kafka;
        let Some(session) = kafka.session().filter(|_| self.circuit.state() != State::Open) else { return };
        let now = Instant::now();
        let silent = self.silence.feed(session.number, &session.flight.partitions(), now);
        if !silent.is_empty() && !self.circuit.is_throttled(now) {
            silent.iter().for_each(|place| kafka.gates().strike(*place, now));
            let names = silent.iter().map(|place| kafka.topics().describe(*place)).collect();
            self.feed(Input::PartitionsSilent(names));
        }
    }

    fn feed(&mut self, input: Input) {
        if let Some(transition) = self.circuit.apply(Instant::now(), input) {
            self.carry_out(&transition);
        }
    }

    fn carry_out(&mut self, transition: &Transition) {
        if transition.to == State::Open {
            self.plan_probes(transition);
            self.suspect_partitions(&transition.cause);
        }
        self.shared.breaker.set(transition);
        self.log(transition);
    }

    /// A silence of all may be that of a few partitions which alone were tried: their first record in a
    /// session keeps the others waiting (ADR 5), or they are being caught up with.
    fn suspect_partitions(&self, cause: &Cause) {
        let Some(session) = self.shared.kafka.session() else { return };
        if matches!(cause, Cause::PartitionsSilent(_)) {
            return;
        }
        let (gates, flows, now) = (self.shared.kafka.gates(), session.flight.partitions(), Instant::now());
        let others_answered = flows.iter().any(|(_, flow)| flow.acked > 0);
        let mut tried = flows.iter().filter(|(_, flow)| flow.in_flight > 0);
        let none_answered = tried.clone().all(|(_, flow)| flow.acked == 0);
        if others_answered && none_answered {
            tried.for_each(|(place, _)| gates.strike(*place, now));
        } else {
            let places: Vec<_> = tried.by_ref().map(|(place, _)| *place).collect();
            gates.strike_if_all_suspect(&places, matches!(cause, Cause::TrialUnanswered), now);
        }
    }

    /// A fresh outage is probed at once and often; a relapse waits longer and longer. When only some
    /// partitions are silent the others need not wait.
    fn plan_probes(&mut self, transition: &Transition) {
        if !transition.relapse {
            self.probe_waits.reset();
            self.trial_waits.reset();
        } else if !matches!(transition.cause, Cause::PartitionsSilent(_)) {
            self.circuit.postpone_probe(Instant::now() + next(&mut self.trial_waits));
        }
    }

    fn log(&self, transition: &Transition) {
        let Transition { to, cause, .. } = transition;
        let (queued, spooled) = (self.shared.queue.records(), self.shared.spool.stats().records);
        let name = cause.name();
        match (to, cause) {
            (State::Open, Cause::PartitionsSilent(_)) => tracing::warn!(
                event = "breaker_open",
                breaker = "open",
                cause = name,
                queued,
                spooled,
                "a part of Kafka is away: {cause}; the others go on at once"
            ),
            (State::Open, _) => tracing::warn!(
                event = "breaker_open",
                breaker = "open",
                cause = name,
                queued,
                spooled,
                "Kafka is away: {cause}; records go to disk"
            ),
            (State::HalfOpen, _) => tracing::info!(
                event = "breaker_half_open",
                breaker = "half_open",
                cause = name,
                queued,
                spooled,
                "trying Kafka: {cause}"
            ),
            (State::Closed, Cause::NothingToTry) if self.shared.breaker.opened() == 0 => {
                tracing::info!(
                    event = "breaker_closed",
                    breaker = "closed",
                    cause = name,
                    queued,
                    spooled,
                    "Kafka is there"
                );
            }
            (State::Closed, _) => tracing::info!(
                event = "breaker_closed",
                breaker = "closed",
                cause = name,
                queued,
                spooled,
                "Kafka is back: {cause}"
            ),
        }
    }
}

fn log_held(partitions: &[String]) {
    if !partitions.is_empty() {
        tracing::warn!(
            event = "partitions_held",
            ?partitions,
            "partitions without a leader are held back; their records wait on disk and the others go on"
        );
    }
}

fn log_missing(partitions: &[String], reason: &str) {
    if !partitions.is_empty() {
        tracing::error!(
            event = "topic_missing",
            ?partitions,
            reason,
            "a topic cannot be used; its records wait on disk and the others go on; create it, or let the daemon see it"
        );
    }
}

fn log_released(partitions: &[String]) {
    if !partitions.is_empty() {
        tracing::info!(
            event = "partitions_released",
            ?partitions,
            "partitions are back; what was kept for them is sent"
        );
    }
}

fn next(waits: &mut ExponentialBackoff) -> Duration {
    waits.next_backoff().unwrap_or(PROBE_WAIT_MIN)
}

/// The flow as it stands.
pub(crate) fn flow(shared: &Shared) -> Flow {
    let counts = shared.ledger.counts();
    let now = Instant::now();
    let mut flow = Flow {
        acked: shared.kafka.acks(),
        received: counts.received,
        queued: shared.queue.records() as u64,
        backlog: shared.spool.stats().records,
        ..Flow::default()
    };
    if let Some(session) = shared.kafka.session() {
        let load = session.flight.load();
        flow.in_flight = (load.direct + load.replay) as u64;
        flow.oldest = session.flight.oldest(now);
        flow.producer_fill = load.fill(shared.kafka.window());
    }
    flow
}
