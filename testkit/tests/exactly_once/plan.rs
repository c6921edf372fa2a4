//! What a run does, from its seed alone. Pure.

use std::fmt;
use std::time::Duration;

use spillway_testkit::rng::Rng;

/// How long the group waits for a sign of life of a member. Kafka's brokers take no less, and a mock
/// cluster's groups, which form in 3 s, never do with much less.
pub(crate) const SESSION: Duration = Duration::from_secs(6);

/// What the consumer under test is asked to stand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Abilities {
    pub(crate) members: u64,
    /// The topic gets more partitions.
    pub(crate) grow: bool,
}

/// What is done to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// SIGKILL; a new member takes the place at once.
    Kill { member: u64 },
    /// SIGTERM; a new member takes the place when it has ended.
    Restart { member: u64 },
    /// SIGSTOP, and SIGCONT after a while.
    Freeze { member: u64, during: Duration },
    /// One member more than there should be, which leaves by SIGKILL at the next act.
    Join,
    /// The store refuses everything for a while.
    StoreDown { during: Duration },
    /// The topic gets more partitions.
    Grow { by: i32 },
}

/// A run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) members: u64,
    pub(crate) partitions: i32,
    pub(crate) records: u64,
    /// Of the requests to the store, this share meets a fault.
    pub(crate) store_faults: f64,
    /// A partition that gets no event between these records.
    pub(crate) idle: (i32, std::ops::Range<u64>),
    /// What is done when so many records are in the topic.
    pub(crate) acts: Vec<(u64, Act)>,
}

impl Plan {
    pub(crate) fn new(seed: u64, abilities: Abilities) -> Self {
        let mut rng = Rng::new(seed);
        let (records, members) = (4000, abilities.members);
        let partitions = 3 + i32::try_from(rng.below(4)).unwrap_or(0);
        let from = records / 5 + rng.below(records / 5);
        let idle = (rng.pick(&[0, 1, 2]), from..from + records / 4);
        let mut acts: Vec<(u64, Act)> = (0..3 + rng.below(3))
            .map(|_| (records / 10 + rng.below(records * 8 / 10), act(&mut rng, members)))
            .collect();
        if abilities.grow {
            acts.push((records / 2, Act::Grow { by: 2 }));
        }
        acts.sort_by_key(|(at, _)| *at);
        let store_faults = rng.pick(&[0.05, 0.15, 0.3]);
        Self { seed, members, partitions, records, store_faults, idle, acts }
    }
}

fn act(rng: &mut Rng, members: u64) -> Act {
    let member = rng.below(members);
    let short = Duration::from_millis(300 + rng.below(2000));
    match rng.below(10) {
        0..4 => Act::Kill { member },
        4 => Act::Restart { member },
        // Who stands still for longer than the session is a zombie when it goes on. A lone member that is expelled has nobody to be a zombie for.
        5 | 6 if members > 1 => Act::Freeze { member, during: SESSION + 2 * short },
        5 => Act::Freeze { member, during: short },
        7 if members > 1 => Act::Join,
        _ => Act::StoreDown { during: short },
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { members, partitions, records, store_faults, idle: (idle, when), .. } = self;
        write!(
            f,
            "{records} records, {partitions} partitions, {members} members, {:.0} % store faults, {idle} idle {}-{}",
            store_faults * 100.0,
            when.start,
            when.end
        )?;
        self.acts.iter().try_for_each(|(at, act)| write!(f, ", {act:?} at {at}"))
    }
}
