//! The upstream through a plain socket: what is counted is what arrives, and faults happen where the
//! script says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::*;
use crate::samples;
use crate::tweets::{Generator, Options as Tweets};

const WAIT: Duration = Duration::from_secs(20);

/// How a response ended for the client.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    /// With HTTP's end mark.
    Complete,
    /// The connection broke; the body so far is what was read.
    Broken,
}

/// A client that understands as much HTTP as the test needs.
struct Client {
    status: u16,
    head: String,
    from: BufReader<TcpStream>,
}

impl Client {
    fn connect(upstream: &Upstream, headers: &str) -> Self {
        let mut socket = TcpStream::connect(upstream.address()).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        write!(
            socket,
            "GET {}?expansions=geo.place_id HTTP/1.1\r\nhost: x\r\n{headers}\r\n",
            http::STREAM_PATH
        )
        .unwrap();
        let mut from = BufReader::new(socket);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(from.read_line(&mut head).unwrap() > 0, "no answer: {head:?}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, from }
    }

    /// The next chunk: `Ok` with its bytes, empty for the end mark; `Err` with what came of it.
    fn chunk(&mut self) -> Result<Vec<u8>, Vec<u8>> {
        let mut size = String::new();
        if self.from.read_line(&mut size).unwrap() == 0 {
            return Err(Vec::new());
        }
        let size = usize::from_str_radix(size.trim_end(), 16).unwrap() + 2;
        let mut bytes = Vec::new();
        (&mut self.from).take(size as u64).read_to_end(&mut bytes).unwrap();
        if bytes.len() < size {
            return Err(bytes);
        }
        bytes.truncate(size - 2);
        Ok(bytes)
    }

    /// Reads to the end of the response.
    fn body(&mut self) -> (Vec<u8>, Ending) {
        let mut body = Vec::new();
        loop {
            match self.chunk() {
                Ok(bytes) if bytes.is_empty() => return (body, Ending::Complete),
                Ok(bytes) => body.extend(bytes),
                Err(bytes) => {
                    body.extend(bytes);
                    return (body, Ending::Broken);
                }
            }
        }
    }

    /// Reads until `lines` lines that are not empty have come.
    fn lines(&mut self, lines: usize) -> Vec<String> {
        let mut body = Vec::new();
        while body.split(|b| *b == b'\n').filter(|line| line.len() > 1).count() < lines
            || !body.ends_with(b"\n")
        {
            body.extend(self.chunk().unwrap());
        }
        whole_lines(&body)
    }
}

fn whole_lines(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(body);
    text.split_inclusive("\r\n")
        .filter_map(|line| line.strip_suffix("\r\n"))
        .filter(|l| !l.is_empty())
        .map(Into::into)
        .collect()
}

fn numbers(n: usize) -> Feed {
    Feed::lines((0..n).map(|n| Bytes::from(format!("{{\"n\":{n}}}"))))
}

fn number(n: usize) -> String {
    format!("{{\"n\":{n}}}")
}

fn start(feed: Feed, options: Options) -> Upstream {
    Upstream::start(feed, options).unwrap()
}

#[test]
fn every_record_arrives_once_in_order_and_is_tapped() {
    let tweets: Vec<_> = Generator::new(1, Tweets::default()).take(5_000).collect();
    let wanted: Vec<String> = tweets.iter().map(|t| String::from_utf8(t.line.to_vec()).unwrap()).collect();
    let tapped = Arc::new(Mutex::new(Vec::new()));
    let tap = Arc::clone(&tapped);
    let tap: Tap = Box::new(move |line| tap.lock().unwrap().push(String::from_utf8(line.to_vec()).unwrap()));
    let upstream = start(Feed::tweets(tweets), Options { tap: Some(tap), ..Options::default() });
    assert_eq!((upstream.served(), upstream.finished()), (0, false));
    let mut client = Client::connect(&upstream, "");
    assert_eq!(client.status, 200);
    assert!(client.head.contains("transfer-encoding: chunked\r\n"));
    assert_eq!(client.lines(5_000), wanted);
    assert!(upstream.wait_finished(WAIT));
    assert_eq!(upstream.served(), 5_000);
    assert_eq!(*tapped.lock().unwrap(), wanted);
    let connections = upstream.connections();
    assert_eq!((connections.len(), connections[0].served, connections[0].status), (1, 5_000, 200));
    assert_eq!(connections[0].target, "/2/tweets/search/stream?expansions=geo.place_id");
}

#[test]
fn the_stream_goes_on_where_it_was_cut() {
    let cuts = vec![
        Cut { after: 20, kind: CutKind::Torn },
        Cut { after: 10, kind: CutKind::Clean },
        Cut { after: 30, kind: CutKind::Abrupt },
    ];
    let upstream = start(numbers(40), Options { cuts, ..Options::default() });
    let wanted = |range: std::ops::Range<usize>| range.map(number).collect::<Vec<_>>();

    let (body, ending) = Client::connect(&upstream, "").body();
    assert_eq!((whole_lines(&body), ending), (wanted(0..10), Ending::Complete));

    let (body, ending) = Client::connect(&upstream, "").body();
    assert_eq!((whole_lines(&body), ending), (wanted(10..20), Ending::Broken));
    assert!(
        body.ends_with(b"\r\n{\"n\""),
        "half of record 20 must follow: {:?}",
        String::from_utf8_lossy(&body)
    );

    let (body, ending) = Client::connect(&upstream, "").body();
    assert_eq!((whole_lines(&body), ending), (wanted(20..30), Ending::Broken));
    assert!(body.ends_with(b"\r\n"));

    assert_eq!(Client::connect(&upstream, "").lines(10), wanted(30..40));
    assert!(upstream.wait_finished(WAIT));
    let ends: Vec<_> =
        upstream.connections().iter().map(|c| (c.served, c.ended.map(|(_, end)| end))).collect();
    let cut = |kind| (10, Some(End::Cut(kind)));
    assert_eq!(ends[..3], [cut(CutKind::Clean), cut(CutKind::Torn), cut(CutKind::Abrupt)]);
    assert_eq!(ends[3].0, 10);
}

#[test]
fn a_recording_is_served_byte_for_byte_and_then_closed() {
    let body = b"{\"a\":1}\r\n\r\n{\"b\":2}\n{\"to";
    let upstream = start(
        Feed::recording(Bytes::from_static(body)),
        Options { keep_alive: Duration::from_millis(20), ..Options::default() },
    );
    let (read, ending) = Client::connect(&upstream, "").body();
    assert_eq!((read.as_slice(), ending), (&body[..], Ending::Broken));
    assert_eq!(upstream.served(), 2, "the empty and the torn line are no records");
    assert!(upstream.finished());
    // Nothing is left but keep-alives.
    let mut again = Client::connect(&upstream, "");
    assert_eq!([again.chunk().unwrap(), again.chunk().unwrap()], [b"\r\n", b"\r\n"]);
    assert_eq!(upstream.connections()[0].ended.map(|(_, end)| end), Some(End::RecordingEnded));
}

#[test]
fn the_real_recordings_are_served_byte_for_byte() {
    let test = "the_real_recordings_are_served_byte_for_byte";
    for (name, records) in [("x/streaming_output.jsonl", 9), ("x/streaming_output_with_error.jsonl", 7)] {
        let Some(path) = samples::find(name, test) else { return };
        let body = Bytes::from(std::fs::read(path).unwrap());
        let upstream = start(Feed::recording(body.clone()), Options::default());
        assert_eq!(Client::connect(&upstream, "").body(), (body.to_vec(), Ending::Broken), "{name}");
        assert_eq!(upstream.served(), records, "{name}");
    }
}

#[test]
fn a_client_that_goes_away_mid_record_loses_what_was_written_and_no_more() {
    // Records far larger than the socket's buffers, so that the server is inside one when it ends.
    let record = |n: usize| Bytes::from(format!("{n:>30}").repeat(1_000_000));
    let upstream = start(Feed::lines((0..3).map(record)), Options::default());
    let mut client = Client::connect(&upstream, "");
    let mut some = vec![0; 100_000];
    client.from.read_exact(&mut some).unwrap();
    assert_eq!(upstream.served(), 0);
    drop(client);
    // The first record was never wholly written: it comes whole.
    let mut client = Client::connect(&upstream, "");
    let first = client.chunk().unwrap();
    assert_eq!(first.len(), 30_000_002);
    assert!(first.starts_with(format!("{:>30}", 0).as_bytes()));
}

#[test]
fn nothing_more_is_served_when_a_pause_has_begun() {
    for _ in 0..20 {
        let upstream = start(numbers(1_000_000), Options::default());
        let mut client = Client::connect(&upstream, "");
        assert!(client.lines(100).len() >= 100);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| client.body());
            upstream.pause();
            let served = upstream.served();
            assert!(!upstream.wait_served(served + 1, Duration::from_millis(50)));
            upstream.stop();
            drop(reader);
        });
    }
}

