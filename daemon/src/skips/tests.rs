//! The books of replay against a model of the spool, the producer and the partitions: each partition must
//! see the first copies of its records in order, and nothing may be called done that is not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;

const PARTITIONS: i32 = 4;

fn partition(seq: u64) -> i32 {
    i32::try_from(seq * 7 / 3 % 4).unwrap()
}

#[test]
fn a_held_partition_does_not_stop_the_others_and_catches_up_in_order() {
    let mut skips = Skips::new(1);
    let held = |p: i32| p == 1;
    let parts = |seq: u64| Some(i32::from(seq.is_multiple_of(2)));
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
    assert_eq!((skips.floor(None), skips.meet(6, Some(1), none)), (6, Step::Send));
}

#[test]
fn a_record_of_an_unknown_partition_is_sent_once() {
    let mut skips = Skips::new(1);
    assert_eq!(skips.meet(1, None, |_| true), Step::Send);
    skips.sent(1);
    assert_eq!(skips.meet(2, Some(0), |_| true), Step::Pass);
    skips.begin_pass(1, |_| false);
    assert_eq!(skips.meet(1, None, |_| false), Step::Pass);
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
    Down(i32),
    Up(i32),
    /// An outage: what is in flight is recalled, some of it having been stored.
    Recall(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (1..20_u64).prop_map(Event::Append),
        6 => (1..12_usize).prop_map(Event::Read),
        5 => (1..12_usize).prop_map(Event::Ack),
        1 => (0..PARTITIONS).prop_map(Event::Down),
        2 => (0..PARTITIONS).prop_map(Event::Up),
        1 => (0..6_usize).prop_map(Event::Recall),
    ]
}

struct World {
    skips: Skips,
    tail: u64,
    position: u64,
    acknowledged: u64,
    down: BTreeSet<i32>,
    in_flight: VecDeque<u64>,
    done: BTreeSet<u64>,
    recalled_front: Option<u64>,
    /// Records that were sent although they were done.
    again: u64,
    stored: BTreeMap<i32, Vec<u64>>,
}

impl World {
    fn new() -> Self {
        Self {
            skips: Skips::new(1),
            tail: 1,
            position: 1,
            acknowledged: 1,
            down: BTreeSet::new(),
            in_flight: VecDeque::new(),
            done: BTreeSet::new(),
            recalled_front: None,
            again: 0,
            stored: BTreeMap::new(),
        }
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Append(n) => self.tail += n,
            Event::Read(n) => (0..n).for_each(|_| self.read()),
            Event::Ack(n) => self.ack(n),
            Event::Down(p) => {
                self.down.insert(p);
                // Replay may meet a few more records before the recall.
                self.read();
                self.recall(0);
            }
            Event::Up(p) => drop(self.down.remove(&p)),
            Event::Recall(stored) => self.recall(stored),
        }
        self.acknowledge();
    }

    fn acknowledge(&mut self) {
        let front = self.in_flight.front().copied().or(self.recalled_front);
        let floor = self.skips.floor(front);
        for seq in self.acknowledged..floor {
            assert!(self.done.contains(&seq), "{seq} was called done");
        }
        self.acknowledged = self.acknowledged.max(floor);
    }

    fn read(&mut self) {
        let down = self.down.clone();
        let held = |p: i32| down.contains(&p);
        if self.skips.wants_pass(held) {
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
        if self.skips.meet(seq, Some(partition(seq)), held) == Step::Send {
            assert!(!held(partition(seq)));
            self.again += u64::from(self.done.contains(&seq));
            self.in_flight.push_back(seq);
            self.skips.sent(seq);
        }
        self.position += 1;
    }

    fn store(&mut self, seq: u64) {
        self.stored.entry(partition(seq)).or_default().push(seq);
    }

    fn ack(&mut self, n: usize) {
        for _ in 0..n {
            let Some(at) = self.in_flight.iter().position(|s| !self.down.contains(&partition(*s))) else {
                return;
            };
            let Some(seq) = self.in_flight.remove(at) else { return };
            self.store(seq);
            self.done.insert(seq);
        }
    }

    fn recall(&mut self, stored: usize) {
        let lost: Vec<u64> = self.in_flight.drain(..).collect();
        let up = lost.iter().copied().filter(|s| !self.down.contains(&partition(*s)));
        let kept: Vec<u64> = up.take(stored).collect();
        kept.into_iter().for_each(|seq| self.store(seq));
        let mut back = Recalled::default();
        lost.iter().for_each(|seq| back.add(*seq, Some(partition(*seq))));
        self.recalled_front = back.front;
        self.skips.recalled(&back);
        self.acknowledge();
        self.recalled_front = None;
        self.position = self.acknowledged;
        let down = self.down.clone();
        self.skips.begin_pass(self.position, |p| down.contains(&p));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_partition_gets_all_in_order_whatever_happens(events in proptest::collection::vec(event(), 1..80)) {
        let mut world = World::new();
        events.iter().for_each(|event| world.apply(event));
        world.down.clear();
        for _ in 0..10_000 {
            if world.acknowledged == world.tail && !world.skips.is_any_owed() {
                break;
            }
            world.apply(&Event::Read(8));
            world.apply(&Event::Ack(8));
        }
        prop_assert_eq!(world.acknowledged, world.tail, "everything is done in the end");
        prop_assert!(!world.skips.is_any_owed());
        if !events.iter().any(|event| matches!(event, Event::Down(_))) {
            prop_assert_eq!(world.again, 0, "an outage of all repeats only what was in flight");
        }
        for (p, seqs) in &world.stored {
            let mut firsts: Vec<u64> = Vec::new();
            for seq in seqs {
                if !firsts.contains(seq) {
                    firsts.push(*seq);
                }
            }
            let expected: Vec<u64> = (1..world.tail).filter(|s| partition(*s) == *p).collect();
            prop_assert_eq!(&firsts, &expected, "partition {}", p);
        }
    }
}
