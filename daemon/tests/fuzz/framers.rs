//! Framers of streams: any text cut anywhere gives the same records, and no text, however long its lines,
//! takes more memory than the longest record that is allowed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use spillway_daemon::sources::{Oddities, ndjson, sse};

use super::meter::{alone, peak_of};
use super::mutate::{Rng, cases, mutate, seed};

const USUAL: u64 = 20_000;
/// Longest pieces of input here.
const PIECE_MAX: usize = 4 << 10;
/// What a framer may take: pieces that its parts still share, the longest record in a buffer that grows by
/// doubling, and again while it is joined or copied.
const PIECES: usize = 6;
const RECORDS: usize = 8;
const BYTES: usize = 4 << 10;

const WORDS: &[&[u8]] = &[
    b"data: ",
    b"data:",
    b"data",
    b"id: ",
    b"id:\0",
    b"event: ",
    b"event:update",
    b"retry: 250",
    b"retry:",
    b":",
    b":thump\n",
    b"\n",
    b"\n",
    b"\n\n",
    b"\r",
    b"\r\n",
    b"\r\n\r\n",
    b"\xef\xbb\xbf",
    b"\xef\xbb",
    b"{\"data\":{\"id\":\"1\"}}",
    b"{\"a\":1}\r\n",
    b"[1]",
    b"{",
    b"}",
    b" ",
    b"\t",
    "\u{1f600}\u{e4}".as_bytes(),
    b"\xff",
    b"\0",
];

/// A text of a stream, or something like it.
fn text(rng: &mut Rng, record_max: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..rng.below(40) {
        match rng.below(12) {
            0 => text.extend(std::iter::repeat_n(b'x', rng.below(3 * record_max + 20))),
            // Just as long as a record may be, or by a little not.
            1 => text.extend(std::iter::repeat_n(b'y', (record_max + rng.below(20)).saturating_sub(10))),
            2 => {
                let length = rng.below(30);
                text.extend(rng.bytes(length));
            }
            _ => text.extend_from_slice(WORDS[rng.below(WORDS.len())]),
        }
    }
    if rng.one_in(3) {
        mutate(&mut text, rng);
    }
    text
}

/// Longest record, mostly shorter than a text.
fn record_max(rng: &mut Rng) -> usize {
    if rng.one_in(50) { 4_000 } else { 1 + rng.below(100) }
}

/// Hands `text` over in random pieces; some are empty, some texts come byte by byte.
fn cut(text: &[u8], rng: &mut Rng, mut take: impl FnMut(Bytes)) {
    // A long text in no more pieces than a short one.
    let most = [1, 2, 3, 10, 100, PIECE_MAX][rng.below(6)].max(text.len() / 200);
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, left) = rest.split_at(rng.below(most + 1).min(rest.len()));
        take(Bytes::copy_from_slice(piece));
        rest = left;
    }
}

/// All that a framer says of an input.
#[derive(Debug, PartialEq, Eq)]
struct Said<T> {
    records: Vec<T>,
    odd: Oddities,
    retry: Option<Duration>,
}

/// Data, type and id.
type Event = (Vec<u8>, Vec<u8>, Vec<u8>);

/// Two connections: the second begins where a cut-off first one has left the framer.
fn events(
    texts: &[Vec<u8>; 2],
    max: usize,
    mut feed: impl FnMut(&[u8], &mut dyn FnMut(Bytes)),
) -> Said<Event> {
    let mut framer = sse::Framer::new(max);
    let mut records = Vec::new();
    for text in texts {
        feed(text, &mut |piece| {
            framer.push(&piece, |event| {
                assert!(event.data.len() <= max);
                records.push((event.data.to_vec(), event.name.to_vec(), event.last_id.to_vec()));
            });
        });
        framer.finish();
    }
    Said { records, odd: framer.oddities(), retry: framer.take_retry() }
}

/// A line and its place.
type Line = (Vec<u8>, u64, u64);

