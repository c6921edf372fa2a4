//! What a `kill -9` would lose right now, as the daemon says it: held against what was served and what is
//! durable, record by record and byte by byte.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the helpers of a test fail loudly, as the test does"
)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Program, Rig, wait_until};
use spillway_testkit::tweets::{self, Generator};
use spillway_testkit::upstream::{Feed, Options, Upstream};

/// An upstream that pauses after `pause_at` of `records` posts, and the length of each that was served.
fn upstream(seed: u64, records: usize, pause_at: u64) -> (Upstream, Arc<Mutex<Vec<u64>>>) {
    eprintln!("seed {seed}, {records} records");
    let lengths: Arc<Mutex<Vec<u64>>> = Arc::default();
    let served = Arc::clone(&lengths);
    let tap = Box::new(move |line: &[u8]| served.lock().unwrap().push(line.len() as u64));
    let feed = Feed::tweets(Generator::new(seed, tweets::Options::default()).take(records));
    let options = Options { tap: Some(tap), pause_at: Some(pause_at), ..Options::default() };
    (Upstream::start(feed, options).unwrap(), lengths)
}

fn at_risk(program: &Program) -> (u64, u64) {
    (program.figure("/at_risk_records"), program.figure("/at_risk_bytes"))
}

#[test]
fn at_risk_is_exactly_what_was_served_and_is_not_durable() {
    let rig = Rig::start();
    let (upstream, lengths) = upstream(41, 500, 200);
    // The breaker keeps its peace: all that is taken stays in memory until it is acknowledged.
    let text = rig.config_text(&upstream.url(), "").replace("ack_timeout = '10s'", "ack_timeout = '60s'");
    let program = Program::start_direct(rig.dir.path(), &text, &upstream);
    wait_until("the first part is acknowledged", || program.figure("/counts/acked") == 200);
    wait_until("nothing is at risk", || at_risk(&program) == (0, 0));

    rig.mock.round_trip(-1, Duration::from_secs(10)).unwrap();
    upstream.resume();
    wait_until("the rest is received", || program.figure("/counts/received") == 500);
    // It notes what it has written, perhaps after it was read.
    assert!(upstream.wait_served(500, common::PATIENCE));
    let served: u64 = lengths.lock().unwrap()[200..].iter().sum();
    assert_eq!(program.figure("/counts/acked"), 200, "the brokers were to keep silent");
    assert_eq!(at_risk(&program), (300, served));
    let metrics = program.get("/metrics").unwrap();
    for line in ["spillway_at_risk_records 300".to_owned(), format!("spillway_at_risk_bytes {served}")] {
        assert!(metrics.lines().any(|l| l == line), "{line} is not in\n{metrics}");
    }

    rig.mock.round_trip(-1, Duration::ZERO).unwrap();
    wait_until("all is acknowledged", || program.figure("/counts/acked") == 500);
    wait_until("nothing is at risk", || at_risk(&program) == (0, 0));
    assert_eq!(program.figure("/counts/received_bytes"), lengths.lock().unwrap().iter().sum::<u64>());
    assert!(program.terminate().success());
}

#[test]
fn what_is_on_disk_is_not_at_risk() {
    let rig = Rig::start();
    let (upstream, lengths) = upstream(42, 300, 300);
    rig.mock.all_down().unwrap();
    let program = Program::start(rig.dir.path(), &rig.config_text(&upstream.url(), ""));
    wait_until("all is on disk", || program.figure("/counts/spooled") == 300);
    assert!(upstream.wait_served(300, common::PATIENCE));
    wait_until("nothing is at risk", || at_risk(&program) == (0, 0));
    assert_eq!(program.figure("/counts/received_bytes"), lengths.lock().unwrap().iter().sum::<u64>());
    program.kill();
}

#[test]
fn with_a_journal_and_with_a_file_nothing_is_at_risk() {
    let rig = Rig::start();
    rig.mock.round_trip(-1, Duration::from_secs(10)).unwrap();
    let (upstream, _) = upstream(43, 100, 100);
    let text = rig.config_text(&upstream.url(), "[delivery]\njournal = 'always'\n");
    let program = Program::start(rig.dir.path(), &text);
    wait_until("all is received", || program.figure("/counts/received") == 100);
    assert_eq!(at_risk(&program), (0, 0));
    program.kill();

    let path = rig.dir.path().join("events.ndjson");
    std::fs::write(&path, "").unwrap();
    rig.mock.round_trip(-1, Duration::ZERO).unwrap();
    let spool = rig.dir.path().join("other");
    let text = rig
        .config_text("http://unused/", "")
        .replace(
            "type = 'http_ndjson'\nurl = 'http://unused/'\nid = '/data/id'\n",
            &format!("type = 'file'\npath = '{}'\n", path.display()),
        )
        .replace("ack_timeout = '10s'", "ack_timeout = '60s'")
        .replace(rig.spool_dir().to_str().unwrap(), spool.to_str().unwrap());
    let program = Program::start(rig.dir.path(), &text);
    wait_until("Kafka is there", || {
        let status = program.status();
        status["breaker"] == "closed" && status["lane"] == "direct"
    });
    rig.mock.round_trip(-1, Duration::from_secs(10)).unwrap();
    std::fs::write(&path, "{\"n\":1}\n".repeat(50)).unwrap();
    wait_until("all is received", || program.figure("/counts/received") == 50);
    assert_eq!(at_risk(&program), (0, 0), "a file can be read again");
    assert_eq!(program.figure("/counts/acked") + program.figure("/counts/spooled"), 0, "all is in memory");
    program.kill();
}
