//! Asks a daemon how it is doing, over HTTP or a UNIX socket. Each question ends in time.

use std::io;
use std::time::Duration;

use reqwest::{Client, Url};
use serde::de::DeserializeOwned;
use spillway_daemon::history::Report;
use spillway_daemon::sources::http::choose_cryptography;
use tokio::runtime::Runtime;

use super::address::Address;
use super::seen::Seen;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// An answer that is longer is none of a daemon's.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("no connection")]
    Connect(#[source] reqwest::Error),
    #[error("no answer for {} s", TIMEOUT.as_secs())]
    Late,
    #[error("the answer broke off")]
    Broken(#[source] reqwest::Error),
    #[error("the answer is {0}")]
    Status(reqwest::StatusCode),
    #[error("the answer is too long")]
    TooLong,
    #[error("the answer is none of a spillwayd")]
    Foreign(#[source] serde_json::Error),
}

/// Why nothing can be asked at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("cannot start the I/O runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot set up an HTTP client")]
    Client(#[source] reqwest::Error),
}

/// What the daemon said.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) seen: Seen,
    /// The samples that were asked for.
    pub(crate) report: Option<Report>,
}

/// Who asks.
#[derive(Debug)]
pub(crate) struct Asker {
    runtime: Runtime,
    client: Client,
    base: Url,
}

impl Asker {
    pub(crate) fn new(address: &Address) -> Result<Self, SetupError> {
        choose_cryptography();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let client = Client::builder()
            .timeout(TIMEOUT)
            .user_agent(concat!("spillwayd-top/", env!("CARGO_PKG_VERSION")))
            .no_proxy();
        let (client, base) = match address {
            Address::Url(url) => (client, url.clone()),
            Address::Unix(path) => (client.unix_socket(path.as_path()), nowhere()),
        };
        Ok(Self {
            runtime: runtime.map_err(SetupError::Runtime)?,
            client: client.build().map_err(SetupError::Client)?,
            base,
        })
    }

    /// The status; with `after_ms` also the samples since then, 0 for all.
    pub(crate) fn ask(&self, after_ms: Option<u64>) -> Result<Heard, AskError> {
        self.runtime.block_on(async {
            let report = match after_ms {
                Some(after) => Some(self.get(&format!("history?after={after}")).await?),
                None => None,
            };
            Ok(Heard { seen: self.get("status").await?, report })
        })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AskError> {
        // A path of ours can always be joined.
        let url = self.base.join(path).unwrap_or_else(|_| self.base.clone());
        let sent = self.client.get(url).send().await;
        let mut response =
            sent.map_err(|error| if error.is_timeout() { AskError::Late } else { AskError::Connect(error) })?;
        if !response.status().is_success() {
            return Err(AskError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(broken)? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(AskError::TooLong);
            }
            body.extend_from_slice(&piece);
        }
        serde_json::from_slice(&body).map_err(AskError::Foreign)
    }
}

fn broken(error: reqwest::Error) -> AskError {
    if error.is_timeout() { AskError::Late } else { AskError::Broken(error) }
}

/// A socket of the file system needs no host.
#[expect(clippy::unwrap_used, reason = "a constant that a test reads")]
fn nowhere() -> Url {
    Url::parse("http://localhost/").unwrap()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    /// Answers one request of each connection with `answer`.
    fn serve<C: io::Read + io::Write>(
        mut accept: impl FnMut() -> io::Result<C> + Send + 'static,
        answer: String,
    ) {
        std::thread::spawn(move || {
            while let Ok(mut peer) = accept() {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    peer.read_exact(&mut byte).unwrap();
                    head.extend(byte);
                }
                peer.write_all(answer.as_bytes()).unwrap();
            }
        });
    }

    fn http(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    fn ask(answer: String) -> AskError {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        serve(move || listener.accept().map(|(peer, _)| peer), answer);
        Asker::new(&address.parse().unwrap()).unwrap().ask(None).unwrap_err()
    }

    #[test]
    fn it_is_told_what_is_wrong() {
        assert!(matches!(ask(http("404 Not Found", "")), AskError::Status(status) if status.as_u16() == 404));
        assert!(matches!(ask(http("200 OK", "{\"version\":\"1\"}")), AskError::Foreign(_)));
        assert!(matches!(ask(http("200 OK", "x").replace("length: 1", "length: 9")), AskError::Broken(_)));
        let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let nobody = Asker::new(&format!("http://{taken}").parse().unwrap()).unwrap();
        assert!(matches!(nobody.ask(None), Err(AskError::Connect(_))));
    }

    #[test]
    fn a_socket_is_asked_like_an_address() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        let listener = UnixListener::bind(&path).unwrap();
        serve(move || listener.accept().map(|(peer, _)| peer), http("503 Service Unavailable", ""));
        let asker = Asker::new(&Address::Unix(path)).unwrap();
        assert!(matches!(asker.ask(Some(0)), Err(AskError::Status(status)) if status.as_u16() == 503));
    }
}
