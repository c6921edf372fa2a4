//! Sources over WebSockets through the daemon into Kafka: across restarts, outages and broken connections
//! nothing is lost that could be served again, and what happened is in the status and the metrics.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "the helpers of a test fail loudly, as the test does"
)]

mod common;
#[allow(dead_code, reason = "shared with another test, which uses the rest")]
#[path = "websocket/plain.rs"]
mod plain;

use std::collections::{BTreeSet, HashSet};
use std::process::Output;

use bytes::Bytes;
use common::{Program, Rig, command, wait_until};
use plain::{Part, Plain};
use spillway_daemon::{Config, Daemon};
use spillway_service::settings::Environment;
use spillway_testkit::services::jetstream::{Event, Fault, Growth, Jetstream, Kind, Options};
use spillway_testkit::{children, hash, samples};

const NO_ADMIN: &str = "[admin]\nlisten = 'none'\n";

/// The rig's configuration with this source instead of its own.
fn text(rig: &Rig, source: &str) -> String {
    let whole = rig.config_text("http://unused/", "");
    let own = "type = 'http_ndjson'\nurl = 'http://unused/'\nid = '/data/id'\n";
    assert!(whole.contains(own));
    whole.replace(own, source)
}

fn jetstream(server: &Jetstream, more: &str) -> String {
    format!("type = 'bluesky_jetstream'\nname = 'jet'\nurl = '{}'\n{more}", server.url())
}

fn start(rig: &Rig, source: &str) -> Daemon {
    let text = text(rig, source) + NO_ADMIN;
    Daemon::start(Config::parse("test.toml", &text, &Environment::default()).unwrap()).unwrap()
}

fn stop(daemon: Daemon) {
    daemon.watch().stop();
    let outcome = daemon.wait();
    assert_eq!(outcome.counts.unaccounted, 0, "{outcome:?}");
}

fn hashes(rig: &Rig) -> HashSet<u64> {
    rig.reader.snapshot().partitions.values().flatten().map(|entry| entry.hash).collect()
}

fn ids(rig: &Rig) -> usize {
    rig.reader.snapshot().ids().len()
}

fn expected<'a>(events: impl IntoIterator<Item = &'a Event>) -> HashSet<u64> {
    events.into_iter().map(|event| hash(&event.bytes)).collect()
}

fn latest(server: &Jetstream) -> u64 {
    server.log().iter().map(|event| event.time_us).max().unwrap()
}

/// About ten events a second, so that a rewind goes back by about as many.
fn by_hand() -> Options {
    Options { growth: Growth::ByHand, step_us: 100_000, ..Options::default() }
}

#[test]
fn a_restart_goes_on_at_the_last_durable_event_and_repeats_only_the_rewind() {
    let rig = Rig::start();
    let server = Jetstream::start(by_hand()).unwrap();
    let daemon = start(&rig, &jetstream(&server, ""));
    wait_until("it is connected", || server.connections().len() == 1);
    assert_eq!(server.connections()[0].cursor, None, "at first from the tip");
    server.publish(500);
    wait_until("all events are in Kafka", || ids(&rig) == 500);
    stop(daemon);
    assert_eq!(rig.reader.snapshot().records(), 500);

    // What comes while nobody listens is served again.
    let asked = latest(&server) - 1_000_000;
    server.publish(200);
    let daemon = start(&rig, &jetstream(&server, ""));
    wait_until("the rest is in Kafka", || ids(&rig) == 700);
    assert_eq!(server.connections()[1].cursor, Some(asked));
    wait_until("the server has noted what it wrote", || server.connections()[1].served.last() == Some(&700));
    let again = server.connections()[1].served.len() - 200;
    assert!((1..100).contains(&again), "{again}");
    wait_until("what came again, too", || rig.reader.snapshot().records() == 700 + again);
    let status = daemon.status();
    assert_eq!((status.sources[0].stream.gaps, status.sources[0].at_risk_records), (0, 0));
    stop(daemon);
    assert_eq!(hashes(&rig), expected(&server.log()));
}

