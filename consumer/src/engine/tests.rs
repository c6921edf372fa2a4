//! The engine against a naive recount: whatever the order in which partitions are read, wherever a run
//! ends and the next begins, the final tables are those of a batch job over the events that were on
//! time. The store and the committed offsets are simulated.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::event::Kind;
use crate::micros;
use crate::tables::{Filter, GroupBy, Table};
use crate::testing::event;

const SECOND: Micros = 1_000_000;

/// One record of a partition's log; its offset is its place there.
#[derive(Debug, Clone)]
struct Entry {
    id: String,
    secs: i64,
    actor: &'static str,
    kind: Kind,
    city: Option<&'static str>,
}

impl Entry {
    fn event(&self) -> Event<'_> {
        let event = event(&self.id, self.secs, self.actor, self.kind);
        match self.city {
            Some(city) => event.at(city, "city"),
            None => event,
        }
    }
}

fn tables() -> Tables {
    let city = Filter { place_type: Some("city".into()) };
    Tables::new(vec![
        Table::new("minutes", Duration::from_secs(60), GroupBy::None, Filter::default()),
        Table::new("cities", Duration::from_secs(180), GroupBy::Place, city),
    ])
    .unwrap()
}

fn engine(delay_s: i64) -> Engine {
    Engine::new(tables(), delay_s * SECOND, 600 * SECOND)
}

/// What is in the store: rows as `group: values`, by table and window start.
type Store = BTreeMap<(usize, Micros), Vec<(String, Vec<i64>)>>;

/// Kafka and the store, which survive a run.
#[derive(Debug, Default)]
struct World {
    logs: Vec<Vec<Entry>>,
    store: Store,
    committed: BTreeMap<i32, Restored>,
    /// Offsets of events that a run found late.
    late: BTreeSet<(i32, i64)>,
}

/// One run over the world.
struct Sim {
    engine: Engine,
    next: Vec<usize>,
}

impl World {
    fn start(&self, delay_s: i64) -> Sim {
        let mut engine = engine(delay_s);
        let left = |p: i32| self.committed.get(&p).cloned().unwrap_or_default();
        let partitions = i32::try_from(self.logs.len()).unwrap();
        let restored: BTreeMap<_, _> = (0..partitions).map(|p| (p, left(p))).collect();
        let next = restored.values().map(|r| usize::try_from(r.offset.unwrap_or(0)).unwrap()).collect();
        engine.assign(restored);
        for p in 0..partitions {
            engine.starts_at(p, 0);
        }
        Sim { engine, next }
    }

    /// Reads one record of partition `p`, if there is one.
    fn read(&mut self, sim: &mut Sim, p: usize) -> Option<Verdict> {
        let entry = self.logs[p].get(sim.next[p])?;
        let partition = i32::try_from(p).unwrap();
        let offset = i64::try_from(sim.next[p]).unwrap();
        let record = Record { offset, id: Some(entry.id.as_bytes()), timestamp: entry.secs * SECOND };
        let verdict = sim.engine.event(partition, record, &entry.event());
        if verdict == Some(Verdict::Late) {
            self.late.insert((partition, offset));
        }
        sim.next[p] += 1;
        verdict
    }

    /// Reads up to `n` records of partition `p`.
    fn read_some(&mut self, sim: &mut Sim, p: usize, n: usize) {
        for _ in 0..n {
            self.read(sim, p);
        }
    }

    fn commit(&mut self, sim: &Sim) {
        for commit in sim.engine.commits() {
            // What is stored is text: so a checkpoint that does not survive as text shows here.
            let text = commit.checkpoint.to_metadata().unwrap();
            let checkpoint = Checkpoint::from_metadata(&text).unwrap().unwrap();
            let before = self.committed.get(&commit.partition).and_then(|r| r.offset).unwrap_or(0);
            assert!(commit.resume_offset >= before, "progress never goes back");
            self.committed
                .insert(commit.partition, Restored { offset: Some(commit.resume_offset), checkpoint });
        }
    }

