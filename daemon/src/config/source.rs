//! The configuration of one source: what a service needs must be there, what it has is the default.

use std::path::PathBuf;
use std::time::Duration;

use spillway_service::secret::{Address, Secret};
use spillway_service::settings::{Section, Size};

use super::to_usize;
use crate::pointer::Pointer;
use crate::sources::reconnect::Plan;
use crate::sources::service::{Resume, SERVICES, Service};

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
        match &self.kind {
            SourceKind::Http(http) => http.start_timeout,
            SourceKind::File(_) => FILE_START_TIMEOUT,
        }
    }

    /// Whether the source gives again, after a restart, all that was not durable.
    #[must_use]
    pub fn can_resume(&self) -> bool {
        match &self.kind {
            SourceKind::Http(http) => http.service.resume == Resume::Always,
            SourceKind::File(_) => true,
        }
    }

    /// Whether its place is kept across restarts: to resume there, or to know what is missing.
    #[must_use]
    pub fn keeps_cursor(&self) -> bool {
        match &self.kind {
            SourceKind::Http(http) => http.service.resume.keeps_cursor(),
            SourceKind::File(_) => true,
        }
    }

    /// What an operator should know about it although it is valid.
    pub(super) fn warnings(&self) -> Vec<String> {
        let SourceKind::Http(http) = &self.kind else { return Vec::new() };
        let password = http.proxy.as_ref().and_then(|proxy| proxy.password.as_ref());
        http.bearer_token.iter().chain(password).filter_map(Secret::warning).collect()
    }
}

/// A file that is not there at the start is most likely a mistake in its path.
const FILE_START_TIMEOUT: Duration = Duration::from_secs(5);

/// What is read.
#[derive(Debug, Clone)]
pub enum SourceKind {
    /// A stream over HTTP.
    Http(Box<HttpConfig>),
    /// Lines of a file.
    File(FileConfig),
}

/// An HTTP stream.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// What is particular about the service.
    pub service: &'static Service,
    /// Address; its query may carry a token.
    pub url: Address,
    /// Bearer token.
    pub bearer_token: Option<Secret>,
    /// Pointer to the upstream's own id.
    pub id: Option<Pointer>,
    /// Pointer to the time of an event.
    pub time: Option<Pointer>,
    /// Whether the account may ask for the minutes that it missed.
    pub backfill: bool,
    /// Whether messages that are no data are produced, too.
    pub produce_notices: bool,
    /// Proxy for the connection.
    pub proxy: Option<ProxyConfig>,
    /// Certificates, in PEM, that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Longest wait for a connection and for the response's head.
    pub connect_timeout: Duration,
    /// Longest silence before the connection counts as dead; zero for no limit.
    pub idle_timeout: Duration,
    /// Longest wait for the very first connection before the daemon gives up; zero for no limit.
    pub start_timeout: Duration,
    /// When to connect again.
    pub plan: Plan,
}

/// A proxy.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// Its address: http, https, socks4, socks5, or socks5h to let it look up names.
    pub address: Address,
    /// User.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
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
    let (id, kind) = match service {
        Some(service) => (None, SourceKind::Http(Box::new(http(section, service)))),
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

fn http(section: &Section<'_>, service: &'static Service) -> HttpConfig {
    let bearer_token = section.secret("bearer_token");
    let named = ["bearer_token_file", "bearer_token_credential"].iter().any(|key| section.has(key));
    if service.needs_token && bearer_token.is_none() && !named {
        let message = format!("missing; {} serves nobody without a token", service.name);
        section.problem("bearer_token_file", &message);
    }
    let words = [("count", false), ("produce", true)];
    HttpConfig {
        url: url(section, service),
        bearer_token,
        id: pointer(section, "id", service.id),
        time: pointer(section, "time", service.time),
        backfill: service.resume == Resume::Backfill && section.get("backfill", false),
        produce_notices: section.choice("notices", &words),
        proxy: proxy(section),
        ca_file: authority(section),
        connect_timeout: section.get("connect_timeout", Duration::from_secs(10)),
        idle_timeout: section.get("idle_timeout", service.stall),
        start_timeout: section.get("start_timeout", Duration::from_secs(15)),
        plan: plan(section, service),
        service,
    }
}

/// The longest wait can be set where the service has no rules of its own.
fn plan(section: &Section<'_>, service: &Service) -> Plan {
    let mut plan = service.plan;
    if service.plan_is_ours {
        let longest = section.get("reconnect_max", Duration::from_secs(30));
        plan.network.max = longest;
        plan.http.max = longest;
        plan.told.max = longest;
    }
    plan
}

fn url(section: &Section<'_>, service: &Service) -> Address {
    let url: String = match service.url {
        Some(usual) => section.get("url", usual.to_owned()),
        None => section.require("url", "\"https://stream.example.org/events\""),
    };
    let https = url.starts_with("https://");
    if !url.is_empty() && !https && !url.starts_with("http://") {
        section.problem("url", "must begin with http:// or https://");
    }
    let url = Address::new(url);
    if url.has_user() {
        section.problem(
            "url",
            "must not hold a user name or password; use bearer_token_file or bearer_token_credential",
        );
    }
    if https && !cfg!(feature = "tls") {
        section.problem("url", "https needs a spillwayd built with --features tls");
    }
    url
}

fn proxy(section: &Section<'_>) -> Option<ProxyConfig> {
    let user: Option<String> = section.optional("proxy_user");
    let password = section.secret("proxy_password");
    let Some(text) = section.optional::<String>("proxy") else {
        if user.is_some() || password.is_some() {
            section.problem("proxy_user", "is of no use without proxy");
        }
        return None;
    };
    let schemes = ["http://", "https://", "socks4://", "socks4a://", "socks5://", "socks5h://"];
    if !schemes.iter().any(|scheme| text.starts_with(scheme)) {
        section.problem("proxy", "must begin with http://, https://, socks4://, socks5:// or socks5h://");
    }
    let address = Address::new(text);
    if address.has_user() {
        section.problem(
            "proxy",
            "must not hold a user name or password; use proxy_user and proxy_password_file",
        );
    }
    if address.reveal().starts_with("https://") && !cfg!(feature = "tls") {
        section.problem("proxy", "https needs a spillwayd built with --features tls");
    }
    Some(ProxyConfig { address, user, password })
}

fn authority(section: &Section<'_>) -> Option<PathBuf> {
    let path = section.optional("ca_file");
    if path.is_some() && !cfg!(feature = "tls") {
        section.problem("ca_file", "needs a spillwayd built with --features tls");
    }
    path
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
