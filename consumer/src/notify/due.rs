//! Which final objects a target has not been told of: windows by the names in the store, objects of archives
//! by the entries of the log that they were made of.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::Final;
use super::mark::Mark;
use super::note::{Note, Of};
use crate::archive::{self, Archive};
use crate::config::Config;
use crate::log::{Entry, Log, LogError};
use crate::micros::Micros;
use crate::parquet::TABLES;
use crate::parquet::object_name;
use crate::show::layout::{Day, period_of};
use crate::store::{Objects, StoreError};
use crate::tables::Table;

/// Why it cannot be found out. It can be tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum DueError {
    #[error("the store cannot be listed")]
    Store(#[from] StoreError),
    #[error("the log cannot be read")]
    Log(#[from] LogError),
}

/// Entries that are fetched at once.
const PARALLEL: usize = 8;

/// Where objects are found.
#[derive(Debug)]
pub(super) struct Source<S> {
    pub(super) store: S,
    pub(super) url: String,
    log: Log<S>,
    tables: Vec<Table>,
    archives: Vec<Archive>,
}

impl<S: Objects> Source<S> {
    pub(super) fn new(store: S, log: Log<S>, config: &Config) -> Self {
        let (tables, archives) = (config.tables.clone(), config.archives.clone());
        Self { store, url: config.store.url.to_string(), log, tables, archives }
    }

    pub(super) fn topic(&self) -> &str {
        self.log.topic()
    }

    /// The objects that have become final between `told` and `newest`, in the order of their names for each
    /// table.
    pub(super) async fn between(&self, told: &Mark, newest: &Final) -> Result<Vec<Note>, DueError> {
        let mut notes = Vec::new();
        if let Some(through) = newest.through.filter(|through| Some(*through) > told.through()) {
            for table in &self.tables {
                self.windows(table, told.through(), through, &mut notes).await?;
            }
        }
        if !self.archives.is_empty() {
            for (partition, end) in &newest.positions {
                let seqs = told.position(*partition)..*end;
                let read = seqs.map(|seq| self.log.read(*partition, seq));
                let mut entries = stream::iter(read).buffered(PARALLEL);
                while let Some(entry) = entries.try_next().await? {
                    // An entry of old that was removed has been read by whoever removed it.
                    entry.iter().for_each(|entry| self.archived(entry, &mut notes));
                }
            }
        }
        Ok(notes)
    }

    /// The windows of a table that end behind `after` and at or before `through`.
    async fn windows(
        &self,
        table: &Table,
        after: Option<Micros>,
        through: Micros,
        notes: &mut Vec<Note>,
    ) -> Result<(), DueError> {
        let width = table.width();
        // A window that ended just then was the last one to be told of.
        let last_told = after.map(|after| after.saturating_sub(width));
        let folders = self.store.folders(&format!("{TABLES}/{}", table.name)).await?;
        let mut days: Vec<Day> = folders.iter().filter_map(|name| Day::named(name)).collect();
        days.sort();
        let is_due = |day: &Day| day.start() <= through && last_told.is_none_or(|last| day.end() > last);
        for day in days.into_iter().filter(is_due) {
            let told =
                last_told.map(|last| object_name(table, last)).filter(|_| last_told >= Some(day.start()));
            let mut names = self.store.list(&day.folder(TABLES, &table.name), told.as_deref()).await?;
            names.sort();
            for object in names {
                let Some(start) = period_of(&object, &table.name) else { continue };
                let end = start.saturating_add(width);
                if end <= through && after.is_none_or(|after| end > after) {
                    notes.push(Note { table: table.name.clone(), object, of: Of::Window { start, end } });
                }
            }
        }
        Ok(())
    }

    /// The archives' objects that an entry came to.
    fn archived(&self, entry: &Entry, notes: &mut Vec<Note>) {
        for archive in &self.archives {
            let parts = archive::parts(archive, &entry.header, &entry.archived);
            let note = |(object, _)| Note { table: archive.name.clone(), object, of: Of::Events };
            notes.extend(parts.into_iter().map(note));
        }
    }
}
