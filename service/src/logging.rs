//! Logging: to journald with structured fields when systemd connects the program to it, else as
//! plain lines on standard error. The level can be changed while the program runs.

mod counts;
mod journal;
mod repeats;

use std::io::IsTerminal;
use std::sync::OnceLock;

use counts::Counting;
pub use counts::logged;
use journal::JournalLayer;
use systemd_journal_logger::{JournalLog, connected_to_journal};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Why logging could not be set up, or its level not be changed.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is no list of `target=level`.
    #[error(
        "the log level {filter:?} is not valid; use error, warn, info, debug or trace, or a list such as info,rdkafka=warn"
    )]
    Filter {
        /// The filter that was asked for.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// journald's socket cannot be used.
    #[error("cannot connect to journald")]
    Journal(#[source] std::io::Error),
    /// The thread that sums up repeated messages cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// Another logger is already there.
    #[error("logging is set up already")]
    Twice(#[source] TryInitError),
    /// The level cannot be changed: logging was not set up.
    #[error("logging is not set up")]
    NotSetUp,
    /// The level cannot be changed any more.
    #[error("cannot change the log level")]
    Level(#[source] reload::Error),
}

/// What is set up: once in a process.
struct Running {
    level: reload::Handle<EnvFilter, Registry>,
    journal: Option<JournalLayer<JournalLog>>,
}

static RUNNING: OnceLock<Running> = OnceLock::new();

/// Whether `filter` would be taken by [`init`], and means what it says: a word that is no level would be taken
/// for the name of a target, and silence everything else.
#[must_use]
pub fn is_filter(filter: &str) -> bool {
    let is_clear = |part: &str| part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
    filter.split(',').all(is_clear) && EnvFilter::try_new(filter).is_ok()
}

/// Whether what this process writes to standard error goes to journald.
#[must_use]
pub fn is_to_journal() -> bool {
    connected_to_journal()
}

/// Sets up logging for the process. `filter` is a level or a list of `target=level`.
///
/// # Errors
/// When the filter is wrong, journald cannot be reached, or logging is set up already.
pub fn init(filter: &str) -> Result<(), LoggingError> {
    let (filter, level) = reload::Layer::new(parse(filter)?);
    let registry = tracing_subscriber::registry().with(filter).with(Counting);
    let journal = if is_to_journal() {
        let layer = JournalLayer::new(JournalLog::new().map_err(LoggingError::Journal)?);
        registry.with(layer.clone()).try_init().map_err(LoggingError::Twice)?;
        layer.sum_up_in_time().map_err(LoggingError::Thread)?;
        Some(layer)
    } else {
        registry
            .with(fmt::layer().with_writer(std::io::stderr).with_ansi(colours()).with_target(false))
            .try_init()
            .map_err(LoggingError::Twice)?;
        None
    };
    // Only the first caller comes here: the others were told that it is set up already.
    RUNNING.get_or_init(|| Running { level, journal });
    Ok(())
}

/// Changes the level of the running program.
///
/// # Errors
/// When the filter is wrong, or logging was not set up by [`init`].
pub fn set_level(filter: &str) -> Result<(), LoggingError> {
    let filter = parse(filter)?;
    let running = RUNNING.get().ok_or(LoggingError::NotSetUp)?;
    running.level.reload(filter).map_err(LoggingError::Level)
}

/// Tells what is held back of repeated messages: to be called before the process ends.
pub fn flush() {
    if let Some(journal) = RUNNING.get().and_then(|running| running.journal.as_ref()) {
        journal.flush();
    }
}

fn parse(filter: &str) -> Result<EnvFilter, LoggingError> {
    EnvFilter::try_new(filter).map_err(|source| LoggingError::Filter { filter: filter.to_owned(), source })
}

/// Colours are for people: not for a file or a pipe, and not against `NO_COLOR`.
fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_filter_is_refused() {
        assert!(is_filter("info,rdkafka=warn"));
        assert!(is_filter("debug") && is_filter("info,spillway_daemon::tasks=trace"));
        assert!(!is_filter("loud=very") && !is_filter("inof") && !is_filter("info,librdkafka"));
    }

    #[test]
    fn the_level_is_changed_while_running_and_a_wrong_one_is_refused() {
        assert!(matches!(set_level("debug"), Err(LoggingError::NotSetUp)));
        init("info").unwrap();
        assert!(!tracing::enabled!(tracing::Level::DEBUG));
        set_level("debug").unwrap();
        assert!(tracing::enabled!(tracing::Level::DEBUG));
        assert!(matches!(set_level("loud=very"), Err(LoggingError::Filter { .. })));
        assert!(tracing::enabled!(tracing::Level::DEBUG), "the old one stays");
        assert!(matches!(init("info"), Err(LoggingError::Twice(_))));
    }
}
