//! Random changes to bytes, from a seed: small numbers of edits, of the kinds that break parsers.

use std::time::{SystemTime, UNIX_EPOCH};

/// splitmix64: enough for picking edits.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..limit`; 0 when `limit` is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit.max(1) as u64)).unwrap()
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.byte()).take(len).collect()
    }
}

/// One to four edits.
pub fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..=rng.below(4) {
        let at = rng.below(bytes.len() + 1);
        let end = bytes.len().min(at + 1 + rng.below(40));
        match rng.below(8) {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << rng.below(8)),
            1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = rng.byte()),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let len = 1 + rng.below(20);
                drop(bytes.splice(at..at, rng.bytes(len)));
            }
            5 => bytes[at..end].fill(if rng.one_in(2) { 0 } else { 0xff }),
            6 => {
                let copy = bytes[at..end].to_vec();
                let to = rng.below(bytes.len() + 1);
                drop(bytes.splice(to..to, copy));
            }
            _ => number(bytes, at, rng),
        }
    }
}

/// Puts a number that is at some edge where a length or a count may stand.
fn number(bytes: &mut [u8], at: usize, rng: &mut Rng) {
    let edges =
        [0, 1, 2, 0x7f, 0xff, 0xffff, 0x10_0000, 0x10_0001, 0x100_0000, 0x100_0001, 0x7fff_ffff, u64::MAX];
    let value = edges[rng.below(edges.len())].to_le_bytes();
    let len = if rng.one_in(2) { 4 } else { 8 };
    let at = at & !3;
    for (byte, new) in bytes.iter_mut().skip(at).take(len).zip(value) {
        *byte = new;
    }
}

/// How many cases: `SPILLWAY_FUZZ_CASES` (1,000,000 for the figure in `docs/delivery.md`), else `usual`.
pub fn cases(usual: u64) -> u64 {
    number_of("SPILLWAY_FUZZ_CASES").unwrap_or(usual)
}

/// `SPILLWAY_SEED`, else from the clock; printed, so that a failure can be repeated.
pub fn seed(test: &str) -> u64 {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into();
    let seed = number_of("SPILLWAY_SEED").unwrap_or_else(clock);
    eprintln!("{test}: SPILLWAY_SEED={seed}");
    seed
}

fn number_of(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}
