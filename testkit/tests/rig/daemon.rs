//! The real `spillwayd` as a process: built once by the test, started, looked at over its admin
//! endpoint, killed and stopped. Its log goes to a file, whose end is shown when a test fails.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::PATIENCE;

/// A configuration around a `[source]` section: `more` is appended.
pub fn config(source: &str, brokers: &str, spool: &Path, more: &str) -> String {
    format!(
        "[daemon]\nid = 'test'\n[source]\n{source}\n[kafka]\nbrokers = '{brokers}'\ntopic = '{}'\n\
         [breaker]\nack_timeout = '1s'\nprobe_wait_max = '200ms'\n[shutdown]\ndrain_deadline = '5s'\n\
         [log]\nlevel = 'info'\n{more}\n[spool]\ndir = '{}'\n",
        super::TOPIC,
        spool.display()
    )
}

/// A running daemon. It is killed when it is dropped.
pub struct Daemon {
    child: Child,
    admin: SocketAddr,
    log: PathBuf,
}

impl Daemon {
    /// Starts `spillwayd run` with the configuration `text`, whose last section is `[spool]`, and waits
    /// until it answers. `dir` gets its configuration and its log.
    pub fn start(dir: &Path, text: &str) -> Self {
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let path = dir.join("spillwayd.toml");
        std::fs::write(&path, format!("{text}\n[admin]\nlisten = '{admin}'\n")).unwrap();
        let log = dir.join("spillwayd.log");
        let output = File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(program())
            // The test's own variables would count as settings.
            .env_clear()
            .args(["run", "--config"])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut daemon = Self { child, admin, log };
        daemon.wait_for_answer();
        daemon
    }

    fn wait_for_answer(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.get("/healthz").is_none() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the daemon did not start: {ended:?}\n{}", self.log_tail());
            assert!(Instant::now() < deadline, "the daemon does not answer\n{}", self.log_tail());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// `/status` as JSON; `None` when it does not answer.
    pub fn status(&self) -> Option<Value> {
        serde_json::from_str(&self.get("/status")?.1).ok()
    }

    /// A number of `/status` by its JSON pointer; `None` when the daemon does not answer.
    pub fn figure(&self, pointer: &str) -> Option<u64> {
        self.status()?.pointer(pointer)?.as_u64()
    }

    /// The HTTP status of `/readyz` and what it says.
    pub fn ready(&self) -> Option<(u16, String)> {
        self.get("/readyz")
    }

    fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// Polls the status until `done`, and shows the log when that never comes.
    pub fn wait_status(&self, what: &str, mut done: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut last = Value::Null;
        while Instant::now() < deadline {
            if let Some(status) = self.status() {
                if done(&status) {
                    return status;
                }
                last = status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("timed out: {what}\n{last:#}\n{}", self.log_tail());
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the exit status.
    pub fn terminate(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }

    /// All that the daemons of this folder have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().rev().take(40).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already gone in a test that went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The path of `spillwayd`, built with the profile of this test.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(build)
}

fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--locked", "-p", "spillway-daemon", "--bin", "spillwayd"]);
    command.args(["--message-format", "json"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    // What cargo told this test about itself would make build scripts run again.
    let about_us =
        |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"].iter().any(|p| name.starts_with(p));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(about_us)) {
        command.env_remove(name);
    }
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "spillwayd does not build");
    let text = String::from_utf8(output.stdout).unwrap();
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut programs = messages.filter_map(|m| m["executable"].as_str().map(PathBuf::from));
    programs.next_back().expect("cargo names the program it built")
}
