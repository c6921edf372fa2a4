//! Events for journald: the message as MESSAGE, each field as a journal field of its own, the kind of the
//! event as MESSAGE_ID. What repeats is held back and summed up, see [`super::repeats`].

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::Log;
use systemd_journal_logger::JournalLog;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::repeats::{Repeats, Summary};
use crate::events;

/// How often it is looked for windows that have ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Fields by which events of one place in the code are told apart: a source that is away does not hide
/// another. All of librdkafka's lines come from one place, with the kind of each as its facility.
const PARTICULARS: &[&str] = &[
    "SPILLWAY_SOURCE",
    "SPILLWAY_TOPIC",
    "SPILLWAY_PARTITION",
    "SPILLWAY_TASK",
    "SPILLWAY_TABLE",
    "SPILLWAY_FACILITY",
];

/// Where messages go in the end: journald, or a test's list.
pub(super) trait Sink: Send + Sync + 'static {
    fn send(&self, message: &Message);
}

/// One message for the journal.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) meta: &'static Metadata<'static>,
    pub(super) text: String,
    pub(super) fields: Vec<(String, String)>,
}

type Kind = (Identifier, String);

/// The layer. Clones share what they hold back.
pub(super) struct JournalLayer<S> {
    inner: Arc<Inner<S>>,
}

struct Inner<S> {
    sink: S,
    repeats: Mutex<Repeats<Kind, Message>>,
}

impl<S> Clone for JournalLayer<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<S: Sink> JournalLayer<S> {
    pub(super) fn new(sink: S) -> Self {
        Self { inner: Arc::new(Inner { sink, repeats: Mutex::new(Repeats::new()) }) }
    }

    /// Starts the thread that tells the sums when their time has come. It ends with the process.
    pub(super) fn sum_up_in_time(&self) -> std::io::Result<()> {
        let layer = self.clone();
        let body = move || {
            loop {
                std::thread::sleep(LOOK_EVERY);
                let due = layer.repeats().due(Instant::now());
                layer.tell(due);
            }
        };
        std::thread::Builder::new().name("log".to_owned()).spawn(body).map(drop)
    }

    /// Tells all sums now.
    pub(super) fn flush(&self) {
        let held = self.repeats().flush();
        self.tell(held);
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats<Kind, Message>> {
        // No change of it is left half done by a panic.
        self.inner.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, summaries: Vec<Summary<Message>>) {
        for Summary { mut last, count } in summaries {
            // Writing to a String cannot fail.
            let _ = write!(last.text, " [the last of {count} that were held back]");
            last.fields.push(("SPILLWAY_REPEATED".to_owned(), count.to_string()));
            self.inner.sink.send(&last);
        }
    }

    fn on(&self, now: Instant, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let meta = event.metadata();
        let may_be_held_back = fields.kind().is_none_or(events::Kind::may_be_held_back);
        let kind = (meta.callsite(), fields.particulars());
        let message = fields.message(meta);
        // Who asks for DEBUG wants all of it.
        let told = if *meta.level() > Level::INFO || !may_be_held_back {
            Some(message)
        } else {
            self.repeats().take(now, kind, message)
        };
        if let Some(message) = told {
            self.inner.sink.send(&message);
        }
    }
}

impl<S: Sink, T: Subscriber> Layer<T> for JournalLayer<S> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, T>) {
        self.on(Instant::now(), event);
    }
}

