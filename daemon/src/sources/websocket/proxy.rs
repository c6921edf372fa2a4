//! Proxies: HTTP CONNECT and SOCKS5 (RFC 1928, RFC 1929). Only the handshake; what is read is bounded,
//! and never a byte beyond it.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use reqwest::Url;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest head of an answer to CONNECT.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// A proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    kind: Kind,
    host: String,
    port: u16,
    login: Option<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    /// `remote_names`: the proxy looks up the names.
    Socks5 {
        remote_names: bool,
    },
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The login stays out of logs.
        write!(f, "Proxy({:?}, {}:{})", self.kind, self.host, self.port)
    }
}

/// Why a proxy's address is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadProxy {
    /// No address.
    #[error("must be an address such as \"http://proxy.example.org:3128\" or \"socks5h://127.0.0.1:1080\"")]
    Address,
    /// A kind that is not spoken.
    #[error("must begin with http://, socks5:// or socks5h://")]
    Scheme,
    /// SOCKS carries at most 255 bytes of each.
    #[error("its user name and password must have at most 255 bytes each")]
    LongLogin,
}

/// Why the proxy does not let us through.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// It answered CONNECT with another status than 200.
    #[error("it answered {0} to CONNECT{hint}", hint = login_hint(*.0))]
    Status(u16),
    /// It did not take the user name and password, or wants them.
    #[error("it wants other credentials")]
    Credentials,
    /// A SOCKS reply other than success.
    #[error("it answered SOCKS error {0}: {words}", words = socks_words(*.0))]
    Socks(u8),
    /// What answered is no such proxy.
    #[error("what answered is no such proxy")]
    NoProxy,
    /// SOCKS carries at most 255 bytes of a name.
    #[error("the upstream's name is too long for SOCKS")]
    LongName,
    /// Reading or writing failed.
    #[error("the connection to it broke")]
    Io(#[from] io::Error),
}

impl ProxyError {
    /// Whether an operator has to act.
    #[must_use]
    pub fn needs_operator(&self) -> bool {
        match self {
            Self::Status(status) => matches!(status, 400..=499),
            Self::Credentials | Self::LongName => true,
            Self::Socks(code) => *code == 2,
            Self::NoProxy | Self::Io(_) => false,
        }
    }
}

fn login_hint(status: u16) -> &'static str {
    if status == 407 { "; check its user name and password" } else { "" }
}

fn socks_words(code: u8) -> &'static str {
    match code {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "took too long",
        7 => "command not supported",
        8 => "address type not supported",
        _ => "unknown",
    }
}

