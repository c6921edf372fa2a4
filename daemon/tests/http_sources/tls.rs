//! HTTPS with an authority of one's own, and the offer of HTTP/2.

use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use spillway_daemon::sources::reconnect::Cause;

use super::{source, until_disconnect};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upstream_tls")
}

/// The protocol that was agreed on, and the first bytes of the client; none from one that does not trust us.
type Seen = Option<(String, Vec<u8>)>;

/// Takes one connection on the port.
fn serve_once(protocols: &[&str]) -> (u16, JoinHandle<Seen>) {
    spillway_daemon::sources::http::choose_cryptography();
    let chain =
        CertificateDer::pem_file_iter(folder().join("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder().join("server-key.pem")).unwrap();
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
        let mut first = vec![0; 24];
        stream.read_exact(&mut first).ok()?;
        let agreed = String::from_utf8_lossy(stream.conn.alpn_protocol().unwrap_or_default()).into_owned();
        Some((agreed, first))
    });
    (port, thread)
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_only_when_it_is_given() {
    let settings = |port: u16| format!("type = 'http_sse'\nurl = 'https://localhost:{port}/stream'");
    let (port, seen) = serve_once(&["http/1.1"]);
    let (_, disconnect) = until_disconnect(&mut source(&settings(port), None)).await;
    assert_eq!(disconnect.cause, Cause::Network);
    assert!(disconnect.detail.contains("certificate"), "{}", disconnect.detail);
    assert!(seen.join().unwrap().is_none());

    let (port, seen) = serve_once(&["http/1.1"]);
    let trusting = format!("{}\nca_file = '{}'", settings(port), folder().join("ca.pem").display());
    until_disconnect(&mut source(&trusting, None)).await;
    let (agreed, first) = seen.join().unwrap().unwrap();
    assert_eq!((agreed.as_str(), &first[..16]), ("http/1.1", &b"GET /stream HTTP"[..]));
}

#[tokio::test]
async fn http_2_is_spoken_where_the_upstream_does() {
    let (port, seen) = serve_once(&["h2"]);
    let ca = folder().join("ca.pem");
    let settings =
        format!("type = 'http_sse'\nurl = 'https://localhost:{port}/'\nca_file = '{}'", ca.display());
    until_disconnect(&mut source(&settings, None)).await;
    let (agreed, first) = seen.join().unwrap().unwrap();
    assert_eq!((agreed.as_str(), first.as_slice()), ("h2", &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..]));
}
