//! The program itself: its commands, what they print, and its exit codes.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{Rig, activity, rec};
use spillway_testkit::children;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spillway-consumer"));
    command.env_clear();
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The shipped sample, pointed at the rig.
fn configured(rig: &Rig) -> PathBuf {
    let sample = include_str!("../spillway-consumer.toml");
    let config = sample
        .replace("localhost:9092", rig.mock.bootstrap())
        .replace("\"spillway-store\"", &format!("{:?}", rig.store().join("store")));
    let path = rig.store().join("c.toml");
    std::fs::write(&path, config).unwrap();
    path
}

fn run_with(arguments: &[&str], config: &Path) -> Output {
    children::output(program().args(arguments).arg("--config").arg(config)).unwrap()
}

#[test]
fn a_good_configuration_is_called_good_and_a_bad_one_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("spillway-consumer.toml");
    let output = run_with(&["check"], &good);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout)
            .ends_with("is good: topic events to activity, city_activity in spillway-store\n")
    );

    let bad = dir.path().join("bad.toml");
    std::fs::write(&bad, "[kafka]\nbrokers = 7\n").unwrap();
    for command in ["check", "run"] {
        let output = run_with(&[command], &bad);
        assert_eq!(output.status.code(), Some(78));
        let stderr = text(&output.stderr);
        assert!(stderr.contains("bad.toml:2: kafka.brokers: must be a string"), "{stderr}");
        assert!(stderr.contains("store.url: missing"), "{stderr}");
    }
    let output = run_with(&["check"], &dir.path().join("absent.toml"));
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("cannot be read"));
}

#[test]
fn arguments_are_explained() {
    let help = children::output(program().args(["run", "--help"])).unwrap();
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("--drain"));
    for wrong in [&["fly"][..], &["run"], &[]] {
        assert_eq!(children::output(program().args(wrong)).unwrap().status.code(), Some(64), "{wrong:?}");
    }
}

#[test]
fn draining_writes_the_tables_prints_a_summary_and_ends() {
    let rig = Rig::new(2);
    rig.send((0..1200).map(|i| rec(i % 2, i.unsigned_abs(), i64::from(i), "ann")));
    let output = run_with(&["run", "--drain"], &configured(&rig));
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stdout.contains("records read             1,200\n"), "{stdout}");
    assert!(stdout.contains("table activity: 4 objects with 4 rows written, 0 found"), "{stdout}");
    assert_eq!(activity(&rig.store().join("store")), [(0, 300), (300, 300), (600, 300), (900, 300)]);
    assert!(!stderr.contains("ERROR"), "{stderr}");
}

#[test]
fn a_signal_stops_it_in_order() {
    let rig = Rig::new(1);
    rig.send([rec(0, 1, 0, "ann"), rec(0, 2, 900, "ann")]);
    let config = configured(&rig);
    let mut command = program();
    command.args(["run", "--config"]).arg(&config).stderr(Stdio::piped());
    let mut child = children::spawn(&mut command).unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let is_final = |line: std::io::Result<String>| line.unwrap().contains("windows are final");
    assert!(log.any(is_final), "it ended before its first window");
    terminate(child.id());
    let rest: Vec<_> = log.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains("stopped")), "{rest:?}");
    assert!(!rest.iter().any(|line| line.contains("ERROR")), "{rest:?}");
}

#[test]
fn a_store_that_cannot_be_written_has_its_own_exit_code() {
    let rig = Rig::new(1);
    std::fs::write(rig.store().join("store"), "a file").unwrap();
    let output = run_with(&["run", "--drain"], &configured(&rig));
    assert_eq!(output.status.code(), Some(73));
    assert!(text(&output.stderr).contains("cannot create the store's folder"), "{}", text(&output.stderr));
}

/// Asks a process to end, as a supervisor does.
fn terminate(pid: u32) {
    let kill = children::output(Command::new("kill").args(["-TERM", &pid.to_string()])).unwrap();
    assert!(kill.status.success());
}