#[test]
fn a_new_connection_replaces_the_old_one() {
    let upstream = start(numbers(100), Options { pause_at: Some(50), ..Options::default() });
    let mut old = Client::connect(&upstream, "");
    assert_eq!(old.lines(50).len(), 50);
    let mut new = Client::connect(&upstream, "");
    assert_eq!(old.body().1, Ending::Broken);
    upstream.resume();
    assert_eq!(new.lines(50)[0], number(50));
    assert_eq!(upstream.connections()[0].ended.map(|(_, end)| end), Some(End::Replaced));
}

#[test]
fn requests_are_refused_as_the_script_says() {
    let upstream = start(numbers(1), Options { token: Some("secret".into()), ..Options::default() });
    assert_eq!(Client::connect(&upstream, "").status, 401);
    assert_eq!(Client::connect(&upstream, "authorization: Bearer wrong\r\n").status, 401);
    let token = "authorization: Bearer secret\r\n";
    let limited = Refusal { status: 429, headers: vec![("x-rate-limit-reset".into(), "1800000000".into())] };
    upstream.refuse(&limited, 1);
    upstream.refuse(&Refusal::status(503), 2);
    let refused = Client::connect(&upstream, token);
    assert!(refused.head.contains("x-rate-limit-reset: 1800000000\r\n"));
    let mut statuses = vec![refused.status];
    statuses.extend((0..3).map(|_| Client::connect(&upstream, token).status));
    assert_eq!(statuses, [429, 503, 503, 200]);
    let seen: Vec<u16> = upstream.connections().iter().map(|c| c.status).collect();
    assert_eq!(seen, [401, 401, 429, 503, 503, 200]);
    assert_eq!(upstream.connections()[2].ended.map(|(_, end)| end), Some(End::Refused));
}

