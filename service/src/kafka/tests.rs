//! The `[kafka]` table of all clients, as settings and as librdkafka's options.

use std::path::Path;

use super::*;
use crate::settings::{Environment, parse};

fn read(text: &str) -> Result<KafkaSettings, String> {
    parse("f.toml", text, &Environment::default(), |root| KafkaSettings::read(root, &["acks"]))
        .map_err(|p| p.to_string())
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn settings_become_librdkafka_options() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "password", "hunter2\n");
    let text = format!(
        "brokers = 'a:1,b:2'\nsasl_mechanism = 'PLAIN'\nusername = 'u'\npassword_file = '{file}'\n[options]\n'socket.keepalive.enable' = true\n"
    );
    let settings = read(&text).unwrap();
    let config = settings.client_config();
    let get = |k| config.get(k).unwrap();
    assert_eq!(get("bootstrap.servers"), "a:1,b:2");
    assert_eq!(get("security.protocol"), "sasl_plaintext");
    assert_eq!(
        (get("sasl.mechanism"), get("sasl.username"), get("sasl.password")),
        ("PLAIN", "u", "hunter2")
    );
    assert_eq!(get("socket.keepalive.enable"), "true");
    let warnings = settings.warnings();
    assert!(warnings.iter().any(|w| w.contains("PLAIN without tls")), "{warnings:?}");
    assert!(!format!("{settings:?} {config:?}").contains("hunter2"));
}

#[test]
fn a_password_is_read_again_for_the_next_client() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "password", "old");
    let settings = read(&format!(
        "brokers = 'a:1'\nsasl_mechanism = 'PLAIN'\nusername = 'u'\npassword_file = '{file}'\n"
    ))
    .unwrap();
    let config = settings.client_config();
    std::fs::write(&file, "new").unwrap();
    let password = |config: &ClientConfig| config.get("sasl.password").unwrap().to_owned();
    assert_eq!(password(&settings.access().renewed(&config)), "new");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(password(&settings.access().renewed(&config)), "old", "the last one that could be read");
}

#[test]
fn an_option_that_a_promise_depends_on_is_refused() {
    let problems = read("brokers = 'a:1'\n[options]\nacks = 1\n").unwrap_err();
    assert!(problems.contains("f.toml:2: options: \"acks\" is set by Spillway itself"), "{problems}");
}

#[test]
fn a_secret_among_the_options_is_refused_and_not_shown() {
    for key in ["ssl.key.password", "sasl.password", "ssl.keystore.password", "ssl.key.pem"] {
        let problems = read(&format!("brokers = 'a:1'\n[options]\n'{key}' = 'hunter2'\n")).unwrap_err();
        assert!(problems.contains(&format!("{key:?} is a secret")), "{problems}");
        assert!(!problems.contains("hunter2"), "{problems}");
    }
}

#[test]
fn half_of_the_credentials_is_an_error() {
    let problems = |text: &str| read(&format!("brokers = 'a:1'\n{text}")).unwrap_err();
    assert!(problems("username = 'u'\n").contains("sasl_mechanism: missing beside"));
    assert!(problems("sasl_mechanism = 'PLAIN'\n").contains("needs username and password_file"));
    assert!(problems("region = 'eu-west-1'\n").contains("belong to \"AWS_MSK_IAM\""));
    assert!(problems("cert_file = '/dev/null'\n").contains("cert_file: needs key_file beside it"));
    assert!(problems("key_file = '/dev/null'\n").contains("key_file: needs cert_file beside it"));
    assert!(problems("ca_file = '/nowhere/ca.pem'\n").contains("ca_file: cannot read /nowhere/ca.pem"));
    assert!(problems("access_key_id = 'AK'\n").contains("needs secret_access_key_file"));
}

#[test]
#[cfg(feature = "tls")]
fn tls_trusts_the_systems_authorities_or_ones_own_and_shows_a_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let ca = write(dir.path(), "ca.pem", "");
    let key = write(dir.path(), "key.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----");
    let password = write(dir.path(), "key-password", "hunter2");
    let config = read("brokers = 'a:1'\ntls = true\n").unwrap().client_config();
    assert_eq!(
        (config.get("security.protocol"), config.get("ssl.ca.location")),
        (Some("ssl"), Some("probe"))
    );
    let mutual =
        format!("brokers = 'a:1'\ntls = true\nca_file = '{ca}'\ncert_file = '{ca}'\nkey_file = '{key}'\n");
    assert!(read(&mutual).unwrap_err().contains("key_file: is encrypted; set key_password_file"));
    let config = read(&format!("{mutual}key_password_file = '{password}'\n")).unwrap().client_config();
    let options = ["ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.key.password"];
    assert_eq!(options.map(|k| config.get(k).unwrap()), [&*ca, &*ca, &*key, "hunter2"]);
}

#[test]
#[cfg(feature = "aws")]
fn aws_is_oauthbearer_and_needs_tls() {
    let aws = "brokers = 'b-1.x.kafka.eu-west-1.amazonaws.com:9098'\nsasl_mechanism = 'AWS_MSK_IAM'\n";
    assert!(read(aws).unwrap_err().contains("needs tls = true"));
    let config = read(&format!("{aws}tls = true\n")).unwrap().client_config();
    assert_eq!(
        (config.get("security.protocol"), config.get("sasl.mechanism")),
        (Some("sasl_ssl"), Some("OAUTHBEARER"))
    );
}
