//! Tests of the frame: its golden bytes, and a decoder that is given anything.

use proptest::prelude::*;

use crate::batch::Batch;
use crate::codec::{Encoder, Stamp, decode_body};
use crate::config::Codec;
use crate::frame::{Defect, HEADER_BYTES, Header, MAX_GROUP_BYTES, MAX_GROUP_RECORDS};
use crate::group::Group;

const STAMP: Stamp = Stamp { first_seq: 0x0102_0304, unix_ms: 1_700_000_000_123, spool_id: 0xCAFE_F00D };

fn group(records: &[&[u8]]) -> Group {
    let mut group = Group::new();
    for record in records {
        group.push(&[record]);
    }
    group
}

fn frame(codec: Codec, group: &Group) -> Vec<u8> {
    Encoder::new(codec).encode(group, STAMP).1.to_vec()
}

/// The whole way back: the records of a frame, or why they are not to be had.
fn decode(bytes: &[u8]) -> Result<Vec<(u64, Vec<u8>)>, Defect> {
    let header = Header::decode(bytes)?;
    let body =
        bytes.get(HEADER_BYTES..HEADER_BYTES + header.stored_bytes as usize).ok_or(Defect::Truncated)?;
    let batch = Batch::decode(&header, body, header.first_seq)?;
    Ok(batch.iter().map(|(seq, record)| (seq, record.to_vec())).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes on disk are a contract with every spool that exists. If this fails, the format version must change.
#[test]
fn golden_bytes_without_compression() {
    let bytes = frame(Codec::None, &group(&[b"alpha", b"", b"omega!"]));
    let golden = concat!(
        "f5535057",
        "01",
        "00",
        "0000", // magic, version, codec, unused
        "03000000",
        "17000000",
        "17000000", // records, stored bytes, raw bytes
        "1f8e09ed", // CRC32C of the body
        "0403020100000000",
        "7b68e5cf8b010000", // first seq, unix ms
        "0df0feca",         // spool id
        "3c1ba44d",         // CRC32C of the header
        "05000000",
        "616c706861",
        "00000000",
        "06000000",
        "6f6d65676121",
    );
    assert_eq!(hex(&bytes), golden);
}

#[test]
fn golden_bytes_with_lz4() {
    let record = [b'a'; 40];
    let bytes = frame(Codec::Lz4, &group(&[&record, &record]));
    let golden = concat!(
        "f5535057",
        "01",
        "01",
        "0000",
        "02000000",
        "14000000",
        "58000000",
        "4e71a86d",
        "0403020100000000",
        "7b68e5cf8b010000",
        "0df0feca",
        "f9b4a9b5",
        "5f2800000061",
        "010014",
        "0f2c0013",
        "60616161616161",
    );
    assert_eq!(hex(&bytes), golden);
}

#[test]
fn each_codec_gives_the_records_back() {
    let long = "compressible ".repeat(500);
    let records: [&[u8]; 4] = [b"one", long.as_bytes(), b"", b"\xf5SPW\x01"];
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
        let bytes = frame(codec, &group(&records));
        assert_eq!(Header::decode(&bytes).unwrap().codec, codec);
        let numbered: Vec<_> = (STAMP.first_seq..).zip(records.iter().map(|r| r.to_vec())).collect();
        assert_eq!(decode(&bytes), Ok(numbered), "{codec:?}");
    }
}

#[test]
fn what_does_not_shrink_is_stored_as_it_is() {
    for codec in [Codec::Lz4, Codec::Zstd] {
        let bytes = frame(codec, &group(&[b"\x8a\x01\xfe"]));
        let header = Header::decode(&bytes).unwrap();
        assert_eq!((header.codec, header.stored_bytes), (Codec::None, header.raw_bytes));
    }
}

#[test]
fn a_batch_can_begin_in_the_middle_of_a_frame() {
    let bytes = frame(Codec::None, &group(&[b"zero", b"one", b"two"]));
    let header = Header::decode(&bytes).unwrap();
    let first = header.first_seq;
    let batch = Batch::decode(&header, &bytes[HEADER_BYTES..], first + 1).unwrap();
    assert_eq!(
        (batch.first_seq(), batch.end_seq(), batch.records(), batch.bytes()),
        (first + 1, first + 3, 2, 6)
    );
    assert_eq!(batch.record(0), "one");
    assert_eq!(batch.record(1), "two");
    assert_eq!(batch.iter().collect::<Vec<_>>(), [(first + 1, &b"one"[..]), (first + 2, &b"two"[..])]);
}

/// A header that passes its checksum may still lie: every limit is checked before anything is allocated.
#[test]
fn headers_outside_the_limits_are_refused() {
    let good = Header {
        codec: Codec::Lz4,
        records: 2,
        stored_bytes: 10,
        raw_bytes: 20,
        body_crc: 0,
        first_seq: 1,
        unix_ms: 0,
        spool_id: 1,
    };
    assert_eq!(Header::decode(&good.encode()), Ok(good));
    let too_long = u32::try_from(MAX_GROUP_BYTES + 1).unwrap();
    let bad = [
        Header { records: 0, ..good },
        Header { records: MAX_GROUP_RECORDS + 1, raw_bytes: 5_000_000, stored_bytes: 9, ..good },
        Header { records: 6, ..good },
        Header { raw_bytes: too_long, ..good },
        Header { stored_bytes: 21, ..good },
        Header { stored_bytes: 0, ..good },
        Header { codec: Codec::None, ..good },
        Header { first_seq: 0, ..good },
        Header { first_seq: u64::MAX, ..good },
    ];
    for header in bad {
        assert_eq!(Header::decode(&header.encode()), Err(Defect::Limits), "{header:?}");
    }
    let mut newer = good.encode();
    newer[4] = 2;
    let crc = crc32c::crc32c(&newer[..44]).to_le_bytes();
    newer[44..48].copy_from_slice(&crc);
    assert_eq!(Header::decode(&newer), Err(Defect::Version(2)));
}

/// With the checksum made right, the body itself is hostile: wrong lengths, wrong counts, garbage for a codec.
#[test]
fn bodies_that_lie_are_refused() {
    let body = |codec, raw_bytes, records, stored: &[u8]| {
        let header = Header {
            codec,
            records,
            stored_bytes: u32::try_from(stored.len()).unwrap(),
            raw_bytes,
            body_crc: crc32c::crc32c(stored),
            first_seq: 1,
            unix_ms: 0,
            spool_id: 1,
        };
        Batch::decode(&header, stored, 1).map(|batch| batch.records())
    };
    assert_eq!(body(Codec::None, 6, 1, b"\x02\0\0\0ab"), Ok(1));
    assert_eq!(body(Codec::None, 6, 1, b"\x01\0\0\0ab"), Err(Defect::Body), "a byte left over");
    assert_eq!(body(Codec::None, 6, 1, b"\x03\0\0\0ab"), Err(Defect::Body), "a record beyond the end");
    assert_eq!(body(Codec::None, 6, 1, b"\xff\xff\xff\xffab"), Err(Defect::Body));
    assert_eq!(body(Codec::None, 6, 2, b"\x02\0\0\0ab"), Err(Defect::Body), "a record too few");
    assert_eq!(body(Codec::Lz4, 1 << 24, 1, b"\x1f"), Err(Defect::Body));
    assert_eq!(body(Codec::Zstd, 1 << 24, 1, b"\x28\xb5\x2f\xfd\x00"), Err(Defect::Body));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_decoded_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn a_changed_frame_is_never_taken_for_another(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..6),
        codec in prop::sample::select(vec![Codec::None, Codec::Lz4, Codec::Zstd]),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..=255,
        cut in any::<prop::sample::Index>(),
    ) {
        let parts: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let good = frame(codec, &group(&parts));
        let expected: Vec<_> = (STAMP.first_seq..).zip(records.clone()).collect();
        prop_assert_eq!(decode(&good), Ok(expected));
        let mut changed = good.clone();
        changed[at.index(good.len())] ^= flip;
        prop_assert!(decode(&changed).is_err());
        prop_assert!(decode(&good[..cut.index(good.len())]).is_err());
    }

    /// Bodies with a right checksum and wrong content: refused or, if they happen to be valid, within the header's lengths.
    #[test]
    fn hostile_bodies_never_give_more_than_the_header_allows(
        stored in prop::collection::vec(any::<u8>(), 1..120),
        codec in prop::sample::select(vec![Codec::Lz4, Codec::Zstd]),
        raw_bytes in 120_u32..100_000,
    ) {
        let header = Header {
            codec, records: 1, stored_bytes: u32::try_from(stored.len()).unwrap(), raw_bytes,
            body_crc: crc32c::crc32c(&stored), first_seq: 1, unix_ms: 0, spool_id: 1,
        };
        if let Ok(raw) = decode_body(&header, &stored) {
            prop_assert_eq!(raw.len(), raw_bytes as usize);
        }
    }
}
