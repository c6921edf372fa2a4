//! WebSocket: any cut of any bytes gives the same messages and the same end, what is sent by the rules
//! arrives whole and unchanged, and no frame takes more memory than the longest message that is allowed.

use std::io;
use std::mem::{Discriminant, discriminant};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use spillway_daemon::sources::websocket::{Broken, Connection, Limits};
use spillway_testkit::services::websocket::{Opcode, close, frame};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

use super::meter::{alone, peak_of};
use super::mutate::{Rng, cases, mutate, seed};

const USUAL: u64 = 10_000;
/// What a connection may take: its read buffer and what the library needs for itself, and the longest
/// message in a buffer that grows by doubling, once as frames and once as a message.
const BYTES_MAX: usize = 400 << 10;
const MESSAGES: usize = 6;

/// A peer that has said all that it will say; it takes every answer.
struct Wire {
    bytes: Vec<u8>,
    at: usize,
    rng: Rng,
    /// Most bytes in one piece.
    most: usize,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = self.most;
        let length = (1 + self.rng.below(most)).min(buf.remaining()).min(self.bytes.len() - self.at);
        buf.put_slice(&self.bytes[self.at..self.at + length]);
        self.at += length;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, answer: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(answer.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A message, and whether it was sent as binary data.
type Message = (Vec<u8>, bool);

/// What comes out of a connection over which `bytes` come in pieces of at most `most`.
fn received(runtime: &Runtime, bytes: &[u8], most: usize, seed: u64, limit: usize) -> (Vec<Message>, Broken) {
    let wire = Wire { bytes: bytes.to_vec(), at: 0, rng: Rng(seed), most };
    runtime.block_on(async {
        let mut connection = Connection::upgraded(wire, Limits { message_bytes: limit, silence: None }).await;
        let mut messages = Vec::new();
        loop {
            match connection.next().await {
                Ok(message) => messages.push((message.bytes.to_vec(), message.is_binary)),
                Err(broken) => return (messages, broken),
            }
        }
    })
}

fn payload(rng: &mut Rng, is_binary: bool) -> Vec<u8> {
    // Around the lengths at which a frame's head changes.
    let length =
        [0, 1, 125, 126, 127, 300, 65_535, 65_536][if rng.one_in(200) { rng.below(8) } else { rng.below(6) }];
    if is_binary {
        return rng.bytes(length);
    }
    let letters = ["x", "\u{e4}", "\u{20ac}", "\u{1f600}"];
    (0..length / 4).map(|_| letters[rng.below(4)]).collect::<String>().into_bytes()
}

fn control(rng: &mut Rng, wire: &mut Vec<u8>) {
    if rng.one_in(4) {
        let length = rng.below(126);
        let opcode = if rng.one_in(2) { Opcode::Ping } else { Opcode::Pong };
        wire.extend(frame(opcode, true, &rng.bytes(length)));
    }
}

/// Messages in any number of frames with pings between them, then a close frame or none; and what must
/// come out.
fn conversation(rng: &mut Rng) -> (Vec<u8>, Vec<Message>, bool) {
    let (mut wire, mut messages) = (Vec::new(), Vec::new());
    for _ in 0..rng.below(5) {
        control(rng, &mut wire);
        let is_binary = rng.one_in(2);
        let payload = payload(rng, is_binary);
        let (mut rest, mut opcode) = (&payload[..], if is_binary { Opcode::Binary } else { Opcode::Text });
        while rng.one_in(2) {
            let (piece, left) = rest.split_at(rng.below(rest.len() + 1));
            wire.extend(frame(opcode, false, piece));
            control(rng, &mut wire);
            (rest, opcode) = (left, Opcode::Continuation);
        }
        wire.extend(frame(opcode, true, rest));
        messages.push((payload, is_binary));
    }
    let is_closed = rng.one_in(2);
    if is_closed {
        wire.extend(close(1001, "going"));
    }
    (wire, messages, is_closed)
}

fn kind(broken: &Broken) -> Discriminant<Broken> {
    discriminant(broken)
}

#[test]
fn any_cut_of_any_bytes_gives_the_same_messages() {
    let _alone = alone();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (seed, cases, began) = (seed("sockets"), cases(USUAL), Instant::now());
    let (mut messages, mut damaged, mut worst) = (0, 0_u64, 0);
    for case in 0..cases {
        let mut rng = Rng(seed.wrapping_add(case));
        let (mut wire, sent, is_closed) = conversation(&mut rng);
        let is_damaged = rng.one_in(2);
        let limit = if is_damaged { 1 + rng.below(1_000) } else { 1 << 17 };
        if is_damaged {
            mutate(&mut wire, &mut rng);
        }
        let ((whole, end), peak) = peak_of(|| received(&runtime, &wire, usize::MAX, 0, limit));
        // Some byte by byte; the longer ones in no more pieces.
        let most = [1, 3, 100][rng.below(3)].max(wire.len() / 40);
        let (pieces, other_end) = received(&runtime, &wire, most, rng.next(), limit);
        assert_eq!(pieces, whole, "case {case} of seed {seed}: in pieces of up to {most}");
        assert_eq!(kind(&other_end), kind(&end), "case {case} of seed {seed}: {other_end:?} and {end:?}");
        if !is_damaged {
            assert_eq!(whole, sent, "case {case} of seed {seed}");
            assert_eq!(end.is_orderly(), is_closed, "case {case} of seed {seed}: {end:?}");
        }
        assert!(whole.iter().all(|(message, _)| message.len() <= limit));
        let most = BYTES_MAX + MESSAGES * limit + 2 * wire.len();
        assert!(peak <= most, "case {case} of seed {seed} took {peak} bytes for messages of {limit}");
        (messages, worst) = (messages + whole.len(), worst.max(peak));
        damaged += u64::from(matches!(end, Broken::Protocol(_) | Broken::TooLong { .. }));
    }
    assert!(messages > 0 && damaged > 0, "{messages} messages, {damaged} ended by a fault");
    eprintln!(
        "{cases} conversations in {:?}: {messages} messages, {damaged} ended by a fault, at most {worst} bytes",
        began.elapsed()
    );
}
