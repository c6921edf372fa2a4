//! Beside the running daemon: SIGTERM and SIGINT stop it, SIGHUP has it read its configuration again; systemd
//! is told its status, and the watchdog is fed by what its tasks do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals as Pending;
use spillway_daemon::{Reload, Watch, systemd};
use spillway_service::notify;
use spillway_service::pulse::{Found, Watchdog};

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often systemd is told the status.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// A task that hangs is told without systemd's watchdog, too, as if it had this time.
const WATCHDOG_ELSE: Duration = Duration::from_secs(60);

/// The signals, caught from now on.
pub(crate) struct Signals(Pending);

impl Signals {
    pub(crate) fn new() -> std::io::Result<Self> {
        Pending::new([SIGTERM, SIGINT, SIGHUP]).map(Self)
    }

    /// Runs `body`, and beside it a thread that looks after the daemon.
    pub(crate) fn watch<T>(self, daemon: &Watch, reload: Reload, body: impl FnOnce() -> T) -> T {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut warden = Warden::new(daemon, reload, self.0);
                while !done.load(Ordering::Acquire) {
                    warden.look(Instant::now());
                    std::thread::sleep(LOOK_EVERY);
                }
            });
            let result = body();
            done.store(true, Ordering::Release);
            result
        })
    }
}

/// Looks after a daemon.
struct Warden<'a> {
    daemon: &'a Watch,
    reload: Reload,
    signals: Pending,
    watchdog: Watchdog,
    /// How often the tasks are looked at: four times in the watchdog's time.
    feel_every: Duration,
    felt_at: Instant,
    told_at: Instant,
    /// What an operator still has to do.
    to_do: Option<String>,
}

impl<'a> Warden<'a> {
    fn new(daemon: &'a Watch, reload: Reload, signals: Pending) -> Self {
        let (time, now) = (notify::watchdog().unwrap_or(WATCHDOG_ELSE), Instant::now());
        let mut warden = Self {
            daemon,
            reload,
            signals,
            watchdog: Watchdog::new(time, now),
            feel_every: time / 4,
            felt_at: now,
            told_at: now,
            to_do: None,
        };
        warden.tell_status(now);
        warden
    }

    fn look(&mut self, now: Instant) {
        let signals: Vec<_> = self.signals.pending().collect();
        for signal in signals {
            match signal {
                SIGHUP => self.reload(now),
                _ => self.stop(signal),
            }
        }
        if now.duration_since(self.told_at) >= STATUS_EVERY {
            self.tell_status(now);
        }
        if now.duration_since(self.felt_at) >= self.feel_every {
            self.felt_at = now;
            self.feel(now);
        }
    }

    fn stop(&self, signal: i32) {
        tracing::info!(
            event = "stopping",
            signal,
            "stopping: sending what can be sent, then the rest goes to disk"
        );
        systemd::stopping(self.daemon);
        self.daemon.stop();
    }

    fn reload(&mut self, now: Instant) {
        notify::reloading();
        self.to_do = self.daemon.reload(&mut self.reload);
        notify::ready();
        self.tell_status(now);
    }

    fn tell_status(&mut self, now: Instant) {
        self.told_at = now;
        systemd::status(&self.daemon.status(), self.to_do.as_deref());
    }

    /// Feeds systemd's watchdog when every task has come around.
    fn feel(&mut self, now: Instant) {
        let found = self.watchdog.look(self.daemon.pulse(), now);
        match &found {
            Found::Waiting => {}
            Found::Alive | Found::AliveAgain | Found::Stuck(_) => {
                self.daemon.note_stuck(matches!(found, Found::Stuck(_)));
            }
        }
        match found {
            Found::Alive => notify::alive(),
            Found::AliveAgain => {
                tracing::info!(event = "tasks_moving", "all tasks make progress again");
                notify::alive();
            }
            Found::Waiting => {}
            Found::Stuck(tasks) => tracing::error!(
                event = "task_stuck",
                task = tasks.join(", "),
                "a task makes no progress; if this lasts, systemd's watchdog ends the daemon and starts it again"
            ),
        }
    }
}
