//! Undoes the compression of a response, piece by piece: what came is given out whole, also when the
//! connection breaks right behind it. Without I/O.
//!
//! The pieces have a limit, whatever the compressed bytes say: a few of them may stand for gigabytes.

use std::io;

use bytes::{Buf, Bytes};
use compression_codecs::{BrotliDecoder, DecodeV2, GzipDecoder, ZstdDecoder};
use compression_core::util::{PartialBuffer, WriteBuffer};

/// What is offered to the upstream.
pub(super) const ACCEPTED: &str = "gzip, br, zstd";
/// The longest piece.
const PIECE: usize = 64 * 1024;

/// The body of a response.
pub(super) struct Body {
    codec: Option<Box<Codec>>,
    /// What came and was not given out yet.
    input: Bytes,
}

struct Codec {
    decoder: Box<dyn DecodeV2 + Send + Sync>,
    /// The compressed data was complete; more of it begins anew.
    ended: bool,
    /// The last piece was full: the decoder may have more without more input.
    full: bool,
    piece: Vec<u8>,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("compressed", &self.codec.is_some()).finish_non_exhaustive()
    }
}

impl Body {
    /// A body in this encoding, the header's value; `None` when it is one that was not offered.
    pub(super) fn new(encoding: Option<&str>) -> Option<Self> {
        let name = encoding.unwrap_or_default().trim().to_ascii_lowercase();
        let decoder: Option<Box<dyn DecodeV2 + Send + Sync>> = match name.as_str() {
            "" | "identity" => None,
            "gzip" | "x-gzip" => Some(Box::new(GzipDecoder::new())),
            "br" => Some(Box::new(BrotliDecoder::new())),
            "zstd" => Some(Box::new(ZstdDecoder::new())),
            _ => return None,
        };
        let codec = decoder
            .map(|decoder| Box::new(Codec { decoder, ended: false, full: false, piece: vec![0; PIECE] }));
        Some(Self { codec, input: Bytes::new() })
    }

    /// Takes what came. All that came before must have been given out.
    pub(super) fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.input.is_empty(), "nothing is overwritten");
        self.input = chunk;
    }

    /// The next piece; `None` when more must come first.
    ///
    /// # Errors
    /// When the compressed bytes are none.
    pub(super) fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Some(codec) = &mut self.codec else {
            let piece = std::mem::take(&mut self.input);
            return Ok((!piece.is_empty()).then_some(piece));
        };
        while codec.full || !self.input.is_empty() {
            let piece = codec.step(&mut self.input)?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

impl Codec {
    fn step(&mut self, input: &mut Bytes) -> io::Result<Bytes> {
        if std::mem::take(&mut self.ended) {
            self.decoder.reinit()?;
        }
        let mut given = PartialBuffer::new(&input[..]);
        let mut output = WriteBuffer::new_initialized(&mut self.piece);
        self.ended = match self.decoder.decode(&mut given, &mut output) {
            // It was only asked whether it has more, and it has not.
            Err(_) if input.is_empty() => false,
            ended => ended?,
        };
        self.full = output.has_no_spare_space() && !self.ended;
        let (taken, piece) = (given.written_len(), Bytes::copy_from_slice(output.written()));
        if taken == 0 && piece.is_empty() && !self.ended && !input.is_empty() {
            return Err(io::Error::other("the decoder makes no progress"));
        }
        input.advance(taken);
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use compression_codecs::brotli::params::EncoderParams;
    use compression_codecs::{BrotliEncoder, EncodeV2, GzipEncoder, ZstdEncoder};
    use compression_core::Level;

    use super::*;

    /// All that comes out of `compressed`, given in chunks of this size.
    fn undo(encoding: &str, compressed: &[u8], size: usize) -> io::Result<Vec<u8>> {
        let (mut body, mut out) = (Body::new(Some(encoding)).unwrap(), Vec::new());
        for chunk in compressed.chunks(size) {
            body.push(Bytes::copy_from_slice(chunk));
            while let Some(piece) = body.next()? {
                assert!(piece.len() <= PIECE);
                out.extend_from_slice(&piece);
            }
        }
        Ok(out)
    }

    #[test]
    fn a_few_bytes_that_stand_for_many_come_in_pieces() {
        let zeros = vec![0; 5_000_000];
        let folded = zstd::bulk::compress(&zeros, 3).unwrap();
        for size in [1, 7, 1_000_000] {
            assert_eq!(undo("zstd", &folded, size).unwrap(), zeros, "{size}");
        }
    }

    fn fold(mut encoder: impl EncodeV2, data: &[u8]) -> Vec<u8> {
        let mut room = vec![0; 2 * data.len() + 1_000];
        let (mut input, mut output) = (PartialBuffer::new(data), WriteBuffer::new_initialized(&mut room));
        while !input.unwritten().is_empty() {
            encoder.encode(&mut input, &mut output).unwrap();
        }
        while !encoder.finish(&mut output).unwrap() {}
        output.written().to_vec()
    }

    #[test]
    fn pieces_that_end_where_the_data_ends_are_whole() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE] {
            let data: Vec<u8> = (0..length).map(|at| b"spillway\n"[at % 9]).collect();
            let gzip = fold(GzipEncoder::new(Level::Default.into()), &data);
            let brotli = fold(BrotliEncoder::new(EncoderParams::default()), &data);
            let zstd = fold(ZstdEncoder::new(3), &data);
            for (encoding, folded) in [("gzip", gzip), ("br", brotli), ("zstd", zstd)] {
                // In one chunk, in chunks of a byte, and with the trailer apart.
                for size in [folded.len(), 1, folded.len().saturating_sub(8).max(1), 1_000] {
                    assert_eq!(undo(encoding, &folded, size).unwrap(), data, "{encoding} {length} {size}");
                }
            }
        }
    }

    #[test]
    fn data_after_data_begins_anew() {
        let twice = [zstd::bulk::compress(b"one ", 3).unwrap(), zstd::bulk::compress(b"two", 3).unwrap()];
        for size in [1, 5, 1_000] {
            assert_eq!(undo("zstd", &twice.concat(), size).unwrap(), b"one two", "{size}");
        }
    }

    #[test]
    fn what_is_not_compressed_passes_and_nonsense_is_an_error() {
        assert_eq!(undo("identity", b"abc", 2).unwrap(), b"abc");
        for encoding in ["gzip", "br", "zstd"] {
            assert!(undo(encoding, &[0xff; 100], 10).is_err(), "{encoding}");
        }
        assert!(Body::new(None).is_some());
        assert!(Body::new(Some("gzip, br")).is_none() && Body::new(Some("compress")).is_none());
    }
}
