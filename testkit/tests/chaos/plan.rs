//! The schedule of a seed: which mode each round runs in, and which faults come in which order and for
//! how long. Pure: the same seed, faults and filter give the same schedule, however fast the machine is.

use std::collections::VecDeque;
use std::time::Duration;

use spillway_testkit::rng::Rng;

/// Faults in one round. Then all is healed and judged.
pub(crate) const STEPS_PER_ROUND: usize = 4;

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// All brokers are killed.
    BrokersKilled,
    /// One broker is killed.
    OneKilled,
    /// Each broker is restarted, one after the other.
    RollingRestart,
    /// All brokers stand still; their connections stay.
    BrokersFrozen,
    /// One broker stands still.
    OneFrozen,
    /// Connections to the brokers are reset and refused.
    NetworkCut,
    /// Connections to the brokers stay and carry nothing.
    NetworkBlackhole,
    /// The brokers' name does not resolve any more.
    Dns,
    /// Every partition gets another leader, again and again.
    LeaderChange,
    /// The topic is deleted and made anew.
    TopicRecreated,
    /// The topic takes smaller records than before.
    TooLarge,
    /// The daemon's user is deleted at the brokers.
    AuthRevoked,
    /// The brokers throttle the daemon.
    Throttled,
    /// The spool's disk is full, while Kafka is away.
    DiskFull,
    /// The daemon is killed and started again.
    DaemonKilled,
    /// The daemon is stopped and started again.
    DaemonStopped,
    /// The spool's disk loses its power, and what was not synced.
    PowerCut,
    /// Files of the spool are damaged between a stop and a start.
    SpoolDamaged,
}

impl Kind {
    /// Every kind, and how often it comes up in a deck.
    const DECK: [(Self, usize); 18] = [
        (Self::BrokersKilled, 1),
        (Self::OneKilled, 1),
        (Self::RollingRestart, 1),
        (Self::BrokersFrozen, 2),
        (Self::OneFrozen, 1),
        (Self::NetworkCut, 1),
        (Self::NetworkBlackhole, 2),
        (Self::Dns, 1),
        (Self::LeaderChange, 1),
        (Self::TopicRecreated, 1),
        (Self::TooLarge, 1),
        (Self::AuthRevoked, 1),
        (Self::Throttled, 1),
        (Self::DiskFull, 1),
        (Self::DaemonKilled, 2),
        (Self::DaemonStopped, 1),
        (Self::PowerCut, 2),
        (Self::SpoolDamaged, 1),
    ];

    /// Every kind.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::DECK.into_iter().map(|(kind, _)| kind)
    }

    /// Its name in `SPILLWAY_CHAOS_ONLY` and in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BrokersKilled => "brokers-killed",
            Self::OneKilled => "one-killed",
            Self::RollingRestart => "rolling-restart",
            Self::BrokersFrozen => "brokers-frozen",
            Self::OneFrozen => "one-frozen",
            Self::NetworkCut => "network-cut",
            Self::NetworkBlackhole => "network-blackhole",
            Self::Dns => "dns",
            Self::LeaderChange => "leader-change",
            Self::TopicRecreated => "topic-recreated",
            Self::TooLarge => "too-large",
            Self::AuthRevoked => "auth-revoked",
            Self::Throttled => "throttled",
            Self::DiskFull => "disk-full",
            Self::DaemonKilled => "daemon-killed",
            Self::DaemonStopped => "daemon-stopped",
            Self::PowerCut => "power-cut",
            Self::SpoolDamaged => "spool-damaged",
        }
    }

    /// The kind of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.name() == name)
    }

    /// Whether it hits the daemon in one moment, rather than lasting a while.
    pub(crate) fn is_blow(self) -> bool {
        matches!(self, Self::DaemonKilled | Self::DaemonStopped | Self::PowerCut | Self::SpoolDamaged)
    }

    /// Whether no broker answers while it lasts, without a connection that breaks: only the time without
    /// an acknowledgement can tell.
    pub(crate) fn is_silent(self) -> bool {
        matches!(self, Self::BrokersFrozen | Self::NetworkBlackhole)
    }
}

/// How a round's daemon is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode {
    /// `journal = "always"`, else `"outage"`.
    pub(crate) always: bool,
    /// `order = "fresh"`, else `"arrival"`.
    pub(crate) fresh: bool,
    /// A file as the source, else an HTTP stream.
    pub(crate) file: bool,
    /// A topic for dead letters, else the spool alone.
    pub(crate) letters: bool,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let journal = if self.always { "always" } else { "outage" };
        let order = if self.fresh { "fresh" } else { "arrival" };
        let source = if self.file { "file" } else { "http" };
        let letters = if self.letters { "topic" } else { "spool" };
        write!(f, "journal {journal}, order {order}, source {source}, dead letters {letters}")
    }
}

/// One disturbance: a fault that lasts, a blow to the daemon, or a blow in the middle of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// What lasts.
    pub(crate) fault: Option<Kind>,
    /// What hits the daemon in the middle.
    pub(crate) blow: Option<Kind>,
    /// How long it lasts.
    pub(crate) hold: Duration,
    /// How long all is well afterwards.
    pub(crate) calm: Duration,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.fault.iter().chain(&self.blow).map(|kind| kind.name()).collect();
        write!(f, "{} for {} ms", names.join(" + "), self.hold.as_millis())
    }
}

