//! Reading the configuration again while the daemon runs: what can change is taken over, and for the rest it
//! is said which settings need a restart. A file with an error changes nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;

use spillway_service::errors::chain;
use spillway_service::logging;
use spillway_service::settings::{self, Environment, Problems, Written};

use crate::config::Config;
use crate::live::{Settings, Takes};
use crate::pipeline::Shared;
use crate::routes::Routes;

/// The configuration file of a running daemon.
pub struct Reload {
    path: PathBuf,
    env: Environment,
    /// What the daemon was started with: in force as far as it cannot be reloaded.
    started: Written,
    /// What was taken over last, but for the routes.
    current: Written,
    /// The one whose routes are in force.
    routed: Written,
}

/// What has become of a reload.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Settings that have changed and are in force now.
    pub changed: Vec<String>,
    /// Settings that differ from those in force, which only a restart changes.
    pub needs_restart: Vec<String>,
}

/// Why nothing of a new configuration is in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file cannot be read, or has errors.
    #[error("{0}")]
    Wrong(Problems),
    /// The log level cannot be set.
    #[error("cannot set the log level")]
    Level(#[from] logging::LoggingError),
    /// The routes name topics that have no place any more among those that this run has had.
    #[error("there are too many different topics for one run; restart the daemon")]
    TooManyTopics,
}

impl Reload {
    /// For a daemon that was started with `text`, which `path` held.
    #[must_use]
    pub fn new(path: PathBuf, env: Environment, text: &str) -> Self {
        let started = Written::of(text);
        Self { path, env, current: started.clone(), routed: started.clone(), started }
    }

    /// Reads the file and takes over what can change.
    pub(crate) fn run(&mut self, shared: &Shared) -> Result<Answer, ReloadError> {
        let name = self.path.display().to_string();
        let text = settings::read_text(&self.path).map_err(ReloadError::Wrong)?;
        let config = Config::parse(&name, &text, &self.env).map_err(ReloadError::Wrong)?;
        let written = Written::of(&text);
        let same_sources = have_same_sources(shared, &config);
        let mut answer = self.compare(&written, same_sources);
        // What the environment overrides, the file does not change.
        for names in [&mut answer.changed, &mut answer.needs_restart] {
            names.retain(|name| !self.env.overrides(name));
        }
        let routes = if same_sources {
            adopt(shared, &config.routes).ok_or(ReloadError::TooManyTopics)?
        } else {
            shared.live.now().routes.clone()
        };
        logging::set_level(&config.log_level)?;
        shared.live.set(Settings::of(&config, routes));
        self.took(written, same_sources);
        Ok(answer)
    }

    fn took(&mut self, written: Written, same_sources: bool) {
        if same_sources {
            self.routed = written.clone();
        }
        self.current = written;
    }

    /// Routes name sources by their number, so they cannot be taken over when the sources have changed.
    fn compare(&self, new: &Written, same_sources: bool) -> Answer {
        let of = |from: &Written, takes, routes| {
            let is_wanted = move |name: &String| Takes::of(name) == takes && is_of_routes(name) == routes;
            from.differences(new).into_iter().filter(is_wanted).collect::<Vec<_>>()
        };
        let mut changed = of(&self.current, Takes::Reload, false);
        let mut needs_restart = of(&self.started, Takes::Restart, false);
        let routes = of(&self.routed, Takes::Reload, true);
        if same_sources { &mut changed } else { &mut needs_restart }.extend(routes);
        let sorted = |names: Vec<String>| BTreeSet::from_iter(names).into_iter().collect();
        Answer { changed: sorted(changed), needs_restart: sorted(needs_restart) }
    }
}

fn is_of_routes(name: &str) -> bool {
    name.starts_with("route[") || name == "kafka.topic"
}

fn have_same_sources(shared: &Shared, config: &Config) -> bool {
    let names = |config: &Config| config.sources.iter().map(|source| source.name.clone()).collect::<Vec<_>>();
    names(&shared.config) == names(config)
}

