//! The transport against a peer that sends exactly what the test wants.

use proptest::prelude::*;
use spillway_testkit::services::jetstream::DICTIONARY;
use spillway_testkit::services::websocket::{ClientFrames, Opcode, close, frame, message};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::dictionary::{Dictionary, Undecodable};
use super::*;

const LIMIT: usize = 300;

/// A connection and its peer, with this much room between them.
async fn pair(silence: Option<Duration>, room: usize) -> (Connection, DuplexStream) {
    let (ours, peer) = tokio::io::duplex(room);
    (Connection::upgraded(Box::new(ours), Limits { message_bytes: LIMIT, silence }).await, peer)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Sends `wire` cut at `cuts`, then a FIN; returns what came out.
async fn receive(wire: Vec<u8>, cuts: Vec<usize>) -> (Vec<Message>, Broken) {
    let (mut connection, peer) = pair(None, 1 << 16).await;
    let (mut answers, mut peer) = tokio::io::split(peer);
    let send = async move {
        let mut rest = &wire[..];
        for cut in cuts {
            let (piece, left) = rest.split_at(cut.min(rest.len()));
            // The client may have had enough of it.
            let _ = peer.write_all(piece).await;
            tokio::task::yield_now().await;
            rest = left;
        }
        let _ = peer.write_all(rest).await;
        let _ = peer.shutdown().await;
    };
    let read = async {
        let mut messages = Vec::new();
        loop {
            match connection.next().await {
                Ok(message) => messages.push(message),
                Err(broken) => return (messages, broken),
            }
        }
    };
    let drain = async {
        let _ = answers.read_to_end(&mut Vec::new()).await;
        std::future::pending::<()>().await;
    };
    let both = async { tokio::join!(read, send).0 };
    tokio::select! { received = both => received, () = drain => unreachable!() }
}

#[test]
fn messages_pings_and_the_close_are_told_apart() {
    let wire = [
        frame(Opcode::Text, true, b"{\"a\":1}"),
        frame(Opcode::Ping, true, b"p"),
        frame(Opcode::Binary, true, &[0xff, 0]),
        frame(Opcode::Text, true, b""),
        close(1012, "back soon"),
    ];
    let (messages, broken) = block_on(receive(wire.concat(), vec![]));
    let found: Vec<_> = messages.iter().map(|m| (&m.bytes[..], m.is_binary)).collect();
    assert_eq!(found, [(&b"{\"a\":1}"[..], false), (&[0xff, 0][..], true), (&b""[..], false)]);
    assert!(broken.is_orderly());
    assert_eq!(broken.to_string(), "the upstream closed the connection, 1012 (restarting): \"back soon\"");
}

#[test]
fn a_message_that_is_cut_off_never_comes_out() {
    let wire = message(Opcode::Text, b"{\"whole\":false}", 4);
    for length in 0..wire.len() {
        let (messages, broken) = block_on(receive(wire[..length].to_vec(), vec![]));
        assert!(messages.is_empty(), "{length} bytes");
        assert!(matches!(broken, Broken::Cut), "{length} bytes: {broken:?}");
    }
}

#[test]
fn a_message_over_the_limit_is_refused_before_it_is_read() {
    // Only the head of a frame that announces 2^40 bytes.
    let head = [&[0x82, 127][..], &(1_u64 << 40).to_be_bytes()].concat();
    let (_, broken) = block_on(receive(head, vec![]));
    assert!(matches!(broken, Broken::TooLong { size: 0x100_0000_0000, limit: LIMIT }), "{broken:?}");
    // And one whose frames are short.
    let (messages, broken) = block_on(receive(message(Opcode::Text, &[b'x'; LIMIT + 1], 100), vec![]));
    assert!(messages.is_empty() && matches!(broken, Broken::TooLong { .. }), "{broken:?}");
    let (messages, _) = block_on(receive(message(Opcode::Text, &[b'x'; LIMIT], 100), vec![]));
    assert_eq!(messages.len(), 1);
}

#[test]
fn what_the_standard_forbids_ends_the_connection() {
    let wrong = [
        frame(Opcode::Reserved(5), true, b""),
        frame(Opcode::Text, true, &[0xff]),
        frame(Opcode::Continuation, true, b"of nothing"),
        frame(Opcode::Ping, false, b"in pieces"),
        frame(Opcode::Ping, true, &[0; 126]),
    ];
    for wire in wrong {
        let (messages, broken) = block_on(receive(wire.clone(), vec![]));
        assert!(messages.is_empty() && matches!(broken, Broken::Protocol(_)), "{wire:?}: {broken:?}");
    }
}

#[tokio::test]
async fn a_silent_peer_is_asked_and_then_given_up() {
    // Held up for half of this, it would give up without having asked.
    let silence = Duration::from_secs(2);
    let (mut connection, mut peer) = pair(Some(silence), 1 << 10).await;
    let begin = Instant::now();
    // It answers the first ping, so it may be silent for longer.
    let answered = async {
        let mut ping = [0; 6];
        peer.read_exact(&mut ping).await.unwrap();
        assert_eq!((ping[0], begin.elapsed() >= silence / 2), (0x89, true));
        peer.write_all(&frame(Opcode::Pong, true, b"")).await.unwrap();
        let mut second = [0; 6];
        peer.read_exact(&mut second).await.unwrap();
        second[0]
    };
    let both = async { tokio::join!(connection.next(), answered) };
    let (broken, second) = tokio::time::timeout(Duration::from_secs(30), both).await.unwrap();
    let broken = broken.unwrap_err();
    assert!(broken.is_stall(), "{broken:?}");
    assert_eq!(second, 0x89);
    assert!(begin.elapsed() >= silence * 3 / 2, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_long_message_that_comes_slowly_is_no_silence() {
    let (mut connection, mut peer) = pair(Some(Duration::from_millis(1_500)), 1 << 10).await;
    // All of it takes longer than the silence that is given up, one byte far less.
    let drip = async {
        for byte in frame(Opcode::Text, true, b"0123456789") {
            peer.write_all(&[byte]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        peer
    };
    let (message, _peer) = tokio::join!(connection.next(), drip);
    assert_eq!(&message.unwrap().bytes[..], b"0123456789");
}

#[tokio::test]
async fn a_peer_that_pings_and_never_reads_stops_nothing_and_fills_no_memory() {
    let (mut connection, peer) = pair(None, 1 << 10).await;
    let (answers, mut peer) = tokio::io::split(peer);
    let flood = async move {
        for _ in 0..20_000 {
            peer.write_all(&frame(Opcode::Ping, true, &[7; 125])).await.unwrap();
        }
        peer.write_all(&frame(Opcode::Ping, true, b"the last")).await.unwrap();
        peer.write_all(&frame(Opcode::Text, true, b"{}")).await.unwrap();
        peer
    };
    let (message, _peer) = tokio::join!(connection.next(), flood);
    assert_eq!(&message.unwrap().bytes[..], b"{}");
    // Now the peer reads: what was kept for it is little, and the answer to its last ping is there.
    let mut answers = ClientFrames::new(answers);
    let kept = async {
        let mut kept = 0;
        loop {
            let (opcode, payload) = answers.next().await.unwrap().unwrap();
            assert_eq!(opcode, Opcode::Pong);
            if payload == b"the last" {
                return kept;
            }
            kept += payload.len();
        }
    };
    let kept = tokio::select! {
        kept = kept => kept,
        message = connection.next() => panic!("nothing more was sent: {message:?}"),
    };
    assert!((10_000..=ANSWERS_BYTES_MAX + (1 << 10)).contains(&kept), "{kept} bytes of pongs");
}

#[tokio::test]
async fn a_next_that_is_dropped_loses_nothing() {
    let (mut connection, mut peer) = pair(Some(Duration::from_secs(60)), 1 << 16).await;
    let texts: Vec<String> = (0..50).map(|n| format!("{{\"n\":{n}}}")).collect();
    let wire: Vec<u8> = texts.iter().flat_map(|text| message(Opcode::Text, text.as_bytes(), 3)).collect();
    let mut found = Vec::new();
    for byte in wire {
        peer.write_all(&[byte]).await.unwrap();
        tokio::select! {
            biased;
            message = connection.next() => found.push(message.unwrap().bytes),
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(found, texts);
}

fn folded(text: &[u8], dictionary: &[u8]) -> Vec<u8> {
    zstd::bulk::Compressor::with_dictionary(3, dictionary).unwrap().compress(text).unwrap()
}

/// The dictionary under another number.
fn other_dictionary() -> Vec<u8> {
    let mut other = DICTIONARY.to_vec();
    other[4..8].copy_from_slice(&77_u32.to_le_bytes());
    other
}

#[test]
fn a_message_unfolds_to_what_it_was() {
    let ours = Dictionary::new(DICTIONARY).unwrap();
    for text in [&b""[..], b"{}", &[b'x'; 100_000]] {
        assert_eq!(ours.unfold(&folded(text, DICTIONARY), 100_000).unwrap(), text);
    }
    // A frame that does not say how much it holds.
    let mut encoder = zstd::stream::Encoder::with_dictionary(Vec::new(), 3, DICTIONARY).unwrap();
    std::io::Write::write_all(&mut encoder, &[b'y'; 50_000]).unwrap();
    let streamed = encoder.finish().unwrap();
    assert_eq!(ours.unfold(&streamed, 50_000).unwrap(), &[b'y'; 50_000][..]);
    assert!(matches!(ours.unfold(&streamed, 49_999), Err(Undecodable::TooLong { limit: 49_999 })));
}

#[test]
fn other_dictionaries_damage_and_bombs_are_told_apart() {
    let ours = Dictionary::new(DICTIONARY).unwrap();
    assert_eq!(ours.id(), 20_260_704);
    let found = |message: &[u8]| ours.unfold(message, 1_000);
    let other = found(&folded(b"{}", &other_dictionary())).unwrap_err();
    assert!(matches!(other, Undecodable::OtherDictionary { found: 77, ours: 20_260_704 }), "{other:?}");
    assert!(Broken::from(other).needs_operator());
    let plain = zstd::bulk::compress(b"{}", 3).unwrap();
    assert!(matches!(found(&plain), Err(Undecodable::OtherDictionary { found: 0, .. })));
    assert!(matches!(found(b"{\"not\":\"zstd\"}"), Err(Undecodable::Damaged(_))));
    let bomb = folded(&vec![0; 100 << 20], DICTIONARY);
    assert!(bomb.len() < 20_000, "a bomb: {} bytes", bomb.len());
    assert!(matches!(found(&bomb), Err(Undecodable::TooLong { limit: 1_000 })));
    let whole = folded(&[b'x'; 500], DICTIONARY);
    for length in 0..whole.len() {
        assert!(found(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
    }
    assert!(matches!(found(&[whole.clone(), whole].concat()), Err(Undecodable::NotOneFrame)));
    assert!(Dictionary::new(b"no dictionary").is_none());
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..40_usize, 0..30)
}

proptest! {
    /// However a message is cut into frames, with pings between them, and the frames into chunks.
    #[test]
    fn any_fragmentation_gives_the_same_messages(
        texts in proptest::collection::vec(".{0,60}", 0..8),
        pieces in proptest::collection::vec(1..30_usize, 8),
        cuts in cuts(), pings in any::<bool>(),
    ) {
        let mut wire = Vec::new();
        for (text, piece) in texts.iter().zip(pieces) {
            let count = text.len().div_ceil(piece).max(1);
            for at in 0..count {
                let part = text.as_bytes().chunks(piece).nth(at).unwrap_or_default();
                let opcode = if at == 0 { Opcode::Text } else { Opcode::Continuation };
                wire.extend(frame(opcode, at + 1 == count, part));
                if pings {
                    wire.extend(frame(Opcode::Ping, true, b"between"));
                }
            }
        }
        let (messages, broken) = block_on(receive(wire, cuts));
        prop_assert!(matches!(broken, Broken::Cut), "{:?}", broken);
        let found: Vec<_> = messages.iter().map(|m| &m.bytes[..]).collect();
        prop_assert_eq!(found, texts.iter().map(String::as_bytes).collect::<Vec<_>>());
    }

    /// Any bytes, and bytes that look like frames: no panic, no message over the limit, and an end.
    #[test]
    fn any_bytes_after_the_upgrade_end_in_an_error(
        frames in proptest::collection::vec((any::<u8>(), any::<u8>(), proptest::collection::vec(any::<u8>(), 0..140)), 0..12),
        cuts in cuts(),
    ) {
        let wire: Vec<u8> = frames.into_iter().flat_map(|(first, second, rest)| {
            // Half of them have a length that is true.
            let length = if second & 1 == 0 { u8::try_from(rest.len().min(125)).unwrap_or(0) } else { second };
            [vec![first & 0x8f, length], rest].concat()
        }).collect();
        let (messages, broken) = block_on(receive(wire.clone(), cuts));
        prop_assert!(messages.iter().all(|m| m.bytes.len() <= LIMIT));
        let (again, whole) = block_on(receive(wire, vec![]));
        prop_assert_eq!(messages, again);
        prop_assert_eq!(std::mem::discriminant(&broken), std::mem::discriminant(&whole));
    }

    #[test]
    fn any_bytes_unfold_to_an_error_or_to_no_more_than_the_limit(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200), looks_real in any::<bool>(), at in any::<usize>(),
    ) {
        let ours = Dictionary::new(DICTIONARY).unwrap();
        if looks_real {
            let real = folded(&bytes, DICTIONARY);
            let at = at % real.len();
            let mut damaged = real.clone();
            damaged[at] ^= 1 << (bytes.len() % 8);
            bytes = damaged;
        }
        if let Ok(unfolded) = ours.unfold(&bytes, 1_000) {
            prop_assert!(unfolded.len() <= 1_000);
        }
    }
}
