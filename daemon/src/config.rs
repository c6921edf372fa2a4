//! The daemon's configuration: what can be set, its limits and its defaults. `spillwayd.toml` beside
//! the crate is the commented sample; a test keeps the two the same.

use std::path::{Path, PathBuf};
use std::time::Duration;

use spillway_service::admin::Listen;
use spillway_service::kafka::KafkaSettings;
use spillway_service::settings::{self, Environment, Problems, Section, Size};
use spillway_spool::{Codec, WhenFull};

use crate::circuit::Policy;
use crate::inflight::Window;
use crate::kafka::RESERVED_OPTIONS;
use crate::routes::Routes;

mod route;
mod rules;
mod source;
#[cfg(test)]
mod tests;

pub use rules::{RuleConfig, RulesConfig};
use source::source;
pub use source::{
    FileConfig, HttpConfig, LinkConfig, ProxyConfig, SocketConfig, SourceConfig, SourceKind, Speech,
};

/// Where the admin endpoint listens when the configuration does not say so.
pub const ADMIN_LISTEN: &str = "127.0.0.1:9464";

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of this daemon among others; part of the ids that it gives.
    pub id: String,
    /// Where records come from: one or more, each with a name of its own.
    pub sources: Vec<SourceConfig>,
    /// What X's filtered stream shall match.
    pub rules: RulesConfig,
    /// Where they go.
    pub kafka: KafkaConfig,
    /// Which of them go to which topic.
    pub routes: Routes,
    /// The queue in memory.
    pub queue: QueueConfig,
    /// What is promised.
    pub delivery: DeliveryConfig,
    /// When Kafka counts as away.
    pub breaker: BreakerConfig,
    /// The queue on disk.
    pub spool: spillway_spool::Config,
    /// Time that a stop may take before what is left goes to disk.
    pub drain_deadline: Duration,
    /// Address of the admin endpoint; none when switched off.
    pub admin: Option<Listen>,
    /// Level, or list of `target=level`.
    pub log_level: String,
}

/// Where records go.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// Brokers and security.
    pub settings: KafkaSettings,
    /// Topic of the records that no route sends elsewhere.
    pub topic: String,
    /// Topic for records that `topic` refuses for themselves.
    pub dead_letter_topic: Option<String>,
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub compression: String,
    /// How long a batch may wait for more records.
    pub linger: Duration,
    /// What may be in flight.
    pub window: Window,
    /// Longest record that the producer takes.
    pub max_record_bytes: usize,
}

/// The queue in memory.
#[derive(Debug, Clone, Copy)]
pub struct QueueConfig {
    /// Records.
    pub max_records: usize,
    /// Bytes.
    pub max_bytes: usize,
    /// Share, 0 to 1, from which on records go to disk although Kafka is there; above 1 for never.
    pub spill_at: f64,
}

/// What is promised.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryConfig {
    /// Order across an outage.
    pub order: Order,
    /// What the disk is for.
    pub journal: Journal,
    /// Share of the window, 0 to 1, that the backlog may use beside live records when `order = fresh`.
    pub replay_share: f64,
}

/// Order across an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Records arrive in Kafka in the order in which they were received.
    Arrival,
    /// New records first, the backlog beside them.
    Fresh,
}

/// What the disk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journal {
    /// Only outages, overload and shutdown.
    Outage,
    /// Every record is on disk before it is sent.
    Always,
}

/// When Kafka counts as away.
#[derive(Debug, Clone)]
pub struct BreakerConfig {
    /// The machine's policy.
    pub policy: Policy,
    /// Longest wait for the answer to a probe.
    pub probe_timeout: Duration,
    /// Longest wait between two probes.
    pub probe_wait_max: Duration,
}

impl Config {
    /// What an operator should know about the configuration although it is valid.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let sources = self.sources.iter().flat_map(SourceConfig::warnings);
        sources.chain(self.kafka.settings.warnings()).collect()
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// All problems of the file at once.
    pub fn read(path: &Path, env: &Environment) -> Result<Self, Problems> {
        settings::read(path, env, build)
    }

    /// As [`Self::read`], from text; `name` stands for the file in messages.
    ///
    /// # Errors
    /// All problems of the text at once.
    pub fn parse(name: &str, text: &str, env: &Environment) -> Result<Self, Problems> {
        settings::parse(name, text, env, build)
    }
}

fn build(root: &Section<'_>) -> Config {
    let daemon = root.section("daemon");
    let (sources, kafka) = (sources(root), kafka(&root.section("kafka")));
    let config = Config {
        id: daemon.get("id", host_name()),
        routes: route::routes(root, &kafka, &sources),
        sources,
        rules: rules::read(root),
        kafka,
        queue: queue(&root.section("queue")),
        delivery: delivery(&root.section("delivery")),
        breaker: breaker(&root.section("breaker")),
        spool: spool(&root.section("spool")),
        drain_deadline: root.section("shutdown").get("drain_deadline", Duration::from_secs(20)),
        admin: Listen::read(&root.section("admin"), ADMIN_LISTEN),
        log_level: log_level(&root.section("log")),
    };
    if config.id.is_empty() || config.id.len() > 100 {
        daemon.problem("id", "must have 1 to 100 characters");
    }
    config
}

/// Sources that one daemon takes. Each keeps a cursor in the spool, whose store for such values is small.
pub const SOURCES_MAX: usize = 32;

