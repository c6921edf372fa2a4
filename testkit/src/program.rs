//! The real `spillwayd` as a process: built with cargo, started with a configuration, watched through its
//! admin endpoint, stopped or killed. Its log goes to a file that outlives it.

mod status;

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
pub use status::{Change, Status};

use crate::children;

/// Longest wait for an answer of the admin endpoint.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// For how long the state is asked for again while the process lives: a busy machine may hold up its answers.
const STATUS_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest start, a damaged spool included.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// A free port may be another's a moment later: so often another one is tried.
const STARTS: usize = 5;
/// How often another process' state is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How much of the log an error shows.
const TAIL_BYTES: u64 = 6_000;

/// What went wrong with the program.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something of the system's.
    #[error("cannot {action}")]
    System {
        /// What was to be done.
        action: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// cargo did not build it.
    #[error("cargo cannot build the program: {0}")]
    Build(String),
    /// It ended when it should not have.
    #[error("spillwayd ended with {status}; its log ends so:\n{tail}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// The end of its log.
        tail: String,
    },
    /// It did not do in time what it should.
    #[error("spillwayd did not {what} within {limit:?}; its log ends so:\n{tail}")]
    Late {
        /// What.
        what: &'static str,
        /// The time that it had.
        limit: Duration,
        /// The end of its log.
        tail: String,
    },
}

fn system(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
    let action = action.into();
    move |source| Error::System { action, source }
}

/// Builds `spillwayd` in the profile of the caller, and says where it is.
///
/// # Errors
/// When cargo cannot be run or fails.
pub fn build() -> Result<PathBuf, Error> {
    build_binary("spillwayd")
}

/// Builds a program of the workspace in the profile of the caller, and says where it is. With the features that the
/// whole workspace comes to, as the tests are: for one package alone its dependencies would be built again.
///
/// # Errors
/// When cargo cannot be run or fails.
pub fn build_binary(name: &str) -> Result<PathBuf, Error> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--workspace", "--bin", name, "--message-format=json"]);
    if cfg!(feature = "kafka") {
        command.args(["--features", "spillway-testkit/kafka"]);
    }
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    // What cargo tells a test about its crate would be news to build scripts, and much be built anew.
    let of_test =
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "CARGO_BIN_"];
    for (name, _) in std::env::vars_os() {
        if of_test.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let cargo = children::spawn(&mut command).and_then(std::process::Child::wait_with_output);
    let output = cargo.map_err(system("run cargo"))?;
    if !output.status.success() {
        return Err(Error::Build(output.status.to_string()));
    }
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let built = lines.filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    let executable = |message: serde_json::Value| {
        let named = message.pointer("/target/name")?.as_str()? == name;
        named.then(|| message.get("executable")?.as_str().map(PathBuf::from)).flatten()
    };
    built.filter_map(executable).next_back().ok_or_else(|| Error::Build("it names no executable".to_owned()))
}

/// How to start the program.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program, see [`build`].
    pub binary: PathBuf,
    /// Where the configuration file and the log are put; exists.
    pub dir: PathBuf,
    /// The configuration, without its `[admin]` table.
    pub config: String,
    /// A file that stands for `/etc/hosts`, in a mount namespace of the program's own. Needs root.
    pub hosts: Option<PathBuf>,
}

impl Launch {
    /// Where the log of all starts from this folder is.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join("spillwayd.log")
    }

    fn command(&self, config: &Path) -> Command {
        let mut command = match &self.hosts {
            None => Command::new(&self.binary),
            Some(hosts) => {
                // Both exec, so that the process that was started is the program itself.
                let mut command = Command::new("unshare");
                let script = "mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"";
                command.args(["--mount", "--propagation", "slave", "sh", "-c", script, "sh"]);
                command.arg(hosts).arg(&self.binary);
                command
            }
        };
        command.args(["run", "--config"]).arg(config).stdin(Stdio::null()).stdout(Stdio::null());
        command.env("NO_COLOR", "1");
        // They would be read as settings.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SPILLWAY_"))
        {
            command.env_remove(name);
        }
        command
    }
}

/// The running program; killed when this is dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    admin: SocketAddr,
    log: PathBuf,
    /// Where this start's part of the log begins.
    log_begin: u64,
}

/// How a stop went.
#[derive(Debug)]
pub struct Stopped {
    /// The exit status.
    pub status: ExitStatus,
    /// From the signal to the end.
    pub took: Duration,
    /// Records that it had received, by its last word.
    pub received: Option<u64>,
}

