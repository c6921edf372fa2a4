//! Counts what each input has, by id and by window. Pure: records come in, numbers come out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Side;
use super::ids::{Ids, Sight};

/// What one input has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SideCounts {
    pub(super) records: u64,
    /// Different ids.
    pub(super) distinct: u64,
    /// Records whose id was there before.
    pub(super) repeated: u64,
    pub(super) without_id: u64,
    /// Earliest and latest time, unix milliseconds.
    pub(super) span: Option<(i64, i64)>,
}

/// An id that one input lacks, with its time and its place in the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) time: Option<i64>,
    ordinal: u64,
    pub(super) id: String,
}

/// The ids of a window that one input lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lack {
    pub(super) ids: u64,
    pub(super) first: Place,
    pub(super) last: Place,
}

/// One window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct WindowCounts {
    /// Different ids that each input has here for the first time.
    pub(super) distinct: [u64; 2],
    /// What each input alone has.
    pub(super) only_at: [Option<Lack>; 2],
}

/// See the module.
#[derive(Debug)]
pub(super) struct Tally {
    ids: Ids,
    sides: [SideCounts; 2],
    pub(super) shared: u64,
    window_ms: i64,
    common_span: bool,
    /// By their beginning in unix milliseconds; `None` holds records without a time.
    pub(super) windows: BTreeMap<Option<i64>, WindowCounts>,
    /// Ids that one input alone has, so far as they have been named.
    named: [u64; 2],
    /// Those of them whose time is outside of the other input's.
    pub(super) outside: [u64; 2],
    ordinal: u64,
}

impl Tally {
    /// With `common_span`, what is outside of the other input's time does not count as missing there.
    pub(super) fn new(window: Duration, common_span: bool) -> Self {
        Self {
            ids: Ids::default(),
            sides: Default::default(),
            shared: 0,
            window_ms: i64::try_from(window.as_millis()).unwrap_or(i64::MAX).max(1),
            common_span,
            windows: BTreeMap::new(),
            named: [0; 2],
            outside: [0; 2],
            ordinal: 0,
        }
    }

    pub(super) fn side(&self, side: Side) -> &SideCounts {
        &self.sides[side.index()]
    }

    /// Different ids that `side` alone has.
    pub(super) fn only_at(&self, side: Side) -> u64 {
        self.side(side).distinct - self.shared
    }

    /// Ids of `side` alone that did not come again when it was read again.
    pub(super) fn unnamed(&self, side: Side) -> u64 {
        self.only_at(side) - self.named[side.index()]
    }

    /// Ids of `side` alone that count as missing in the other input.
    pub(super) fn lacking(&self, side: Side) -> u64 {
        let uncounted = if self.common_span { self.outside[side.index()] } else { 0 };
        self.only_at(side) - uncounted
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.ids.memory_bytes()
    }

    pub(super) fn window_ms(&self) -> i64 {
        self.window_ms
    }

    /// First reading: a record.
    pub(super) fn take(&mut self, side: Side, id: Option<&str>, time: Option<i64>) {
        let counts = &mut self.sides[side.index()];
        counts.records += 1;
        if let Some(time) = time {
            let (first, last) = counts.span.unwrap_or((time, time));
            counts.span = Some((first.min(time), last.max(time)));
        }
        let Some(id) = id else {
            counts.without_id += 1;
            return;
        };
        let sight = self.ids.see(side, id);
        if sight == Sight::Again {
            counts.repeated += 1;
            return;
        }
        counts.distinct += 1;
        self.shared += u64::from(sight == Sight::Shared);
        self.window(time).distinct[side.index()] += 1;
    }

    /// Second reading: notes the id if this side alone has it.
    pub(super) fn name(&mut self, side: Side, id: &str, time: Option<i64>) {
        if !self.ids.is_news(side, id) {
            return;
        }
        self.named[side.index()] += 1;
        if self.is_outside(side, time) {
            self.outside[side.index()] += 1;
            if self.common_span {
                return;
            }
        }
        self.ordinal += 1;
        let place = Place { time, ordinal: self.ordinal, id: id.to_owned() };
        let lack = &mut self.window(time).only_at[side.index()];
        match lack {
            None => *lack = Some(Lack { ids: 1, first: place.clone(), last: place }),
            Some(lack) => lack.add(place),
        }
    }

    /// Whether the input other than `side` has nothing as early, or as late, as this. Without times nobody
    /// knows.
    fn is_outside(&self, side: Side, time: Option<i64>) -> bool {
        let other = self.sides[1 - side.index()].span;
        other.zip(time).is_some_and(|((first, last), time)| time < first || time > last)
    }

    fn window(&mut self, time: Option<i64>) -> &mut WindowCounts {
        let width = self.window_ms;
        self.windows.entry(time.map(|time| time.div_euclid(width).saturating_mul(width))).or_default()
    }
}

impl Lack {
    fn add(&mut self, place: Place) {
        self.ids += 1;
        let key = |place: &Place| (place.time, place.ordinal);
        if key(&place) < key(&self.first) {
            self.first = place;
        } else if key(&place) > key(&self.last) {
            self.last = place;
        }
    }
}

#[cfg(test)]
mod tests;