impl Proxy {
    /// Reads `http://[user:password@]host[:port]`, `socks5://…` (names are looked up here) or
    /// `socks5h://…` (names are looked up by the proxy).
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str) -> Result<Self, BadProxy> {
        let url = Url::parse(text).map_err(|_| BadProxy::Address)?;
        let (kind, port) = match url.scheme() {
            "http" => (Kind::Http, 80),
            "socks5" => (Kind::Socks5 { remote_names: false }, 1080),
            "socks5h" => (Kind::Socks5 { remote_names: true }, 1080),
            _ => return Err(BadProxy::Scheme),
        };
        let host = url.host_str().filter(|h| !h.is_empty()).ok_or(BadProxy::Address)?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let proxy = Self { kind, host, port: url.port().unwrap_or(port), login: None };
        match decoded(url.username()) {
            user if user.is_empty() => Ok(proxy),
            user => proxy.with_login(user, decoded(url.password().unwrap_or_default())),
        }
    }

    /// The same, with a user name and a password.
    ///
    /// # Errors
    /// When they are too long.
    pub fn with_login(self, user: String, password: String) -> Result<Self, BadProxy> {
        if user.len() > 255 || password.len() > 255 {
            return Err(BadProxy::LongLogin);
        }
        Ok(Self { login: Some((user, password)), ..self })
    }

    /// Where it listens.
    pub(super) fn peer(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Whether the upstream's name has to be looked up on this side.
    pub(super) fn wants_address(&self) -> bool {
        self.kind == Kind::Socks5 { remote_names: false }
    }

    /// Asks the proxy at the other end of `io` for a tunnel to `host`, or to `address` when it is given.
    ///
    /// # Errors
    /// When there is no tunnel.
    pub(super) async fn tunnel<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        io: &mut S,
        host: &str,
        port: u16,
        address: Option<SocketAddr>,
    ) -> Result<(), ProxyError> {
        match self.kind {
            Kind::Http => self.connect(io, host, port).await,
            Kind::Socks5 { .. } => {
                self.greet(io).await?;
                self.request(io, host, port, address).await
            }
        }
    }

    async fn connect<S>(&self, io: &mut S, host: &str, port: u16) -> Result<(), ProxyError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let mut ask = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some((user, password)) = &self.login {
            let login = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            ask += &format!("Proxy-Authorization: Basic {login}\r\n");
        }
        ask += "\r\n";
        io.write_all(ask.as_bytes()).await?;
        io.flush().await?;
        match status(&read_head(io).await?) {
            Some(200..=299) => Ok(()),
            Some(status) => Err(ProxyError::Status(status)),
            None => Err(ProxyError::NoProxy),
        }
    }

    /// Agrees on how to log in.
    async fn greet<S: AsyncRead + AsyncWrite + Unpin>(&self, io: &mut S) -> Result<(), ProxyError> {
        let methods: &[u8] = if self.login.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] };
        io.write_all(methods).await?;
        io.flush().await?;
        match (read_array(io).await?, &self.login) {
            ([5, 0], _) => Ok(()),
            ([5, 2], Some((user, password))) => {
                let mut ask = vec![1];
                for part in [user, password] {
                    ask.push(u8::try_from(part.len()).map_err(|_| ProxyError::Credentials)?);
                    ask.extend_from_slice(part.as_bytes());
                }
                io.write_all(&ask).await?;
                io.flush().await?;
                let [_, refused] = read_array(io).await?;
                if refused == 0 { Ok(()) } else { Err(ProxyError::Credentials) }
            }
            ([5, _], _) => Err(ProxyError::Credentials),
            _ => Err(ProxyError::NoProxy),
        }
    }

    async fn request<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        io: &mut S,
        host: &str,
        port: u16,
        address: Option<SocketAddr>,
    ) -> Result<(), ProxyError> {
        let mut ask = vec![5, 1, 0];
        match address {
            Some(SocketAddr::V4(v4)) => {
                ask.push(1);
                ask.extend(v4.ip().octets());
            }
            Some(SocketAddr::V6(v6)) => {
                ask.push(4);
                ask.extend(v6.ip().octets());
            }
            None => {
                ask.push(3);
                ask.push(u8::try_from(host.len()).map_err(|_| ProxyError::LongName)?);
                ask.extend_from_slice(host.as_bytes());
            }
        }
        ask.extend(port.to_be_bytes());
        io.write_all(&ask).await?;
        io.flush().await?;
        let [version, reply, _, kind] = read_array(io).await?;
        match (version, reply) {
            (5, 0) => skip_bound_address(io, kind).await,
            (5, code) => Err(ProxyError::Socks(code)),
            _ => Err(ProxyError::NoProxy),
        }
    }
}

/// The address that the proxy uses towards the upstream: of no interest, but it stands before the data.
async fn skip_bound_address<S: AsyncRead + Unpin>(io: &mut S, kind: u8) -> Result<(), ProxyError> {
    let length = match kind {
        1 => 4,
        4 => 16,
        3 => {
            let [length] = read_array(io).await?;
            usize::from(length)
        }
        _ => return Err(ProxyError::NoProxy),
    };
    let mut address = [0; 255 + 2];
    io.read_exact(&mut address[..length + 2]).await?;
    Ok(())
}

async fn read_array<const N: usize, S: AsyncRead + Unpin>(io: &mut S) -> Result<[u8; N], ProxyError> {
    let mut bytes = [0; N];
    io.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Reads byte by byte: what comes after the head belongs to the tunnel. It happens once a connection.
async fn read_head<S: AsyncRead + Unpin>(io: &mut S) -> Result<Vec<u8>, ProxyError> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == HEAD_BYTES_MAX {
            return Err(ProxyError::NoProxy);
        }
        head.push(io.read_u8().await?);
    }
    Ok(head)
}

/// The status of `HTTP/1.1 200 …`.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// Undoes `%41`; what is no such code stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%');
        match code.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
