//! Tests of the number of different ids: the same over any parts and order, and the estimate's error.

use proptest::prelude::*;

use super::*;

const MAX: usize = EXACT_MAX_MIN;

fn of(ids: impl IntoIterator<Item = u64>) -> Distinct {
    let mut distinct = Distinct::default();
    ids.into_iter().for_each(|id| distinct.insert(&format!("user-{id}"), MAX));
    distinct
}

fn stored(distinct: &Distinct) -> String {
    serde_json::to_string(distinct).unwrap()
}

#[test]
fn it_is_exact_up_to_the_limit_and_says_when_it_no_longer_is() {
    for n in [0, 1, 2, 3, 16, 17, 2047, 2048] {
        let distinct = of((0..n).chain(0..n));
        assert_eq!((distinct.count(), distinct.is_exact(), distinct.is_empty()), (n, true, n == 0));
    }
    let more = of(0..2049);
    assert!(!more.is_exact() && !more.is_empty());
    assert!((2000..2100).contains(&more.count()), "{}", more.count());
}

#[test]
fn a_limit_below_the_least_counts_as_the_least() {
    let mut distinct = Distinct::default();
    (0..100).for_each(|id| distinct.insert(&id.to_string(), 10));
    assert_eq!((distinct.count(), distinct.is_exact()), (100, true));
}

#[test]
fn the_error_of_the_estimate_is_within_four_standard_errors() {
    for n in [3_000_u64, 20_000, 150_000] {
        let count = of(0..n).count();
        let error = (count as f64 - n as f64).abs() / n as f64;
        assert!(error < 4.0 * 1.04 / f64::from(1 << 14).sqrt(), "{n}: {count}");
    }
}

/// DataSketches for C++ (PyPI `datasketches`) gives this for the union of an `hll_sketch(14, HLL_8)` with
/// itself. The header holds sums over all registers.
#[test]
fn the_sketch_is_the_one_of_the_original_library() {
    let golden = [
        (3_000, 3_003, "0a01070e0010000a000000000000000000000004fe66cc4000000000000000004835000000000000"),
        (20_000, 19_860, "0a01070e0010000a0000000000000000000080c42666bf4000000000000000001c13000000000000"),
        (
            150_000,
            151_042,
            "0a01070e0010000a00000000000000000000803e9e07944000000000000000000400000000000000",
        ),
    ];
    for (n, count, header) in golden {
        let distinct = of(0..n);
        assert_eq!(distinct.count(), count);
        let Stored::Sketch(text) = Stored::from(distinct) else { panic!("exact") };
        let bytes = BASE64_STANDARD.decode(text).unwrap();
        let hex: String = bytes[..40].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((bytes.len(), hex.as_str()), (40 + (1 << 14), header), "{n}");
    }
}

#[test]
fn numbers_and_their_text_are_one_id_before_and_after_the_limit() {
    // Kept as numbers, then handed to the sketch; or as text to the sketch at once.
    let mut early = Distinct::default();
    (0..3000_u64).for_each(|id| early.insert(&id.to_string(), MAX));
    let mut late = of(5000..8000);
    let before = late.count();
    (0..3000_u64).for_each(|id| late.insert(&id.to_string(), MAX));
    let after = late.count();
    late.merge(early, MAX);
    assert!(after > before);
    assert_eq!(late.count(), after, "nothing was new");
}

#[test]
fn what_is_stored_is_readable_and_what_is_not_ours_is_refused() {
    let mut few = Distinct::default();
    ["7", "bob", "07", "18446744073709551615"].iter().for_each(|id| few.insert(id, MAX));
    assert_eq!(stored(&few), r#"{"exact":[7,18446744073709551615,"07","bob"]}"#);
    for refused in [
        r#"{"sketch":"?"}"#.to_owned(),
        r#"{"sketch":""}"#.to_owned(),
        r#"{"other":[]}"#.to_owned(),
        format!(r#"{{"sketch":"{}"}}"#, BASE64_STANDARD.encode(other_sketch(12, HllType::Hll8))),
        format!(r#"{{"sketch":"{}"}}"#, BASE64_STANDARD.encode(other_sketch(14, HllType::Hll4))),
    ] {
        assert!(serde_json::from_str::<Distinct>(&refused).is_err(), "{refused:.60}");
    }
}

fn other_sketch(lg: u8, kind: HllType) -> Vec<u8> {
    let mut sketch = HllSketch::new(lg, kind).unwrap();
    (0..5000).for_each(|id| sketch.update(id));
    sketch.serialize()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever the parts, their order, and whether they were stored in between.
    #[test]
    fn parts_come_to_the_whole(
        n in prop_oneof![0_u64..40, 1_900_u64..2_200, 4_000_u64..6_000],
        parts in 1_usize..6,
        seed in any::<u64>(),
        is_stored in any::<bool>(),
    ) {
        let whole = of(0..n);
        let mut split = vec![Distinct::default(); parts];
        for id in (0..n).rev() {
            // Some ids come to two parts.
            let place = id.wrapping_mul(seed | 1).rotate_right(7);
            for at in [place, place / 3] {
                split[usize::try_from(at % parts as u64).unwrap()].insert(&format!("user-{id}"), MAX);
            }
        }
        let mut merged = Distinct::default();
        for part in split {
            let part = if is_stored { serde_json::from_str(&stored(&part)).unwrap() } else { part };
            merged.merge(part, MAX);
        }
        prop_assert_eq!(merged.is_exact(), n <= MAX as u64);
        prop_assert_eq!(&stored(&merged), &stored(&whole));
        prop_assert_eq!(merged.count(), whole.count());
        prop_assert_eq!(merged, whole);
    }

    #[test]
    fn a_stored_sketch_with_broken_bytes_does_no_harm(at in 0_usize..40 + 600, byte in any::<u8>()) {
        let Stored::Sketch(text) = Stored::from(of(0..3000)) else { panic!("exact") };
        let mut bytes = BASE64_STANDARD.decode(text).unwrap();
        bytes[at] = byte;
        let text = serde_json::to_string(&Stored::Sketch(BASE64_STANDARD.encode(bytes))).unwrap();
        if let Ok(mut distinct) = serde_json::from_str::<Distinct>(&text) {
            let _ = distinct.count();
            distinct.merge(of(0..3000), MAX);
            distinct.insert("one more", MAX);
            let _ = distinct.count();
        }
    }
}
