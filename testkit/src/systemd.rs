//! Stands for systemd: a socket that hears what a program tells its supervisor, and a watchdog's time for it.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Longest message that is heard whole.
const MESSAGE_BYTES_MAX: usize = 4096;

/// A supervisor of one program.
#[derive(Debug)]
pub struct Systemd {
    socket: UnixDatagram,
    path: PathBuf,
    told: Vec<String>,
}

impl Systemd {
    /// Listens on a socket in this folder.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn listen(dir: &Path) -> io::Result<Self> {
        let path = dir.join("notify");
        Ok(Self { socket: UnixDatagram::bind(&path)?, path, told: Vec::new() })
    }

    /// Lets a program that is to be started know of it, as a unit with `WatchdogSec=` does.
    pub fn supervise(&self, command: &mut Command, watchdog: Duration) {
        command.env("NOTIFY_SOCKET", &self.path).env("WATCHDOG_USEC", watchdog.as_micros().to_string());
    }

    /// The assignments that were heard so far, in the order in which they came.
    #[must_use]
    pub fn told(&self) -> &[String] {
        &self.told
    }

    /// How often an assignment was heard so far.
    #[must_use]
    pub fn count(&self, assignment: &str) -> usize {
        self.told.iter().filter(|told| *told == assignment).count()
    }

    /// The newest status; empty before the first.
    #[must_use]
    pub fn status(&self) -> &str {
        self.told.iter().rev().find_map(|told| told.strip_prefix("STATUS=")).unwrap_or_default()
    }

    /// Hears what has come by now.
    ///
    /// # Errors
    /// When the socket fails, or what came is no text.
    pub fn hear(&mut self) -> io::Result<()> {
        self.socket.set_nonblocking(true)?;
        while self.receive()? {}
        self.socket.set_nonblocking(false)
    }

    /// Listens until `done`, for `limit` at most; returns whether it came to that.
    ///
    /// # Errors
    /// As [`Self::hear`].
    pub fn wait(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> io::Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            if done(self) {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.socket.set_read_timeout(Some(left))?;
            self.receive()?;
        }
    }

    /// Receives one message; returns whether there was one in time.
    fn receive(&mut self) -> io::Result<bool> {
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        let len = match self.socket.recv(&mut buffer) {
            Ok(len) => len,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let text = std::str::from_utf8(&buffer[..len]).map_err(io::Error::other)?;
        self.told.extend(text.lines().map(str::to_owned));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_hears_what_is_told_and_waits_for_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let mut systemd = Systemd::listen(dir.path()).unwrap();
        let program = UnixDatagram::unbound().unwrap();
        program.connect(dir.path().join("notify")).unwrap();
        systemd.hear().unwrap();
        assert_eq!((systemd.told().len(), systemd.status()), (0, ""));

        program.send(b"READY=1\nSTATUS=one").unwrap();
        program.send(b"STATUS=two").unwrap();
        systemd.hear().unwrap();
        assert_eq!(systemd.told(), ["READY=1", "STATUS=one", "STATUS=two"]);
        assert_eq!((systemd.status(), systemd.count("READY=1")), ("two", 1));

        assert!(!systemd.wait(Duration::from_millis(10), |told| told.count("READY=1") == 2).unwrap());
        let later = std::thread::spawn(move || program.send(b"READY=1").unwrap());
        assert!(systemd.wait(Duration::from_secs(60), |told| told.count("READY=1") == 2).unwrap());
        later.join().unwrap();
    }
}
