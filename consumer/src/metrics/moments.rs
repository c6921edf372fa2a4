//! Mean, sample variance and range of polarities. The sums are of whole numbers, so they are exact: two
//! parts come to the same as the whole, bit by bit. Rounding happens once, when a value is asked for.

use serde::{Deserialize, Serialize};

use super::plan::Value;
use super::sentiment::{PARTS, Polarity};

/// See the module. Sums are in ten-thousandths and their squares; they hold 10^11 events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moments {
    count: u64,
    sum: i64,
    sum_of_squares: u64,
    range: Option<(Polarity, Polarity)>,
}

impl Moments {
    /// Takes a polarity in.
    pub fn observe(&mut self, polarity: Polarity) {
        let parts = i64::from(polarity.parts());
        self.merge(&Self {
            count: 1,
            sum: parts,
            sum_of_squares: parts.unsigned_abs().pow(2),
            range: Some((polarity, polarity)),
        });
    }

    /// Takes another part in.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.sum_of_squares = self.sum_of_squares.saturating_add(other.sum_of_squares);
        self.range = match (self.range, other.range) {
            (Some((min, max)), Some((least, most))) => Some((min.min(least), max.max(most))),
            (one, None) | (None, one) => one,
        };
    }

    /// Whether nothing was observed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean, if there is any.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / (self.count as f64 * PARTS))
    }

    /// The variance of a sample, if there are two or more.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        if self.count < 2 {
            return None;
        }
        // n times the sum of squares, less the square of the sum, is exact and never negative.
        let n = u128::from(self.count);
        let sum = u128::from(self.sum.unsigned_abs());
        let above = (n * u128::from(self.sum_of_squares)).saturating_sub(sum * sum);
        let below = n * (n - 1);
        Some(above as f64 / below as f64 / (PARTS * PARTS))
    }

    /// The standard deviation of a sample, if there are two or more.
    #[must_use]
    pub fn deviation(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }

    /// In the order of the columns.
    pub(super) fn values(&self) -> Vec<Value> {
        let [min, max] = [self.range.map(|r| r.0), self.range.map(|r| r.1)].map(|p| p.map(Polarity::value));
        let reals = [self.mean(), self.deviation(), self.variance(), min, max];
        std::iter::once(Value::Count(self.count)).chain(reals.map(Value::Real)).collect()
    }
}
