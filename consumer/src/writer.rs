//! Writes final objects, several at once, on the store's own threads. An object that exists already
//! is read and compared: an earlier run may have ended between writing it and saying so. What may
//! pass is tried again for as long as it takes; nothing is given up silently.

use std::time::Duration;

use ::parquet::errors::ParquetError;
use bytes::Bytes;
use tokio::task::JoinSet;

use crate::parquet;
use crate::patience::Patience;
use crate::store::{Created, Objects as _, Store, StoreError};

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

impl Written {
    /// Takes in what else was written.
    pub(crate) fn add(&mut self, other: Self) {
        self.objects += other.objects;
        self.rows += other.rows;
        self.found += other.found;
    }
}

/// An object to be written.
#[derive(Debug)]
pub(crate) struct Object {
    /// Which table's it is.
    pub(crate) table: usize,
    pub(crate) name: String,
    pub(crate) content: Bytes,
    pub(crate) rows: u64,
    /// A copy of another object, in another form.
    pub(crate) is_copy: bool,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    store: Store,
}

/// What objects came to, by table.
pub(crate) type Outcome = Result<Vec<Written>, WriteError>;

/// Objects in flight at once: enough to hide a store's latency, few enough to bound memory.
const PARALLEL: usize = 8;
const CONTENTION_PAUSE: Duration = Duration::from_millis(20);
const CONTENTION_PAUSE_MAX: Duration = Duration::from_secs(10);

impl Writer {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Writes the objects of so many tables; each is made when it is about to be sent.
    pub(crate) async fn write<E>(&self, objects: impl Iterator<Item = E>, tables: usize) -> Outcome
    where
        E: FnOnce() -> Result<Object, WriteError> + Send + 'static,
    {
        let mut written = vec![Written::default(); tables];
        let mut tasks = JoinSet::new();
        for object in objects {
            if tasks.len() >= PARALLEL {
                take(tasks.join_next().await, &mut written)?;
            }
            tasks.spawn(write_one(self.store.clone(), object));
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
    written[table].add(one);
    Ok(())
}

async fn write_one(store: Store, object: impl FnOnce() -> Result<Object, WriteError> + Send) -> One {
    let Object { table, name, content, rows, is_copy } = object()?;
    let counted = |written: Written| if is_copy { Written::default() } else { written };
    let mut pause = CONTENTION_PAUSE;
    while create(&store, &name, &content).await? == Created::Existed {
        if let Some(theirs) = get(&store, &name).await? {
            compare(name, content, theirs)?;
            return Ok((table, counted(Written { found: 1, ..Written::default() })));
        }
        // S3 says so while another request for the object is under way, which may yet fail.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(CONTENTION_PAUSE_MAX);
    }
    tracing::debug!(object = name, rows, "an object is final");
    Ok((table, counted(Written { objects: 1, rows, found: 0 })))
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
    // The same bytes are the same rows; others may be, as Parquet carries versions.
    if ours == theirs {
        return Ok(());
    }
    match parquet::difference(ours, theirs) {
        Ok(None) => Ok(()),
        Ok(Some(difference)) => Err(WriteError::Differs { object, difference }),
        Err(source) => Err(WriteError::Foreign { object, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreSettings;

    /// An object of one row.
    fn object(number: i64, value: i64) -> Object {
        let column = std::sync::Arc::new(arrow_array::Int64Array::from(vec![value])) as _;
        let batch = arrow_array::RecordBatch::try_from_iter([("n", column)]).unwrap();
        let content = parquet::write(&batch, std::iter::empty()).unwrap().into();
        Object { table: 0, name: format!("tables/t/{number}.parquet"), content, rows: 1, is_copy: false }
    }

    async fn write(dir: &std::path::Path, objects: Vec<Object>) -> Outcome {
        let store = Store::open(&StoreSettings::local(dir)).unwrap();
        Writer::new(store).write(objects.into_iter().map(|object| move || Ok(object)), 1).await
    }

    #[tokio::test]
    async fn objects_written_before_are_found_and_counted_apart() {
        let dir = tempfile::tempdir().unwrap();
        let all = |n: i64| (0..n).map(|i| object(i, i)).collect::<Vec<_>>();
        assert_eq!(write(dir.path(), all(12)).await.unwrap(), [Written { objects: 12, rows: 12, found: 0 }]);
        assert_eq!(write(dir.path(), all(20)).await.unwrap(), [Written { objects: 8, rows: 8, found: 12 }]);
    }

    #[tokio::test]
    async fn other_content_is_an_error_and_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), vec![object(0, 1)]).await.unwrap();
        let error = write(dir.path(), vec![object(0, 2)]).await.unwrap_err();
        assert!(
            matches!(&error, WriteError::Differs { object, .. } if object == "tables/t/0.parquet"),
            "{error}"
        );
        assert_eq!(write(dir.path(), vec![object(0, 1)]).await.unwrap()[0].found, 1);
    }

    #[tokio::test]
    async fn a_foreign_object_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("tables/t")).unwrap();
        std::fs::write(dir.path().join("tables/t/0.parquet"), "no parquet").unwrap();
        assert!(matches!(write(dir.path(), vec![object(0, 1)]).await, Err(WriteError::Foreign { .. })));
    }
}