/// Gives the routes' topics the numbers that they have in this run; new ones get new numbers. They are known
/// to Kafka's prober and have their names before a record can go to them.
fn adopt(shared: &Shared, routes: &Routes) -> Option<Routes> {
    routes.renumbered(|name| {
        let index = shared.kafka.topics().index(name)?;
        shared.labels.topics.enter(index, name).then_some(index)
    })
}

/// Logs what has become of it; the answer for the operator.
pub(crate) fn report(result: Result<Answer, ReloadError>) -> Option<String> {
    match result {
        Ok(Answer { changed, needs_restart }) if needs_restart.is_empty() => {
            let changed = changed.join(", ");
            tracing::info!(
                event = "reloaded",
                changed,
                "the configuration was read again; what has changed is in force"
            );
            None
        }
        Ok(Answer { changed, needs_restart }) => {
            let (changed, needs_restart) = (changed.join(", "), needs_restart.join(", "));
            tracing::warn!(
                event = "reload_partial",
                changed,
                needs_restart,
                "the configuration was read again; some settings change only with a restart, and until then the old ones are in force"
            );
            Some(format!("a restart is needed for {needs_restart}"))
        }
        Err(error) => {
            tracing::error!(
                event = "reload_refused",
                error = chain(&error),
                "the new configuration is not in force; the daemon goes on with the old one"
            );
            Some("the configuration file was refused, see the journal".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "[kafka]\nbrokers = 'a'\ntopic = 't'\n[[route]]\ntopic = 'u'\ntag = 'x'\n";

    fn compare(new: &str, same_sources: bool) -> (Vec<String>, Vec<String>) {
        let reload = Reload::new("x.toml".into(), Environment::default(), OLD);
        let Answer { changed, needs_restart } = reload.compare(&Written::of(new), same_sources);
        (changed, needs_restart)
    }

    #[test]
    fn what_can_change_is_told_from_what_cannot() {
        let new = "[kafka]\nbrokers = 'b'\ntopic = 't'\n[[route]]\ntopic = 'v'\ntag = 'x'\n[log]\nlevel = 'debug'\n[[rule]]\nvalue = 'cats'\n";
        let both =
            (vec!["log.level".to_owned(), "route[1].topic".to_owned()], vec!["kafka.brokers".to_owned()]);
        assert_eq!(compare(new, true), both);
        let bound =
            (vec!["log.level".to_owned()], vec!["kafka.brokers".to_owned(), "route[1].topic".to_owned()]);
        assert_eq!(compare(new, false), bound);
        assert_eq!(compare(OLD, true), (vec![], vec![]));
    }

    #[test]
    fn what_needs_a_restart_is_said_again_until_there_was_one() {
        let mut reload = Reload::new("x.toml".into(), Environment::default(), OLD);
        let new = Written::of(&OLD.replace("'a'", "'b'"));
        for _ in 0..2 {
            assert_eq!(reload.compare(&new, true).needs_restart, ["kafka.brokers"]);
            reload.took(new.clone(), true);
        }
    }

    #[test]
    fn routes_that_came_with_other_sources_wait_for_a_restart_however_often_they_are_read() {
        let mut reload = Reload::new("x.toml".into(), Environment::default(), OLD);
        let text = OLD.replace("'u'", "'v'") + "[log]\nlevel = 'debug'\n";
        let new = Written::of(&text);
        assert_eq!(reload.compare(&new, false).changed, ["log.level"]);
        for _ in 0..2 {
            assert_eq!(reload.compare(&new, false).needs_restart, ["route[1].topic"]);
            reload.took(new.clone(), false);
            assert_eq!(reload.compare(&new, false).changed, Vec::<String>::new());
        }
        let back = reload.compare(&Written::of(&text.replace("'v'", "'w'")), true);
        assert_eq!((back.changed, back.needs_restart), (vec!["route[1].topic".to_owned()], vec![]));
    }
}
