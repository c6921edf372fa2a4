//! The circuit breaker as a pure machine: no I/O, no clock of its own, no randomness.
//!
//! ```text
//!   Closed --(a signal of an outage)--> Open --(a probe answered)--> HalfOpen --(trial acknowledged)--> Closed
//!                                        ^  \--(probe failed)--> wait, probe again        |
//!                                        +------------(trial failed or unanswered)--------+
//! ```
//!
//! Closed means healthy and sending, Open refusing to send, HalfOpen probing with a trickle of real
//! records. The caller feeds it [`Input`]s with the time and carries out what [`Circuit::apply`]
//! returns. Waits between probes come from the caller's schedule, so that jitter stays outside.
//!
//! What opens it, each alone: see [`Cause`]. A flap is damped: a circuit that opens again within
//! [`Policy::stable_after`] of closing keeps its probe schedule growing (`Transition::relapse`).

mod cause;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub use cause::Cause;

/// How long the news that the brokers throttle us counts; they come once a second while it lasts.
const THROTTLE_NEWS: Duration = Duration::from_secs(3);

/// The breaker's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Healthy and sending.
    Closed,
    /// Refusing to send.
    Open,
    /// Probing with a trickle of real records.
    HalfOpen,
}

/// When signals count as an outage.
#[derive(Debug, Clone)]
pub struct Policy {
    /// No acknowledgement for this long while something is in flight.
    pub ack_timeout: Duration,
    /// The same once librdkafka has said that all brokers are down: a hint shortens the wait.
    pub hint_timeout: Duration,
    /// Share of the producer's queue, 0 to 1, that is an outage when nothing of it moves.
    pub fill: f64,
    /// For how long nothing must have been acknowledged for a full producer queue to be an outage.
    pub fill_age: Duration,
    /// Window over which publish rate and stream rate are compared.
    pub rate_window: Duration,
    /// A publish rate below this share of the stream rate, while the queue grows, is an outage.
    pub rate_ratio: f64,
    /// This many client errors within `error_window` without an acknowledgement are an outage.
    pub error_burst: usize,
    /// Window of `error_burst`.
    pub error_window: Duration,
    /// How long acknowledgements must have been missing for a burst of errors to count: one dead broker
    /// of three reports many, too.
    pub error_silence: Duration,
    /// A partition with records in flight and no acknowledgement for this long, while others are
    /// acknowledged, is held back.
    pub partition_timeout: Duration,
    /// How long a trial may stay unanswered in HalfOpen.
    pub trial_timeout: Duration,
    /// How long HalfOpen waits for something to try with before it closes on the probe's word.
    pub trial_idle: Duration,
    /// Closed for this long counts as recovered: the next outage starts a fresh probe schedule.
    pub stable_after: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            ack_timeout: Duration::from_secs(3),
            hint_timeout: Duration::from_millis(500),
            fill: 0.7,
            fill_age: Duration::from_secs(1),
            rate_window: Duration::from_secs(5),
            rate_ratio: 0.1,
            error_burst: 5,
            error_window: Duration::from_secs(10),
            error_silence: Duration::from_millis(250),
            partition_timeout: Duration::from_secs(5),
            trial_timeout: Duration::from_secs(3),
            trial_idle: Duration::from_millis(300),
            stable_after: Duration::from_secs(30),
        }
    }
}

/// What the machine is fed with.
#[derive(Debug, Clone)]
pub enum Input {
    /// The regular look at the flow.
    Tick(Flow),
    /// A delivery failed in a way that concerns all records.
    DeliveryFailed(String),
    /// The producer reported a fatal error.
    Fatal(String),
    /// A client error that is no verdict on its own: a transport failure, a refused login.
    ClientError(String),
    /// These partitions do not answer while others do, and are held back from now on.
    PartitionsSilent(Vec<String>),
    /// librdkafka's hint. It comes once, may be false, and has no counterpart.
    AllBrokersDown,
    /// The brokers make us wait, for a quota, and said so a moment ago: slow is not away.
    Throttled,
    /// A probe was answered.
    ProbeAnswered,
    /// A probe failed; the next one is due at this time.
    ProbeFailed {
        /// When to probe again.
        next: Instant,
    },
}

