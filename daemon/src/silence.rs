//! Finds the partitions that do not answer while others do. Pure: fed with what each partition has in
//! flight and how much of it was acknowledged so far.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::topics::Place;

/// What one partition has in flight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartitionFlow {
    /// Records without a report.
    pub in_flight: usize,
    /// Records acknowledged in this session.
    pub acked: u64,
}

/// Watches the partitions of one session.
#[derive(Debug)]
pub struct Silence {
    timeout: Duration,
    session: u64,
    partitions: BTreeMap<Place, Watched>,
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    acked: u64,
    /// Last time that an acknowledgement came or nothing was in flight.
    heard_at: Instant,
    /// Last time that an acknowledgement came.
    acked_at: Option<Instant>,
}

impl Silence {
    /// Silent is a partition with something in flight and no acknowledgement for `timeout`.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, session: 0, partitions: BTreeMap::new() }
    }

    /// Takes in how things stand in session number `session`; returns the silent partitions if others
    /// were acknowledged meanwhile. If none was, all of Kafka is away, which other signals tell.
    pub fn feed(&mut self, session: u64, flows: &[(Place, PartitionFlow)], now: Instant) -> Vec<Place> {
        if session != self.session {
            self.session = session;
            self.partitions.clear();
        }
        for (place, flow) in flows {
            let fresh = Watched { acked: 0, heard_at: now, acked_at: None };
            let watched = self.partitions.entry(*place).or_insert(fresh);
            if flow.acked > watched.acked {
                watched.acked = flow.acked;
                watched.acked_at = Some(now);
                watched.heard_at = now;
            } else if flow.in_flight == 0 {
                watched.heard_at = now;
            }
        }
        let is_recent = |at: Instant| now.duration_since(at) < self.timeout / 2;
        if !self.partitions.values().any(|w| w.acked_at.is_some_and(is_recent)) {
            return Vec::new();
        }
        let silent = |w: &Watched| now.duration_since(w.heard_at) >= self.timeout;
        self.partitions.iter().filter(|(_, w)| silent(w)).map(|(place, _)| *place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(4);

    fn flow(in_flight: usize, acked: u64) -> PartitionFlow {
        PartitionFlow { in_flight, acked }
    }

    /// The first two are of one topic, the third is of another.
    const PLACES: [Place; 3] = [Place::new(0, 0), Place::new(0, 1), Place::new(1, 0)];

    fn flows<const N: usize>(flows: [PartitionFlow; N]) -> Vec<(Place, PartitionFlow)> {
        PLACES.into_iter().zip(flows).collect()
    }

    #[test]
    fn a_partition_is_silent_only_while_others_answer() {
        let (mut silence, start) = (Silence::new(TIMEOUT), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        assert!(silence.feed(1, &flows([flow(5, 0), flow(5, 0), flow(0, 0)]), at(0)).is_empty());
        assert!(silence.feed(1, &flows([flow(5, 10), flow(5, 0), flow(0, 0)]), at(3)).is_empty());
        assert_eq!(silence.feed(1, &flows([flow(5, 20), flow(5, 0), flow(0, 0)]), at(4)), [PLACES[1]]);
        assert_eq!(silence.feed(1, &flows([flow(5, 20), flow(5, 0), flow(0, 0)]), at(5)), [PLACES[1]]);
        // Nobody was acknowledged for a while: that is an outage and no partition's.
        assert!(silence.feed(1, &flows([flow(5, 20), flow(5, 0), flow(0, 0)]), at(7)).is_empty());
    }

    #[test]
    fn one_acknowledgement_or_another_session_starts_the_wait_anew() {
        let (mut silence, start) = (Silence::new(TIMEOUT), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        silence.feed(1, &flows([flow(1, 0), flow(5, 0)]), at(0));
        assert!(silence.feed(1, &flows([flow(1, 1), flow(5, 1)]), at(4)).is_empty());
        assert!(silence.feed(1, &flows([flow(1, 2), flow(5, 1)]), at(7)).is_empty());
        assert_eq!(silence.feed(1, &flows([flow(1, 3), flow(5, 1)]), at(8)), [PLACES[1]]);
        assert!(silence.feed(2, &flows([flow(1, 0), flow(5, 0)]), at(9)).is_empty());
    }
}
