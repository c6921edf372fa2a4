//! Where the records come from, and which of them are still to be served.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;

use super::Tap;
use crate::tweets::Tweet;

/// What an upstream serves.
pub struct Feed {
    source: Source,
}

enum Source {
    Lines(Box<dyn Iterator<Item = Bytes> + Send>),
    Recording(Bytes),
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Lines(_) => f.write_str("Feed::lines"),
            Source::Recording(rest) => write!(f, "Feed::recording({} bytes left)", rest.len()),
        }
    }
}

impl Feed {
    /// Records without line ends; each is sent with `\r\n`. At its end the stream stays open, as X's
    /// does when nothing matches.
    pub fn lines<I>(lines: I) -> Self
    where
        I: IntoIterator<Item = Bytes>,
        I::IntoIter: Send + 'static,
    {
        Self { source: Source::Lines(Box::new(lines.into_iter())) }
    }

    /// Generated posts.
    pub fn tweets<I>(tweets: I) -> Self
    where
        I: IntoIterator<Item = Tweet>,
        I::IntoIter: Send + 'static,
    {
        Self::lines(tweets.into_iter().map(|tweet| tweet.line))
    }

    /// The body of a recorded stream, byte for byte. A final line without an end is sent as it is and
    /// counts as torn. Then the connection is closed, and the next one gets keep-alives only.
    #[must_use]
    pub fn recording(body: Bytes) -> Self {
        Self { source: Source::Recording(body) }
    }

    fn next(&mut self) -> Option<Piece> {
        match &mut self.source {
            Source::Lines(lines) => lines.next().map(|body| Piece { body, ending: b"\r\n" }),
            Source::Recording(rest) if rest.is_empty() => None,
            Source::Recording(rest) => Some(split_line(rest)),
        }
    }
}

/// A line and its end; without an end it is the torn rest of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) body: Bytes,
    pub(super) ending: &'static [u8],
}

impl Piece {
    pub(super) fn len(&self) -> usize {
        self.body.len() + self.ending.len()
    }

    /// A record, not an empty line and not a torn one.
    pub(super) fn is_record(&self) -> bool {
        !self.body.is_empty() && !self.ending.is_empty()
    }
}

fn split_line(rest: &mut Bytes) -> Piece {
    let Some(end) = rest.iter().position(|b| *b == b'\n') else {
        return Piece { body: std::mem::take(rest), ending: b"" };
    };
    let mut body = rest.split_to(end + 1);
    let ending: &[u8] = if body.ends_with(b"\r\n") { b"\r\n" } else { b"\n" };
    body.truncate(body.len() - ending.len());
    Piece { body, ending }
}

/// The feed, with what was taken from it but not served.
pub(super) struct Feeder {
    feed: Feed,
    waiting: VecDeque<Piece>,
    tap: Option<Tap>,
    closes_at_end: bool,
}

impl Feeder {
    pub(super) fn new(feed: Feed, tap: Option<Tap>) -> Self {
        let closes_at_end = matches!(feed.source, Source::Recording(_));
        Self { feed, waiting: VecDeque::new(), tap, closes_at_end }
    }

    /// The next piece, which stays where it is.
    pub(super) fn peek(&mut self) -> Option<&Piece> {
        if self.waiting.is_empty() {
            self.waiting.extend(self.feed.next());
        }
        self.waiting.front()
    }

    /// Takes pieces until they hold `records` records or `bytes` bytes; at least one if there is any.
    pub(super) fn take(&mut self, records: u64, bytes: usize) -> Vec<Piece> {
        let mut taken = Vec::new();
        let (mut records_left, mut size) = (records, 0);
        while records_left > 0 && size < bytes && self.peek().is_some() {
            if let Some(piece) = self.waiting.pop_front() {
                records_left -= u64::from(piece.is_record());
                size += piece.len();
                taken.push(piece);
            }
        }
        taken
    }

    /// Puts pieces that were not served back to the front, in their order.
    pub(super) fn give_back(&mut self, pieces: impl DoubleEndedIterator<Item = Piece>) {
        for piece in pieces.rev() {
            self.waiting.push_front(piece);
        }
    }

    /// A record has been wholly written.
    pub(super) fn served(&mut self, piece: &Piece) {
        if let Some(tap) = &mut self.tap {
            tap(&piece.body);
        }
    }

    /// True once: when a recording has come to its end and the connection is to be closed.
    pub(super) fn closes_now(&mut self) -> bool {
        std::mem::take(&mut self.closes_at_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(pieces: &[Piece]) -> Vec<&[u8]> {
        pieces.iter().map(|piece| &piece.body[..]).collect()
    }

    #[test]
    fn what_was_not_served_comes_again_in_its_order() {
        let lines: Vec<Bytes> = ["a", "b", "c", "d"].map(Bytes::from).to_vec();
        let mut feeder = Feeder::new(Feed::lines(lines), None);
        let taken = feeder.take(3, usize::MAX);
        assert_eq!(bodies(&taken), [b"a", b"b", b"c"]);
        feeder.give_back(taken.into_iter().skip(1));
        assert_eq!(feeder.peek().map(|piece| &piece.body[..]), Some(&b"b"[..]));
        assert_eq!(bodies(&feeder.take(u64::MAX, usize::MAX)), [b"b", b"c", b"d"]);
        assert!(feeder.peek().is_none() && !feeder.closes_now());
    }

    #[test]
    fn a_recording_keeps_its_line_ends_and_closes_once() {
        let mut feeder = Feeder::new(Feed::recording(Bytes::from_static(b"a\r\n\nb\nc")), None);
        let pieces = feeder.take(u64::MAX, usize::MAX);
        let shown: Vec<_> = pieces.iter().map(|p| (&p.body[..], p.ending, p.is_record())).collect();
        let wanted: [(&[u8], &[u8], bool); 4] =
            [(b"a", b"\r\n", true), (b"", b"\n", false), (b"b", b"\n", true), (b"c", b"", false)];
        assert_eq!(shown, wanted);
        assert_eq!((feeder.closes_now(), feeder.closes_now()), (true, false));
    }

    #[test]
    fn a_chunk_ends_at_its_size_or_its_number_of_records() {
        let lines = (0..10).map(|_| Bytes::from_static(b"12345678"));
        let mut feeder = Feeder::new(Feed::lines(lines), None);
        assert_eq!(feeder.take(2, usize::MAX).len(), 2);
        assert_eq!(feeder.take(u64::MAX, 25).len(), 3, "three lines of ten bytes reach 25");
        assert_eq!(feeder.take(0, usize::MAX).len(), 0);
    }
}
