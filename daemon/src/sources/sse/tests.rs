//! Tests of the framer: examples of the standard, and a second, plain reader that it must agree with.

use proptest::prelude::*;

use super::*;

/// Type, data and resume id of an event.
type Seen = (String, String, String);

/// Feeds `input` cut at `cuts`; returns the events, what was met besides, and the resume id.
fn frame(input: &[u8], cuts: &[usize], max: usize) -> (Vec<Seen>, Oddities, Vec<u8>) {
    let mut framer = Framer::new(max);
    let mut seen = Vec::new();
    let mut take = |event: Dispatch<'_>| {
        seen.push((text(event.name), text(&event.data), text(event.last_id)));
    };
    let mut rest = input;
    for cut in cuts {
        let (chunk, left) = rest.split_at((*cut).min(rest.len()));
        framer.push(&Bytes::copy_from_slice(chunk), &mut take);
        rest = left;
    }
    framer.push(&Bytes::copy_from_slice(rest), &mut take);
    framer.finish();
    (seen, framer.oddities(), framer.last_id().to_vec())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn events(input: &str) -> Vec<(String, String)> {
    frame(input.as_bytes(), &[], 1000).0.into_iter().map(|(name, data, _)| (name, data)).collect()
}

fn one(name: &str, data: &str) -> (String, String) {
    (name.to_owned(), data.to_owned())
}

#[test]
fn the_examples_of_the_standard() {
    assert_eq!(
        events("data: YHOO\ndata: +2\ndata: 10\n\n"),
        [one("", "YHOO\n+2\n10")],
        "several lines are one event"
    );
    let stream = ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n";
    let (seen, odd, id) = frame(stream.as_bytes(), &[], 1000);
    assert_eq!(seen.len(), 2, "the third one has no empty line after it");
    assert_eq!(seen[0], (String::new(), "first event".into(), "1".into()));
    assert_eq!(seen[1], (String::new(), "second event".into(), String::new()), "an empty id takes it back");
    assert_eq!((odd.torn, odd.keep_alives, id), (1, 1, Vec::new()));
    assert_eq!(events("data\n\ndata\ndata\n\ndata:"), [one("", ""), one("", "\n")]);
    assert_eq!(events("data:test\n\ndata: test\n\n"), [one("", "test"), one("", "test")]);
}

#[test]
fn every_kind_of_line_end_wherever_the_chunks_are_cut() {
    let expected = [one("a", "1\n2"), one("", "3")];
    for end in ["\n", "\r", "\r\n"] {
        let input = "event: a|data: 1|data: 2||data: 3||".replace('|', end);
        assert_eq!(events(&input), expected, "{end:?}");
        for cut in 1..input.len() {
            let cuts: Vec<usize> = vec![cut; input.len()];
            assert_eq!(frame(input.as_bytes(), &cuts, 1000), frame(input.as_bytes(), &[], 1000));
        }
    }
    assert_eq!(events("data: 1\r\rdata: 2\n\r\ndata: 3\r\n\r"), [one("", "1"), one("", "2"), one("", "3")]);
}

#[test]
fn a_byte_order_mark_counts_only_at_the_beginning() {
    assert_eq!(events("\u{feff}data: 1\n\n"), [one("", "1")]);
    assert_eq!(events("\u{feff}\u{feff}data: 1\n\n"), []);
    assert_eq!(events("data: 1\n\n\u{feff}data: 2\n\n"), [one("", "1")]);
}

#[test]
fn ids_persist_and_one_with_a_nul_is_ignored() {
    let (seen, _, last) =
        frame(b"id: 7\ndata: a\n\ndata: b\n\nid: x\0y\ndata: c\n\nid: 8\n\nid: 9\ndata: d\n", &[], 99);
    assert_eq!(seen.iter().map(|e| e.2.as_str()).collect::<Vec<_>>(), ["7", "7", "7"]);
    assert_eq!(last, b"8", "an id without data counts, one of an unfinished event does not");
}

#[test]
fn retry_takes_only_digits() {
    for (value, expected) in [("3000", Some(3000)), ("3s", None), ("", None), ("-1", None), ("+1", None)] {
        let mut framer = Framer::new(99);
        framer.push(&Bytes::from(format!("retry: {value}\n")), |_| panic!("no event"));
        assert_eq!(framer.take_retry(), expected.map(Duration::from_millis), "{value}");
    }
}

