//! What is in flight: reports in any order, recalls, room, and the partitions' share.

use super::*;
use crate::ledger::{Fate, Ledger};
use crate::testing::record;

const WINDOW: Window = Window { records: 100, bytes: 1000 };

fn replayed(spool_seq: u64) -> Replayed {
    Replayed { spool_seq, envelope: Bytes::from_static(b"12345"), partition: Some(1) }
}

#[test]
fn the_spool_is_done_up_to_the_first_record_without_a_report() {
    let flight = InFlight::default();
    assert_eq!(flight.take_progress().front, None);
    let now = Instant::now();
    let tickets: Vec<_> = (10..14).map(|seq| flight.admit_replay(unplaced(seq), now).unwrap()).collect();
    flight.finish(tickets[1], End::Acked);
    assert_eq!(flight.take_progress().front, Some(10));
    assert!(flight.refuse(tickets[0]).is_some());
    assert_eq!((flight.load().replay, flight.load().refused), (2, 1));
    assert_eq!(flight.take_progress().front, Some(10), "it is no dead letter yet");
    flight.finish(tickets[0], End::Refused);
    let progress = flight.take_progress();
    assert_eq!((progress.front, progress.tally), (Some(12), Tally { acked: 1, refused: 1 }));
    flight.finish(tickets[2], End::Acked);
    flight.finish(tickets[3], End::Acked);
    assert_eq!(flight.take_progress().front, None);
    assert_eq!(flight.load(), Load::default());
}

#[test]
fn a_recall_gives_back_the_queue_in_order_and_late_reports_find_nothing() {
    let ledger = Ledger::new(&[false]);
    let flight = InFlight::default();
    let now = Instant::now();
    let tickets: Vec<_> = (1..=4)
        .map(|seq| flight.admit_direct(record(&ledger, seq, b"abc"), None, WINDOW, now).unwrap())
        .collect();
    flight.admit_replay(unplaced(7), now).unwrap();
    assert_eq!(flight.load(), Load { direct: 4, replay: 1, refused: 0, direct_bytes: 12, replay_bytes: 5 });
    let Some(Landed::Direct(done)) = flight.finish(tickets[1], End::Acked) else {
        panic!("record 2 was in flight")
    };
    ledger.settle(done, Fate::Acked);
    flight.fail(tickets[3]);
    let back = flight.recall();
    assert_eq!(back.iter().map(|r| r.seq).collect::<Vec<_>>(), [1, 3, 4]);
    assert!(flight.finish(tickets[0], End::Acked).is_none());
    assert_eq!(flight.load(), Load::default());
    assert_eq!(flight.take_progress().front, Some(7), "a recalled record of the spool is not done");
    back.into_iter().for_each(|r| ledger.settle(r, Fate::Spooled));
    assert_eq!(ledger.counts().unaccounted, 0);
}

#[test]
fn the_lanes_do_not_mix_their_tickets() {
    let ledger = Ledger::new(&[false]);
    let flight = InFlight::default();
    let direct = flight.admit_direct(record(&ledger, 1, b"a"), None, WINDOW, Instant::now()).unwrap();
    let replay = flight.admit_replay(unplaced(1), Instant::now()).unwrap();
    assert_ne!(direct, replay);
    assert!(flight.refuse(direct).is_none() && flight.envelope(direct).is_none());
    assert!(matches!(flight.finish(replay, End::Acked), Some(Landed::Replayed(_))));
    let Some(Landed::Direct(done)) = flight.finish(direct, End::Acked) else {
        panic!("the direct record was in flight")
    };
    ledger.settle(done, Fate::Acked);
}

#[test]
fn the_window_counts_both_lanes() {
    let window = Window { records: 2, bytes: 100 };
    let load = Load { direct: 1, replay: 0, refused: 0, direct_bytes: 90, replay_bytes: 0 };
    assert!(load.fits(window));
    assert!(!Load { refused: 1, ..load }.fits(window), "a refused record keeps its room");
    assert!(!Load { replay: 1, ..load }.fits(window));
    assert!(!Load { replay_bytes: 10, ..load }.fits(window));
    assert!((load.fill(window) - 0.9).abs() < 1e-9);
    let ledger = Ledger::new(&[false]);
    let flight = InFlight::default();
    let full = Window { records: 1, bytes: 100 };
    flight.admit_replay(unplaced(1), Instant::now()).unwrap();
    ledger.settle(
        flight.admit_direct(record(&ledger, 1, b"a"), None, full, Instant::now()).unwrap_err(),
        Fate::Acked,
    );
}

