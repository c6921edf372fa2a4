//! Writes final objects, several at once, on the store's own threads. An object that exists already
//! is read and compared: an earlier run may have ended between writing it and committing. What may
//! pass is tried again for as long as it takes; nothing is given up silently.

use std::sync::Arc;
use std::time::Duration;

use ::parquet::errors::ParquetError;
use bytes::Bytes;
use tokio::task::JoinSet;

use crate::finalise::FinalWindow;
use crate::parquet;
use crate::patience::Patience;
use crate::store::{Created, Objects as _, Store, StoreError};
use crate::tables::Table;

/// Why a window could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The rows cannot be encoded.
    #[error("cannot encode {object}")]
    Encode {
        /// The object.
        object: String,
        /// Why.
        source: ParquetError,
    },
    /// The store failed in a way that trying again does not mend.
    #[error("cannot write a final object")]
    Store(#[from] StoreError),
    /// The object that exists is no Parquet.
    #[error("{object} exists and cannot be read as Parquet")]
    Foreign {
        /// The object.
        object: String,
        /// Why.
        source: ParquetError,
    },
    /// The object that exists holds other rows.
    #[error(
        "{object} exists with other content: {difference}; final objects are never changed. \
         If the table's settings were changed, give it a new name; if another consumer group writes \
         to the same store, give one of them another store; to count again, remove the object"
    )]
    Differs {
        /// The object.
        object: String,
        /// How it differs.
        difference: String,
    },
    /// A task of the writer panicked.
    #[error("the writer failed")]
    Task(#[source] tokio::task::JoinError),
}

/// What was written of one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) objects: u64,
    pub(crate) rows: u64,
    pub(crate) found: u64,
}

/// Windows to be written together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) windows: Vec<FinalWindow>,
    /// What every object's metadata says.
    pub(crate) facts: Vec<(&'static str, String)>,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    store: Store,
    tables: Arc<[Table]>,
}

/// What a batch came to, by table.
pub(crate) type Outcome = Result<Vec<Written>, WriteError>;

/// Objects in flight at once: enough to hide a store's latency, few enough to bound memory.
const PARALLEL: usize = 8;
const CONTENTION_PAUSE: Duration = Duration::from_millis(20);
const CONTENTION_PAUSE_MAX: Duration = Duration::from_secs(10);

impl Writer {
    pub(crate) fn new(store: Store, tables: Arc<[Table]>) -> Self {
        Self { store, tables }
    }

