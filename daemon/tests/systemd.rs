//! What the real program tells systemd: that it is ready, what it does, that its tasks move, that it reads its
//! configuration again, that it stops. A socket of the test's own stands for systemd.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the helpers of a test fail loudly, as the test does"
)]

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use common::{PATIENCE, Rig, TOPIC, command, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use spillway_daemon::{Config, systemd};
use spillway_service::exit::Exit;
use spillway_service::settings::Environment;
use spillway_testkit::children;
use spillway_testkit::disk::Disk;
use spillway_testkit::kafka::Reader;
use spillway_testkit::systemd::Systemd;
use spillway_testkit::upstream::{Feed, Options, Upstream};

/// Length of the watchdog's time.
const WATCHDOG: Duration = Duration::from_secs(6);

/// The program, and who hears what it tells.
struct Service {
    child: Child,
    systemd: Systemd,
    config: PathBuf,
    log: PathBuf,
}

impl Service {
    fn start(dir: &Path, text: &str) -> Self {
        let (config, log) = (dir.join("service.toml"), dir.join("service.log"));
        fs::write(&config, text).unwrap();
        let systemd = Systemd::listen(dir).unwrap();
        let mut command = command();
        command.args(["run", "--config"]).arg(&config).stderr(Stdio::from(File::create(&log).unwrap()));
        systemd.supervise(&mut command, WATCHDOG);
        let child = children::spawn(command.env("NO_COLOR", "1")).unwrap();
        Self { child, systemd, config, log }
    }

    fn wait_until_told(&mut self, assignment: &str, times: usize) {
        let told = self.systemd.wait(PATIENCE, |told| told.count(assignment) >= times).unwrap();
        assert!(told, "timed out: {assignment}, {times} times: {:?}", self.systemd.told());
    }

    /// Waits for a status with these words.
    fn wait_for_status(&mut self, words: &str) {
        let has_words = |told: &Systemd| told.status().contains(words);
        assert!(
            self.systemd.wait(PATIENCE, has_words).unwrap(),
            "timed out: {words}: {:?}",
            self.systemd.told()
        );
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn terminate(mut self) -> (ExitStatus, Vec<String>) {
        self.signal(Signal::TERM);
        let status = self.child.wait().unwrap();
        self.systemd.hear().unwrap();
        (status, self.systemd.told().to_vec())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Already gone in a test that went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(rig: &Rig, url: &str, more: &str) -> String {
    rig.config_text(url, more) + "[admin]\nlisten = 'none'\n"
}

#[test]
fn it_is_ready_without_kafka_feeds_the_watchdog_and_says_that_it_stops() {
    let rig = Rig::start();
    rig.mock.all_down().unwrap();
    let upstream = rig.upstream(71, 300, Options::default());
    let more = "[shutdown]\ndrain_deadline = '7s'\n";
    let mut service = Service::start(rig.dir.path(), &config(&rig, &upstream.url(), more));
    service.wait_until_told("READY=1", 1);
    assert_eq!(service.systemd.count("WATCHDOG=1"), 0, "not before it is ready");
    service.wait_for_status("breaker Open, 0 in the queue, 0 in flight, 300 on disk");
    service.wait_until_told("WATCHDOG=1", 3);
    let (status, told) = service.terminate();
    assert!(status.success());
    let stopping = told.iter().position(|told| told == "STOPPING=1").unwrap();
    assert_eq!(
        told[stopping + 1],
        "EXTEND_TIMEOUT_USEC=37000000",
        "the drain deadline and what comes after it"
    );
}

/// A file system that takes no writes for as long as this lives. Who writes there hangs and cannot be killed.
struct Frozen(PathBuf);

impl Frozen {
    fn new(mount: &Path) -> Self {
        freeze("-f", mount);
        Self(mount.to_owned())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        freeze("-u", &self.0);
    }
}

fn freeze(how: &str, mount: &Path) {
    let output = children::output(std::process::Command::new("fsfreeze").arg(how).arg(mount)).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_task_that_hangs_starves_the_watchdog_and_is_named() {
    if let Err(reason) = Disk::is_possible() {
        eprintln!("SKIPPED: {reason}");
        return;
    }
    let rig = Rig::start();
    let disk = Disk::create(rig.dir.path(), 64 << 20).unwrap();
    rig.mock.all_down().unwrap();
    let upstream = rig.upstream(72, 100_000, Options { rate: 500, ..Options::default() });
    let text = config(&rig, &upstream.url(), "")
        .replace(&rig.spool_dir().display().to_string(), &disk.path().join("spool").display().to_string());
    let mut service = Service::start(rig.dir.path(), &text);
    service.wait_until_told("WATCHDOG=1", 2);

    let before = service.log().len();
    let frozen = Frozen::new(disk.path());
    wait_until("it says who hangs", || service.log()[before..].contains("event=\"task_stuck\""));
    let line = service.log()[before..].lines().find(|line| line.contains("task_stuck")).unwrap().to_owned();
    // The prober turns seldom while no broker is there, and may be late on a busy machine.
    let named = line.split_once("task=\"").unwrap().1.split_once('"').unwrap().0.replace(", prober", "");
    assert!(named == "spill" && line.contains("ERROR"), "{line}");
    service.systemd.hear().unwrap();
    let fed = service.systemd.count("WATCHDOG=1");
    service.systemd.wait(WATCHDOG, |_| false).unwrap();
    assert_eq!(service.systemd.count("WATCHDOG=1"), fed, "systemd would have killed it by now");
    assert_eq!(service.log()[before..].matches("task_stuck").count(), 1);

    drop(frozen);
    service.wait_until_told("WATCHDOG=1", fed + 2);
    assert!(service.log().contains("event=\"tasks_moving\""));
    assert!(service.terminate().0.success());
}

/// Record `n`, of the rule `hk` or of none that a route knows.
fn line(n: usize) -> bytes::Bytes {
    let tag = if n.is_multiple_of(2) { "hk" } else { "other" };
    let text = format!("{{\"data\":{{\"id\":\"x-{n:04}\"}},\"matching_rules\":[{{\"tag\":\"{tag}\"}}]}}");
    bytes::Bytes::from(text)
}

#[test]
fn a_reload_changes_routes_and_log_level_and_says_what_it_cannot_change() {
    let rig = Rig::start();
    rig.mock.create_topic("events.hk", 2, 3).unwrap();
    let hk = Reader::start(rig.mock.bootstrap(), "events.hk", 2).unwrap();
    let options = Options { pause_at: Some(100), ..Options::default() };
    let upstream = Upstream::start(Feed::lines((0..200).map(line)), options).unwrap();
    let text = config(&rig, &upstream.url(), "");
    let mut service = Service::start(rig.dir.path(), &text);
    wait_until("the first half is in the usual topic", || rig.reader.snapshot().ids().len() == 100);

    let routed =
        text.replace("linger = '5ms'", "linger = '6ms'").replace("level = 'info'", "level = 'debug'")
            + "[[route]]\ntag = 'hk'\ntopic = 'events.hk'\n";
    fs::write(&service.config, &routed).unwrap();
    assert!(!service.log().contains("DEBUG"));
    service.signal(Signal::HUP);
    service.wait_until_told("RELOADING=1", 1);
    service.wait_until_told("READY=1", 2);
    service.wait_for_status("a restart is needed for kafka.linger");
    let log = service.log();
    let answer = log.lines().find(|line| line.contains("reload_partial")).unwrap();
    assert!(answer.contains("changed=\"log.level, route[1].tag, route[1].topic\""), "{answer}");
    upstream.resume();
    wait_until("records of the rule go to its topic", || hk.snapshot().ids().len() == 50);
    wait_until("the others go where they went", || rig.reader.snapshot().ids().len() == 150);
    rig.mock.all_down().unwrap();
    wait_until("the log tells more of an outage", || service.log().contains("DEBUG"));
    rig.mock.all_up().unwrap();

    fs::write(&service.config, routed.replace("[[route]]", "[[rout]]")).unwrap();
    service.signal(Signal::HUP);
    service.wait_for_status("the configuration file was refused");
    assert!(service.log().contains("rout: unknown setting"), "{}", service.log());

    fs::write(&service.config, &text).unwrap();
    service.signal(Signal::HUP);
    wait_until("all is as at the start", || service.log().contains("event=\"reloaded\""));
    let (status, _) = service.terminate();
    assert!(status.success());
    assert_eq!(
        rig.reader.snapshot().ids().len() + hk.snapshot().ids().len(),
        200,
        "in {TOPIC} and in events.hk"
    );
}

/// The values of a key of a unit, in their order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn the_units_agree_with_the_program_and_its_sample() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sample = fs::read_to_string(root.join("spillwayd.toml")).unwrap();
    let config = Config::parse("sample", &sample, &Environment::default()).unwrap();
    let hopeless =
        [Exit::Usage, Exit::NewerVersion, Exit::Refused, Exit::Config].map(|exit| exit.code().to_string());
    for name in ["spillwayd.service", "spillwayd@.service"] {
        let unit = fs::read_to_string(root.join("../systemd").join(name)).unwrap();
        let stop: u64 = values(&unit, "TimeoutStopSec")[0].parse().unwrap();
        assert!(Duration::from_secs(stop) > config.drain_deadline + systemd::AFTER_DEADLINE, "{name}");
        assert_eq!(values(&unit, "RestartPreventExitStatus"), [hopeless.join(" ")], "{name}");
        let passed: Vec<_> =
            values(&unit, "LoadCredential").iter().filter_map(|value| value.split(':').next()).collect();
        let asked = sample.lines().filter_map(|line| line.split_once("_credential = \""));
        let asked: Vec<_> = asked.filter_map(|(_, rest)| rest.split('"').next()).collect();
        assert!(
            asked.len() >= 5 && asked.iter().all(|name| passed.contains(name)),
            "{asked:?} and {passed:?}"
        );
    }
}
