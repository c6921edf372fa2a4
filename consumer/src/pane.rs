//! The panes of one partition that are still needed: open ones with their aggregates and ids, and for
//! every one the offset of its first event, which is where a restart must read from.

use std::collections::{BTreeMap, HashSet};

use crate::aggregate::Partial;
use crate::event::Event;
use crate::key::Key;
use crate::micros::Micros;
use crate::tables::Tables;

/// What a pane amounts to, by table.
pub(crate) type Partials = Vec<Partial>;

/// See the module. Keyed by the panes' starts.
#[derive(Debug, Default)]
pub(crate) struct Panes {
    open: BTreeMap<Micros, Pane>,
    /// Of the open ones and of those closed but not final.
    first_offsets: BTreeMap<Micros, i64>,
}

#[derive(Debug)]
struct Pane {
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
            ids: HashSet::new(),
            partials: vec![Partial::default(); tables.list().len()],
        });
        self.first_offsets.entry(start).or_insert(record.offset);
        if let Some(id) = record.id
            && !pane.ids.insert(Key::new(id))
        {
            return false;
        }
        for (table, partial) in tables.list().iter().zip(&mut pane.partials) {
            partial.add(table, event);
        }
        true
    }

    /// Closes the panes that start before `through`; their ids are forgotten.
    pub(crate) fn close(&mut self, through: Micros) -> impl Iterator<Item = (Micros, Partials)> + use<> {
        let open = self.open.split_off(&through);
        std::mem::replace(&mut self.open, open).into_iter().map(|(start, pane)| (start, pane.partials))
    }

    /// Panes that start before `through` are in final objects.
    pub(crate) fn finalised(&mut self, through: Micros) {
        self.first_offsets = self.first_offsets.split_off(&through);
    }

    /// The lowest offset of an event that is not in final objects.
    pub(crate) fn lowest_needed(&self) -> Option<i64> {
        self.first_offsets.values().copied().min()
    }

    /// The starts of all panes that are not final.
    pub(crate) fn starts(&self) -> impl DoubleEndedIterator<Item = Micros> {
        self.first_offsets.keys().copied()
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
}
