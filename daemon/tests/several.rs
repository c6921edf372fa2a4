//! Several sources in one daemon: one that is away holds nobody up, each keeps a cursor of its own, and
//! all of them end before the daemon does.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the helpers of a test fail loudly, as the test does"
)]

mod common;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use common::{Program, Rig, assert_order, free_address, wait_until};
use spillway_daemon::{Config, Daemon, Reason};
use spillway_service::settings::Environment;
use spillway_testkit::upstream::{Feed, Options, Upstream};

/// Numbered records of one source, `records` of them.
fn numbered(name: &'static str, records: usize, options: Options) -> Upstream {
    let line = move |n| bytes::Bytes::from(format!("{{\"id\":\"{name}-{n:06}\"}}"));
    let lines = (0..records).map(line);
    Upstream::start(Feed::lines(lines), options).unwrap()
}

fn http(name: &str, url: &str) -> String {
    format!(
        "[[source]]\nname = '{name}'\ntype = 'http_ndjson'\nurl = '{url}'\nid = '/id'\nreconnect_max = '300ms'\n"
    )
}

fn file(name: &str, path: &Path, follow: bool) -> String {
    format!("[[source]]\nname = '{name}'\ntype = 'file'\npath = '{}'\nfollow = {follow}\n", path.display())
}

/// The rig's configuration with these sources instead of its own.
fn text(rig: &Rig, sources: &str, more: &str) -> String {
    let whole = rig.config_text("http://unused/", more);
    let own = "[source]\ntype = 'http_ndjson'\nurl = 'http://unused/'\nid = '/data/id'\n";
    assert!(whole.contains(own));
    whole.replace(own, "") + sources
}

fn config(text: &str) -> Config {
    Config::parse("test.toml", &format!("{text}[admin]\nlisten = 'none'\n"), &Environment::default()).unwrap()
}

#[test]
fn a_source_that_dies_holds_nobody_up_and_an_outage_keeps_the_order_of_each() {
    let rig = Rig::start();
    let dies = numbered("a", 1_000, Options { rate: 2_000, ..Options::default() });
    let lives = numbered("b", 4_000, Options { rate: 2_000, pause_at: Some(2_000), ..Options::default() });
    let both = http("a", &dies.url()) + &http("b", &lives.url());
    let daemon = Daemon::start(config(&text(&rig, &both, ""))).unwrap();
    let watch = daemon.watch();
    let received = |index: usize| watch.status().sources[index].received;
    wait_until("the first halves are in", || received(0) == 1_000 && received(1) == 2_000);
    drop(dies);
    wait_until("one is gone", || !watch.status().sources[0].stream.connected);
    rig.mock.all_down().unwrap();
    lives.resume();
    wait_until("the other goes on, onto the disk", || watch.status().counts.spooled > 500);
    rig.mock.all_up().unwrap();
    wait_until("all is in the topic", || rig.reader.snapshot().ids().len() == 5_000);
    assert_order(&rig.reader.snapshot());
    let status = watch.status();
    let by_name: Vec<_> = status.sources.iter().map(|s| (s.name.as_str(), s.received)).collect();
    assert_eq!(by_name, [("a", 1_000), ("b", 4_000)]);
    assert!(status.sources[0].stream.last_error.is_some() && status.sources[1].stream.connected);
    watch.stop();
    let outcome = daemon.wait();
    assert!(matches!(outcome.reason, Reason::Stopped) && outcome.counts.unaccounted == 0, "{outcome:?}");
}

#[test]
fn a_source_that_is_away_from_the_start_does_not_end_the_others() {
    let rig = Rig::start();
    let there = numbered("b", 500, Options::default());
    let nobody = format!("http://{}/", free_address());
    let both = (http("a", &nobody) + "start_timeout = '100ms'\n") + &http("b", &there.url());
    let daemon = Daemon::start(config(&text(&rig, &both, ""))).unwrap();
    let watch = daemon.watch();
    wait_until("the other's records are in", || {
        let counts = watch.status().counts;
        counts.acked + counts.replayed == 500
    });
    wait_until("it is still tried", || watch.status().sources[0].stream.last_error.is_some());
    watch.stop();
    assert!(matches!(daemon.wait().reason, Reason::Stopped));
}

