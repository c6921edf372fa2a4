//! The process of one broker: start, signals, end. It is found again by its pid file, so that a person
//! can command from another process than the one that started it.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::error::Error;
use super::jars::write;
use super::layout::{Layout, tail};

const POLL: Duration = Duration::from_millis(20);
/// A controlled shutdown waits for other brokers to take over; without them it never ends.
const STOP_WITHIN: Duration = Duration::from_secs(10);
const KILL_WITHIN: Duration = Duration::from_secs(60);

/// How the Java machines are set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Jvm {
    /// Starts fast and takes little: one simple compiler, 256 MB of heap.
    #[default]
    Quick,
    /// For throughput: all compilers, 768 MB of heap.
    Fast,
}

impl Jvm {
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Quick => &["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
            Self::Fast => &["-Xms256m", "-Xmx768m", "-XX:+UseParallelGC", "-XX:ParallelGCThreads=2"],
        }
    }
}

/// One broker.
#[derive(Debug)]
pub(super) struct Node {
    id: u8,
    child: Option<Child>,
    home: PathBuf,
    pid_file: PathBuf,
    log_file: PathBuf,
    properties: PathBuf,
}

impl Node {
    pub(super) fn new(layout: &Layout, id: u8) -> Self {
        Self {
            id,
            child: None,
            home: layout.home(id),
            pid_file: layout.pid_file(id),
            log_file: layout.log_file(id),
            properties: layout.properties_file(id),
        }
    }

    /// Starts the process, unless it runs. It does not wait for the broker to answer.
    pub(super) fn spawn(&mut self, classpath: &str, jvm: Jvm) -> Result<(), Error> {
        if self.pid()?.is_some() {
            return Ok(());
        }
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log_file);
        let log = log.map_err(Error::file("open", &self.log_file))?;
        let copy = log.try_clone().map_err(Error::file("open", &self.log_file))?;
        let mut java = java(classpath);
        // What lz4 and zstd unpack for themselves goes with the cluster's folder, also after a SIGKILL.
        let mut scratch = OsString::from("-Djava.io.tmpdir=");
        scratch.push(&self.home);
        java.arg(scratch).args(jvm.options()).arg("kafka.Kafka").arg(&self.properties);
        // A group of its own: Ctrl-C in a terminal reaches the test, whose end then ends the brokers.
        java.process_group(0).stdin(Stdio::null()).stdout(log).stderr(copy);
        let child = java.spawn().map_err(|source| Error::Program { program: "java", hint: JAVA, source })?;
        write(&self.pid_file, &child.id().to_string())?;
        self.child = Some(child);
        Ok(())
    }

    /// The process id while it runs, frozen or not. Reaps it if it has ended.
    pub(super) fn pid(&mut self) -> Result<Option<Pid>, Error> {
        if let Some(child) = &mut self.child {
            let id = child.id();
            if child.try_wait().map_err(|source| Error::Signal { broker: self.id, source })?.is_none() {
                return Ok(pid_of(&id.to_string()));
            }
            self.child = None;
            self.forget();
            return Ok(None);
        }
        let Ok(text) = std::fs::read_to_string(&self.pid_file) else { return Ok(None) };
        // Another process' child: the id may have been given to someone else since.
        let ours = pid_of(&text).filter(|pid| test_kill_process(*pid).is_ok() && self.is_ours(*pid));
        if ours.is_none() {
            self.forget();
        }
        Ok(ours)
    }

    fn is_ours(&self, pid: Pid) -> bool {
        let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_pid())).unwrap_or_default();
        let wanted = self.properties.display().to_string();
        line.split(|byte| *byte == 0).any(|argument| argument == wanted.as_bytes())
    }

    /// Tells it to stand still, or to go on. Neither happens at once on a busy machine: see
    /// [`Node::await_frozen`].
    pub(super) fn freeze(&mut self, frozen: bool) -> Result<(), Error> {
        self.signal(if frozen { Signal::STOP } else { Signal::CONT })
    }

    /// Waits until it stands still, or goes on; not for a broker that is down.
    pub(super) fn await_frozen(&mut self, frozen: bool) -> Result<(), Error> {
        let deadline = Instant::now() + KILL_WITHIN;
        while self.pid()?.is_some() && self.is_frozen()? != frozen {
            if Instant::now() > deadline {
                return Err(self.late(if frozen { "stand still" } else { "go on" }));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn late(&self, what: &str) -> Error {
        Error::Late {
            what: format!("broker {} to {what}", self.id),
            seconds: KILL_WITHIN.as_secs(),
            seen: "it does not".to_owned(),
        }
    }

    /// Whether it stands still.
    pub(super) fn is_frozen(&mut self) -> Result<bool, Error> {
        let Some(pid) = self.pid()? else { return Ok(false) };
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default();
        // "pid (name) state ...": the name may hold anything, so the state follows the last bracket.
        Ok(stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T')))
    }

    /// Sends a signal; nothing happens to a broker that is down.
    fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        let Some(pid) = self.pid()? else { return Ok(()) };
        kill_process(pid, signal).map_err(|e| Error::Signal { broker: self.id, source: e.into() })
    }

    /// Ends it in an orderly way, leaderships handed over, or by force where that takes too long.
    pub(super) fn stop(&mut self) -> Result<(), Error> {
        self.ask_to_end()?;
        if self.wait_for_end(STOP_WITHIN)? { Ok(()) } else { self.kill() }
    }

    /// The first half of [`Node::stop`], for many at once.
    pub(super) fn ask_to_end(&mut self) -> Result<(), Error> {
        self.freeze(false)?;
        self.signal(Signal::TERM)
    }

    /// The first half of [`Node::kill`], for many at once.
    pub(super) fn strike(&mut self) -> Result<(), Error> {
        self.signal(Signal::KILL)
    }

    /// SIGKILL, and waits until the process is gone.
    pub(super) fn kill(&mut self) -> Result<(), Error> {
        self.strike()?;
        if self.wait_for_end(KILL_WITHIN)? {
            return Ok(());
        }
        Err(self.late("end"))
    }

    fn wait_for_end(&mut self, within: Duration) -> Result<bool, Error> {
        let deadline = Instant::now() + within;
        while self.pid()?.is_some() {
            if Instant::now() > deadline {
                return Ok(false);
            }
            std::thread::sleep(POLL);
        }
        Ok(true)
    }

    /// An error if it is not running, with the end of its log.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        match self.pid()? {
            Some(_) => Ok(()),
            None => Err(Error::BrokerEnded { broker: self.id, log: tail(&self.log_file) }),
        }
    }

    fn forget(&self) {
        // Without the file, or with an old one, the broker counts as down; nothing else hangs on it.
        let _ = std::fs::remove_file(&self.pid_file);
    }
}

