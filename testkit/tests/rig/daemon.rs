//! The real `spillwayd` of these tests: started, looked at over its admin endpoint, killed and stopped.
//! Whatever goes wrong with it fails the test and shows the end of its log.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use spillway_testkit::program::{self, Launch, Program};

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
    program: Program,
    log: PathBuf,
}

impl Daemon {
    /// Starts `spillwayd run` with the configuration `text`, whose last section is `[spool]`, and waits
    /// until it answers. `dir` gets its configuration and its log.
    pub fn start(dir: &Path, text: &str) -> Self {
        static BINARY: OnceLock<PathBuf> = OnceLock::new();
        let binary = BINARY.get_or_init(|| program::build().unwrap()).clone();
        let launch = Launch { binary, dir: dir.to_owned(), config: text.to_owned(), hosts: None };
        let program = Program::start(&launch).unwrap_or_else(|error| panic!("{error}"));
        Self { program, log: launch.log() }
    }

    /// `/status` as JSON; `None` when it does not answer.
    pub fn status(&self) -> Option<Value> {
        serde_json::from_str(&self.program.get("/status")?).ok()
    }

    /// A number of `/status` by its JSON pointer; `None` when the daemon does not answer.
    pub fn figure(&self, pointer: &str) -> Option<u64> {
        self.status()?.pointer(pointer)?.as_u64()
    }

    /// The HTTP status of `/readyz` and what it says.
    pub fn ready(&self) -> Option<(u16, String)> {
        self.program.ask("/readyz")
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
        panic!("timed out: {what}\n{last:#}\n{}", self.program.tail());
    }

    /// SIGKILL.
    pub fn kill(self) {
        self.program.kill().unwrap();
    }

    /// SIGTERM, and the exit status.
    pub fn terminate(self) -> ExitStatus {
        self.program.terminate(PATIENCE).unwrap_or_else(|error| panic!("{error}")).status
    }

    /// All that the daemons of this folder have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of that.
    pub fn log_tail(&self) -> String {
        self.program.tail()
    }
}
