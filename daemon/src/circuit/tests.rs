//! Tests of the breaker's machine, on a made-up clock.

use super::*;

const TICK: Duration = Duration::from_millis(50);

/// A machine with its clock; `closed()` is one that has just recovered.
struct Rig {
    circuit: Circuit,
    now: Instant,
    flow: Flow,
}

impl Rig {
    fn closed() -> Self {
        let now = Instant::now();
        let mut rig = Self { circuit: Circuit::new(Policy::default(), now), now, flow: Flow::default() };
        assert!(rig.feed(Input::ProbeAnswered).is_some());
        let closing = rig.run(Duration::from_secs(1), |_| {}).unwrap();
        assert_eq!((closing.to, closing.cause), (State::Closed, Cause::NothingToTry));
        rig
    }

    fn feed(&mut self, input: Input) -> Option<Transition> {
        self.circuit.apply(self.now, input)
    }

    /// Ticks for `time`, changing the flow before each tick, until a transition comes.
    fn run(&mut self, time: Duration, mut change: impl FnMut(&mut Flow)) -> Option<Transition> {
        let end = self.now + time;
        while self.now < end {
            self.now += TICK;
            change(&mut self.flow);
            let transition = self.feed(Input::Tick(self.flow));
            if transition.is_some() {
                return transition;
            }
        }
        None
    }
}

