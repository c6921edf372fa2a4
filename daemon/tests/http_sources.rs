//! The sources over HTTP against servers on loopback: resume, schedule, notices, gaps, compression,
//! proxies, TLS, and the recordings byte for byte.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_types,
    reason = "a test fails loudly; the server's channel is std's, since nothing selects over it"
)]

#[path = "http_sources/server.rs"]
mod server;
#[cfg(feature = "tls")]
#[path = "http_sources/tls.rs"]
mod tls;

use std::time::{Duration, Instant};

use server::{Server, Step};
use spillway_daemon::Config;
use spillway_daemon::config::SourceKind;
use spillway_daemon::frontier::Cursor;
use spillway_daemon::sources::notices::Kind;
use spillway_daemon::sources::reconnect::Cause;
use spillway_daemon::sources::{Disconnect, Event, HttpSource, Line};
use spillway_service::settings::Environment;
use spillway_testkit::rng::Rng;
use spillway_testkit::samples;

fn source(settings: &str, resume: Option<Cursor>) -> HttpSource {
    let text = format!("[source]\n{settings}\n[kafka]\nbrokers = 'b:1'\ntopic = 't'\n[spool]\ndir = '/x'\n");
    let config = Config::parse("test.toml", &text, &Environment::default()).unwrap();
    let SourceKind::Http(http) = &config.sources[0].kind else { panic!("no HTTP source: {settings}") };
    HttpSource::new("test", (**http).clone(), config.sources[0].max_record_bytes, resume).unwrap()
}

/// The next event; a test that waits longer than this has failed.
async fn next(source: &mut HttpSource) -> Event {
    tokio::time::timeout(Duration::from_secs(30), source.next()).await.expect("an event within 30 s")
}

/// All lines up to the next disconnect, and that.
async fn until_disconnect(source: &mut HttpSource) -> (Vec<Line>, Disconnect) {
    let mut lines = Vec::new();
    loop {
        match next(source).await {
            Event::Lines(more) => lines.extend(more),
            Event::Connected => {}
            Event::Disconnected(disconnect) => return (lines, disconnect),
            Event::Ended => panic!("a stream over HTTP has no end"),
        }
    }
}

fn texts(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|line| std::str::from_utf8(&line.bytes).unwrap()).collect()
}

#[tokio::test]
async fn sse_goes_on_after_the_last_event_and_repeats_nothing() {
    let server = Server::start(vec![
        Step::events("id: 1\ndata: {\"k\":1}\n\nid: 2\ndata: {\"k\":2}\n\nid: 3\ndata: {\"k\":3").cut(3),
        Step::events("id: 2\ndata: {\"k\":2}\n\nid: 3\ndata: {\"k\":3}\n\n"),
    ]);
    let mut source = source(&format!("type = 'http_sse'\nurl = '{}'\nid = '/k'", server.url()), None);
    let (lines, first) = until_disconnect(&mut source).await;
    assert_eq!(texts(&lines), ["{\"k\":1}", "{\"k\":2}"]);
    assert_eq!((first.cause, first.retry_in), (Cause::Ended, Duration::ZERO));
    let last = lines.iter().rev().find_map(|line| line.cursor.clone());
    assert_eq!(last, Some(Cursor::Sse { last_event_id: "2".into() }));
    let (lines, _) = until_disconnect(&mut source).await;
    assert_eq!(texts(&lines), ["{\"k\":3}"]);
    assert!(!server.request().contains("last-event-id"));
    assert!(server.request().contains("last-event-id: 2\r\n"));
    let met = source.met();
    assert_eq!((met.odd.torn, met.tally.duplicates, met.tally.gaps), (1, 1, 0));
}

