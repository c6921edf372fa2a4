//! The configuration: the TOML file, read so that every error is reported at once, or the same thing
//! constructed in code.

use std::path::Path;
use std::time::Duration;

use spillway_service::admin::Listen;
use spillway_service::kafka::KafkaSettings;
use spillway_service::settings::{self, Environment, Problems, Section};
use spillway_service::{logging, units};

use crate::archive::Archive;
use crate::filter::Filter;
use crate::metrics::By;
use crate::notify::NotifySettings;
use crate::profiles::Profile;
use crate::store::{AccessKey, StoreSettings, StoreUrl};
use crate::tables::Table;

mod notify;
mod profile;
mod table;

/// Everything a run needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// How to reach the cluster.
    pub kafka: KafkaSettings,
    /// The topic that is read.
    pub topic: String,
    /// The consumer group, under which progress is kept.
    pub group: String,
    /// The member's own name in the group, under which it comes back to the partitions that it had; none
    /// when it is one of many.
    pub instance_id: Option<String>,
    /// The shape of the records.
    pub profile: Profile,
    /// What is done when Kafka has deleted records that were not read yet.
    pub on_gap: OnGap,
    /// When windows close.
    pub time: TimeSettings,
    /// Where the tables go.
    pub store: StoreSettings,
    /// The tables of windows.
    pub tables: Vec<Table>,
    /// The admin endpoint; none when it is switched off.
    pub admin: Option<Admin>,
    /// The tables of events.
    pub archives: Vec<Archive>,
    /// Who is told of final objects.
    pub notify: NotifySettings,
    /// Level of the log, or a list of `target=level`.
    pub log_level: String,
}

/// What is done when Kafka has deleted records that were not read yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnGap {
    /// It is logged as an error, counted, and kept in the log; reading goes on behind the gap.
    #[default]
    Record,
    /// The run ends with an error, and so does the next one, until this is changed.
    Stop,
}

const ON_GAP: [(&str, OnGap); 2] = [("record", OnGap::Record), ("stop", OnGap::Stop)];

/// When windows close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeSettings {
    /// How long a window stays open for stragglers, in event time.
    pub delay: Duration,
    /// How long a partition that has been read to its end must be silent until the others do not wait
    /// for it any more, in real time.
    pub idle_timeout: Duration,
    /// How far an event's time may be ahead of its record's timestamp.
    pub future_tolerance: Duration,
    /// How often closed windows are looked for, in real time.
    pub close_interval: Duration,
}

impl Default for TimeSettings {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            future_tolerance: Duration::from_secs(600),
            close_interval: Duration::from_secs(1),
        }
    }
}

/// The admin endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub listen: Listen,
    /// The configuration says so. Else a member that cannot have the usual address works without one.
    pub is_asked_for: bool,
}

impl Admin {
    fn read(section: &Section<'_>) -> Option<Self> {
        let is_asked_for = section.has("listen");
        Listen::read(section, "127.0.0.1:9465").map(|listen| Self { listen, is_asked_for })
    }
}

/// librdkafka options that promises of this program depend on.
const RESERVED: [&str; 9] = [
    "auto.offset.reset",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "isolation.level",
    "partition.assignment.strategy",
];

impl Config {
    /// A configuration with the standard tables and defaults for everything else.
    pub fn new(
        kafka: KafkaSettings,
        topic: impl Into<String>,
        group: impl Into<String>,
        store: StoreSettings,
    ) -> Self {
        Self {
            kafka,
            topic: topic.into(),
            group: group.into(),
            instance_id: None,
            profile: Profile::XV2,
            on_gap: OnGap::default(),
            time: TimeSettings::default(),
            store,
            tables: Self::standard_tables(),
            admin: None,
            archives: Vec::new(),
            notify: NotifySettings::default(),
            log_level: "info".to_owned(),
        }
    }

    /// `activity`, all events in windows of 5 minutes, and `city_activity`, the same for each city.
    #[must_use]
    pub fn standard_tables() -> Vec<Table> {
        let window = Duration::from_secs(300);
        let city = Filter::place_type("city");
        vec![
            Table::new("activity", window, By::None, Filter::default()),
            Table::new("city_activity", window, By::Place, city),
        ]
    }

    /// What an operator should know about the configuration although it is valid.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let key = self.store.access_key.as_ref().and_then(|key| key.secret.warning());
        let webhook = self.notify.webhook.as_ref();
        let token = webhook.and_then(|webhook| webhook.token.as_ref()).and_then(|token| token.warning());
        key.into_iter().chain(token).chain(self.kafka.warnings()).collect()
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// All problems of the file, in the order of their lines.
    pub fn read(path: &Path, env: &Environment) -> Result<Self, Problems> {
        settings::read(path, env, Self::build)
    }

