//! The queries of docs/reading.md, as they stand there, on a store that a consumer has written: with a day
//! that was compacted, periods that were rebuilt twice, and days that neither was done to.
//!
//! Needs `python3` and a package index the first time. Spark has a test of its own that is not run by
//! default: it takes a Java and a minute.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;
mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use arrow_schema::DataType;
use common::{Rows, START};
use spillway_consumer::compact::{Compact, compact};
use spillway_consumer::rebuild::{Copies, Rebuild, rebuild};
use spillway_testkit::python::Venv;
use world::{DAY, TABLE, Tweets, World, assert_rows};

const PAGE: &str = include_str!("../../docs/reading.md");
const PACKAGES: [&str; 4] = ["duckdb==2.0.0", "pandas==3.1.1", "pyarrow==26.0.1", "sqlglot==30.30.0"];
/// As the other tests with Spark.
const SPARK: &str = "pyspark==4.0.0";

/// The block of code with this mark.
fn block(mark: &str) -> String {
    let begin = format!("```{mark}\n");
    let (_, rest) = PAGE.split_once(&begin).unwrap_or_else(|| panic!("no block {mark}"));
    assert!(!rest.contains(&begin), "{mark} is there twice");
    rest.split_once("```").unwrap().0.to_owned()
}

/// The block with this mark, for a store.
fn block_on(mark: &str, store: &Path) -> String {
    let text = block(mark);
    assert!(text.contains("STORE"), "{mark} names no store");
    text.replace("STORE", store.to_str().unwrap())
}

/// The first day is compacted, and it and the second have rebuilt periods; one of them twice.
fn written() -> World {
    let mut world = World::new();
    let config = world.config();
    let range = (START * 1_000_000, (START + 30 * DAY) * 1_000_000);
    compact(&config, &Compact { tables: vec![TABLE.into()], days: Some((range.0, range.0 + 1)) }).unwrap();
    let again = Rebuild { tables: vec![TABLE.into()], from: range.0, to: range.1, copies: Copies::AskKafka };
    for late in [&[5, 299, 300, DAY + 7_205][..], &[7, 4_900]] {
        world.come_late(late);
        assert!(rebuild(&config, &again).unwrap().tables[0].periods > 0);
    }
    let count = |place: &str| {
        let days = std::fs::read_dir(world.store().join(place).join(TABLE)).unwrap();
        days.map(|day| std::fs::read_dir(day.unwrap().path()).unwrap().count()).sum::<usize>()
    };
    assert_eq!((count("compact"), count("rebuilt")), (1, 3));
    world
}

/// Runs a program that prints `[[start in seconds, place, events, unique actors], …]` as JSON.
fn rows_from(venv: &Venv, program: &str) -> Vec<(i64, String, i64, i64)> {
    let said = venv.run(program, &[]).unwrap_or_else(|error| panic!("{error}\n{program}"));
    serde_json::from_slice(&said).unwrap()
}

/// The same of what the rows must be, on the days that a query names.
fn wanted(rows: &Rows, days: std::ops::Range<i64>) -> Vec<(i64, String, i64, i64)> {
    let of_days = rows.iter().filter(|((start, _), _)| days.contains(&((start - START) / DAY)));
    of_days.map(|((start, place), counts)| (*start, place.clone(), counts[0], counts[3])).collect()
}

fn all_days(tweets: &Tweets) -> Vec<(i64, String, i64, i64)> {
    wanted(&tweets.rows(), 0..100)
}

/// A program that runs statements in DuckDB and prints the rows of the last one.
fn in_duckdb(statements: &[String]) -> String {
    let statements = serde_json::to_string(statements).unwrap();
    format!(
        "import duckdb, json\n\
         *first, last = json.loads({statements:?})\n\
         db = duckdb.connect()\n\
         for statement in first: db.execute(statement)\n\
         last = last.strip().rstrip(';')\n\
         rows = db.execute('SELECT CAST(epoch(window_start) AS BIGINT), place, events, unique_actors FROM (' + last + ')')\n\
         print(json.dumps(sorted(rows.fetchall())))\n"
    )
}