#[tokio::test]
async fn a_restart_goes_on_where_the_cursor_says() {
    let id = r#"[{"topic":"eqiad.mediawiki.recentchange","partition":0,"timestamp":1670732822001}]"#;
    let server = Server::start(vec![Step::events("data: {}\n\n")]);
    let resume = Some(Cursor::Sse { last_event_id: id.into() });
    let mut source = source(&format!("type = 'wikimedia'\nurl = '{}'", server.url()), resume);
    let (lines, _) = until_disconnect(&mut source).await;
    assert!(server.request().contains(&format!("last-event-id: {id}\r\n")));
    assert_eq!(lines[0].cursor, Some(Cursor::Sse { last_event_id: id.into() }), "an id outlasts events");
}

#[tokio::test]
async fn without_ids_the_gap_is_reported_by_the_events_times() {
    let server = Server::start(vec![
        Step::lines("{\"t\":1690617099000}\n{\"t\":1690617100500}\n"),
        Step::lines("{\"t\":1690617107250}\n"),
    ]);
    let mut source = source(&format!("type = 'http_ndjson'\nurl = '{}'\ntime = '/t'", server.url()), None);
    until_disconnect(&mut source).await;
    assert_eq!(source.met().tally.gaps, 0);
    until_disconnect(&mut source).await;
    let tally = source.met().tally;
    assert_eq!((tally.gaps, tally.gap_ms), (1, 6750));
    let gap = tally.last_gap.unwrap();
    assert_eq!((gap.from_ms, gap.to_ms), (1_690_617_100_500, 1_690_617_107_250));
}

fn x(server: &Server, more: &str) -> (tempfile::NamedTempFile, String) {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "abc").unwrap();
    let path = token.path().display();
    let url = server.url();
    let text = format!("type = 'x_filtered_stream'\nurl = '{url}'\nbearer_token_file = '{path}'\n{more}");
    (token, text)
}

fn minutes_ago(minutes: f64) -> Cursor {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let then = now - Duration::from_secs_f64(minutes * 60.0);
    Cursor::Time { received_ms: i64::try_from(then.as_millis()).unwrap() }
}

#[tokio::test]
async fn x_is_asked_for_the_minutes_that_were_missed() {
    for (missed, asked, gap_s) in [(0.5, "1", 0), (2.5, "3", 0), (7.0, "5", 120)] {
        let server = Server::start(vec![Step::lines("{\"data\":{\"id\":\"1\"}}\r\n\r\n")]);
        let (_token, text) = x(&server, "backfill = true");
        let began = Instant::now();
        let mut source = source(&text, Some(minutes_ago(missed)));
        let (lines, _) = until_disconnect(&mut source).await;
        let request = server.request();
        assert!(request.contains(&format!("/stream?backfill_minutes={asked} ")), "{request}");
        assert!(request.contains("authorization: bearer abc\r\n"), "{request}");
        assert_eq!(lines[0].id.as_deref(), Some("1"));
        assert!(matches!(lines[0].cursor, Some(Cursor::Time { .. })));
        let missing_s = source.met().tally.gap_ms / 1000;
        let latest_s = gap_s + 1 + began.elapsed().as_secs();
        assert!((gap_s..=latest_s).contains(&missing_s), "{missing_s} s after {missed} minutes");
    }
}

#[tokio::test]
async fn x_without_backfill_reports_the_whole_gap_over_a_restart() {
    let server = Server::start(vec![Step::lines("{\"data\":{\"id\":\"1\"}}\r\n")]);
    let (_token, text) = x(&server, "");
    let began = Instant::now();
    let mut source = source(&text, Some(minutes_ago(3.0)));
    until_disconnect(&mut source).await;
    assert!(!server.request().contains("backfill"));
    let tally = source.met().tally;
    let latest_s = 181 + began.elapsed().as_secs();
    assert!(tally.gaps == 1 && (180..=latest_s).contains(&(tally.gap_ms / 1000)), "{tally:?}");
}

