//! The life of credentials with a made-up clock, and the chain against an instance metadata service in
//! this process.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::kafka::AwsKey;
use crate::secret;

fn some() -> Credentials {
    Credentials::new("AK", "hunter2", None, None, "test")
}

#[test]
fn credentials_are_used_while_they_last() {
    let (mut held, start) = (Held::default(), Instant::now());
    let after = |s| start + Duration::from_secs(s);
    assert!(held.is_silent(start));
    held.answered(Ok(some()), start);
    assert_eq!(held.usable(start).unwrap().1, Duration::from_secs(300));
    assert_eq!(held.wait(), Duration::from_secs(60));
    held.answered(Err("timed out".into()), after(60));
    assert_eq!(held.usable(after(270)).unwrap().1, Duration::from_secs(30), "the last ones while they last");
    assert!(held.usable(after(271)).is_none());
    held.answered(Ok(some()), after(280));
    assert!(held.failure.is_none() && held.usable(after(280)).is_some());
}

#[test]
fn failures_are_asked_after_with_patience() {
    let mut held = Held::default();
    let waits: Vec<_> = (0..8)
        .map(|_| {
            held.answered(Err("no".into()), Instant::now());
            held.wait().as_secs()
        })
        .collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
}

/// An instance metadata service with version 2's session token, as EC2 has it.
struct Metadata {
    address: String,
    gone: std::sync::Arc<AtomicBool>,
}

impl Metadata {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let gone = std::sync::Arc::new(AtomicBool::new(false));
        let is_gone = std::sync::Arc::clone(&gone);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_gone.load(Ordering::Relaxed) {
                    return;
                }
                answer(stream.unwrap());
            }
        });
        Self { address, gone }
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address.trim_start_matches("http://"));
    }
}

fn answer(mut stream: TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let known = head.contains("x-aws-ec2-metadata-token: session-1");
    let role = "/latest/meta-data/iam/security-credentials/";
    let body = if head.starts_with("put /latest/api/token ") {
        "session-1".to_owned()
    } else if known && head.starts_with(&format!("get {role} ")) {
        "edge".to_owned()
    } else if known && head.starts_with(&format!("get {role}edge ")) {
        let expires = chrono::Utc::now() + chrono::TimeDelta::hours(6);
        format!(
            r#"{{"Code":"Success","AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"hunter2","Token":"session+token","Expiration":"{}"}}"#,
            expires.to_rfc3339()
        )
    } else {
        let _ = write!(stream, "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        return;
    };
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        .unwrap();
}

#[test]
fn the_instances_role_gives_credentials() {
    let metadata = Metadata::start();
    let env = |name: &str| (name == "AWS_EC2_METADATA_SERVICE_ENDPOINT").then(|| metadata.address.clone());
    let keeper = Keeper::start(Platform::of(env)).unwrap();
    let (credentials, life) = keeper.credentials(Duration::from_secs(30)).unwrap();
    assert_eq!(credentials.access_key_id(), "ASIAEXAMPLE");
    assert_eq!(credentials.secret_access_key(), "hunter2");
    assert_eq!(credentials.session_token(), Some("session+token"));
    assert!(life > Duration::from_secs(250), "{life:?}");
}

#[test]
fn credentials_that_do_not_come_hold_up_nobody() {
    // A listener whose backlog takes the connection and that never answers.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", deaf.local_addr().unwrap());
    let env = |name: &str| (name == "AWS_EC2_METADATA_SERVICE_ENDPOINT").then(|| address.clone());
    let keeper = Keeper::start(Platform::of(env)).unwrap();
    let error = keeper.credentials(Duration::ZERO).unwrap_err();
    assert_eq!(error.to_string(), "no AWS credentials yet: the instance's role (IMDSv2) has not answered");
}

#[test]
fn an_error_says_what_was_asked_and_that_the_environments_key_is_not_used() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let env = |name: &str| match name {
        "AWS_EC2_METADATA_SERVICE_ENDPOINT" => Some(format!("http://{closed}")),
        "AWS_SECRET_ACCESS_KEY" => Some("hunter2".to_owned()),
        _ => None,
    };
    let keeper = Keeper::start(Platform::of(env)).unwrap();
    let error = keeper.credentials(Duration::from_secs(60)).unwrap_err().to_string();
    assert!(
        error.contains("the instance's role (IMDSv2); AWS_SECRET_ACCESS_KEY in the environment is not used"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_key_signs_with_the_secret_that_its_file_has_now() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, "one").unwrap();
    let key = AwsKey { id: "AK".into(), secret: secret::from_file(path.clone()).unwrap() };
    let tokens = Tokens::new(AwsRole { region: "eu-west-1".into(), key: Some(key) });
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let token = tokens.token(Duration::ZERO).unwrap();
    let left = u128::try_from(token.lifetime_ms).unwrap() - now.as_millis();
    assert!((890_000..=960_000).contains(&left), "{left} ms");
    std::fs::remove_file(&path).unwrap();
    let Err(error) = tokens.token(Duration::ZERO) else { panic!("there is no secret") };
    assert!(error.to_string().contains("cannot read the secret's file"), "{error}");
}
