//! A real Prometheus (Debian's package) with this repository's alert rules, and what it says over its HTTP API.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use spillway_testkit::children;

use crate::PATIENCE;

/// Much faster than anybody's, so that a rate over some seconds has points.
const EVERY: &str = "500ms";
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The running server; killed when this is dropped.
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

/// The folder of the alert rules.
pub(crate) fn rules() -> PathBuf {
    crate::root().join("ansible/roles/monitoring/files/rules")
}

impl Prometheus {
    /// Starts it in an empty folder. `targets` are the jobs with their addresses, named as the role names them.
    pub(crate) fn start(dir: &Path, targets: &[(&str, SocketAddr)]) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (config, log) = (dir.join("prometheus.yml"), dir.join("prometheus.log"));
        let job = |(name, target): &(&str, SocketAddr)| {
            format!("  - {{job_name: {name}, static_configs: [{{targets: ['{target}']}}]}}\n")
        };
        let jobs: String = targets.iter().map(job).collect();
        let text = format!(
            "global: {{scrape_interval: {EVERY}, scrape_timeout: {EVERY}, evaluation_interval: {EVERY}}}\n\
             rule_files: ['{}/*.yml']\nscrape_configs:\n{jobs}",
            rules().display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", dir.join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        let out = File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(out);
        let child = children::spawn(&mut command).expect("Debian's package prometheus is needed");
        let prometheus = Self { child, address, log };
        prometheus.until("answer", || prometheus.get("/-/ready").is_some_and(|(status, _)| status == 200));
        prometheus.until("scrape both programs", || {
            let up = prometheus.instant("up == 1");
            up.as_array().is_some_and(|up| up.len() == targets.len())
        });
        prometheus
    }

    /// Waits until `done` says so.
    pub(crate) fn until(&self, what: &str, done: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            let log = || std::fs::read_to_string(&self.log).unwrap_or_default();
            assert!(Instant::now() < deadline, "Prometheus did not {what}; its log:\n{}", log());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// The data of an answer, or what the server says is wrong.
    pub(crate) fn ask(&self, what: &str, arguments: &[(&str, &str)]) -> Result<Value, String> {
        let arguments: Vec<_> =
            arguments.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let path = format!("/api/v1/{what}?{}", arguments.join("&"));
        let (_, body) = self.get(&path).ok_or("no answer")?;
        let mut answer: Value = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(body) }
    }

    /// What an expression comes to now: a list of series.
    pub(crate) fn instant(&self, expression: &str) -> Value {
        self.ask("query", &[("query", expression)]).unwrap()["result"].take()
    }

    /// How many series an expression gives over the last minutes.
    pub(crate) fn series_of_range(&self, expression: &str) -> Result<usize, String> {
        let now = self.instant("time()")[0].as_f64().unwrap();
        let (start, end) = ((now - 300.0).to_string(), now.to_string());
        let arguments = [("query", expression), ("start", &start), ("end", &end), ("step", "1")];
        let data = self.ask("query_range", &arguments)?;
        Ok(data["result"].as_array().map_or(0, Vec::len))
    }

    /// How many series a selector has found since the start.
    pub(crate) fn series(&self, selector: &str) -> usize {
        let found = self.ask("series", &[("match[]", selector)]);
        found.unwrap_or_else(|error| panic!("{selector}: {error}")).as_array().map_or(0, Vec::len)
    }

    /// The names of the alerts that are pending or firing.
    pub(crate) fn active_alerts(&self) -> Vec<Value> {
        self.ask("alerts", &[]).unwrap()["alerts"].as_array().cloned().unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Gone already when all went wrong.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn encoded(text: &str) -> String {
    let byte = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(byte).collect()
}
