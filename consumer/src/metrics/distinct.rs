//! How many different ids: exactly up to a number, then by a HyperLogLog sketch of Apache DataSketches,
//! which other implementations of it can read. Which of the two it is follows from how many there are
//! alone, and so does the sketch, byte for byte: order and parts do not matter.

use std::collections::HashSet;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use datasketches::hash::value::raw_bytes;
use datasketches::hll::{HllSketch, HllType, HllUnion};
use serde::{Deserialize, Serialize};

use crate::key::Key;

/// Up to how many different ids are counted exactly unless a plan says otherwise: 240 kB of numbers.
pub const EXACT_MAX: usize = 10_000;

/// No plan goes over to estimates earlier: from here on a sketch has all its registers, and only then
/// is it the same whatever the order.
pub(super) const EXACT_MAX_MIN: usize = 2_048;

/// 2^14 registers, 16 KiB: the standard error of the estimate is 0.8 %.
const LG_REGISTERS: u8 = 14;

/// Where the registers begin in DataSketches' bytes, and the greatest value of one.
const REGISTERS_AT: usize = 40;
const REGISTER_MAX: u8 = 63;

/// Ids that are kept in a sorted list; from there on a hash set is faster.
const FEW_MAX: usize = 16;

/// Different ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Distinct(State);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Most groups never have a second one, and this needs no memory beside the group's.
    One(Key),
    /// None, or several, sorted.
    Few(Vec<Key>),
    #[expect(clippy::box_collection, reason = "a group that is only counted must stay small")]
    Many(Box<HashSet<Key>>),
    Sketch(Box<Sketch>),
}

impl Default for Distinct {
    fn default() -> Self {
        Self(State::Few(Vec::new()))
    }
}

impl Distinct {
    /// Takes an id in. `exact_max` must be the same for all parts that are merged.
    pub fn insert(&mut self, id: &str, exact_max: usize) {
        match &mut self.0 {
            State::Sketch(sketch) => sketch.insert(id),
            State::One(_) | State::Few(_) | State::Many(_) => {
                self.insert_key(Key::new(id.as_bytes()), exact_max)
            }
        }
    }

    fn insert_key(&mut self, key: Key, exact_max: usize) {
        match &mut self.0 {
            State::One(one) if *one == key => {}
            State::One(one) => {
                let mut keys = vec![one.clone(), key];
                keys.sort_unstable();
                self.0 = State::Few(keys);
            }
            State::Few(keys) if keys.is_empty() => self.0 = State::One(key),
            State::Few(keys) => {
                if let Err(place) = keys.binary_search(&key) {
                    keys.insert(place, key);
                }
                if keys.len() > FEW_MAX {
                    self.0 = State::Many(Box::new(std::mem::take(keys).into_iter().collect()));
                }
            }
            State::Many(keys) => {
                keys.insert(key);
                if keys.len() > exact_max.max(EXACT_MAX_MIN) {
                    self.0 = State::Sketch(Box::new(Sketch::of(keys.iter())));
                }
            }
            State::Sketch(sketch) => sketch.insert_key(&key),
        }
    }

    /// Takes another part in.
    pub fn merge(&mut self, other: Self, exact_max: usize) {
        let (into, from) = if self.weight() < other.weight() {
            (other.0, std::mem::take(self).0)
        } else {
            (std::mem::take(self).0, other.0)
        };
        self.0 = into;
        match (&mut self.0, from) {
            (State::Sketch(sketch), State::Sketch(other)) => sketch.merge(&other),
            (_, State::One(key)) => self.insert_key(key, exact_max),
            (_, State::Few(keys)) => keys.into_iter().for_each(|key| self.insert_key(key, exact_max)),
            (_, State::Many(keys)) => keys.into_iter().for_each(|key| self.insert_key(key, exact_max)),
            // The heavier of the two is the one that takes in.
            (into, from @ State::Sketch(_)) => *into = from,
        }
    }

    /// Which of two takes the other in.
    fn weight(&self) -> usize {
        match &self.0 {
            State::One(_) => 1,
            State::Few(keys) => keys.len(),
            State::Many(keys) => keys.len(),
            State::Sketch(_) => usize::MAX,
        }
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        match &self.0 {
            State::One(_) => 1,
            State::Few(keys) => keys.len() as u64,
            State::Many(keys) => keys.len() as u64,
            State::Sketch(sketch) => sketch.estimate(),
        }
    }

