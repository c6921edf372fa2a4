//! Reads the tables back from the Parquet files, by the documented layout and nothing else:
//! `tables/<table>/dt=YYYY-MM-DD/*.parquet`. It does not use the consumer's own reader, so that an
//! error in how the files are written is seen.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::{Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use chrono::DateTime;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use spillway_testkit::oracle::{ActivityTable, CityTable, Counts};

use crate::error::Error;
use crate::input::WINDOW;

/// What the consumer has written.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) activity: ActivityTable,
    pub(crate) cities: CityTable,
    /// Files of both tables.
    pub(crate) files: usize,
}

/// One row of a file.
struct Row {
    start: i64,
    place: Option<String>,
    counts: Counts,
}

impl Tables {
    /// Reads both tables of the store.
    pub(crate) fn read(store: &Path) -> Result<Self, Error> {
        let mut tables = Self::default();
        for path in files(&store.join("tables/activity"))? {
            tables.files += 1;
            for row in read_file(&path, false)? {
                if tables.activity.insert(row.start, row.counts).is_some() {
                    return Err(twice(&path, row.start, None));
                }
            }
        }
        for path in files(&store.join("tables/city_activity"))? {
            tables.files += 1;
            for row in read_file(&path, true)? {
                let place = row.place.unwrap_or_default();
                if tables.cities.insert((row.start, place.clone()), row.counts).is_some() {
                    return Err(twice(&path, row.start, Some(&place)));
                }
            }
        }
        Ok(tables)
    }
}

fn twice(path: &Path, start: i64, place: Option<&str>) -> Error {
    let what = format!(
        "the window {} is there twice{}",
        time(start),
        place.map(|p| format!(" for {p}")).unwrap_or_default()
    );
    Error::Shape { path: path.to_owned(), what }
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

fn read_file(path: &Path, with_place: bool) -> Result<Vec<Row>, Error> {
    let file = File::open(path).map_err(|source| Error::Open { path: path.to_owned(), source })?;
    let failed = |source| Error::Parquet { path: path.to_owned(), source };
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build()).map_err(failed)?;
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|error| failed(error.into()))?;
        rows.extend(
            read_batch(&batch, with_place).map_err(|what| Error::Shape { path: path.to_owned(), what })?,
        );
    }
    let day = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    match rows.iter().find(|row| !day.ends_with(&time(row.start)[..10])) {
        Some(row) => Err(Error::Shape {
            path: path.to_owned(),
            what: format!("the window {} is not of that day", time(row.start)),
        }),
        None => Ok(rows),
    }
}

fn read_batch(batch: &RecordBatch, with_place: bool) -> Result<Vec<Row>, String> {
    let starts: &TimestampMicrosecondArray = column(batch, "window_start")?;
    let ends: &TimestampMicrosecondArray = column(batch, "window_end")?;
    let places: Option<&StringArray> = if with_place { Some(column(batch, "place")?) } else { None };
    let [events, reposts, referencing, unique_actors] =
        ["events", "reposts", "referencing", "unique_actors"].map(|name| column::<Int64Array>(batch, name));
    let (events, reposts, referencing, unique_actors) = (events?, reposts?, referencing?, unique_actors?);
    let length = i64::try_from(WINDOW.as_micros()).unwrap_or(i64::MAX);
    let row = |i: usize| {
        let start = starts.value(i);
        if ends.value(i) != start + length {
            return Err(format!("the window {} ends at {}", time(start), time(ends.value(i))));
        }
        let counts = Counts {
            events: events.value(i),
            reposts: reposts.value(i),
            referencing: referencing.value(i),
            unique_actors: unique_actors.value(i),
        };
        Ok(Row { start, place: places.map(|places| places.value(i).to_owned()), counts })
    };
    (0..batch.num_rows()).map(row).collect()
}

