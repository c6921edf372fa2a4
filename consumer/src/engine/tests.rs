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

fn at(id: &str, secs: i64) -> Entry {
    Entry { id: id.to_owned(), secs, actor: "ann", kind: Kind::Original, city: None }
}

fn world(logs: Vec<Vec<Entry>>) -> World {
    World { logs, ..World::default() }
}

#[test]
fn the_frontier_waits_for_the_slowest_partition() {
    let mut world = world(vec![vec![at("a", 0), at("b", 200)], vec![at("c", 70)]]);
    let mut sim = world.start(0);
    world.read(&mut sim, 0);
    world.read(&mut sim, 0);
    assert_eq!(sim.engine.frontier(|_| false), None, "nothing is known of partition 1");
    assert_eq!(sim.engine.behind().collect::<Vec<_>>(), [1]);
    world.read(&mut sim, 1);
    assert_eq!(sim.engine.frontier(|_| false), Some(60 * SECOND));
    assert_eq!(sim.engine.frontier(|p| p == 1), Some(180 * SECOND));
    assert_eq!(sim.engine.frontier(|p| p == 0), Some(60 * SECOND));
    assert_eq!(sim.engine.frontier(|_| true), Some(180 * SECOND), "when all are silent, the furthest counts");
}

#[test]
fn an_event_for_a_window_closed_as_idle_is_late_also_after_a_crash() {
    let logs = vec![vec![at("a", 0), at("b", 500)], vec![at("c", 10), at("d", 20)]];
    let mut world = world(logs);
    let mut sim = world.start(0);
    world.read(&mut sim, 0);
    world.read(&mut sim, 0);
    world.read(&mut sim, 1);
    // Partition 1 is taken for idle; the run dies when everything is written and nothing committed.
    let through = sim.engine.frontier(|p| p == 1).unwrap();
    assert!(!world.close(&mut sim, through, 2));
    let mut sim = world.start(0);
    assert_eq!(world.read(&mut sim, 1), Some(Verdict::Counted), "c counts again");
    assert_eq!(world.read(&mut sim, 1), Some(Verdict::Late), "d came after the decision");
    world.drain(&mut sim);
    assert_eq!(world.store, world.recount());
}

#[test]
fn after_a_restart_what_is_final_is_replayed_and_what_is_new_is_late() {
    let mut world = world(vec![vec![at("a", 0), at("b", 190), at("c", 400), at("d", 5)]]);
    let mut sim = world.start(0);
    world.read_some(&mut sim, 0, 3);
    let through = sim.engine.frontier(|_| false).unwrap();
    assert!(world.close(&mut sim, through, 4));
    let committed = world.committed[&0].clone();
    assert_eq!(
        (committed.offset, committed.checkpoint.closed_through),
        (Some(2), Some(360 * SECOND)),
        "c is in an open window"
    );
    // Another tool moves the offset back but leaves the checkpoint: worse than any crash.
    world.committed.insert(0, Restored { offset: Some(0), ..committed });
    let mut sim = world.start(0);
    assert_eq!(world.read(&mut sim, 0), Some(Verdict::Replayed));
    assert_eq!(world.read(&mut sim, 0), Some(Verdict::Replayed));
    assert_eq!(world.read(&mut sim, 0), Some(Verdict::Counted));
    assert_eq!(world.read(&mut sim, 0), Some(Verdict::Late), "d was never read before");
    world.drain(&mut sim);
    assert_eq!(world.store, world.recount());
}

#[test]
fn a_time_far_ahead_of_kafkas_is_quarantined_and_closes_nothing() {
    let mut engine = engine(0);
    engine.assign(BTreeMap::from([(0, Restored::default())]));
    let record = |offset, secs: i64| Record { offset, id: None, timestamp: secs * SECOND };
    assert_eq!(
        engine.event(0, record(0, 100), &event("a", 701, "ann", Kind::Original)),
        Some(Verdict::Future)
    );
    assert_eq!(engine.frontier(|_| false), None);
    assert_eq!(
        engine.event(0, record(1, 100), &event("b", 700, "ann", Kind::Original)),
        Some(Verdict::Counted)
    );
    assert_eq!((engine.tally().quarantined, engine.tally().counted), (1, 1));
    assert_eq!(engine.commits()[0].resume_offset, 1, "a quarantined record is not read again");
}

#[test]
fn records_without_an_id_are_never_duplicates() {
    let mut engine = engine(0);
    engine.assign(BTreeMap::from([(0, Restored::default())]));
    for offset in 0..2 {
        let record = Record { offset, id: None, timestamp: 0 };
        assert_eq!(engine.event(0, record, &event("same", 0, "ann", Kind::Original)), Some(Verdict::Counted));
    }
}

#[test]
fn a_longer_window_keeps_its_first_event_from_being_committed_away() {
    // Minutes are final through 120 s, but the window of three minutes still needs the event at 0 s.
    let mut world = world(vec![vec![at("a", 0), at("b", 130)]]);
    let mut sim = world.start(0);
    world.read_some(&mut sim, 0, 2);
    let through = sim.engine.frontier(|_| false).unwrap();
    assert!(world.close(&mut sim, through, 4));
    let left = &world.committed[&0];
    assert_eq!(
        (left.offset, left.checkpoint.closed_through, left.checkpoint.written_through),
        (Some(0), Some(0), Some(120 * SECOND))
    );
    assert!(
        sim.engine.plan(through).is_empty() && !sim.engine.is_due(through),
        "what is written is never planned again"
    );
    let mut sim = world.start(0);
    world.read_some(&mut sim, 0, 2);
    assert!(!sim.engine.is_due(through), "not even after a restart");
}

