//! Windows as CSV (RFC 4180), for those who read nothing else: the same rows and columns as in Parquet, under
//! a folder of their own. Times are RFC 3339, numbers as short as they can be without loss, and a value
//! that is not there is empty.

use std::fmt::Write as _;

use crate::finalise::FinalWindow;
use crate::metrics::Value;
use crate::micros::{self, Micros};
use crate::tables::Table;

/// The name of an object below the store's root.
pub(crate) fn object_name(table: &Table, start: Micros) -> String {
    let name = &table.name;
    format!("csv/{name}/dt={}/{name}-{}.csv", micros::day(start), micros::compact(start))
}

/// A window as text, with a line of the columns' names.
pub(crate) fn encode(table: &Table, window: &FinalWindow) -> String {
    let has_group = table.group_by.column().is_some();
    let columns = table.plan.columns().map(|column| column.name);
    let head = ["window_start", "window_end"].into_iter().chain(table.group_by.column()).chain(columns);
    let mut text = head.collect::<Vec<_>>().join(",") + "\r\n";
    let window_of = format!("{},{}", micros::show(window.start), micros::show(window.end));
    for row in &window.rows {
        text += &window_of;
        if has_group {
            text.push(',');
            push_quoted(&mut text, &row.group);
        }
        for value in &row.values {
            text.push(',');
            push(&mut text, value);
        }
        text += "\r\n";
    }
    text
}

fn push(text: &mut String, value: &Value) {
    // Writing to a String cannot fail.
    let _ = match value {
        Value::Count(count) => write!(text, "{count}"),
        Value::Real(Some(real)) => write!(text, "{real}"),
        Value::Flag(flag) => write!(text, "{flag}"),
        Value::Text(Some(words)) => {
            push_quoted(text, words);
            Ok(())
        }
        Value::Real(None) | Value::Text(None) => Ok(()),
    };
}

fn push_quoted(text: &mut String, field: &str) {
    if field.contains([',', '"', '\r', '\n']) {
        text.push('"');
        text.push_str(&field.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(field);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::aggregate::Row;
    use crate::filter::Filter;
    use crate::metrics::{By, Kind, Plan};

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let plan = Plan::new(vec![Kind::UniqueActors, Kind::Extreme]);
        let table = Table { plan, ..Table::new("t", Duration::from_secs(60), By::Tag, Filter::default()) };
        let (text, real) = (|text: &str| Value::Text(Some(text.into())), |real| Value::Real(Some(real)));
        let values = vec![
            Value::Count(3),
            Value::Flag(true),
            real(0.25),
            text("7"),
            text("a \"b\"\nc"),
            Value::Real(None),
            Value::Text(None),
            Value::Text(None),
        ];
        let rows = vec![Row { group: "x,y".into(), values }];
        let window = FinalWindow { table: 0, start: 0, end: 60_000_000, rows };
        assert_eq!(
            encode(&table, &window),
            "window_start,window_end,tag,unique_actors,unique_actors_exact,most_positive,most_positive_id,\
             most_positive_text,most_negative,most_negative_id,most_negative_text\r\n\
             1970-01-01T00:00:00Z,1970-01-01T00:01:00Z,\"x,y\",3,true,0.25,7,\"a \"\"b\"\"\nc\",,,\r\n"
        );
        assert_eq!(object_name(&table, 0), "csv/t/dt=1970-01-01/t-19700101T000000Z.csv");
    }
}
