//! Beside the run: SIGTERM and SIGINT stop it, SIGHUP has its configuration read again; systemd is told when the
//! start has ended and what the run does, and the watchdog is fed by what its threads do.

use std::io;
use std::time::{Duration, Instant};

use spillway_consumer::Control;
use spillway_consumer::status::Status;
use spillway_service::notify;
use spillway_service::pulse::{Found, Watchdog};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::reload::Reload;
use crate::status_line;

/// How often the run is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often systemd is told the status.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// A thread that hangs is told without systemd's watchdog, too, as if it had this time.
const WATCHDOG_ELSE: Duration = Duration::from_secs(60);
/// A start ends without Kafka after this long: starting anew would not bring it back, and who waits for the start
/// shall not wait for Kafka.
const KAFKA_PATIENCE: Duration = Duration::from_secs(60);
/// A stop takes a second or so, but an answer of Kafka's that is under way is waited for.
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// Looks after a run, from its start to the end of the process.
pub(crate) struct Warden {
    control: Control,
    reload: Reload,
    start: Start,
    watchdog: Watchdog,
    /// How often the threads are looked at: four times in the watchdog's time.
    feel_every: Duration,
    felt_at: Instant,
    told_at: Option<Instant>,
    /// What an operator still has to do.
    to_do: Option<String>,
}

impl Warden {
    /// Begins, on a thread of its own.
    ///
    /// # Errors
    /// When signals cannot be caught.
    pub(crate) fn start(control: Control, reload: Reload) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let signals = {
            let _context = runtime.enter();
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal)
        };
        let [term, int, hup] = signals;
        let watch = Self::new(control, reload, Instant::now()).watch(term?, int?, hup?);
        std::thread::Builder::new().name("warden".to_owned()).spawn(move || runtime.block_on(watch))?;
        Ok(())
    }

    fn new(control: Control, reload: Reload, now: Instant) -> Self {
        let time = notify::watchdog().unwrap_or(WATCHDOG_ELSE);
        Self {
            control,
            reload,
            start: Start::new(now),
            watchdog: Watchdog::new(time, now),
            feel_every: time / 4,
            felt_at: now,
            told_at: None,
            to_do: None,
        }
    }

    async fn watch(mut self, mut term: Signal, mut int: Signal, mut hup: Signal) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        notify::status("trying the store");
        loop {
            tokio::select! {
                _ = looks.tick() => self.look(Instant::now()),
                _ = term.recv() => self.stop("SIGTERM"),
                _ = int.recv() => self.stop("SIGINT"),
                _ = hup.recv() => self.reload(Instant::now()),
            }
        }
    }

    fn look(&mut self, now: Instant) {
        if let Some(status) = self.control.watch().status() {
            self.end_start(&status, now);
            if self.told_at.is_none_or(|told| now.duration_since(told) >= STATUS_EVERY) {
                self.tell_status(&status, now);
            }
        }
        if self.start == Start::Over && now.duration_since(self.felt_at) >= self.feel_every {
            self.felt_at = now;
            self.feel(now);
        }
    }

    fn end_start(&mut self, status: &Status, now: Instant) {
        match self.start.look(status.kafka_silent_ms.is_some(), now) {
            Begun::Not => return,
            Begun::WithKafka => {}
            Begun::Without => tracing::warn!(
                event = "kafka_unreachable",
                topic = status.topic,
                "Kafka has not answered since the start; the consumer waits for it"
            ),
        }
        notify::ready();
        self.told_at = None;
    }

    /// A second signal is not needed: a run stops within a second or so.
    fn stop(&mut self, signal: &str) {
        tracing::info!(
            event = "stopping",
            signal,
            "stopping: windows that are open are read again by the next run"
        );
        self.start.give_up();
        notify::stopping(STOP_WITHIN);
        self.control.stop();
    }

    fn reload(&mut self, now: Instant) {
        // What ends a reload would end a start that is under way, too.
        let is_started = self.start == Start::Over;
        if is_started {
            notify::reloading();
        }
        self.to_do = self.reload.run();
        if is_started {
            notify::ready();
        }
        if let Some(status) = self.control.watch().status() {
            self.tell_status(&status, now);
        }
    }

    fn tell_status(&mut self, status: &Status, now: Instant) {
        self.told_at = Some(now);
        notify::status(&status_line::of(status, self.to_do.as_deref()));
    }

    /// Feeds systemd's watchdog when every thread has come around.
    fn feel(&mut self, now: Instant) {
        match self.watchdog.look(self.control.pulse(), now) {
            Found::Alive => notify::alive(),
            Found::AliveAgain => {
                tracing::info!(event = "tasks_moving", "all threads make progress again");
                notify::alive();
            }
            Found::Waiting => {}
            Found::Stuck(tasks) => tracing::error!(
                event = "task_stuck",
                task = tasks.join(", "),
                "a thread makes no progress; if this lasts, systemd's watchdog ends the consumer and starts it again"
            ),
        }
    }
}

/// Where a start is. The store has been tried when there is a status at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Since(Instant),
    Over,
    /// A stop came before its end, of which nobody is to be told any more.
    GivenUp,
}

/// How a start ends, said once.
#[derive(Debug, PartialEq, Eq)]
enum Begun {
    Not,
    WithKafka,
    Without,
}

impl Start {
    fn new(now: Instant) -> Self {
        Self::Since(now)
    }

    fn give_up(&mut self) {
        if matches!(self, Self::Since(_)) {
            *self = Self::GivenUp;
        }
    }

    fn look(&mut self, has_kafka_answered: bool, now: Instant) -> Begun {
        let Self::Since(since) = *self else { return Begun::Not };
        if !has_kafka_answered && now.duration_since(since) < KAFKA_PATIENCE {
            return Begun::Not;
        }
        *self = Self::Over;
        if has_kafka_answered { Begun::WithKafka } else { Begun::Without }
    }
}

#[cfg(test)]
mod tests {
    use spillway_service::settings::Environment;

    use super::*;

    #[test]
    fn a_start_ends_when_kafka_has_answered_or_has_been_waited_for_long_enough() {
        let began = Instant::now();
        let mut start = Start::new(began);
        assert_eq!(start.look(false, began + KAFKA_PATIENCE / 2), Begun::Not);
        assert_eq!(start.look(true, began + KAFKA_PATIENCE / 2), Begun::WithKafka);
        assert_eq!(start.look(false, began + KAFKA_PATIENCE), Begun::Not, "said once");
        let mut start = Start::new(began);
        assert_eq!(start.look(false, began + KAFKA_PATIENCE), Begun::Without);
        assert_eq!(start.look(true, began + KAFKA_PATIENCE), Begun::Not);
    }

    #[test]
    fn a_start_that_is_stopped_does_not_end_any_more() {
        let began = Instant::now();
        let reload = Reload::new("c.toml".into(), Environment::default(), "");
        let mut warden = Warden::new(Control::new(), reload, began);
        warden.stop("SIGTERM");
        assert_eq!(warden.start.look(true, began), Begun::Not);
        assert_eq!(warden.start.look(false, began + KAFKA_PATIENCE), Begun::Not);
        assert_ne!(warden.start, Start::Over, "threads that have not begun are not taken for stuck");
    }

    #[test]
    fn a_stop_after_the_start_leaves_it_over() {
        let began = Instant::now();
        let mut start = Start::new(began);
        assert_eq!(start.look(true, began), Begun::WithKafka);
        start.give_up();
        assert_eq!(start, Start::Over, "the watchdog is fed until the end");
    }
}
