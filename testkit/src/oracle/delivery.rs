//! Is every record that was sent in the topic, unchanged, under its id, and in the order it was sent?
//!
//! Records are matched by the hash of their bytes, so that a record that was changed is one that is
//! lost and one that nobody sent. A payload that was sent twice must be there twice.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use crate::kafka::{Entry, Snapshot};

/// A record as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its own id (`data.id`), if it has one.
    pub id: Option<String>,
    /// [`crate::hash`] of its bytes, without the line end.
    pub hash: u64,
}

impl Sent {
    /// The record in `line`, given without its line end. Its id is a string at `/data/id`.
    #[must_use]
    pub fn of(line: &[u8]) -> Self {
        let value = serde_json::from_slice::<Value>(line).unwrap_or_default();
        let id = value.pointer("/data/id").and_then(Value::as_str).map(str::to_owned);
        Self { id, hash: crate::hash(line) }
    }

    /// What to call it in a report.
    fn label(&self) -> String {
        self.id.clone().unwrap_or_else(|| format!("hash:{:016x}", self.hash))
    }
}

/// Two records of a partition in the wrong order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disorder {
    /// The partition.
    pub partition: i32,
    /// The offset of the record that came too late.
    pub offset: i64,
    /// That record.
    pub id: String,
    /// It was sent as the `sent_as`-th record, counted from 0 …
    pub sent_as: usize,
    /// … but stands behind one that was sent as this.
    pub behind: usize,
}

/// The comparison's result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Records that are in no partition, or less often than they were sent; one entry a copy.
    pub lost: Vec<String>,
    /// Further copies of records that are there as often as they were sent; one entry a copy.
    pub duplicates: Vec<String>,
    /// Records in the topic that nobody sent.
    pub unexpected: Vec<String>,
    /// Records whose header does not say their own id, or that have no header.
    pub misnamed: Vec<String>,
    /// Records that stand behind a later one. Only the first copy of each counts: a retry may repeat
    /// an earlier record.
    pub disorder: Vec<Disorder>,
    /// Ids, or payloads without one, whose copies are in more than one partition.
    pub scattered: Vec<String>,
}

impl Verdict {
    /// Nothing is lost, invented, changed or misnamed. Duplicates and order are judged apart.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.lost.is_empty() && self.unexpected.is_empty() && self.misnamed.is_empty()
    }
}

/// Compares what was sent, in the order it was sent, with what is in the topic.
#[must_use]
pub fn compare_delivery(sent: &[Sent], topic: &Snapshot) -> Verdict {
    let mut verdict = Verdict::default();
    let index = Index::of(sent);
    let mut delivered: HashMap<u64, usize> = HashMap::new();
    for (partition, entries) in &topic.partitions {
        for entry in entries {
            *delivered.entry(entry.hash).or_default() += 1;
            check_entry(&index, sent, entry, &mut verdict);
        }
        check_order(&index, *partition, entries, &mut verdict);
    }
    for (hash, first) in &index.first {
        let (wanted, there) = (index.copies[hash], delivered.get(hash).copied().unwrap_or(0));
        let label = sent[*first].label();
        verdict.lost.extend(std::iter::repeat_n(label.clone(), wanted.saturating_sub(there)));
        verdict.duplicates.extend(std::iter::repeat_n(label, there.saturating_sub(wanted)));
    }
    verdict.lost.sort_unstable();
    verdict.duplicates.sort_unstable();
    verdict.scattered = scattered(topic);
    verdict
}

/// Where each payload was sent first, and how often.
struct Index {
    first: HashMap<u64, usize>,
    copies: HashMap<u64, usize>,
}

impl Index {
    fn of(sent: &[Sent]) -> Self {
        let mut index = Self { first: HashMap::new(), copies: HashMap::new() };
        for (n, record) in sent.iter().enumerate() {
            index.first.entry(record.hash).or_insert(n);
            *index.copies.entry(record.hash).or_default() += 1;
        }
        index
    }
}

fn check_entry(index: &Index, sent: &[Sent], entry: &Entry, verdict: &mut Verdict) {
    let Some(first) = index.first.get(&entry.hash) else {
        verdict.unexpected.push(name(entry));
        return;
    };
    let own = sent[*first].id.as_deref();
    // A record without an id of its own is given one, which only has to be there.
    if entry.id.is_none() || (own.is_some() && own != entry.id.as_deref()) {
        verdict.misnamed.push(sent[*first].label());
    }
}

fn check_order(index: &Index, partition: i32, entries: &[Entry], verdict: &mut Verdict) {
    let mut seen = HashSet::new();
    let mut furthest: Option<usize> = None;
    for entry in entries.iter().filter(|entry| seen.insert(entry.hash)) {
        let Some(&sent_as) = index.first.get(&entry.hash) else { continue };
        match furthest {
            Some(behind) if sent_as < behind => {
                verdict.disorder.push(Disorder {
                    partition,
                    offset: entry.offset,
                    id: name(entry),
                    sent_as,
                    behind,
                });
            }
            _ => furthest = Some(sent_as),
        }
    }
}

fn scattered(topic: &Snapshot) -> Vec<String> {
    let mut home: BTreeMap<String, i32> = BTreeMap::new();
    let mut scattered = Vec::new();
    for (partition, entries) in &topic.partitions {
        for entry in entries {
            let first = *home.entry(name(entry)).or_insert(*partition);
            if first != *partition {
                scattered.push(name(entry));
            }
        }
    }
    scattered
}

fn name(entry: &Entry) -> String {
    entry.id.as_deref().map_or_else(|| format!("hash:{:016x}", entry.hash), str::to_owned)
}
