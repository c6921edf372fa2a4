//! Which partitions are held back: those without a leader, those whose leader does not answer although
//! others do, and those of a topic that does not exist or refuses us. What belongs to them stays on disk;
//! the rest goes on.
//!
//! Writer: the breaker task. A gate is shut only when the breaker is Open or about to open, so that nothing
//! stays in flight: a record in flight to a partition that is held would never come back. A topic whose
//! partitions are not known is held as a whole. Produce, replay and the status read.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::topics::{Place, TopicIndex, Topics};

/// A partition that did not answer is held at least this long, doubling each time …
const HOLD_MIN: Duration = Duration::from_secs(1);
/// … up to this.
const HOLD_MAX: Duration = Duration::from_secs(60);
/// A partition that has answered for this long starts again with the shortest hold.
const FORGIVEN_AFTER: Duration = Duration::from_secs(120);

/// The gates of all partitions.
#[derive(Debug)]
pub struct Gates {
    topics: Arc<Topics>,
    state: Mutex<State>,
    /// How many are shut. Nearly always 0, which spares each record the lock.
    shut: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    /// By topic and partition.
    gates: Vec<Vec<Gate>>,
    /// Topics that a probe did not find and of which no partition is known.
    missing: BTreeSet<TopicIndex>,
    /// Held places that records from the queue were on their way to.
    wanted: BTreeSet<Place>,
}

#[derive(Debug, Clone, Default)]
struct Gate {
    /// Held, and not to be let go before this.
    held_until: Option<Instant>,
    /// How often it did not answer.
    strikes: u32,
    /// When it last did not.
    silent_at: Option<Instant>,
}

impl Gate {
    fn is_suspect(&self, now: Instant) -> bool {
        self.silent_at.is_some_and(|at| now.duration_since(at) <= FORGIVEN_AFTER)
    }

    fn suspect(&mut self, now: Instant) {
        if !self.is_suspect(now) {
            self.strikes = 0;
        }
        self.silent_at = Some(now);
    }

    fn strike(&mut self, now: Instant) {
        self.suspect(now);
        let hold = HOLD_MIN.saturating_mul(1 << self.strikes.min(6)).min(HOLD_MAX);
        self.strikes += 1;
        self.held_until = Some(now + hold);
    }
}

/// What a look at the leaders changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Newly held.
    pub held: Vec<Place>,
    /// Let go.
    pub released: Vec<Place>,
}

impl State {
    fn topic(&mut self, topic: TopicIndex) -> &mut Vec<Gate> {
        let at = usize::from(topic);
        if self.gates.len() <= at {
            self.gates.resize(at + 1, Vec::new());
        }
        &mut self.gates[at]
    }

    fn gate(&self, place: Place) -> Option<&Gate> {
        self.gates.get(usize::from(place.topic))?.get(usize::try_from(place.partition).ok()?)
    }

    /// The gate of a partition, made if it is new; none for all of a topic.
    fn gate_mut(&mut self, place: Place) -> Option<&mut Gate> {
        let at = usize::try_from(place.partition).ok()?;
        let gates = self.topic(place.topic);
        if gates.len() <= at {
            gates.resize(at + 1, Gate::default());
        }
        gates.get_mut(at)
    }

    fn strike(&mut self, place: Place, now: Instant) {
        self.gate_mut(place).into_iter().for_each(|gate| gate.strike(now));
    }

    fn suspect(&mut self, place: Place, now: Instant) {
        self.gate_mut(place).into_iter().for_each(|gate| gate.suspect(now));
    }

    /// Whether a partition besides these is not held.
    fn leaves_any_open(&self, places: &[Place]) -> bool {
        let is_open = |topic, (partition, gate): (i32, &Gate)| {
            gate.held_until.is_none() && !places.contains(&Place::new(topic, partition))
        };
        (0..).zip(&self.gates).any(|(topic, gates)| (0..).zip(gates).any(|gate| is_open(topic, gate)))
    }

