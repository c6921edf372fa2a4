//! The books of replay against a model of the spool, the producer and the topics: each partition must
//! see the first copies of its records in order, and nothing may be called done that is not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;

fn at(partition: i32) -> Placed {
    Placed { place: Place::new(0, partition), total: 2 }
}

#[test]
fn a_held_partition_does_not_stop_the_others_and_catches_up_in_order() {
    let mut skips = Skips::new(1);
    let held = |p: Place| p.partition == 1;
    let parts = |seq: u64| Some(at(i32::from(seq.is_multiple_of(2))));
    let steps: Vec<_> = (1..=5).map(|s| skips.meet(s, parts(s), held)).collect();
    assert_eq!(steps, [Step::Send, Step::Pass, Step::Send, Step::Pass, Step::Send]);
    skips.sent(5);
    assert_eq!(skips.floor(None), 2, "the first owed record is not done");
    assert!(skips.is_any_owed() && !skips.wants_pass(held));
    let none = |_| false;
    assert!(skips.wants_pass(none));
    skips.begin_pass(2, none);
    let steps: Vec<_> = (2..=5).map(|s| skips.meet(s, parts(s), none)).collect();
    assert_eq!(steps, [Step::Send, Step::Pass, Step::Send, Step::Pass]);
    assert!(skips.is_at_barrier(6));
    skips.end_catching_up();
    assert!(!skips.is_any_owed());
    assert_eq!((skips.floor(None), skips.meet(6, Some(at(1)), none)), (6, Step::Send));
}

#[test]
fn a_record_of_an_unknown_partition_is_sent_once() {
    let mut skips = Skips::new(1);
    assert_eq!(skips.meet(1, None, |_| true), Step::Send);
    skips.sent(1);
    assert_eq!(skips.meet(2, Some(at(0)), |_| true), Step::Pass);
    skips.begin_pass(1, |_| false);
    assert_eq!(skips.meet(1, None, |_| false), Step::Pass);
}

#[test]
fn what_a_topic_is_owed_before_it_exists_is_sent_when_it_does() {
    let mut skips = Skips::new(1);
    let unknown = Placed { place: Place::whole(1), total: 0 };
    let none = |_: Place| false;
    let is_unknown = |place: Place| place.is_whole();
    assert_eq!(skips.meet(1, Some(unknown), is_unknown), Step::Pass);
    assert_eq!(skips.meet(2, Some(at(0)), is_unknown), Step::Send);
    skips.sent(2);
    assert_eq!(skips.meet(3, Some(unknown), is_unknown), Step::Pass);
    assert_eq!((skips.floor(None), skips.wants_pass(is_unknown)), (1, false));
    // The topic is there, but one of its partitions has no leader.
    let known = |partition| Some(Placed { place: Place::new(1, partition), total: 2 });
    let held = |place: Place| place == Place::new(1, 1);
    assert_eq!(skips.meet(4, known(0), held), Step::Pass, "not before those that came first");
    skips.begin_pass(1, held);
    assert_eq!(skips.meet(1, known(0), held), Step::Send);
    skips.sent(1);
    assert_eq!(skips.meet(2, Some(at(0)), held), Step::Pass);
    assert_eq!(skips.meet(3, known(1), held), Step::Pass);
    assert_eq!(skips.meet(4, known(0), held), Step::Send);
    skips.sent(4);
    assert!(skips.is_at_barrier(5));
    skips.end_catching_up();
    assert_eq!((skips.floor(None), skips.wants_pass(held), skips.wants_pass(none)), (1, false, true));
}

#[test]
fn a_topic_that_grows_while_a_partition_is_held_or_something_is_in_flight_loses_nothing() {
    let placed = |partition, total| Some(Placed { place: Place::new(0, partition), total });
    let none = |_: Place| false;
    let mut skips = Skips::new(1);
    assert_eq!(skips.meet(1, placed(0, 1), none), Step::Send);
    skips.sent(1);
    assert_eq!(skips.meet(2, placed(1, 2), none), Step::Send);
    skips.sent(2);
    let mut back = Recalled::default();
    back.add(1, Some(Place::new(0, 0)));
    skips.recalled(&back);
    skips.begin_pass(1, none);
    assert_eq!(skips.meet(1, placed(1, 2), none), Step::Send, "it belongs to another partition now");
}

