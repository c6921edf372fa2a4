//! The source for any WebSocket: subscriptions, repeats, gaps, limits, and the causes of each end.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

#[path = "websocket/plain.rs"]
mod plain;

use std::time::{Duration, SystemTime};

use plain::{Part, Plain};
use spillway_daemon::Config;
use spillway_daemon::config::SourceKind;
use spillway_daemon::frontier::Cursor;
use spillway_daemon::sources::reconnect::Cause;
use spillway_daemon::sources::{Disconnect, Event, Line, SocketSource};
use spillway_service::settings::Environment;
use spillway_testkit::services::websocket::{Opcode, frame, message};

fn source(server: &Plain, settings: &str, cursor: Option<Cursor>) -> SocketSource {
    let text = format!(
        "[source]\ntype = 'websocket'\nurl = '{}'\n{settings}\n[kafka]\nbrokers = 'b:1'\ntopic = 't'\n[spool]\ndir = '/x'\n",
        server.url()
    );
    let config = Config::parse("test.toml", &text, &Environment::default()).unwrap();
    let SourceKind::Socket(socket) = &config.sources[0].kind else { panic!("no WebSocket") };
    SocketSource::new("test", (**socket).clone(), config.sources[0].max_record_bytes, cursor).unwrap()
}

/// All lines up to the next disconnect, and that.
async fn until_disconnect(source: &mut SocketSource) -> (Vec<Line>, Disconnect) {
    let mut lines = Vec::new();
    loop {
        let event = tokio::time::timeout(Duration::from_secs(30), source.next()).await;
        match event.expect("an event within 30 s") {
            Event::Lines(more) => lines.extend(more),
            Event::Connected => {}
            Event::Disconnected(disconnect) => return (lines, disconnect),
            Event::Ended => panic!("a WebSocket has no end"),
        }
    }
}

fn texts(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|line| std::str::from_utf8(&line.bytes).unwrap()).collect()
}

#[tokio::test]
async fn a_subscription_is_sent_first_on_each_connection() {
    let server = Plain::start(vec![
        Part::texts(&["{\"n\":1}", "{\"n\":2}"]).after(2).then_close(1001),
        Part::texts(&["{\"n\":3}"]).after(2),
    ]);
    let settings = "send = ['{\"subscribe\":\"a\"}', '{\"subscribe\":\"ü\"}']\nheaders = { X-Team = 'edge' }";
    let mut source = source(&server, settings, None);
    let (lines, disconnect) = until_disconnect(&mut source).await;
    assert_eq!(texts(&lines), ["{\"n\":1}", "{\"n\":2}"]);
    assert_eq!((disconnect.cause, disconnect.retry_in), (Cause::Ended, Duration::ZERO));
    let (lines, _) = until_disconnect(&mut source).await;
    assert_eq!(texts(&lines), ["{\"n\":3}"]);
    assert_eq!(server.texts(), ["{\"subscribe\":\"a\"}", "{\"subscribe\":\"ü\"}"].repeat(2));
    assert!(server.heads().iter().all(|head| head.to_ascii_lowercase().contains("\r\nx-team: edge\r\n")));
}

#[tokio::test]
async fn what_is_repeated_is_left_out_and_what_was_missed_is_a_gap() {
    let of = |n: i64| format!("{{\"id\":{n},\"t\":{}}}", 1_690_617_099_000 + 1_000 * n);
    let server = Plain::start(vec![
        Part::texts(&[of(1), of(2), of(2), of(3)]),
        Part::texts(&[of(2), of(3), of(7), of(8)]).then_stay(),
    ]);
    let mut source = source(&server, "id = '/id'\ntime = '/t'", None);
    let (lines, disconnect) = until_disconnect(&mut source).await;
    assert_eq!(lines.len(), 4, "what comes twice in one connection passes as it came");
    assert!(matches!(lines[3].cursor, Some(Cursor::Time { .. })));
    assert_eq!(disconnect.cause, Cause::Network);
    assert_eq!(source.next().await, Event::Connected);
    let Event::Lines(lines) = source.next().await else { panic!("records") };
    assert_eq!(lines.iter().map(|line| line.id.as_deref().unwrap()).collect::<Vec<_>>(), ["7", "8"]);
    let tally = source.met().tally;
    assert_eq!((tally.duplicates, tally.gaps, tally.gap_ms), (2, 1, 4_000));
    assert!(tally.lag_ms.unwrap() > 0);
}

