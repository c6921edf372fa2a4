//! The real `spillwayd` logs in to a real Kafka cluster in every way it can; is refused in every way;
//! and delivers what it kept meanwhile once the refusal is mended, without a restart.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the helpers of a test fail loudly, as the test does"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use spillway_testkit::cluster::{Cluster, Listener, Options};
use spillway_testkit::kafka::Reader;
use spillway_testkit::program::{self, Launch, Program};
use spillway_testkit::tweets::{self, Generator};
use spillway_testkit::upstream::{self, Feed, Upstream};

const RECORDS: usize = 300;
/// What the half-open breaker tries with.
const TRIAL: usize = 50;
const PARTITIONS: i32 = 3;
/// Far above what anything here takes; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// One cluster for all tests of this file.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Options::default()).unwrap())
}

fn binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| program::build().unwrap()).clone()
}

fn wait_until(what: &str, log: &Path, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        if Instant::now() >= deadline {
            let text = std::fs::read_to_string(log).unwrap();
            panic!("timed out: {what}; the log:\n{text}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A daemon that reads [`RECORDS`] records for a topic of its own.
struct Rig {
    name: &'static str,
    dir: tempfile::TempDir,
    log: PathBuf,
    _upstream: Upstream,
    program: Program,
}

impl Rig {
    /// `kafka` gives the settings of the connection; it may write files into the folder.
    fn start(name: &'static str, listener: Listener, kafka: impl FnOnce(&Path) -> String) -> Self {
        let dir = tempfile::tempdir().unwrap();
        cluster().admin().create_topic(name, PARTITIONS, 3, &[]).unwrap();
        let plain = tweets::Options { repeat_share: 0.0, ..tweets::Options::default() };
        let feed = Feed::tweets(Generator::new(41, plain).take(RECORDS));
        let upstream = Upstream::start(feed, upstream::Options::default()).unwrap();
        let config = format!(
            "[source]\ntype = 'http_ndjson'\nurl = '{}'\nid = '/data/id'\n[kafka]\nbrokers = '{}'\ntopic = '{name}'\n{}\n\
             [spool]\ndir = '{}'\nfree_floor = 0\n[log]\nlevel = 'info'\n",
            upstream.url(),
            cluster().bootstrap(listener),
            kafka(dir.path()),
            dir.path().join("spool").display()
        );
        let launch = Launch { binary: binary(), dir: dir.path().to_owned(), config, hosts: None };
        let program = Program::start(&launch).unwrap();
        Self { name, log: launch.log(), dir, _upstream: upstream, program }
    }

    fn said(&self, words: &str) -> bool {
        std::fs::read_to_string(&self.log).unwrap().contains(words)
    }

    /// The refusal is told, the breaker is open, and every record is on disk.
    fn is_refused(&mut self, words: &[&str]) {
        for words in words {
            wait_until(&format!("{}: {words:?} is said", self.name), &self.log, || self.said(words));
        }
        let log = self.log.clone();
        wait_until("every record is on disk", &log, || {
            let status = self.program.status().unwrap();
            status.waiting == RECORDS as u64 && status.breaker == "open"
        });
    }

    /// Every record is in the topic, and the daemon ends well. Only a trial may have been sent twice: on a busy
    /// machine its answer can come too late.
    fn delivers(self) {
        let began = Instant::now();
        let reader = Reader::start(&cluster().bootstrap(Listener::Plain), self.name, PARTITIONS).unwrap();
        wait_until("every record is in the topic", &self.log, || reader.snapshot().ids().len() == RECORDS);
        eprintln!("{}: delivered after {:?}", self.name, began.elapsed());
        let records = reader.snapshot().records();
        assert!(records <= RECORDS + TRIAL, "{records} records, of which {RECORDS} are different");
        let stopped = self.program.terminate(PATIENCE).unwrap();
        assert!(stopped.status.success());
    }
}

fn file(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn ca() -> String {
    cluster().ca_file().display().to_string()
}

/// Settings for TLS with the cluster's authority.
fn tls() -> String {
    format!("tls = true\nca_file = '{}'", ca())
}

/// Settings for a login.
fn login(dir: &Path, mechanism: &str, user: &str, password: &str) -> String {
    let file = file(dir, "password", password);
    format!("sasl_mechanism = '{mechanism}'\nusername = '{user}'\npassword_file = '{file}'")
}

/// A certificate that signed nothing here.
fn stranger() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../daemon/tests/secrets/client.pem"))
        .unwrap()
}

#[test]
fn delivers_over_tls() {
    Rig::start("tls", Listener::Tls, |_| tls()).delivers();
}

#[test]
fn delivers_with_scram_over_tls() {
    let (user, password) = cluster().user();
    for (topic, mechanism) in [("scram-512", "SCRAM-SHA-512"), ("scram-256", "SCRAM-SHA-256")] {
        Rig::start(topic, Listener::SaslTls, |dir| {
            format!("{}\n{}", tls(), login(dir, mechanism, user, password))
        })
        .delivers();
    }
}

#[test]
fn delivers_with_plain() {
    let (user, password) = cluster().user();
    let rig = Rig::start("plain", Listener::SaslPlain, |dir| login(dir, "PLAIN", user, password));
    assert!(rig.said("PLAIN without tls"), "a warning");
    rig.delivers();
}

/// The client's certificate and key as PEM files, the key encrypted; the settings for them.
fn certificate(dir: &Path) -> String {
    let tls_files = cluster().tls();
    let store = tls_files.client_keystore.display().to_string();
    let (cert, key) = (dir.join("client.pem"), dir.join("client-key.pem"));
    let (opened, locked) = (format!("pass:{}", tls_files.password), "pass:lock-of-the-key");
    let openssl = |more: &[&str], out: &Path| {
        let status = Command::new("openssl")
            .args(["pkcs12", "-in", &store, "-passin", &opened])
            .args(more)
            .arg("-out")
            .arg(out)
            .status()
            .unwrap();
        assert!(status.success());
    };
    openssl(&["-clcerts", "-nokeys"], &cert);
    openssl(&["-nocerts", "-passout", locked], &key);
    let password = file(dir, "key-password", "lock-of-the-key");
    format!(
        "{}\ncert_file = '{}'\nkey_file = '{}'\nkey_password_file = '{password}'",
        tls(),
        cert.display(),
        key.display()
    )
}

#[test]
fn a_client_certificate_is_who_we_are_and_a_missing_right_is_told() {
    let topic = "certificate";
    let mut rig = Rig::start(topic, Listener::Tls, |dir| {
        // The first test of the right comes with the first record: it must be denied by then.
        cluster().admin().deny_writes(topic, "CN=spillway-client").unwrap();
        certificate(dir)
    });
    rig.is_refused(&["kafka_refused", "Kafka denies the right to do this"]);
    cluster().admin().allow_writes(topic).unwrap();
    rig.delivers();
}

#[test]
fn a_wrong_password_is_told_and_its_mended_file_is_used_without_a_restart() {
    let (user, password) = cluster().user();
    let mut rig = Rig::start("wrong-password", Listener::SaslTls, |dir| {
        format!("{}\n{}", tls(), login(dir, "SCRAM-SHA-512", user, "not this"))
    });
    rig.is_refused(&["kafka_refused", "Kafka refuses the login; check", "SCRAM"]);
    assert!(!rig.said("not this"));
    file(rig.dir.path(), "password", password);
    rig.delivers();
}

#[test]
fn an_unknown_user_is_told_and_delivers_once_it_is_created() {
    let mut rig = Rig::start("unknown-user", Listener::SaslPlain, |dir| {
        login(dir, "SCRAM-SHA-512", "newcomer", "newcomer-secret")
    });
    rig.is_refused(&["kafka_refused", "Kafka refuses the login; check"]);
    cluster().admin().scram_upsert("newcomer", "newcomer-secret").unwrap();
    rig.delivers();
}

#[test]
fn a_wrong_authority_is_told_and_its_mended_file_is_used_without_a_restart() {
    let mut rig = Rig::start("wrong-authority", Listener::Tls, |dir| {
        format!("tls = true\nca_file = '{}'", file(dir, "ca.pem", &stranger()))
    });
    rig.is_refused(&["kafka_refused", "check that kafka.ca_file is the CA of the brokers' certificates"]);
    std::fs::copy(cluster().ca_file(), rig.dir.path().join("ca.pem")).unwrap();
    rig.delivers();
}

#[test]
fn the_token_for_aws_reaches_the_brokers() {
    // These brokers know only tokens that are unsigned JSON: what can be shown is that they get ours
    // and turn it down as a token.
    let mut rig = Rig::start("aws", Listener::SaslTls, |dir| {
        let secret = file(dir, "secret-key", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        format!(
            "{}\nsasl_mechanism = 'AWS_MSK_IAM'\nregion = 'us-west-2'\naccess_key_id = 'AKIAIOSFODNN7EXAMPLE'\nsecret_access_key_file = '{secret}'",
            tls()
        )
    });
    rig.is_refused(&["no login to Kafka with AWS IAM", "invalid_token"]);
    assert!(!rig.said("wJalrXUtnFEMI"));
}