fn lines(texts: &[Vec<u8>; 2], max: usize, mut feed: impl FnMut(&[u8], &mut dyn FnMut(Bytes))) -> Said<Line> {
    let mut framer = ndjson::Framer::new(max);
    let mut records = Vec::new();
    for text in texts {
        feed(text, &mut |piece| {
            framer.push(piece, |line, place| records.push((line.to_vec(), place.start, place.end)));
        });
        let begin = framer.line_begin();
        records.extend(framer.finish().map(|line| (line.to_vec(), begin, framer.line_begin())));
    }
    assert!(records.iter().all(|(line, ..)| line.len() <= max));
    Said { records, odd: framer.oddities(), retry: None }
}

fn whole(text: &[u8], take: &mut dyn FnMut(Bytes)) {
    take(Bytes::copy_from_slice(text));
}

#[test]
fn any_cut_of_any_text_gives_the_same_records() {
    let _alone = alone();
    let (seed, cases, began) = (seed("framers"), cases(USUAL), Instant::now());
    let (mut records, mut dropped) = (0, 0);
    for case in 0..cases {
        let mut rng = Rng(seed.wrapping_add(case));
        let max = record_max(&mut rng);
        let texts = [text(&mut rng, max), text(&mut rng, max)];
        let expected = events(&texts, max, whole);
        let found = events(&texts, max, |text, take| cut(text, &mut rng, take));
        assert_eq!(found, expected, "case {case} of seed {seed}: SSE, at most {max} bytes, of {texts:?}");
        records += expected.records.len();
        dropped += expected.odd.too_long;
        let expected = lines(&texts, max, whole);
        let found = lines(&texts, max, |text, take| cut(text, &mut rng, take));
        assert_eq!(found, expected, "case {case} of seed {seed}: NDJSON, at most {max} bytes, of {texts:?}");
        records += expected.records.len();
        dropped += expected.odd.too_long;
    }
    assert!(records > 0 && dropped > 0, "the texts reach both sides: {records} records, {dropped} too long");
    eprintln!("{cases} texts in {:?}: {records} records, {dropped} too long", began.elapsed());
}

/// A text that goes on for long, with one line, one event of many lines, or anything: how it begins, what
/// comes again and again, and how often.
fn endless(rng: &mut Rng, record_max: usize) -> (&'static [u8], Vec<u8>, usize) {
    let begin: &[u8] = [&b""[..], b"data:", b"id:", b"event:", b":", b"{\"a\":\""][rng.below(6)];
    let mut piece = match rng.below(3) {
        0 => vec![b'x'; 1 + rng.below(PIECE_MAX)],
        1 => b"data: x\n".repeat(1 + rng.below(PIECE_MAX / 8)),
        _ => text(rng, record_max),
    };
    piece.truncate(PIECE_MAX);
    (begin, piece, 1 + rng.below(40))
}

fn play((begin, piece, times): &(&'static [u8], Vec<u8>, usize), mut take: impl FnMut(Bytes)) {
    take(Bytes::from_static(begin));
    for _ in 0..*times {
        take(Bytes::copy_from_slice(piece));
    }
}

#[test]
fn no_text_makes_a_framer_take_more_than_the_longest_record() {
    let _alone = alone();
    let (seed, cases, began) = (seed("endless"), cases(USUAL) / 10, Instant::now());
    let mut worst = 0;
    for case in 0..cases {
        let mut rng = Rng(seed.wrapping_add(case));
        let max = 1 + rng.below(1 << 10);
        let text = endless(&mut rng, max);
        let ((), of_events) = peak_of(|| {
            let mut framer = sse::Framer::new(max);
            play(&text, |piece| framer.push(&piece, |_| {}));
            framer.finish();
        });
        let ((), of_lines) = peak_of(|| {
            let mut framer = ndjson::Framer::new(max);
            play(&text, |piece| framer.push(piece, |_, _| {}));
            framer.finish();
        });
        let peak = of_events.max(of_lines);
        let limit = PIECES * PIECE_MAX + RECORDS * max + BYTES;
        assert!(peak <= limit, "case {case} of seed {seed} took {peak} bytes for records of {max}");
        worst = worst.max(peak);
    }
    eprintln!("{cases} endless texts in {:?}: at most {worst} bytes", began.elapsed());
}