    /// Reads a configuration from text; `name` stands for the file in messages.
    ///
    /// # Errors
    /// All problems of the text, in the order of their lines.
    pub fn parse(name: &str, text: &str, env: &Environment) -> Result<Self, Problems> {
        settings::parse(name, text, env, Self::build)
    }

    fn build(root: &Section<'_>) -> Self {
        let kafka = root.section("kafka");
        let (tables, archives) = table::tables(root);
        let input = root.section("input");
        let settings = KafkaSettings::read(&kafka, &RESERVED);
        let topic: String = kafka.require("topic", "\"events\"");
        Self {
            kafka: settings,
            notify: notify::notify(&root.section("notify"), &topic),
            topic,
            group: kafka.get("group", "spillway-consumer".to_owned()),
            instance_id: instance_id(&kafka),
            profile: profile::profile(&input),
            on_gap: input.choice("on_gap", &ON_GAP),
            time: time(&root.section("time")),
            store: store(&root.section("store")),
            tables,
            archives,
            admin: Admin::read(&root.section("admin")),
            log_level: log_level(&root.section("log")),
        }
    }
}

fn instance_id(kafka: &Section<'_>) -> Option<String> {
    let id: Option<String> = kafka.optional("instance_id");
    let is_plain = |id: &str| id.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if id.as_ref().is_some_and(|id| id.is_empty() || id.len() > 249 || !is_plain(id)) {
        kafka.problem("instance_id", "must have 1 to 249 letters, digits, dots, dashes and underscores");
    }
    id
}

fn time(section: &Section<'_>) -> TimeSettings {
    let default = TimeSettings::default();
    let within = |key: &str, default: Duration, least: Duration, most: Duration| {
        let value = section.get(key, default);
        if value < least || value > most {
            let show = units::show_duration;
            section.problem(
                key,
                &format!("{} is out of range; use {} to {}", show(value), show(least), show(most)),
            );
        }
        value
    };
    let day = Duration::from_secs(86_400);
    TimeSettings {
        delay: within("delay", default.delay, Duration::ZERO, day),
        idle_timeout: within("idle_timeout", default.idle_timeout, Duration::from_millis(100), day),
        future_tolerance: within("future_tolerance", default.future_tolerance, Duration::ZERO, day),
        close_interval: within(
            "close_interval",
            default.close_interval,
            Duration::from_millis(10),
            Duration::from_secs(600),
        ),
    }
}

fn store(section: &Section<'_>) -> StoreSettings {
    let text: String = section.require("url", "\"s3://bucket/prefix\"");
    let url = StoreUrl::parse(&text).unwrap_or_else(|bad| {
        if !text.is_empty() || section.has("url") {
            section.problem("url", &bad.to_string());
        }
        StoreUrl::Local(".".into())
    });
    if matches!(url, StoreUrl::S3 { .. }) && !cfg!(feature = "s3") {
        section.problem("url", "this program was built without S3; build it with --features s3");
    }
    let endpoint: Option<String> = section.optional("endpoint");
    if endpoint.as_ref().is_some_and(|url| !url.starts_with("https://") && !url.starts_with("http://")) {
        section.problem("endpoint", "must begin with https:// or http://");
    }
    let settings =
        StoreSettings { url, region: section.optional("region"), endpoint, access_key: access_key(section) };
    if matches!(settings.url, StoreUrl::Local(_)) {
        let keys =
            ["region", "endpoint", "access_key_id", "secret_access_key_file", "secret_access_key_credential"];
        for key in keys.into_iter().filter(|key| section.has(key)) {
            section.problem(
                key,
                "belongs to a store on S3, but url is a local folder; remove it or correct url",
            );
        }
    }
    settings
}

fn access_key(section: &Section<'_>) -> Option<AccessKey> {
    let id: Option<String> = section.optional("access_key_id");
    match (id, section.secret("secret_access_key")) {
        (Some(id), Some(secret)) => Some(AccessKey { id, secret }),
        (None, None) => None,
        (Some(_), None) => {
            // A secret that cannot be read is a problem already.
            if !section.has("secret_access_key_file") && !section.has("secret_access_key_credential") {
                section.problem(
                    "access_key_id",
                    "needs secret_access_key_file or secret_access_key_credential beside it",
                );
            }
            None
        }
        (None, Some(_)) => {
            section.problem("", "a secret access key needs access_key_id beside it");
            None
        }
    }
}

fn log_level(section: &Section<'_>) -> String {
    let level: String = section.get("level", "info".to_owned());
    if !logging::is_filter(&level) {
        section.problem(
            "level",
            "must be error, warn, info, debug or trace, or a list such as info,librdkafka=warn",
        );
    }
    level
}

#[cfg(test)]
mod tests;
