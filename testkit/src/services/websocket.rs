//! The server's side of RFC 6455, byte by byte: the upgrade, frames to send, frames to read.
//!
//! Own code instead of a library, because a fake has to know which bytes the operating system has taken,
//! to end a connection inside of a frame, and to send what no library sends.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::http::Request;

/// Longest frame that is taken from a client: they send little.
const CLIENT_FRAME_BYTES_MAX: usize = 1 << 20;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// A further piece of a message.
    Continuation,
    /// The first piece of a text message.
    Text,
    /// The first piece of a binary message.
    Binary,
    /// The connection is being closed.
    Close,
    /// Are you there?
    Ping,
    /// I am here.
    Pong,
    /// One that the standard keeps for later.
    Reserved(u8),
}

impl Opcode {
    fn number(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
            Self::Reserved(number) => number & 15,
        }
    }

    fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            other => Self::Reserved(other),
        }
    }
}

/// A frame as a server sends it: without a mask.
#[must_use]
pub fn frame(opcode: Opcode, is_last: bool, payload: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(payload.len() + 10);
    wire.push(u8::from(is_last) << 7 | opcode.number());
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => wire.push(length),
        (_, Ok(length)) => {
            wire.push(126);
            wire.extend(length.to_be_bytes());
        }
        _ => {
            wire.push(127);
            wire.extend((payload.len() as u64).to_be_bytes());
        }
    }
    wire.extend_from_slice(payload);
    wire
}

/// A message in frames of at most `piece` bytes; whole when `piece` is 0.
#[must_use]
pub fn message(opcode: Opcode, payload: &[u8], piece: usize) -> Vec<u8> {
    if piece == 0 || payload.len() <= piece {
        return frame(opcode, true, payload);
    }
    let pieces = payload.len().div_ceil(piece);
    let wire = payload.chunks(piece).enumerate().flat_map(|(at, part)| {
        let opcode = if at == 0 { opcode } else { Opcode::Continuation };
        frame(opcode, at + 1 == pieces, part)
    });
    wire.collect()
}

/// A close frame.
#[must_use]
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    frame(Opcode::Close, true, &payload)
}

/// The answer that opens a WebSocket; `None` when the request does not ask for one.
pub(crate) fn accept(request: &Request) -> Option<Vec<u8>> {
    let upgrade = request.header("upgrade")?;
    let key = request.header("sec-websocket-key")?;
    let is_whole = upgrade.eq_ignore_ascii_case("websocket")
        && request.header("connection")?.to_ascii_lowercase().contains("upgrade")
        && request.header("sec-websocket-version") == Some("13");
    let key = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    is_whole.then(|| {
        format!("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {key}\r\n\r\n")
            .into_bytes()
    })
}

/// Reads the frames of a client.
#[derive(Debug)]
pub struct ClientFrames<R> {
    reader: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> ClientFrames<R> {
    /// Reads them from `reader`, which stands after the upgrade.
    #[must_use]
    pub fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new() }
    }

    /// The next frame, unmasked; `None` when the client has gone, or sends what a client must not.
    ///
    /// Cancel safety: what was read stays in the buffer.
    ///
    /// # Errors
    /// When reading fails.
    pub async fn next(&mut self) -> io::Result<Option<(Opcode, Vec<u8>)>> {
        loop {
            match parse(&self.buffer) {
                Parsed::Whole(opcode, payload, length) => {
                    self.buffer.drain(..length);
                    return Ok(Some((opcode, payload)));
                }
                Parsed::Wrong => return Ok(None),
                Parsed::Partial => {}
            }
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

enum Parsed {
    /// With the length on the wire.
    Whole(Opcode, Vec<u8>, usize),
    Partial,
    Wrong,
}

fn parse(wire: &[u8]) -> Parsed {
    let [first, second, rest @ ..] = wire else { return Parsed::Partial };
    if second & 0x80 == 0 {
        // A client masks.
        return Parsed::Wrong;
    }
    let (extra, length) = match second & 0x7f {
        126 => (2, rest.first_chunk().map(|bytes| usize::from(u16::from_be_bytes(*bytes)))),
        127 => (8, rest.first_chunk().and_then(|bytes| usize::try_from(u64::from_be_bytes(*bytes)).ok())),
        short => (0, Some(usize::from(short))),
    };
    let Some(length) = length else { return Parsed::Partial };
    if length > CLIENT_FRAME_BYTES_MAX {
        return Parsed::Wrong;
    }
    let Some((mask, rest)) = rest[extra..].split_first_chunk::<4>() else { return Parsed::Partial };
    let Some(payload) = rest.get(..length) else { return Parsed::Partial };
    let unmasked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Parsed::Whole(Opcode::from_number(first & 15), unmasked, 2 + extra + 4 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_the_standard() {
        // The examples of RFC 6455, section 5.7.
        assert_eq!(frame(Opcode::Text, true, b"Hello"), b"\x81\x05Hello");
        assert_eq!(message(Opcode::Text, b"Hello", 3), b"\x01\x03Hel\x80\x02lo");
        assert_eq!(frame(Opcode::Binary, true, &[0; 256])[..4], [0x82, 0x7e, 1, 0]);
        assert_eq!(frame(Opcode::Binary, true, &[0; 65536])[..10], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(close(1000, "ok"), b"\x88\x04\x03\xe8ok");
    }

    #[tokio::test]
    async fn a_masked_frame_is_read_however_it_is_cut() {
        let wire = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x8a\x80\x01\x02\x03\x04";
        for cut in 0..wire.len() {
            let (first, second) = wire.split_at(cut);
            let mut frames = ClientFrames::new(tokio::io::AsyncReadExt::chain(first, second));
            assert_eq!(frames.next().await.unwrap(), Some((Opcode::Text, b"Hello".to_vec())));
            assert_eq!(frames.next().await.unwrap(), Some((Opcode::Pong, Vec::new())));
            assert_eq!(frames.next().await.unwrap(), None);
        }
        let mut unmasked = ClientFrames::new(&b"\x81\x01a"[..]);
        assert_eq!(unmasked.next().await.unwrap(), None);
    }

    #[test]
    fn the_answer_is_the_one_of_the_standard() {
        let head = "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        let request = Request::parse(head).unwrap();
        let answer = String::from_utf8(accept(&request).unwrap()).unwrap();
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        assert_eq!(accept(&Request::parse("GET / HTTP/1.1\r\n\r\n").unwrap()), None);
    }
}