#[test]
fn what_is_on_disk_is_not_asked_for_again() {
    let rig = Rig::start();
    rig.mock.all_down().unwrap();
    let server = Jetstream::start(by_hand()).unwrap();
    let daemon = start(&rig, &jetstream(&server, ""));
    wait_until("it is connected", || server.connections().len() == 1);
    server.publish(300);
    wait_until("the outage is on disk", || daemon.status().counts.spooled == 300);
    stop(daemon);

    let asked = latest(&server) - 1_000_000;
    server.publish(10);
    rig.mock.all_up().unwrap();
    let daemon = start(&rig, &jetstream(&server, ""));
    wait_until("all is in Kafka", || ids(&rig) == 310);
    assert_eq!(server.connections()[1].cursor, Some(asked));
    stop(daemon);
    assert_eq!(hashes(&rig), expected(&server.log()));
}

#[test]
fn the_recording_is_in_kafka_byte_for_byte() {
    let Some(path) = samples::find("bluesky/jetstream_v1.jsonl", "the_recording_is_in_kafka") else { return };
    let text = std::fs::read(path).unwrap();
    let whole = text.split_inclusive(|byte| *byte == b'\n').map(|line| line.trim_ascii_end());
    let recording: Vec<Bytes> = whole.map(Bytes::copy_from_slice).collect();
    let rig = Rig::start();
    let server =
        Jetstream::start(Options { recording: Some(recording.clone()), ..Options::default() }).unwrap();
    let daemon = start(&rig, &jetstream(&server, ""));
    wait_until("all records are in Kafka", || ids(&rig) == recording.len());
    stop(daemon);
    assert_eq!(rig.reader.snapshot().records(), recording.len());
    assert_eq!(hashes(&rig), recording.iter().map(|line| hash(line)).collect());
}

/// A disconnect of each kind, repeated events, and one that is too long for a record.
fn faults() -> Vec<Fault> {
    let refuse = |status, retry_after_s| Kind::Refuse { status, times: 1, retry_after_s };
    let kinds = [
        Kind::Drop,
        Kind::Big(2 << 20),
        Kind::Close(1012),
        Kind::Repeat(10),
        Kind::Torn,
        Kind::Close(1008),
        refuse(503, None),
        Kind::Garbage,
        refuse(429, Some(1)),
        Kind::Reset,
    ];
    (1..).zip(kinds).map(|(n, kind)| Fault { after: 400 * n, kind }).collect()
}

#[test]
fn every_disconnect_is_counted_by_its_cause_and_an_outage_loses_nothing() {
    const EVENTS: usize = 6_000;
    let rig = Rig::start();
    let server = Jetstream::start(Options {
        growth: Growth::Rate(1_500),
        limit: EVENTS as u64,
        faults: faults(),
        step_us: 20_000,
        ..Options::default()
    })
    .unwrap();
    let program = Program::start(rig.dir.path(), &text(&rig, &jetstream(&server, "")));
    wait_until("some are in", || program.figure("/counts/acked") > 500);
    rig.mock.all_down().unwrap();
    wait_until("the outage is on disk", || program.figure("/counts/spooled") > 1_000);
    rig.mock.all_up().unwrap();
    wait_until("all is in Kafka", || ids(&rig) == EVENTS - 1);
    let log = server.log();
    assert_eq!(hashes(&rig), expected(log.iter().filter(|event| event.bytes.len() <= 1 << 20)));

    let figure = |name: &str| program.figure(&format!("/sources/0/{name}"));
    assert_eq!((figure("too_long") >= 1, figure("gaps"), figure("connects")), (true, 0, 9));
    assert!(figure("duplicates") > 0, "the rewinds are recognised");
    // A torn message, a FIN, an RST, garbage, and the two ends before a refusal.
    for (cause, count) in
        [("network", 6), ("ended", 1), ("told", 1), ("http", 1), ("rate_limited", 1), ("stall", 0)]
    {
        assert_eq!(figure(&format!("disconnects/{cause}")), count, "{cause}");
        let line = format!("spillway_source_disconnects_total{{source=\"jet\",cause=\"{cause}\"}} {count}");
        let metrics = program.get("/metrics").unwrap();
        assert!(metrics.lines().any(|l| l == line), "{line} is not in\n{metrics}");
    }
    assert!(program.terminate().success());
}

