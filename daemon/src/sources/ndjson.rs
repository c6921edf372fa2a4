//! Frames newline-delimited JSON: chunks in, whole lines out. Pure; the chunks can be cut anywhere.
//!
//! A line ends with `\n` or `\r\n`. Empty lines are keep-alives. What is left at the end of the input
//! is a line only if it is a whole JSON object or array: a torn one is never emitted. The buffer never
//! grows beyond the longest line that is allowed; a longer line is dropped whole and counted.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use super::Oddities;

/// Cuts chunks into lines.
#[derive(Debug)]
pub struct Framer {
    max_line: usize,
    /// The line that the last chunk ended in.
    partial: BytesMut,
    /// The current line is too long; its rest is skipped.
    skipping: bool,
    /// Bytes of the whole lines so far: where the current line begins.
    line_begin: u64,
    /// Bytes of the current line so far, kept or skipped.
    kept: u64,
    odd: Oddities,
}

impl Framer {
    /// A framer that drops lines of more than `max_line` bytes.
    #[must_use]
    pub fn new(max_line: usize) -> Self {
        Self {
            max_line,
            partial: BytesMut::new(),
            skipping: false,
            line_begin: 0,
            kept: 0,
            odd: Oddities::default(),
        }
    }

    /// What was met besides lines.
    #[must_use]
    pub fn oddities(&self) -> Oddities {
        self.odd
    }

    /// Where the line that is not whole yet begins, in bytes since the start.
    #[must_use]
    pub fn line_begin(&self) -> u64 {
        self.line_begin
    }

    /// Takes a chunk; hands each line that is whole now to `emit`, with its place: from its first byte to
    /// after its end, in bytes since the start. Lines inside the chunk share its memory.
    pub fn push(&mut self, mut chunk: Bytes, mut emit: impl FnMut(Bytes, Range<u64>)) {
        let mut at = self.line_begin + self.kept;
        while let Some(end) = memchr::memchr(b'\n', &chunk) {
            let piece = chunk.split_to(end);
            chunk.advance(1);
            at += end as u64 + 1;
            let place = self.line_begin..at;
            self.line_begin = at;
            self.kept = 0;
            if let Some(line) = self.complete(piece) {
                emit(line, place);
            }
        }
        self.kept += chunk.len() as u64;
        self.keep(&chunk);
    }

    /// Joins what was kept with the line's last piece.
    fn complete(&mut self, piece: Bytes) -> Option<Bytes> {
        if std::mem::take(&mut self.skipping) {
            return None;
        }
        let line = if self.partial.is_empty() {
            piece
        } else {
            self.partial.extend_from_slice(&piece);
            self.partial.split().freeze()
        };
        let line = match line.last() {
            Some(b'\r') => line.slice(..line.len() - 1),
            _ => line,
        };
        if line.len() > self.max_line {
            self.odd.too_long += 1;
            return None;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            self.odd.keep_alives += 1;
            return None;
        }
        Some(line)
    }

    fn keep(&mut self, rest: &[u8]) {
        if self.skipping {
            return;
        }
        // One byte more than a line, for its `\r`.
        if self.partial.len() + rest.len() > self.max_line + 1 {
            self.partial = BytesMut::new();
            self.skipping = true;
            self.odd.too_long += 1;
            return;
        }
        self.partial.extend_from_slice(rest);
    }

    /// The input has ended: gives the last line if it is whole without its end, and starts anew.
    pub fn finish(&mut self) -> Option<Bytes> {
        self.skipping = false;
        self.line_begin += std::mem::take(&mut self.kept);
        let mut rest = self.partial.split().freeze();
        if rest.last() == Some(&b'\r') {
            // The first half of a line end.
            rest.truncate(rest.len() - 1);
        }
        if rest.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        if is_whole(&rest) && rest.len() <= self.max_line {
            return Some(rest);
        }
        self.odd.torn += 1;
        None
    }
}