#[test]
fn duckdb_and_pandas_read_what_counts() {
    let world = written();
    let venv = Venv::get("reading", &PACKAGES).unwrap();
    let store = world.store();
    assert_rows(&world.shown(), &world.all().rows());

    let plain = rows_from(&venv, &in_duckdb(&[block_on("sql duckdb=plain", store)]));
    assert_eq!(plain, wanted(&world.on_time.rows(), 0..2), "final objects, the days of the query");
    let current = rows_from(&venv, &in_duckdb(&[block_on("sql duckdb=current", store)]));
    assert_eq!(current, all_days(&world.all()));

    let pandas = block_on("python pandas=current", store)
        + "\nimport json\n\
           start = activity['window_start'].astype('int64') // {'us': 10**6, 'ns': 10**9}[activity['window_start'].dt.unit]\n\
           rows = zip(start.tolist(), activity['place'].tolist(), activity['events'].tolist(), activity['unique_actors'].tolist())\n\
           assert by_place.sum() == activity['events'].sum()\n\
           print(json.dumps(sorted(rows)))\n";
    assert_eq!(rows_from(&venv, &pandas), all_days(&world.all()));
}

/// Athena itself cannot be had. Its statements are parsed as Athena's by another project's parser, their
/// columns are those of the objects, and the view and the query are run by DuckDB on the same objects.
#[test]
fn the_statements_for_athena_fit_the_objects_and_come_to_what_counts() {
    let world = written();
    let venv = Venv::get("reading", &PACKAGES).unwrap();
    let marks = ["tables", "compact", "rebuilt", "view", "query"].map(|mark| format!("sql athena={mark}"));
    let texts: Vec<String> = marks.iter().map(|mark| block(mark)).collect();
    let program = format!(
        "import json, sqlglot\n\
         for text in json.loads({:?}):\n    \
         [parsed] = sqlglot.parse(text.replace('${{dt}}', 'x'), read='athena')\n    \
         assert type(parsed).__name__ in ('Create', 'Select'), text\n",
        serde_json::to_string(&texts).unwrap()
    );
    venv.run(&program, &[]).unwrap();

    let mut views = Vec::new();
    for (text, place) in texts.iter().zip(["tables", "compact", "rebuilt"]) {
        let (name, columns) = declared(text);
        assert_eq!(columns, stored(&world.store().join(place).join(TABLE)), "{place}");
        assert_eq!(text.matches(&format!("s3://bucket/prefix/{place}/{TABLE}/")).count(), 2, "{text}");
        assert!(text.contains(&format!("s3://bucket/prefix/{place}/{TABLE}/dt=${{dt}}/'")), "{text}");
        let objects = world.store().join(place).join(TABLE).join("*/*.parquet");
        views.push(format!(
            "CREATE VIEW {name} AS SELECT * REPLACE (CAST(dt AS VARCHAR) AS dt) FROM \
             read_parquet('{}', hive_partitioning = true)",
            objects.display()
        ));
    }
    views.push(texts[3].clone());
    let all = [views.clone(), vec!["SELECT * FROM city_activity".to_owned()]].concat();
    assert_eq!(rows_from(&venv, &in_duckdb(&all)), all_days(&world.all()));
    let query = [views, vec![texts[4].clone()]].concat();
    assert_eq!(rows_from(&venv, &in_duckdb(&query)), wanted(&world.all().rows(), 0..2));
}

/// The name and the columns of a `CREATE EXTERNAL TABLE`.
fn declared(text: &str) -> (String, Vec<(String, String)>) {
    let (head, rest) = text.split_once("(\n").unwrap();
    let name = head.trim().rsplit(' ').next().unwrap().to_owned();
    let columns = rest.split_once("\n)").unwrap().0;
    let column = |line: &str| {
        let (name, form) = line.trim().trim_end_matches(',').split_once(' ').unwrap();
        (name.to_owned(), form.to_owned())
    };
    assert!(text.contains("PARTITIONED BY (dt string)\nSTORED AS PARQUET"), "{text}");
    (name, columns.lines().map(column).collect())
}

