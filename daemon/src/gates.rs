//! Which partitions of the topic are held back: those without a leader, and those whose leader does not
//! answer although others do. What belongs to them stays on disk; the rest goes on.
//!
//! Writer: the breaker task. A gate is shut only while the breaker is Open, when nothing is in flight: a
//! record in flight to a partition that is held would never come back. Replay and the status read.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A partition that did not answer is held at least this long, doubling each time …
const HOLD_MIN: Duration = Duration::from_secs(1);
/// … up to this.
const HOLD_MAX: Duration = Duration::from_secs(60);
/// A partition that has answered for this long starts again with the shortest hold.
const FORGIVEN_AFTER: Duration = Duration::from_secs(120);

/// The gates of the topic's partitions.
#[derive(Debug, Default)]
pub struct Gates {
    gates: Mutex<Vec<Gate>>,
}

#[derive(Debug, Clone, Default)]
struct Gate {
    /// Held, and not to be let go before this.
    held_until: Option<Instant>,
    /// How often it did not answer.
    strikes: u32,
    /// When it last did not.
    silent_at: Option<Instant>,
}

impl Gate {
    fn is_suspect(&self, now: Instant) -> bool {
        self.silent_at.is_some_and(|at| now.duration_since(at) <= FORGIVEN_AFTER)
    }

    fn suspect(&mut self, now: Instant) {
        if !self.is_suspect(now) {
            self.strikes = 0;
        }
        self.silent_at = Some(now);
    }

    fn strike(&mut self, now: Instant) {
        self.suspect(now);
        let hold = HOLD_MIN.saturating_mul(1 << self.strikes.min(6)).min(HOLD_MAX);
        self.strikes += 1;
        self.held_until = Some(now + hold);
    }
}

/// What a look at the leaders changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Newly held.
    pub held: Vec<usize>,
    /// Let go.
    pub released: Vec<usize>,
}

impl Gates {
    fn lock(&self) -> MutexGuard<'_, Vec<Gate>> {
        // Each gate is set in single steps: a panic leaves them valid.
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a partition that did not answer, the longer the more often it did not.
    pub fn strike(&self, partition: usize, now: Instant) {
        let mut gates = self.lock();
        if gates.len() <= partition {
            gates.resize(partition + 1, Gate::default());
        }
        gates[partition].strike(now);
    }

    /// Nothing was acknowledged although these partitions had records in flight. If each of them has
    /// kept silent before, they are held: the others have not been tried. Else all of Kafka may be away,
    /// and holding them would only delay its return; but if `suspect`, they are held the next time, since
    /// they may be all that is away and stand before the others each time. One partition is always left:
    /// somebody must find out when Kafka is back.
    pub fn strike_if_all_suspect(&self, in_flight: &[usize], suspect: bool, now: Instant) {
        let mut gates = self.lock();
        let is_suspect = |p: &usize| gates.get(*p).is_some_and(|gate| gate.is_suspect(now));
        let is_left = |(p, gate): (usize, &Gate)| gate.held_until.is_none() && !in_flight.contains(&p);
        if in_flight.iter().all(is_suspect) && gates.iter().enumerate().any(is_left) {
            in_flight.iter().for_each(|p| gates[*p].strike(now));
        } else if suspect {
            let tried = gates.iter_mut().enumerate().filter(|(p, _)| in_flight.contains(p));
            tried.for_each(|(_, gate)| gate.suspect(now));
        }
    }

    /// Takes in which partitions have a leader: one that has is let go once its time is over. One that
    /// has none is held if `may_hold`.
    pub fn heard(&self, led: &[bool], may_hold: bool, now: Instant) -> Changes {
        let mut gates = self.lock();
        // A topic that was made anew may have fewer.
        gates.resize(led.len(), Gate::default());
        let mut changes = Changes::default();
        for (partition, (gate, led)) in gates.iter_mut().zip(led).enumerate() {
            match (gate.held_until, led) {
                (Some(until), true) if now >= until => {
                    gate.held_until = None;
                    changes.released.push(partition);
                }
                (None, false) if may_hold => {
                    gate.held_until = Some(now);
                    changes.held.push(partition);
                }
                _ => {}
            }
        }
        changes
    }

