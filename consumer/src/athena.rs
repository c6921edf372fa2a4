//! A test only: the columns that the consumer writes are those that Athena is told of, by
//! terraform/columns.json and by the rules of terraform/catalog.tf, which are repeated here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow_schema::{DataType, Schema, TimeUnit};
use bytes::Bytes;
use serde::Deserialize;

use crate::archive::{self, Archive, FIELDS};
use crate::filter::Filter;
use crate::finalise::FinalWindow;
use crate::log::Header;
use crate::metrics::{By, KINDS, Plan, groups};
use crate::parquet;
use crate::presets::{PRESETS, preset, preset_archive};
use crate::tables::{COUNTS, Table};

/// A column: its name, and its type in Athena.
type Column = (String, String);

/// `terraform/columns.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Columns {
    #[serde(rename = "about")]
    _about: String,
    groups: BTreeMap<String, Vec<String>>,
    metrics: BTreeMap<String, Vec<Column>>,
    events: BTreeMap<String, String>,
    events_end: Vec<Column>,
}

fn terraform(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../terraform").join(file);
    std::fs::read_to_string(path).unwrap()
}

impl Columns {
    fn read() -> Self {
        serde_json::from_str(&terraform("columns.json")).unwrap()
    }

    /// As `local.window_columns` in catalog.tf.
    fn of_table(&self, table: &Table) -> Vec<Column> {
        let column = |name: &str, form: &str| (name.to_owned(), form.to_owned());
        let mut columns = vec![column("window_start", "timestamp"), column("window_end", "timestamp")];
        columns.extend(self.groups[table.group_by.name()].iter().map(|group| column(group, "string")));
        columns.extend(table.plan.kinds().iter().flat_map(|kind| self.metrics[kind.name()].clone()));
        columns
    }

    /// As `local.archive_tables` in catalog.tf.
    fn of_archive(&self, archive: &Archive) -> Vec<Column> {
        let column = |name: &str| (name.to_owned(), self.events[name].clone());
        let own = archive.columns.iter().map(|field| column(field.name()));
        own.chain(self.events_end.iter().cloned()).collect()
    }
}

/// What Athena calls a type that the consumer writes.
fn athena(form: &DataType) -> String {
    match form {
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if **zone == *"UTC" => "timestamp".to_owned(),
        DataType::Utf8 => "string".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::List(item) => format!("array<{}>", athena(item.data_type())),
        other => panic!("Athena has no type for {other}"),
    }
}

/// The columns of an object, as a reader finds them in it.
fn written(object: Vec<u8>) -> Vec<Column> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(object)).unwrap();
    let schema: &Schema = reader.schema();
    schema.fields().iter().map(|field| (field.name().clone(), athena(field.data_type()))).collect()
}

fn written_table(table: &Table) -> Vec<Column> {
    let window = FinalWindow { table: 0, start: 0, end: 0, rows: Vec::new() };
    written(parquet::encode(table, &window, &[]).unwrap())
}

fn written_archive(archive: &Archive) -> Vec<Column> {
    written(archive::encode(archive, &Header::default(), &[], &[]).unwrap())
}

#[test]
fn the_tables_of_each_preset_have_the_columns_that_athena_is_told_of() {
    let columns = Columns::read();
    for name in PRESETS {
        match (preset(name), preset_archive(name)) {
            (Some(table), None) => assert_eq!(written_table(&table), columns.of_table(&table), "{name}"),
            (None, Some(archive)) => {
                assert_eq!(written_archive(&archive), columns.of_archive(&archive), "{name}");
            }
            other => panic!("{name} is one of the two: {other:?}"),
        }
    }
    assert_eq!(written_archive(&Archive::new("all")), columns.of_archive(&Archive::new("all")));
}

#[test]
fn athena_is_told_of_every_group_metric_and_field_and_of_no_other() {
    let columns = Columns::read();
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let keys = |map: Vec<&String>| map.into_iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(keys(columns.groups.keys().collect()), set(&groups::NAMES.map(|(name, _)| name)));
    assert_eq!(keys(columns.metrics.keys().collect()), set(&KINDS.map(|(name, _)| name)));
    assert_eq!(keys(columns.events.keys().collect()), set(&FIELDS.map(|(name, _)| name)));
    for (_, group_by) in groups::NAMES {
        let plan = Plan::new(KINDS.map(|(_, kind)| kind).to_vec());
        let window = Duration::from_secs(60);
        let all = Table { plan, ..Table::new("all", window, group_by, Filter::default()) };
        assert_eq!(written_table(&all), columns.of_table(&all), "{group_by:?}");
    }
}

/// A list as Terraform writes it.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", names.map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "))
}

/// A text with each run of spaces as one.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn terraforms_defaults_are_the_consumers() {
    let variables = squeezed(&terraform("variables_store.tf"));
    let metrics = list(COUNTS.iter().map(|kind| kind.name()));
    assert!(variables.contains(&format!("metrics = optional(list(string), {metrics})")), "{metrics}");
    let fields = list(FIELDS.iter().map(|(name, _)| *name));
    assert!(variables.contains(&format!("columns = optional(list(string), {fields})")), "{fields}");
}

#[test]
fn the_presets_are_told_to_terraforms_users_as_they_are() {
    let readme = squeezed(&terraform("README.md"));
    for name in PRESETS {
        let said = match (preset(name), preset_archive(name)) {
            (Some(table), _) => variables_of(&table),
            (_, Some(archive)) => {
                let columns = list(archive.columns.iter().map(|field| field.name()));
                let by = archive.partition.unwrap().column;
                format!("columns = {columns}, partition_column = {by:?}")
            }
            other => panic!("{name} is one of the two: {other:?}"),
        };
        let line = format!("{name} = {{ {said} }}");
        assert!(readme.contains(&line), "terraform/README.md does not have {line}");
    }
}

/// What the variable `tables` has to say of a table, without its defaults.
fn variables_of(table: &Table) -> String {
    let group = (table.group_by != By::None).then(|| format!("group_by = {:?}", table.group_by.name()));
    let kinds = table.plan.kinds();
    let metrics =
        (kinds != COUNTS).then(|| format!("metrics = {}", list(kinds.iter().map(|kind| kind.name()))));
    group.into_iter().chain(metrics).collect::<Vec<_>>().join(", ")
}
