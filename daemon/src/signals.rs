//! SIGTERM and SIGINT stop the daemon; while it runs, systemd is told its status.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals as Pending;
use spillway_daemon::{Watch, systemd};

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often systemd is told the status.
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// The signals, caught from now on.
pub(crate) struct Signals(Pending);

impl Signals {
    pub(crate) fn new() -> std::io::Result<Self> {
        Pending::new([SIGTERM, SIGINT]).map(Self)
    }

    /// Runs `body`, and beside it a thread that acts on signals.
    pub(crate) fn watch<T>(mut self, daemon: &Watch, body: impl FnOnce() -> T) -> T {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut told = Instant::now();
                while !done.load(Ordering::Acquire) {
                    if let Some(signal) = self.0.pending().next() {
                        tracing::info!(
                            event = "stopping",
                            signal,
                            "stopping: sending what can be sent, then the rest goes to disk"
                        );
                        systemd::stopping();
                        daemon.stop();
                    }
                    if told.elapsed() >= STATUS_EVERY {
                        told = Instant::now();
                        systemd::status(&daemon.status());
                    }
                    std::thread::sleep(LOOK_EVERY);
                }
            });
            let result = body();
            done.store(true, Ordering::Release);
            result
        })
    }
}