/// Whether `text` is a JSON object or array from its first byte to its last: then no part of it is
/// missing. A number or a word could be the beginning of a longer one.
#[must_use]
pub fn is_whole(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'['))
        && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `input` cut at `cuts`; returns the lines and the oddities.
    fn frame(input: &[u8], cuts: &[usize], max_line: usize) -> (Vec<Vec<u8>>, Oddities) {
        let mut framer = Framer::new(max_line);
        let mut lines = Vec::new();
        let mut rest = input;
        for cut in cuts {
            let (chunk, left) = rest.split_at((*cut).min(rest.len()));
            framer.push(Bytes::copy_from_slice(chunk), |line, _| lines.push(line.to_vec()));
            rest = left;
        }
        framer.push(Bytes::copy_from_slice(rest), |line, _| lines.push(line.to_vec()));
        lines.extend(framer.finish().map(|line| line.to_vec()));
        (lines, framer.oddities())
    }

    #[test]
    fn lines_keep_alives_and_a_whole_last_line() {
        let (lines, odd) = frame(b"{\"a\":1}\r\n\r\n{\"b\":2}\n \r\n{\"c\":3}", &[], 100);
        assert_eq!(lines, [b"{\"a\":1}", b"{\"b\":2}", b"{\"c\":3}"]);
        assert_eq!(odd, Oddities { torn: 0, too_long: 0, keep_alives: 2 });
    }

    #[test]
    fn a_line_whose_end_is_cut_in_two_is_whole_and_has_no_half_of_it() {
        let (lines, odd) = frame(b"{\"a\":1}\r\n{\"b\":2}\r", &[], 7);
        assert_eq!(lines, [b"{\"a\":1}", b"{\"b\":2}"]);
        assert_eq!(odd, Oddities::default());
    }

    #[test]
    fn a_torn_last_line_is_never_emitted() {
        for torn in [
            &b"{\"a\":"[..],
            b"{\"data\": {\"author_id\": \"1021159080151404544\"",
            b"12",
            b"\"x\"",
            b"nul",
            b"{}x",
        ] {
            let (lines, odd) = frame(torn, &[], 100);
            assert!(lines.is_empty(), "{torn:?}");
            assert_eq!(odd.torn, 1, "{torn:?}");
        }
    }

    #[test]
    fn a_line_over_the_limit_is_dropped_alone() {
        let mut input = b"{\"a\":1}\n".to_vec();
        input.extend(std::iter::repeat_n(b'x', 5_000));
        input.extend(b"\n{\"b\":2}\n");
        for cuts in [vec![], vec![3, 50, 1000, 20], vec![1; 4000]] {
            let (lines, odd) = frame(&input, &cuts, 10);
            assert_eq!(lines, [b"{\"a\":1}", b"{\"b\":2}"]);
            assert_eq!(odd.too_long, 1);
        }
    }

    #[test]
    fn the_buffer_is_bounded() {
        let mut framer = Framer::new(100);
        for _ in 0..1000 {
            framer.push(Bytes::from_static(&[b'x'; 64]), |_, _| panic!("no line has ended"));
            assert!(framer.partial.len() <= 101);
        }
        assert_eq!(framer.oddities().too_long, 1);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_lines(
            input in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'{'), Just(b'}'), Just(b'a')], 0..200),
            cuts in proptest::collection::vec(0..20_usize, 0..40), max_line in 1..30_usize,
        ) {
            prop_assert_eq!(frame(&input, &cuts, max_line), frame(&input, &[], max_line));
        }

        #[test]
        fn the_lines_are_where_they_are_said_to_be(lines in proptest::collection::vec("[a-z]{1,9}", 0..20), cut in 1..30_usize) {
            let input = lines.iter().map(|l| format!("{l}\n\r\n")).collect::<String>();
            let mut framer = Framer::new(100);
            let mut places = Vec::new();
            for chunk in input.as_bytes().chunks(cut) {
                framer.push(Bytes::copy_from_slice(chunk), |line, place| places.push((line, place)));
            }
            prop_assert_eq!(places.len(), lines.len());
            for (line, place) in places {
                let place = usize::try_from(place.start).unwrap()..usize::try_from(place.end).unwrap();
                prop_assert_eq!(input[place].trim().as_bytes(), &line[..]);
            }
        }
    }
}
