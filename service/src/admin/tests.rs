//! Tests of the admin endpoint: where it listens, and what it answers.

use std::net::TcpStream;

use super::*;
use crate::settings::{self, Environment};

struct Fake {
    is_well: bool,
}

impl Endpoint for Fake {
    fn health(&self) -> Result<(), String> {
        if self.is_well { Ok(()) } else { Err("stuck".into()) }
    }

    fn ready(&self) -> Result<(), String> {
        if self.is_well { Ok(()) } else { Err("away".into()) }
    }

    fn status(&self) -> Result<String, Failure> {
        Ok("{}".into())
    }

    fn metrics(&self) -> Result<String, Failure> {
        if self.is_well { Ok("# EOF\n".into()) } else { Err("no figures".into()) }
    }

    fn more(&self, path: &str, query: Option<&str>) -> Result<Option<Answer>, Refusal> {
        if query == Some("odd") {
            return Err(Refusal::Question("ask evenly".into()));
        }
        let headers = vec![("content-type", "text/html".to_owned())];
        let answer = Answer { headers, body: format!("asked for {query:?}") };
        if !self.is_well {
            return Err(Failure::from("no page").into());
        }
        Ok((path == "/page").then_some(answer))
    }
}

/// Sends one request and reads the whole answer: its status code and its body.
fn ask(stream: impl io::Read + io::Write, path: &str) -> (u16, String) {
    let (head, body) = exchange(stream, path);
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
}

/// The same for the headers, in lines that each end with CRLF.
fn head(stream: impl io::Read + io::Write, path: &str) -> String {
    exchange(stream, path).0 + "\r\n"
}

fn exchange(mut stream: impl io::Read + io::Write, path: &str) -> (String, String) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// Serves on a thread of its own while `asking` runs.
fn serving<T>(bound: Bound, is_well: bool, asking: impl FnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.spawn(serve(bound, Arc::new(Fake { is_well })));
    asking()
}

#[test]
fn an_address_answers_what_the_service_says() {
    let bound = bind(&Listen::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
    let Listener::Tcp(listener) = &bound.0 else { panic!("an address") };
    let address = listener.local_addr().unwrap();
    let get = |path: &str| ask(TcpStream::connect(address).unwrap(), path);
    serving(bound, true, || {
        assert_eq!(get("/healthz"), (200, "ok\n".into()));
        assert_eq!(get("/readyz"), (200, "ready\n".into()));
        assert_eq!(get("/status"), (200, "{}\n".into()));
        assert_eq!(get("/metrics"), (200, "# EOF\n".into()));
        assert_eq!(get("/page?a=1"), (200, "asked for Some(\"a=1\")".into()));
        assert_eq!(get("/page").1, "asked for None");
        assert_eq!(get("/page?odd"), (400, "ask evenly\n".into()));
        assert_eq!(get("/other").0, 404);
        assert!(head(TcpStream::connect(address).unwrap(), "/page").contains("content-type: text/html\r\n"));
    });
}

#[test]
fn a_socket_says_what_is_wrong_and_is_gone_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let listen = Listen::Unix(path.clone());
    let bound = bind(&listen).unwrap();
    assert_eq!(bind(&listen).unwrap_err().kind(), io::ErrorKind::AddrInUse, "two do not share one");
    let get = |asked: &str| ask(UnixStream::connect(&path).unwrap(), asked);
    serving(bound, false, || {
        assert_eq!(get("/healthz"), (503, "not healthy: stuck\n".into()));
        assert_eq!(get("/readyz"), (503, "not ready: away\n".into()));
        assert_eq!(get("/metrics"), (500, "no figures\n".into()));
        assert_eq!(get("/page"), (500, "no page\n".into()));
    });
    assert!(!path.exists());
}

#[test]
fn a_configuration_says_where_it_listens() {
    let read = |text: &str| {
        let env = Environment::default();
        settings::parse("c.toml", text, &env, |root| Listen::read(&root.section("admin"), "127.0.0.1:9464"))
    };
    let tcp = |text: &str| Some(Listen::Tcp(text.parse().unwrap()));
    assert_eq!(read("").unwrap(), tcp("127.0.0.1:9464"));
    assert_eq!(read("[admin]\nlisten = \"none\"").unwrap(), None);
    assert_eq!(read("[admin]\nlisten = \"[::1]:80\"").unwrap(), tcp("[::1]:80"));
    let socket = read("[admin]\nlisten = \"unix:/run/a.sock\"").unwrap().unwrap();
    assert_eq!(
        (&socket, socket.to_string()),
        (&Listen::Unix("/run/a.sock".into()), "unix:/run/a.sock".into())
    );
    for bad in ["here", "unix:", "unix:a.sock", "127.0.0.1"] {
        let problems = read(&format!("[admin]\nlisten = \"{bad}\"")).unwrap_err().to_string();
        assert!(problems.contains("c.toml:2: admin.listen: must be an address with a port"), "{problems}");
    }
}
