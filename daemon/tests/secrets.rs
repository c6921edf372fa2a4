//! No secret comes out: the real program, at its most talkative, with a secret in every setting that
//! takes one, refused by the upstream and by Kafka. All that it writes, says and answers is searched for
//! each secret, plain and in Base64.
#![cfg(feature = "aws")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the helpers of a test fail loudly, as the test does"
)]

mod common;
#[path = "secrets/servers.rs"]
mod servers;

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use common::{Rig, command, free_address, wait_until};
use servers::Server;
use spillway_testkit::children;
use spillway_testkit::upstream::{Options, Refusal};

const TOKEN: &str = "bearer-8c1f-of-the-upstream";
const PASSWORD: &str = "password-55d2-of-the-user";
/// What `secrets/client-key.pem` is encrypted with.
const KEY_PASSWORD: &str = "lock-of-the-key-7f3a";
const WRONG_KEY_PASSWORD: &str = "not-the-lock-of-the-key-91bb";
const QUERY: &str = "query-token-1e09-in-the-address";
const AWS_SECRET: &str = "aws-secret-4410-of-the-instance";
const AWS_SESSION: &str = "aws-session-2b7e-of-the-instance";
const ALL: [&str; 7] = [TOKEN, PASSWORD, KEY_PASSWORD, WRONG_KEY_PASSWORD, QUERY, AWS_SECRET, AWS_SESSION];

/// A run of the program and where all that it writes goes.
struct Run {
    dir: PathBuf,
    child: Child,
    admin: std::net::SocketAddr,
}

/// Writes `secret` to a file of its own, and returns its path.
fn file(dir: &Path, name: &str, secret: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, secret).unwrap();
    path.display().to_string()
}

/// A configuration that logs everything, librdkafka's debugging included.
fn config(spool: &Path, source: &str, kafka: &str, admin: &str) -> String {
    format!(
        "[source]\ntype = 'http_ndjson'\n{source}\n[kafka]\ntopic = 'events'\n{kafka}\n\
         options = {{ debug = 'all' }}\n[spool]\ndir = '{}'\nfree_floor = 0\n\
         [shutdown]\ndrain_deadline = '1s'\n[log]\nlevel = 'trace'\n[admin]\nlisten = '{admin}'\n",
        spool.display()
    )
}

impl Run {
    /// Starts the program with its folders below `root`.
    fn start(root: &Path, name: &str, source: &str, kafka: &str, env: &[(&str, String)]) -> Self {
        let dir = root.join(name);
        std::fs::create_dir(&dir).unwrap();
        let admin = free_address();
        let path = dir.join("spillwayd.toml");
        std::fs::write(&path, config(&dir.join("spool"), source, kafka, &admin.to_string())).unwrap();
        let check = children::output(command().args(["check", "--config"]).arg(&path)).unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
        std::fs::write(dir.join("check"), [check.stdout, check.stderr].concat()).unwrap();
        let output = |name| Stdio::from(std::fs::File::create(dir.join(name)).unwrap());
        let mut command = command();
        command.args(["run", "--config"]).arg(&path).envs(env.iter().map(|(k, v)| (k, v)));
        let child = children::spawn(command.stdout(output("stdout")).stderr(output("stderr"))).unwrap();
        // It would be searched with the rest, and it has the query's token by right.
        wait_until("it has read its configuration", || !Self::read(&dir, "stderr").is_empty());
        std::fs::remove_file(path).unwrap();
        Self { dir, child, admin }
    }

    fn read(dir: &Path, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(dir.join(name)).unwrap_or_default()).into_owned()
    }

    fn said(&self, words: &str) -> bool {
        Self::read(&self.dir, "stderr").contains(words)
    }

    /// Keeps what the admin endpoint answers, as another file to be searched.
    fn keep_answers(&self) {
        use std::io::{Read, Write};
        for path in ["status", "metrics", "healthz", "readyz"] {
            let mut stream = std::net::TcpStream::connect(self.admin).unwrap();
            write!(stream, "GET /{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 200") || path == "readyz");
            std::fs::write(self.dir.join(path), answer).unwrap();
        }
    }

    /// SIGTERM, and the exit code.
    fn end(mut self) -> i32 {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Already gone in a test that went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All that would betray `secret`: itself, and what is left of it inside any Base64 text, whatever
/// stands before it there.
fn needles(secret: &str) -> Vec<String> {
    let mut needles = vec![secret.to_owned()];
    for before in 0..3 {
        let text = [&vec![b'x'; before], secret.as_bytes()].concat();
        // The first characters depend on what stands before, the last on what follows.
        let (skip, whole) = ((before * 4).div_ceil(3), text.len() / 3 * 4);
        for encoded in [BASE64_STANDARD_NO_PAD.encode(&text), BASE64_URL_SAFE_NO_PAD.encode(&text)] {
            needles.push(encoded[skip..whole].to_owned());
        }
    }
    needles
}

/// Every file below `dir` that has one of the secrets in it.
fn betrayed(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(betrayed(&path));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for secret in ALL {
            for needle in needles(secret) {
                if let Some(at) = memchr::memmem::find(&bytes, needle.as_bytes()) {
                    let around = &bytes[at.saturating_sub(200)..(at + needle.len() + 40).min(bytes.len())];
                    found.push(format!("{}: {needle}: {}", path.display(), String::from_utf8_lossy(around)));
                }
            }
        }
    }
    found
}

