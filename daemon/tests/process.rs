//! The real program: killed and restarted, stopped, and started wrongly.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the helpers of a test fail loudly, as the test does"
)]

mod common;

use std::net::TcpListener;

use common::{Program, Rig, command, wait_until};
use spillway_testkit::children;
use spillway_testkit::upstream::{Options, Refusal};

#[test]
fn kill_9_in_mid_outage_loses_nothing_that_was_on_disk() {
    let rig = Rig::start();
    let upstream =
        rig.upstream(11, 4_000, Options { rate: 4_000, pause_at: Some(2_000), ..Options::default() });
    let text = rig.config_text(&upstream.url(), "");
    rig.mock.all_down().unwrap();
    let program = Program::start(rig.dir.path(), &text);
    wait_until("2,000 records are on disk", || program.figure("/counts/spooled") == 2_000);
    program.kill();
    rig.mock.all_up().unwrap();
    let program = Program::start(rig.dir.path(), &text);
    upstream.resume();
    let verdict = rig.verdict(4_000);
    assert!(verdict.is_complete(), "{verdict:?}");
    assert_eq!(verdict.disorder, []);
    assert!(program.terminate().success());
}

#[test]
fn kill_9_with_a_journal_loses_nothing_that_was_accepted() {
    let rig = Rig::start();
    let upstream =
        rig.upstream(12, 6_000, Options { rate: 3_000, pause_at: Some(3_000), ..Options::default() });
    let text = rig.config_text(&upstream.url(), "[delivery]\njournal = 'always'\n");
    let program = Program::start(rig.dir.path(), &text);
    // Accepted is what is on disk: wait for all that was served, then kill in full flow of the replay.
    wait_until("3,000 records are accepted", || program.figure("/counts/spooled") == 3_000);
    program.kill();
    let program = Program::start(rig.dir.path(), &text);
    upstream.resume();
    let verdict = rig.verdict(6_000);
    assert!(verdict.is_complete(), "{verdict:?}");
    assert!(program.terminate().success());
}

#[test]
fn kill_9_with_a_file_repeats_at_most_what_was_not_durable() {
    let rig = Rig::start();
    let path = rig.dir.path().join("events.ndjson");
    let lines: String = (0..20_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    std::fs::write(&path, lines).unwrap();
    let text = |follow: bool| {
        rig.config_text("http://unused/", "").replace(
            "type = 'http_ndjson'\nurl = 'http://unused/'\nid = '/data/id'\n",
            &format!("type = 'file'\npath = '{}'\nfollow = {follow}\n", path.display()),
        )
    };
    let program = Program::start(rig.dir.path(), &text(true));
    wait_until("some records are delivered", || {
        program.figure("/counts/acked") + program.figure("/counts/replayed") > 1_000
    });
    program.kill();
    let program = Program::start(rig.dir.path(), &text(false));
    assert!(program.wait().success(), "a finite input ends with exit code 0 once all is delivered");
    wait_until("every line is in the topic", || rig.reader.snapshot().ids().len() == 20_000);
    let snapshot = rig.reader.snapshot();
    let hashes: std::collections::HashSet<_> =
        snapshot.partitions.values().flatten().map(|e| e.hash).collect();
    assert_eq!(hashes.len(), 20_000, "every line by its bytes; a line that is read again has the same id");
}

#[test]
fn sigterm_delivers_what_it_can_and_exits_0() {
    let rig = Rig::start();
    let upstream = rig.upstream(13, 2_000, Options { rate: 10_000, ..Options::default() });
    let text = rig.config_text(&upstream.url(), "");
    let program = Program::start_direct(rig.dir.path(), &text, &upstream);
    wait_until("all records are in", || program.figure("/counts/received") == 2_000);
    assert!(program.terminate().success());
    let verdict = rig.verdict(2_000);
    assert!(verdict.is_complete(), "{verdict:?}");
}

#[test]
fn the_admin_endpoint_tells_the_status_and_the_metrics() {
    let rig = Rig::start();
    let upstream = rig.upstream(14, 100, Options::default());
    let text = rig.config_text(&upstream.url(), "");
    let program = Program::start_direct(rig.dir.path(), &text, &upstream);
    wait_until("all records are acknowledged", || program.figure("/counts/acked") == 100);
    let metrics = program.get("/metrics").unwrap();
    for line in [
        "spillway_acked_records_total 100",
        "spillway_unaccounted_records_total 0",
        "spillway_breaker_state{state=\"closed\"} 1",
        "spillway_delivery_seconds_count{path=\"direct\"} 100",
        "spillway_spool_oldest_milliseconds 0",
        "spillway_logged_events_total{event=\"unaccounted\",level=\"ERROR\"} 0",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} is not in\n{metrics}");
    }
    assert_eq!(program.get("/readyz").unwrap(), "ready\n");
    assert!(program.terminate().success());
}

