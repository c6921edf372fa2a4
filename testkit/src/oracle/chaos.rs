//! What chaos may do to a stream of numbered records, and what it must not.
//!
//! Records `1..=served` were given to the daemon. Each must be in the topic, or among the dead letters if
//! it is one that Kafka refuses, or be covered by an [`Allowance`]: so many of those numbers, for that
//! reason. Whatever is in the topic must be a record that was served, unchanged, under its own id and in
//! one partition; and with `order = "arrival"` the first copies of a partition stand in the order of their
//! numbers, unless a repeated batch explains it. Everything else is a failure.
//!
//! Pure: no clock, no I/O, no code of the daemon.

mod life;
mod order;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::numbered::{Foreign, Numbered};
pub use life::{End, Life};
pub use order::Disorder;

/// A record as the independent reader found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its partition.
    pub partition: i32,
    /// Its offset there; of a topic that was made anew, counted on from the old one's end.
    pub offset: i64,
    /// When the broker appended it, unix milliseconds.
    pub at_ms: i64,
    /// The header `spillway-id`.
    pub id: Option<String>,
    /// Which record its payload is.
    pub number: Result<u64, Foreign>,
}

/// Whether Kafka refuses a record for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It never does.
    Never,
    /// It did for some of the time.
    May,
    /// It always does.
    Must,
}

/// Records that may be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// Why.
    pub reason: String,
    /// Which.
    pub records: RangeInclusive<u64>,
    /// How many of them.
    pub at_most: u64,
    /// The daemon says that it lost just `at_most`, at this time (unix milliseconds): fewer may be missing
    /// only if the others were in the topic before.
    pub counted_at_ms: Option<i64>,
}

/// What was done, and what came of it.
pub struct Case<'a> {
    /// The last number that was served; the first is 1.
    pub served: u64,
    /// Whether order was promised.
    pub arrival: bool,
    /// What the reader found, each partition in the order of offsets.
    pub topic: &'a [Found],
    /// The numbers of the dead letters.
    pub dead: &'a BTreeSet<u64>,
    /// Which records Kafka refuses.
    pub refusal: &'a dyn Fn(u64) -> Refusal,
    /// What may be lost.
    pub allowances: &'a [Allowance],
}

/// The judgement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Different records in the topic.
    pub delivered: u64,
    /// Dead letters that are in no topic.
    pub dead: u64,
    /// Missing, and nothing allows it.
    pub lost: Vec<u64>,
    /// Missing, and allowed: reason and how many.
    pub allowed: BTreeMap<String, u64>,
    /// Further copies of records, each the same bytes under the same id.
    pub duplicates: u64,
    /// In the topic, but not as it was sent.
    pub corrupt: Vec<String>,
    /// In the topic, but never served.
    pub unknown: Vec<u64>,
    /// Under another id than its own, or none.
    pub misnamed: Vec<u64>,
    /// With copies in several partitions.
    pub scattered: Vec<u64>,
    /// Dead letters that Kafka does not refuse, and refused ones in the topic.
    pub misjudged: Vec<u64>,
    /// Said to be lost, and not missing.
    pub overcounted: Vec<String>,
    /// First copies behind a later record.
    pub disorder: Vec<Disorder>,
    /// First copies behind a later record, where all that stands before them wrongly was repeated.
    pub explained: Vec<Disorder>,
}

impl Verdict {
    /// Nothing happened that must not.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let clean = [&self.lost, &self.unknown, &self.misnamed, &self.scattered, &self.misjudged];
        clean.iter().all(|wrong| wrong.is_empty())
            && self.corrupt.is_empty()
            && self.overcounted.is_empty()
            && self.disorder.is_empty()
    }

    /// Records missing and allowed to be.
    #[must_use]
    pub fn allowed_records(&self) -> u64 {
        self.allowed.values().sum()
    }
}

/// Judges.
#[must_use]
pub fn judge(case: &Case<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let seen = look_at_topic(case, &mut verdict);
    let missing = look_at_served(case, &seen, &mut verdict);
    spend(case.allowances, &missing, &seen, &mut verdict);
    if case.arrival {
        (verdict.disorder, verdict.explained) = order::check(case.topic);
    }
    verdict
}

/// The first copy of each record: its partition and time.
type Seen = BTreeMap<u64, (i32, i64)>;

fn look_at_topic(case: &Case<'_>, verdict: &mut Verdict) -> Seen {
    let mut seen = Seen::new();
    for found in case.topic {
        let n = match found.number {
            Ok(n) => n,
            Err(why) => {
                verdict.corrupt.push(format!("{}-{}: {why}", found.partition, found.offset));
                continue;
            }
        };
        if n == 0 || n > case.served {
            verdict.unknown.push(n);
        }
        if found.id.as_deref() != Some(&Numbered::id(n)) {
            verdict.misnamed.push(n);
        }
        match seen.get_mut(&n) {
            None => _ = seen.insert(n, (found.partition, found.at_ms)),
            Some((partition, at_ms)) => {
                verdict.duplicates += 1;
                if *partition != found.partition {
                    verdict.scattered.push(n);
                }
                *at_ms = (*at_ms).min(found.at_ms);
            }
        }
    }
    verdict.delivered = seen.len() as u64;
    seen
}

/// Returns the records that are neither in the topic nor dead letters.
fn look_at_served(case: &Case<'_>, seen: &Seen, verdict: &mut Verdict) -> Vec<u64> {
    let mut missing = Vec::new();
    for n in 1..=case.served {
        let (there, dead, refusal) = (seen.contains_key(&n), case.dead.contains(&n), (case.refusal)(n));
        let wrong = (there && refusal == Refusal::Must) || (dead && refusal == Refusal::Never);
        if wrong {
            verdict.misjudged.push(n);
        }
        match (there, dead) {
            (true, _) => {}
            (false, true) => verdict.dead += 1,
            (false, false) => missing.push(n),
        }
    }
    verdict.unknown.extend(case.dead.iter().filter(|n| **n == 0 || **n > case.served));
    missing
}

/// Covers the missing records with the allowances: each by the one that covers it and ends first, which
/// leaves the others to what comes later.
fn spend(allowances: &[Allowance], missing: &[u64], seen: &Seen, verdict: &mut Verdict) {
    let mut spent = vec![0u64; allowances.len()];
    let mut by_end: Vec<usize> = (0..allowances.len()).collect();
    by_end.sort_by_key(|i| *allowances[*i].records.end());
    for n in missing {
        let fits = |i: &&usize| allowances[**i].records.contains(n) && spent[**i] < allowances[**i].at_most;
        match by_end.iter().find(fits) {
            None => verdict.lost.push(*n),
            Some(i) => {
                spent[*i] += 1;
                *verdict.allowed.entry(allowances[*i].reason.clone()).or_default() += 1;
            }
        }
    }
    for (allowance, spent) in allowances.iter().zip(spent) {
        let Some(counted_at) = allowance.counted_at_ms else { continue };
        let before = seen.range(allowance.records.clone()).filter(|(_, (_, at))| *at <= counted_at).count();
        if spent + (before as u64) < allowance.at_most {
            let Allowance { reason, at_most, .. } = allowance;
            verdict.overcounted.push(format!(
                "{reason}: {at_most} counted as lost, {spent} missing, {before} in the topic before"
            ));
        }
    }
}
