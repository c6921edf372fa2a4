//! Breaker: the only writer of the breaker's state. Feeds the pure machine in [`crate::circuit`] with
//! signals and with a regular look at the flow, and has the brokers probed while it is Open.

use std::time::{Duration, Instant};

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;
use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::circuit::{Cause, Circuit, Flow, Input, State, Transition};
use crate::kafka::{Prober, Signal};
use crate::pipeline::Shared;
use crate::shutdown::Phase;
use crate::tasks::LOOK_EVERY;

const PROBE_WAIT_MIN: Duration = Duration::from_millis(100);
/// After a trial that failed although the probe was answered, waits grow to this.
const TRIAL_WAIT_MAX: Duration = Duration::from_secs(2);

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
}

impl Breaker<'_> {
    fn probe_if_due(&mut self) {
        if self.circuit.take_due_probe(Instant::now()) {
            self.prober.request();
        }
    }

    fn heard(&mut self, answer: Result<(), String>) {
        let input = match answer {
            Ok(()) => Input::ProbeAnswered,
            Err(cause) => {
                tracing::debug!(cause, "a probe failed");
                Input::ProbeFailed { next: Instant::now() + next(&mut self.probe_waits) }
            }
        };
        self.feed(input);
    }

    fn look_if_due(&mut self) {
        if self.looked_at.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked_at = Instant::now();
        let flow = flow(self.shared);
        self.feed(Input::Tick(flow));
    }

    fn feed(&mut self, input: Input) {
        if let Some(transition) = self.circuit.apply(Instant::now(), input) {
            self.carry_out(&transition);
        }
    }

    fn carry_out(&mut self, transition: &Transition) {
        if transition.to == State::Open {
            self.plan_probes(transition);
        }
        self.shared.breaker.set(transition);
        self.log(transition);
    }

    /// A fresh outage is probed at once and often; a relapse waits longer and longer.
    fn plan_probes(&mut self, transition: &Transition) {
        if !transition.relapse {
            self.probe_waits.reset();
            self.trial_waits.reset();
        } else if transition.from == State::HalfOpen {
            self.circuit.postpone_probe(Instant::now() + next(&mut self.trial_waits));
        }
    }

    fn log(&self, transition: &Transition) {
        let Transition { to, cause, .. } = transition;
        let (queued, spooled) = (self.shared.queue.records(), self.shared.spool.stats().records);
        let name = cause.name();
        match (to, cause) {
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