/// The flow as it stands; the totals only grow.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flow {
    /// Records handed to the producer and not reported yet.
    pub in_flight: u64,
    /// Age of the oldest of them.
    pub oldest: Duration,
    /// Share of the producer's queue in use, 0 to 1.
    pub producer_fill: f64,
    /// Records acknowledged since the start.
    pub acked: u64,
    /// Records received since the start.
    pub received: u64,
    /// Records waiting in memory.
    pub queued: u64,
    /// Records waiting on disk.
    pub backlog: u64,
}

/// A change of state, to be carried out, logged and counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// State before.
    pub from: State,
    /// State after.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// Opened again before it had been stable: the probe schedule goes on where it was.
    pub relapse: bool,
}

/// The machine.
#[derive(Debug)]
pub struct Circuit {
    policy: Policy,
    state: State,
    since: Instant,
    next_probe: Instant,
    closed_at: Option<Instant>,
    /// Last time that an acknowledgement came or nothing was in flight.
    progress_at: Instant,
    acked: u64,
    hint: bool,
    throttled_at: Option<Instant>,
    errors: VecDeque<Instant>,
    last_error: String,
    samples: VecDeque<(Instant, Flow)>,
}

impl Circuit {
    /// A machine that starts Open with a probe due at once: nothing is sent before Kafka answered.
    #[must_use]
    pub fn new(policy: Policy, now: Instant) -> Self {
        Self {
            policy,
            state: State::Open,
            since: now,
            next_probe: now,
            closed_at: None,
            progress_at: now,
            acked: 0,
            hint: false,
            throttled_at: None,
            errors: VecDeque::new(),
            last_error: String::new(),
            samples: VecDeque::new(),
        }
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether a probe should be started now; it is then not due until it has failed.
    pub fn take_due_probe(&mut self, now: Instant) -> bool {
        let due = self.state == State::Open && now >= self.next_probe;
        if due {
            // Far enough that a lost answer cannot stop the probing for good.
            self.next_probe = now + Duration::from_secs(30);
        }
        due
    }

    /// Puts the next probe off until `at`.
    pub fn postpone_probe(&mut self, at: Instant) {
        self.next_probe = at;
    }

    /// Feeds one input; returns the change it causes, if any.
    pub fn apply(&mut self, now: Instant, input: Input) -> Option<Transition> {
        match (self.state, input) {
            (_, Input::Fatal(what)) => self.open(now, Cause::Fatal(what)),
            (State::Closed | State::HalfOpen, Input::DeliveryFailed(what)) => {
                self.open(now, Cause::DeliveryFailed(what))
            }
            (State::Closed | State::HalfOpen, Input::PartitionsSilent(which)) => {
                self.open(now, Cause::PartitionsSilent(which))
            }
            (State::Closed, Input::Tick(flow)) => self.watch(now, flow),
            (State::HalfOpen, Input::Tick(flow)) => self.judge_trial(now, flow),
            (_, Input::Throttled) => {
                self.throttled_at = Some(now);
                None
            }
            (State::Closed, Input::AllBrokersDown) => {
                self.hint = true;
                None
            }
            (State::Closed | State::HalfOpen, Input::ClientError(what)) => {
                self.count_error(now, what);
                None
            }
            (State::Open, Input::ProbeAnswered) => {
                Some(self.shift(now, State::HalfOpen, Cause::ProbeAnswered))
            }
            (State::Open, Input::ProbeFailed { next }) => {
                self.next_probe = next;
                None
            }
            (State::Open, Input::Tick(flow)) => {
                self.note_progress(now, flow);
                None
            }
            (
                State::Open,
                Input::DeliveryFailed(_)
                | Input::ClientError(_)
                | Input::AllBrokersDown
                | Input::PartitionsSilent(_),
            )
            | (State::HalfOpen, Input::AllBrokersDown)
            | (State::Closed | State::HalfOpen, Input::ProbeAnswered | Input::ProbeFailed { .. }) => None,
        }
    }

    /// Returns whether acknowledgements came since the last look.
    fn note_progress(&mut self, now: Instant, flow: Flow) -> bool {
        let acked = flow.acked > self.acked;
        if acked || flow.in_flight == 0 || self.is_throttled(now) {
            self.progress_at = now;
            // One dead broker of three keeps reporting; while nothing waits for it that is no outage.
            self.errors.clear();
        }
        if acked {
            self.hint = false;
        }
        self.acked = flow.acked;
        acked
    }

    fn watch(&mut self, now: Instant, flow: Flow) -> Option<Transition> {
        self.note_progress(now, flow);
        let silent = now.duration_since(self.progress_at);
        if self.hint && silent >= self.policy.hint_timeout {
            return self.open(now, Cause::AllBrokersDown);
        }
        if self.is_burst_of_errors(silent) {
            return self.open(now, Cause::ErrorRate(self.last_error.clone()));
        }
        if silent >= self.policy.ack_timeout {
            return self.open(now, Cause::NoAcknowledgement(silent));
        }
        if self.is_throttled(now) {
            return None;
        }
        // Full alone says little: a backlog fills it all the time. Full and silent is an outage.
        let stuck = flow.oldest >= self.policy.fill_age && silent >= self.policy.fill_age;
        if flow.producer_fill >= self.policy.fill && stuck {
            return self.open(now, Cause::ProducerFull);
        }
        if self.is_falling_behind(now, flow) {
            return self.open(now, Cause::FallingBehind);
        }
        None
    }

    /// Whether the brokers have said a moment ago that they make us wait.
    #[must_use]
    pub fn is_throttled(&self, now: Instant) -> bool {
        self.throttled_at.is_some_and(|at| now.duration_since(at) < THROTTLE_NEWS)
    }

    #[expect(clippy::cast_precision_loss, reason = "rates of a few seconds are far below 2^52")]
    fn is_falling_behind(&mut self, now: Instant, flow: Flow) -> bool {
        while self.samples.front().is_some_and(|(at, _)| now.duration_since(*at) > self.policy.rate_window) {
            self.samples.pop_front();
        }
        self.samples.push_back((now, flow));
        let Some((start, before)) = self.samples.front() else { return false };
        // A window that is not nearly full says little.
        if now.duration_since(*start) < self.policy.rate_window.mul_f64(0.9) {
            return false;
        }
        let received = flow.received.saturating_sub(before.received) as f64;
        let published = flow.acked.saturating_sub(before.acked) as f64;
        let waiting = flow.in_flight + flow.queued;
        waiting > before.in_flight + before.queued
            && received > 0.0
            && published < received * self.policy.rate_ratio
    }

    fn count_error(&mut self, now: Instant, what: String) {
        while self.errors.front().is_some_and(|at| now.duration_since(*at) > self.policy.error_window) {
            self.errors.pop_front();
        }
        self.errors.push_back(now);
        self.last_error = what;
    }

    fn is_burst_of_errors(&self, silent: Duration) -> bool {
        self.errors.len() >= self.policy.error_burst && silent >= self.policy.error_silence
    }

    fn judge_trial(&mut self, now: Instant, flow: Flow) -> Option<Transition> {
        let acked = self.note_progress(now, flow);
        if acked {
            return Some(self.shift(now, State::Closed, Cause::TrialAcknowledged));
        }
        let silent = now.duration_since(self.progress_at);
        if self.is_burst_of_errors(silent) {
            return self.open(now, Cause::ErrorRate(self.last_error.clone()));
        }
        if silent >= self.policy.trial_timeout {
            return self.open(now, Cause::TrialUnanswered);
        }
        let waited = now.duration_since(self.since);
        let idle = flow.in_flight == 0 && flow.backlog == 0 && waited >= self.policy.trial_idle;
        // A backlog of which nothing is tried: all of it belongs to partitions that are held back.
        let held_back = flow.in_flight == 0 && waited >= self.policy.trial_timeout;
        if idle || held_back {
            return Some(self.shift(now, State::Closed, Cause::NothingToTry));
        }
        None
    }

    fn open(&mut self, now: Instant, cause: Cause) -> Option<Transition> {
        if self.state == State::Open {
            return None;
        }
        self.next_probe = now;
        Some(self.shift(now, State::Open, cause))
    }

    fn shift(&mut self, now: Instant, to: State, cause: Cause) -> Transition {
        let stable = self.closed_at.is_some_and(|at| now.duration_since(at) >= self.policy.stable_after);
        let relapse =
            to == State::Open && (self.state == State::HalfOpen || (self.state == State::Closed && !stable));
        let from = std::mem::replace(&mut self.state, to);
        self.since = now;
        self.progress_at = now;
        self.hint = false;
        self.errors.clear();
        self.samples.clear();
        if to == State::Closed {
            self.closed_at = Some(now);
        }
        Transition { from, to, cause, relapse }
    }
}

#[cfg(test)]
mod tests;
