//! Tables that people ask for, ready made: `preset = "…"`. Each setting of one can be set otherwise.

use std::time::Duration;

use crate::archive::{Archive, Field, PartitionBy};
use crate::filter::Filter;
use crate::metrics::{By, Kind, Plan};
use crate::tables::{Table, Top};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// The presets' names.
pub(crate) const PRESETS: [&str; 6] = [
    "city_activity",
    "happiest_hashtags",
    "happiest_hashtags_sliding",
    "word_polarity",
    "sentiment_extremes",
    "company_archive",
];

/// The table of a preset.
#[must_use]
pub fn preset(name: &str) -> Option<Table> {
    match name {
        "city_activity" => Some(Table::new(name, 5 * MINUTE, By::Place, Filter::place_type("city"))),
        "happiest_hashtags" => Some(happiest(name, HOUR, HOUR, Kind::Smiles, Filter::default())),
        "happiest_hashtags_sliding" => {
            let english = Filter { langs: vec!["en".to_owned()], ..Filter::default() };
            Some(happiest(name, 10 * MINUTE, MINUTE, Kind::SmileEmoji, english))
        }
        "word_polarity" => Some(Table {
            slide: MINUTE / 2,
            plan: Plan::new(vec![Kind::Sentiment]),
            ..Table::new(name, 15 * MINUTE, By::Word, Filter::default())
        }),
        "sentiment_extremes" => Some(Table {
            plan: Plan::new(vec![Kind::Sentiment, Kind::Extreme]),
            ..Table::new(name, 5 * MINUTE, By::None, Filter::default())
        }),
        _ => None,
    }
}

/// The archive of a preset.
#[must_use]
pub fn preset_archive(name: &str) -> Option<Archive> {
    let company = || PartitionBy { column: "company".to_owned(), is_folded: true };
    (name == "company_archive").then(|| Archive {
        columns: vec![Field::Id, Field::CreatedAt, Field::Text, Field::WordCount],
        partition: Some(company()),
        ..Archive::new(name)
    })
}

/// The ten hashtags with the most smiles, summed over the events that carry them.
fn happiest(name: &str, window: Duration, slide: Duration, smiles: Kind, filter: Filter) -> Table {
    Table {
        slide,
        plan: Plan::new(vec![smiles]),
        top: Some(Top { by: smiles.name().to_owned(), n: 10 }),
        ..Table::new(name, window, By::Tag, filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::Tables;

    #[test]
    fn every_preset_is_a_table_that_can_be_kept() {
        let tables: Vec<Table> = PRESETS.iter().filter_map(|name| preset(name)).collect();
        let archives: Vec<Archive> = PRESETS.iter().filter_map(|name| preset_archive(name)).collect();
        let names =
            tables.iter().map(|table| &table.name).chain(archives.iter().map(|archive| &archive.name));
        assert_eq!(names.collect::<Vec<_>>(), PRESETS);
        assert_eq!(Tables::new(tables, archives).unwrap().pane(), 30_000_000);
        assert_eq!((preset("other"), preset_archive("other")), (None, None));
    }
}
