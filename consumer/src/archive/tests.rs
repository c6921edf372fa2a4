//! Tests of archives: what is in a row, and where it goes.

use super::*;
use crate::event::Kind;
use crate::parquet::decode;
use crate::testing;

fn event() -> Event<'static> {
    let mut event = testing::event("7", 86_399, "ann", Kind::Quote).at("Rome", "city");
    event.text = Some("two  words".into());
    event.lang = Some("en".into());
    event.tags = vec!["Rain".into(), "sun".into()];
    event.rule_tags = vec!["ACME Co/Ltd".into(), "other".into()];
    event
}

fn record(offset: i64) -> Record<'static> {
    Record { offset, id: None, timestamp: 5, value: b"" }
}

fn header() -> Header {
    Header { seq: 3, topic: "events".into(), partition: 7, ..Header::default() }
}

fn companies() -> Archive {
    Archive {
        columns: vec![Field::Id, Field::CreatedAt, Field::Text, Field::WordCount],
        partition: Some(PartitionBy { column: "company".into(), is_folded: true }),
        ..Archive::new("companies")
    }
}

#[test]
fn rows_go_to_an_object_of_their_rule_and_day() {
    let archive = companies();
    let bare = testing::event("8", 86_400, "ann", Kind::Original);
    let rows: Vec<Archived> = [(event(), 4), (bare.clone(), 5), (event(), 6), (bare, 9)]
        .iter()
        .map(|(event, offset)| archive.row(record(*offset), event).unwrap())
        .collect();
    let parts = parts(&archive, &header(), &rows);
    let of = |(name, part): &(String, Part<'_>)| {
        (name.clone(), part.rows.iter().map(|row| row.offset).collect::<Vec<_>>())
    };
    let folder = "tables/companies/company=";
    let expected = [
        (
            format!("{folder}__HIVE_DEFAULT_PARTITION__/dt=1970-01-02/companies-p00007-{:020}.parquet", 5),
            vec![5, 9],
        ),
        (format!("{folder}acme co%2Fltd/dt=1970-01-01/companies-p00007-{:020}.parquet", 4), vec![4, 6]),
    ];
    assert_eq!(parts.iter().map(of).collect::<Vec<_>>(), expected);
    let plain = Archive { partition: None, ..archive };
    let row = plain.row(record(4), &event()).unwrap();
    assert_eq!(
        super::parts(&plain, &header(), &[row])[0].0,
        format!("tables/companies/dt=1970-01-01/companies-p00007-{:020}.parquet", 4)
    );
}

#[test]
fn an_object_holds_the_columns_and_where_each_event_lies_in_the_topic() {
    let archive = Archive::new("all");
    let rows = [archive.row(record(4), &event()).unwrap()];
    let rows: Vec<&Archived> = rows.iter().collect();
    let batches = decode(encode(&archive, &header(), &rows, &[]).unwrap().into()).unwrap();
    let batch = &batches[0];
    let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    let all = FIELDS.iter().map(|(name, _)| *name).chain(["topic", "partition", "offset"]);
    assert_eq!(names, all.collect::<Vec<_>>());
    let shown = format!("{:?}", batch.columns());
    for value in ["\"7\"", "ann", "quote", "Rome", "\"two  words\"", "Rain", "ACME Co/Ltd", "\"events\""] {
        assert!(shown.contains(value), "{value}: {shown}");
    }
    use arrow_array::cast::AsArray as _;
    let number = |name: &str| {
        batch.column_by_name(name).unwrap().as_primitive::<arrow_array::types::Int64Type>().value(0)
    };
    assert_eq!((number("word_count"), number("offset")), (2, 4));
}

#[test]
fn what_no_column_asks_for_is_not_kept() {
    let said = companies().row(record(4), &event()).unwrap().said;
    let expected =
        Said { id: "7".into(), kind: "quote".into(), text: Some("two  words".into()), ..Said::default() };
    assert_eq!(said, expected);
    let english = Archive { filter: Filter { langs: vec!["no".into()], ..Filter::default() }, ..companies() };
    assert_eq!(english.row(record(4), &event()), None);
}

#[test]
fn a_value_is_escaped_into_one_part_of_a_name_that_fits() {
    assert_eq!(escaped("a/b=c%é .-_"), "a%2Fb%3Dc%25%C3%A9 .-_");
    let long = escaped(&"é".repeat(200));
    let other = escaped(&"é".repeat(201));
    assert!(long.len() < 200 && long != other, "{long}");
    assert!(escaped(&"x".repeat(500)).starts_with("xxxxxxxx"));
}

#[test]
fn archives_that_cannot_be_kept_are_refused() {
    assert_eq!(companies().check(), Ok(()));
    assert_eq!(Archive::new("A").check(), Err(TableFault::Name("A".into())));
    for columns in [vec![], vec![Field::Id, Field::Id]] {
        let faulty = Archive { columns, ..companies() };
        assert_eq!(faulty.check(), Err(TableFault::Columns("companies".into())));
    }
    for column in ["dt", "offset", "text", "a b", ""] {
        let partition = Some(PartitionBy { column: column.into(), is_folded: false });
        let faulty = Archive { partition, ..companies() };
        assert_eq!(faulty.check(), Err(TableFault::Partition(column.into())));
    }
}