fn sources(root: &Section<'_>) -> Vec<SourceConfig> {
    let sections = root.one_or_more("source");
    if sections.is_empty() || sections.len() > SOURCES_MAX {
        root.problem("source", &format!("there must be 1 to {SOURCES_MAX} sources"));
    }
    let mut sources: Vec<SourceConfig> = Vec::new();
    for section in &sections {
        let read = source(section);
        if sources.iter().any(|other| other.name == read.name) {
            let message = format!("{:?} is taken by a source before; give each a name of its own", read.name);
            section.problem("name", &message);
        }
        sources.push(read);
    }
    sources
}

fn kafka(section: &Section<'_>) -> KafkaConfig {
    let topic: String = section.require("topic", "\"events\"");
    check_topic(section, "topic", &topic);
    let dead_letter_topic: Option<String> = section.optional("dead_letter_topic");
    if let Some(dead) = &dead_letter_topic {
        check_topic(section, "dead_letter_topic", dead);
        if *dead == topic || dead.is_empty() {
            section.problem("dead_letter_topic", "must be another topic than kafka.topic");
        }
    }
    let words = ["lz4", "zstd", "snappy", "gzip", "none"].map(|w| (w, w));
    let Size(window_bytes) =
        section.within("in_flight_bytes", Size(32 << 20), Size(64 << 10)..=Size(1 << 30));
    let Size(max_record) = section.within("max_record_bytes", Size(1_000_000), Size(1_000)..=Size(100 << 20));
    let compression = section.choice("compression", &words);
    KafkaConfig {
        settings: KafkaSettings::read(section, RESERVED_OPTIONS),
        topic,
        dead_letter_topic,
        compression: compression.to_owned(),
        linger: section.get("linger", Duration::from_millis(25)),
        window: Window {
            records: section.within("in_flight_records", 50_000, 1..=1_000_000),
            bytes: to_usize(window_bytes),
        },
        max_record_bytes: to_usize(max_record),
    }
}

fn check_topic(section: &Section<'_>, key: &str, topic: &str) {
    if topic.len() > 249 || topic.contains(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c)) {
        section.problem(key, "must have at most 249 letters, digits, dots, dashes and underscores");
    }
}

fn queue(section: &Section<'_>) -> QueueConfig {
    let Size(max_bytes) = section.within("max_bytes", Size(64 << 20), Size(64 << 10)..=Size(16 << 30));
    QueueConfig {
        max_records: section.within("max_records", 50_000, 1..=10_000_000),
        max_bytes: to_usize(max_bytes),
        spill_at: section.within("spill_at", 0.7, 0.01..=2.0),
    }
}

fn delivery(section: &Section<'_>) -> DeliveryConfig {
    DeliveryConfig {
        order: section.choice("order", &[("arrival", Order::Arrival), ("fresh", Order::Fresh)]),
        journal: section.choice("journal", &[("outage", Journal::Outage), ("always", Journal::Always)]),
        replay_share: section.within("replay_share", 0.5, 0.01..=0.99),
    }
}

/// A request is a turn of the prober, and systemd's watchdog waits for a turn.
const PROBE_TIMEOUT_MAX: Duration = Duration::from_secs(10);

fn breaker(section: &Section<'_>) -> BreakerConfig {
    let usual = Policy::default();
    let probe_timeout = section.get("probe_timeout", Duration::from_secs(2));
    if probe_timeout > PROBE_TIMEOUT_MAX {
        section.problem(
            "probe_timeout",
            "must be at most 10s: a prober that waits for longer is taken for one that hangs",
        );
    }
    BreakerConfig {
        policy: Policy {
            ack_timeout: section.get("ack_timeout", usual.ack_timeout),
            hint_timeout: section.get("hint_timeout", usual.hint_timeout),
            partition_timeout: section.get("partition_timeout", usual.partition_timeout),
            trial_timeout: section.get("trial_timeout", usual.trial_timeout),
            stable_after: section.get("stable_after", usual.stable_after),
            ..usual
        },
        probe_timeout,
        probe_wait_max: section.get("probe_wait_max", Duration::from_millis(500)),
    }
}

fn spool(section: &Section<'_>) -> spillway_spool::Config {
    let dir: PathBuf = section.require("dir", "\"/var/lib/spillway/spool\"");
    let usual = spillway_spool::Config::new(dir);
    let Size(segment_bytes) =
        section.within("segment_bytes", Size(usual.segment_bytes), Size(1 << 20)..=Size(1 << 30));
    let Size(quota_bytes) = section.get("quota", Size(10 << 30));
    let Size(free_floor_bytes) = section.get("free_floor", Size(1 << 30));
    if quota_bytes > 0 && quota_bytes < 2 * segment_bytes {
        section.problem("quota", "must hold at least two segments (segment_bytes), or be 0 for no quota");
    }
    spillway_spool::Config {
        segment_bytes,
        quota_bytes,
        free_floor_bytes,
        when_full: section.choice(
            "when_full",
            &[
                ("block", WhenFull::Block),
                ("drop_oldest", WhenFull::DropOldest),
                ("drop_newest", WhenFull::DropNewest),
            ],
        ),
        codec: section.choice("codec", &[("lz4", Codec::Lz4), ("zstd", Codec::Zstd), ("none", Codec::None)]),
        ..usual
    }
}

fn log_level(section: &Section<'_>) -> String {
    let level: String = section.get("level", "info".to_owned());
    if !spillway_service::logging::is_filter(&level) {
        section.problem(
            "level",
            "must be error, warn, info, debug or trace, or a list such as \"info,librdkafka=debug\"",
        );
    }
    level
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The limits of the settings keep the numbers far below what a 64-bit `usize` holds.
fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
