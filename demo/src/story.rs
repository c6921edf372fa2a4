//! What happens when: a pure machine that is shown the facts and says what to do next.
//!
//! ```text
//!   Normal --(a share is served)--> Outage --(its time is over)--> CatchUp --(all delivered)--> Told
//! ```

use std::time::Duration;

use spillway_daemon::circuit::State as Breaker;
use spillway_daemon::lane::Lane;

use crate::args::Journal;
use crate::facts::Facts;

/// Where the story is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    /// All brokers are up, and nothing has happened yet.
    Normal,
    /// All brokers are down.
    Outage,
    /// They are back; what has piled up is sent.
    CatchUp,
    /// Everything is delivered.
    Told,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    TakeBrokersDown,
    BringBrokersUp,
    /// There was no outage to be had: let the feed go on.
    GoOn,
    End,
}

/// When what happened, since the demo began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Timeline {
    pub(crate) down: Option<Duration>,
    pub(crate) up: Option<Duration>,
    /// The breaker is closed and the backlog is gone.
    pub(crate) caught_up: Option<Duration>,
    pub(crate) delivered: Option<Duration>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Story {
    outage: Duration,
    journal: Journal,
    /// With every record going through the disk, this many on it are no backlog.
    passing: u64,
    scene: Scene,
    timeline: Timeline,
}

impl Story {
    pub(crate) fn new(outage: Duration, journal: Journal, rate: u64) -> Self {
        let passing = if journal == Journal::Always { rate / 10 } else { 0 };
        Self { outage, journal, passing, scene: Scene::Normal, timeline: Timeline::default() }
    }

    pub(crate) fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// Looks at the facts; each act is said once.
    pub(crate) fn step(&mut self, facts: &Facts) -> Option<Act> {
        let now = facts.elapsed;
        match self.scene {
            Scene::Normal if facts.feed_waits && self.outage.is_zero() => {
                self.enter(Scene::CatchUp);
                Some(Act::GoOn)
            }
            Scene::Normal if facts.feed_waits => {
                self.timeline.down = Some(now);
                self.enter(Scene::Outage);
                Some(Act::TakeBrokersDown)
            }
            Scene::Outage if self.timeline.down.is_some_and(|down| now >= down + self.outage) => {
                self.timeline.up = Some(now);
                self.enter(Scene::CatchUp);
                Some(Act::BringBrokersUp)
            }
            Scene::CatchUp => {
                if self.timeline.up.is_some()
                    && self.timeline.caught_up.is_none()
                    && self.has_caught_up(facts)
                {
                    self.timeline.caught_up = Some(now);
                }
                self.end(facts)
            }
            Scene::Normal | Scene::Outage | Scene::Told => None,
        }
    }

    fn enter(&mut self, scene: Scene) {
        self.scene = scene;
    }

    fn end(&mut self, facts: &Facts) -> Option<Act> {
        if !facts.is_all_delivered() {
            return None;
        }
        self.timeline.delivered = Some(facts.elapsed);
        // With nothing left to send there is no backlog, whatever the lane is about to do.
        if self.timeline.up.is_some() {
            self.timeline.caught_up.get_or_insert(facts.elapsed);
        }
        self.enter(Scene::Told);
        Some(Act::End)
    }

    fn has_caught_up(&self, facts: &Facts) -> bool {
        let settled = self.journal == Journal::Always || facts.lane == Lane::Direct;
        facts.breaker == Breaker::Closed && settled && facts.spool_records <= self.passing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::quiet;

    fn at(seconds: u64, facts: Facts) -> Facts {
        Facts { elapsed: Duration::from_secs(seconds), ..facts }
    }

    fn delivered() -> Facts {
        Facts {
            served: 90,
            received: 90,
            acked: 60,
            spooled: 30,
            replayed: 30,
            feed_finished: true,
            ..quiet()
        }
    }

    #[test]
    fn the_brokers_go_and_come_back_in_time() {
        let mut story = Story::new(Duration::from_secs(10), Journal::Outage, 100);
        assert_eq!(story.step(&at(1, quiet())), None);
        assert_eq!(
            story.step(&at(5, Facts { feed_waits: true, served: 30, ..quiet() })),
            Some(Act::TakeBrokersDown)
        );
        let away = Facts { breaker: Breaker::Open, lane: Lane::Spilling, spool_records: 30, ..quiet() };
        assert_eq!(story.step(&at(14, away.clone())), None);
        assert_eq!(story.step(&at(15, away.clone())), Some(Act::BringBrokersUp));
        // Closed is not enough while there is a backlog, and no backlog not while the lane is another.
        assert_eq!(story.step(&at(16, Facts { breaker: Breaker::Closed, ..away.clone() })), None);
        assert_eq!(story.step(&at(17, Facts { lane: Lane::Handover, ..quiet() })), None);
        assert_eq!(story.timeline().caught_up, None);
        assert_eq!(story.step(&at(18, quiet())), None);
        assert_eq!(story.step(&at(25, delivered())), Some(Act::End));
        assert_eq!(story.step(&at(26, delivered())), None);
        let seconds = |time: Option<Duration>| time.unwrap().as_secs();
        let line = story.timeline();
        assert_eq!([line.down, line.up, line.caught_up, line.delivered].map(seconds), [5, 15, 18, 25]);
    }

    #[test]
    fn the_end_can_come_with_the_catching_up() {
        let mut story = Story::new(Duration::from_secs(1), Journal::Outage, 100);
        story.step(&at(1, Facts { feed_waits: true, ..quiet() }));
        story.step(&at(2, quiet()));
        assert_eq!(story.step(&at(3, Facts { lane: Lane::Handover, ..delivered() })), Some(Act::End));
        assert_eq!(story.timeline().caught_up, Some(Duration::from_secs(3)));
        assert_eq!(story.scene, Scene::Told);
    }

    #[test]
    fn without_an_outage_the_feed_just_goes_on() {
        let mut story = Story::new(Duration::ZERO, Journal::Outage, 100);
        assert_eq!(story.step(&at(1, Facts { feed_waits: true, ..quiet() })), Some(Act::GoOn));
        assert_eq!(story.step(&at(9, delivered())), Some(Act::End));
        assert_eq!((story.timeline().down, story.timeline().caught_up), (None, None));
    }

    #[test]
    fn a_journal_is_no_backlog() {
        let mut story = Story::new(Duration::from_secs(1), Journal::Always, 2_000);
        story.step(&at(1, Facts { feed_waits: true, ..quiet() }));
        story.step(&at(2, quiet()));
        let journal = Facts { lane: Lane::Spilling, spool_records: 200, ..quiet() };
        story.step(&at(3, Facts { spool_records: 201, ..journal.clone() }));
        assert_eq!(story.timeline().caught_up, None);
        story.step(&at(4, journal));
        assert_eq!(story.timeline().caught_up, Some(Duration::from_secs(4)));
    }
}
