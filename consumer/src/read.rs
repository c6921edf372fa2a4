//! Reads final tables back from a local store: all objects of a table, in the order of their windows.

use std::io;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use bytes::Bytes;
use parquet::errors::ParquetError;

use crate::parquet::{TABLES, decode};

/// Why a table cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A folder of the table cannot be listed.
    #[error("cannot list {}", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An object cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The object.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An object is no Parquet.
    #[error("cannot read {} as Parquet", path.display())]
    Parquet {
        /// The object.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
}

/// The rows of all final objects of `table` in the store at `store_root`, ordered by window and group.
/// A table of which nothing has been written yet has none.
///
/// # Errors
/// When a folder or an object cannot be read.
pub fn read_table(store_root: &Path, table: &str) -> Result<Vec<RecordBatch>, ReadError> {
    let mut batches = Vec::new();
    for path in objects(store_root, table)? {
        batches.extend(read_object(&path)?);
    }
    Ok(batches)
}

/// The rows of one object.
///
/// # Errors
/// When it cannot be read.
pub fn read_object(path: &Path) -> Result<Vec<RecordBatch>, ReadError> {
    let bytes = std::fs::read(path).map_err(|source| ReadError::Read { path: path.to_owned(), source })?;
    decode(Bytes::from(bytes)).map_err(|source| ReadError::Parquet { path: path.to_owned(), source })
}

/// The final objects of `table` in the store at `store_root`, in the order of their names: those of windows
/// by time, those of events by rule, day, partition and offset.
///
/// # Errors
/// When a folder cannot be listed.
pub fn objects(store_root: &Path, table: &str) -> Result<Vec<PathBuf>, ReadError> {
    let root = store_root.join(TABLES).join(table);
    if !root.exists() {
        return Ok(Vec::new());
    }
    let mut objects = Vec::new();
    collect(&root, &mut objects)?;
    Ok(objects)
}

fn collect(folder: &Path, objects: &mut Vec<PathBuf>) -> Result<(), ReadError> {
    for path in list(folder)? {
        if path.is_dir() {
            collect(&path, objects)?;
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            objects.push(path);
        }
    }
    Ok(())
}

/// What is in a folder, sorted by name; the names of days and windows sort by time.
fn list(folder: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let failed = |source| ReadError::List { path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    paths.sort();
    Ok(paths)
}
