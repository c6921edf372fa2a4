//! Tests of finalisers that compete, step by step: what the model finds by chance is found here for sure.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::aggregate::Partial;
use crate::event::Kind;
use crate::filter::Filter;
use crate::log::Entry;
use crate::metrics::{By, Reading};
use crate::store::{Created, StoreError};
use crate::tables::Table;
use crate::testing::event;
use crate::testing::store::Memory;

const MINUTE: Micros = 60_000_000;

/// Remembers the starts of the windows, and the offsets of archived events.
#[derive(Default)]
struct Seen {
    windows: Mutex<Vec<Micros>>,
    archived: Mutex<Vec<i64>>,
}

impl Sink for Seen {
    async fn write(
        &self,
        windows: Vec<FinalWindow>,
        _: BTreeMap<i32, i64>,
    ) -> Result<Vec<Written>, WriteError> {
        self.windows.lock().unwrap().extend(windows.iter().map(|window| window.start));
        Ok(vec![Written::default()])
    }

    async fn archive(&self, _: &Header, rows: Vec<Archived>) -> Result<Vec<Written>, WriteError> {
        self.archived.lock().unwrap().extend(rows.iter().map(|row| row.offset));
        Ok(vec![Written { objects: 1, rows: rows.len() as u64, found: 0 }])
    }
}

fn tables() -> Tables {
    Tables::new(vec![Table::new("t", Duration::from_secs(60), By::None, Filter::default())], vec![]).unwrap()
}

/// An entry that closes the minutes from `from` to `through`, in each of which there is an event.
fn entry(partition: i32, seq: u64, from: Option<Micros>, through: Micros) -> Entry {
    let minutes = (from.unwrap_or(0)..through).step_by(usize::try_from(MINUTE).unwrap());
    let pane = |start: Micros| {
        let mut partial = Partial::default();
        partial
            .add(&tables().list()[0], &Reading::new(&event("1", start / 1_000_000, "ann", Kind::Original)));
        (start, vec![partial])
    };
    let header = Header {
        seq,
        topic: "events".into(),
        partition,
        closed_through: Some(through),
        closed_before: from,
        tables: tables().marks(),
        ..Header::default()
    };
    Entry { panes: minutes.map(pane).collect(), ..Entry::birth(header) }
}

async fn put(log: &Log<Memory>, entry: Entry) {
    assert_eq!(log.put(&entry).await.unwrap(), Put::Ours);
}

#[tokio::test]
async fn a_finaliser_that_was_second_goes_on_from_what_the_first_has_proposed() {
    let (log, sink) = (Log::new(Memory::new(1, 0), "events"), Seen::default());
    put(&log, entry(0, 0, None, 3 * MINUTE)).await;
    put(&log, entry(1, 0, None, MINUTE)).await;
    let mut first = Finaliser::open(log.clone(), tables()).await.unwrap();
    // The second one has not heard of partition 1, so it would go further.
    let mut second = Finaliser::open(log.clone(), tables()).await.unwrap();
    assert_eq!(first.step(2, &sink).await.unwrap(), Step::Proposed);
    assert_eq!(second.step(1, &sink).await.unwrap(), Step::Proposed);
    assert_eq!(second.newest(), first.newest());
    assert_eq!(second.newest().unwrap().through, MINUTE);
    // A partition that is born now sees the proposal of a minute, and may count what is behind it.
    let final_until = |through| matches!(through, Step::Final { through, .. } if through == MINUTE);
    assert!(final_until(second.step(1, &sink).await.unwrap()));
    assert_eq!(*sink.windows.lock().unwrap(), [0]);
    assert_eq!(second.written_through(), Some(MINUTE));
}

#[tokio::test]
async fn a_partition_that_metadata_does_not_name_yet_is_waited_for() {
    let (log, sink) = (Log::new(Memory::new(1, 0), "events"), Seen::default());
    put(&log, entry(0, 0, None, 2 * MINUTE)).await;
    let mut finaliser = Finaliser::open(log.clone(), tables()).await.unwrap();
    assert_eq!(finaliser.step(1, &sink).await.unwrap(), Step::Proposed);
    put(&log, entry(1, 0, None, MINUTE)).await;
    assert_eq!(finaliser.step(1, &sink).await.unwrap(), Step::Waiting);
    assert!(sink.windows.lock().unwrap().is_empty());
    put(&log, entry(1, 1, Some(MINUTE), 2 * MINUTE)).await;
    assert!(matches!(finaliser.step(1, &sink).await.unwrap(), Step::Final { .. }));
    assert_eq!(*sink.windows.lock().unwrap(), [0, MINUTE]);
}

