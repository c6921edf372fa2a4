//! The settings that every Kafka client of Spillway shares: the `[kafka]` table, read and turned into
//! librdkafka's configuration.

use std::path::PathBuf;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::secret::Secret;
use crate::settings::Section;

/// How to reach the cluster.
#[derive(Debug, Clone)]
pub struct KafkaSettings {
    /// `host:port,host:port`
    pub brokers: String,
    /// Encryption and authentication.
    pub security: Security,
    /// Further librdkafka options, passed on as they are.
    pub options: Vec<(String, String)>,
}

/// Encryption and authentication of the connection to Kafka.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// Encrypt with TLS.
    pub tls: bool,
    /// A CA file to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// User name and password over SASL.
    pub sasl: Option<Sasl>,
}

/// SASL credentials.
#[derive(Debug, Clone)]
pub struct Sasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: &'static str,
    /// The user.
    pub username: String,
    /// The password.
    pub password: Secret,
}

impl KafkaSettings {
    /// Settings for a cluster that needs no security, such as a test's.
    #[must_use]
    pub fn plain(brokers: impl Into<String>) -> Self {
        Self { brokers: brokers.into(), security: Security::default(), options: Vec::new() }
    }

    /// Reads the keys of the `[kafka]` table that all clients share. `reserved` names the librdkafka
    /// options that the program sets itself, each of which a promise depends on.
    pub fn read(kafka: &Section<'_>, reserved: &[&str]) -> Self {
        let options = kafka.string_map("options");
        for (key, _) in options.iter().filter(|(k, _)| reserved.contains(&k.as_str()) || is_shared(k)) {
            kafka.problem("options", &format!("{key:?} is set by Spillway itself; remove it"));
        }
        Self {
            brokers: kafka.require("brokers", "\"kafka-1:9092,kafka-2:9092\""),
            security: Security::read(kafka),
            options,
        }
    }

    /// A librdkafka configuration with what the settings say.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Else the level is that of the `log` crate, which nobody sets; the filter of our own log decides.
        config.set_log_level(RDKafkaLogLevel::Info);
        config.set("bootstrap.servers", &self.brokers);
        config.set("security.protocol", self.security.protocol());
        if let Some(file) = &self.security.ca_file {
            config.set("ssl.ca.location", file.display().to_string());
        }
        if let Some(sasl) = &self.security.sasl {
            config.set("sasl.mechanism", sasl.mechanism);
            config.set("sasl.username", &sasl.username);
            config.set("sasl.password", sasl.password.reveal());
        }
        for (key, value) in &self.options {
            config.set(key, value);
        }
        config
    }
}

fn is_shared(key: &str) -> bool {
    key == "bootstrap.servers"
        || key == "security.protocol"
        || key.starts_with("sasl.")
        || key == "ssl.ca.location"
}

impl Security {
    fn read(kafka: &Section<'_>) -> Self {
        let tls = kafka.get("tls", false);
        if tls && !cfg!(feature = "tls") {
            kafka.problem("tls", "this program was built without TLS; build it with --features tls");
        }
        Self { tls, ca_file: kafka.optional("ca_file"), sasl: Sasl::read(kafka) }
    }

    fn protocol(&self) -> &'static str {
        match (self.tls, self.sasl.is_some()) {
            (false, false) => "plaintext",
            (true, false) => "ssl",
            (false, true) => "sasl_plaintext",
            (true, true) => "sasl_ssl",
        }
    }
}

impl Sasl {
    fn read(kafka: &Section<'_>) -> Option<Self> {
        let mechanism = kafka.choice(
            "sasl_mechanism",
            &[
                ("none", None),
                ("PLAIN", Some("PLAIN")),
                ("SCRAM-SHA-256", Some("SCRAM-SHA-256")),
                ("SCRAM-SHA-512", Some("SCRAM-SHA-512")),
            ],
        );
        let username: Option<String> = kafka.optional("username");
        let password = kafka.secret("password");
        let Some(mechanism) = mechanism else {
            if username.is_some() || password.is_some() {
                kafka.problem(
                    "sasl_mechanism",
                    "missing beside username or password; set it, for example to \"SCRAM-SHA-512\"",
                );
            }
            return None;
        };
        if mechanism.starts_with("SCRAM") && !cfg!(feature = "tls") {
            kafka.problem("sasl_mechanism", "SCRAM needs a program built with --features tls");
        }
        match (username, password) {
            (Some(username), Some(password)) => Some(Self { mechanism, username, password }),
            _ => {
                kafka.problem("sasl_mechanism", "needs username and password_file (or password_credential)");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Environment, parse};

    fn read(text: &str) -> Result<KafkaSettings, String> {
        parse("f.toml", text, &Environment::default(), |root| KafkaSettings::read(root, &["acks"]))
            .map_err(|p| p.to_string())
    }

    #[test]
    fn settings_become_librdkafka_options() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "hunter2\n").unwrap();
        let text = format!(
            "brokers = 'a:1,b:2'\nsasl_mechanism = 'PLAIN'\nusername = 'u'\npassword_file = '{}'\n[options]\n'socket.keepalive.enable' = true\n",
            file.display()
        );
        let config = read(&text).unwrap().client_config();
        let get = |k| config.get(k).unwrap();
        assert_eq!(get("bootstrap.servers"), "a:1,b:2");
        assert_eq!(get("security.protocol"), "sasl_plaintext");
        assert_eq!(
            (get("sasl.mechanism"), get("sasl.username"), get("sasl.password")),
            ("PLAIN", "u", "hunter2")
        );
        assert_eq!(get("socket.keepalive.enable"), "true");
    }

    #[test]
    fn an_option_that_a_promise_depends_on_is_refused() {
        let problems = read("brokers = 'a:1'\n[options]\nacks = 1\n").unwrap_err();
        assert!(problems.contains("f.toml:2: options: \"acks\" is set by Spillway itself"), "{problems}");
    }

    #[test]
    fn half_of_the_credentials_is_an_error() {
        assert!(
            read("brokers = 'a:1'\nusername = 'u'\n").unwrap_err().contains("sasl_mechanism: missing beside")
        );
        assert!(
            read("brokers = 'a:1'\nsasl_mechanism = 'PLAIN'\n")
                .unwrap_err()
                .contains("needs username and password_file")
        );
    }
}
