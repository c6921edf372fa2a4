//! What must come out, found from what went in, the naive way: every record is parsed into a tree,
//! every window keeps all its events, sets are sets. Slow, obvious, and no code in common with the
//! daemon or the consumer.
//!
//! [`Recount`] says what the tables must hold, [`compare_delivery`] whether every record is in the
//! topic, once, unchanged and in order. [`chaos`] judges a run with faults, in which some may be missing;
//! [`sources`] what came of a streaming service that was resumed, or could not be. [`windows`] is a second
//! opinion on the tables, by another program.

pub mod chaos;
mod delivery;
mod recount;
pub mod sources;
#[cfg(test)]
mod tests;
pub mod windows;

pub use delivery::{Disorder, Sent, Verdict, compare_delivery};
pub use recount::{ActivityTable, CityTable, Counts, Dedup, Kind, Recount};