#[test]
fn silence_with_records_in_flight_opens_it_and_idleness_does_not() {
    let mut rig = Rig::closed();
    assert_eq!(rig.run(Duration::from_secs(60), |_| {}), None, "idle");
    let start = rig.now;
    rig.flow.in_flight = 1;
    let opening = rig.run(Duration::from_secs(10), |_| {}).unwrap();
    assert!(matches!(opening.cause, Cause::NoAcknowledgement(_)));
    let took = rig.now - start;
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn acknowledgements_keep_it_closed_however_much_is_in_flight() {
    let mut rig = Rig::closed();
    let run = rig.run(Duration::from_secs(60), |flow| {
        flow.in_flight = 1000;
        flow.oldest = Duration::from_millis(800);
        flow.producer_fill = 0.95;
        flow.acked += 1;
        flow.received += 1;
    });
    assert_eq!(run, None);
}

#[test]
fn the_hint_only_shortens_the_wait() {
    let mut rig = Rig::closed();
    rig.feed(Input::AllBrokersDown);
    assert_eq!(
        rig.run(Duration::from_secs(10), |_| {}),
        None,
        "a hint without records in flight is no outage"
    );
    rig.flow.in_flight = 5;
    let start = rig.now;
    assert_eq!(rig.run(Duration::from_secs(10), |_| {}).unwrap().cause, Cause::AllBrokersDown);
    assert!(rig.now - start < Duration::from_secs(1));

    let mut rig = Rig::closed();
    rig.flow.in_flight = 5;
    rig.feed(Input::AllBrokersDown);
    assert_eq!(rig.run(Duration::from_secs(10), |flow| flow.acked += 1), None, "a false hint is forgotten");
}

#[test]
fn a_failed_delivery_or_a_fatal_error_opens_it_at_once() {
    let mut rig = Rig::closed();
    let opening = rig.feed(Input::DeliveryFailed("not enough replicas".into())).unwrap();
    assert_eq!(opening.cause.name(), "delivery_failed");
    let mut rig = Rig::closed();
    assert_eq!(rig.feed(Input::Fatal("fenced".into())).unwrap().cause.name(), "fatal");
}

#[test]
fn a_full_producer_opens_it_sooner_than_silence_and_only_when_nothing_moves() {
    let full = |flow: &mut Flow| {
        flow.in_flight = 100;
        flow.producer_fill = 0.7;
        flow.oldest = Duration::from_secs(5);
    };
    let mut rig = Rig::closed();
    let slow = rig.run(Duration::from_secs(60), |flow| {
        full(flow);
        flow.acked += 1;
        flow.received += 1;
    });
    assert_eq!(slow, None, "a backlog that a slow cluster takes");
    let start = rig.now;
    let opening = rig.run(Duration::from_secs(10), full);
    assert_eq!(opening.unwrap().cause, Cause::ProducerFull);
    assert!(rig.now - start < Duration::from_millis(1_500), "{:?}", rig.now - start);
}

#[test]
fn falling_far_behind_opens_it_and_a_backlog_that_shrinks_does_not() {
    let mut rig = Rig::closed();
    let opening = rig.run(Duration::from_secs(10), |flow| {
        flow.received += 100;
        flow.acked += 5;
        flow.queued += 95;
        flow.in_flight = 10;
    });
    assert_eq!(opening.unwrap().cause, Cause::FallingBehind);

    let mut rig = Rig::closed();
    rig.flow.queued = 1_000_000;
    let steady = rig.run(Duration::from_secs(10), |flow| {
        flow.received += 100;
        flow.acked += 5;
        flow.queued -= 1;
        flow.in_flight = 10;
    });
    assert_eq!(steady, None);
}

#[test]
fn client_errors_open_it_only_in_a_burst_without_acknowledgements() {
    let error = || Input::ClientError("login refused".into());
    let mut rig = Rig::closed();
    for _ in 0..20 {
        rig.feed(error());
    }
    assert_eq!(rig.run(Duration::from_secs(1), |_| {}), None, "nothing waits for them");

    // One dead broker of three: many errors, while the others acknowledge.
    rig.flow.in_flight = 5;
    for _ in 0..20 {
        rig.feed(error());
        assert_eq!(rig.run(Duration::from_millis(100), |flow| flow.acked += 1), None);
    }
    for _ in 0..4 {
        rig.feed(error());
    }
    assert_eq!(rig.run(Duration::from_secs(1), |_| {}), None, "four are no burst");
    rig.feed(error());
    let opening = rig.run(TICK, |_| {}).unwrap();
    assert_eq!(opening.cause, Cause::ErrorRate("login refused".into()));
}

#[test]
fn it_probes_until_answered_then_tries_then_closes() {
    let mut rig = Rig::closed();
    rig.feed(Input::DeliveryFailed("x".into()));
    assert!(rig.circuit.take_due_probe(rig.now));
    assert!(!rig.circuit.take_due_probe(rig.now), "one probe at a time");
    let next = rig.now + Duration::from_millis(400);
    rig.feed(Input::ProbeFailed { next });
    assert!(!rig.circuit.take_due_probe(next - TICK));
    assert!(rig.circuit.take_due_probe(next));
    rig.now = next;
    assert_eq!(rig.feed(Input::ProbeAnswered).unwrap().to, State::HalfOpen);
    rig.flow.in_flight = 3;
    rig.flow.backlog = 100;
    assert_eq!(rig.run(Duration::from_secs(1), |_| {}), None);
    rig.flow.acked += 1;
    let closing = rig.run(TICK, |_| {}).unwrap();
    assert_eq!((closing.to, closing.cause), (State::Closed, Cause::TrialAcknowledged));
}

#[test]
fn an_unanswered_trial_opens_it_again_as_a_relapse() {
    let mut rig = Rig::closed();
    rig.feed(Input::DeliveryFailed("x".into()));
    rig.feed(Input::ProbeAnswered);
    rig.flow.in_flight = 3;
    rig.flow.backlog = 100;
    let opening = rig.run(Duration::from_secs(10), |_| {}).unwrap();
    assert_eq!((opening.cause, opening.relapse), (Cause::TrialUnanswered, true));
}

#[test]
fn only_an_outage_after_a_stable_time_starts_a_fresh_schedule() {
    let mut rig = Rig::closed();
    rig.now += Duration::from_secs(1);
    assert!(rig.feed(Input::DeliveryFailed("x".into())).unwrap().relapse, "it flaps");
    let mut rig = Rig::closed();
    rig.now += Policy::default().stable_after;
    assert!(!rig.feed(Input::DeliveryFailed("x".into())).unwrap().relapse);
}

#[test]
fn silent_partitions_open_it_for_the_moment_that_takes_their_records_back() {
    let mut rig = Rig::closed();
    let opening = rig.feed(Input::PartitionsSilent(vec!["events/3".into()])).unwrap();
    assert_eq!((opening.to, opening.cause), (State::Open, Cause::PartitionsSilent(vec!["events/3".into()])));
    assert_eq!(rig.feed(Input::PartitionsSilent(vec!["events/3".into()])), None, "it is open already");
    assert!(rig.circuit.take_due_probe(rig.now), "the others need not wait");
}

#[test]
fn a_trial_of_which_all_is_held_back_closes_it() {
    let mut rig = Rig::closed();
    rig.feed(Input::PartitionsSilent(vec!["events/3".into()]));
    rig.feed(Input::ProbeAnswered);
    rig.flow.backlog = 10;
    let start = rig.now;
    let closing = rig.run(Duration::from_secs(10), |_| {}).unwrap();
    assert_eq!((closing.to, closing.cause), (State::Closed, Cause::NothingToTry));
    assert!(rig.now - start >= Duration::from_secs(3), "the backlog may only be slow to read");
}

#[test]
fn a_throttled_client_is_slow_and_not_cut_off() {
    let mut rig = Rig::closed();
    let throttled = |rig: &mut Rig| {
        (0..30).find_map(|_| {
            rig.feed(Input::Throttled);
            rig.run(Duration::from_secs(1), |flow| {
                flow.in_flight += 10;
                flow.received += 10;
                flow.producer_fill = 0.9;
                flow.oldest = Duration::from_secs(5);
            })
        })
    };
    assert_eq!(throttled(&mut rig), None);
    let start = rig.now;
    rig.flow.producer_fill = 0.1;
    assert!(rig.run(Duration::from_secs(20), |_| {}).is_some(), "the news is old: now silence counts");
    assert!(rig.now - start < Duration::from_secs(8), "{:?}", rig.now - start);
}
