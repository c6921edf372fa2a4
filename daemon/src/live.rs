//! Settings that a running daemon takes over when it reads its configuration again. Writer: the reload; all
//! tasks read them, a batch of records with the same ones.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::config::Config;
use crate::routes::Routes;

/// Names of the settings in it, as the configuration has them; a name ending in a dot or a bracket stands for
/// all that begin with it.
const NAMES: &[&str] = &[
    "route[",
    "kafka.topic",
    "queue.spill_at",
    "delivery.replay_share",
    "shutdown.drain_deadline",
    "log.level",
];
/// Settings that the daemon itself does not use: they are for commands.
const OF_COMMANDS: &[&str] = &["rule[", "rule.", "rules."];

/// The settings.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Which records go to which topic.
    pub(crate) routes: Routes,
    /// `queue.spill_at`.
    pub(crate) spill_at: f64,
    /// `delivery.replay_share`.
    pub(crate) replay_share: f64,
    /// `shutdown.drain_deadline`.
    pub(crate) drain_deadline: Duration,
}

/// The settings in force.
pub(crate) struct Live(RwLock<Arc<Settings>>);

impl Live {
    /// As the daemon starts with them.
    pub(crate) fn new(config: &Config) -> Self {
        Self(RwLock::new(Arc::new(Settings::of(config, config.routes.clone()))))
    }

    /// The settings now.
    pub(crate) fn now(&self) -> Arc<Settings> {
        // They are exchanged in one step.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, settings: Settings) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }
}

impl Settings {
    /// Those of a configuration, with routes whose topics are numbered as the daemon numbers them.
    pub(crate) fn of(config: &Config, routes: Routes) -> Self {
        Self {
            routes,
            spill_at: config.queue.spill_at,
            replay_share: config.delivery.replay_share,
            drain_deadline: config.drain_deadline,
        }
    }
}

/// What a change of a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing more than a reload.
    Reload,
    /// A restart.
    Restart,
    /// The running daemon does not use it.
    Nothing,
}

impl Takes {
    /// What a change of the setting of this name takes.
    pub(crate) fn of(name: &str) -> Self {
        let is_one_of = |names: &[&str]| {
            names.iter().any(|known| {
                if known.ends_with(['[', '.']) { name.starts_with(known) } else { name == *known }
            })
        };
        if is_one_of(NAMES) {
            Self::Reload
        } else if is_one_of(OF_COMMANDS) {
            Self::Nothing
        } else {
            Self::Restart
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_what_each_setting_takes() {
        for (name, takes) in [
            ("route[1].topic", Takes::Reload),
            ("log.level", Takes::Reload),
            ("kafka.topic", Takes::Reload),
            ("kafka.topics", Takes::Restart),
            ("kafka.brokers", Takes::Restart),
            ("source[2].url", Takes::Restart),
            ("rule[3].value", Takes::Nothing),
            ("rules.settle", Takes::Nothing),
        ] {
            assert_eq!(Takes::of(name), takes, "{name}");
        }
    }
}