    /// One close step; the run dies after `survives` of its four parts.
    fn close(&mut self, sim: &mut Sim, through: Micros, survives: usize) -> bool {
        let is_decided = sim.engine.close(through);
        if is_decided && survives < 1 {
            return false;
        }
        if is_decided {
            self.commit(sim);
        }
        let plan = sim.engine.plan(through);
        let written = if survives < 2 { plan.len() / 2 } else { plan.len() };
        for window in &plan[..written] {
            let rows: Vec<_> =
                window.rows.iter().map(|row| (row.group.clone(), row.values.clone())).collect();
            let present = self.store.entry((window.table, window.start)).or_insert_with(|| rows.clone());
            assert_eq!(
                *present, rows,
                "a final object would change: table {} at {}",
                window.table, window.start
            );
        }
        if survives < 3 {
            return false;
        }
        sim.engine.finalised(through);
        self.commit(sim);
        survives > 3
    }

    fn drain(&mut self, sim: &mut Sim) {
        for p in 0..self.logs.len() {
            while self.read(sim, p).is_some() {}
        }
        if let Some(through) = sim.engine.end_of_input() {
            assert!(self.close(sim, through, 4));
        }
    }

    /// A batch job over all events but the late ones: knows nothing of panes, watermarks or partials.
    fn recount(&self) -> Store {
        let mut events: BTreeMap<&str, &Entry> = BTreeMap::new();
        for (p, log) in self.logs.iter().enumerate() {
            for (offset, entry) in log.iter().enumerate() {
                if !self.late.contains(&(i32::try_from(p).unwrap(), i64::try_from(offset).unwrap())) {
                    events.insert(&entry.id, entry);
                }
            }
        }
        let mut store: BTreeMap<(usize, Micros), BTreeMap<String, Vec<&Entry>>> = BTreeMap::new();
        for entry in events.values() {
            let minute = entry.secs.div_euclid(60) * 60 * SECOND;
            store.entry((0, minute)).or_default().entry(String::new()).or_default().push(entry);
            if let Some(city) = entry.city {
                let three = entry.secs.div_euclid(180) * 180 * SECOND;
                store.entry((1, three)).or_default().entry(city.to_owned()).or_default().push(entry);
            }
        }
        let count = |n: usize| i64::try_from(n).unwrap();
        let row = |(group, of): (String, Vec<&Entry>)| {
            let actors: HashSet<_> = of.iter().map(|e| e.actor).collect();
            let reposts = of.iter().filter(|e| e.kind == Kind::Repost).count();
            let referencing = of.iter().filter(|e| e.kind != Kind::Original).count();
            (group, vec![count(of.len()), count(reposts), count(referencing), count(actors.len())])
        };
        store.into_iter().map(|(window, groups)| (window, groups.into_iter().map(row).collect())).collect()
    }
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    /// Up to so many records of one partition are read.
    Read(usize, usize),
    /// Windows behind the frontier are closed; partitions at their end may be taken for idle. The run
    /// dies within it when the number is below 4.
    Close { idle: bool, survives: usize },
    /// The run ends, and another begins.
    Restart,
}

fn entry() -> impl Strategy<Value = Entry> {
    let kind = prop_oneof![Just(Kind::Original), Just(Kind::Repost), Just(Kind::Reply), Just(Kind::Quote)];
    let city = prop_oneof![Just(None), Just(Some("Oslo")), Just(Some("Rome"))];
    let actor = prop_oneof![Just("1"), Just("2"), Just("ann"), Just("bob")];
    (0..900_i64, actor, kind, city).prop_map(|(secs, actor, kind, city)| Entry {
        id: String::new(),
        secs,
        actor,
        kind,
        city,
    })
}

