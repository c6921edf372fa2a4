//! The daemon of a round, over all its lives: started, looked at, killed and stopped. Each life's end says
//! what may be lost with it; each look checks what must hold at any time.

use std::time::{Duration, Instant};

use spillway_testkit::oracle::chaos::{Allowance, End, Life};
use spillway_testkit::program::{Launch, Program, Status, Stopped};

use crate::Outcome;
use crate::load::Load;
use crate::plan::Mode;

/// `shutdown.drain_deadline` of the configuration.
pub(crate) const DRAIN_DEADLINE: Duration = Duration::from_secs(3);
/// A stop may take so much longer than its deadline: the recall of what is in flight, and the disk.
const STOP_MARGIN: Duration = Duration::from_secs(6);

/// The daemon.
pub(crate) struct Daemon {
    launch: Launch,
    mode: Mode,
    program: Option<Program>,
    /// The last number that was served before this life.
    began: u64,
    last: Option<Status>,
    /// The first so many records of this life were all settled at one moment.
    clean: u64,
    /// What its ends allow to be lost.
    pub(crate) allowances: Vec<Allowance>,
    /// Records that it counted as damaged.
    pub(crate) quarantined: u64,
    /// The most memory that a life took, KiB.
    pub(crate) rss_max_kib: u64,
    /// The longest stop.
    pub(crate) slowest_stop: Duration,
}

impl Daemon {
    pub(crate) fn new(launch: Launch, mode: Mode) -> Self {
        Self {
            launch,
            mode,
            program: None,
            began: 0,
            last: None,
            clean: 0,
            allowances: Vec::new(),
            quarantined: 0,
            rss_max_kib: 0,
            slowest_stop: Duration::ZERO,
        }
    }

    /// Where its log is.
    pub(crate) fn log(&self) -> std::path::PathBuf {
        self.launch.log()
    }

    pub(crate) fn start(&mut self, load: &Load) -> Outcome {
        load.settle()?;
        (self.began, self.last, self.clean) = (load.served(), None, 0);
        self.program = Some(Program::start(&self.launch)?);
        Ok(())
    }

    /// Its status; fails if it breaks what must always hold.
    pub(crate) fn look(&mut self) -> Outcome<Status> {
        let always = self.mode.always;
        let program = self.running()?;
        let status = program.status()?;
        let rss_kib = memory_kib(program.pid());
        if status.unaccounted > 0 {
            return Err(format!("{} records are unaccounted for", status.unaccounted).into());
        }
        if always && status.at_risk > 0 {
            return Err(format!("journal = always, and {} records at risk", status.at_risk).into());
        }
        if status.received == status.settled() {
            self.clean = status.received;
        }
        self.rss_max_kib = self.rss_max_kib.max(rss_kib);
        self.quarantined = self.quarantined.max(status.quarantined);
        self.last = Some(status.clone());
        Ok(status)
    }

    /// Whether it has read and delivered all that was served.
    pub(crate) fn is_drained(&mut self, load: &Load) -> Outcome<bool> {
        let status = self.look()?;
        let (pid, began) = (self.running()?.pid(), self.began);
        Ok(status.is_idle() && status.breaker == "closed" && load.is_read(pid, began, status.received)?)
    }

    /// SIGKILL. `before` is done between the last look and the kill, such as a power cut.
    pub(crate) fn kill(
        &mut self,
        load: &Load,
        reason: &'static str,
        before: impl FnOnce() -> Outcome,
    ) -> Outcome {
        let Status { spooled, .. } = self.look()?;
        let settled = self.last.as_ref().map_or(0, Status::settled);
        before()?;
        self.take()?.kill()?;
        self.end(load, reason, End::Killed { settled, spooled, clean: self.clean })
    }

    /// SIGTERM: it must end with success, in time.
    pub(crate) fn stop(&mut self, load: &Load) -> Outcome {
        self.look()?;
        let Stopped { status, took, received } = self.take()?.terminate(DRAIN_DEADLINE + STOP_MARGIN)?;
        if !status.success() {
            return Err(format!("SIGTERM: spillwayd ended with {status}").into());
        }
        self.slowest_stop = self.slowest_stop.max(took);
        let received = received.ok_or("the log's last line does not say how much was received")?;
        self.end(load, "served and not read at a stop", End::Stopped { received })
    }

    fn end(&mut self, load: &Load, reason: &'static str, end: End) -> Outcome {
        load.settle()?;
        let served = self.began + 1..=load.served();
        let life = Life { reason, served, can_resume: load.can_resume(), always: self.mode.always, end };
        self.allowances.extend(life.allowance());
        Ok(())
    }

    /// Looks every now and then until `until`, or until `done`. Returns whether it was done.
    pub(crate) fn watch(
        &mut self,
        until: Instant,
        every: Duration,
        mut done: impl FnMut(&Status) -> bool,
    ) -> Outcome<bool> {
        loop {
            if done(&self.look()?) {
                return Ok(true);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            std::thread::sleep(every.min(left));
        }
    }

    /// What it said last, for an error.
    pub(crate) fn last_words(&self) -> String {
        let tail = self.program.as_ref().map(Program::tail).unwrap_or_default();
        format!("last status {:?}\nlog {}:\n{tail}", self.last, self.log().display())
    }

    fn running(&mut self) -> Outcome<&mut Program> {
        self.program.as_mut().ok_or_else(|| "the daemon is not running".into())
    }

    fn take(&mut self) -> Outcome<Program> {
        self.program.take().ok_or_else(|| "the daemon is not running".into())
    }
}

/// Memory in use by process `pid`; 0 when it is gone.
fn memory_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}
