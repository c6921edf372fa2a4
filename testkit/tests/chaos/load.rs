//! Where the daemon's records come from: an HTTP stream that cannot resume, or a file that grows.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use spillway_testkit::numbered::Numbered;
use spillway_testkit::upstream::{Options, Upstream};

use crate::Outcome;

/// The file grows this often.
const TICK: Duration = Duration::from_millis(10);
/// How long a dead daemon's connection may seem alive.
const CLOSING: Duration = Duration::from_secs(10);

/// A running source.
pub(crate) enum Load {
    Http(Upstream),
    File(Writer),
}

impl Load {
    pub(crate) fn start(file: bool, load: Numbered, rate: u64, dir: &Path) -> Outcome<Self> {
        if file {
            return Ok(Self::File(Writer::start(load, rate, dir.join("events.ndjson"))?));
        }
        let options = Options { rate, keep_alive: Duration::from_secs(5), ..Options::default() };
        Ok(Self::Http(Upstream::start(load.feed(), options)?))
    }

    /// The `[source]` table.
    pub(crate) fn config(&self) -> String {
        let what = match self {
            Self::Http(upstream) => format!("type = 'http_ndjson'\nurl = '{}'", upstream.url()),
            Self::File(writer) => format!("type = 'file'\npath = '{}'", writer.path.display()),
        };
        format!("[source]\n{what}\nid = '/data/id'\nmax_record_bytes = '2MiB'\n")
    }

    /// The last number that was served.
    pub(crate) fn served(&self) -> u64 {
        match self {
            Self::Http(upstream) => upstream.served(),
            Self::File(writer) => writer.written.load(Ordering::Acquire),
        }
    }

    /// Whether the daemon can read again what it has read.
    pub(crate) fn can_resume(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// Waits until the last daemon's connection is known to be over; what it was served is final then.
    pub(crate) fn settle(&self) -> Outcome {
        let Self::Http(upstream) = self else { return Ok(()) };
        let deadline = Instant::now() + CLOSING;
        while upstream.connections().iter().any(|connection| connection.ended.is_none()) {
            if Instant::now() > deadline {
                return Err("the upstream still holds the connection of a daemon that is gone".into());
            }
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    /// Serves nothing more.
    pub(crate) fn pause(&mut self) -> Outcome {
        match self {
            Self::Http(upstream) => upstream.pause(),
            Self::File(writer) => writer.finish()?,
        }
        Ok(())
    }

    /// Whether the daemon `pid`, which has received `received` records of those after number `began`, has
    /// read all that was served.
    pub(crate) fn is_read(&self, pid: u32, began: u64, received: u64) -> Outcome<bool> {
        match self {
            Self::Http(upstream) => Ok(received >= upstream.served() - began),
            Self::File(writer) => writer.is_read_by(pid),
        }
    }
}

/// Appends records to a file.
pub(crate) struct Writer {
    path: PathBuf,
    written: Arc<AtomicU64>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Writer {
    fn start(load: Numbered, rate: u64, path: PathBuf) -> Outcome<Self> {
        let mut file = File::create(&path)?;
        let (written, stopping) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (count, stop) = (Arc::clone(&written), Arc::clone(&stopping));
        let thread = std::thread::Builder::new().name("file-load".into()).spawn(move || {
            let (began, mut n) = (Instant::now(), 0);
            while !stop.load(Ordering::Acquire) {
                let due = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX) * rate / 1000;
                let mut lines = Vec::new();
                while n < due {
                    n += 1;
                    lines.extend_from_slice(&load.line(n));
                    lines.push(b'\n');
                }
                file.write_all(&lines)?;
                count.store(n, Ordering::Release);
                std::thread::sleep(TICK);
            }
            Ok(())
        })?;
        Ok(Self { path, written, stopping, thread: Some(thread) })
    }

    fn finish(&mut self) -> Outcome {
        self.stopping.store(true, Ordering::Release);
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(written)) => Ok(written?),
            Some(Err(_)) => Err("the file's writer panicked".into()),
        }
    }

    /// Whether the process has the file open and read to its end.
    fn is_read_by(&self, pid: u32) -> Outcome<bool> {
        let len = std::fs::metadata(&self.path)?.len();
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
            let entry = entry?;
            // Another file of the process may be closed meanwhile.
            if std::fs::read_link(entry.path()).is_ok_and(|target| target == self.path) {
                let info = format!("/proc/{pid}/fdinfo/{}", entry.file_name().to_string_lossy());
                let text = std::fs::read_to_string(info).unwrap_or_default();
                let at = text.lines().find_map(|line| line.strip_prefix("pos:")?.trim().parse().ok());
                return Ok(at == Some(len));
            }
        }
        Ok(false)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Finished already when all went well; else the round has failed for a reason of its own.
        let _ = self.finish();
    }
}