#[test]
fn a_waiter_for_room_is_woken_when_a_quarter_is_free() {
    let flight = InFlight::default();
    let window = Window { records: 8, bytes: 1000 };
    let tickets: Vec<_> =
        (1..=8).map(|seq| flight.admit_replay(unplaced(seq), Instant::now()).unwrap()).collect();
    flight.finish(tickets[0], End::Acked);
    assert!(flight.load().fits(window) && !flight.wait_for(Goal::Room(window), Duration::ZERO));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| flight.wait_for(Goal::ReplayRoom(window), Duration::from_secs(10)));
        flight.finish(tickets[1], End::Acked);
        flight.finish(tickets[2], End::Acked);
        assert!(waiter.join().unwrap());
    });
    assert!(!flight.wait_for(Goal::AllDone, Duration::ZERO));
    assert!(flight.wait_for(Goal::DirectDone, Duration::ZERO));
}

fn unplaced(spool_seq: u64) -> Replayed {
    Replayed { partition: None, ..replayed(spool_seq) }
}

#[test]
fn the_first_record_of_a_partition_travels_alone() {
    let ledger = Ledger::new(&[false]);
    let flight = InFlight::default();
    let start = Instant::now();
    let mut seq = 0;
    let mut direct = |partition, now| {
        seq += 1;
        flight.admit_direct(record(&ledger, seq, b"a"), Some(partition), WINDOW, now)
    };
    let settle = |landed: Option<Landed>| {
        let Some(Landed::Direct(done)) = landed else { panic!("it was in flight") };
        ledger.settle(done, Fate::Acked);
    };
    let first = direct(1, start).unwrap();
    ledger.settle(direct(1, start).unwrap_err(), Fate::Acked);
    let goal = flight.obstacle(Some(1), WINDOW);
    assert_eq!(goal, Goal::Partition(1));
    assert_eq!(flight.admit_replay(replayed(1), start).unwrap_err(), goal, "from the spool, too");
    let other = direct(2, start).unwrap();
    assert!(!flight.wait_for(goal, Duration::ZERO));
    settle(flight.finish(other, End::Acked));
    assert!(!flight.wait_for(goal, Duration::ZERO), "another partition says nothing");
    settle(flight.finish(first, End::Acked));
    assert!(flight.wait_for(goal, Duration::ZERO));
    let many: Vec<_> = (0..3).map(|_| direct(1, start).unwrap()).collect();
    many.into_iter().for_each(|opaque| settle(flight.finish(opaque, End::Acked)));
    let later = start + KNOWN_FOR + Duration::from_secs(1);
    let alone = direct(1, later).unwrap();
    ledger.settle(direct(1, later).unwrap_err(), Fate::Acked);
    settle(flight.finish(alone, End::Acked));
}

#[test]
fn each_partition_has_its_share() {
    let ledger = Ledger::new(&[false]);
    let flight = InFlight::default();
    let now = Instant::now();
    let first = flight.admit_direct(record(&ledger, 1, b"a"), Some(0), WINDOW, now).unwrap();
    let failed = flight.admit_direct(record(&ledger, 2, b"a"), Some(2), WINDOW, now).unwrap();
    let replay = flight.admit_replay(replayed(1), now).unwrap();
    flight.admit_direct(record(&ledger, 3, b"a"), None, WINDOW, now).unwrap();
    let flow = |in_flight, acked| PartitionFlow { in_flight, acked };
    assert_eq!(flight.partitions(), [flow(1, 0), flow(1, 0), flow(1, 0)]);
    let Some(Landed::Direct(done)) = flight.finish(first, End::Acked) else { panic!("it was in flight") };
    ledger.settle(done, Fate::Acked);
    flight.fail(failed);
    flight.fail(failed);
    flight.finish(replay, End::Refused);
    assert_eq!(flight.partitions(), [flow(0, 1), flow(0, 0), flow(0, 0)]);
    flight.recall().into_iter().for_each(|r| ledger.settle(r, Fate::Spooled));
    assert_eq!(flight.partitions(), []);
}