#[test]
fn when_no_source_can_be_reached_the_start_is_wrong() {
    let rig = Rig::start();
    let nobody = |name| http(name, &format!("http://{}/", free_address())) + "start_timeout = '300ms'\n";
    let daemon = Daemon::start(config(&text(&rig, &(nobody("a") + &nobody("b")), ""))).unwrap();
    let Reason::Unreachable(cause) = daemon.wait().reason else { panic!("it must give up") };
    assert!(cause.starts_with("source \""), "{cause}");
}

#[test]
fn the_daemon_ends_when_all_its_inputs_have_ended() {
    let rig = Rig::start();
    let sources: String = [("a", 10), ("b", 30_000), ("c", 0)]
        .into_iter()
        .map(|(name, lines)| {
            let path = rig.dir.path().join(name);
            write_lines(&path, name, 0..lines);
            file(name, &path, false)
        })
        .collect();
    let outcome = Daemon::start(config(&text(&rig, &sources, ""))).unwrap().wait();
    assert!(matches!(outcome.reason, Reason::Delivered), "{outcome:?}");
    assert_eq!((outcome.counts.received, outcome.counts.unaccounted), (30_010, 0));
}

fn write_lines(path: &Path, name: &str, numbers: std::ops::Range<usize>) {
    let mut lines = String::new();
    for n in numbers {
        writeln!(lines, "{{\"name\":\"{name}\",\"n\":{n}}}").unwrap();
    }
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    file.write_all(lines.as_bytes()).unwrap();
}

#[test]
fn each_source_goes_on_at_its_own_cursor_after_kill_9() {
    const LINES: usize = 20_000;
    let rig = Rig::start();
    let paths = ["a", "b"].map(|name| rig.dir.path().join(name));
    // The second file is far behind the first.
    write_lines(&paths[0], "a", 0..LINES);
    write_lines(&paths[1], "b", 0..LINES / 10);
    let text = text(&rig, &(file("a", &paths[0], true) + &file("b", &paths[1], true)), "");
    let program = Program::start(rig.dir.path(), &text);
    let durable = LINES + LINES / 10;
    wait_until("the first lines are in the topic", || rig.reader.snapshot().records() >= durable);
    // The cursors follow within a second; a kill before that only repeats.
    wait_until("both cursors are kept", || has_cursors(&rig, &paths));
    program.kill();
    write_lines(&paths[0], "a", LINES..LINES + 100);
    write_lines(&paths[1], "b", LINES / 10..LINES);
    let program = Program::start(rig.dir.path(), &text);
    let all = 2 * LINES + 100;
    wait_until("every line is in the topic", || rig.reader.snapshot().ids().len() == all);
    let again: Vec<_> = (0..2).map(|i| program.figure(&format!("/sources/{i}/received"))).collect();
    assert_eq!(again, [100, (LINES - LINES / 10) as u64], "each from where it was durable");
    assert!(program.terminate().success());
    let snapshot = rig.reader.snapshot();
    let hashes: HashSet<_> = snapshot.partitions.values().flatten().map(|e| e.hash).collect();
    assert_eq!(hashes.len(), all, "every line by its bytes");
}

/// Whether the spool's checkpoint on disk holds the cursor at the end of each file.
fn has_cursors(rig: &Rig, paths: &[std::path::PathBuf]) -> bool {
    let bytes = std::fs::read(rig.spool_dir().join("checkpoint")).unwrap();
    let held = String::from_utf8_lossy(&bytes);
    let end = |path: &std::path::PathBuf| std::fs::metadata(path).unwrap().len();
    paths.iter().all(|path| held.contains(&format!("\"offset\":{},", end(path))))
}