/// A column of the documented type, without nulls.
fn column<'a, T: Array + 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a T, String> {
    let column = batch.column_by_name(name).ok_or_else(|| format!("it has no column {name}"))?;
    if column.null_count() > 0 {
        return Err(format!("its column {name} has nulls"));
    }
    let typed = column.as_any().downcast_ref::<T>();
    typed.ok_or_else(|| format!("its column {name} is of type {}", column.data_type()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::ArrayRef;
    use parquet::arrow::ArrowWriter;

    use super::*;

    /// 2026-01-01T00:05:00Z
    const START: i64 = 1_767_225_900_000_000;
    const FIVE_MINUTES: i64 = 300_000_000;

    /// A batch of one row; `spoil` changes its columns.
    fn batch(place: Option<&str>, spoil: impl FnOnce(&mut Vec<(&'static str, ArrayRef)>)) -> RecordBatch {
        let time =
            |t: i64| Arc::new(TimestampMicrosecondArray::from(vec![t]).with_timezone("UTC")) as ArrayRef;
        let number = |n: i64| Arc::new(Int64Array::from(vec![n])) as ArrayRef;
        let mut columns = vec![("window_start", time(START)), ("window_end", time(START + FIVE_MINUTES))];
        columns.extend(place.map(|p| ("place", Arc::new(StringArray::from(vec![p])) as ArrayRef)));
        columns.extend([
            ("events", number(4)),
            ("reposts", number(3)),
            ("referencing", number(2)),
            ("unique_actors", number(1)),
        ]);
        spoil(&mut columns);
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn write(store: &Path, name: &str, batch: &RecordBatch) {
        let path = store.join("tables").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
    }

    fn fault(files: &[(&str, RecordBatch)]) -> String {
        let store = tempfile::tempdir().unwrap();
        for (name, batch) in files {
            write(store.path(), name, batch);
        }
        let error = Tables::read(store.path()).unwrap_err();
        let Error::Shape { what, .. } = error else { panic!("{error}") };
        what
    }

    #[test]
    fn tables_are_read_by_the_documented_layout() {
        let store = tempfile::tempdir().unwrap();
        assert_eq!(
            Tables::read(store.path()).unwrap().files,
            0,
            "a table of which nothing is written has no rows"
        );
        write(store.path(), "activity/dt=2026-01-01/a.parquet", &batch(None, |_| {}));
        write(store.path(), "city_activity/dt=2026-01-01/c.parquet", &batch(Some("Rome, Lazio"), |_| {}));
        let tables = Tables::read(store.path()).unwrap();
        let counts = Counts { events: 4, reposts: 3, referencing: 2, unique_actors: 1 };
        assert_eq!(tables.activity, [(START, counts)].into());
        assert_eq!(tables.cities, [((START, "Rome, Lazio".to_owned()), counts)].into());
        assert_eq!(tables.files, 2);
    }

    #[test]
    fn what_is_not_as_documented_is_a_fault() {
        let good = || batch(None, |_| {});
        let in_place = "activity/dt=2026-01-01/a.parquet";
        assert_eq!(
            fault(&[(in_place, good()), ("activity/dt=2026-01-01/b.parquet", good())]),
            "the window 2026-01-01 00:05 is there twice"
        );
        assert_eq!(
            fault(&[("activity/dt=2026-01-02/a.parquet", good())]),
            "the window 2026-01-01 00:05 is not of that day"
        );
        assert_eq!(
            fault(&[("activity/2026-01-01/a.parquet", good())]),
            "a folder of a table must be named dt=YYYY-MM-DD"
        );
        let long = batch(None, |c| {
            c[1].1 = Arc::new(TimestampMicrosecondArray::from(vec![START + 1]).with_timezone("UTC"))
        });
        assert_eq!(fault(&[(in_place, long)]), "the window 2026-01-01 00:05 ends at 2026-01-01 00:05");
        let without = batch(None, |c| drop(c.pop()));
        assert_eq!(fault(&[(in_place, without)]), "it has no column unique_actors");
        let null = batch(None, |c| c[2].1 = Arc::new(Int64Array::from(vec![None::<i64>])));
        assert_eq!(fault(&[(in_place, null)]), "its column events has nulls");
        let text = batch(None, |c| c[2].1 = Arc::new(StringArray::from(vec!["4"])));
        assert_eq!(fault(&[(in_place, text)]), "its column events is of type Utf8");
    }
}
