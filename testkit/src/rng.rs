//! Pseudo-random numbers from a seed: xoshiro256** (Blackman and Vigna), its state filled by
//! splitmix64. Own code, so that a seed gives the same bytes on every machine and with every version
//! of every dependency. Never for secrets.

/// A generator; equal seeds give equal numbers.
#[derive(Debug, Clone)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// A generator for `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut x = seed;
        Self { state: std::array::from_fn(|_| splitmix64(&mut x)) }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number in `0..limit`; 0 when `limit` is 0. The bias is below `limit` in 2^64.
    pub fn below(&mut self, limit: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(limit);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// An index into something `len` long; 0 when it is empty.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// A number in `[0, 1)` with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        let bits = self.next_u64() >> 11;
        bits as f64 / (1u64 << 53) as f64
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// One of `items`, each as likely as the others.
    ///
    /// # Panics
    /// When `items` is empty.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.index(items.len())]
    }
}

fn splitmix64(x: &mut u64) -> u64 {
    *x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *x;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Draws indices with given weights.
#[derive(Debug, Clone)]
pub struct Weighted {
    /// Running sums, the last is the total.
    sums: Vec<f64>,
}

impl Weighted {
    /// Index `i` comes up in proportion to `weights[i]`.
    #[must_use]
    pub fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let running = |sum: &mut f64, weight: f64| {
            *sum += weight;
            Some(*sum)
        };
        Self { sums: weights.into_iter().scan(0.0, running).collect() }
    }

    /// The law of Zipf and Mandelbrot over `n` ranks: rank `r` (from 1) weighs `1 / (r + flatten)`.
    /// With `flatten` 0 the first few ranks get most; more of it evens them out. Only divisions, which
    /// round alike on every machine, so the exponent is 1.
    #[must_use]
    pub fn zipf(n: u32, flatten: u32) -> Self {
        Self::new((1..=n).map(|rank| 1.0 / (f64::from(rank) + f64::from(flatten))))
    }

    /// An index; 0 when there are no weights.
    pub fn draw(&self, rng: &mut Rng) -> usize {
        let total = self.sums.last().copied().unwrap_or(0.0);
        let x = rng.unit() * total;
        self.sums.partition_point(|sum| *sum <= x).min(self.sums.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_published_algorithms() {
        // splitmix64 from seed 1234567: the values of its author's test program.
        let mut x = 1_234_567;
        let first: [u64; 3] = std::array::from_fn(|_| splitmix64(&mut x));
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
        // xoshiro256** from state 1, 2, 3, 4.
        let mut rng = Rng { state: [1, 2, 3, 4] };
        let first: [u64; 4] = std::array::from_fn(|_| rng.next_u64());
        assert_eq!(first, [11_520, 0, 1_509_978_240, 1_215_971_899_390_074_240]);
    }

    #[test]
    fn draws_stay_in_range_and_follow_their_weights() {
        let mut rng = Rng::new(7);
        let mut counts = [0u32; 3];
        let weighted = Weighted::new([1.0, 0.0, 3.0]);
        for _ in 0..40_000 {
            assert!(rng.below(10) < 10);
            assert!((0.0..1.0).contains(&rng.unit()));
            counts[weighted.draw(&mut rng)] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((9_500..10_500).contains(&counts[0]), "{counts:?}");
        assert_eq!(rng.below(0), 0);
        assert_eq!(Weighted::new([]).draw(&mut rng), 0);
    }

    #[test]
    fn zipf_gives_the_first_rank_most() {
        let mut rng = Rng::new(1);
        let zipf = Weighted::zipf(1000, 0);
        let firsts = (0..10_000).filter(|_| zipf.draw(&mut rng) == 0).count();
        // 1 / H(1000) = 0.1336.
        assert!((1_200..1_480).contains(&firsts), "{firsts}");
    }
}
