//! Which partition a record goes to. Pure, and decided here rather than in librdkafka, since replay has
//! to know it before it sends: a partition without a leader must not hold up the others.
//!
//! With a key it is the hash of the Java client, so that other producers put the same key into the same
//! partition. Without one it follows from the id: a repeated record meets its twin, and a consumer can
//! tell.

/// The partition of a record among `total`; `None` while that number is not known.
#[must_use]
pub(crate) fn partition_of(key: Option<&[u8]>, id: &str, total: i32) -> Option<i32> {
    if total <= 0 {
        return None;
    }
    let hash = match key {
        Some(key) => murmur2(key) & 0x7fff_ffff,
        None => crc32c::crc32c(id.as_bytes()),
    };
    i32::try_from(hash % total.unsigned_abs()).ok()
}

/// Murmur2 with the seed and the constants of Kafka's Java client.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a key is far shorter than 4 GiB; the hash takes 32 bits"
    )]
    let mut hash = SEED ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (i, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_java_client() {
        // The values of Kafka's own test of its hash.
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn a_key_decides_before_the_id_and_all_partitions_are_used() {
        assert_eq!(partition_of(Some(b"k"), "1", 12), partition_of(Some(b"k"), "2", 12));
        let used: std::collections::BTreeSet<_> =
            (0..1000).map(|n| partition_of(None, &n.to_string(), 12).unwrap()).collect();
        assert_eq!(used, (0..12).collect());
        assert_eq!(partition_of(None, "1", 0), None);
    }
}