#[tokio::test]
async fn archived_events_are_in_their_objects_before_a_proposal_passes_their_entry() {
    let (log, sink) = (Log::new(Memory::new(1, 0), "events"), Seen::default());
    let said = crate::archive::Said::default();
    let row = |offset| Archived {
        table: "a".into(),
        group: String::new(),
        offset,
        timestamp: 0,
        time: 0,
        said: said.clone(),
    };
    // A birth closes nothing, and no window ever needs it.
    let birth = Header { topic: "events".into(), ..Header::default() };
    put(&log, Entry { archived: vec![row(0), row(1)], ..Entry::birth(birth) }).await;
    put(&log, Entry { archived: vec![row(2)], ..entry(0, 1, None, MINUTE) }).await;
    let mut finaliser = Finaliser::open(log.clone(), tables()).await.unwrap();
    assert_eq!(finaliser.step(1, &sink).await.unwrap(), Step::Proposed);
    assert_eq!(*sink.archived.lock().unwrap(), [0, 1, 2]);
    assert_eq!(finaliser.take_archived(), [Written { objects: 2, rows: 3, found: 0 }]);
    assert_eq!(finaliser.take_archived(), []);
    assert_eq!(finaliser.newest().unwrap().positions, BTreeMap::from([(0, 1)]));
}

/// Counts who waits for an object at the same time.
#[derive(Clone)]
struct Counting {
    inner: Memory,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
}

impl Counting {
    fn new() -> Self {
        Self { inner: Memory::new(1, 0), now: Arc::default(), most: Arc::default(), all: Arc::default() }
    }

    /// The most at the same time and all, since it was last asked.
    fn take(&self) -> (usize, usize) {
        (self.most.swap(0, Ordering::SeqCst), self.all.swap(0, Ordering::SeqCst))
    }
}

impl Objects for Counting {
    async fn create(&self, object: &str, content: Bytes) -> Result<Created, StoreError> {
        self.inner.create(object, content).await
    }

    async fn get(&self, object: &str) -> Result<Option<Bytes>, StoreError> {
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        self.all.fetch_add(1, Ordering::SeqCst);
        let found = self.inner.get(object).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        found
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<String>, StoreError> {
        self.inner.list(folder, after).await
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        self.inner.folders(folder).await
    }
}

#[tokio::test]
async fn entries_of_many_partitions_are_asked_for_at_once_and_not_more_than_so_many() {
    const PARTITIONS: i32 = 40;
    let store = Counting::new();
    let (log, sink) = (Log::new(store.clone(), "events"), Seen::default());
    let put = async |partition, seq, from, through| {
        assert_eq!(log.put(&entry(partition, seq, from, through)).await.unwrap(), Put::Ours);
    };
    for partition in 0..PARTITIONS {
        put(partition, 0, None, MINUTE).await;
    }
    let mut finaliser = Finaliser::open(log.clone(), tables()).await.unwrap();
    store.take();
    assert_eq!(finaliser.step(PARTITIONS, &sink).await.unwrap(), Step::Proposed);
    assert_eq!(store.take(), (PARALLEL, 40), "each once");
    assert!(matches!(finaliser.step(PARTITIONS, &sink).await.unwrap(), Step::Final { .. }));

    // All but one go on; then the frontier depends on that one alone, and nobody else is asked for.
    for partition in 1..PARTITIONS {
        put(partition, 1, Some(MINUTE), 2 * MINUTE).await;
    }
    store.take();
    assert_eq!(finaliser.step(PARTITIONS, &sink).await.unwrap(), Step::Waiting);
    assert_eq!(store.take(), (PARALLEL, 40 + 1));
    put(0, 1, Some(MINUTE), 2 * MINUTE).await;
    assert_eq!(finaliser.step(PARTITIONS, &sink).await.unwrap(), Step::Proposed);
    assert!(matches!(finaliser.step(PARTITIONS, &sink).await.unwrap(), Step::Final { .. }));
    assert_eq!(*sink.windows.lock().unwrap(), [0, MINUTE]);
    assert_eq!(finaliser.entries_read(), 80);
}

#[tokio::test]
async fn a_new_finaliser_asks_for_what_a_proposal_needs_at_once() {
    const PARTITIONS: i32 = 20;
    let store = Counting::new();
    let (log, sink) = (Log::new(store.clone(), "events"), Seen::default());
    for partition in 0..PARTITIONS {
        let put = log.put(&entry(partition, 0, None, MINUTE)).await.unwrap();
        assert_eq!(put, Put::Ours);
    }
    let mut first = Finaliser::open(log.clone(), tables()).await.unwrap();
    assert_eq!(first.step(PARTITIONS, &sink).await.unwrap(), Step::Proposed);
    // It dies; another one carries the proposal out.
    let mut second = Finaliser::open(log.clone(), tables()).await.unwrap();
    store.take();
    assert!(matches!(second.step(PARTITIONS, &sink).await.unwrap(), Step::Final { .. }));
    assert_eq!(store.take(), (PARALLEL, 20));
}
