//! The tables of the model: windows side by side, with groups and without, windows that overlap, the first of
//! them, and the events themselves.

use std::time::Duration;

use crate::archive::{Archive, Field};
use crate::filter::Filter;
use crate::metrics::{By, Kind, Plan};
use crate::tables::{Table, Tables, Top};

/// The archive's name.
pub(super) const ARCHIVE: &str = "archive";

pub(super) fn tables() -> Tables {
    let city = Filter::place_type("city");
    let windows = vec![
        Table::new("minutes", Duration::from_secs(60), By::None, Filter::default()),
        Table::new("cities", Duration::from_secs(180), By::Place, city),
        Table {
            slide: Duration::from_secs(60),
            plan: Plan::new(vec![Kind::Events]),
            top: Some(Top { by: "events".into(), n: 1 }),
            ..Table::new("busiest", Duration::from_secs(180), By::Place, Filter::default())
        },
    ];
    let archive = Archive { columns: vec![Field::Id], partition: None, ..Archive::new(ARCHIVE) };
    Tables::new(windows, vec![archive]).unwrap()
}
