//! The settings that every Kafka client of Spillway shares: the `[kafka]` table, read and turned into
//! librdkafka's configuration.

mod access;
mod complaints;
#[cfg(feature = "aws")]
mod msk;
mod refusal;
mod security;
#[cfg(feature = "aws")]
mod tokens;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::settings::Section;

pub use access::{Access, TokenError};
pub use refusal::Refusal;
pub use security::{AwsKey, AwsRole, Certificate, Login, Sasl, Security};

/// How to reach the cluster.
#[derive(Debug, Clone)]
pub struct KafkaSettings {
    /// `host:port,host:port`
    pub brokers: String,
    /// Further librdkafka options, passed on as they are.
    pub options: Vec<(String, String)>,
    /// Encryption and authentication, shared by all clients that are made from these settings.
    access: Access,
}

impl KafkaSettings {
    /// Settings for a cluster that needs no security, such as a test's.
    #[must_use]
    pub fn plain(brokers: impl Into<String>) -> Self {
        Self { brokers: brokers.into(), options: Vec::new(), access: Access::new(Security::default()) }
    }

    /// Reads the keys of the `[kafka]` table that all clients share. `reserved` names the librdkafka
    /// options that the program sets itself, each of which a promise depends on.
    pub fn read(kafka: &Section<'_>, reserved: &[&str]) -> Self {
        let brokers: String = kafka.require("brokers", "\"kafka-1:9092,kafka-2:9092\"");
        let options = kafka.string_map("options");
        for (key, _) in &options {
            if is_secret(key) {
                let message = format!("{key:?} is a secret and does not belong here; see docs/security.md");
                kafka.problem("options", &message);
            } else if reserved.contains(&key.as_str()) || is_shared(key) {
                kafka.problem("options", &format!("{key:?} is set by Spillway itself; remove it"));
            }
        }
        let access = Access::new(Security::read(kafka, &brokers));
        Self { brokers, options, access }
    }

    /// What the clients of one program share to log in: hand a clone to each client's context.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access.clone()
    }

    /// Encryption and authentication.
    #[must_use]
    pub fn security(&self) -> &Security {
        self.access.security()
    }

    /// What an operator should know about the settings although they are valid.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.access.security().warnings()
    }

    /// A librdkafka configuration with what the settings say.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Else the level is that of the `log` crate, which nobody sets; the filter of our own log decides.
        let is_debugged = self.options.iter().any(|(key, _)| key == "debug");
        config.set_log_level(if is_debugged { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info });
        config.set("bootstrap.servers", &self.brokers);
        self.access.security().apply(&mut config);
        for (key, value) in &self.options {
            config.set(key, value);
        }
        config
    }
}

/// Options that are secrets themselves, in whatever form librdkafka takes them.
fn is_secret(key: &str) -> bool {
    key.ends_with(".password")
        || key.ends_with(".secret")
        || key.starts_with("ssl.key.pem")
        || key == "ssl_key"
        || key == "sasl.oauthbearer.config"
}

/// Options that are settings of Spillway's own.
fn is_shared(key: &str) -> bool {
    let own = [
        "bootstrap.servers",
        "metadata.broker.list",
        "security.protocol",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "enable.sasl.oauthbearer.unsecure.jwt",
    ];
    own.contains(&key) || key.starts_with("sasl.")
}

#[cfg(test)]
mod tests;
