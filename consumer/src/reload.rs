//! Reading the configuration again while the consumer runs. The log level changes at once; anything else needs a
//! restart, which is named, so that nobody takes for changed what is not. A file with an error changes nothing.

use std::path::PathBuf;

use spillway_consumer::Config;
use spillway_service::errors::chain;
use spillway_service::logging::{self, LoggingError};
use spillway_service::settings::{self, Environment, Problems, Written};

/// What changes without a restart.
const LEVEL: &str = "log.level";

/// The configuration file of a running consumer.
pub(crate) struct Reload {
    path: PathBuf,
    env: Environment,
    /// What the consumer was started with, which stays in force but for the level.
    started: Written,
    /// What was read last.
    current: Written,
}

/// Why nothing of a new configuration is in force.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    /// The file cannot be read, or has errors.
    #[error("{0}")]
    Wrong(Problems),
    /// The log level cannot be set.
    #[error("cannot set the log level")]
    Level(#[from] LoggingError),
}

/// What has become of a reload.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    /// The level is another one than before.
    has_new_level: bool,
    /// Settings that differ from those in force.
    needs_restart: Vec<String>,
}

impl Reload {
    /// For a consumer that was started with `text`, which `path` held.
    pub(crate) fn new(path: PathBuf, env: Environment, text: &str) -> Self {
        let started = Written::of(text);
        Self { path, env, current: started.clone(), started }
    }

    /// Reads the file, and logs what has become of it. Returns what an operator still has to do.
    pub(crate) fn run(&mut self) -> Option<String> {
        match self.read() {
            Ok(Answer { has_new_level, needs_restart }) if needs_restart.is_empty() => {
                let changed = if has_new_level { LEVEL } else { "" };
                tracing::info!(
                    event = "reloaded",
                    changed,
                    "the configuration was read again; what has changed is in force"
                );
                None
            }
            Ok(Answer { has_new_level, needs_restart }) => {
                let changed = if has_new_level { LEVEL } else { "" };
                let needs_restart = needs_restart.join(", ");
                tracing::warn!(
                    event = "reload_partial",
                    changed,
                    needs_restart,
                    "the configuration was read again; only the log level changes without a restart, and until then the rest is as it was"
                );
                Some(format!("a restart is needed for {needs_restart}"))
            }
            Err(error) => {
                tracing::error!(
                    event = "reload_refused",
                    error = chain(&error),
                    "the new configuration is not in force; the consumer goes on with the old one"
                );
                Some("the configuration file was refused, see the journal".to_owned())
            }
        }
    }

    fn read(&mut self) -> Result<Answer, ReloadError> {
        let text = settings::read_text(&self.path).map_err(ReloadError::Wrong)?;
        let name = self.path.display().to_string();
        let config = Config::parse(&name, &text, &self.env).map_err(ReloadError::Wrong)?;
        logging::set_level(&config.log_level)?;
        let written = Written::of(&text);
        let answer = self.compare(&written);
        self.current = written;
        Ok(answer)
    }

    /// What the environment overrides is as it was, whatever the file says of it.
    fn compare(&self, new: &Written) -> Answer {
        let mut needs_restart = self.started.differences(new);
        needs_restart.retain(|name| name != LEVEL && !self.env.overrides(name));
        Answer {
            has_new_level: self.current.differences(new).contains(LEVEL) && !self.env.overrides(LEVEL),
            needs_restart: needs_restart.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "[kafka]\nbrokers = 'a'\n[[table]]\nname = 'x'\n";

    #[test]
    fn all_but_the_level_needs_a_restart_and_is_named_until_there_was_one() {
        let mut reload = Reload::new("c.toml".into(), Environment::default(), OLD);
        let new = Written::of("[kafka]\nbrokers = 'b'\n[[table]]\nname = 'y'\n[log]\nlevel = 'debug'\n");
        let needs_restart = vec!["kafka.brokers".to_owned(), "table[1].name".to_owned()];
        for has_new_level in [true, false] {
            let expected = Answer { has_new_level, needs_restart: needs_restart.clone() };
            assert_eq!(reload.compare(&new), expected);
            reload.current = new.clone();
        }
        let back = Answer { has_new_level: true, needs_restart: Vec::new() };
        assert_eq!(reload.compare(&Written::of(OLD)), back);
    }

    #[test]
    fn what_the_environment_overrides_does_not_change() {
        let pairs = [("SPILLWAY_KAFKA_BROKERS", "c"), ("SPILLWAY_LOG_LEVEL", "warn")];
        let env = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let reload = Reload::new("c.toml".into(), env, OLD);
        let new = Written::of(
            "[kafka]\nbrokers = 'b'\ngroup = 'g'\n[[table]]\nname = 'x'\n[log]\nlevel = 'debug'\n",
        );
        let expected = Answer { has_new_level: false, needs_restart: vec!["kafka.group".to_owned()] };
        assert_eq!(reload.compare(&new), expected);
    }

    #[test]
    fn a_file_that_is_not_there_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut reload = Reload::new(dir.path().join("c.toml"), Environment::default(), OLD);
        assert!(matches!(reload.read(), Err(ReloadError::Wrong(_))));
        assert_eq!(reload.run().as_deref(), Some("the configuration file was refused, see the journal"));
    }
}