/// Topics, the last of which does not exist at first.
const TOPICS: u16 = 3;
/// Highest number of partitions.
const PARTITIONS: i32 = 4;

fn topic(seq: u64) -> TopicIndex {
    TopicIndex::try_from(seq * 5 / 3 % u64::from(TOPICS)).unwrap()
}

#[derive(Debug, Clone)]
enum Event {
    /// The spool grows.
    Append(u64),
    /// Replay reads on.
    Read(usize),
    /// Kafka acknowledges the first records in flight of each partition that is up.
    Ack(usize),
    /// The partition goes down: held, and the session is recalled.
    Down(Place),
    Up(Place),
    /// An outage: what is in flight is recalled, some of it having been stored.
    Recall(usize),
    /// The last topic is made.
    Make,
    /// A topic has another number of partitions from now on.
    Renumber(TopicIndex, i32),
}

fn place() -> impl Strategy<Value = Place> {
    (0..TOPICS, 0..PARTITIONS).prop_map(|(topic, partition)| Place::new(topic, partition))
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1..20_u64).prop_map(Event::Append),
        12 => (1..12_usize).prop_map(Event::Read),
        10 => (1..12_usize).prop_map(Event::Ack),
        2 => place().prop_map(Event::Down),
        4 => place().prop_map(Event::Up),
        2 => (0..6_usize).prop_map(Event::Recall),
        1 => Just(Event::Make),
        1 => (0..TOPICS, 1..=PARTITIONS).prop_map(|(topic, total)| Event::Renumber(topic, total)),
    ]
}

struct World {
    skips: Skips,
    tail: u64,
    position: u64,
    acknowledged: u64,
    totals: Vec<i32>,
    down: BTreeSet<Place>,
    /// With the place to which each was sent.
    in_flight: VecDeque<(u64, Place)>,
    done: BTreeSet<u64>,
    recalled_front: Option<u64>,
    /// Records that were sent although they were done.
    again: u64,
    stored: BTreeMap<Place, Vec<u64>>,
}

impl World {
    fn new() -> Self {
        Self {
            skips: Skips::new(1),
            tail: 1,
            position: 1,
            acknowledged: 1,
            totals: vec![PARTITIONS, 2, 0],
            down: BTreeSet::new(),
            in_flight: VecDeque::new(),
            done: BTreeSet::new(),
            recalled_front: None,
            again: 0,
            stored: BTreeMap::new(),
        }
    }

    fn placed(&self, seq: u64) -> Placed {
        let topic = topic(seq);
        let total = self.totals[usize::from(topic)];
        let place = match i32::try_from(seq * 7 / 3).unwrap().checked_rem(total) {
            Some(partition) => Place::new(topic, partition),
            None => Place::whole(topic),
        };
        Placed { place, total }
    }