    /// Writes a batch.
    pub(crate) async fn write(&self, batch: Batch) -> Outcome {
        let facts: Arc<[(&'static str, String)]> = batch.facts.into();
        let mut written = vec![Written::default(); self.tables.len()];
        let mut tasks = JoinSet::new();
        for window in batch.windows {
            if tasks.len() >= PARALLEL {
                take(tasks.join_next().await, &mut written)?;
            }
            tasks.spawn(write_one(self.store.clone(), Arc::clone(&self.tables), Arc::clone(&facts), window));
        }
        while !tasks.is_empty() {
            take(tasks.join_next().await, &mut written)?;
        }
        Ok(written)
    }
}

type One = Result<(usize, Written), WriteError>;

fn take(
    joined: Option<Result<One, tokio::task::JoinError>>,
    written: &mut [Written],
) -> Result<(), WriteError> {
    let Some(joined) = joined else { return Ok(()) };
    let (table, one) = joined.map_err(WriteError::Task)??;
    let sum = &mut written[table];
    *sum = Written {
        objects: sum.objects + one.objects,
        rows: sum.rows + one.rows,
        found: sum.found + one.found,
    };
    Ok(())
}

async fn write_one(
    store: Store,
    tables: Arc<[Table]>,
    facts: Arc<[(&'static str, String)]>,
    window: FinalWindow,
) -> One {
    let table = &tables[window.table];
    let object = parquet::object_name(table, window.start);
    let content: Bytes = parquet::encode(table, &window, &facts)
        .map_err(|source| WriteError::Encode { object: object.clone(), source })?
        .into();
    let mut pause = CONTENTION_PAUSE;
    while create(&store, &object, &content).await? == Created::Existed {
        if let Some(theirs) = get(&store, &object).await? {
            compare(object, content, theirs)?;
            return Ok((window.table, Written { found: 1, ..Written::default() }));
        }
        // S3 says so while another request for the object is under way, which may yet fail.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(CONTENTION_PAUSE_MAX);
    }
    tracing::debug!(object, rows = window.rows.len(), "a window is final");
    Ok((window.table, Written { objects: 1, rows: window.rows.len() as u64, found: 0 }))
}

async fn create(store: &Store, object: &str, content: &Bytes) -> Result<Created, StoreError> {
    let mut patience = Patience::new();
    loop {
        match store.create(object, content.clone()).await {
            Ok(created) => return Ok(created),
            Err(error) => patience.after(error).await?,
        }
    }
}

async fn get(store: &Store, object: &str) -> Result<Option<Bytes>, StoreError> {
    let mut patience = Patience::new();
    loop {
        match store.get(object).await {
            Ok(content) => return Ok(content),
            Err(error) => patience.after(error).await?,
        }
    }
}

fn compare(object: String, ours: Bytes, theirs: Bytes) -> Result<(), WriteError> {
    match parquet::difference(ours, theirs) {
        Ok(None) => Ok(()),
        Ok(Some(difference)) => Err(WriteError::Differs { object, difference }),
        Err(source) => Err(WriteError::Foreign { object, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Row;
    use crate::filter::Filter;
    use crate::metrics::{By, Plan};
    use crate::store::StoreSettings;
    use crate::tables::COUNTS;
    use crate::testing::counts;

    fn window(start_s: i64, events: u64) -> FinalWindow {
        let start = start_s * 1_000_000;
        let rows = vec![Row { group: String::new(), values: counts(&[events, 0, 1]) }];
        FinalWindow { table: 0, start, end: start + 300_000_000, rows }
    }

    async fn write(dir: &std::path::Path, windows: Vec<FinalWindow>) -> Outcome {
        let table = Table::new("t", Duration::from_secs(300), By::None, Filter::default());
        let tables: Arc<[Table]> = vec![Table { plan: Plan::new(COUNTS[..3].to_vec()), ..table }].into();
        let store = Store::open(&StoreSettings::local(dir)).unwrap();
        Writer::new(store, tables).write(Batch { windows, facts: vec![] }).await
    }

    #[tokio::test]
    async fn windows_written_before_are_found_and_counted_apart() {
        let dir = tempfile::tempdir().unwrap();
        let all: Vec<_> = (0..20_u32).map(|i| window(i64::from(i) * 300, i.into())).collect();
        assert_eq!(
            write(dir.path(), all[..12].to_vec()).await.unwrap(),
            [Written { objects: 12, rows: 12, found: 0 }]
        );
        assert_eq!(write(dir.path(), all).await.unwrap(), [Written { objects: 8, rows: 8, found: 12 }]);
    }

    #[tokio::test]
    async fn other_content_is_an_error_and_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), vec![window(0, 1)]).await.unwrap();
        let error = write(dir.path(), vec![window(0, 2)]).await.unwrap_err();
        assert!(
            matches!(&error, WriteError::Differs { object, .. } if object == "tables/t/dt=1970-01-01/t-19700101T000000Z.parquet"),
            "{error}"
        );
        assert_eq!(write(dir.path(), vec![window(0, 1)]).await.unwrap()[0].found, 1);
    }

    #[tokio::test]
    async fn a_foreign_object_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("tables/t/dt=1970-01-01");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("t-19700101T000000Z.parquet"), "no parquet").unwrap();
        assert!(matches!(write(dir.path(), vec![window(0, 1)]).await, Err(WriteError::Foreign { .. })));
    }
}
