//! A real browser without a window: Debian's Chromium, told what to do over the DevTools protocol.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use spillway_testkit::children;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Names the browser, or is [`REQUIRED`]; whoever sets it wants these tests to run.
const BROWSER: &str = "SPILLWAY_CHROMIUM";
/// There must be one of the usual names.
const REQUIRED: &str = "required";
/// What Debian, others, and its makers call it.
const USUAL: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// Longest wait for the browser.
const PATIENCE: Duration = Duration::from_secs(60);

/// Without these it would look for updates, and for its own services.
const FLAGS: [&str; 13] = [
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-port=0",
];

/// How a page is looked at.
#[derive(Clone, Copy)]
pub(crate) struct Sight {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) dark: bool,
}

pub(crate) struct Browser {
    child: Child,
    /// Its profile, removed at the end.
    _dir: TempDir,
    runtime: Runtime,
    socket: WebSocketStream<TcpStream>,
    session: String,
    number: u64,
    errors: Vec<String>,
}

impl Browser {
    /// Where the browser is, or why these tests are left out.
    pub(crate) fn find() -> Result<PathBuf, String> {
        let wish = std::env::var_os(BROWSER);
        if let Some(named) = wish.as_ref().filter(|wish| *wish != REQUIRED) {
            return Ok(named.into());
        }
        let found = installed(&std::env::var_os("PATH").unwrap_or_default());
        let why =
            format!("no {} in PATH: apt-get install chromium, or name a browser in {BROWSER}", USUAL[0]);
        assert!(found.is_some() || wish.is_none(), "{BROWSER} is {REQUIRED}, and there is {why}");
        found.ok_or(why)
    }

    /// Starts it with an empty page.
    pub(crate) fn start(program: &Path, sight: Sight) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command.args(FLAGS).arg(format!("--user-data-dir={}", dir.path().display())).arg("about:blank");
        if rustix::process::geteuid().is_root() {
            command.arg("--no-sandbox");
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = children::spawn(&mut command).unwrap();
        let (port, path) = endpoint(dir.path());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let socket = runtime.block_on(async {
            let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            client_async(format!("ws://127.0.0.1:{port}{path}"), stream).await.unwrap().0
        });
        let (session, number, errors) = (String::new(), 0, Vec::new());
        let mut browser = Self { child, _dir: dir, runtime, socket, session, number, errors };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        browser.session = text(&browser.call("Target.attachToTarget", &attach)["sessionId"]);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "Network.enable"] {
            browser.call(domain, &json!({}));
        }
        browser.look(sight);
        browser
    }

    /// Changes how the page is looked at.
    pub(crate) fn look(&mut self, sight: Sight) {
        let Sight { width, height, dark } = sight;
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", &json!({"features": features}));
    }

    /// Has each new page run this first.
    pub(crate) fn run_first(&mut self, script: &str) {
        self.call("Page.addScriptToEvaluateOnNewDocument", &json!({"source": script}));
    }

    pub(crate) fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", &json!({"url": url}));
        assert!(opened.get("errorText").is_none(), "{url}: {opened}");
    }

    /// What an expression comes to in the page.
    pub(crate) fn eval(&mut self, script: &str) -> Value {
        let answer = self.call(
            "Runtime.evaluate",
            &json!({"expression": script, "returnByValue": true, "awaitPromise": true}),
        );
        assert!(answer.get("exceptionDetails").is_none(), "{script}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// The text of the element with this id; empty when there is none yet.
    pub(crate) fn text(&mut self, id: &str) -> String {
        text(&self.eval(&format!("document.getElementById({id:?})?.textContent ?? ''")))
    }

    /// How many elements a selector finds.
    pub(crate) fn count(&mut self, selector: &str) -> u64 {
        self.eval(&format!("document.querySelectorAll({selector:?}).length")).as_u64().unwrap()
    }

    pub(crate) fn wait(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "timed out: {what}; errors: {:?}", self.errors);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the console and the browser complained about so far.
    pub(crate) fn errors(&mut self) -> Vec<String> {
        // An answer comes after all that happened before it.
        self.eval("0");
        std::mem::take(&mut self.errors)
    }

    /// The whole page as a PNG.
    pub(crate) fn picture(&mut self, path: &Path) {
        let height = self.eval("Math.ceil(document.documentElement.getBoundingClientRect().height)");
        let width = self.eval("innerWidth");
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let shot = self.call(
            "Page.captureScreenshot",
            &json!({"format": "png", "clip": clip, "captureBeyondViewport": true}),
        );
        std::fs::write(path, BASE64_STANDARD.decode(text(&shot["data"])).unwrap()).unwrap();
    }

    /// Calls a method and returns its result; what happens meanwhile is noted.
    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.number += 1;
        let mut request = json!({"id": self.number, "method": method, "params": params});
        if !self.session.is_empty() {
            request["sessionId"] = self.session.clone().into();
        }
        let Self { runtime, socket, number, errors, .. } = self;
        let exchange = async {
            socket.send(Message::text(request.to_string())).await.unwrap();
            loop {
                let Message::Text(said) = socket.next().await.unwrap().unwrap() else { continue };
                let said: Value = serde_json::from_str(&said).unwrap();
                if said["id"] == *number {
                    break said;
                }
                errors.extend(complaint(&said));
            }
        };
        let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, exchange).await });
        let answer = answer.unwrap_or_else(|_| panic!("no answer to {method}"));
        assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }
}

/// A browser of a usual name in the folders of a search path.
pub(crate) fn installed(path: &OsStr) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    USUAL.iter().find_map(|name| std::env::split_paths(path).map(|folder| folder.join(name)).find(is_program))
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its helpers end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An event that tells of an error, in words.
fn complaint(event: &Value) -> Option<String> {
    let params = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(params["exceptionDetails"].to_string()),
        "Runtime.consoleAPICalled" if params["type"] == "error" || params["type"] == "warning" => {
            Some(params["args"].to_string())
        }
        "Log.entryAdded" if params["entry"]["level"] == "error" || params["entry"]["level"] == "warning" => {
            Some(format!("{} {}", text(&params["entry"]["source"]), text(&params["entry"]["text"])))
        }
        _ => None,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Where the browser listens: it writes that into its profile.
fn endpoint(profile: &Path) -> (u16, String) {
    let mut found = None;
    super::wait_until("the browser listens", || {
        let text = std::fs::read_to_string(profile.join("DevToolsActivePort")).unwrap_or_default();
        let lines = text.split_once('\n');
        found = lines.and_then(|(port, path)| Some((port.parse().ok()?, path.trim().to_owned())));
        found.as_ref().is_some_and(|(_, path): &(u16, String)| !path.is_empty())
    });
    found.unwrap()
}
