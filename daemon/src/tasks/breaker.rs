//! Breaker: the only writer of the breaker's state. Feeds the pure machine in [`crate::circuit`] with
//! signals and with a regular look at the flow, and has the brokers probed while it is Open.

use std::time::{Duration, Instant};

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::circuit::{Cause, Circuit, Flow, Input, State, Transition};
use crate::gates::Changes;
use crate::kafka::{Prober, Signal};
use crate::pipeline::Shared;
use crate::shutdown::Phase;
use crate::silence::Silence;
use crate::tasks::LOOK_EVERY;

const PROBE_WAIT_MIN: Duration = Duration::from_millis(100);
/// After a relapse, although a probe was answered, waits grow to this.
const TRIAL_WAIT_MAX: Duration = Duration::from_secs(2);
/// While sending, how often the topic's partitions are looked at: it may have grown …
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
        breaker.probe_if_due();
        match signals.recv_timeout(LOOK_EVERY) {
            Ok(Signal::Input(input)) => breaker.feed(input),
            Ok(Signal::Probe(answer)) => breaker.heard(answer),
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
        let held = self.shared.kafka.gates().is_any_held();
        let wait = if held { LOOK_AT_HELD } else { LOOK_AT_TOPIC };
        self.circuit.state() != State::Open && now.duration_since(self.topic_at) >= wait
    }

    fn heard(&mut self, answer: Result<Vec<bool>, String>) {
        let now = Instant::now();
        let open = self.circuit.state() == State::Open;
        let input = match answer {
            Ok(led) => {
                let changes = self.shared.kafka.gates().heard(&led, open, now);
                log_gates(&changes);
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
            silent.iter().for_each(|partition| kafka.gates().strike(*partition, now));
            self.feed(Input::PartitionsSilent(silent));
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
        let tried: Vec<_> = (0..flows.len()).filter(|p| flows[*p].in_flight > 0).collect();
        let others_answered = flows.iter().any(|flow| flow.acked > 0);
        if others_answered && tried.iter().all(|p| flows[*p].acked == 0) {
            tried.iter().for_each(|p| gates.strike(*p, now));
        } else {
            gates.strike_if_all_suspect(&tried, matches!(cause, Cause::TrialUnanswered), now);
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
                cause = name,
                queued,
                spooled,
                "a part of Kafka is away: {cause}; the others go on at once"
            ),
            (State::Open, _) => tracing::warn!(
                event = "breaker_open",
                cause = name,
                queued,
                spooled,
                "Kafka is away: {cause}; records go to disk"
            ),
            (State::HalfOpen, _) => tracing::info!(
                event = "breaker_half_open",
                cause = name,
                queued,
                spooled,
                "trying Kafka: {cause}"
            ),
            (State::Closed, Cause::NothingToTry) if self.shared.breaker.opened() == 0 => {
                tracing::info!(event = "breaker_closed", cause = name, queued, spooled, "Kafka is there");
            }
            (State::Closed, _) => tracing::info!(
                event = "breaker_closed",
                cause = name,
                queued,
                spooled,
                "Kafka is back: {cause}"
            ),
        }
    }
}

fn log_gates(changes: &Changes) {
    if !changes.held.is_empty() {
        tracing::warn!(
            event = "partitions_held",
            partitions = ?changes.held,
            "partitions without a leader are held back; their records wait on disk and the others go on"
        );
    }
    if !changes.released.is_empty() {
        tracing::info!(
            event = "partitions_released",
            partitions = ?changes.released,
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
