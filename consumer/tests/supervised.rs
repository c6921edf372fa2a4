//! What the real program tells systemd: that its start has ended, what it does, that its threads move, that it reads
//! its configuration again, that it stops. A socket of the test's own stands for systemd.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail loudly, as the test does")]

mod common;

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use common::{PATIENCE, Rec, Rig, rec};
use rustix::process::{Pid, Signal, kill_process};
use spillway_service::exit::Exit;
use spillway_testkit::children;
use spillway_testkit::systemd::Systemd;

/// Length of the watchdog's time.
const WATCHDOG: Duration = Duration::from_secs(6);

/// Polls `done`, for another process has no event to wait for.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The program, and who hears what it tells.
struct Service {
    child: Child,
    systemd: Systemd,
    config: PathBuf,
    log: PathBuf,
}

impl Service {
    fn start(dir: &Path, text: &str) -> Self {
        let log = dir.join("service.log");
        let output = Stdio::from(File::create(&log).unwrap());
        Self::start_with(dir, text, output)
    }

    fn start_with(dir: &Path, text: &str, stderr: Stdio) -> Self {
        let config = dir.join("service.toml");
        fs::write(&config, text).unwrap();
        let systemd = Systemd::listen(dir).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_spillway-consumer"));
        command.env_clear().stdin(Stdio::null()).stderr(stderr).args(["run", "--config"]).arg(&config);
        systemd.supervise(&mut command, WATCHDOG);
        let child = children::spawn(&mut command).unwrap();
        Self { child, systemd, config, log: dir.join("service.log") }
    }

    fn wait_until_told(&mut self, assignment: &str, times: usize) {
        let told = self.systemd.wait(PATIENCE, |told| told.count(assignment) >= times).unwrap();
        assert!(told, "timed out: {assignment}, {times} times: {:?}", self.systemd.told());
    }

