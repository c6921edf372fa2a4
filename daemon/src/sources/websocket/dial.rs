//! Opening a WebSocket: name, TCP, proxy, TLS, upgrade, all within one time limit. Redirects are not
//! followed: a token must not go where nobody sent it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use spillway_service::secret::{Address, Secret};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::io::{Io, Metered};
use super::proxy::Proxy;
#[cfg(feature = "tls")]
use super::tls::Tls;
use super::{Broken, Connection, Limits, config};

/// How connections are made.
#[derive(Debug, Clone)]
pub struct Dialling {
    /// Further headers of the upgrade request.
    pub headers: Vec<(String, Secret)>,
    /// Bearer token.
    pub bearer_token: Option<Secret>,
    /// Longest wait from the look-up of the name to the open WebSocket.
    pub connect_timeout: Duration,
    /// Proxy; none for a direct connection.
    pub proxy: Option<Proxy>,
    /// Whether an address is `wss`. Without it nothing of TLS is set up: not every machine has roots.
    pub uses_tls: bool,
    /// PEM file with roots that are trusted beside the platform's.
    pub ca_file: Option<PathBuf>,
    /// Text messages that are sent once the connection is open: a subscription, for services that want
    /// one.
    pub greetings: Vec<Secret>,
    /// Limits of each connection.
    pub limits: Limits,
}

/// Why no connection can be tried.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A header that HTTP does not allow, or that is the upgrade's own.
    #[error("{name:?} is no HTTP header that can be set, or its value has bytes that HTTP does not allow")]
    Header {
        /// Its name.
        name: String,
    },
    /// The file of roots cannot be read.
    #[cfg(feature = "tls")]
    #[error("cannot read certificates from {}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: rustls::pki_types::pem::Error,
    },
    /// The file of roots has none.
    #[error("{} has no certificate; it must be PEM", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// TLS cannot be set up.
    #[cfg(feature = "tls")]
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
}

/// Opens connections, all in the same way.
#[derive(Debug)]
pub struct Connector {
    headers: HeaderMap,
    connect_timeout: Duration,
    proxy: Option<Proxy>,
    greetings: Vec<Secret>,
    limits: Limits,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl Connector {
    /// Checks the headers and reads the roots.
    ///
    /// # Errors
    /// When one of them is of no use.
    pub fn new(dialling: Dialling) -> Result<Self, SetupError> {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("spillwayd/", env!("CARGO_PKG_VERSION"))),
        );
        for (name, value) in &dialling.headers {
            let (name, value) =
                header(name, value).ok_or_else(|| SetupError::Header { name: name.clone() })?;
            headers.insert(name, value);
        }
        if let Some(token) = &dialling.bearer_token {
            let bad = || SetupError::Header { name: "Authorization".to_owned() };
            let value = hidden(&format!("Bearer {}", token.reveal())).ok_or_else(bad)?;
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(Self {
            headers,
            connect_timeout: dialling.connect_timeout,
            proxy: dialling.proxy,
            greetings: dialling.greetings,
            limits: dialling.limits,
            #[cfg(feature = "tls")]
            tls: dialling.uses_tls.then(|| Tls::new(dialling.ca_file.as_deref())).transpose()?,
        })
    }

    /// Opens a WebSocket to `url`.
    ///
    /// Cancel safety: a connection that is not open yet is closed, nothing else is lost.
    ///
    /// # Errors
    /// When there is none within the time limit.
    pub async fn connect(&self, url: &Address) -> Result<Connection, Broken> {
        let deadline = Instant::now() + self.connect_timeout;
        match tokio::time::timeout_at(deadline, self.open(url, deadline)).await {
            Ok(opened) => opened,
            Err(_) => Err(Broken::TimedOut(self.connect_timeout)),
        }
    }