    /// What is held, as the gates say it.
    fn held(&self) -> impl Fn(Place) -> bool + use<> {
        let (down, totals) = (self.down.clone(), self.totals.clone());
        move |place| match place.is_whole() {
            true => totals[usize::from(place.topic)] == 0,
            false => down.contains(&place),
        }
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Append(n) => self.tail += n,
            Event::Read(n) => (0..n).for_each(|_| self.read()),
            Event::Ack(n) => self.ack(n),
            Event::Make => self.totals[2] = self.totals[2].max(3),
            Event::Renumber(topic, total) => {
                let now = &mut self.totals[usize::from(topic)];
                *now = if *now == 0 { 0 } else { total };
            }
            Event::Down(place) => {
                self.down.insert(place);
                // Replay may meet a few more records before the recall.
                self.read();
                self.recall(0);
            }
            Event::Up(place) => drop(self.down.remove(&place)),
            Event::Recall(stored) => self.recall(stored),
        }
        self.acknowledge();
    }

    fn acknowledge(&mut self) {
        let front = self.in_flight.front().map(|(seq, _)| *seq).or(self.recalled_front);
        let floor = self.skips.floor(front);
        for seq in self.acknowledged..floor {
            assert!(self.done.contains(&seq), "{seq} was called done");
        }
        self.acknowledged = self.acknowledged.max(floor);
    }

    fn read(&mut self) {
        let held = self.held();
        if self.skips.wants_pass(&held) {
            if self.in_flight.is_empty() {
                self.position = self.acknowledged;
                self.skips.begin_pass(self.position, held);
            }
            return;
        }
        if self.skips.is_at_barrier(self.position) {
            if self.in_flight.is_empty() {
                self.skips.end_catching_up();
            }
            return;
        }
        if self.position >= self.tail {
            return;
        }
        let seq = self.position;
        let placed = self.placed(seq);
        if self.skips.meet(seq, Some(placed), &held) == Step::Send {
            assert!(!held(placed.place) && !placed.place.is_whole());
            self.again += u64::from(self.done.contains(&seq));
            self.in_flight.push_back((seq, placed.place));
            self.skips.sent(seq);
        }
        self.position += 1;
    }

    fn store(&mut self, (seq, place): (u64, Place)) {
        self.stored.entry(place).or_default().push(seq);
    }

    fn ack(&mut self, n: usize) {
        for _ in 0..n {
            let Some(at) = self.in_flight.iter().position(|(_, place)| !self.down.contains(place)) else {
                return;
            };
            let Some(sent) = self.in_flight.remove(at) else { return };
            self.store(sent);
            self.done.insert(sent.0);
        }
    }

    fn recall(&mut self, stored: usize) {
        let lost: Vec<(u64, Place)> = self.in_flight.drain(..).collect();
        let up = lost.iter().copied().filter(|(_, place)| !self.down.contains(place));
        let kept: Vec<_> = up.take(stored).collect();
        kept.into_iter().for_each(|sent| self.store(sent));
        let mut back = Recalled::default();
        lost.iter().for_each(|(seq, place)| back.add(*seq, Some(*place)));
        self.recalled_front = back.front;
        self.skips.recalled(&back);
        self.acknowledge();
        self.recalled_front = None;
        self.position = self.acknowledged;
        self.skips.begin_pass(self.position, self.held());
    }
}

/// Nothing may be wrong any more, and everything must come to an end.
fn recover(world: &mut World) {
    world.down.clear();
    world.apply(&Event::Make);
    for _ in 0..10_000 {
        if world.acknowledged == world.tail && !world.skips.is_any_owed() {
            break;
        }
        world.apply(&Event::Read(8));
        world.apply(&Event::Ack(8));
    }
}

fn assert_order(world: &World) {
    for (place, seqs) in &world.stored {
        let mut firsts: Vec<u64> = Vec::new();
        for seq in seqs {
            if !firsts.contains(seq) {
                firsts.push(*seq);
            }
        }
        let expected: Vec<u64> = (1..world.tail).filter(|s| world.placed(*s).place == *place).collect();
        assert_eq!(&firsts, &expected, "{place:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_partition_gets_all_in_order_whatever_happens(events in proptest::collection::vec(event(), 1..80)) {
        let mut world = World::new();
        events.iter().for_each(|event| world.apply(event));
        recover(&mut world);
        prop_assert_eq!(world.acknowledged, world.tail, "everything is done in the end");
        prop_assert!(!world.skips.is_any_owed());
        let stored: BTreeSet<u64> = world.stored.values().flatten().copied().collect();
        prop_assert_eq!(stored, (1..world.tail).collect(), "each record is in some partition of its topic");
        let renumbers = events.iter().any(|event| matches!(event, Event::Renumber(..)));
        let holds = events.iter().any(|event| matches!(event, Event::Down(_)));
        if !renumbers && !holds {
            prop_assert_eq!(world.again, 0, "an outage of all repeats only what was in flight");
        }
        // Other partitions for the same records: then no order is promised, only that nothing is lost.
        if !renumbers {
            assert_order(&world);
        }
    }
}