/// Else an upstream that repeats itself and breaks would be asked again and again without a pause.
#[tokio::test]
async fn connections_that_give_only_repeats_are_followed_by_growing_waits() {
    let part = || Part::texts(&["{\"id\":1}", "{\"id\":2}"]);
    let server = Plain::start(vec![part(), part(), part()]);
    let mut source = source(&server, "id = '/id'", None);
    let mut waits = Vec::new();
    for given in [2, 0, 0] {
        let (lines, disconnect) = until_disconnect(&mut source).await;
        assert_eq!(lines.len(), given);
        waits.push(disconnect.retry_in.as_millis());
    }
    assert!(waits[0] == 0 && (250..=300).contains(&waits[1]) && waits[2] >= 500, "{waits:?}");
}

#[tokio::test]
async fn the_gap_of_a_restart_is_known_by_the_receipt() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let ago = i64::try_from(now.as_millis()).unwrap() - 90_000;
    let server = Plain::start(vec![Part::texts(&["{}"])]);
    let mut source = source(&server, "", Some(Cursor::Time { received_ms: ago }));
    until_disconnect(&mut source).await;
    let gap = source.met().tally.last_gap.unwrap();
    assert_eq!((gap.from_ms, source.met().tally.gaps), (ago, 1));
    assert!((90_000..120_000).contains(&gap.length_ms()), "{gap:?}");
}

#[tokio::test]
async fn a_message_over_the_limit_is_dropped_and_what_follows_comes() {
    let long = format!("{{\"long\":\"{}\"}}", "x".repeat(2_000));
    // One that only announces 2^40 bytes cannot be skipped.
    let endless = [&[0x81, 127][..], &(1_u64 << 40).to_be_bytes()].concat();
    let server = Plain::start(vec![
        Part::texts(&["1", &long, "", "2"]).then(&message(Opcode::Binary, b"\xff\x00", 1)).then(&endless),
        Part::texts(&["3"]).then_stay(),
    ]);
    let mut source = source(&server, "max_record_bytes = '1KiB'", None);
    let (lines, disconnect) = until_disconnect(&mut source).await;
    assert_eq!(lines.iter().map(|line| &line.bytes[..]).collect::<Vec<_>>(), [&b"1"[..], b"2", b"\xff\x00"]);
    assert_eq!(disconnect.cause, Cause::Network);
    assert!(disconnect.detail.contains("over the limit of 33554432"), "{disconnect:?}");
    let met = source.met();
    assert_eq!((met.odd.too_long, met.tally.empty, met.bytes), (2, 1, 4 + long.len() as u64));
    assert_eq!(source.next().await, Event::Connected);
    let Event::Lines(lines) = source.next().await else { panic!("records") };
    assert_eq!(texts(&lines), ["3"]);
}

#[tokio::test]
async fn each_end_is_told_with_its_cause_and_waits_by_it() {
    let second = Duration::from_secs(1);
    let garbage = frame(Opcode::Reserved(5), true, b"");
    for (part, cause, words, (least, most)) in [
        (Part::texts(&["1"]), Cause::Network, "cut off", (Duration::ZERO, Duration::ZERO)),
        (Part::texts(&["1"]).then(&garbage), Cause::Network, "protocol", (Duration::ZERO, Duration::ZERO)),
        (Part::texts(&["1"]).then_close(1000), Cause::Ended, "done", (Duration::ZERO, Duration::ZERO)),
        (Part::texts(&["1"]).then_close(1008), Cause::Told, "policy violation", (second, 2 * second)),
        (Part::texts(&[""; 0]), Cause::Network, "cut off", (second / 4, second)),
        (Part::refusal("403 Forbidden", ""), Cause::Refused, "may not read", (60 * second, 80 * second)),
        (
            Part::refusal("429 Too Many Requests", "x-rate-limit-reset: 1\r\nRetry-After: 33\r\n"),
            Cause::RateLimited,
            "too many",
            (33 * second, 40 * second),
        ),
        (Part::refusal("502 Bad Gateway", ""), Cause::Http, "502", (second / 4, second)),
    ] {
        let server = Plain::start(vec![part]);
        let (_, told) = until_disconnect(&mut source(&server, "", None)).await;
        assert_eq!(told.cause, cause, "{told:?}");
        assert!(told.detail.contains(words), "{told:?}");
        assert!(told.retry_in >= least && told.retry_in <= most, "{told:?}");
    }
}
