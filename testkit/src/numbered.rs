//! A load of numbered records with checksums: `{"data":{"id":"…","sum":"…","pad":"…"}}`.
//!
//! Record `n` of a seed is always the same bytes, so whoever finds it somewhere can say that it is
//! unchanged without having kept what was sent. The numbers have no gaps: which records are missing,
//! and in what order they must stand, follows from them.

use bytes::Bytes;

use crate::rng::Rng;
use crate::upstream::Feed;

/// Digits of an id; ids of one length sort as their numbers do.
const ID_DIGITS: usize = 19;
const HEAD: &[u8] = b"{\"data\":{\"id\":\"";
const SUM: &[u8] = b"\",\"sum\":\"";
const PAD: &[u8] = b"\",\"pad\":\"";
const TAIL: &[u8] = b"\"}}";
/// No compressor gets more than a quarter out of these.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// How large a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// 80 bytes to 20 KB.
    Usual,
    /// 100 to 150 KB: more than a topic takes whose limit was lowered to [`BIG_BYTES`].
    Big,
    /// 220 to 260 KB: more than a producer takes whose limit is [`HUGE_BYTES`].
    Huge,
}

/// Every [`Class::Big`] record, and no [`Class::Usual`] one, is larger than this.
pub const BIG_BYTES: usize = 90_000;
/// Every [`Class::Huge`] record, and no other, is larger than this.
pub const HUGE_BYTES: usize = 200_000;

/// Why bytes are no record of this load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// They have not the form of a record.
    #[error("not a numbered record")]
    Form,
    /// The checksum does not fit.
    #[error("record {0} does not fit its checksum")]
    Sum(u64),
    /// A whole record, but not the one of this number.
    #[error("record {0} is not the one that was sent")]
    Changed(u64),
}

/// The load of one seed.
#[derive(Debug, Clone, Copy)]
pub struct Numbered {
    seed: u64,
}

impl Numbered {
    /// The load of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The id of record `n`.
    #[must_use]
    pub fn id(n: u64) -> String {
        format!("{n:0width$}", width = ID_DIGITS)
    }

    /// How large record `n` is.
    #[must_use]
    pub fn class(&self, n: u64) -> Class {
        class(&mut self.rng(n))
    }

    /// The bytes of record `n`, without a line end.
    #[must_use]
    pub fn line(&self, n: u64) -> Bytes {
        let mut rng = self.rng(n);
        let size = match class(&mut rng) {
            Class::Huge => 220_000 + rng.below(40_000),
            Class::Big => 100_000 + rng.below(50_000),
            Class::Usual => match rng.below(100) {
                0..70 => rng.below(540),
                70..95 => 540 + rng.below(3_500),
                _ => 4_000 + rng.below(16_000),
            },
        };
        let (id, pad) = (Self::id(n), pad(&mut rng, usize::try_from(size).unwrap_or(0)));
        let sum = format!("{:016x}", checksum(id.as_bytes(), &pad));
        [HEAD, id.as_bytes(), SUM, sum.as_bytes(), PAD, &pad, TAIL].concat().into()
    }

    /// The number of the record that `payload` is, to the last byte.
    ///
    /// # Errors
    /// When it is none of this load.
    pub fn read(&self, payload: &[u8]) -> Result<u64, Foreign> {
        let (id, sum, pad) = split(payload).ok_or(Foreign::Form)?;
        let n = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()).ok_or(Foreign::Form)?;
        if format!("{:016x}", checksum(id, pad)).as_bytes() != sum {
            return Err(Foreign::Sum(n));
        }
        if self.line(n) != payload { Err(Foreign::Changed(n)) } else { Ok(n) }
    }

    /// All records from number 1 on, for an upstream.
    #[must_use]
    pub fn feed(self) -> Feed {
        Feed::lines((1..).map(move |n| self.line(n)))
    }

    fn rng(&self, n: u64) -> Rng {
        Rng::new(self.seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

fn class(rng: &mut Rng) -> Class {
    match rng.below(3_000) {
        0 => Class::Huge,
        1..4 => Class::Big,
        _ => Class::Usual,
    }
}

fn pad(rng: &mut Rng, len: usize) -> Vec<u8> {
    let mut pad = Vec::with_capacity(len + 8);
    while pad.len() < len {
        pad.extend(rng.next_u64().to_le_bytes().map(|byte| LETTERS[usize::from(byte & 63)]));
    }
    pad.truncate(len);
    pad
}

fn checksum(id: &[u8], pad: &[u8]) -> u64 {
    crate::hash(id) ^ crate::hash(pad).rotate_left(1)
}

/// Id, checksum and padding.
fn split(payload: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let rest = payload.strip_prefix(HEAD)?;
    let (id, rest) = rest.split_at_checked(ID_DIGITS)?;
    let (sum, rest) = rest.strip_prefix(SUM)?.split_at_checked(16)?;
    Some((id, sum, rest.strip_prefix(PAD)?.strip_suffix(TAIL)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_itself_again_and_nothing_else() {
        let load = Numbered::new(7);
        for n in 1..2_000 {
            let line = load.line(n);
            assert_eq!(load.read(&line), Ok(n));
            let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
            assert_eq!(value["data"]["id"], Numbered::id(n));
        }
        let line = load.line(5);
        for at in [0, 20, 40, line.len() - 10] {
            let mut bytes = line.to_vec();
            bytes[at] ^= 1;
            assert!(load.read(&bytes).is_err(), "byte {at} is changed");
        }
        assert_eq!(load.read(&line[..line.len() - 1]), Err(Foreign::Form));
        assert_eq!(Numbered::new(8).read(&line), Err(Foreign::Changed(5)), "of another seed");
    }

    #[test]
    fn the_sizes_are_those_of_the_class() {
        let load = Numbered::new(1);
        let mut seen = [0u32; 3];
        for n in 1..20_000 {
            let (class, len) = (load.class(n), load.line(n).len());
            seen[class as usize] += 1;
            let expected = match len {
                0..=20_100 => Class::Usual,
                BIG_BYTES..HUGE_BYTES => Class::Big,
                _ => Class::Huge,
            };
            assert_eq!(class, expected, "{len} bytes");
        }
        assert!(seen.iter().all(|n| *n > 0), "{seen:?}");
    }
}
