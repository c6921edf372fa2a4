//! What is outside of the members: the topic, the group's coordinator, the store, and chance.

use std::collections::BTreeMap;

use super::member::Member;
use super::sink::WINDOWS;
use crate::event::{Event, Kind};
use crate::hint::Hint;
use crate::micros::Micros;
use crate::testing::event;
use crate::testing::random::Random;
use crate::testing::store::{Faults, Memory};

pub(super) const SECOND: Micros = 1_000_000;
pub(super) const TOPIC: &str = "events";
const STEPS: usize = 700;

/// One record of a partition; its offset is its place there.
#[derive(Debug, Clone)]
pub(super) struct Rec {
    pub(super) id: String,
    pub(super) secs: i64,
    pub(super) kafka_secs: i64,
    actor: &'static str,
    pub(super) kind: Kind,
    pub(super) city: Option<&'static str>,
    /// `None` is one that cannot be read.
    pub(super) is_event: bool,
}

impl Rec {
    pub(super) fn event(&self) -> Event<'_> {
        let event = event(&self.id, self.secs, self.actor, self.kind);
        match self.city {
            Some(city) => event.at(city, "city"),
            None => event,
        }
    }

    pub(super) fn actor(&self) -> &'static str {
        self.actor
    }
}

/// What may happen in a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) may_idle: bool,
    /// The topic grows up to so many partitions.
    partitions_max: usize,
    /// How often it does, in a thousand steps.
    growth: u64,
    /// A partition begins with events that come so late: as when an outage ends, or a service is new.
    newborn_back_s: u64,
    /// Of the members that lose a partition so many are not told.
    untold_percent: u64,
    /// Events come up to so much after others that happened later.
    disorder_s: u64,
    pub(super) delay_s: i64,
    fault_percent: u64,
}

impl Shape {
    pub(super) const WILD: Self = Self {
        may_idle: true,
        partitions_max: 4,
        growth: 4,
        newborn_back_s: 90,
        untold_percent: 20,
        disorder_s: 90,
        delay_s: 45,
        fault_percent: 15,
    };
    pub(super) const ORDERLY: Self = Self {
        may_idle: false,
        partitions_max: 0,
        growth: 0,
        newborn_back_s: 60,
        untold_percent: 20,
        disorder_s: 60,
        delay_s: 60,
        fault_percent: 15,
    };
    /// The topic grows under open windows, and there is often more than one finaliser.
    pub(super) const GROWING: Self = Self {
        may_idle: true,
        partitions_max: 12,
        growth: 14,
        newborn_back_s: 400,
        untold_percent: 60,
        disorder_s: 60,
        delay_s: 30,
        fault_percent: 10,
    };
}

/// What happened, over all runs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) events: u64,
    pub(super) late: u64,
    pub(super) duplicates: u64,
    pub(super) windows: u64,
    /// Of these, so many were written before everybody calmed down.
    pub(super) early_windows: u64,
    pub(super) entries: u64,
    pub(super) crashes: u64,
    pub(super) zombies: u64,
    pub(super) lost_races: u64,
    pub(super) grown: u64,
    pub(super) retaken_proposals: u64,
    pub(super) faults: Faults,
}

impl Totals {
    pub(super) fn add(&mut self, world: &World) {
        let (of, faults) = (&world.totals, world.store.faults());
        self.events += world.logs.iter().map(|log| log.len() as u64).sum::<u64>();
        self.late += super::oracle::late(world);
        self.duplicates += of.duplicates;
        self.early_windows += of.early_windows;
        self.windows += world.store.below(WINDOWS).len() as u64;
        self.entries += world.store.below("_log/events/p=").len() as u64;
        self.crashes += of.crashes;
        self.zombies += of.zombies;
        self.lost_races += of.lost_races;
        self.grown += of.grown;
        self.retaken_proposals += of.retaken_proposals;
        self.faults.before += faults.before;
        self.faults.after += faults.after;
        self.faults.conflict += faults.conflict;
        self.faults.own_retry += faults.own_retry;
    }
}

/// See the module.
pub(super) struct World {
    pub(super) random: Random,
    pub(super) shape: Shape,
    pub(super) store: Memory,
    pub(super) logs: Vec<Vec<Rec>>,
    /// The event time that producers are at.
    now_s: i64,
    /// What is committed: the offset and the hint.
    pub(super) committed: BTreeMap<i32, (Option<i64>, Hint)>,
    /// Who the coordinator says owns a partition.
    owners: BTreeMap<i32, usize>,
    members: Vec<Option<Member>>,
    pub(super) totals: Totals,
}

impl World {
    pub(super) fn new(seed: u64, shape: Shape) -> Self {
        let mut random = Random::new(seed);
        let partitions = 1 + random.index(3);
        let store = Memory::new(random.next(), shape.fault_percent);
        let mut world = Self {
            random,
            shape,
            store,
            logs: vec![Vec::new(); partitions],
            now_s: 0,
            committed: BTreeMap::new(),
            owners: BTreeMap::new(),
            members: Vec::new(),
            totals: Totals::default(),
        };
        for _ in 0..1 + world.random.index(3) {
            world.members.push(Some(Member::new(shape.delay_s, partitions)));
        }
        world.rebalance();
        world
    }