    /// Waits for a status with all these words, and returns it.
    fn wait_for_status(&mut self, words: &[&str]) -> String {
        let has_all = |told: &Systemd| words.iter().all(|words| told.status().contains(words));
        assert!(
            self.systemd.wait(PATIENCE, has_all).unwrap(),
            "timed out: {words:?}: {:?}",
            self.systemd.told()
        );
        self.systemd.status().to_owned()
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits for an event, and returns its line.
    fn wait_for_event(&self, event: &str) -> String {
        let words = format!("event=\"{event}\"");
        wait_until(event, || self.log().contains(&words));
        self.log().lines().rfind(|line| line.contains(&words)).unwrap().to_owned()
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

/// The shipped sample, pointed at the rig.
fn config(rig: &Rig) -> String {
    include_str!("../spillway-consumer.toml")
        .replace("localhost:9092", rig.mock.bootstrap())
        .replace("\"spillway-store\"", &format!("{:?}", rig.store().join("store")))
        .replace("[admin]", "[admin]\nlisten = \"none\"")
}

#[test]
fn it_is_ready_when_kafka_has_answered_and_says_what_it_does_until_it_stops() {
    let rig = Rig::new(1);
    rig.mock.all_down().unwrap();
    let mut service = Service::start(rig.store(), &config(&rig));
    service.wait_for_status(&["0 partitions", "no window is final yet", "Kafka has not answered yet"]);
    assert_eq!(
        (service.systemd.count("READY=1"), service.systemd.count("WATCHDOG=1")),
        (0, 0),
        "{:?}",
        service.systemd.told()
    );
    assert_eq!(service.systemd.told()[0], "STATUS=trying the store");

    rig.mock.all_up().unwrap();
    service.wait_until_told("READY=1", 1);
    rig.send((0..4).map(|i| rec(0, i, i64::from(i) * 100, "ann")));
    let words =
        ["1 partitions, 0 records to be read, windows are final to 2026-11-01T00:00:00.000Z (", "0 late"];
    assert!(!service.wait_for_status(&words).contains("Kafka"));
    rig.send([rec(0, 4, 900, "ann"), rec(0, 5, 0, "ann"), Rec { partition: 0, ..Rec::default() }]);
    service.wait_for_status(&["windows are final to 2026-11-01T00:10:00.000Z (", "1 late, 1 quarantined"]);
    service.wait_until_told("WATCHDOG=1", 3);
    for event in ["consumer_started", "partition_taken", "windows_final", "late_event", "record_quarantined"]
    {
        service.wait_for_event(event);
    }
    let log = service.log();
    assert!(log.lines().all(|line| line.contains(" event=\"") || line.contains(" INFO ")), "{log}");
    let (status, told) = service.terminate();
    assert!(status.success());
    let stopping = told.iter().position(|told| told == "STOPPING=1").unwrap();
    assert_eq!(told[stopping + 1], "EXTEND_TIMEOUT_USEC=60000000");
    assert_eq!(told.iter().filter(|told| *told == "READY=1").count(), 1);
}

#[test]
fn a_store_that_cannot_be_used_fails_the_start() {
    let rig = Rig::new(1);
    fs::write(rig.store().join("store"), "a file").unwrap();
    let mut service = Service::start(rig.store(), &config(&rig));
    assert_eq!(service.child.wait().unwrap().code(), Some(i32::from(Exit::CannotWrite.code())));
    service.systemd.hear().unwrap();
    assert_eq!(service.systemd.count("READY=1"), 0);
    let line = service.wait_for_event("start_failed");
    assert!(line.contains("cannot create the store's folder"), "{line}");
}

#[test]
fn it_stops_in_time_when_kafka_is_away() {
    let rig = Rig::new(2);
    let mut service = Service::start(rig.store(), &config(&rig));
    service.wait_for_status(&["2 partitions"]);
    rig.mock.all_down().unwrap();
    service.wait_for_event("kafka_trouble");
    let began = Instant::now();
    let (status, _) = service.terminate();
    assert!(status.success());
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn a_reload_changes_the_log_level_and_names_what_it_cannot_change() {
    let rig = Rig::new(1);
    let text = config(&rig);
    let mut service = Service::start(rig.store(), &text);
    service.wait_until_told("READY=1", 1);
    service.wait_for_event("partition_taken");
    assert!(!service.log().contains(" DEBUG "));

    let other = text.replace("[log]", "[log]\nlevel = \"debug\"").replace("\"city\"", "\"admin\"");
    fs::write(&service.config, &other).unwrap();
    service.signal(Signal::HUP);
    service.wait_until_told("RELOADING=1", 1);
    service.wait_until_told("READY=1", 2);
    service.wait_for_status(&["a restart is needed for table[2].filter.place_type"]);
    let answer = service.wait_for_event("reload_partial");
    assert!(answer.contains("changed=\"log.level\"") && answer.contains(" WARN "), "{answer}");
    rig.mock.all_down().unwrap();
    wait_until("the log tells more of an outage", || service.log().contains(" DEBUG "));
    rig.mock.all_up().unwrap();

    fs::write(&service.config, other.replace("[log]", "[lag]")).unwrap();
    service.signal(Signal::HUP);
    service.wait_for_status(&["the configuration file was refused"]);
    let answer = service.wait_for_event("reload_refused");
    assert!(answer.contains("lag: unknown setting"), "{answer}");

    fs::write(&service.config, &text).unwrap();
    service.signal(Signal::HUP);
    let answer = service.wait_for_event("reloaded");
    assert!(answer.contains("changed=\"log.level\""), "{answer}");
    assert!(service.terminate().0.success());
}

/// A notice of a kind of its own, told with its title.
fn notice(kind: usize) -> Rec {
    let title = format!("{kind} {}", "x".repeat(4_000));
    Rec { value: format!("{{\"errors\":[{{\"title\":\"{title}\"}}]}}").into_bytes(), ..Rec::default() }
}

#[test]
fn a_thread_that_hangs_starves_the_watchdog_and_is_named() {
    let rig = Rig::new(1);
    let mut service = Service::start_with(rig.store(), &config(&rig), Stdio::piped());
    let mut log = service.child.stderr.take().unwrap();
    service.wait_until_told("WATCHDOG=1", 2);

    // More than a pipe holds that nobody reads: whoever logs hangs.
    rig.send((0..100).map(notice));
    let mut fed = 0;
    let starved = |service: &mut Service, fed: &mut usize| {
        let before = *fed;
        service.systemd.wait(WATCHDOG, |_| false).unwrap();
        *fed = service.systemd.count("WATCHDOG=1");
        before == *fed
    };
    wait_until("systemd would have killed it by now", || starved(&mut service, &mut fed));

    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        log.read_to_string(&mut text).map(|_| text)
    });
    service.wait_until_told("WATCHDOG=1", fed + 2);
    assert!(service.terminate().0.success());
    let text = reader.join().unwrap().unwrap();
    let line = text.lines().find(|line| line.contains("event=\"task_stuck\"")).unwrap();
    assert!(line.contains("task=\"read\"") && line.contains(" ERROR "), "{line}");
    assert_eq!((text.matches("task_stuck").count(), text.matches("tasks_moving").count()), (1, 1));
    assert_eq!(text.matches("event=\"notice_in_topic\"").count(), 100);
}

/// The values of a key of a unit, in their order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn the_unit_agrees_with_the_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let unit = fs::read_to_string(root.join("../systemd/spillway-consumer.service")).unwrap();
    let hopeless = [Exit::Usage, Exit::Config].map(|exit| exit.code().to_string());
    assert_eq!(values(&unit, "RestartPreventExitStatus"), [hopeless.join(" ")]);
    assert_eq!((values(&unit, "Type"), values(&unit, "NotifyAccess")), (vec!["notify"], vec!["main"]));
    assert_eq!(values(&unit, "ExecReload"), ["/bin/kill -HUP $MAINPID"]);
    let passed: Vec<_> =
        values(&unit, "LoadCredential").iter().filter_map(|value| value.split(':').next()).collect();
    assert_eq!(passed, ["kafka-password", "key-password", "aws-secret", "s3-secret", "webhook-token"]);
}