#[test]
fn the_search_finds_a_secret_in_every_form() {
    let dir = tempfile::tempdir().unwrap();
    for before in ["", "u", "us", "user:"] {
        let text = BASE64_STANDARD_NO_PAD.encode(format!("{before}{PASSWORD}, and more"));
        file(dir.path(), "log", &text);
        assert!(!betrayed(dir.path()).is_empty(), "{before:?}");
    }
    file(dir.path(), "log", "nothing to see");
    assert_eq!(betrayed(dir.path()), [] as [String; 0]);
}

/// A login with a password that the broker refuses, and an upstream that refuses for a while.
fn refused_login(rig: &Rig, secrets: &Path, out: &Path) {
    let broker = Server::broker();
    let upstream = rig.upstream(31, 200, Options { token: Some(TOKEN.to_owned()), ..Options::default() });
    upstream.refuse(&Refusal::status(503), 1);
    let source = format!(
        "url = '{}?access_token={QUERY}'\nid = '/data/id'\nbearer_token_file = '{}'",
        upstream.url(),
        file(secrets, "token", TOKEN)
    );
    let password = file(secrets, "password", PASSWORD);
    let kafka = format!(
        "brokers = '{}'\nsasl_mechanism = 'PLAIN'\nusername = 'u'\npassword_file = '{password}'",
        broker.address
    );
    let run = Run::start(out, "login", &source, &kafka, &[]);
    wait_until("the refusal is told", || run.said("kafka_refused"));
    assert!(run.said("Kafka refuses the login"), "with what to do");
    wait_until("the broker has heard the password", || broker.has_heard(PASSWORD.as_bytes()));
    assert!(upstream.wait_finished(common::PATIENCE), "the upstream has heard the token");
    wait_until("the records are on disk", || {
        run.keep_answers();
        Run::read(&run.dir, "status").contains("\"spooled\": 200")
    });
    assert_eq!(run.end(), 0);
}

/// A client certificate whose key is opened, and one whose key is not.
fn client_keys(secrets: &Path, out: &Path) {
    let broker = Server::broker();
    let pem = |name: &str| format!("{}/tests/secrets/{name}", env!("CARGO_MANIFEST_DIR"));
    let source = "url = 'http://127.0.0.1:9/'\nstart_timeout = '0'";
    for (name, password, told) in [
        ("key", KEY_PASSWORD, "the TLS handshake with Kafka fails"),
        ("wrong-key", WRONG_KEY_PASSWORD, "no Kafka client can be set up"),
    ] {
        let kafka = format!(
            "brokers = '{}'\ntls = true\ncert_file = '{}'\nkey_file = '{}'\nkey_password_file = '{}'",
            broker.address,
            pem("client.pem"),
            pem("client-key.pem"),
            file(secrets, name, password)
        );
        let run = Run::start(out, name, source, &kafka, &[]);
        wait_until("the refusal is told", || run.said(told));
        run.keep_answers();
        assert_eq!(run.end(), 0);
    }
}

/// A token signed with credentials of the instance.
fn aws_token(out: &Path) {
    let (broker, metadata) = (Server::broker(), Server::metadata(AWS_SECRET, AWS_SESSION));
    let env = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{}", metadata.address))];
    let source = "url = 'http://127.0.0.1:9/'\nstart_timeout = '0'";
    let kafka = format!(
        "brokers = '{}'\ntls = true\nsasl_mechanism = 'AWS_MSK_IAM'\nregion = 'eu-west-1'",
        broker.address
    );
    let run = Run::start(out, "aws", source, &kafka, &env);
    wait_until("credentials are asked for", || metadata.has_heard(b"/iam/security-credentials/edge"));
    // Without a token the client does not even connect.
    wait_until("a token is there", || run.said("the TLS handshake with Kafka fails"));
    run.keep_answers();
    assert_eq!(run.end(), 0);
}

/// An upstream that refuses the token for good.
fn refused_token(rig: &Rig, secrets: &Path, out: &Path) {
    let upstream = rig.upstream(32, 1, Options { token: Some("another".to_owned()), ..Options::default() });
    let token = file(secrets, "refused-token", TOKEN);
    let source = format!("url = '{}?access_token={QUERY}'\nbearer_token_file = '{token}'", upstream.url());
    let mut run = Run::start(out, "token", &source, "brokers = '127.0.0.1:9'", &[]);
    assert_eq!(run.child.wait().unwrap().code(), Some(77), "the upstream refuses");
    assert!(run.said("401 Unauthorized"));
}

#[test]
fn no_secret_comes_out() {
    let rig = Rig::start();
    let secrets = tempfile::tempdir().unwrap();
    let out = tempfile::tempdir().unwrap();
    refused_login(&rig, secrets.path(), out.path());
    client_keys(secrets.path(), out.path());
    aws_token(out.path());
    refused_token(&rig, secrets.path(), out.path());
    let log = Run::read(&out.path().join("login"), "stderr");
    assert!(log.contains("TRACE") && log.contains("librdkafka"), "the program is at its most talkative");
    assert_eq!(betrayed(out.path()), [] as [String; 0]);
}