    async fn open(&self, url: &Address, deadline: Instant) -> Result<Connection, Broken> {
        let target = Target::parse(url)?;
        let io = self.reach(&target, deadline).await?;
        let io = if target.is_tls { self.secure(io, &target.host).await? } else { io };
        let mut request = target.url.as_str().into_client_request().map_err(Broken::from_upgrade)?;
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let upgrade =
            tokio_tungstenite::client_async_with_config(request, Metered::new(io), Some(config(self.limits)));
        let (socket, _) = upgrade.await.map_err(Broken::from_upgrade)?;
        let mut connection = Connection::new(socket, self.limits);
        for greeting in &self.greetings {
            connection.send(greeting.reveal()).await?;
        }
        Ok(connection)
    }

    /// A byte stream to the target, directly or through the proxy.
    async fn reach(&self, target: &Target, deadline: Instant) -> Result<Box<dyn Io>, Broken> {
        let Some(proxy) = &self.proxy else {
            return Ok(Box::new(tcp(&target.host, target.port, deadline).await?));
        };
        let (host, port) = proxy.peer();
        let mut io = tcp(host, port, deadline).await?;
        let address = match proxy.wants_address() {
            true => look_up(&target.host, target.port).await?.into_iter().next(),
            false => None,
        };
        proxy.tunnel(&mut io, &target.host, target.port, address).await.map_err(Broken::Proxy)?;
        Ok(Box::new(io))
    }

    #[cfg(feature = "tls")]
    async fn secure(&self, io: Box<dyn Io>, host: &str) -> Result<Box<dyn Io>, Broken> {
        let tls = self.tls.as_ref().ok_or(Broken::Address("it is wss, and TLS was not asked for"))?;
        tls.wrap(io, host).await
    }

    #[cfg(not(feature = "tls"))]
    async fn secure(&self, _: Box<dyn Io>, _: &str) -> Result<Box<dyn Io>, Broken> {
        Err(Broken::Address("wss needs a spillwayd built with --features tls"))
    }
}

/// Where a connection goes.
#[derive(Debug)]
struct Target {
    url: Url,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    is_tls: bool,
}

impl Target {
    fn parse(address: &Address) -> Result<Self, Broken> {
        let url = Url::parse(address.reveal()).map_err(|_| Broken::Address("it is no URL"))?;
        let is_tls = match url.scheme() {
            "ws" => false,
            "wss" => true,
            _ => return Err(Broken::Address("it must begin with ws:// or wss://")),
        };
        if address.has_user() {
            return Err(Broken::Address("it must not hold a user name or password"));
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().unwrap_or(if is_tls { 443 } else { 80 });
        Ok(Self { url, host, port, is_tls })
    }
}

/// Headers that belong to the upgrade itself.
const OWN_HEADERS: [HeaderName; 8] = [
    header::HOST,
    header::CONNECTION,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_EXTENSIONS,
];

/// Whether a connection can be asked to send this header.
#[must_use]
pub fn takes_header(name: &str, value: &Secret) -> bool {
    header(name, value).is_some()
}

fn header(name: &str, value: &Secret) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let value = hidden(value.reveal())?;
    (!OWN_HEADERS.contains(&name)).then_some((name, value))
}

fn hidden(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, Broken> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found: Vec<_> = found.map_err(|source| Broken::Lookup { host: host.to_owned(), source })?.collect();
    if found.is_empty() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(Broken::Lookup { host: host.to_owned(), source });
    }
    Ok(found)
}

/// Tries one address after the other. Each gets an equal share of the time that is left, so that one
/// that swallows packets does not use up all of it.
async fn tcp(host: &str, port: u16, deadline: Instant) -> Result<TcpStream, Broken> {
    let addresses = look_up(host, port).await?;
    let mut last = std::io::Error::from(std::io::ErrorKind::TimedOut);
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        let share = deadline.saturating_duration_since(Instant::now()) / left.max(1);
        left = left.saturating_sub(1);
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Only pings and pongs are sent: they should go out at once. A failure costs nothing.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = std::io::Error::from(std::io::ErrorKind::TimedOut),
        }
    }
    Err(Broken::Connect { peer: format!("{host}:{port}"), source: last })
}