/// Logs of partitions: roughly ordered by time, and some entries twice, under the same id.
fn logs() -> impl Strategy<Value = Vec<Vec<Entry>>> {
    let log = (prop::collection::vec((entry(), 0..90_i64, prop::bool::weighted(0.1)), 0..60)).prop_map(
        |mut entries| {
            entries.sort_by_key(|(entry, jitter, _)| entry.secs + jitter);
            let doubled = entries.into_iter().flat_map(|(entry, _, twice)| {
                std::iter::repeat_n(entry, if twice { 2 } else { 1 }).enumerate()
            });
            let mut number = 0;
            let with_id = |(copy, entry): (usize, Entry)| {
                number += usize::from(copy == 0);
                Entry { id: number.to_string(), ..entry }
            };
            doubled.map(with_id).collect::<Vec<_>>()
        },
    );
    prop::collection::vec(log, 1..4).prop_map(|mut logs: Vec<Vec<Entry>>| {
        for (p, log) in logs.iter_mut().enumerate() {
            log.iter_mut().for_each(|entry| entry.id = format!("{p}-{}", entry.id));
        }
        logs
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0..3_usize, 1..20_usize).prop_map(|(p, n)| Step::Read(p, n)),
        3 => (any::<bool>(), prop_oneof![3 => Just(4_usize), 1 => 0..4_usize]).prop_map(|(idle, survives)| Step::Close { idle, survives }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..60)
}

fn play(logs: Vec<Vec<Entry>>, steps: &[Step], delay_s: i64) -> World {
    let mut world = World { logs, ..World::default() };
    let mut sim = world.start(delay_s);
    for step in steps {
        match *step {
            Step::Read(p, n) => {
                let p = p % world.logs.len();
                world.read_some(&mut sim, p, n);
            }
            Step::Close { idle, survives } => {
                let at_end =
                    |p: i32| idle && usize::try_from(p).is_ok_and(|p| sim.next[p] >= world.logs[p].len());
                let through = sim.engine.frontier(at_end).filter(|through| sim.engine.is_due(*through));
                if let Some(through) = through
                    && !world.close(&mut sim, through, survives)
                {
                    sim = world.start(delay_s);
                }
            }
            Step::Restart => sim = world.start(delay_s),
        }
    }
    world.drain(&mut sim);
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn final_tables_are_those_of_a_batch_job(logs in logs(), steps in steps(), delay_s in prop_oneof![Just(0_i64), Just(60), Just(90)]) {
        let world = play(logs, &steps, delay_s);
        prop_assert_eq!(&world.store, &world.recount());
    }

    #[test]
    fn nothing_is_late_when_the_delay_covers_the_disorder(logs in logs(), steps in steps()) {
        // Without idle partitions, lateness depends on the records alone.
        let steps: Vec<_> = steps.into_iter().map(|step| match step {
            Step::Close { survives, .. } => Step::Close { idle: false, survives },
            other => other,
        }).collect();
        let world = play(logs, &steps, 90);
        prop_assert!(world.late.is_empty(), "{:?}", world.late);
    }

    #[test]
    fn every_record_has_one_verdict(logs in logs(), steps in steps()) {
        let records: usize = logs.iter().map(Vec::len).sum();
        let steps: Vec<_> = steps.into_iter().filter(|step| matches!(step, Step::Read(..) | Step::Close { survives: 4, .. })).collect();
        let mut world = World { logs, ..World::default() };
        let mut sim = world.start(0);
        for step in &steps {
            if let Step::Read(p, n) = step {
                let p = p % world.logs.len();
                world.read_some(&mut sim, p, *n);
            }
        }
        world.drain(&mut sim);
        let Tally { read, counted, late, duplicates, replayed, quarantined, notices, missed } = sim.engine.tally();
        prop_assert_eq!(missed, 0);
        prop_assert_eq!(read, records as u64);
        prop_assert_eq!(read, counted + late + duplicates + replayed + quarantined + notices);
        prop_assert_eq!(late, world.late.len() as u64);
    }
}

mod cases;
