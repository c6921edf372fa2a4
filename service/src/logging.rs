//! Logging: to journald with structured fields when systemd connects the program to it, else as
//! plain lines on standard error.

use std::fmt::Write as _;
use std::io::IsTerminal;

use log::Log;
use systemd_journal_logger::{JournalLog, connected_to_journal};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, fmt};

/// Why logging could not be set up.
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
    /// Another logger is already there.
    #[error("logging is set up already")]
    Twice(#[source] TryInitError),
}

/// Whether `filter` would be taken by [`init`].
#[must_use]
pub fn is_filter(filter: &str) -> bool {
    EnvFilter::try_new(filter).is_ok()
}

/// Sets up logging for the process. `filter` is a level or a list of `target=level`.
///
/// # Errors
/// When the filter is wrong, journald cannot be reached, or logging is set up already.
pub fn init(filter: &str) -> Result<(), LoggingError> {
    let level = EnvFilter::try_new(filter)
        .map_err(|source| LoggingError::Filter { filter: filter.to_owned(), source })?;
    let registry = tracing_subscriber::registry().with(level);
    if connected_to_journal() {
        let journal = JournalLog::new().map_err(LoggingError::Journal)?;
        registry.with(JournalLayer { journal }).try_init().map_err(LoggingError::Twice)
    } else {
        registry
            .with(fmt::layer().with_writer(std::io::stderr).with_ansi(colours()).with_target(false))
            .try_init()
            .map_err(LoggingError::Twice)
    }
}

/// Colours are for people: not for a file or a pipe, and not against `NO_COLOR`.
fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}

/// Hands each event to journald: the message as MESSAGE, each field as a journal field of its own.
struct JournalLayer {
    journal: JournalLog,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JournalLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let meta = event.metadata();
        self.journal.log(
            &log::Record::builder()
                .args(format_args!("{}", fields.text()))
                .level(log_level(*meta.level()))
                .target(meta.target())
                .module_path(meta.module_path())
                .file(meta.file())
                .line(meta.line())
                .key_values(&fields.pairs)
                .build(),
        );
    }
}

fn log_level(level: Level) -> log::Level {
    match level {
        Level::ERROR => log::Level::Error,
        Level::WARN => log::Level::Warn,
        Level::INFO => log::Level::Info,
        Level::DEBUG => log::Level::Debug,
        Level::TRACE => log::Level::Trace,
    }
}

/// The message of an event and its fields, the latter named `SPILLWAY_…`.
#[derive(Default)]
struct Fields {
    message: String,
    pairs: Vec<(String, String)>,
}

impl Fields {
    /// The message followed by its fields, so that plain `journalctl` shows the figures too.
    fn text(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.pairs {
            let short = name.strip_prefix("SPILLWAY_").unwrap_or(name).to_lowercase();
            // Writing to a String cannot fail.
            let _ = write!(text, " {short}={value}");
        }
        text
    }

    fn take(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            name => self.pairs.push((format!("SPILLWAY_{}", name.replace('.', "_").to_uppercase()), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    type Seen = Vec<(String, Vec<(String, String)>)>;
    struct Capture(Arc<Mutex<Seen>>);

    impl<S: Subscriber> Layer<S> for Capture {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut fields = Fields::default();
            event.record(&mut fields);
            self.0.lock().unwrap().push((fields.text(), fields.pairs));
        }
    }

    #[test]
    fn an_event_becomes_a_message_and_named_fields() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let subscriber = tracing_subscriber::registry().with(Capture(Arc::clone(&seen)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(event = "breaker_open", queued = 7, cause = %"no acknowledgement", "Kafka is away");
        });
        let seen = seen.lock().unwrap();
        assert_eq!(seen[0].0, "Kafka is away event=breaker_open queued=7 cause=no acknowledgement");
        assert_eq!(seen[0].1[0], ("SPILLWAY_EVENT".to_owned(), "breaker_open".to_owned()));
        assert_eq!(seen[0].1[1], ("SPILLWAY_QUEUED".to_owned(), "7".to_owned()));
    }

    #[test]
    fn a_wrong_filter_is_refused() {
        assert!(is_filter("info,rdkafka=warn"));
        assert!(!is_filter("loud=very"));
    }
}
