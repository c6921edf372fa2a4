//! Events in the shape of Jetstream's: commits, and now and then an identity or an account.

use std::fmt::Write as _;

use bytes::Bytes;

use crate::rng::Rng;

const COLLECTIONS: [&str; 5] = [
    "app.bsky.feed.like",
    "app.bsky.feed.post",
    "app.bsky.feed.repost",
    "app.bsky.graph.follow",
    "app.bsky.graph.block",
];
const WORDS: [&str; 12] =
    ["water", "gate", "flood", "spill", "river", "Größe", "雨", "dam", "🙂", "level", "rain", "über"];
/// The letters of a TID, in their order.
const LETTERS: &[u8; 32] = b"234567abcdefghijklmnopqrstuvwxyz";

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Counted from 1, without gaps.
    pub number: u64,
    /// Its `time_us`: when this server had it. Not strictly rising.
    pub time_us: u64,
    /// Whose it is.
    pub did: String,
    /// The collection of a commit.
    pub collection: Option<String>,
    /// The JSON text.
    pub bytes: Bytes,
    /// How often it was wholly written to a connection.
    pub served: u32,
}

impl Event {
    /// Takes an event as it was recorded.
    ///
    /// # Panics
    /// When it is none: recordings are checked in.
    pub(super) fn recorded(number: u64, bytes: Bytes) -> Self {
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let time_us = json["time_us"].as_u64();
        let (Some(time_us), Some(did)) = (time_us, text(&json["did"])) else {
            panic!("event {number} of the recording has no time_us or no did");
        };
        let collection = text(&json["commit"]["collection"]);
        Self { number, time_us, did, collection, bytes, served: 0 }
    }

    /// Makes event `number` of a world.
    pub(super) fn made(number: u64, time_us: u64, rng: &mut Rng, size: Option<usize>) -> Self {
        let did = format!("did:plc:{}", tid(rng.below(500).wrapping_mul(0x9e37_79b9_7f4a_7c15), 24));
        let is_commit = size.is_some() || rng.below(50) > 0;
        let collection = rng.pick(&COLLECTIONS);
        let json = match is_commit {
            true => commit(number, time_us, &did, collection, rng, size),
            false => other(number, time_us, &did, rng),
        };
        let collection = is_commit.then(|| collection.to_owned());
        Self { number, time_us, did, collection, bytes: json.into(), served: 0 }
    }
}

fn commit(
    number: u64,
    time_us: u64,
    did: &str,
    collection: &str,
    rng: &mut Rng,
    size: Option<usize>,
) -> String {
    let rev = tid(((time_us / 1_000) << 10) | (number % 1024), 13);
    let rkey = tid(number.wrapping_mul(0x1_0000_0000_01b3), 13);
    let mut json =
        format!(r#"{{"did":"{did}","time_us":{time_us},"kind":"commit","commit":{{"rev":"{rev}","#);
    if size.is_none() && rng.below(20) == 0 {
        // Writing to a String cannot fail.
        let _ = write!(json, r#""operation":"delete","collection":"{collection}","rkey":"{rkey}"}}}}"#);
        return json;
    }
    let operation = if rng.below(30) == 0 { "update" } else { "create" };
    let _ = write!(
        json,
        r#""operation":"{operation}","collection":"{collection}","rkey":"{rkey}","record":{{"$type":"{collection}","createdAt":"2026-07-04T14:38:08.999Z","langs":["en"],"text":""#
    );
    match size {
        Some(size) => json.push_str(&"x".repeat(size.saturating_sub(json.len()))),
        None => (0..5 + rng.below(40)).for_each(|_| json.extend([rng.pick(&WORDS), " "])),
    }
    let cid = tid(rng.next_u64() >> 1, 13).repeat(4);
    let _ = write!(json, r#""}},"cid":"bafyrei{cid}"}}}}"#);
    json
}

fn other(number: u64, time_us: u64, did: &str, rng: &mut Rng) -> String {
    let seq = 31_000_000_000 + number;
    let time = "2026-07-04T14:38:07.877Z";
    match rng.below(2) {
        0 => format!(
            r#"{{"did":"{did}","time_us":{time_us},"kind":"identity","identity":{{"did":"{did}","seq":{seq},"time":"{time}"}}}}"#
        ),
        _ => format!(
            r#"{{"did":"{did}","time_us":{time_us},"kind":"account","account":{{"active":true,"did":"{did}","seq":{seq},"time":"{time}"}}}}"#
        ),
    }
}

/// `number` in `length` letters.
fn tid(number: u64, length: u32) -> String {
    let shift = |at: u32| number.checked_shr(5 * at).unwrap_or(0) & 31;
    let letter = |at: u32| char::from(LETTERS[usize::try_from(shift(at)).unwrap_or(0)]);
    (0..length).rev().map(letter).collect()
}