impl Sink for JournalLog {
    fn send(&self, message: &Message) {
        let Message { meta, text, fields } = message;
        self.log(
            &log::Record::builder()
                .args(format_args!("{text}"))
                .level(log_level(*meta.level()))
                .target(meta.target())
                .module_path(meta.module_path())
                .file(meta.file())
                .line(meta.line())
                .key_values(fields)
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
    fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn kind(&self) -> Option<&'static events::Kind> {
        events::find(self.get("SPILLWAY_EVENT")?)
    }

    fn particulars(&self) -> String {
        PARTICULARS.iter().filter_map(|name| self.get(name)).collect::<Vec<_>>().join(" ")
    }

    /// The message followed by its fields, so that plain `journalctl` shows the figures too.
    fn message(mut self, meta: &'static Metadata<'static>) -> Message {
        let mut text = std::mem::take(&mut self.message);
        for (name, value) in &self.pairs {
            let short = name.strip_prefix("SPILLWAY_").unwrap_or(name).to_lowercase();
            // As above.
            let _ = write!(text, " {short}={value}");
        }
        if let Some(kind) = self.kind() {
            self.pairs.push(("MESSAGE_ID".to_owned(), kind.id.to_owned()));
        }
        Message { meta, text, fields: self.pairs }
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
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<Message>>>);

    impl Sink for Seen {
        fn send(&self, message: &Message) {
            self.0.lock().unwrap().push(message.clone());
        }
    }

    /// What comes of the events of `body`, and then of a flush.
    fn seen(body: impl FnOnce()) -> Vec<Message> {
        let seen = Seen::default();
        let layer = JournalLayer::new(seen.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer.clone()), body);
        layer.flush();
        std::mem::take(&mut *seen.0.lock().unwrap())
    }

    fn field<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
        message.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn an_event_becomes_a_message_with_named_fields_and_its_id() {
        let seen = seen(|| {
            tracing::warn!(event = "breaker_open", queued = 7, cause = %"no acknowledgement", "Kafka is away");
            tracing::info!(size = 3, "an event without a name");
        });
        assert_eq!(seen[0].text, "Kafka is away event=breaker_open queued=7 cause=no acknowledgement");
        assert_eq!(field(&seen[0], "SPILLWAY_EVENT"), Some("breaker_open"));
        assert_eq!(field(&seen[0], "SPILLWAY_QUEUED"), Some("7"));
        let id = events::find("breaker_open").unwrap().id;
        assert_eq!(field(&seen[0], "MESSAGE_ID"), Some(id));
        assert_eq!((field(&seen[1], "SPILLWAY_SIZE"), field(&seen[1], "MESSAGE_ID")), (Some("3"), None));
    }

    #[test]
    fn what_repeats_is_summed_up_for_each_source() {
        let seen = seen(|| {
            for number in 0..50 {
                for source in ["east", "west"] {
                    tracing::warn!(event = "source_disconnected", source, number, "away");
                }
            }
        });
        let of =
            |source| seen.iter().filter(move |message| field(message, "SPILLWAY_SOURCE") == Some(source));
        assert_eq!((of("east").count(), of("west").count()), (11, 11), "ten, and the sum");
        let sum = of("west").next_back().unwrap();
        assert_eq!(
            (field(sum, "SPILLWAY_REPEATED"), field(sum, "SPILLWAY_NUMBER")),
            (Some("40"), Some("49"))
        );
        assert!(sum.text.ends_with("[the last of 40 that were held back]"), "{}", sum.text);
        assert_eq!(
            field(sum, "SPILLWAY_EVENT"),
            Some("source_disconnected"),
            "it is found as the others are"
        );
    }

    #[test]
    fn what_repeats_is_summed_up_for_each_partition_and_each_facility() {
        let seen = seen(|| {
            for _ in 0..50 {
                for partition in [0, 1] {
                    tracing::warn!(event = "late_event", partition, "late");
                }
                for facility in ["FAIL", "SSL"] {
                    tracing::warn!(target: "librdkafka", event = "kafka_client", facility, "of the client");
                }
            }
        });
        let count = |name: &str, value: &str| {
            seen.iter().filter(|message| field(message, name) == Some(value)).count()
        };
        for (name, value) in [
            ("SPILLWAY_PARTITION", "0"),
            ("SPILLWAY_PARTITION", "1"),
            ("SPILLWAY_FACILITY", "FAIL"),
            ("SPILLWAY_FACILITY", "SSL"),
        ] {
            assert_eq!(count(name, value), 11, "ten, and the sum, of {name}={value}");
        }
    }

    #[test]
    fn each_loss_each_wrong_setting_and_each_line_of_debug_is_told() {
        let seen = seen(|| {
            for number in 0..50 {
                tracing::warn!(event = "source_gap", number, "missing");
                tracing::error!(event = "configuration_invalid", "line {number}: unknown setting");
                tracing::debug!(number, "detail");
            }
        });
        assert_eq!(seen.len(), 150);
    }
}
