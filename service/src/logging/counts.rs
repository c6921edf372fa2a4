//! Counts what is logged: how often each WARN and ERROR of the table of events was. An alert can ask for any
//! of them, and none has to be counted a second time where it happens.
//!
//! An event that the log level hides is not counted; one that the journal holds back as a repetition is.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::events::{self, Kind};

/// By name, so that a scrape always has them in the same order.
static COUNTS: LazyLock<BTreeMap<&'static str, (&'static Kind, AtomicU64)>> = LazyLock::new(|| {
    let troubles = events::all().filter(|kind| kind.level != Level::INFO);
    troubles.map(|kind| (kind.name, (kind, AtomicU64::new(0)))).collect()
});

/// Every WARN and ERROR of the table, with how often it was logged since the start; also those that never were.
pub fn logged() -> impl Iterator<Item = (&'static Kind, u64)> {
    COUNTS.values().map(|(kind, count)| (*kind, count.load(Ordering::Relaxed)))
}

/// The layer that counts.
#[derive(Debug)]
pub(super) struct Counting;

impl<S: Subscriber> Layer<S> for Counting {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() <= Level::WARN {
            event.record(&mut Name);
        }
    }
}

/// Counts the event that its field `event` names.
struct Name;

impl Visit for Name {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "event"
            && let Some((_, count)) = COUNTS.get(value)
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn count(name: &str) -> Option<u64> {
        logged().find(|(kind, _)| kind.name == name).map(|(_, count)| count)
    }

    #[test]
    fn what_is_logged_is_counted_by_its_name() {
        assert_eq!((count("notify_failed"), count("stopping")), (Some(0), None));
        let registry = tracing_subscriber::registry().with(Counting);
        tracing::subscriber::with_default(registry, || {
            tracing::warn!(event = "notify_failed", "text");
            tracing::warn!(event = "notify_failed", "text");
            tracing::warn!(event = "of no table", "text");
            tracing::info!(event = "notify_failed", "an INFO is none");
            tracing::warn!(other = "notify_failed", "text");
        });
        assert_eq!(count("notify_failed"), Some(2));
    }
}