#[test]
fn fields_and_names_are_told_apart_exactly() {
    assert_eq!(events("Data: 1\n data: 2\ndatax: 3\nevent : 4\ndata: 5\n\n"), [one("", "5")]);
    assert_eq!(events("event: a\n\ndata: 1\n\n"), [one("", "1")], "a type without data is forgotten");
    assert_eq!(events("data: a:b: c\n\n"), [one("", "a:b: c")]);
}

#[test]
fn an_event_over_the_limit_is_dropped_alone() {
    let long = "x".repeat(500);
    let input = format!(
        "data: 1\n\ndata: {long}\nid: 5\n\ndata: 123456\ndata: 7890\n\n:{long}\nfoo: {long}\ndata: 2\n\n"
    );
    for cuts in [vec![], vec![1; 2000], vec![7; 200], vec![12, 300]] {
        let (seen, odd, last) = frame(input.as_bytes(), &cuts, 10);
        assert_eq!(seen.iter().map(|e| e.1.as_str()).collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((odd.too_long, odd.keep_alives, last.as_slice()), (2, 1, &b"5"[..]));
    }
}

#[test]
fn the_buffers_are_bounded() {
    for piece in ["x", "data:", "data: 1234\n"] {
        let mut framer = Framer::new(100);
        let chunk = Bytes::from(piece.repeat(7));
        for _ in 0..1000 {
            framer.push(&chunk, |_| panic!("no event is whole"));
            let held = match &framer.data {
                Data::None | Data::TooLong => 0,
                Data::One(data) => data.len(),
                Data::Many(data) => data.len(),
            };
            assert!(framer.partial.len() <= 100 + AROUND_DATA && held <= 100);
        }
    }
}

/// A plain reader that has all of the input and follows the words of the standard.
fn plain(input: &[u8], max: usize) -> Vec<Seen> {
    let input = input.strip_prefix(BOM).unwrap_or(input);
    let mut lines: Vec<Vec<u8>> = vec![Vec::new()];
    let mut bytes = input.iter().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' => {
                bytes.next_if(|next| **next == b'\n');
                lines.push(Vec::new());
            }
            b'\n' => lines.push(Vec::new()),
            other => lines.last_mut().unwrap().push(*other),
        }
    }
    // The last one has no end.
    lines.pop();
    let (mut data, mut name, mut id, mut seen) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for line in lines {
        if line.is_empty() {
            if data.pop().is_some() && data.len() <= max {
                seen.push((text(&name), text(&data), text(&id)));
            }
            data.clear();
            name.clear();
            continue;
        }
        let mut parts = line.splitn(2, |b| *b == b':');
        let field = parts.next().unwrap();
        let value = parts.next().unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                data.extend_from_slice(value);
                data.push(b'\n');
            }
            b"event" => name = value.to_vec(),
            b"id" if !value.contains(&0) => id = value.to_vec(),
            _ => {}
        }
    }
    seen
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(&b"\n"[..]), 2 => Just(&b"\r"[..]), 2 => Just(&b"\r\n"[..]), 4 => Just(&b"data: "[..]),
        2 => Just(&b"data:"[..]), 1 => Just(&b"data"[..]), 2 => Just(&b"event: "[..]), 2 => Just(&b"id: "[..]),
        1 => Just(&b"id"[..]), 1 => Just(&b":"[..]), 1 => Just(&b"retry: 5"[..]), 3 => Just(&b"abc"[..]),
        1 => Just(BOM), 1 => Just(&b"\0"[..]), 1 => Just(&b" "[..]), 1 => Just("ä€".as_bytes()),
    ];
    proptest::collection::vec(piece, 0..80).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same(input in pieces(), cuts in proptest::collection::vec(0..9_usize, 0..80), max in 0..40_usize) {
        prop_assert_eq!(frame(&input, &cuts, max), frame(&input, &[], max));
    }

    #[test]
    fn it_agrees_with_a_plain_reader(input in pieces()) {
        prop_assert_eq!(frame(&input, &[], 10_000).0, plain(&input, 10_000));
    }

    #[test]
    fn data_over_a_limit_is_left_out_and_nothing_else(input in pieces(), more in 0..18_usize) {
        // No single line is cut by the limit: only data of several is too long.
        let longest = input.split(|b| matches!(b, b'\r' | b'\n')).map(<[u8]>::len).max().unwrap_or(0);
        let max = longest.max(12) + more;
        prop_assert_eq!(frame(&input, &[], max).0, plain(&input, max));
    }

    #[test]
    fn any_bytes_are_read_without_panic(input in proptest::collection::vec(any::<u8>(), 0..300), max in 0..50_usize) {
        prop_assert_eq!(frame(&input, &[1; 300], max), frame(&input, &[], max));
    }
}