/// The columns of the objects below a folder as Athena calls them; the same in all.
fn stored(table: &Path) -> Vec<(String, String)> {
    let mut found: BTreeMap<Vec<(String, String)>, usize> = BTreeMap::new();
    for day in std::fs::read_dir(table).unwrap() {
        for object in std::fs::read_dir(day.unwrap().path()).unwrap() {
            let file = std::fs::File::open(object.unwrap().path()).unwrap();
            let builder =
                parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            let fields = builder.schema().fields().iter();
            let columns = fields.map(|field| (field.name().clone(), athena(field.data_type()).to_owned()));
            *found.entry(columns.collect()).or_default() += 1;
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_keys().next().unwrap()
}

fn athena(form: &DataType) -> &'static str {
    match form {
        DataType::Int64 => "bigint",
        DataType::Float64 => "double",
        DataType::Boolean => "boolean",
        DataType::Utf8 => "string",
        DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => {
            "timestamp"
        }
        other => panic!("{other} has no name"),
    }
}

#[test]
fn a_notification_has_the_form_that_is_described() {
    let keys = |of: &str| -> Vec<String> {
        let described: serde_json::Value = serde_json::from_str(&block(&format!("json {of}"))).unwrap();
        described.as_object().unwrap().keys().cloned().collect()
    };
    let window = ["id", "object", "store", "table", "what", "window_end", "window_start"];
    assert_eq!(keys("notification=window"), window);
    assert_eq!(keys("notification=version"), ["day", "id", "object", "store", "table", "version", "what"]);
    assert_eq!(keys("notification=day"), ["day", "id", "object", "store", "table", "what"]);
}

#[test]
fn the_commands_of_the_page_are_those_of_the_program() {
    let words = |line: &str| -> Vec<String> { line.split_whitespace().skip(1).map(str::to_owned).collect() };
    let commands: Vec<Vec<String>> =
        PAGE.lines().filter(|line| line.starts_with("spillway-consumer ")).map(words).collect();
    assert_eq!(commands.len(), 5);
    for words in commands {
        let output = Command::new(env!("CARGO_BIN_EXE_spillway-consumer"))
            .env_clear()
            .args(&words)
            .current_dir(tempfile::tempdir().unwrap().path())
            .output()
            .unwrap();
        // The folder is empty: the configuration or the store is missing, and nothing is wrong with the words.
        assert!(matches!(output.status.code(), Some(66 | 78)), "{words:?}: {output:?}");
    }
}

#[test]
#[ignore = "starts Spark, which needs a Java and a minute: cargo test -p spillway-consumer --test reading -- --ignored"]
fn spark_reads_what_counts() {
    let world = written();
    let venv = Venv::get("reading-spark", &[SPARK]).unwrap();
    let program = "from pyspark.sql import SparkSession\n\
        spark = (SparkSession.builder.master('local[2]').config('spark.ui.enabled', 'false')\n\
            .config('spark.sql.session.timeZone', 'UTC').config('spark.sql.shuffle.partitions', '4').getOrCreate())\n"
        .to_owned()
        + &block_on("python spark=current", world.store())
        + "\nimport json\n\
           rows = activity.selectExpr('unix_timestamp(window_start)', 'place', 'events', 'unique_actors').collect()\n\
           print('ROWS' + json.dumps(sorted(tuple(row) for row in rows)))\n";
    let output = Command::new(venv.python())
        .env("PYSPARK_PYTHON", venv.python())
        .env("SPARK_LOCAL_IP", "127.0.0.1")
        .env_remove("SPARK_HOME")
        .stdin(Stdio::null())
        .args(["-c", &program])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let rows = said.lines().find_map(|line| line.strip_prefix("ROWS"));
    let rows = rows.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let rows: Vec<(i64, String, i64, i64)> = serde_json::from_str(rows).unwrap();
    assert_eq!(rows, all_days(&world.all()));
}