/// One round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Round {
    /// From 1.
    pub(crate) number: u64,
    /// Seed of all that is random in the round and not said here.
    pub(crate) seed: u64,
    /// The daemon's settings.
    pub(crate) mode: Mode,
    /// The disturbances.
    pub(crate) steps: Vec<Step>,
}

/// The rounds of a seed, one after the other, without end.
#[derive(Debug)]
pub(crate) struct Schedule {
    rng: Rng,
    possible: Vec<Kind>,
    /// These alone, one after the other; empty for all.
    only: Vec<Kind>,
    deck: VecDeque<Kind>,
    rounds: u64,
}

impl Schedule {
    /// The schedule of `seed` with the kinds that are possible here; with `only` these come up, in turn and
    /// each alone.
    pub(crate) fn new(seed: u64, possible: Vec<Kind>, only: Vec<Kind>) -> Self {
        Self { rng: Rng::new(seed), possible, only, deck: VecDeque::new(), rounds: 0 }
    }

    /// The next round.
    pub(crate) fn round(&mut self) -> Round {
        self.rounds += 1;
        let seed = self.rng.next_u64();
        let mode = Mode {
            always: self.rng.chance(0.4),
            fresh: self.rng.chance(0.3),
            file: self.rng.chance(0.4),
            letters: self.rng.chance(0.5),
        };
        let mut round = Round { number: self.rounds, seed, mode, steps: Vec::new() };
        for _ in 0..STEPS_PER_ROUND {
            // A second damage could not be told from the first in the daemon's counts.
            let damaged = round.steps.iter().any(|step| step.blow == Some(Kind::SpoolDamaged));
            match self.draw(damaged) {
                Some(kind) => round.steps.push(self.step(kind)),
                None => break,
            }
        }
        round
    }

    /// The next card; every kind comes up before one comes up too often.
    fn draw(&mut self, damaged: bool) -> Option<Kind> {
        if self.deck.len() < 2 && !self.only.is_empty() {
            self.deck.extend(self.only.iter().chain(&self.only));
        } else if self.deck.len() < 2 {
            let cards = Kind::DECK.into_iter().filter(|(kind, _)| self.possible.contains(kind));
            let mut cards: Vec<_> = cards.flat_map(|(kind, n)| std::iter::repeat_n(kind, n)).collect();
            while !cards.is_empty() {
                self.deck.push_back(cards.swap_remove(self.rng.index(cards.len())));
            }
        }
        let fits = |kind: &Kind| !(damaged && *kind == Kind::SpoolDamaged);
        let at = self.deck.iter().position(fits)?;
        self.deck.remove(at)
    }

    fn step(&mut self, kind: Kind) -> Step {
        let (hold, calm) = (self.millis(1_000, 8_000), self.millis(300, 2_000));
        let away = [Kind::BrokersKilled, Kind::BrokersFrozen, Kind::NetworkCut, Kind::NetworkBlackhole];
        let (fault, blow) = match kind {
            // Damage needs something on disk.
            Kind::SpoolDamaged => (Some(self.rng.pick(&away)), Some(kind)),
            blow if blow.is_blow() => (self.rng.chance(0.6).then(|| self.rng.pick(&away)), Some(kind)),
            fault if self.only.is_empty() && fault != Kind::DiskFull && self.rng.chance(0.15) => {
                (Some(fault), Some(self.rng.pick(&[Kind::DaemonKilled, Kind::DaemonStopped])))
            }
            fault => (Some(fault), None),
        };
        // Long enough for the breaker to open by time alone, and for the daemon to need the disk.
        let slow = fault.is_some_and(|kind| kind.is_silent() || kind == Kind::DiskFull);
        let least = if slow { 6_000 } else { 0 };
        Step { fault, blow, hold: hold.max(Duration::from_millis(least)), calm }
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.rng.below(to - from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_schedule_and_every_kind_comes_up() {
        let rounds = |seed| {
            let mut schedule = Schedule::new(seed, Kind::all().collect(), Vec::new());
            (0..20).map(|_| schedule.round()).collect::<Vec<_>>()
        };
        assert_eq!(rounds(1), rounds(1));
        assert_ne!(rounds(1), rounds(2));
        let steps: Vec<_> = rounds(1).into_iter().take(8).flat_map(|round| round.steps).collect();
        for kind in Kind::all() {
            assert!(steps.iter().any(|s| s.fault == Some(kind) || s.blow == Some(kind)), "{kind:?}");
        }
        for round in rounds(3) {
            let damages = round.steps.iter().filter(|step| step.blow == Some(Kind::SpoolDamaged));
            assert!(damages.count() <= 1);
        }
    }

    #[test]
    fn only_one_kind_comes_up_when_asked_and_names_are_read_back() {
        let mut schedule = Schedule::new(1, Kind::all().collect(), vec![Kind::Dns]);
        assert!(
            schedule.round().steps.iter().all(|step| step.fault == Some(Kind::Dns) && step.blow.is_none())
        );
        for kind in Kind::all() {
            assert_eq!(Kind::named(kind.name()), Some(kind));
        }
        assert_eq!(Kind::named("x"), None);
    }
}
