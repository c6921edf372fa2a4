//! Opening a WebSocket over real sockets: directly, through proxies, with TLS, and all the ways in which
//! it does not open.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

#[path = "websocket/peers.rs"]
mod peers;

#[cfg(feature = "tls")]
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use peers::Proxied;
use spillway_daemon::sources::websocket::proxy::{BadProxy, Proxy, ProxyError};
use spillway_daemon::sources::websocket::{Broken, Connector, Dialling, Limits, SetupError};
use spillway_service::secret::{Address, Secret};
use spillway_testkit::services::jetstream::{Jetstream, Options};

fn dialling() -> Dialling {
    Dialling {
        headers: Vec::new(),
        bearer_token: None,
        connect_timeout: Duration::from_secs(10),
        proxy: None,
        uses_tls: false,
        ca_file: None,
        greetings: Vec::new(),
        limits: Limits { message_bytes: 1 << 20, silence: None },
    }
}

fn address(text: impl Into<String>) -> Address {
    Address::new(text.into())
}

#[cfg(feature = "tls")]
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/websocket").join(name)
}

async fn opens(dialling: Dialling, url: &str) -> Result<String, Broken> {
    let mut connection = Connector::new(dialling).unwrap().connect(&address(url)).await?;
    let message = connection.next().await?;
    assert!(connection.received_bytes() > message.bytes.len() as u64);
    Ok(String::from_utf8(message.bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn headers_and_the_token_are_sent() {
    let server = Jetstream::start(Options { token: Some("t0p".into()), ..Options::default() }).unwrap();
    let mut with = dialling();
    with.bearer_token = Some(Secret::new("t0p".into()));
    with.headers = vec![("X-Team".into(), Secret::new("dam".into()))];
    opens(with, &server.url()).await.unwrap();
    let seen = server.connections().remove(0);
    let header =
        |name: &str| seen.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
    assert_eq!((header("x-team"), header("authorization")), (Some("dam"), Some("Bearer t0p")));
    assert!(header("user-agent").unwrap().starts_with("spillwayd/"));
}

#[tokio::test]
async fn a_bad_header_and_a_bad_ca_file_are_told_before_anything_is_tried() {
    let mut bad = dialling();
    bad.headers = vec![("X-Team".into(), Secret::new("line\nbreak".into()))];
    let error = Connector::new(bad).unwrap_err();
    assert!(matches!(&error, SetupError::Header { name } if name == "X-Team"), "{error:?}");
    assert!(!error.to_string().contains("break"), "the value may be secret: {error}");
}

#[tokio::test]
async fn addresses_that_cannot_be_used_are_told_as_such() {
    for (url, words) in [
        ("http://localhost/", "ws://"),
        ("nonsense", "no URL"),
        ("ws://user:pw@localhost/", "user name"),
        ("wss://localhost/", "TLS"),
    ] {
        let broken = Connector::new(dialling()).unwrap();
        let server = Jetstream::start(Options::default()).unwrap();
        let url = url.replace("wss://localhost", &format!("wss://{}", server.address()));
        let broken = broken.connect(&address(url)).await.unwrap_err();
        assert!(broken.needs_operator(), "{broken:?}");
        assert!(broken.to_string().contains(words), "{broken}");
    }
}

#[tokio::test]
async fn nobody_there_is_told_with_the_host_and_no_query() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let broken = opens(dialling(), &format!("ws://{free}/subscribe?token=secret")).await.unwrap_err();
    assert!(matches!(broken, Broken::Connect { .. }) && !broken.needs_operator(), "{broken:?}");
    assert_eq!(broken.to_string(), format!("cannot connect to {free}"));
    // Without a name server the look-up itself takes a while to fail.
    let patient = Dialling { connect_timeout: Duration::from_secs(60), ..dialling() };
    let broken = opens(patient, "ws://no-such-host.invalid/").await.unwrap_err();
    assert!(matches!(broken, Broken::Lookup { .. }), "{broken:?}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut impatient = dialling();
    impatient.connect_timeout = Duration::from_millis(200);
    let begin = Instant::now();
    let url = format!("ws://{}/", silent.local_addr().unwrap());
    let broken = opens(impatient, &url).await.unwrap_err();
    assert!(matches!(broken, Broken::TimedOut(_)), "{broken:?}");
    assert!(begin.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn what_is_no_websocket_is_told_apart_from_a_refusal() {
    for (answer, expected) in [
        ("HTTP/1.1 302 Found\r\nlocation: ws://elsewhere/?token=secret\r\n\r\n", "answered 302"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "answered 200"),
        ("HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", "does not speak"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "does not speak"),
        ("", "cut off"),
    ] {
        let peer = peers::answering(answer).await;
        let broken = opens(dialling(), &format!("ws://{peer}/")).await.unwrap_err();
        let text = broken.to_string();
        assert!(text.contains(expected) && !text.contains("secret"), "{answer:?}: {text}");
        assert_eq!(broken.needs_operator(), answer.contains("302"), "{broken:?}");
    }
}

#[tokio::test]
async fn it_goes_through_each_kind_of_proxy() {
    let server = Jetstream::start(Options::default()).unwrap();
    let (host, port) = ("localhost", server.address().port());
    for (scheme, login, seen) in [
        ("http", "", format!("CONNECT {host}:{port}")),
        ("http", "us%3Aer:p%40ss@", format!("CONNECT {host}:{port}")),
        ("socks5h", "", format!("name {host}:{port}")),
        ("socks5h", "user:p%40ss@", format!("name {host}:{port}")),
        ("socks5", "", format!("address :{port}")),
    ] {
        let wanted = match (scheme, login) {
            (_, "") => None,
            ("http", _) => Some(("us:er", "p@ss")),
            _ => Some(("user", "p@ss")),
        };
        let proxy = Proxied::start(scheme, wanted, server.address()).await;
        let mut with = dialling();
        with.proxy = Some(Proxy::parse(&format!("{scheme}://{login}{}", proxy.address)).unwrap());
        let shown = format!("{:?}", with.proxy);
        assert!(!shown.contains("p@ss") && !shown.contains("p%40ss"), "{shown}");
        let first = opens(with, &format!("ws://{host}:{port}/subscribe")).await.unwrap();
        assert!(first.starts_with("{\"did\""), "{first}");
        assert_eq!(proxy.seen(), [seen]);
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_is_told_with_its_reason() {
    let server = Jetstream::start(Options::default()).unwrap();
    for (scheme, login, words) in [
        ("http", "", "407 to CONNECT; check its user name"),
        ("http", "user:wrong@", "407 to CONNECT; check its user name"),
        ("socks5h", "", "wants other credentials"),
        ("socks5h", "user:wrong@", "wants other credentials"),
    ] {
        let proxy = Proxied::start(scheme, Some(("user", "right")), server.address()).await;
        let mut with = dialling();
        with.proxy = Some(Proxy::parse(&format!("{scheme}://{login}{}", proxy.address)).unwrap());
        let broken = opens(with, "ws://localhost:1/").await.unwrap_err();
        assert!(broken.needs_operator(), "{broken:?}");
        let Broken::Proxy(reason) = broken else { panic!("{broken:?}") };
        assert!(reason.to_string().contains(words), "{reason}");
    }
    assert_eq!(server.connections().len(), 0);
}

#[tokio::test]
async fn what_is_no_proxy_is_told_and_what_it_says_is_bounded() {
    let flood = "x".repeat(1 << 20);
    for (scheme, answer) in [("http", &*flood), ("http", "nonsense\r\n\r\n"), ("socks5", "HTTP/1.1 400")] {
        let peer = peers::answering(answer).await;
        let mut with = dialling();
        with.proxy = Some(Proxy::parse(&format!("{scheme}://{peer}")).unwrap());
        let broken = opens(with, "ws://127.0.0.1:1/").await.unwrap_err();
        assert!(matches!(broken, Broken::Proxy(ProxyError::NoProxy)), "{scheme}: {broken:?}");
    }
    let peer = peers::answering("\u{5}\u{0}\u{5}\u{4}\u{0}\u{1}").await;
    let mut with = dialling();
    with.proxy = Some(Proxy::parse(&format!("socks5://{peer}")).unwrap());
    let broken = opens(with, "ws://127.0.0.1:1/").await.unwrap_err();
    assert!(matches!(broken, Broken::Proxy(ProxyError::Socks(4))), "{broken:?}");
}

#[test]
fn proxies_are_read_or_refused() {
    assert_eq!(Proxy::parse("https://proxy.example"), Err(BadProxy::Scheme));
    assert_eq!(Proxy::parse("proxy.example"), Err(BadProxy::Address));
    assert_eq!(Proxy::parse(&format!("socks5://{}@p", "u".repeat(256))), Err(BadProxy::LongLogin));
    let shown = format!("{:?}", Proxy::parse("socks5h://user:pw@[::1]").unwrap());
    assert_eq!(shown, "Proxy(Socks5 { remote_names: true }, ::1:1080)");
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn tls_needs_an_authority_that_is_trusted_and_the_right_name() {
    let server = Jetstream::start(Options::default()).unwrap();
    let (chain, key) = (fixture("server.pem"), fixture("server.key"));
    let tls = peers::tls("127.0.0.1:0", &chain, &key, server.address()).await;
    let other = peers::tls("127.0.0.2:0", &chain, &key, server.address()).await;
    let mut with = Dialling { uses_tls: true, ca_file: Some(fixture("ca.pem")), ..dialling() };
    let url = format!("wss://localhost:{}/subscribe", tls.port());
    assert!(opens(with.clone(), &url).await.unwrap().starts_with("{\"did\""));
    // Through a proxy as well.
    let proxy = Proxied::start("socks5h", None, tls).await;
    with.proxy = Some(Proxy::parse(&format!("socks5h://{}", proxy.address)).unwrap());
    assert!(opens(with.clone(), &url).await.unwrap().starts_with("{\"did\""));
    with.proxy = None;
    let wrong_name = opens(with.clone(), &format!("wss://{other}/")).await.unwrap_err();
    assert!(matches!(&wrong_name, Broken::Tls { host, .. } if host == "127.0.0.2"), "{wrong_name:?}");
    // Only where the platform has roots of its own can TLS be set up without a file.
    if let Ok(connector) = Connector::new(Dialling { ca_file: None, ..with.clone() }) {
        let unknown = connector.connect(&address(url)).await.unwrap_err();
        assert!(matches!(unknown, Broken::Tls { .. }), "{unknown:?}");
    }
    for (file, words) in [("server.key", "no certificate"), ("missing.pem", "cannot read certificates")] {
        let bad = Dialling { ca_file: Some(fixture(file)), ..with.clone() };
        let error = Connector::new(bad).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}
