//! The stages of a run one at a time, without Kafka and without a store, so that a benchmark can say what each
//! of them costs. Not an interface for anybody else.

use std::time::Duration;

use crate::engine::Engine;
use crate::event::{Event, Needs};
use crate::finalise::Windows;
use crate::log::{Entry, Header, Standing, decode, encode};
use crate::micros::{self, Micros};
use crate::pane::Record;
use crate::parquet;
use crate::partition::Restored;
use crate::tables::{Table, TableFault, Tables};

/// The partitions of a member, and the finaliser.
#[derive(Debug)]
pub struct Stages {
    tables: Tables,
    engine: Engine,
    windows: Windows,
}

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The log's entry.
    #[error("an entry cannot be encoded or decoded")]
    Entry(#[from] crate::log::CodecError),
    /// A final object.
    #[error("a window cannot be encoded")]
    Window(#[from] ::parquet::errors::ParquetError),
}

impl Stages {
    /// With these tables, and partitions 0 to `partitions - 1`.
    ///
    /// # Errors
    /// When the tables cannot be kept.
    pub fn new(tables: Vec<Table>, partitions: i32) -> Result<Self, TableFault> {
        let tables = Tables::new(tables, Vec::new())?;
        let tolerance = micros::of(Duration::from_secs(600));
        let mut engine = Engine::new(tables.clone(), micros::of(Duration::from_secs(30)), tolerance);
        for partition in 0..partitions {
            let header = Header { partition, tables: tables.marks(), ..Header::default() };
            engine.assign(partition, Restored { header, base: None });
        }
        Ok(Self { windows: Windows::new(tables.clone(), None), engine, tables })
    }

    /// What a profile must read.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.engine.needs()
    }

    /// Counts an event. `record` is the record's `spillway-id` and value.
    pub fn window(&mut self, partition: i32, offset: i64, record: (&[u8], &[u8]), event: &Event<'_>) {
        let (id, value) = record;
        let record = Record { offset, id: Some(id), timestamp: event.time, value };
        self.engine.event(partition, record, event);
    }

    /// Makes the entry of a partition that is due, as the log's bytes.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn seal(&mut self, partition: i32) -> Result<Option<Vec<u8>>, StageError> {
        let Some(entry) = self.engine.seal(partition, Standing::Awake, true) else { return Ok(None) };
        let bytes = encode(&entry)?.bytes.to_vec();
        self.logged(entry);
        Ok(Some(bytes))
    }

    fn logged(&mut self, entry: Entry) {
        self.engine.logged(entry.header);
    }

    /// Takes an entry in, as the finaliser does.
    ///
    /// # Errors
    /// When it cannot be decoded.
    pub fn take(&mut self, entry: Vec<u8>) -> Result<(), StageError> {
        self.windows.take(decode(entry.into())?.entry, false);
        Ok(())
    }

    /// Writes the windows that end at or before `through`. Returns how many rows and bytes they have.
    ///
    /// # Errors
    /// When one cannot be encoded.
    pub fn finalise(&mut self, through: Micros) -> Result<(usize, usize), StageError> {
        let (mut rows, mut bytes) = (0, 0);
        for window in self.windows.plan(through) {
            rows += window.rows.len();
            bytes += parquet::encode(&self.tables.list()[window.table], &window, &[])?.len();
        }
        self.windows.finalised(through);
        Ok((rows, bytes))
    }
}
