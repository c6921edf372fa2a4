//! The configuration of a source over WebSockets.

use spillway_service::secret::{Address, Secret};
use spillway_service::settings::Section;

use super::link::{LinkConfig, address, link};
use super::pointer;
use crate::pointer::Pointer;
use crate::sources::jetstream::{INSTANCES, REWIND, Settings};
use crate::sources::service::{Protocol, Service};
use crate::sources::socket::MESSAGE_BYTES_MAX;
use crate::sources::websocket::dial;
use crate::sources::websocket::proxy::Proxy;

const SCHEMES: [&str; 2] = ["ws://", "wss://"];
const PROXIES: [&str; 3] = ["http://", "socks5://", "socks5h://"];

/// A stream over a WebSocket.
#[derive(Debug, Clone)]
pub struct SocketConfig {
    /// What is particular about the service.
    pub service: &'static Service,
    /// What is spoken.
    pub speech: Speech,
    /// Pointer to the upstream's own id, where the protocol has no rule of its own.
    pub id: Option<Pointer>,
    /// Pointer to the time of an event.
    pub time: Option<Pointer>,
    /// Further headers of the upgrade request.
    pub headers: Vec<(String, Secret)>,
    /// How it is reached.
    pub link: LinkConfig,
    /// The proxy of `link`, as WebSockets use it.
    pub proxy: Option<Proxy>,
}

/// What is spoken, and with whom.
#[derive(Debug, Clone)]
pub enum Speech {
    /// Nothing but messages.
    Plain {
        /// Address; its query may carry a token.
        url: Address,
        /// Messages that are sent once the connection is open.
        send: Vec<Secret>,
    },
    /// Bluesky's Jetstream.
    Jetstream(Settings),
}

impl SocketConfig {
    /// The messages that are sent first.
    #[must_use]
    pub fn sent(&self) -> &[Secret] {
        match &self.speech {
            Speech::Plain { send, .. } => send,
            Speech::Jetstream(_) => &[],
        }
    }

    /// Whether any address is one over TLS.
    #[must_use]
    pub fn uses_tls(&self) -> bool {
        let is_tls = |address: &Address| address.reveal().starts_with(SCHEMES[1]);
        match &self.speech {
            Speech::Plain { url, .. } => is_tls(url),
            Speech::Jetstream(settings) => settings.instances.iter().any(is_tls),
        }
    }
}

pub(super) fn socket(section: &Section<'_>, service: &'static Service, protocol: Protocol) -> SocketConfig {
    let link = link(section, service, &PROXIES);
    let (speech, id) = match protocol {
        Protocol::Plain => (plain(section), pointer(section, "id", service.id)),
        Protocol::Jetstream => (Speech::Jetstream(jetstream(section)), None),
    };
    SocketConfig {
        speech,
        id,
        time: pointer(section, "time", service.time),
        headers: headers(section),
        proxy: proxy(section, &link),
        link,
        service,
    }
}

fn plain(section: &Section<'_>) -> Speech {
    let url: String = section.require("url", "\"wss://stream.example.org/events\"");
    // A message with a key comes first: services want to know who subscribes.
    let secret = section.secret("send_secret");
    let send = section.strings("send").into_iter().map(Secret::new);
    Speech::Plain {
        url: address(section, "url", url, SCHEMES),
        send: secret.into_iter().chain(send).collect(),
    }
}

fn jetstream(section: &Section<'_>) -> Settings {
    let url: Option<String> = section.optional("url");
    let urls = section.strings("urls");
    if url.is_some() && section.has("urls") {
        section.problem("urls", "set either url or urls, not both");
    }
    let (key, instances) = match url {
        Some(url) => ("url", vec![url]),
        None if section.has("urls") => ("urls", urls),
        None => ("urls", INSTANCES.map(str::to_owned).to_vec()),
    };
    let settings = Settings {
        instances: instances.into_iter().map(|text| address(section, key, text, SCHEMES)).collect(),
        wanted_collections: section.strings("wanted_collections"),
        wanted_dids: section.strings("wanted_dids"),
        rewind: section.get("rewind", REWIND),
        compress: section.get("compress", false),
        zstd_dictionary: section.optional("zstd_dictionary"),
        message_bytes_max: MESSAGE_BYTES_MAX,
    };
    for (key, message) in settings.problems() {
        section.problem(key, &message);
    }
    settings
}

fn headers(section: &Section<'_>) -> Vec<(String, Secret)> {
    let pairs = section.string_map("headers").into_iter();
    let headers: Vec<_> = pairs.map(|(name, value)| (name, Secret::new(value))).collect();
    for (name, value) in &headers {
        if name.eq_ignore_ascii_case("authorization") {
            section.problem("headers", "must not hold Authorization; use bearer_token_file");
        } else if !dial::takes_header(name, value) {
            section
                .problem("headers", &format!("{name:?} is no header that can be set, or its value is none"));
        }
    }
    headers
}

/// A proxy with another scheme than these was told already.
fn proxy(section: &Section<'_>, link: &LinkConfig) -> Option<Proxy> {
    let given = link.proxy.as_ref()?;
    let text = given.address.reveal();
    if given.address.has_user() || !PROXIES.iter().any(|scheme| text.starts_with(scheme)) {
        return None;
    }
    let password = given.password.as_ref().map_or("", Secret::reveal);
    let read = Proxy::parse(text).and_then(|proxy| match &given.user {
        Some(user) => proxy.with_login(user.clone(), password.to_owned()),
        None => Ok(proxy),
    });
    read.map_err(|error| section.problem("proxy", &error.to_string())).ok()
}
