//! The pulse of a program's tasks, and the watchdog that feels it.
//!
//! Each task counts the turns of its loop. A loop turns also while there is nothing to do, since no task
//! waits without a limit; so a task that does not turn hangs. The watchdog is fed only when every task has
//! turned since it was fed last, and never because time has passed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The pulse of a fixed number of tasks.
#[derive(Debug)]
pub struct Pulse {
    hearts: Vec<Heart>,
}

#[derive(Debug)]
struct Heart {
    name: &'static str,
    turns: AtomicU64,
    ended: AtomicBool,
}

impl Pulse {
    /// Tasks of these names, none of which has turned yet.
    #[must_use]
    pub fn new(names: &[&'static str]) -> Self {
        let heart =
            |name: &&'static str| Heart { name, turns: AtomicU64::new(0), ended: AtomicBool::new(false) };
        Self { hearts: names.iter().map(heart).collect() }
    }

    /// The task has come around. An index without a task changes nothing.
    pub fn turn(&self, task: usize) {
        if let Some(heart) = self.hearts.get(task) {
            heart.turns.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The task has ended: nobody waits for it any more.
    pub fn end(&self, task: usize) {
        if let Some(heart) = self.hearts.get(task) {
            heart.ended.store(true, Ordering::Release);
        }
    }

    /// Whether all tasks have ended.
    fn has_ended(&self) -> bool {
        self.hearts.iter().all(|heart| heart.ended.load(Ordering::Acquire))
    }

    fn turns(&self) -> Vec<u64> {
        self.hearts.iter().map(|heart| heart.turns.load(Ordering::Relaxed)).collect()
    }
}

/// Decides when the watchdog is fed.
#[derive(Debug)]
pub struct Watchdog {
    /// The turns when it was fed last.
    seen: Vec<u64>,
    fed_at: Instant,
    /// After so long without being fed it says who hangs.
    patience: Duration,
    told: bool,
}

/// What a look has found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Every task has turned since the last time: feed it.
    Alive,
    /// The same, after tasks had hung.
    AliveAgain,
    /// Not every task has turned yet, or all have ended and the program has not.
    Waiting,
    /// These tasks have not turned for as long as patience lasts. Said once.
    Stuck(Vec<&'static str>),
}

impl Watchdog {
    /// A watchdog that bites after `time`; it is fed now.
    #[must_use]
    pub fn new(time: Duration, now: Instant) -> Self {
        Self { seen: Vec::new(), fed_at: now, patience: time / 2, told: false }
    }

    /// Looks at the tasks; to be called several times in the watchdog's time.
    pub fn look(&mut self, pulse: &Pulse, now: Instant) -> Found {
        let turns = pulse.turns();
        let has_turned = |index: usize| turns[index] > self.seen.get(index).copied().unwrap_or(0);
        let hangs =
            |index: &usize| !pulse.hearts[*index].ended.load(Ordering::Acquire) && !has_turned(*index);
        let waiting: Vec<usize> = (0..turns.len()).filter(hangs).collect();
        if pulse.has_ended() {
            return Found::Waiting;
        }
        if waiting.is_empty() {
            self.seen = turns;
            self.fed_at = now;
            return if std::mem::take(&mut self.told) { Found::AliveAgain } else { Found::Alive };
        }
        if now.duration_since(self.fed_at) < self.patience || std::mem::replace(&mut self.told, true) {
            return Found::Waiting;
        }
        Found::Stuck(waiting.into_iter().map(|index| pulse.hearts[index].name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(60);

    #[test]
    fn it_is_fed_only_when_every_task_has_turned_since() {
        let (pulse, start) = (Pulse::new(&["produce", "spill"]), Instant::now());
        let mut dog = Watchdog::new(TIME, start);
        assert_eq!(dog.look(&pulse, start), Found::Waiting, "nobody has turned");
        pulse.turn(0);
        assert_eq!(dog.look(&pulse, start), Found::Waiting, "one of two");
        pulse.turn(1);
        assert_eq!(dog.look(&pulse, start), Found::Alive);
        assert_eq!(dog.look(&pulse, start + TIME / 4), Found::Waiting, "time alone feeds nobody");
    }

    #[test]
    fn who_hangs_is_said_once_and_so_is_its_end() {
        let (pulse, start) = (Pulse::new(&["produce", "spill"]), Instant::now());
        let mut dog = Watchdog::new(TIME, start);
        (0..2).for_each(|task| pulse.turn(task));
        assert_eq!(dog.look(&pulse, start), Found::Alive);
        for quarter in 1..4 {
            pulse.turn(0);
            let found = dog.look(&pulse, start + TIME / 4 * quarter);
            let expected = if quarter == 2 { Found::Stuck(vec!["spill"]) } else { Found::Waiting };
            assert_eq!(found, expected, "after {quarter} quarters");
        }
        pulse.turn(1);
        assert_eq!(dog.look(&pulse, start + TIME), Found::AliveAgain);
        (0..2).for_each(|task| pulse.turn(task));
        assert_eq!(dog.look(&pulse, start + TIME), Found::Alive);
    }

    #[test]
    fn a_task_that_has_ended_is_not_waited_for() {
        let (pulse, start) = (Pulse::new(&["stream", "spill"]), Instant::now());
        let mut dog = Watchdog::new(TIME, start);
        pulse.end(0);
        pulse.turn(1);
        assert_eq!(dog.look(&pulse, start), Found::Alive);
        pulse.end(1);
        let why = "all have ended: what is left of the stop has the watchdog's time, and no more";
        assert_eq!(dog.look(&pulse, start), Found::Waiting, "{why}");
        assert_eq!(dog.look(&pulse, start + TIME), Found::Waiting, "{why}");
        pulse.turn(7);
        pulse.end(7);
    }
}