    fn held(&self) -> impl Iterator<Item = Place> {
        let of_topic = |(topic, gates): (TopicIndex, &Vec<Gate>)| -> Vec<Place> {
            let held = (0..).zip(gates).filter(|(_, gate)| gate.held_until.is_some());
            held.map(|(partition, _)| Place::new(topic, partition)).collect()
        };
        let missing = self.missing.iter().map(|topic| Place::whole(*topic));
        (0..).zip(&self.gates).flat_map(of_topic).chain(missing)
    }
}

impl Gates {
    /// All open.
    #[must_use]
    pub fn new(topics: Arc<Topics>) -> Self {
        Self { topics, state: Mutex::default(), shut: AtomicUsize::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each gate is set in single steps: a panic leaves them valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, state: &State) {
        self.shut.store(state.held().count(), Ordering::Release);
    }

    /// Holds a partition that did not answer, the longer the more often it did not.
    pub fn strike(&self, place: Place, now: Instant) {
        let mut state = self.lock();
        state.strike(place, now);
        self.count(&state);
    }

    /// Holds all partitions of a topic that refuses us; returns whether any was not held before. It may say
    /// so of many records at once, which is one refusal.
    pub fn strike_topic(&self, topic: TopicIndex, now: Instant) -> bool {
        let mut state = self.lock();
        let places = (0..self.topics.partitions(topic)).map(|partition| Place::new(topic, partition));
        let is_open = |place: &Place| state.gate(*place).is_none_or(|gate| gate.held_until.is_none());
        let open: Vec<_> = places.filter(is_open).collect();
        open.iter().for_each(|place| state.strike(*place, now));
        self.count(&state);
        !open.is_empty()
    }

    /// Nothing was acknowledged although these partitions had records in flight. If each of them has
    /// kept silent before, they are held: the others have not been tried. Else all of Kafka may be away,
    /// and holding them would only delay its return; but if `suspect`, they are held the next time, since
    /// they may be all that is away and stand before the others each time. One partition is always left:
    /// somebody must find out when Kafka is back.
    pub fn strike_if_all_suspect(&self, in_flight: &[Place], suspect: bool, now: Instant) {
        let mut state = self.lock();
        let is_suspect = |place: &Place| state.gate(*place).is_some_and(|gate| gate.is_suspect(now));
        if in_flight.iter().all(is_suspect) && state.leaves_any_open(in_flight) {
            in_flight.iter().for_each(|place| state.strike(*place, now));
        } else if suspect {
            in_flight.iter().for_each(|place| state.suspect(*place, now));
        }
        self.count(&state);
    }

    /// Takes in which partitions of a topic have a leader: one that has is let go once its time is over.
    /// One that has none is held if `may_hold`.
    pub fn heard(&self, topic: TopicIndex, led: &[bool], may_hold: bool, now: Instant) -> Changes {
        let mut state = self.lock();
        let mut changes = Changes::default();
        if state.missing.remove(&topic) {
            changes.released.push(Place::whole(topic));
        }
        let gates = state.topic(topic);
        // A topic that was made anew may have fewer.
        gates.resize(led.len(), Gate::default());
        for (partition, (gate, led)) in (0..).zip(gates.iter_mut().zip(led)) {
            match (gate.held_until, led) {
                (Some(until), true) if now >= until => {
                    gate.held_until = None;
                    changes.released.push(Place::new(topic, partition));
                }
                (None, false) if may_hold => {
                    gate.held_until = Some(now);
                    changes.held.push(Place::new(topic, partition));
                }
                _ => {}
            }
        }
        self.count(&state);
        changes
    }

    /// Takes in that a topic does not exist or cannot be seen. One of which no partition is known has
    /// nothing in flight, and is held at once.
    pub fn missing(&self, topic: TopicIndex, may_hold: bool, now: Instant) -> Changes {
        let total = usize::try_from(self.topics.partitions(topic)).unwrap_or(0);
        if total > 0 {
            return self.heard(topic, &vec![false; total], may_hold, now);
        }
        let mut state = self.lock();
        let is_new = state.missing.insert(topic);
        self.count(&state);
        Changes { held: is_new.then_some(Place::whole(topic)).into_iter().collect(), released: Vec::new() }
    }

    /// Whether the partition is held. A whole topic is, until its partitions are known.
    #[must_use]
    pub fn is_held(&self, place: Place) -> bool {
        if place.is_whole() {
            return self.topics.partitions(place.topic) == 0;
        }
        self.is_any_held() && self.lock().gate(place).is_some_and(|gate| gate.held_until.is_some())
    }

    /// As [`Self::is_held`], for a record from the queue: while a place is held that such records go to,
    /// the queue must run to disk.
    #[must_use]
    pub fn stops(&self, place: Place) -> bool {
        let held = self.is_held(place);
        if held {
            self.lock().wanted.insert(place);
        }
        held
    }

    /// Whether any place is held that records from the queue were on their way to.
    #[must_use]
    pub fn is_any_wanted(&self) -> bool {
        let wanted = std::mem::take(&mut self.lock().wanted);
        let still: BTreeSet<_> = wanted.into_iter().filter(|place| self.is_held(*place)).collect();
        let any = !still.is_empty();
        self.lock().wanted.extend(still);
        any
    }

    /// The places that are held.
    #[must_use]
    pub fn held(&self) -> Vec<Place> {
        self.lock().held().collect()
    }

    /// Whether any place is held.
    #[must_use]
    pub fn is_any_held(&self) -> bool {
        self.shut.load(Ordering::Acquire) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn gates() -> (Gates, Instant) {
        (Gates::new(Arc::new(Topics::new(["a", "b"]))), Instant::now())
    }

    fn at(partition: i32) -> Place {
        Place::new(0, partition)
    }

    #[test]
    fn a_partition_without_a_leader_is_held_until_it_has_one() {
        let (gates, now) = gates();
        let changes = gates.heard(0, &[true, false, true], true, now);
        assert_eq!(changes, Changes { held: vec![at(1)], released: vec![] });
        assert!(gates.is_held(at(1)) && !gates.is_held(at(0)) && !gates.is_held(at(7)));
        assert!(!gates.is_held(Place::new(1, 1)), "another topic's");
        assert_eq!(gates.heard(0, &[true, false, true], true, now + SECOND), Changes::default());
        assert_eq!(gates.heard(1, &[true, true], true, now + SECOND), Changes::default());
        let changes = gates.heard(0, &[true, true, true], false, now + SECOND);
        assert_eq!(changes, Changes { held: vec![], released: vec![at(1)] });
        assert!(!gates.is_any_held());
        assert_eq!(gates.heard(0, &[false, true, true], false, now), Changes::default(), "only while Open");
    }

    #[test]
    fn a_partition_that_does_not_answer_is_held_longer_each_time_and_forgiven_in_the_end() {
        let (gates, mut now) = gates();
        for hold in [1, 2, 4, 8, 16, 32, 60, 60] {
            gates.strike(at(2), now);
            let almost = now + SECOND * hold - Duration::from_millis(1);
            assert_eq!(gates.heard(0, &[true; 3], true, almost), Changes::default(), "{hold}");
            now += SECOND * hold;
            assert_eq!(gates.heard(0, &[true; 3], true, now).released, [at(2)], "{hold}");
        }
        now += FORGIVEN_AFTER + SECOND;
        gates.strike(at(2), now);
        assert_eq!(gates.heard(0, &[true; 3], true, now + SECOND).released, [at(2)]);
    }

    #[test]
    fn only_suspects_that_are_alone_in_flight_are_held_for_a_silence_of_all() {
        let (gates, now) = gates();
        gates.strike(at(1), now);
        assert_eq!(gates.heard(0, &[true; 3], true, now + SECOND).released, [at(1)]);
        gates.strike_if_all_suspect(&[at(0), at(1)], false, now + SECOND);
        assert!(!gates.is_any_held(), "all of Kafka may be away");
        gates.strike_if_all_suspect(&[at(1)], false, now + SECOND);
        assert_eq!(gates.held(), [at(1)]);
        assert_eq!(
            gates.heard(0, &[true; 3], true, now + SECOND * 2),
            Changes::default(),
            "the second hold is 2 s"
        );
    }

    #[test]
    fn partitions_that_stand_before_the_others_are_held_at_the_second_trial_but_never_all() {
        let (gates, now) = gates();
        gates.heard(0, &[true; 3], true, now);
        gates.strike_if_all_suspect(&[at(0), at(2)], true, now);
        assert!(!gates.is_any_held(), "all of Kafka may be away");
        gates.strike_if_all_suspect(&[at(0), at(2)], true, now + SECOND);
        assert_eq!(gates.held(), [at(0), at(2)]);
        for n in 2..5 {
            gates.strike_if_all_suspect(&[at(1)], true, now + SECOND * n);
        }
        assert_eq!(gates.held(), [at(0), at(2)], "one must be left to try");
        let released = gates.heard(0, &[true; 3], true, now + SECOND * 2).released;
        assert_eq!(released, [at(0), at(2)], "the first hold is 1 s");
    }

    #[test]
    fn a_topic_that_was_made_anew_with_fewer_partitions_forgets_the_others() {
        let (gates, now) = gates();
        gates.heard(0, &[true, true, false], true, now);
        gates.heard(0, &[true], true, now);
        assert_eq!((gates.held(), gates.is_any_held()), (vec![], false));
    }

    #[test]
    fn a_topic_that_is_not_there_is_held_as_a_whole_and_alone() {
        let (gates, now) = gates();
        gates.topics.set_partitions(0, 2);
        gates.heard(0, &[true, true], false, now);
        let whole = Place::whole(1);
        assert_eq!(gates.missing(1, false, now), Changes { held: vec![whole], released: vec![] });
        assert_eq!(gates.missing(1, false, now), Changes::default(), "told once");
        assert!(gates.is_held(whole) && !gates.is_held(at(0)));
        assert_eq!(gates.held(), [whole]);
        // One that was there keeps its partitions.
        assert_eq!(gates.missing(0, false, now), Changes::default(), "something may be in flight");
        assert_eq!(gates.missing(0, true, now).held, [at(0), at(1)]);
        gates.topics.set_partitions(1, 1);
        assert!(!gates.is_held(whole));
        assert_eq!(gates.heard(1, &[true], false, now).released, [whole]);
    }

    #[test]
    fn the_queue_is_stopped_by_a_held_place_only_when_its_records_go_there() {
        let (gates, now) = gates();
        gates.topics.set_partitions(0, 2);
        gates.heard(0, &[true, false], true, now);
        assert!(!gates.stops(at(0)) && !gates.is_any_wanted());
        assert!(gates.stops(at(1)) && gates.stops(Place::whole(1)) && gates.is_any_wanted());
        gates.heard(0, &[true, true], true, now);
        assert!(gates.is_any_wanted(), "the other topic is not known yet");
        gates.topics.set_partitions(1, 1);
        assert!(!gates.is_any_wanted());
    }

    #[test]
    fn a_topic_that_refuses_us_is_held_with_all_its_partitions() {
        let (gates, now) = gates();
        gates.topics.set_partitions(1, 2);
        assert!(gates.strike_topic(1, now));
        assert!(!gates.strike_topic(1, now), "told twice, it is still the first refusal");
        assert_eq!(gates.held(), [Place::new(1, 0), Place::new(1, 1)]);
        assert_eq!(gates.heard(1, &[true, true], true, now + SECOND).released.len(), 2);
    }
}
