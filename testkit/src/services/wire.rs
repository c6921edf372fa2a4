//! How frames become bytes on the wire: chunks of HTTP/1.1, compressed or not, whole or cut off.

use super::faults::Cut;
use super::gzip::Gzip;
use crate::http::{LAST_CHUNK, chunk_head};

/// The length of what follows the last byte of a chunk's content.
pub(super) const CHUNK_END: usize = 2;

/// Encodes the body of one answer.
pub(super) struct Encoder {
    gzip: Option<Gzip>,
}

impl Encoder {
    pub(super) fn new(gzip: Option<Gzip>) -> Self {
        Self { gzip }
    }

    /// The headers that say how the body is encoded.
    pub(super) fn headers(&self) -> &'static [(&'static str, &'static str)] {
        if self.gzip.is_some() {
            &[("cache-control", "no-cache"), ("content-encoding", "gzip")]
        } else {
            &[("cache-control", "no-cache")]
        }
    }

    /// `content` as a chunk of its own; nothing for nothing, as an empty chunk would be the end.
    pub(super) fn chunk(&mut self, content: &[u8]) -> Vec<u8> {
        if content.is_empty() {
            return Vec::new();
        }
        let encoded = self.gzip.as_mut().map(|gzip| gzip.encode(content));
        let content = encoded.as_deref().unwrap_or(content);
        let mut wire = chunk_head(content.len());
        wire.extend_from_slice(content);
        wire.extend_from_slice(b"\r\n");
        wire
    }

    /// A chunk with `frame` that breaks off so that `at` bytes of it have come, or some fewer when it
    /// is compressed.
    pub(super) fn torn(&mut self, frame: &[u8], at: usize) -> Vec<u8> {
        let mut wire = self.chunk(frame);
        // What is behind the frame; before it stand the heads of the chunk and of its blocks.
        wire.truncate(wire.len() - CHUNK_END - (frame.len() - at));
        wire
    }

    /// The end of the body.
    pub(super) fn last(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        if let Some(gzip) = self.gzip.take() {
            let end = gzip.finish();
            wire = chunk_head(end.len());
            wire.extend_from_slice(&end);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(LAST_CHUNK);
        wire
    }
}

/// How many bytes of the frame come before the cut. The frame's last `end_len` bytes are its end.
pub(super) fn cut_at(frame: &[u8], cut: Cut, end_len: usize) -> usize {
    let half = frame.len() / 2;
    // A byte that goes on with a letter: a cut before it falls inside of the letter.
    let inside = |from: usize, to: usize| (from..to).find(|at| frame[*at] & 0xc0 == 0x80);
    match cut {
        Cut::Middle => half,
        Cut::Letter => inside(half, frame.len()).or_else(|| inside(0, half)).unwrap_or(half),
        Cut::End => frame.len() - end_len,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_fall_where_they_say() {
        let frame = "{\"a\":\"余水\"}\r\n".as_bytes();
        assert_eq!(cut_at(frame, Cut::End, 2), frame.len() - 2);
        let at = cut_at(frame, Cut::Letter, 2);
        assert!(std::str::from_utf8(&frame[..at]).is_err() && at < frame.len() - 2);
        let mut plain = Encoder::new(None);
        assert_eq!(plain.torn(frame, 4), [b"10\r\n", &frame[..4]].concat());
        assert_eq!(plain.chunk(b"ab"), b"2\r\nab\r\n");
        assert!(plain.chunk(b"").is_empty());
    }
}