    /// Whether [`Distinct::count`] is no estimate.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !matches!(self.0, State::Sketch(_))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, State::Few(keys) if keys.is_empty())
    }
}

/// An HLL sketch with 8 bits a register, estimated by its registers alone and never by their history.
#[derive(Debug, Clone, PartialEq)]
struct Sketch(HllSketch);

/// Its numbers are sums over the registers, and none of them is NaN.
impl Eq for Sketch {}

impl Sketch {
    fn of<'k>(keys: impl IntoIterator<Item = &'k Key>) -> Self {
        let mut sketch = Self(new_sketch());
        keys.into_iter().for_each(|key| sketch.insert_key(key));
        sketch.forget();
        sketch
    }

    /// Takes only the registers from the bytes; what else they say follows from these.
    fn read(bytes: &[u8]) -> Result<Self, StoredFault> {
        let sketch = HllSketch::deserialize(bytes)?;
        let registers = bytes.get(REGISTERS_AT..).unwrap_or_default();
        let is_ours = sketch.lg_config_k() == LG_REGISTERS
            && sketch.target_type() == HllType::Hll8
            && registers.len() == 1 << LG_REGISTERS
            && registers.iter().all(|register| *register <= REGISTER_MAX);
        if !is_ours {
            return Err(StoredFault::OtherKind);
        }
        let mut sketch = Self(sketch);
        sketch.forget();
        Ok(sketch)
    }

    /// A sketch that has been merged has no history.
    fn forget(&mut self) {
        let itself = self.clone();
        self.merge(&itself);
    }

    fn insert(&mut self, id: &str) {
        self.0.update(raw_bytes::from_str(id));
    }

    /// A number as its decimal form, which is what it was read from.
    fn insert_key(&mut self, key: &Key) {
        match key {
            Key::Number(number) => self.insert(&number.to_string()),
            Key::Bytes(bytes) => self.0.update(raw_bytes::from_slice(bytes)),
        }
    }

    fn merge(&mut self, other: &Self) {
        let mut union = new_union();
        union.update(&self.0);
        union.update(&other.0);
        self.0 = union.to_sketch(HllType::Hll8);
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate is no exact number"
    )]
    fn estimate(&self) -> u64 {
        self.0.composite_estimate().round() as u64
    }
}

#[expect(clippy::expect_used, reason = "the number of registers is a constant within the limits")]
fn new_sketch() -> HllSketch {
    HllSketch::new(LG_REGISTERS, HllType::Hll8).expect("2^14 registers are allowed")
}

#[expect(clippy::expect_used, reason = "the number of registers is a constant within the limits")]
fn new_union() -> HllUnion {
    HllUnion::new(LG_REGISTERS).expect("2^14 registers are allowed")
}

/// As it stands in the log.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stored {
    /// Sorted.
    Exact(Vec<Key>),
    /// DataSketches' own bytes in base64.
    Sketch(String),
}

/// Why stored ids cannot be taken back.
#[derive(Debug, thiserror::Error)]
enum StoredFault {
    #[error("the sketch is not in base64")]
    Base64(#[from] base64::DecodeError),
    #[error("the sketch cannot be read")]
    Unreadable(#[from] datasketches::error::Error),
    #[error("the sketch is not one of 2^14 registers of 8 bits")]
    OtherKind,
}

impl From<Distinct> for Stored {
    fn from(distinct: Distinct) -> Self {
        let mut keys: Vec<Key> = match distinct.0 {
            State::One(key) => vec![key],
            State::Few(keys) => keys,
            State::Many(keys) => keys.into_iter().collect(),
            State::Sketch(sketch) => return Self::Sketch(BASE64_STANDARD.encode(sketch.0.serialize())),
        };
        keys.sort_unstable();
        Self::Exact(keys)
    }
}

impl TryFrom<Stored> for Distinct {
    type Error = StoredFault;

    fn try_from(stored: Stored) -> Result<Self, StoredFault> {
        match stored {
            Stored::Exact(keys) => {
                let mut distinct = Self::default();
                // What was exact stays so: the next one that comes will be one too many.
                keys.into_iter().for_each(|key| distinct.insert_key(key, usize::MAX));
                Ok(distinct)
            }
            Stored::Sketch(text) => {
                let sketch = Sketch::read(&BASE64_STANDARD.decode(text)?)?;
                Ok(Self(State::Sketch(Box::new(sketch))))
            }
        }
    }
}

#[cfg(test)]
mod tests;
