//! The log against a store that fails: what is believed to be written is there, and nobody else's.

use std::time::Duration;

use super::*;
use crate::aggregate::Partial;
use crate::archive::{Archived, Said};
use crate::event::Kind;
use crate::filter::Filter;
use crate::metrics::{By, Reading};
use crate::store::{Store, StoreSettings};
use crate::tables::Table;
use crate::testing::event;
use crate::testing::store::Memory;

fn header(partition: i32, seq: u64) -> Header {
    let mark = |name: &str| Mark { name: name.into(), definition: "of a test".into() };
    Header {
        seq,
        topic: "events".into(),
        partition,
        cluster_id: Some("c".into()),
        closed_through: Some(600),
        closed_before: Some(0),
        resume_offset: Some(7),
        next_offset: Some(9),
        last_pane: Some(660),
        standing: Standing::Drained { end: Some(900) },
        deleted: vec![(2, 4)],
        tables: vec![mark("all"), mark("cities")],
    }
}

fn entry(partition: i32, seq: u64, actor: &str) -> Entry {
    let table = Table::new("all", Duration::from_secs(60), By::Place, Filter::default());
    let mut partial = Partial::default();
    partial.add(&table, &Reading::new(&event("1", 0, actor, Kind::Repost).at("Rome", "city")));
    partial.add(&table, &Reading::new(&event("2", 0, "7", Kind::Reply).at("Østerås \"x\"", "city")));
    let late = Kept {
        reason: Reason::Late,
        offset: 8,
        timestamp: 610,
        time: Some(3),
        id: Some(vec![0, 255]),
        detail: String::new(),
        value: b"{\"data\":{}}".to_vec(),
    };
    let torn =
        Kept { reason: Reason::Unreadable, time: None, id: None, detail: "torn".into(), ..late.clone() };
    let panes = BTreeMap::from([
        (0, vec![partial.clone(), Partial::default()]),
        (300, vec![Partial::default(), partial]),
    ]);
    let archived = Archived {
        table: "all".into(),
        group: "r1".into(),
        offset: 7,
        timestamp: 612,
        time: 611,
        said: Said { id: "2".into(), text: Some("t".into()), tags: vec!["a".into()], ..Said::default() },
    };
    Entry { header: header(partition, seq), panes, kept: vec![late, torn], archived: vec![archived] }
}

#[tokio::test]
async fn an_entry_is_read_as_it_was_written() {
    let log = Log::new(Memory::new(1, 0), "events");
    let (first, second) = (entry(3, 0, "ann"), Entry::birth(header(3, 1)));
    assert_eq!(log.put(&first).await.unwrap(), Put::Ours);
    assert_eq!(log.put(&second).await.unwrap(), Put::Ours);
    assert_eq!(log.read(3, 0).await.unwrap(), Some(first));
    assert_eq!(log.newest(3, None).await.unwrap(), Some(second.header.clone()));
    assert_eq!(log.newest(3, Some(0)).await.unwrap(), Some(second.header.clone()));
    assert_eq!(log.newest(3, Some(1)).await.unwrap(), Some(second.header));
    assert_eq!((log.read(3, 2).await.unwrap(), log.newest(2, None).await.unwrap()), (None, None));
    assert_eq!(log.partitions().await.unwrap(), BTreeSet::from([3]));
}

#[tokio::test]
async fn a_folder_holds_a_log_as_well_as_memory_does() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(Store::open(&StoreSettings::local(dir.path())).unwrap(), "events");
    for seq in 0..12 {
        assert_eq!(log.put(&entry(100_000, seq, "ann")).await.unwrap(), Put::Ours);
    }
    assert_eq!(log.put(&entry(100_000, 11, "bob")).await.unwrap(), Put::Theirs);
    assert_eq!(log.newest(100_000, Some(4)).await.unwrap().unwrap().seq, 11);
    assert!(dir.path().join("_log/events/p=100000/00000000000000000011.parquet").is_file());
    let proposal = Proposal { seq: 0, from: None, through: 60, positions: BTreeMap::from([(1, 4)]) };
    assert_eq!(log.propose(&proposal).await.unwrap(), Put::Ours);
    assert_eq!(log.newest_proposal(None).await.unwrap(), Some(proposal));
    assert_eq!(log.partitions().await.unwrap(), BTreeSet::from([100_000]));
}

#[tokio::test]
async fn what_the_offsets_speak_of_must_be_there() {
    let store = Memory::new(1, 0);
    let log = Log::new(store.clone(), "events");
    log.put(&entry(0, 0, "ann")).await.unwrap();
    store.remove("_log/events/p=00000/00000000000000000000.parquet");
    let lost = log.newest(0, Some(0)).await.unwrap_err();
    assert!(matches!(&lost, LogError::Lost { .. }) && lost.is_permanent(), "{lost}");
}

#[tokio::test]
async fn a_damaged_entry_is_not_believed() {
    let store = Memory::new(1, 0);
    let log = Log::new(store.clone(), "events");
    log.put(&entry(0, 0, "ann")).await.unwrap();
    let name = "_log/events/p=00000/00000000000000000000.parquet";
    let json = "\"closed_through\":600";
    store.damage(name, |bytes| {
        let at = bytes.windows(json.len()).position(|found| found == json.as_bytes()).unwrap();
        bytes[at + json.len() - 1] = b'1';
    });
    let error = log.read(0, 0).await.unwrap_err();
    assert!(
        matches!(&error, LogError::Entry { source: CodecError::Damaged { .. }, .. }) && error.is_permanent(),
        "{error:?}"
    );
    store.damage(name, |bytes| bytes.truncate(20));
    assert!(matches!(log.read(0, 0).await, Err(LogError::Entry { .. })));
}

#[tokio::test]
async fn of_two_writers_one_wins_and_each_knows_which_whatever_answers_are_lost() {
    for seed in 0..400 {
        let store = Memory::new(seed, 40);
        let log = Log::new(store.clone(), "events");
        let persist = async |actor: &str| {
            let entry = entry(0, 0, actor);
            loop {
                match log.put(&entry).await {
                    Ok(put) => return put,
                    Err(error) => assert!(!error.is_permanent(), "seed {seed}: {error:?}"),
                }
            }
        };
        let (ann, bob) = tokio::join!(persist("ann"), persist("bob"));
        store.heal();
        let is = log.read(0, 0).await.unwrap().unwrap();
        let winner =
            if is == entry(0, 0, "ann") { (Put::Ours, Put::Theirs) } else { (Put::Theirs, Put::Ours) };
        assert_eq!((ann, bob), winner, "seed {seed}");
    }
}

#[tokio::test]
async fn of_two_proposals_one_is_in_the_chain() {
    for seed in 0..200 {
        let store = Memory::new(seed, 40);
        let log = Log::new(store.clone(), "events");
        let persist = async |through: Micros| {
            let proposal = Proposal { through, ..Proposal::default() };
            loop {
                match log.propose(&proposal).await {
                    Ok(put) => return put,
                    Err(error) => assert!(!error.is_permanent(), "seed {seed}: {error:?}"),
                }
            }
        };
        let (low, high) = tokio::join!(persist(60), persist(120));
        store.heal();
        let through = log.newest_proposal(None).await.unwrap().unwrap().through;
        let won = if through == 60 { (Put::Ours, Put::Theirs) } else { (Put::Theirs, Put::Ours) };
        assert_eq!((low, high), won, "seed {seed}");
    }
}