#[test]
fn a_pause_keeps_the_connection_alive_and_a_stall_does_not() {
    let options = Options { pause_at: Some(3), keep_alive: Duration::from_millis(30), ..Options::default() };
    let upstream = start(numbers(6), options);
    let mut client = Client::connect(&upstream, "");
    assert_eq!(client.lines(3).len(), 3);
    assert!(upstream.wait_served(3, WAIT) && upstream.is_paused());
    assert_eq!(client.chunk().unwrap(), b"\r\n");
    upstream.stall(true);
    // The keep-alives that are under way, then silence.
    client.from.get_ref().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!((0..100).any(|_| client.from.read(&mut [0; 64]).is_err()), "a hundred reads had an answer");
    client.from.get_ref().set_read_timeout(Some(WAIT)).unwrap();
    upstream.resume();
    upstream.stall(false);
    assert_eq!(client.lines(3), [number(3), number(4), number(5)]);
}

#[test]
fn a_cut_by_hand_happens_at_once() {
    let upstream = start(numbers(10), Options { pause_at: Some(5), ..Options::default() });
    let mut client = Client::connect(&upstream, "");
    assert_eq!(client.lines(5).len(), 5);
    upstream.cut(CutKind::Torn);
    let (rest, ending) = client.body();
    assert_eq!((rest.as_slice(), ending), (&b"{\"n"[..], Ending::Broken));
    upstream.resume();
    assert_eq!(Client::connect(&upstream, "").lines(5)[0], number(5));
}

#[test]
fn the_rate_is_kept() {
    let upstream = start(numbers(1_000_000), Options { rate: 4_000, ..Options::default() });
    // Before the server's clock begins: the mean is never above the rate.
    let began = Instant::now();
    let mut client = Client::connect(&upstream, "");
    let (mut lines, mut best) = (0, 0.0_f64);
    // A busy machine may be slow for a while; too fast is never right.
    while best < 1_000.0 {
        assert!(began.elapsed() < 3 * WAIT, "at best {best:.0} records/s");
        let from = Instant::now();
        let some = client.lines(2_000).len();
        lines += some;
        best = best.max(some as f64 / from.elapsed().as_secs_f64());
        let mean = lines as f64 / began.elapsed().as_secs_f64();
        assert!(mean < 4_400.0, "{mean:.0} records/s");
    }
    upstream.stop();
}

#[test]
fn stopping_ends_a_connection_that_nobody_reads() {
    let upstream =
        start(Feed::lines((0..1_000_000).map(|_| Bytes::from_static(&[b'x'; 1_000]))), Options::default());
    let _client = Client::connect(&upstream, "");
    assert!(upstream.wait_served(10, WAIT));
    let began = Instant::now();
    upstream.stop();
    assert!(began.elapsed() < WAIT);
}

#[test]
#[ignore = "measures; run alone with --release -- --ignored --nocapture"]
fn it_serves_more_than_300_000_records_a_second() {
    let records = 1_000_000;
    let pool: Vec<Bytes> = Generator::new(1, Tweets::default()).take(10_000).map(|t| t.line).collect();
    let bytes: usize = pool.iter().map(Bytes::len).sum::<usize>() * (records / pool.len());
    // The keep-alive ends the last read, when the count is not yet up to date.
    let options = Options { keep_alive: Duration::from_millis(50), ..Options::default() };
    let upstream = start(Feed::lines(pool.into_iter().cycle().take(records)), options);
    let mut client = Client::connect(&upstream, "");
    let began = Instant::now();
    let mut buffer = vec![0; 1 << 18];
    while upstream.served() < records as u64 {
        assert!(client.from.get_mut().read(&mut buffer).unwrap() > 0);
    }
    let seconds = began.elapsed().as_secs_f64();
    let rate = records as f64 / seconds;
    println!("{rate:.0} records/s, {:.0} MiB/s", bytes as f64 / seconds / f64::from(1 << 20));
    assert!(rate > 300_000.0);
}

#[test]
fn a_stall_holds_back_the_answer_too() {
    let upstream = start(numbers(3), Options::default());
    upstream.stall(true);
    let mut socket = TcpStream::connect(upstream.address()).unwrap();
    write!(socket, "GET {} HTTP/1.1\r\nhost: x\r\n\r\n", http::STREAM_PATH).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(socket.read(&mut [0; 1]).is_err(), "an answer came");
    assert!(upstream.connections().is_empty());
    upstream.stall(false);
    socket.set_read_timeout(Some(WAIT)).unwrap();
    let mut answer = [0; 15];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}
