//! What the integration tests share: a mock cluster with an independent reader, a fake upstream, a
//! configuration, and the daemon either in the test's process or as the real program.

#![allow(dead_code, unreachable_pub, reason = "each test file includes this module and uses its own part")]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may fail loudly, and says its seed")]

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use spillway_daemon::circuit::State;
use spillway_daemon::lane::Lane;
use spillway_daemon::{Config, Daemon};
use spillway_service::settings::Environment;
use spillway_testkit::children;
use spillway_testkit::kafka::{Mock, Reader, Snapshot};
use spillway_testkit::oracle::{Sent, Verdict, compare_delivery};
use spillway_testkit::tweets::{self, Generator};
use spillway_testkit::upstream::{Feed, Options, Upstream};
use tempfile::TempDir;

pub const TOPIC: &str = "events";
pub const PARTITIONS: i32 = 6;
/// Far above what anything here takes; a test that needs it has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster, its reader and a folder.
pub struct Rig {
    pub mock: Mock,
    pub reader: Reader,
    pub dir: TempDir,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Rig {
    pub fn start() -> Self {
        let mock = Mock::start(3).unwrap();
        mock.create_topic(TOPIC, PARTITIONS, 3).unwrap();
        let reader = Reader::start(mock.bootstrap(), TOPIC, PARTITIONS).unwrap();
        Self { mock, reader, dir: tempfile::tempdir().unwrap(), sent: Arc::default() }
    }

    /// An upstream of `records` generated posts. Repeats are left out: here every record is its own.
    pub fn upstream(&self, seed: u64, records: usize, options: Options) -> Upstream {
        eprintln!("seed {seed}, {records} records");
        let plain = tweets::Options { repeat_share: 0.0, ..tweets::Options::default() };
        let feed = Feed::tweets(Generator::new(seed, plain).take(records));
        let sent = Arc::clone(&self.sent);
        let tap = Box::new(move |line: &[u8]| sent.lock().unwrap().push(Sent::of(line)));
        Upstream::start(feed, Options { tap: Some(tap), ..options }).unwrap()
    }

    pub fn spool_dir(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    /// A configuration that reads `url`; `more` is appended. Silence of the brokers is an outage only after ten
    /// seconds: on a busy machine this process itself stands still for one.
    pub fn config_text(&self, url: &str, more: &str) -> String {
        format!(
            "[daemon]\nid = 'test'\n[source]\ntype = 'http_ndjson'\nurl = '{url}'\nid = '/data/id'\n\
             [kafka]\nbrokers = '{}'\ntopic = '{TOPIC}'\nlinger = '5ms'\n\
             [spool]\ndir = '{}'\nfree_floor = 0\n[breaker]\nack_timeout = '10s'\n[log]\nlevel = 'info'\n{more}",
            self.mock.bootstrap(),
            self.spool_dir().display()
        )
    }

    pub fn config(&self, url: &str, more: &str) -> Config {
        let text = self.config_text(url, more) + "[admin]\nlisten = 'none'\n";
        Config::parse("test.toml", &text, &Environment::default())
            .unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// What the upstream has sent, once it has noted at least `records`: it notes a line after writing it.
    pub fn sent(&self, records: usize) -> Vec<Sent> {
        wait_until("the upstream has noted what it sent", || self.sent.lock().unwrap().len() >= records);
        self.sent.lock().unwrap().clone()
    }

    /// Waits until the topic holds `records` different records, then compares it with what was sent.
    pub fn verdict(&self, records: usize) -> Verdict {
        assert!(
            self.reader.wait_for(records as u64, PATIENCE),
            "the topic has {} of {records} records",
            self.reader.records()
        );
        wait_until("every id is in the topic", || self.reader.snapshot().ids().len() >= records);
        let snapshot = self.reader.snapshot();
        assert_eq!(snapshot.missed(), 0, "the mock forgot records: the test sends too much or too fast");
        compare_delivery(&self.sent(records), &snapshot)
    }
}

/// In each partition the first copies of each source's records, whose ids are `source-number`, must be in
/// the order of their numbers.
pub fn assert_order(topic: &Snapshot) {
    for (partition, entries) in &topic.partitions {
        let (mut seen, mut last) = (HashSet::new(), BTreeMap::new());
        for id in entries.iter().filter_map(|entry| entry.id.as_deref()) {
            let (source, number) = id.split_once('-').unwrap();
            if seen.insert(id) {
                let before = last.insert(source, number);
                assert!(before.is_none_or(|before| before < number), "{partition}: {id} after {before:?}");
            }
        }
    }
}

/// Polls `done`, for what has no event to wait for: another process, a library's counters.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Starts a daemon that gets its first record when it can send it. One that is fed from the start rightly puts on
/// disk what comes before Kafka has answered, which on a busy machine takes a while.
pub fn start_direct(config: Config, upstream: &Upstream) -> Daemon {
    upstream.stall(true);
    let daemon = Daemon::start(config).unwrap();
    let watch = daemon.watch();
    wait_until("records go straight to Kafka", || {
        let status = watch.status();
        status.breaker == State::Closed && status.lane == Lane::Direct
    });
    upstream.stall(false);
    daemon
}

/// The real program.
pub struct Program {
    child: Child,
    admin: SocketAddr,
}

impl Program {
    /// Starts `spillwayd run` with the configuration in `text`, and an admin endpoint.
    pub fn start(dir: &Path, text: &str) -> Self {
        Self::start_at(free_address(), dir, text)
    }

    /// As [`Self::start`], with an admin endpoint at this address.
    pub fn start_at(admin: SocketAddr, dir: &Path, text: &str) -> Self {
        let path = dir.join("spillwayd.toml");
        std::fs::write(&path, format!("{text}[admin]\nlisten = '{admin}'\n")).unwrap();
        let child = children::spawn(command().args(["run", "--config"]).arg(&path)).unwrap();
        let program = Self { child, admin };
        wait_until("the admin endpoint answers", || program.get("/healthz").is_some());
        program
    }

    /// As [`Self::start`], and as [`start_direct`].
    pub fn start_direct(dir: &Path, text: &str, upstream: &Upstream) -> Self {
        upstream.stall(true);
        let program = Self::start(dir, text);
        wait_until("records go straight to Kafka", || {
            let status = program.status();
            status["breaker"] == "closed" && status["lane"] == "direct"
        });
        upstream.stall(false);
        program
    }

    /// A number of `/status`, by its JSON pointer.
    pub fn figure(&self, pointer: &str) -> u64 {
        let body = self.get("/status").unwrap_or_default();
        let json: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        json.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap_or_default()
    }

    /// Where its admin endpoint is.
    pub fn url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// What `/status` says.
    pub fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.get("/status").unwrap_or_default()).unwrap_or_default()
    }

    pub fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// SIGKILL: nothing can be saved any more.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the exit status.
    pub fn terminate(mut self) -> ExitStatus {
        rustix::process::kill_process(self.pid(), rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }

    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the program's status: {}", self.status());
        }
        // Already gone in a test that went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spillwayd"));
    // They are for the tests; the program would take them for settings that it does not know.
    command.env_remove("SPILLWAY_CHROMIUM").env_remove("SPILLWAY_PICTURES");
    command.stdin(Stdio::null());
    command
}

/// An address that was free a moment ago.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