    pub(super) fn run(&mut self) {
        for _ in 0..STEPS {
            match self.random.below(1000) {
                0..150 => self.produce(),
                150..160 => self.rebalance(),
                160..166 => self.crash(),
                166..172 => self.join(),
                172..180 => self.learn_partitions(),
                180..186 => self.freeze(),
                186..200 => self.assign_new(),
                200..220 if self.random.below(20) < self.shape.growth => self.grow(),
                _ => self.let_one_act(),
            }
        }
    }

    fn produce(&mut self) {
        let p = self.random.index(self.logs.len());
        self.produce_in(p, self.shape.disorder_s);
    }

    fn produce_in(&mut self, p: usize, disorder_s: u64) {
        for _ in 0..1 + self.random.below(8) {
            self.now_s += i64::try_from(self.random.below(12)).unwrap();
            let back = i64::try_from(self.random.below(disorder_s)).unwrap();
            let is_future = self.random.percent(2);
            let rec = Rec {
                id: format!("{p}-{}", self.logs[p].len()),
                secs: if is_future { self.now_s + 100_000 } else { self.now_s - back },
                kafka_secs: self.now_s,
                actor: ["1", "2", "ann", "bob"][self.random.index(4)],
                kind: [Kind::Original, Kind::Repost, Kind::Reply, Kind::Quote][self.random.index(4)],
                city: [None, Some("Oslo"), Some("Rome")][self.random.index(3)],
                is_event: !self.random.percent(2),
            };
            if self.random.percent(10) {
                self.logs[p].push(rec.clone());
            }
            self.logs[p].push(rec);
        }
    }

    /// Deals the partitions out. A member that is not told goes on as if nothing had happened.
    fn rebalance(&mut self) {
        let live: Vec<usize> = (0..self.members.len()).filter(|i| self.members[*i].is_some()).collect();
        let partitions = i32::try_from(self.logs.len()).unwrap();
        for p in 0..partitions {
            let new = live[self.random.index(live.len())];
            let old = self.owners.insert(p, new);
            if old == Some(new) {
                continue;
            }
            if let Some(old) = old.and_then(|old| self.members[old].as_mut()) {
                if old.is_frozen() || self.random.percent(self.shape.untold_percent) {
                    self.totals.zombies += 1;
                } else {
                    old.revoke(p);
                }
            }
            self.take_on(p, new);
        }
    }

    /// Gives partitions that nobody has to somebody; the others stay where they are.
    fn assign_new(&mut self) {
        let live: Vec<usize> = (0..self.members.len()).filter(|i| self.members[*i].is_some()).collect();
        for p in 0..i32::try_from(self.logs.len()).unwrap() {
            if !self.owners.contains_key(&p) {
                let owner = live[self.random.index(live.len())];
                self.owners.insert(p, owner);
                self.take_on(p, owner);
            }
        }
    }

    pub(super) fn take_on(&mut self, p: i32, member: usize) {
        let committed = self.committed.get(&p).copied();
        if let Some(member) = &mut self.members[member] {
            member.take_on(p, committed, &self.store);
        }
    }

    fn crash(&mut self) {
        let member = self.random.index(self.members.len());
        if self.members[member].take().is_some() {
            self.totals.crashes += 1;
            self.owners.retain(|_, owner| *owner != member);
            if self.members.iter().all(Option::is_none) {
                self.join();
            }
            self.rebalance();
        }
    }

    fn join(&mut self) {
        if self.members.iter().flatten().count() < 4 {
            self.members.push(Some(Member::new(self.shape.delay_s, self.logs.len())));
        }
    }

    fn grow(&mut self) {
        if self.logs.len() < self.shape.partitions_max {
            self.logs.push(Vec::new());
            self.totals.grown += 1;
            self.produce_in(self.logs.len() - 1, self.shape.newborn_back_s);
        }
    }

    /// A member's client asks how many partitions there are.
    fn learn_partitions(&mut self) {
        let member = self.random.index(self.members.len());
        if let Some(member) = &mut self.members[member] {
            member.learn_partitions(self.logs.len());
        }
    }

    fn freeze(&mut self) {
        let member = self.random.index(self.members.len());
        if let Some(member) = &mut self.members[member] {
            member.set_frozen(!member.is_frozen());
        }
    }

    fn let_one_act(&mut self) {
        let i = self.random.index(self.members.len());
        let Some(mut member) = self.members[i].take() else { return };
        if !member.is_frozen() {
            member.act(self);
        }
        self.members[i] = Some(member);
    }

    /// The store works, everybody is gone, and one member reads to the end.
    pub(super) fn settle(&mut self) {
        self.store.heal();
        self.totals.early_windows = self.store.below(WINDOWS).len() as u64;
        let mut last = Member::new(self.shape.delay_s, self.logs.len());
        for p in 0..i32::try_from(self.logs.len()).unwrap() {
            last.take_on(p, self.committed.get(&p).copied(), &self.store);
        }
        // Zombies are still about while it does.
        for round in 0..20_000 {
            if round < 2000 {
                self.let_one_act();
            } else {
                self.members.iter_mut().for_each(|member| *member = None);
            }
            last.drain();
            last.act(self);
            if round > 2000 && last.is_drained(self) {
                return;
            }
        }
        panic!("it does not come to an end: {}", last.describe());
    }
}
