//! The threads of a run by whose progress its watchdog is fed. None of them waits without a limit, so one that
//! does not come around hangs.
//!
//! The thread that commits offsets is not among them: librdkafka lets a commit wait for the group's coordinator,
//! for longer than a watchdog waits, and that Kafka is away is no reason to start anew. What the store is asked
//! for may take its time, too; what counts is that its threads still take work up.

use std::sync::Arc;
use std::time::Duration;

use spillway_service::pulse::Pulse;

/// A thread of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The run's loop, which reads the topic.
    Read,
    /// Asks Kafka for the partitions' ends.
    Ends,
    /// The store's threads.
    Store,
}

/// By [`Part`].
const NAMES: [&str; 3] = ["read", "ends", "store"];

/// How often the store's threads are to take up a piece of work that only says that they do.
const BEAT: Duration = Duration::from_secs(1);

/// The pulse of a run. Clones are of the same run.
#[derive(Debug, Clone)]
pub(crate) struct Hearts(Arc<Pulse>);

impl Default for Hearts {
    fn default() -> Self {
        Self(Arc::new(Pulse::new(&NAMES)))
    }
}

impl Hearts {
    pub(crate) fn pulse(&self) -> &Pulse {
        &self.0
    }

    /// For the thread itself.
    pub(crate) fn of(&self, part: Part) -> Heart {
        Heart { pulse: Arc::clone(&self.0), index: part as usize }
    }
}

/// What a thread counts its turns with. When it is dropped nobody waits for the thread any more, unless the
/// thread panics: then it is missing.
#[derive(Debug)]
pub(crate) struct Heart {
    pulse: Arc<Pulse>,
    index: usize,
}

impl Heart {
    pub(crate) fn turn(&self) {
        self.pulse.turn(self.index);
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.pulse.end(self.index);
        }
    }
}

/// Turns whenever the runtime gets around to it, until that ends.
pub(crate) async fn beat(heart: Heart) {
    let mut beats = tokio::time::interval(BEAT);
    loop {
        beats.tick().await;
        heart.turn();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use spillway_service::pulse::{Found, Watchdog};

    use super::*;

    #[test]
    fn a_thread_that_ends_is_let_go_and_one_that_panics_is_missed() {
        let (hearts, now) = (Hearts::default(), Instant::now());
        let mut dog = Watchdog::new(Duration::from_secs(60), now);
        let [read, ends, store] = [Part::Read, Part::Ends, Part::Store].map(|part| hearts.of(part));
        [&read, &ends, &store].iter().for_each(|heart| heart.turn());
        assert_eq!(dog.look(hearts.pulse(), now), Found::Alive);
        drop(read);
        [&ends, &store].iter().for_each(|heart| heart.turn());
        assert_eq!(dog.look(hearts.pulse(), now), Found::Alive, "it has ended");
        let panicked = std::thread::spawn(move || {
            let _ends = ends;
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(panicked.join().is_err());
        store.turn();
        let later = now + Duration::from_secs(30);
        assert_eq!(dog.look(hearts.pulse(), later), Found::Stuck(vec!["ends"]));
    }

    #[tokio::test]
    async fn the_stores_threads_turn_as_long_as_their_runtime_runs() {
        let hearts = Hearts::default();
        let mut dog = Watchdog::new(Duration::from_secs(60), Instant::now());
        [Part::Read, Part::Ends].into_iter().for_each(|part| drop(hearts.of(part)));
        let beating = tokio::spawn(beat(hearts.of(Part::Store)));
        for _ in 0..2 {
            let fed = async {
                while dog.look(hearts.pulse(), Instant::now()) != Found::Alive {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), fed).await.unwrap();
        }
        beating.abort();
        assert!(beating.await.is_err_and(|error| error.is_cancelled()));
        assert_eq!(dog.look(hearts.pulse(), Instant::now()), Found::Waiting, "all have ended");
    }
}
