//! The blocks of code of docs/reading.md, and how each engine runs those that query `city_activity` on a
//! store. The demo's tests use it too, on what the demo has written.
//!
//! Needs `python3` and a package index the first time; Spark needs a Java as well.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use arrow_schema::DataType;
use spillway_testkit::python::Venv;

pub(crate) const PAGE: &str = include_str!("../../../docs/reading.md");
const TABLE: &str = "city_activity";
/// The last is the original VADER, for a second opinion on sentiment.
const PACKAGES: [&str; 5] =
    ["duckdb==2.0.0", "pandas==3.1.1", "pyarrow==26.0.1", "sqlglot==30.30.0", "vaderSentiment==3.3.2"];
/// As the other tests with Spark.
const SPARK: &str = "pyspark==4.0.0";

/// Start in seconds since 1970, place, events, unique actors.
pub(crate) type Row = (i64, String, i64, i64);

/// Python with the engines but Spark.
pub(crate) fn venv() -> Venv {
    Venv::get("reading", &PACKAGES).unwrap()
}

/// The block of code with this mark.
pub(crate) fn block(mark: &str) -> String {
    let begin = format!("```{mark}\n");
    let (_, rest) = PAGE.split_once(&begin).unwrap_or_else(|| panic!("no block {mark}"));
    assert!(!rest.contains(&begin), "{mark} is there twice");
    rest.split_once("```").unwrap().0.to_owned()
}

/// The block with this mark, for a store.
pub(crate) fn block_on(mark: &str, store: &Path) -> String {
    let text = block(mark);
    assert!(text.contains("STORE"), "{mark} names no store");
    text.replace("STORE", store.to_str().unwrap())
}

/// The query for a table that was never rebuilt.
pub(crate) fn duckdb_plain(venv: &Venv, store: &Path) -> Vec<Row> {
    rows_from(venv, &in_duckdb(&[block_on("sql duckdb=plain", store)]))
}

/// The query by both rules.
pub(crate) fn duckdb_current(venv: &Venv, store: &Path) -> Vec<Row> {
    rows_from(venv, &in_duckdb(&[block_on("sql duckdb=current", store)]))
}

/// The page's function, and the sum by place.
pub(crate) fn pandas(venv: &Venv, store: &Path) -> Vec<Row> {
    let program = block_on("python pandas=current", store)
        + "\nimport json\n\
           start = activity['window_start'].astype('int64') // {'us': 10**6, 'ns': 10**9}[activity['window_start'].dt.unit]\n\
           rows = zip(start.tolist(), activity['place'].tolist(), activity['events'].tolist(), activity['unique_actors'].tolist())\n\
           assert by_place.sum() == activity['events'].sum()\n\
           print(json.dumps(sorted(rows)))\n";
    rows_from(venv, &program)
}

/// Athena itself cannot be had. Its statements are parsed as Athena's by another project's parser, their
/// columns are those of the objects, and the view and the query are run by DuckDB on the same objects.
/// Gives the rows of the view, and those of the query.
pub(crate) fn athena(venv: &Venv, store: &Path) -> (Vec<Row>, Vec<Row>) {
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
        assert_eq!(columns, stored(&store.join(place).join(TABLE)), "{place}");
        assert_eq!(text.matches(&format!("s3://bucket/prefix/{place}/{TABLE}/")).count(), 2, "{text}");
        assert!(text.contains(&format!("s3://bucket/prefix/{place}/{TABLE}/dt=${{dt}}/'")), "{text}");
        let objects = store.join(place).join(TABLE).join("*/*.parquet");
        views.push(format!(
            "CREATE VIEW {name} AS SELECT * REPLACE (CAST(dt AS VARCHAR) AS dt) FROM \
             read_parquet('{}', hive_partitioning = true)",
            objects.display()
        ));
    }
    views.push(texts[3].clone());
    let all = [views.clone(), vec![format!("SELECT * FROM {TABLE}")]].concat();
    let query = [views, vec![texts[4].clone()]].concat();
    (rows_from(venv, &in_duckdb(&all)), rows_from(venv, &in_duckdb(&query)))
}

/// The page's function. Takes a minute.
pub(crate) fn spark(store: &Path) -> Vec<Row> {
    let venv = Venv::get("pyspark", &[SPARK]).unwrap();
    let program = "from pyspark.sql import SparkSession\n\
        spark = (SparkSession.builder.master('local[2]').config('spark.ui.enabled', 'false')\n\
            .config('spark.sql.session.timeZone', 'UTC').config('spark.sql.shuffle.partitions', '4').getOrCreate())\n"
        .to_owned()
        + &block_on("python spark=current", store)
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
    serde_json::from_str(rows).unwrap()
}

/// Runs a program that prints `[[start in seconds, place, events, unique actors], …]` as JSON.
fn rows_from(venv: &Venv, program: &str) -> Vec<Row> {
    let said = venv.run(program, &[]).unwrap_or_else(|error| panic!("{error}\n{program}"));
    serde_json::from_slice(&said).unwrap()
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
            let columns =
                fields.map(|field| (field.name().clone(), athena_name(field.data_type()).to_owned()));
            *found.entry(columns.collect()).or_default() += 1;
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_keys().next().unwrap()
}

fn athena_name(form: &DataType) -> &'static str {
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