/// Runs `spillwayd spool …` on the rig's spool; returns the exit code and what it printed.
fn spool(rig: &Rig, command_name: &str, more: &[&str]) -> (i32, String) {
    let mut command = command();
    command.args(["spool", command_name]).args(more).arg(rig.spool_dir());
    let output = children::output(&mut command).unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_spool_can_be_looked_into_while_the_daemon_runs() {
    let rig = Rig::start();
    rig.mock.all_down().unwrap();
    let upstream = rig.upstream(16, 500, Options::default());
    let program = Program::start(rig.dir.path(), &rig.config_text(&upstream.url(), ""));
    wait_until("all records are on disk", || program.figure("/counts/spooled") == 500);

    let (code, lines) = spool(&rig, "cat", &[]);
    let id = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().map(str::to_owned)
    };
    let sent: Vec<_> = rig.sent(500).into_iter().map(|sent| sent.id).collect();
    assert_eq!((code, lines.lines().map(id).collect::<Vec<_>>()), (0, sent));
    let (_, raw) = spool(&rig, "cat", &["--raw", "--from", "499", "--limit", "5"]);
    let hashes: Vec<_> = raw.lines().map(|line| spillway_testkit::hash(line.as_bytes())).collect();
    assert_eq!(hashes, rig.sent(500)[498..].iter().map(|sent| sent.hash).collect::<Vec<_>>());
    let (code, stat) = spool(&rig, "stat", &[]);
    assert!(code == 0 && stat.contains("waiting        500 records"), "{stat}");
    assert_eq!(spool(&rig, "verify", &[]).0, 0);
    program.kill();

    let log = std::fs::read_dir(rig.spool_dir().join("log")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let (code, report) = spool(&rig, "verify", &[]);
    assert_eq!(code, 1, "{report}");
    assert!(report.contains("records lost"), "{report}");
    let (code, list) = spool(&rig, "ls", &[]);
    assert!(code == 0 && list.contains("damaged"), "{list}");
}

/// Runs the program with a configuration that must fail; returns the exit code and what it said.
fn fails(rig: &Rig, text: &str) -> (i32, String) {
    let path = rig.dir.path().join("bad.toml");
    std::fs::write(&path, text).unwrap();
    let output = children::output(command().args(["run", "--config"]).arg(&path)).unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn said(output: &(i32, String), code: i32, words: &[&str]) {
    assert_eq!(output.0, code, "{}", output.1);
    for word in words {
        assert!(output.1.contains(word), "{word:?} is not in: {}", output.1);
    }
}

#[test]
fn each_wrong_start_has_its_own_exit_code_and_a_clear_word() {
    let rig = Rig::start();
    let url = "http://127.0.0.1:9/stream";
    let none = "[admin]\nlisten = 'none'\n";

    said(
        &fails(&rig, "[source]\ntype = 'http_ndjson'\n"),
        78,
        &["bad.toml:1: source.url: missing", "kafka.brokers: missing", "spool.dir: missing"],
    );
    assert!(!rig.spool_dir().exists(), "a bad configuration touches nothing");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    said(
        &fails(&rig, &rig.config_text(url, &format!("[admin]\nlisten = '{address}'\n"))),
        71,
        &["cannot listen on", &address],
    );
    assert!(!rig.spool_dir().exists(), "a port in use touches nothing");

    let text = rig.config_text(url, none).replace("[kafka]", "start_timeout = '1s'\n[kafka]");
    said(&fails(&rig, &text), 69, &["cannot be reached", "cannot connect", "source.url"]);

    let blocked = rig.dir.path().join("file");
    std::fs::write(&blocked, "not a folder").unwrap();
    let text = rig
        .config_text(url, none)
        .replace(rig.spool_dir().to_str().unwrap(), blocked.join("spool").to_str().unwrap());
    said(&fails(&rig, &text), 73, &["cannot open the spool", blocked.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(&blocked).unwrap(), "not a folder");
}

#[test]
fn an_upstream_that_refuses_is_told_and_not_hammered() {
    let rig = Rig::start();
    let upstream = rig.upstream(15, 1, Options::default());
    upstream.refuse(&Refusal::status(403), 100);
    let text = rig.config_text(&upstream.url(), "[admin]\nlisten = 'none'\n");
    said(&fails(&rig, &text), 77, &["403 Forbidden", "credentials"]);
    assert_eq!(upstream.connections().len(), 1, "one refusal is enough");
}

#[test]
fn a_locked_spool_and_a_newer_one_are_left_alone() {
    let rig = Rig::start();
    let text = rig.config_text("http://127.0.0.1:9/stream", "[admin]\nlisten = 'none'\n");
    let opened = spillway_spool::Spool::open(spillway_spool::Config::new(rig.spool_dir())).unwrap();
    said(&fails(&rig, &text), 75, &["is in use by", rig.spool_dir().to_str().unwrap()]);
    drop(opened);

    let before = folder(&rig.spool_dir());
    std::fs::write(rig.spool_dir().join("FORMAT"), "spillway-spool 2\n").unwrap();
    let newer = folder(&rig.spool_dir());
    assert_ne!(before, newer);
    said(&fails(&rig, &text), 76, &["version"]);
    assert_eq!(folder(&rig.spool_dir()), newer, "a spool from a newer version is not touched");
}

/// Every file with its bytes, except for the lock.
fn folder(dir: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(folder(&path));
        } else if path.file_name().is_some_and(|n| n != "LOCK") {
            files.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn a_wrong_command_line_is_wrong_usage() {
    let wrong = children::output(command().arg("rum")).unwrap();
    assert_eq!(wrong.status.code(), Some(64));
    let help = children::output(command().arg("--help")).unwrap();
    assert!(help.status.success());
    assert!(String::from_utf8(help.stdout).unwrap().contains("Exit codes:"));
}
