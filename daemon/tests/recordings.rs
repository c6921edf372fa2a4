//! Recorded real streams, each served as its service would, through the daemon as that service's source,
//! into Kafka: the same bytes in the same order with their ids, what is torn or no data left out and counted.
//!
//! All recordings that are in the folder are read, whatever their names.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "a test fails loudly, and says its seed and what it skips"
)]
#![allow(unreachable_pub, dead_code, reason = "the server is shared with a test that uses the rest of it")]

#[path = "recordings/reading.rs"]
mod reading;
#[path = "http_sources/server.rs"]
mod server;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reading::{Expected, Service};
use server::{Server, Step};
use spillway_daemon::{Config, Daemon};
use spillway_service::settings::Environment;
use spillway_testkit::kafka::{Mock, Reader};
use spillway_testkit::rng::Rng;
use spillway_testkit::samples;
use tempfile::TempDir;

const TOPIC: &str = "events";
const DAEMON: &str = "recorder";
/// Far above what a recording takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The recordings in a folder, in the order of their names.
fn recordings(folder: &str) -> Vec<PathBuf> {
    let path = samples::folder().join(folder);
    let entries = std::fs::read_dir(&path).into_iter().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    if paths.is_empty() {
        let (place, variable) = (path.display(), samples::VARIABLE);
        eprintln!("SKIPPED: nothing in {place}; set ${variable} to the folder of recordings");
    }
    paths
}

fn is_events(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "sse" || ending == "events")
}

/// A cluster whose only topic has one partition: its order is that of the stream.
struct Kafka {
    mock: Mock,
    reader: Reader,
    values: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Kafka {
    fn start() -> Self {
        let mock = Mock::start(1).unwrap();
        mock.create_topic(TOPIC, 1, 1).unwrap();
        let values = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&values);
        let sink = Box::new(move |_, _, value: &[u8]| kept.lock().unwrap().push(value.to_vec()));
        let reader = Reader::with_sink(mock.bootstrap(), TOPIC, 1, sink).unwrap();
        Self { mock, reader, values }
    }

    /// The values and ids in the topic; an id that the daemon gave is left out.
    fn records(&self) -> (Vec<Vec<u8>>, Vec<Option<String>>) {
        let snapshot = self.reader.snapshot();
        assert_eq!(snapshot.missed(), 0, "the mock forgot records");
        let own = format!("{DAEMON}-");
        let id = |id: &str| Some(id.to_owned()).filter(|id| !id.starts_with(&own));
        let ids = snapshot.partitions[&0].iter().map(|entry| id(entry.id.as_deref().unwrap()));
        (self.values.lock().unwrap().clone(), ids.collect())
    }
}

/// Lets a daemon read `source` to its end and compares all but the ids, which are returned.
fn check(name: &str, source: &str, expected: &Expected) -> Vec<Option<String>> {
    let (kafka, dir) = (Kafka::start(), TempDir::new().unwrap());
    let text = format!(
        "[daemon]\nid = '{DAEMON}'\n[source]\n{source}\nmax_record_bytes = '15MiB'\n[kafka]\nbrokers = '{}'\n\
         topic = '{TOPIC}'\nlinger = '5ms'\n[spool]\ndir = '{}'\nfree_floor = 0\n[admin]\nlisten = 'none'\n",
        kafka.mock.bootstrap(),
        dir.path().display()
    );
    let config = Config::parse("test.toml", &text, &Environment::default())
        .unwrap_or_else(|problems| panic!("{problems}"));
    let daemon = Daemon::start(config).unwrap();
    let count = expected.records.len() as u64;
    let deadline = Instant::now() + PATIENCE;
    // The end of the connection is the last thing that a source can say about a recording.
    while daemon.status().sources[0].stream.disconnects.is_empty() && !daemon.status().sources[0].stream.ended
    {
        assert!(Instant::now() < deadline, "{name}: the recording did not come to its end");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(kafka.reader.wait_for(count, PATIENCE), "{name}: {} of {count} records", kafka.reader.records());
    let source = daemon.status().sources[0].clone();
    daemon.watch().stop();
    let _ = daemon.wait();
    assert!(kafka.reader.read_to_end(PATIENCE).unwrap(), "{name}");
    let (values, ids) = kafka.records();
    for (at, (found, (expected, _))) in values.iter().zip(&expected.records).enumerate() {
        assert!(found == expected, "{name}: record {at} is {}", String::from_utf8_lossy(found));
    }
    assert_eq!((values.len() as u64, source.received), (count, count), "{name}");
    let stream = source.stream;
    let met = (stream.notices.values().sum::<u64>(), stream.torn, stream.duplicates, stream.too_long);
    assert_eq!(met, (expected.notices, expected.torn, 0, 0), "{name}: notices, torn, duplicates, too long");
    eprintln!("{name}: {count} records, {} notices, {} torn", expected.notices, expected.torn);
    ids
}

/// Serves `body` once, in random pieces, and lets a daemon with these settings read it.
fn serve(name: &str, body: &[u8], settings: &str, is_events: bool, expected: &Expected) {
    let seed = u64::from(std::process::id());
    let length = 1 + Rng::new(seed).index(body.len().clamp(1, 9_000));
    eprintln!("{name}: in pieces of {length} bytes, from seed {seed}");
    let kind = if is_events { "text/event-stream" } else { "application/json; charset=utf-8" };
    let server = Server::start(vec![Step::stream(kind, body).cut(length)]);
    let found = check(name, &format!("url = '{}'\n{settings}", server.url()), expected);
    let expected: Vec<_> = expected.records.iter().map(|(_, id)| id.clone()).collect();
    assert_eq!(found, expected, "{name}: ids");
}

/// As X and Wikimedia end their lines, with a sign of life after every tenth.
fn as_served(recording: &[u8]) -> Vec<u8> {
    let mut served = Vec::new();
    for (at, line) in recording.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(whole) = line.strip_suffix(b"\n") else {
            served.extend(line);
            break;
        };
        served.extend([whole.strip_suffix(b"\r").unwrap_or(whole), b"\r\n"].concat());
        if at % 10 == 9 {
            served.extend(b"\r\n");
        }
    }
    served
}

