//! The configuration of one source: what a service needs must be there, what it has is the default.

use std::path::PathBuf;
use std::time::Duration;

use spillway_service::secret::{Address, Secret};
use spillway_service::settings::{Section, Size};

use super::to_usize;
use crate::pointer::Pointer;
use crate::sources::service::{Framing, Resume, SERVICES, Service, Transport};

mod link;
mod socket;

use link::link;
pub use link::{LinkConfig, ProxyConfig};
pub use socket::{SocketConfig, Speech};

/// Where records come from.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Value of the `spillway-source` header.
    pub name: String,
    /// Pointer to the upstream's own id, for sources that do not read it themselves.
    pub id: Option<Pointer>,
    /// Pointer to the Kafka key.
    pub key: Option<Pointer>,
    /// Longest record; a longer one is dropped and counted.
    pub max_record_bytes: usize,
    /// What is read.
    pub kind: SourceKind,
}

impl SourceConfig {
    /// How long the very first connection may fail before the daemon gives up; zero for ever.
    #[must_use]
    pub fn start_timeout(&self) -> Duration {
        self.upstream().map_or(FILE_START_TIMEOUT, |(_, link)| link.start_timeout)
    }

    /// Whether the source gives again, after a restart, all that was not durable.
    #[must_use]
    pub fn can_resume(&self) -> bool {
        self.upstream().is_none_or(|(service, _)| service.resume == Resume::Always)
    }

    /// Whether its place is kept across restarts: to resume there, or to know what is missing.
    #[must_use]
    pub fn keeps_cursor(&self) -> bool {
        self.upstream().is_none_or(|(service, _)| service.resume.keeps_cursor())
    }

    /// The service that it connects to, and how; `None` for a file.
    fn upstream(&self) -> Option<(&'static Service, &LinkConfig)> {
        match &self.kind {
            SourceKind::Http(http) => Some((http.service, &http.link)),
            SourceKind::Socket(socket) => Some((socket.service, &socket.link)),
            SourceKind::File(_) => None,
        }
    }

    /// What an operator should know about it although it is valid.
    pub(super) fn warnings(&self) -> Vec<String> {
        let link = self.upstream().into_iter().flat_map(|(_, link)| link.secrets());
        let sent = match &self.kind {
            SourceKind::Socket(socket) => socket.sent(),
            _ => &[],
        };
        link.chain(sent).filter_map(Secret::warning).collect()
    }
}

/// A file that is not there at the start is most likely a mistake in its path.
const FILE_START_TIMEOUT: Duration = Duration::from_secs(5);

/// What is read.
#[derive(Debug, Clone)]
pub enum SourceKind {
    /// A stream over HTTP.
    Http(Box<HttpConfig>),
    /// Messages over WebSockets.
    Socket(Box<SocketConfig>),
    /// Lines of a file.
    File(FileConfig),
}

/// An HTTP stream.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// What is particular about the service.
    pub service: &'static Service,
    /// How its records are told apart.
    pub framing: Framing,
    /// Address; its query may carry a token.
    pub url: Address,
    /// Pointer to the upstream's own id.
    pub id: Option<Pointer>,
    /// Pointer to the time of an event.
    pub time: Option<Pointer>,
    /// Whether the account may ask for the minutes that it missed.
    pub backfill: bool,
    /// Whether messages that are no data are produced, too.
    pub produce_notices: bool,
    /// How it is reached.
    pub link: LinkConfig,
}

/// A file.
#[derive(Debug, Clone)]
pub struct FileConfig {
    /// Its path.
    pub path: PathBuf,
    /// Wait for more at the end, instead of finishing.
    pub follow: bool,
}

/// Reads one source.
pub(super) fn source(section: &Section<'_>) -> SourceConfig {
    // The first one is what a missing or wrong type is read as, to find the other problems.
    let mut kinds: Vec<(&str, Option<&'static Service>)> =
        SERVICES.iter().map(|service| (service.name, Some(service))).collect();
    kinds.push(("file", None));
    if !section.has("type") {
        section.problem("type", "missing; add it, for example: type = \"http_ndjson\"");
    }
    let service = section.choice("type", &kinds);
    let given: String = section.get("name", service.map_or("file", |service| service.name).to_owned());
    if given.is_empty() || given.len() > 100 {
        section.problem("name", "must have 1 to 100 characters");
    }
    let Size(max) = section.within("max_record_bytes", Size(1 << 20), Size(1 << 10)..=Size(15 << 20));
    let (id, kind) = match service.map(|service| (service, service.transport)) {
        Some((service, Transport::Http(framing))) => {
            (None, SourceKind::Http(Box::new(http(section, service, framing))))
        }
        Some((service, Transport::WebSocket(protocol))) => {
            (None, SourceKind::Socket(Box::new(socket::socket(section, service, protocol))))
        }
        None => (pointer(section, "id", None), SourceKind::File(file(section))),
    };
    SourceConfig {
        name: given,
        id,
        key: pointer(section, "key", None),
        max_record_bytes: to_usize(max),
        kind,
    }
}

fn file(section: &Section<'_>) -> FileConfig {
    FileConfig {
        path: section.require("path", "\"/var/log/events.ndjson\""),
        follow: section.get("follow", true),
    }
}

const PROXIES: [&str; 6] = ["http://", "https://", "socks4://", "socks4a://", "socks5://", "socks5h://"];

fn http(section: &Section<'_>, service: &'static Service, framing: Framing) -> HttpConfig {
    let url = match service.url {
        Some(usual) => section.get("url", usual.to_owned()),
        None => section.require("url", "\"https://stream.example.org/events\""),
    };
    HttpConfig {
        framing,
        url: link::address(section, "url", url, ["http://", "https://"]),
        id: pointer(section, "id", service.id),
        time: pointer(section, "time", service.time),
        backfill: service.resume == Resume::Backfill && section.get("backfill", false),
        produce_notices: section.choice("notices", &[("count", false), ("produce", true)]),
        link: link(section, service, &PROXIES),
        service,
    }
}

/// The pointer at `key`, else the usual one.
pub(super) fn pointer(section: &Section<'_>, key: &str, usual: Option<&str>) -> Option<Pointer> {
    let given: Option<String> = section.optional(key);
    let text = given.or_else(|| usual.map(str::to_owned))?;
    let parsed = Pointer::parse(&text);
    if parsed.is_none() {
        section.problem(key, "must be a JSON pointer, such as \"/data/id\"");
    }
    parsed
}
