//! What a comparison came to, as data.

use serde::Serialize;

use super::tally::{Lack, Place, Tally};
use super::{Damage, Side};

/// The whole result. Times are unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether neither input misses an id of the other.
    pub same: bool,
    /// The first input.
    pub a: SideReport,
    /// The second.
    pub b: SideReport,
    /// Different ids that both have.
    pub shared: u64,
    /// Width of the windows in milliseconds.
    pub window_ms: i64,
    /// The windows in which an id is missing, in order; records without a time come first.
    pub windows: Vec<WindowReport>,
    /// Memory that the ids took, in bytes.
    pub memory_bytes: usize,
}

/// One input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SideReport {
    /// Its name.
    pub input: String,
    /// All its records.
    pub records: u64,
    /// Different ids.
    pub ids: u64,
    /// Records whose id was there before.
    pub repeated: u64,
    /// Records without an id: not compared.
    pub without_id: u64,
    /// Records cut off at the end of the input: not compared.
    pub torn: u64,
    /// Records over the limit: not compared.
    pub too_long: u64,
    /// Time of its earliest record.
    pub first_ms: Option<i64>,
    /// Time of its latest record.
    pub last_ms: Option<i64>,
    /// Ids that only this input has, and that the other misses.
    pub only_here: u64,
    /// Those of them, or beside them when only the common span counts, that are earlier than the other's
    /// first record or later than its last.
    pub outside_the_other: u64,
    /// Those of `only_here` that were gone when the input was read again, and are in no window below.
    pub not_found_again: u64,
}

/// One window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WindowReport {
    /// Its beginning; none for records without a time.
    pub start_ms: Option<i64>,
    /// Ids that A has in it.
    pub a: u64,
    /// Ids that B has in it.
    pub b: u64,
    /// What A misses.
    pub missing_in_a: Option<Gap>,
    /// What B misses.
    pub missing_in_b: Option<Gap>,
}

/// Ids that an input misses in a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// How many.
    pub ids: u64,
    /// The earliest.
    pub first: Named,
    /// The latest.
    pub last: Named,
}

/// A missing record, as the other input has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// Its id.
    pub id: String,
    /// Its time.
    pub time_ms: Option<i64>,
}

impl From<Place> for Named {
    fn from(place: Place) -> Self {
        Self { id: place.id, time_ms: place.time }
    }
}

impl From<Lack> for Gap {
    fn from(lack: Lack) -> Self {
        Self { ids: lack.ids, first: lack.first.into(), last: lack.last.into() }
    }
}

impl Report {
    pub(super) fn new(mut tally: Tally, names: [String; 2], damages: [Damage; 2]) -> Self {
        let windows = std::mem::take(&mut tally.windows).into_iter().filter_map(|(start_ms, window)| {
            let [a, b] = window.distinct;
            let [only_a, only_b] = window.only_at.map(|lack| lack.map(Gap::from));
            let lacks = only_a.is_some() || only_b.is_some();
            lacks.then_some(WindowReport { start_ms, a, b, missing_in_a: only_b, missing_in_b: only_a })
        });
        let windows = windows.collect();
        let [a, b] = names;
        let [of_a, of_b] = damages;
        let a = SideReport::new(&tally, Side::A, a, of_a);
        let b = SideReport::new(&tally, Side::B, b, of_b);
        Self {
            same: a.only_here == 0 && b.only_here == 0,
            a,
            b,
            shared: tally.shared,
            window_ms: tally.window_ms(),
            windows,
            memory_bytes: tally.memory_bytes(),
        }
    }
}

impl SideReport {
    fn new(tally: &Tally, side: Side, input: String, damage: Damage) -> Self {
        let counts = tally.side(side);
        Self {
            input,
            records: counts.records,
            ids: counts.distinct,
            repeated: counts.repeated,
            without_id: counts.without_id,
            torn: damage.torn,
            too_long: damage.too_long,
            first_ms: counts.span.map(|(first, _)| first),
            last_ms: counts.span.map(|(_, last)| last),
            only_here: tally.lacking(side),
            outside_the_other: tally.outside[side.index()],
            not_found_again: tally.unnamed(side),
        }
    }
}