#[test]
fn recordings_of_x() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "t").unwrap();
    let settings = format!("type = 'x_filtered_stream'\nbearer_token_file = '{}'", token.path().display());
    for path in recordings("x") {
        let (name, text) = (path.display().to_string(), std::fs::read(&path).unwrap());
        let expected = reading::lines(&text, Service::X);
        assert!(!expected.records.is_empty(), "{name}");
        serve(&name, &as_served(&text), &settings, false, &expected);
    }
}

#[test]
fn recordings_of_mastodon() {
    for path in recordings("mastodon") {
        let (name, text) = (path.display().to_string(), std::fs::read(&path).unwrap());
        let expected = reading::events(&text, Service::Mastodon);
        assert!(!expected.records.is_empty(), "{name}");
        serve(&name, &text, "type = 'mastodon'", true, &expected);
    }
}

/// Wikimedia gives lines, without places to resume at, to a client that asks for JSON.
#[test]
fn recordings_of_wikimedia() {
    for path in recordings("wikimedia") {
        let (name, text) = (path.display().to_string(), std::fs::read(&path).unwrap());
        if is_events(&path) {
            let expected = reading::events(&text, Service::Wikimedia);
            assert!(!expected.records.is_empty(), "{name}");
            serve(&name, &text, "type = 'wikimedia'", true, &expected);
        } else {
            let expected = reading::lines(&text, Service::Wikimedia);
            assert!(!expected.records.is_empty(), "{name}");
            let settings = "type = 'http_ndjson'\nid = '/meta/id'\ntime = '/meta/dt'";
            serve(&name, &as_served(&text), settings, false, &expected);
            // The same edits as the stream of events has them.
            let mut events = b":ok\n\n".to_vec();
            for (value, _) in &expected.records {
                events.extend([b"event: message\ndata: ", &value[..], b"\n\n"].concat());
            }
            let expected = Expected { torn: 0, ..expected };
            serve(&format!("{name} as events"), &events, "type = 'wikimedia'", true, &expected);
        }
    }
}

/// Every recording of lines as a file too: there all is data, and each line has the id of its place.
#[test]
fn recordings_as_files() {
    for path in ["x", "wikimedia", "bluesky"].into_iter().flat_map(recordings) {
        if is_events(&path) {
            continue;
        }
        let text = std::fs::read(&path).unwrap();
        let expected = reading::lines(&text, Service::Plain);
        assert!(!expected.records.is_empty(), "{}", path.display());
        let source = format!("type = 'file'\nfollow = false\npath = '{}'", path.display());
        let ids = check(&path.display().to_string(), &source, &expected);
        let distinct: BTreeSet<&String> = ids.iter().flatten().collect();
        assert_eq!(distinct.len(), expected.records.len(), "{}", path.display());
    }
}
