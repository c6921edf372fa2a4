//! What all sources have in common that connect to an upstream: token, proxy, authority, time limits, and
//! when to connect again.

use std::path::PathBuf;
use std::time::Duration;

use spillway_service::secret::{Address, Secret};
use spillway_service::settings::Section;

use crate::sources::reconnect::Plan;
use crate::sources::service::Service;

/// How an upstream is reached.
#[derive(Debug, Clone)]
pub struct LinkConfig {
    /// Bearer token.
    pub bearer_token: Option<Secret>,
    /// Proxy for the connection.
    pub proxy: Option<ProxyConfig>,
    /// Certificates, in PEM, that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Longest wait for a connection and for the answer's head.
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
    /// Its address; socks5h to let it look up names.
    pub address: Address,
    /// User.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
}

impl LinkConfig {
    /// Its secrets.
    pub(in crate::config) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let password = self.proxy.as_ref().and_then(|proxy| proxy.password.as_ref());
        self.bearer_token.iter().chain(password)
    }
}

/// Reads what is in common; `schemes` are those of the proxies that can be spoken to.
pub(super) fn link(section: &Section<'_>, service: &Service, schemes: &[&str]) -> LinkConfig {
    let bearer_token = section.secret("bearer_token");
    let named = ["bearer_token_file", "bearer_token_credential"].iter().any(|key| section.has(key));
    if service.needs_token && bearer_token.is_none() && !named {
        let message = format!("missing; {} serves nobody without a token", service.name);
        section.problem("bearer_token_file", &message);
    }
    LinkConfig {
        bearer_token,
        proxy: proxy(section, schemes),
        ca_file: authority(section),
        connect_timeout: section.get("connect_timeout", Duration::from_secs(10)),
        idle_timeout: section.get("idle_timeout", service.stall),
        start_timeout: section.get("start_timeout", Duration::from_secs(15)),
        plan: plan(section, service),
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

/// Takes an address whose scheme is one of `schemes`, the last of which is the one over TLS.
pub(super) fn address(section: &Section<'_>, key: &str, text: String, schemes: [&str; 2]) -> Address {
    let [plain, tls] = schemes.map(|scheme| text.starts_with(scheme));
    if !text.is_empty() && !plain && !tls {
        section.problem(key, &format!("must begin with {} or {}", schemes[0], schemes[1]));
    }
    if tls && !cfg!(feature = "tls") {
        section.problem(key, &format!("{} needs a spillwayd built with --features tls", schemes[1]));
    }
    let address = Address::new(text);
    if address.has_user() {
        section.problem(
            key,
            "must not hold a user name or password; use bearer_token_file or bearer_token_credential",
        );
    }
    address
}

fn proxy(section: &Section<'_>, schemes: &[&str]) -> Option<ProxyConfig> {
    let user: Option<String> = section.optional("proxy_user");
    let password = section.secret("proxy_password");
    let Some(text) = section.optional::<String>("proxy") else {
        if user.is_some() || password.is_some() {
            section.problem("proxy_user", "is of no use without proxy");
        }
        return None;
    };
    if !schemes.iter().any(|scheme| text.starts_with(scheme)) {
        section.problem("proxy", &format!("must begin with one of {}", schemes.join(", ")));
    } else if text.starts_with("https://") && !cfg!(feature = "tls") {
        section.problem("proxy", "https needs a spillwayd built with --features tls");
    }
    let address = Address::new(text);
    if address.has_user() {
        section.problem(
            "proxy",
            "must not hold a user name or password; use proxy_user and proxy_password_file",
        );
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