const JAVA: &str = "install a JDK of version 17 or newer, for example the package openjdk-17-jdk-headless";

/// `java` with the class path and what all of our Java processes share.
pub(super) fn java(classpath: &str) -> Command {
    let mut java = Command::new("java");
    java.arg("-cp").arg(classpath);
    java.args(["-XX:-UsePerfData", "-Xshare:auto", "-Djava.net.preferIPv4Stack=true"]);
    java.args([
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
        "-Dorg.slf4j.simpleLogger.showThreadName=false",
    ]);
    java
}

fn pid_of(text: &str) -> Option<Pid> {
    Pid::from_raw(text.trim().parse().ok()?)
}

/// A shell that outlives a killed test by a moment: when its input ends, it kills the brokers whose pid
/// files it finds in the cluster's folder, and removes the folder if it is a temporary one.
#[derive(Debug)]
pub(super) struct Guard(Child);

impl Guard {
    const SCRIPT: &str = r#"
        while read -r _; do :; done
        for file in "$1"/broker-*/pid; do
            pid=$(cat "$file" 2>/dev/null) || continue
            # The id may belong to someone else by now.
            grep -qF "$1/" "/proc/$pid/cmdline" 2>/dev/null && kill -9 "$pid"
        done
        if [ "$2" = remove ]; then
            for _ in 1 2 3 4 5; do rm -rf "$1" 2>/dev/null && break; sleep 0.2; done
        fi
    "#;

    pub(super) fn start(dir: &std::path::Path, remove: bool) -> Result<Self, Error> {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(Self::SCRIPT).arg("guard").arg(dir).arg(if remove { "remove" } else { "keep" });
        shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = shell.spawn();
        child.map(Self).map_err(|source| Error::Program { program: "sh", hint: "it is needed", source })
    }

    /// Lets it do its work now, and waits for that.
    pub(super) fn release(&mut self) -> std::io::Result<std::process::ExitStatus> {
        drop(self.0.stdin.take());
        self.0.wait()
    }
}

/// Whether the broker at `address` answers: the smallest request of the protocol (ApiVersions, version
/// 0), which a broker serves only once the controller has let it in.
pub(super) fn answers(address: SocketAddr) -> bool {
    let within = Duration::from_millis(500);
    let ask = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&address, within)?;
        stream.set_read_timeout(Some(within))?;
        stream.set_write_timeout(Some(within))?;
        // Length, key 18, version 0, correlation id, no client id.
        stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff])?;
        stream.read_exact(&mut [0; 8])
    };
    ask().is_ok()
}

/// How a process ended, in a word, for error messages.
pub(super) fn ending(status: std::process::ExitStatus) -> String {
    status.signal().map_or_else(|| status.to_string(), |signal| format!("signal {signal}"))
}
