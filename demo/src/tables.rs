//! Reads the tables back from the Parquet files, by the documented layout and nothing else:
//! `tables/<table>/dt=YYYY-MM-DD/*.parquet`. It does not use the consumer's own reader, so that an
//! error in how the files are written is seen.

mod row;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::DateTime;
use spillway_testkit::oracle::{ActivityTable, CityTable, Counts};

use crate::error::Error;
use crate::input::{HOUR, WINDOW};
use crate::posts::HappiestTable;
use crate::sentiment::{Extreme, Sentiment, SentimentTable};
use row::Row;

/// What the consumer has written.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) activity: ActivityTable,
    pub(crate) cities: CityTable,
    pub(crate) happiest: HappiestTable,
    pub(crate) sentiment: SentimentTable,
    /// Files of all tables.
    pub(crate) files: usize,
}

impl Tables {
    /// Reads all tables of the store.
    pub(crate) fn read(store: &Path) -> Result<Self, Error> {
        let activity = Table { name: "activity", window: WINDOW, group: None }.read(store, counts)?;
        let cities = Table { name: "city_activity", window: WINDOW, group: Some("place") };
        let cities = cities.read(store, counts)?;
        let happiest = Table { name: "happiest_hashtags", window: HOUR, group: Some("tag") };
        let happiest = happiest.read(store, |row| row.count("smiles"))?;
        let sentiment = Table { name: "sentiment_extremes", window: WINDOW, group: None };
        let sentiment = sentiment.read(store, sentiment_of)?;
        Ok(Self {
            files: activity.files + cities.files + happiest.files + sentiment.files,
            activity: activity.without_group().collect(),
            cities: cities.rows,
            happiest: happiest.rows,
            // A window in which no post has a text has a row that counts none.
            sentiment: sentiment.without_group().filter_map(|(start, row)| Some((start, row?))).collect(),
        })
    }
}

fn counts(row: &Row<'_>) -> Result<Counts, String> {
    Ok(Counts {
        events: row.count("events")?,
        reposts: row.count("reposts")?,
        referencing: row.count("referencing")?,
        unique_actors: row.count("unique_actors")?,
    })
}

fn sentiment_of(row: &Row<'_>) -> Result<Option<Sentiment>, String> {
    let count = row.count("sentiment_count")?;
    if count == 0 {
        return Ok(None);
    }
    let extreme = |name: &str| {
        Ok::<_, String>(Extreme {
            polarity: row.real(name)?,
            id: row.text(&format!("{name}_id"))?,
            text: row.text(&format!("{name}_text"))?,
        })
    };
    Ok(Some(Sentiment {
        count,
        mean: row.real("sentiment_mean")?,
        min: row.real("sentiment_min")?,
        max: row.real("sentiment_max")?,
        positive: extreme("most_positive")?,
        negative: extreme("most_negative")?,
    }))
}

/// How a table is laid out.
struct Table {
    name: &'static str,
    window: Duration,
    /// The column that it is grouped by.
    group: Option<&'static str>,
}

/// What a table holds: by window start and group, which is empty without one.
struct Found<V> {
    rows: BTreeMap<(i64, String), V>,
    files: usize,
}

impl<V> Found<V> {
    fn without_group(self) -> impl Iterator<Item = (i64, V)> {
        self.rows.into_iter().map(|((start, _), value)| (start, value))
    }
}

impl Table {
    fn read<V>(
        &self,
        store: &Path,
        value: impl Fn(&Row<'_>) -> Result<V, String>,
    ) -> Result<Found<V>, Error> {
        let files = files(&store.join("tables").join(self.name))?;
        let mut found = Found { rows: BTreeMap::new(), files: files.len() };
        for path in files {
            let shape = |what| Error::Shape { path: path.clone(), what };
            for batch in row::batches(&path)? {
                for index in 0..batch.num_rows() {
                    let row = Row { batch: &batch, index };
                    let start = row.window(self.window).and_then(|start| of_day(start, &path));
                    let start = start.map_err(shape)?;
                    let group = self.group.map_or(Ok(String::new()), |name| row.text(name)).map_err(shape)?;
                    let value = value(&row).map_err(shape)?;
                    if found.rows.insert((start, group.clone()), value).is_some() {
                        return Err(shape(twice(start, &group)));
                    }
                }
            }
        }
        Ok(found)
    }
}

/// The start of a window, which must be of the day whose folder the file is in.
fn of_day(start: i64, path: &Path) -> Result<i64, String> {
    let day = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    let text = time(start);
    let date = text.split(' ').next().unwrap_or_default();
    let is_of_day = day.strip_prefix("dt=") == Some(date);
    is_of_day.then_some(start).ok_or_else(|| format!("the window {text} is not of that day"))
}

fn twice(start: i64, group: &str) -> String {
    let of = if group.is_empty() { String::new() } else { format!(" for {group}") };
    format!("the window {} is there twice{of}", time(start))
}

/// For people: `2021-06-01 00:35`.
pub(crate) fn time(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros)
        .map_or_else(|| micros.to_string(), |t| t.format("%Y-%m-%d %H:%M").to_string())
}

/// All Parquet files of a table, which has none when nothing was written.
fn files(table: &Path) -> Result<Vec<PathBuf>, Error> {
    if !table.exists() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for day in list(table)? {
        let name = day.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with("dt=") {
            return Err(Error::Shape {
                path: day,
                what: "a folder of a table must be named dt=YYYY-MM-DD".into(),
            });
        }
        files.extend(list(&day)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "parquet")));
    }
    files.sort();
    Ok(files)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::List { path: folder.to_owned(), source };
    std::fs::read_dir(folder).map_err(failed)?.map(|entry| entry.map(|e| e.path()).map_err(failed)).collect()
}

#[cfg(test)]
mod tests;
