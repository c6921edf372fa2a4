//! Records like those of a stream of posts: JSON with fields that repeat and text that does not. Seeded.

/// Words to make text of; their mix decides how well it compresses.
const WORDS: [&str; 48] = [
    "river", "flood", "gate", "water", "level", "rain", "storm", "city", "north", "south", "bridge",
    "closed", "open", "morning", "tonight", "please", "watch", "update", "record", "people", "street",
    "station", "train", "delay", "again", "finally", "great", "terrible", "happy", "coffee", "match", "goal",
    "team", "win", "lost", "vote", "minister", "says", "report", "police", "music", "new", "song", "video",
    "live", "now", "from", "the",
];

/// A seeded source of records.
pub(crate) struct Payload {
    state: u64,
    number: u64,
}

impl Payload {
    pub(crate) fn new(seed: u64) -> Payload {
        Payload { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, number: 0 }
    }

    fn roll(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// Replaces `out` by the next record, of exactly `len` bytes.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>, len: usize) {
        out.clear();
        self.number += 1;
        let (author, id) = (self.roll() % 100_000, 1_460_000_000_000_000_000 + self.number * 4_194_304);
        let head = format!(
            "{{\"data\":{{\"id\":\"{id}\",\"created_at\":\"2026-11-20T{:02}:{:02}:{:02}.000Z\",\"author_id\":\"{author}\",\"lang\":\"en\",\"text\":\"",
            self.number / 3600 % 24,
            self.number / 60 % 60,
            self.number % 60,
        );
        out.extend_from_slice(head.as_bytes());
        let tail = b"\"},\"matching_rules\":[{\"id\":\"1460\",\"tag\":\"floods\"}]}";
        while out.len() + tail.len() < len {
            let roll = self.roll();
            let index = usize::try_from(roll % WORDS.len() as u64).unwrap();
            out.extend_from_slice(WORDS[index].as_bytes());
            // A number now and then: hashes, links and ids do not compress.
            if roll.is_multiple_of(5) {
                out.extend_from_slice(format!(" https://t.co/{:x}", roll >> 24).as_bytes());
            }
            out.push(b' ');
        }
        out.truncate(len.saturating_sub(tail.len()));
        out.extend_from_slice(tail);
        out.truncate(len);
    }
}