#[test]
fn a_websocket_without_places_reports_what_it_missed() {
    let of = |n: u32| format!("{{\"id\":\"m-{n}\",\"at\":{}}}", 1_690_617_099_000_u64 + 100 * u64::from(n));
    let part = |numbers: std::ops::Range<u32>| Part::texts(&numbers.map(of).collect::<Vec<_>>());
    let rig = Rig::start();
    let server = Plain::start(vec![part(0..400).after(1), part(390..700).after(1).then_stay()]);
    let source = format!(
        "type = 'websocket'\nname = 'any'\nurl = '{}'\nid = '/id'\ntime = '/at'\nsend = ['subscribe']\n",
        server.url()
    );
    let daemon = start(&rig, &source);
    wait_until("all is in Kafka", || ids(&rig) == 700);
    let stream = daemon.status().sources[0].stream.clone();
    assert_eq!((stream.duplicates, stream.connects, stream.disconnects["network"]), (10, 2, 1));
    assert_eq!((stream.gaps, stream.gap_ms), (1, 100), "from the last record before to the first new one");
    stop(daemon);

    // Across a restart the last receipt is known: there is a gap, although the connection is a new one.
    let server = Plain::start(vec![part(800..810).then_stay()]);
    let daemon = start(
        &rig,
        &source.replace("send = ['subscribe']\n", "").replace(
            source.lines().find(|line| line.starts_with("url")).unwrap(),
            &format!("url = '{}'", server.url()),
        ),
    );
    wait_until("the rest is in Kafka", || ids(&rig) == 710);
    assert_eq!(daemon.status().sources[0].stream.gaps, 1);
    assert!(daemon.status().sources[0].at_risk_records <= 10);
    stop(daemon);
    let numbers = (0..700).chain(800..810).map(|n| format!("m-{n}"));
    let snapshot = rig.reader.snapshot();
    assert_eq!(snapshot.ids().into_keys().map(str::to_owned).collect::<BTreeSet<_>>(), numbers.collect());
}

/// Runs the program, which must end by itself.
fn run(rig: &Rig, source: &str) -> Output {
    let path = rig.dir.path().join("run.toml");
    std::fs::write(&path, text(rig, source) + NO_ADMIN).unwrap();
    children::output(command().args(["run", "--config"]).arg(&path)).unwrap()
}

#[test]
fn a_wrong_start_has_its_exit_code_and_a_clear_word() {
    let rig = Rig::start();
    let server = Jetstream::start(Options { token: Some("t0p".into()), ..Options::default() }).unwrap();
    let nobody = common::free_address();
    let missing = rig.dir.path().join("missing");
    let compress = format!("compress = true\nzstd_dictionary = '{}'\n", missing.display());
    for (source, code, words) in [
        (jetstream(&server, ""), 77, "401 Unauthorized"),
        (
            format!("type = 'websocket'\nurl = 'ws://{nobody}/'\nstart_timeout = '1s'\n"),
            69,
            "cannot connect to",
        ),
        (jetstream(&server, &compress), 1, "cannot read the zstd dictionary"),
        ("type = 'websocket'\nurl = 'http://a/'\n".to_owned(), 78, "must begin with ws:// or wss://"),
    ] {
        let output = run(&rig, &source);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(server.connections().len(), 1, "one refusal is enough");
}
