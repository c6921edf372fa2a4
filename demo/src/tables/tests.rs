//! The documented layout is read, and what departs from it is refused.

use std::fs::File;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use parquet::arrow::ArrowWriter;

use super::*;

/// 2026-01-01T00:05:00Z
const START: i64 = 1_767_225_900_000_000;
const FIVE_MINUTES: i64 = 300_000_000;

/// A batch of one row; `spoil` changes its columns.
fn batch(place: Option<&str>, spoil: impl FnOnce(&mut Vec<(&'static str, ArrayRef)>)) -> RecordBatch {
    let time = |t: i64| Arc::new(TimestampMicrosecondArray::from(vec![t]).with_timezone("UTC")) as ArrayRef;
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
fn hashtags_and_sentiment_are_read_with_their_own_windows_and_columns() {
    let store = tempfile::tempdir().unwrap();
    let time = |t: i64| Arc::new(TimestampMicrosecondArray::from(vec![t]).with_timezone("UTC")) as ArrayRef;
    let text = |text: &str| Arc::new(StringArray::from(vec![text])) as ArrayRef;
    let real = |n: Option<f64>| Arc::new(Float64Array::from(vec![n])) as ArrayRef;
    let number = |n: i64| Arc::new(Int64Array::from(vec![n])) as ArrayRef;
    let hour = START - FIVE_MINUTES;
    let happiest = [
        ("window_start", time(hour)),
        ("window_end", time(hour + 12 * FIVE_MINUTES)),
        ("tag", text("sun")),
        ("smiles", number(7)),
    ];
    let happiest = RecordBatch::try_from_iter(happiest).unwrap();
    write(store.path(), "happiest_hashtags/dt=2026-01-01/h.parquet", &happiest);
    // Of one post there is no deviation.
    let sentiment = [
        ("window_start", time(START)),
        ("window_end", time(START + FIVE_MINUTES)),
        ("sentiment_count", number(1)),
        ("sentiment_mean", real(Some(0.5))),
        ("sentiment_stddev", real(None)),
        ("sentiment_min", real(Some(0.25))),
        ("sentiment_max", real(Some(0.75))),
        ("most_positive", real(Some(0.75))),
        ("most_positive_id", text("1")),
        ("most_positive_text", text("good")),
        ("most_negative", real(Some(0.25))),
        ("most_negative_id", text("2")),
        ("most_negative_text", text("less so")),
    ];
    let sentiment = RecordBatch::try_from_iter_with_nullable(
        sentiment.into_iter().map(|(name, column)| (name, column, true)),
    );
    write(store.path(), "sentiment_extremes/dt=2026-01-01/s.parquet", &sentiment.unwrap());

    let tables = Tables::read(store.path()).unwrap();
    assert_eq!(tables.happiest, [((hour, "sun".to_owned()), 7)].into());
    let extreme =
        |polarity, id: &str, text: &str| Extreme { polarity, id: id.to_owned(), text: text.to_owned() };
    let row = Sentiment {
        count: 1,
        mean: 0.5,
        min: 0.25,
        max: 0.75,
        positive: extreme(0.75, "1", "good"),
        negative: extreme(0.25, "2", "less so"),
    };
    assert_eq!(tables.sentiment, [(START, row)].into());
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
