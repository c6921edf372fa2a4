//! What stands between a client and its server: proxies, TLS, and peers that answer anything.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// A peer that answers each connection with these bytes and then closes.
pub(crate) async fn answering(answer: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = answer.to_owned();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut asked = [0; 4096];
            let _ = socket.read(&mut asked).await;
            let _ = socket.write_all(answer.as_bytes()).await;
            let _ = socket.shutdown().await;
            // What the client still sends is taken, so that it does not see a reset before the answer.
            while matches!(socket.read(&mut asked).await, Ok(n) if n > 0) {}
        }
    });
    address
}

/// A proxy that always connects to the same place.
pub(crate) struct Proxied {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxied {
    pub(crate) async fn start(scheme: &str, login: Option<(&str, &str)>, to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&seen);
        let is_http = scheme == "http";
        let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let asked = match is_http {
                    true => http(&mut socket, login.as_ref()).await,
                    false => socks(&mut socket, login.as_ref()).await,
                };
                let Some(asked) = asked else { continue };
                notes.lock().unwrap().push(asked);
                let mut upstream = TcpStream::connect(to).await.unwrap();
                tokio::spawn(async move { copy_bidirectional(&mut socket, &mut upstream).await });
            }
        });
        Self { address, seen }
    }

    /// What was asked for.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn http(socket: &mut TcpStream, login: Option<&(String, String)>) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let allowed = login.is_none_or(|(user, password)| {
        use base64::Engine as _;
        let code = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        head.contains(&format!("Proxy-Authorization: Basic {code}\r\n"))
    });
    let answer = match allowed {
        true => "HTTP/1.1 200 Connection established\r\nvia: test\r\n\r\n",
        false => "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
    };
    socket.write_all(answer.as_bytes()).await.ok()?;
    allowed.then(|| head.split(" HTTP/").next().unwrap_or_default().to_owned())
}

async fn socks(socket: &mut TcpStream, login: Option<&(String, String)>) -> Option<String> {
    let mut greeting = [0; 2];
    socket.read_exact(&mut greeting).await.ok()?;
    let mut methods = vec![0; usize::from(greeting[1])];
    socket.read_exact(&mut methods).await.ok()?;
    match login {
        None => socket.write_all(&[5, 0]).await.ok()?,
        Some(_) if !methods.contains(&2) => {
            socket.write_all(&[5, 0xff]).await.ok()?;
            return None;
        }
        Some((user, password)) => {
            socket.write_all(&[5, 2]).await.ok()?;
            let _ = socket.read_u8().await.ok()?;
            let (given, secret) = (text(socket).await?, text(socket).await?);
            let is_right = (&given, &secret) == (user, password);
            socket.write_all(&[1, u8::from(!is_right)]).await.ok()?;
            if !is_right {
                return None;
            }
        }
    }
    let mut request = [0; 4];
    socket.read_exact(&mut request).await.ok()?;
    let host = match request[3] {
        3 => format!("name {}", text(socket).await?),
        kind => {
            let mut address = vec![0; if kind == 1 { 4 } else { 16 }];
            socket.read_exact(&mut address).await.ok()?;
            "address ".to_owned()
        }
    };
    let port = socket.read_u16().await.ok()?;
    // The address that it is bound to is a name here, which is the odd case.
    socket.write_all(b"\x05\x00\x00\x03\x04here\x00\x00").await.ok()?;
    Some(format!("{host}:{port}"))
}

async fn text(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = vec![0; usize::from(socket.read_u8().await.ok()?)];
    socket.read_exact(&mut bytes).await.ok()?;
    String::from_utf8(bytes).ok()
}

/// Speaks TLS and passes on what is inside. The key protects nothing but these tests.
#[cfg(feature = "tls")]
pub(crate) async fn tls(
    listen: &str,
    chain: &std::path::Path,
    key: &std::path::Path,
    to: SocketAddr,
) -> SocketAddr {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let chain: Vec<_> = CertificateDer::pem_file_iter(chain).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(listen).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut socket) = acceptor.accept(socket).await else { return };
                let mut upstream = TcpStream::connect(to).await.unwrap();
                let _ = copy_bidirectional(&mut socket, &mut upstream).await;
            });
        }
    });
    address
}
