//! Tells others of final objects, so that a loader can pick them up: a webhook, a Kafka topic, or both.
//!
//! ```text
//!   finaliser: final up to here ---> courier of each target: what is new in the store since its mark
//!                                      |  each object in turn, again and again until it is taken
//!                                      v
//!                                    a new mark in the store: _notify/<topic>/<target>/<seq>.json
//! ```
//! It guarantees that each target hears of every final object at least once, after the object exists,
//! whatever fails and whoever dies in between; mostly once, and after a restart the newest again. What is
//! owed is not kept in memory but found in the store, so a target that is away for a week costs nothing.
//! A target never holds up the consumer or another target.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use spillway_service::secret::Secret;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::log::Log;
use crate::micros::Micros;
use crate::store::Store;

mod copies;
mod courier;
mod due;
mod mark;
mod note;
mod topic;
mod webhook;

pub use copies::CopiesTold;
pub(crate) use copies::{Place, Teller};
use courier::Courier;
pub use topic::TopicError;
pub use webhook::WebhookError;

/// Whom to tell. Nobody without any.
#[derive(Debug, Clone, Default)]
pub struct NotifySettings {
    /// A URL that takes a POST of JSON.
    pub webhook: Option<Webhook>,
    /// A topic of the same Kafka.
    pub topic: Option<String>,
}

/// A URL that takes a POST of JSON.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// `https://…` or `http://…`.
    pub url: String,
    /// Sent as `Authorization: Bearer …`.
    pub token: Option<Secret>,
}

/// Why nobody can be told. Only settings make it; targets that are away do not.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The webhook.
    #[error("the webhook cannot be used")]
    Webhook(#[from] WebhookError),
    /// The topic.
    #[error("the topic for notifications cannot be used")]
    Topic(#[from] TopicError),
}

/// Up to where objects are final.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Final {
    /// Windows that end at or before this are.
    pub(crate) through: Option<Micros>,
    /// Archived events of entries before these are, by partition.
    pub(crate) positions: BTreeMap<i32, u64>,
}

/// What couriers hear.
#[derive(Debug, Clone, Default)]
pub(crate) struct News {
    /// How many there have been.
    number: u64,
    newest: Final,
}

/// What has become of notifications since the start, over all targets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Taken.
    pub(crate) delivered: u64,
    /// Attempts that failed, and were or will be made again.
    pub(crate) failures: u64,
}

/// Counters that couriers write.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    delivered: AtomicU64,
    failures: AtomicU64,
    /// Everything up to the news of this number has been taken.
    settled: AtomicU64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Notifier {
    tell: watch::Sender<News>,
    couriers: Vec<Sent>,
}

/// A courier, seen from here.
#[derive(Debug)]
struct Sent {
    name: &'static str,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
}

/// How long a run that has drained its topic lets couriers deliver what is owed.
const LAST_CHANCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

impl Notifier {
    /// Starts a courier for each target.
    pub(crate) fn start(runtime: &Handle, config: &Config, store: &Store) -> Result<Self, NotifyError> {
        let mut notifier = Self { tell: watch::Sender::default(), couriers: Vec::new() };
        let source = || due::Source::new(store.clone(), Log::new(store.clone(), &config.topic), config);
        let _context = runtime.enter();
        if let Some(settings) = &config.notify.webhook {
            notifier.spawn(runtime, "webhook", webhook::Hook::new(settings)?, source());
        }
        if let Some(topic) = &config.notify.topic {
            notifier.spawn(runtime, "topic", topic::Announcer::new(config, topic)?, source());
        }
        Ok(notifier)
    }

    fn spawn(
        &mut self,
        runtime: &Handle,
        name: &'static str,
        target: impl courier::Target,
        source: due::Source<Store>,
    ) {
        let counters = Arc::new(Counters::default());
        let courier = Courier::new(name, target, source, Arc::clone(&counters));
        let task = runtime.spawn(courier.run(self.tell.subscribe()));
        self.couriers.push(Sent { name, counters, task });
    }

    /// The name of a courier that has panicked: none ends in another way while it can still be told of something.
    pub(crate) fn panicked(&self) -> Option<&'static str> {
        self.couriers.iter().find(|courier| courier.task.is_finished()).map(|courier| courier.name)
    }

    /// More is final. Only the member that finalises says so.
    pub(crate) fn tell(&self, newest: Final) {
        self.tell.send_if_modified(|news| {
            let is_new = news.newest != newest;
            if is_new {
                *news = News { number: news.number + 1, newest };
            }
            is_new
        });
    }

    /// What has become of notifications.
    pub(crate) fn told(&self) -> Told {
        let sum = |of: fn(&Counters) -> &AtomicU64| {
            self.couriers.iter().map(|courier| of(&courier.counters).load(Ordering::Relaxed)).sum()
        };
        Told { delivered: sum(|counters| &counters.delivered), failures: sum(|counters| &counters.failures) }
    }

    /// Waits for couriers to deliver what is owed, for a while: what is not, is owed to the next run.
    pub(crate) fn settle(&self) {
        let until = Instant::now() + LAST_CHANCE;
        let told = self.tell.borrow().number;
        let is_settled =
            || self.couriers.iter().all(|one| one.counters.settled.load(Ordering::Acquire) >= told);
        while !is_settled() {
            if Instant::now() >= until {
                tracing::warn!(
                    event = "notifications_left",
                    "some notifications have not been taken; the next run sends them"
                );
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
}

#[cfg(test)]
mod tests {
    use spillway_service::kafka::KafkaSettings;

    use super::*;
    use crate::store::{Objects, StoreSettings};

    /// Has a bug.
    struct Broken;

    impl courier::Target for Broken {
        type Error = std::io::Error;

        async fn deliver(&self, key: &str, _: Vec<u8>) -> Result<(), Self::Error> {
            panic!("as a bug would, on {key}");
        }
    }

    #[tokio::test]
    async fn a_courier_that_panics_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let settings = StoreSettings::local(dir.path());
        let store = Store::open(&settings).unwrap();
        let config = Config::new(KafkaSettings::plain("k:1"), "t", "g", settings);
        let start = 1_793_491_200_000_000;
        let object = crate::parquet::object_name(&config.tables[0], start);
        store.create(&object, bytes::Bytes::new()).await.unwrap();
        let mut notifier = Notifier { tell: watch::Sender::default(), couriers: Vec::new() };
        let source = due::Source::new(store.clone(), Log::new(store, "t"), &config);
        notifier.spawn(&Handle::current(), "webhook", Broken, source);
        assert_eq!(notifier.panicked(), None);
        notifier.tell(Final { through: Some(start + 86_400_000_000), positions: BTreeMap::new() });
        let ended = tokio::time::timeout(Duration::from_secs(60), &mut notifier.couriers[0].task).await;
        assert!(ended.unwrap().is_err_and(|error| error.is_panic()));
        assert_eq!(notifier.panicked(), Some("webhook"));
    }
}
