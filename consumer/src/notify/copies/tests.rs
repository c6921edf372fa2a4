//! Who is told of copies, and by whom, when commands and targets fail.

use std::sync::Mutex;

use super::*;
use crate::testing::store::Memory;

#[derive(Debug, thiserror::Error)]
#[error("not now")]
struct NotNow;

/// Takes what it is told of while it is there.
#[derive(Debug, Default)]
struct Fake {
    is_away: bool,
    taken: Mutex<Vec<serde_json::Value>>,
}

impl Target for Fake {
    type Error = NotNow;

    async fn deliver(&self, _: &str, json: Vec<u8>) -> Result<(), NotNow> {
        if self.is_away {
            return Err(NotNow);
        }
        self.taken.lock().unwrap().push(serde_json::from_slice(&json).unwrap());
        Ok(())
    }
}

const OBJECTS: [&str; 4] = [
    "rebuilt/a/dt=2026-11-01/a-v00001.parquet",
    "rebuilt/a/dt=2026-11-01/a-v00002.parquet",
    "rebuilt/a/dt=2026-11-02/a-v00001.parquet",
    "rebuilt/b/dt=2026-11-01/b-v00001.parquet",
];

fn teller() -> Teller {
    Teller { webhook: None, topic: None, of_topic: "t".into(), url: "s".into() }
}

async fn filled() -> Memory {
    let store = Memory::new(1, 0);
    for object in OBJECTS.iter().chain(&["rebuilt/a/dt=2026-11-01/notes.txt", "compact/a/dt=2026-11-01/x"]) {
        store.create(object, Bytes::new()).await.unwrap();
    }
    store
}

async fn tell(store: &Memory, place: Place, target: &Fake) -> CopiesTold {
    let mut told = CopiesTold::default();
    teller().tell_one(store, place, &["a", "b"], ("webhook", target), &mut told).await.unwrap();
    told
}

fn objects(target: &Fake) -> Vec<String> {
    let taken = target.taken.lock().unwrap();
    taken.iter().map(|said| said["object"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn each_copy_is_told_of_once_in_the_order_of_days_and_versions() {
    let (store, target) = (filled().await, Fake::default());
    assert_eq!(tell(&store, Place::Rebuilt, &target).await, CopiesTold { delivered: 4, owed: 0 });
    assert_eq!(objects(&target), OBJECTS);
    let second = target.taken.lock().unwrap()[1].clone();
    assert_eq!((second["what"].as_str(), second["version"].as_u64()), (Some("version"), Some(2)));
    assert_eq!(second["day"], "2026-11-01");
    assert_eq!(tell(&store, Place::Rebuilt, &target).await, CopiesTold::default());
    let new = "rebuilt/a/dt=2026-11-02/a-v00002.parquet";
    store.create(new, Bytes::new()).await.unwrap();
    assert_eq!(tell(&store, Place::Rebuilt, &target).await, CopiesTold { delivered: 1, owed: 0 });
    assert_eq!(objects(&target).last().unwrap(), new);
}

#[tokio::test]
async fn what_a_command_could_not_tell_of_the_next_one_does() {
    let store = filled().await;
    let compacted = "compact/a/dt=2026-11-01/a-20261101.parquet";
    store.create(compacted, Bytes::new()).await.unwrap();
    let away = Fake { is_away: true, ..Fake::default() };
    let note = Note { table: "a".into(), object: compacted.into(), of: Of::Events };
    let soon = Instant::now() + Duration::from_millis(20);
    assert!(!teller().deliver(("webhook", &away), &note, soon).await, "it is given up in time");
    assert_eq!(store.below("_notify").len(), 0, "and nothing says that it was taken");
    let target = Fake::default();
    assert_eq!(tell(&store, Place::Compact, &target).await, CopiesTold { delivered: 1, owed: 0 });
    assert_eq!(objects(&target), [compacted], "a name that is none of a day is no copy");
    assert_eq!(target.taken.lock().unwrap()[0]["what"], "day");
}