#[test]
fn a_window_that_began_before_what_is_read_again_is_left_out() {
    // The tables had windows of one minute only, which were final through 60 s.
    let checkpoint = Checkpoint::new(Some(60 * SECOND), Some(60 * SECOND), 1, &[]);
    let mut engine = engine(0);
    engine.assign(BTreeMap::from([(0, Restored { offset: Some(1), checkpoint })]));
    assert_eq!(engine.finaliser().incomplete(), [(1, 0)]);
    for (offset, secs) in [(1, 70), (2, 200)] {
        let record = Record { offset, id: None, timestamp: secs * SECOND };
        engine.event(0, record, &event("x", secs, "ann", Kind::Original).at("Oslo", "city"));
    }
    let through = engine.end_of_input().unwrap();
    engine.close(through);
    let planned: Vec<_> =
        engine.plan(through).into_iter().map(|w| (w.table, micros::show(w.start))).collect();
    assert_eq!(
        planned,
        [
            (0, "1970-01-01T00:01:00Z".to_owned()),
            (0, "1970-01-01T00:03:00Z".to_owned()),
            (1, "1970-01-01T00:03:00Z".to_owned())
        ]
    );
}

#[test]
fn a_partition_that_is_added_later_starts_behind_what_is_final() {
    let mut world = world(vec![vec![at("a", 0), at("b", 500)]]);
    let mut sim = world.start(0);
    world.read_some(&mut sim, 0, 2);
    let through = sim.engine.frontier(|_| false).unwrap();
    assert!(world.close(&mut sim, through, 4));
    sim.engine.assign(BTreeMap::from([(1, Restored::default())]));
    assert_eq!(sim.engine.frontier(|_| false), Some(360 * SECOND), "the frontier does not fall");
    let record = Record { offset: 0, id: None, timestamp: 0 };
    assert_eq!(sim.engine.event(1, record, &event("n", 10, "ann", Kind::Original)), Some(Verdict::Late));
}

#[test]
fn records_that_are_read_again_after_the_partitions_were_lost_are_not_tallied_twice() {
    let mut world = world(vec![vec![at("a", 0), at("b", 10), at("b", 10), at("c", 20)]]);
    let mut sim = world.start(0);
    world.read_some(&mut sim, 0, 3);
    sim.engine.reset();
    sim.engine.assign(BTreeMap::from([(0, Restored::default())]));
    sim.next[0] = 0;
    world.drain(&mut sim);
    let tally = sim.engine.tally();
    assert_eq!((tally.read, tally.counted, tally.duplicates, tally.replayed), (7, 3, 1, 3));
    assert_eq!(world.store, world.recount());
}

#[test]
fn records_that_were_deleted_before_they_were_read_are_reported_once() {
    let left = |offset| BTreeMap::from([(0, Restored { offset, checkpoint: Checkpoint::default() })]);
    let record = |offset| Record { offset, id: None, timestamp: 0 };
    let ann = event("x", 0, "ann", Kind::Original);
    // The broker tells first where the log begins, or the first record shows it.
    let mut told = engine(0);
    told.assign(left(Some(10)));
    told.starts_at(0, 13);
    told.event(0, record(13), &ann);
    told.starts_at(0, 13);
    assert_eq!(told.tally().missed, 3);
    let mut shown = engine(0);
    shown.assign(left(Some(10)));
    shown.event(0, record(13), &ann);
    shown.starts_at(0, 13);
    shown.event(0, record(15), &ann);
    assert_eq!(shown.tally().missed, 3, "a gap further on is a marker of a transaction");
    let mut new = engine(0);
    new.assign(left(None));
    new.starts_at(0, 13);
    assert_eq!((new.tally().missed, new.position(0)), (0, Some(13)), "what was never promised is not missed");
}

/// `cargo test --release -p spillway-consumer --lib -- --ignored --nocapture throughput`
#[test]
#[ignore = "measures rather than checks: run it by hand, in release"]
fn throughput_of_reading_and_counting() {
    use spillway_testkit::tweets::{Generator, Options};

    let records = 100_000;
    let options = Options::ending_at(1_793_491_200_000, Duration::from_secs(3600), records);
    let lines: Vec<_> = Generator::new(1, options).take(usize::try_from(records).unwrap()).collect();
    let bytes: usize = lines.iter().map(|tweet| tweet.line.len()).sum();
    let mut engine =
        Engine::new(Tables::new(crate::Config::standard_tables()).unwrap(), 30 * SECOND, 600 * SECOND);
    engine.assign(BTreeMap::from([(0, Restored::default())]));
    let began = std::time::Instant::now();
    for (offset, tweet) in (0..).zip(&lines) {
        let record = Record { offset, id: Some(tweet.id.as_bytes()), timestamp: Micros::MAX / 2 };
        match crate::Profile::XV2.read(&tweet.line, engine.needs()) {
            Ok(Message::Event(event)) => assert_ne!(engine.event(0, record, &event), None),
            other => panic!("{other:?}"),
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(engine.tally().read, records);
    println!("{:.0} records/s, {:.0} MB/s", f64::from(100_000) / seconds, bytes as f64 / seconds / 1e6);
}
