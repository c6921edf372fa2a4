//! Single cases of the engine, each of which has a reason of its own.

use super::*;

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