impl Program {
    /// Starts it, and returns when its admin endpoint answers.
    ///
    /// # Errors
    /// When it cannot be started, ends at once, or does not answer in time.
    pub fn start(launch: &Launch) -> Result<Self, Error> {
        for _ in 1..STARTS {
            match Self::start_once(launch) {
                Err(Error::Ended { tail, .. }) if tail.contains("Address already in use") => {}
                done => return done,
            }
        }
        Self::start_once(launch)
    }

    fn start_once(launch: &Launch) -> Result<Self, Error> {
        let admin = free_address().map_err(system("find a free port"))?;
        let path = launch.dir.join("spillwayd.toml");
        let text = format!("{}\n[admin]\nlisten = '{admin}'\n", launch.config);
        std::fs::write(&path, text).map_err(system("write the configuration"))?;
        let log = launch.log();
        let file = OpenOptions::new().create(true).append(true).open(&log).map_err(system("open the log"))?;
        let log_begin = file.metadata().map_err(system("read the log"))?.len();
        let mut command = launch.command(&path);
        let child = children::spawn(command.stderr(Stdio::from(file))).map_err(system("start spillwayd"))?;
        let mut program = Self { child, admin, log, log_begin };
        let deadline = Instant::now() + START_TIMEOUT;
        while program.get("/healthz").is_none() {
            program.check()?;
            if Instant::now() >= deadline {
                return Err(program.late("answer", START_TIMEOUT));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(program)
    }

    /// Where its admin endpoint is.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails if it has ended.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub fn check(&mut self) -> Result<(), Error> {
        match self.child.try_wait().map_err(system("look at spillwayd"))? {
            None => Ok(()),
            Some(status) => Err(Error::Ended { status, tail: self.tail() }),
        }
    }

    /// The body of an answer of the admin endpoint.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<String> {
        self.ask(path).map(|(_, body)| body)
    }

    /// The HTTP status and the body of an answer of the admin endpoint.
    #[must_use]
    pub fn ask(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.admin, ANSWER_TIMEOUT).ok()?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// What `/status` says now.
    ///
    /// # Errors
    /// When it has ended or gives no answer that can be read.
    pub fn status(&mut self) -> Result<Status, Error> {
        let deadline = Instant::now() + STATUS_TIMEOUT;
        loop {
            if let Some(status) = self.get("/status").and_then(|body| Status::parse(&body)) {
                return Ok(status);
            }
            self.check()?;
            if Instant::now() >= deadline {
                return Err(self.late("tell its status", STATUS_TIMEOUT));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// SIGKILL; returns when it is gone.
    ///
    /// # Errors
    /// When it had ended before, or the system refuses.
    pub fn kill(mut self) -> Result<(), Error> {
        self.child.kill().map_err(system("kill spillwayd"))?;
        let status = self.child.wait().map_err(system("wait for spillwayd"))?;
        if status.signal() == Some(9) { Ok(()) } else { Err(Error::Ended { status, tail: self.tail() }) }
    }

    /// SIGTERM; returns when it has ended by itself.
    ///
    /// # Errors
    /// When it has not ended after `limit`; it is killed then.
    pub fn terminate(mut self, limit: Duration) -> Result<Stopped, Error> {
        let began = Instant::now();
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let killed = pid.map(|pid| kill_process(pid, Signal::TERM));
        if let Some(Err(errno)) = killed {
            return Err(system("stop spillwayd")(errno.into()));
        }
        loop {
            if let Some(status) = self.child.try_wait().map_err(system("wait for spillwayd"))? {
                return Ok(Stopped { status, took: began.elapsed(), received: self.said_received() });
            }
            if began.elapsed() >= limit {
                return Err(self.late("end after SIGTERM", limit));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// `received=N` of the line `event="stopped"`.
    fn said_received(&self) -> Option<u64> {
        let lines = BufReader::new(self.open_log(self.log_begin).ok()?).lines();
        let last = lines.map_while(Result::ok).filter(|line| line.contains("event=\"stopped\"")).last()?;
        let word = last.split_whitespace().find_map(|word| word.strip_prefix("received="))?;
        word.parse().ok()
    }

    fn open_log(&self, from: u64) -> std::io::Result<File> {
        let mut file = File::open(&self.log)?;
        file.seek(SeekFrom::Start(from))?;
        Ok(file)
    }

    /// The end of the log.
    #[must_use]
    pub fn tail(&self) -> String {
        let len = std::fs::metadata(&self.log).map_or(0, |meta| meta.len());
        let mut bytes = Vec::new();
        let read = self.open_log(len.saturating_sub(TAIL_BYTES)).and_then(|mut f| f.read_to_end(&mut bytes));
        match read {
            Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("(cannot read {}: {error})", self.log.display()),
        }
    }

    fn late(&self, what: &'static str, limit: Duration) -> Error {
        Error::Late { what, limit, tail: self.tail() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Gone already when all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that was free a moment ago.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
