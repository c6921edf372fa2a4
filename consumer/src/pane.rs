//! The panes of one partition that are not in its log yet: their aggregates, the ids of their events, and
//! for each the offset of its first event, which is where a successor must read from.

use std::collections::{BTreeMap, HashSet};

use crate::aggregate::Partial;
use crate::event::Event;
use crate::key::Key;
use crate::metrics::Reading;
use crate::micros::Micros;
use crate::tables::Tables;

/// What a pane amounts to, by table.
pub(crate) type Partials = Vec<Partial>;

/// See the module. Keyed by the panes' starts.
#[derive(Debug, Default)]
pub(crate) struct Panes {
    open: BTreeMap<Micros, Pane>,
}

#[derive(Debug)]
struct Pane {
    first_offset: i64,
    ids: HashSet<Key>,
    partials: Partials,
}

impl Panes {
    /// Counts an event in the pane that starts at `start`, unless its id was counted there before.
    /// Returns whether it was counted.
    pub(crate) fn add(
        &mut self,
        start: Micros,
        record: Record<'_>,
        event: &Event<'_>,
        tables: &Tables,
    ) -> bool {
        let pane = self.open.entry(start).or_insert_with(|| Pane {
            first_offset: record.offset,
            ids: HashSet::new(),
            partials: vec![Partial::default(); tables.list().len()],
        });
        if let Some(id) = record.id
            && !pane.ids.insert(Key::new(id))
        {
            return false;
        }
        let reading = Reading::new(event);
        for (table, partial) in tables.list().iter().zip(&mut pane.partials) {
            partial.add(table, &reading);
        }
        true
    }

    /// Takes out the panes, `width` long, that end at or before `through`; their ids are forgotten.
    pub(crate) fn close(&mut self, through: Micros, width: Micros) -> BTreeMap<Micros, Partials> {
        let open = self.open.split_off(&through.saturating_sub(width).saturating_add(1));
        let closed = std::mem::replace(&mut self.open, open);
        closed.into_iter().map(|(start, pane)| (start, pane.partials)).collect()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.open.len()
    }

    /// The lowest offset of an event of these panes.
    pub(crate) fn lowest_needed(&self) -> Option<i64> {
        self.open.values().map(|pane| pane.first_offset).min()
    }
}

/// What Kafka says of a record, as far as the panes need it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    /// Its offset.
    pub(crate) offset: i64,
    /// Its `spillway-id`. A record without one is identified by its partition and offset, which
    /// cannot come twice, so nothing needs to be kept for it.
    pub(crate) id: Option<&'a [u8]>,
    /// Kafka's timestamp, or the time it was read when it has none.
    pub(crate) timestamp: Micros,
    /// Its value, as it is.
    pub(crate) value: &'a [u8],
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::Kind;
    use crate::filter::Filter;
    use crate::metrics::By;
    use crate::tables::Table;
    use crate::testing::event;

    #[test]
    fn only_panes_that_have_ended_are_closed_and_the_rest_says_where_to_resume() {
        let table = Table::new("all", Duration::from_secs(60), By::None, Filter::default());
        let tables = Tables::new(vec![table], vec![]).unwrap();
        let mut panes = Panes::default();
        for (offset, start) in [(7, 120), (8, 0), (9, 60)] {
            let record = Record { offset, id: None, timestamp: 0, value: b"" };
            panes.add(start, record, &event("1", 0, "ann", Kind::Original), &tables);
        }
        assert_eq!(panes.lowest_needed(), Some(7));
        // The pane at 60 has begun before 119 and not ended.
        assert_eq!(panes.close(119, 60).into_keys().collect::<Vec<_>>(), [0]);
        assert_eq!(panes.close(180, 60).into_keys().collect::<Vec<_>>(), [60, 120]);
        assert_eq!(panes.lowest_needed(), None);
    }
}