#[tokio::test]
async fn x_errors_in_the_stream_are_counted_and_change_the_wait() {
    let operational = r#"{"errors":[{"title":"operational-disconnect","disconnect_type":"UpstreamOperationalDisconnect","detail":"d","type":"t"}]}"#;
    let crowded =
        r#"{"title":"ConnectionException","connection_issue":"TooManyConnections","detail":"d","type":"t"}"#;
    let server = Server::start(vec![
        Step::lines(&format!("{{\"data\":{{\"id\":\"1\"}}}}\r\n{operational}\r\n")),
        Step::lines(&format!("{{\"data\":{{\"id\":\"2\"}}}}\r\n{{\"sitrep\":1}}\r\n{crowded}\r\n")),
    ]);
    let (_token, text) = x(&server, "");
    let mut source = source(&text, None);
    let (lines, first) = until_disconnect(&mut source).await;
    assert_eq!(
        (texts(&lines), first.cause, first.retry_in),
        (vec![r#"{"data":{"id":"1"}}"#], Cause::Ended, Duration::ZERO)
    );
    let (lines, second) = until_disconnect(&mut source).await;
    assert_eq!(texts(&lines), [r#"{"data":{"id":"2"}}"#, "{\"sitrep\":1}"], "an unknown message is data");
    assert_eq!(second.cause, Cause::Told);
    assert!(second.retry_in >= Duration::from_secs(5), "{second:?}");
    assert_eq!(source.met().tally.notices[Kind::Disconnect as usize], 2);
}

#[tokio::test]
async fn answers_that_are_no_stream_wait_by_their_class() {
    let reset = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 300;
    for (status, headers, cause, at_least, says) in [
        ("409 Conflict", String::new(), Cause::Refused, 60, "no rules"),
        ("401 Unauthorized", String::new(), Cause::Refused, 60, "token"),
        ("403 Forbidden", String::new(), Cause::Refused, 60, "plan"),
        ("429 Too Many Requests", String::new(), Cause::RateLimited, 60, "429"),
        ("429 Too Many Requests", format!("x-rate-limit-reset: {reset}\r\n"), Cause::RateLimited, 290, "429"),
        ("503 Service Unavailable", "Retry-After: 7\r\n".into(), Cause::Http, 7, "503"),
        ("503 Service Unavailable", String::new(), Cause::Http, 5, "503"),
    ] {
        let server = Server::start(vec![Step::answer(status, &headers, b"")]);
        let (_token, text) = x(&server, "");
        let mut source = source(&text, None);
        let (_, disconnect) = until_disconnect(&mut source).await;
        assert_eq!(disconnect.cause, cause, "{status}");
        let wait = disconnect.retry_in.as_secs();
        assert!((at_least..=at_least * 5 / 4 + 15).contains(&wait), "{status} {headers:?}: {wait} s");
        assert!(disconnect.detail.contains(says), "{}", disconnect.detail);
    }
}

#[tokio::test]
async fn failures_in_a_row_wait_as_the_plan_says() {
    let server = Server::start(vec![Step::lines(""); 4]);
    let (_token, text) = x(&server, "");
    let mut source = source(&text, None);
    let began = Instant::now();
    for n in 1..=4_u32 {
        let (_, disconnect) = until_disconnect(&mut source).await;
        let rule = Duration::from_millis(250) * n;
        assert!(disconnect.retry_in >= rule && disconnect.retry_in <= rule.mul_f64(1.21), "{disconnect:?}");
    }
    // Three of the waits have passed.
    assert!(began.elapsed() >= Duration::from_millis(250 + 500 + 750), "{:?}", began.elapsed());
}

#[tokio::test]
async fn silence_is_a_stall_and_keep_alives_are_not() {
    let quiet = Duration::from_secs(20);
    let server = Server::start(vec![Step::events(":)\n:thump\ndata: {}\n\n").then_silence(quiet)]);
    let text = format!("type = 'mastodon'\nurl = '{}'\nidle_timeout = '1s'", server.url());
    let mut source = source(&text, None);
    let began = Instant::now();
    let (lines, disconnect) = until_disconnect(&mut source).await;
    assert_eq!((lines.len(), disconnect.cause), (1, Cause::Stall));
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(source.met().odd.keep_alives, 2);
}

#[tokio::test]
async fn a_wait_that_is_dropped_again_and_again_loses_nothing_and_still_stalls() {
    let body = "data: {\"n\":1}\n\n".repeat(50);
    let server = Server::start(vec![Step::events(&body).cut(2).then_silence(Duration::from_secs(20))]);
    let text = format!("type = 'http_sse'\nurl = '{}'\nidle_timeout = '2s'", server.url());
    let mut source = source(&text, None);
    assert_eq!(next(&mut source).await, Event::Connected);
    let (mut lines, deadline) = (0, Instant::now() + Duration::from_secs(60));
    loop {
        assert!(Instant::now() < deadline, "the stall was never told");
        match tokio::time::timeout(Duration::from_millis(1), source.next()).await {
            Ok(Event::Lines(more)) => lines += more.len(),
            Ok(Event::Disconnected(disconnect)) => {
                assert_eq!(disconnect.cause, Cause::Stall);
                break;
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => {}
        }
    }
    assert_eq!(lines, 50);
}

#[tokio::test]
async fn retry_of_the_stream_is_obeyed_and_a_page_is_no_stream() {
    let server =
        Server::start(vec![Step::events("retry: 400\ndata: {}\n\n"), Step::stream("text/html", b"<html>")]);
    let mut source = source(&format!("type = 'http_sse'\nurl = '{}'", server.url()), None);
    let (_, first) = until_disconnect(&mut source).await;
    assert!((400..=480).contains(&first.retry_in.as_millis()), "{first:?}");
    let (_, second) = until_disconnect(&mut source).await;
    assert_eq!(second.cause, Cause::Refused);
    assert!(second.detail.contains("text/html"), "{}", second.detail);
}

#[tokio::test]
async fn wikimedia_canaries_are_no_records() {
    let server = Server::start(vec![Step::events(
        "event: message\nid: a\ndata: {\"meta\":{\"domain\":\"canary\",\"id\":\"1\"}}\n\nevent: message\nid: b\ndata: {\"meta\":{\"domain\":\"en.wikipedia.org\",\"id\":\"2\",\"dt\":\"2023-07-29T07:51:39Z\"}}\n\nevent: error\ndata: {}\n\n",
    )]);
    let mut source = source(&format!("type = 'wikimedia'\nurl = '{}'", server.url()), None);
    let (lines, _) = until_disconnect(&mut source).await;
    assert_eq!(lines.iter().map(|line| line.id.as_deref()).collect::<Vec<_>>(), [Some("2")]);
    let tally = source.met().tally;
    assert_eq!((tally.notices[Kind::Canary as usize], tally.notices[Kind::Error as usize]), (1, 1));
    assert!(tally.lag_ms.unwrap() > 0);
}

/// Each is `{"n":1}`, `{"n":2}`, `{"n":3}`, a line each.
const COMPRESSED: [(&str, &str); 3] = [
    ("gzip", "1f8b0800000000000003ab56ca53b232ace5aa06d14650dab8960b009e81481618000000"),
    ("br", "8b0b807b226e223a317d0a7b226e223a327d0a7b226e223a337d0a03"),
    ("zstd", "28b52ffd0458c100007b226e223a317d0a7b226e223a327d0a7b226e223a337d0a92f163b3"),
];

#[tokio::test]
async fn each_compression_is_offered_and_read() {
    for (name, hex) in COMPRESSED {
        let body: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        let headers = format!("Content-Type: application/json\r\nContent-Encoding: {name}\r\n");
        let server = Server::start(vec![Step::answer("200 OK", &headers, &body).cut(5)]);
        let mut source = source(&format!("type = 'http_ndjson'\nurl = '{}'", server.url()), None);
        let (lines, _) = until_disconnect(&mut source).await;
        assert_eq!(texts(&lines), ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"], "{name}");
        let request = server.request();
        let offered = request.lines().find(|line| line.starts_with("accept-encoding:")).unwrap();
        assert!(offered.contains(name), "{offered}");
    }
}

#[tokio::test]
async fn an_http_proxy_and_a_socks_proxy_are_gone_through() {
    let password = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(password.path(), "open sesame").unwrap();
    let proxy = Server::start(vec![Step::lines("{\"n\":1}\n")]);
    let settings = format!(
        "type = 'http_ndjson'\nurl = 'http://upstream.example/stream'\nproxy = 'http://{}'\nproxy_user = 'ali'\nproxy_password_file = '{}'",
        proxy.address,
        password.path().display()
    );
    let (lines, _) = until_disconnect(&mut source(&settings, None)).await;
    assert_eq!(texts(&lines), ["{\"n\":1}"]);
    let request = proxy.request();
    assert!(request.starts_with("get http://upstream.example/stream http/1.1\r\n"), "{request}");
    // "ali:open sesame" in base64, in lower case as all of the head here.
    assert!(request.contains("proxy-authorization: basic ywxpom9wzw4gc2vzyw1l\r\n"), "{request}");

    let (address, target) = server::socks5_once();
    let settings =
        format!("type = 'http_ndjson'\nurl = 'http://upstream.example:81/'\nproxy = 'socks5h://{address}'");
    let (lines, _) = until_disconnect(&mut source(&settings, None)).await;
    assert_eq!(texts(&lines), ["{\"n\":1}"]);
    assert_eq!(target.join().unwrap(), "upstream.example:81");
}

/// The data of the whole events of a recording, by the plainest reading.
fn events_of(text: &str) -> Vec<String> {
    let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
    let data = whole.split("\n\n").map(|event| {
        let lines = event.lines().filter_map(|line| line.strip_prefix("data: "));
        lines.collect::<Vec<_>>().join("\n")
    });
    data.filter(|data| !data.is_empty()).collect()
}

#[tokio::test]
async fn the_recordings_go_through_byte_for_byte_however_they_are_cut() {
    let recordings = [
        ("http_ndjson", "x/streaming_output.jsonl"),
        ("http_ndjson", "x/streaming_output_with_error.jsonl"),
        ("http_ndjson", "x/hk.v2stream.ndjson"),
        ("http_ndjson", "wikimedia/recentchange.ndjson"),
        ("http_sse", "wikimedia/recentchange.events"),
        ("http_sse", "mastodon/test_stream_direct.sse"),
        ("http_sse", "mastodon/test_stream_user_direct.sse"),
        ("http_sse", "mastodon/test_stream_user_local.sse"),
    ];
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    for (kind, name) in recordings {
        let Some(path) = samples::find(name, "the_recordings_go_through_byte_for_byte") else { return };
        let body = std::fs::read(path).unwrap();
        let text = String::from_utf8(body.clone()).unwrap();
        let expected: Vec<String> = if kind == "http_sse" {
            events_of(&text)
        } else {
            // A last line without an end counts if it is whole JSON.
            let whole = |line: &&str| serde_json::from_str::<serde_json::Value>(line).is_ok();
            text.lines().filter(whole).map(str::to_owned).collect()
        };
        let content_type = if kind == "http_sse" { "text/event-stream" } else { "application/json" };
        let length = 1 + rng.index(body.len().min(9000));
        let server = Server::start(vec![Step::stream(content_type, &body).cut(length)]);
        let mut source = source(&format!("type = '{kind}'\nurl = '{}'", server.url()), None);
        let (lines, _) = until_disconnect(&mut source).await;
        assert!(!expected.is_empty(), "{name}");
        assert_eq!(texts(&lines), expected, "{name} in pieces of {length}");
    }
}
