//! What is final, as objects of the store: windows as Parquet, and as CSV where a table asks for it; events
//! of archives as Parquet.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::archive::{self, Archive, Archived};
use crate::finalise::FinalWindow;
use crate::finaliser::Sink;
use crate::log::Header;
use crate::newest::Newest;
use crate::store::Store;
use crate::tables::{Table, Tables};
use crate::writer::{Object, WriteError, Writer, Written};
use crate::{csv, parquet};

/// What every object's metadata says.
type Facts = Arc<[(&'static str, String)]>;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct TableSink {
    writer: Writer,
    tables: Arc<[Table]>,
    archives: Arc<[Archive]>,
    facts: Facts,
    newest: Newest,
}

impl TableSink {
    pub(crate) fn new(store: Store, tables: &Tables, facts: Vec<(&'static str, String)>) -> Self {
        Self {
            writer: Writer::new(store),
            tables: tables.list().into(),
            archives: tables.archives().into(),
            facts: facts.into(),
            newest: Newest::default(),
        }
    }

    /// The newest windows that it has written.
    pub(crate) fn newest(&self) -> &Newest {
        &self.newest
    }
}

impl Sink for TableSink {
    async fn write(
        &self,
        windows: Vec<FinalWindow>,
        offsets: BTreeMap<i32, i64>,
    ) -> Result<Vec<Written>, WriteError> {
        let picked = Newest::pick(&self.tables, &windows);
        let offsets: Vec<_> = offsets.iter().map(|(p, next)| format!("\"{p}\":{next}")).collect();
        let mut facts = self.facts.to_vec();
        facts.push(("offsets", format!("{{{}}}", offsets.join(","))));
        let facts: Facts = facts.into();
        let forms = |window: FinalWindow| {
            let window = Arc::new(window);
            let has_copy = self.tables[window.table].csv;
            let as_csv = has_copy.then(|| (Arc::clone(&window), true));
            std::iter::once((window, false)).chain(as_csv)
        };
        let objects = windows.into_iter().flat_map(forms).map(|(window, is_copy)| {
            let (tables, facts) = (Arc::clone(&self.tables), Arc::clone(&facts));
            move || if is_copy { Ok(copy(&tables, &window)) } else { object(&tables, &window, &facts) }
        });
        let written = self.writer.write(objects, self.tables.len()).await?;
        self.newest.written(picked);
        Ok(written)
    }

    async fn archive(&self, header: &Header, rows: Vec<Archived>) -> Result<Vec<Written>, WriteError> {
        let named = |(table, archive): (usize, &Archive)| {
            let encode = |(name, part): (String, archive::Part<'_>)| {
                archived(table, archive, header, name, &part, &self.facts)
            };
            archive::parts(archive, header, &rows).into_iter().map(encode).collect::<Vec<_>>()
        };
        let objects: Vec<_> = self.archives.iter().enumerate().flat_map(named).collect();
        let objects = objects.into_iter().map(|object| move || object);
        self.writer.write(objects, self.archives.len()).await
    }
}

fn object(tables: &[Table], window: &FinalWindow, facts: &Facts) -> Result<Object, WriteError> {
    let table = &tables[window.table];
    let name = parquet::object_name(table, window.start);
    let content = parquet::encode(table, window, facts)
        .map_err(|source| WriteError::Encode { object: name.clone(), source })?
        .into();
    Ok(Object { table: window.table, name, content, rows: window.rows.len() as u64, is_copy: false })
}

fn copy(tables: &[Table], window: &FinalWindow) -> Object {
    let table = &tables[window.table];
    Object {
        table: window.table,
        name: csv::object_name(table, window.start),
        content: csv::encode(table, window).into(),
        rows: window.rows.len() as u64,
        is_copy: true,
    }
}

fn archived(
    table: usize,
    archive: &Archive,
    header: &Header,
    name: String,
    part: &archive::Part<'_>,
    facts: &Facts,
) -> Result<Object, WriteError> {
    let content = archive::encode(archive, header, &part.rows, facts)
        .map_err(|source| WriteError::Encode { object: name.clone(), source })?
        .into();
    Ok(Object { table, name, content, rows: part.rows.len() as u64, is_copy: false })
}