    /// Whether the partition is held.
    #[must_use]
    pub fn is_held(&self, partition: i32) -> bool {
        let gates = self.lock();
        let gate = usize::try_from(partition).ok().and_then(|p| gates.get(p));
        gate.is_some_and(|gate| gate.held_until.is_some())
    }

    /// The partitions that are held.
    #[must_use]
    pub fn held(&self) -> Vec<usize> {
        self.lock().iter().enumerate().filter(|(_, g)| g.held_until.is_some()).map(|(p, _)| p).collect()
    }

    /// Whether any partition is held.
    #[must_use]
    pub fn is_any_held(&self) -> bool {
        self.lock().iter().any(|g| g.held_until.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_partition_without_a_leader_is_held_until_it_has_one() {
        let (gates, now) = (Gates::default(), Instant::now());
        let changes = gates.heard(&[true, false, true], true, now);
        assert_eq!(changes, Changes { held: vec![1], released: vec![] });
        assert!(gates.is_held(1) && !gates.is_held(0) && !gates.is_held(7) && !gates.is_held(-1));
        assert_eq!(gates.heard(&[true, false, true], true, now + SECOND), Changes::default());
        let changes = gates.heard(&[true, true, true], false, now + SECOND);
        assert_eq!(changes, Changes { held: vec![], released: vec![1] });
        assert!(!gates.is_any_held());
        assert_eq!(gates.heard(&[false, true, true], false, now), Changes::default(), "only while Open");
    }

    #[test]
    fn a_partition_that_does_not_answer_is_held_longer_each_time_and_forgiven_in_the_end() {
        let (gates, mut now) = (Gates::default(), Instant::now());
        for hold in [1, 2, 4, 8, 16, 32, 60, 60] {
            gates.strike(2, now);
            let almost = now + SECOND * hold - Duration::from_millis(1);
            assert_eq!(gates.heard(&[true; 3], true, almost), Changes::default(), "{hold}");
            now += SECOND * hold;
            assert_eq!(gates.heard(&[true; 3], true, now).released, [2], "{hold}");
        }
        now += FORGIVEN_AFTER + SECOND;
        gates.strike(2, now);
        assert_eq!(gates.heard(&[true; 3], true, now + SECOND).released, [2]);
    }

    #[test]
    fn only_suspects_that_are_alone_in_flight_are_held_for_a_silence_of_all() {
        let (gates, now) = (Gates::default(), Instant::now());
        gates.strike(1, now);
        assert_eq!(gates.heard(&[true; 3], true, now + SECOND).released, [1]);
        gates.strike_if_all_suspect(&[0, 1], false, now + SECOND);
        assert!(!gates.is_any_held(), "all of Kafka may be away");
        gates.strike_if_all_suspect(&[1], false, now + SECOND);
        assert_eq!(gates.held(), [1]);
        assert_eq!(
            gates.heard(&[true; 3], true, now + SECOND * 2),
            Changes::default(),
            "the second hold is 2 s"
        );
    }

    #[test]
    fn partitions_that_stand_before_the_others_are_held_at_the_second_trial_but_never_all() {
        let (gates, now) = (Gates::default(), Instant::now());
        gates.heard(&[true; 3], true, now);
        gates.strike_if_all_suspect(&[0, 2], true, now);
        assert!(!gates.is_any_held(), "all of Kafka may be away");
        gates.strike_if_all_suspect(&[0, 2], true, now + SECOND);
        assert_eq!(gates.held(), [0, 2]);
        for n in 2..5 {
            gates.strike_if_all_suspect(&[1], true, now + SECOND * n);
        }
        assert_eq!(gates.held(), [0, 2], "one must be left to try");
        assert_eq!(gates.heard(&[true; 3], true, now + SECOND * 2).released, [0, 2], "the first hold is 1 s");
    }

    #[test]
    fn a_topic_that_was_made_anew_with_fewer_partitions_forgets_the_others() {
        let (gates, now) = (Gates::default(), Instant::now());
        gates.heard(&[true, true, false], true, now);
        gates.heard(&[true], true, now);
        assert_eq!(gates.held(), Vec::<usize>::new());
    }
}
