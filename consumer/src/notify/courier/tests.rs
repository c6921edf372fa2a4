//! A courier over a store and a target that fail, killed again and again: everything is told at least once,
//! in order, and nothing that does not exist.

use std::collections::BTreeMap;
use std::sync::Mutex;

use spillway_service::kafka::KafkaSettings;
use tokio::sync::Notify;

use super::*;
use crate::config::Config;
use crate::log::{Entry, Header, Log};
use crate::micros::Micros;
use crate::parquet::object_name;
use crate::store::StoreSettings;
use crate::testing::random::Random;
use crate::testing::store::Memory;

const MINUTE: Micros = 60_000_000;
const WINDOW: Micros = 5 * MINUTE;

#[derive(Debug, thiserror::Error)]
#[error("not now")]
struct NotNow;

/// Takes some, refuses some, and keeps what it took.
#[derive(Debug, Clone)]
struct Fickle {
    taken: Arc<Mutex<Vec<String>>>,
    random: Arc<Mutex<Random>>,
    progress: Arc<Notify>,
}

impl Target for Fickle {
    type Error = NotNow;

    async fn deliver(&self, key: &str, json: Vec<u8>) -> Result<(), NotNow> {
        let said: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(said["table"], key);
        self.progress.notify_one();
        tokio::task::yield_now().await;
        if self.random.lock().unwrap().below(100) < 30 {
            return Err(NotNow);
        }
        self.taken.lock().unwrap().push(said["object"].as_str().unwrap().to_owned());
        Ok(())
    }
}

fn config() -> Config {
    Config::new(KafkaSettings::plain("k:1"), "t", "g", StoreSettings::local("x"))
}

fn courier(target: &Fickle, store: &Memory) -> Courier<Fickle, Memory> {
    let source = Source::new(store.clone(), Log::new(store.clone(), "t"), &config());
    let waits = Waits { first: Duration::from_micros(10), most: Duration::from_micros(100) };
    let counters = Arc::new(Counters::default());
    Courier { waits, ..Courier::new("webhook", target.clone(), source, counters) }
}

/// The objects of all tables whose windows end at or before `through`, across midnight.
async fn write(store: &Memory, from: Micros, through: Micros) -> Vec<String> {
    let mut written = Vec::new();
    for table in &config().tables {
        let mut start = from;
        while start + WINDOW <= through {
            let object = object_name(table, start);
            while !matches!(
                store.create(&object, bytes::Bytes::new()).await,
                Ok(crate::store::Created::Yes | crate::store::Created::Existed) if store.below(&object).len() == 1
            ) {}
            written.push(object);
            start += WINDOW;
        }
    }
    written
}

#[tokio::test]
async fn everything_is_told_however_often_a_courier_dies() {
    for seed in 0..40 {
        let store = Memory::new(seed, 20);
        let target = Fickle {
            taken: Arc::default(),
            random: Arc::new(Mutex::new(Random::new(seed))),
            progress: Arc::default(),
        };
        let begin = 1_793_491_200_000_000 - 4 * WINDOW;
        let (mut through, mut expected) = (begin, Vec::new());
        for round in 1..=4 {
            let next = begin + round * 3 * WINDOW;
            expected.extend(write(&store, through, next).await);
            // Windows that are not final yet may be there; nobody is told of them.
            write(&store, next, next + WINDOW).await;
            through = next;
            let newest = Final { through: Some(through), positions: BTreeMap::new() };
            // Two die on the way, the third may do it all.
            for patience in [1, 3, u64::MAX] {
                let (tell, heard) = watch::channel(News::default());
                let courier = courier(&target, &store);
                let counters = Arc::clone(&courier.counters);
                let task = tokio::spawn(courier.run(heard));
                tell.send_replace(News { number: 1, newest: newest.clone() });
                let mut left = patience;
                while left > 0 && counters.settled.load(Ordering::Acquire) == 0 {
                    tokio::select! {
                        () = target.progress.notified() => left -= 1,
                        () = tokio::time::sleep(Duration::from_millis(1)) => {}
                    }
                }
                task.abort();
                drop(task.await);
            }
            let taken: std::collections::BTreeSet<_> = target.taken.lock().unwrap().iter().cloned().collect();
            let all: std::collections::BTreeSet<_> = expected.iter().cloned().collect();
            assert_eq!(taken, all, "seed {seed}, round {round}");
        }
        let taken = target.taken.lock().unwrap().len();
        assert!(taken < 3 * expected.len(), "seed {seed}: marks keep most from being told again: {taken}");
    }
}

#[tokio::test]
async fn objects_of_an_archive_are_told_of_by_their_entries() {
    let store = Memory::new(1, 0);
    let log = Log::new(store.clone(), "t");
    let mut config = config();
    config.archives = vec![crate::archive::Archive::new("all")];
    let row = |offset: i64| crate::archive::Archived {
        table: "all".into(),
        group: "r".into(),
        offset,
        timestamp: 0,
        time: 1_622_507_700_000_000,
        said: crate::archive::Said { id: offset.to_string(), kind: "original".into(), ..Default::default() },
    };
    for seq in 0..3_u64 {
        let header = Header { seq, topic: "t".into(), partition: 2, ..Header::default() };
        let offset = i64::try_from(seq).unwrap() * 10;
        let entry = Entry { archived: vec![row(offset)], ..Entry::birth(header) };
        log.put(&entry).await.unwrap();
    }
    let source = Source::new(store.clone(), log, &config);
    let newest = Final { through: None, positions: BTreeMap::from([(2, 2)]) };
    let notes = source.between(&Mark::default(), &newest).await.unwrap();
    let names: Vec<_> = notes.iter().map(|note| note.object.as_str()).collect();
    assert_eq!(
        names,
        [
            "tables/all/rule=r/dt=2021-06-01/all-p00002-00000000000000000000.parquet",
            "tables/all/rule=r/dt=2021-06-01/all-p00002-00000000000000000010.parquet",
        ]
    );
    let told = Mark::of(&newest);
    let further = Final { positions: BTreeMap::from([(2, 3)]), ..newest };
    assert_eq!(source.between(&told, &further).await.unwrap().len(), 1);
}
