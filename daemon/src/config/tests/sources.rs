//! Tests of the configuration of single sources.

use super::*;
#[cfg(feature = "tls")]
use crate::sources::jetstream::INSTANCES;

fn source_of(text: &str) -> Result<SourceConfig, Vec<String>> {
    let text = format!("[source]\n{text}\n[kafka]\nbrokers = 'b:1'\ntopic = 't'\n[spool]\ndir = '/x'\n");
    match Config::parse("x.toml", &text, &Environment::default()) {
        Ok(mut config) => Ok(config.sources.remove(0)),
        Err(problems) => Err(problems.list().iter().map(|p| p.key.clone()).collect()),
    }
}

fn socket_of(text: &str) -> SocketConfig {
    match source_of(text).unwrap().kind {
        SourceKind::Socket(socket) => *socket,
        other => panic!("{other:?}"),
    }
}

fn http_of(text: &str) -> HttpConfig {
    match source_of(text).unwrap().kind {
        SourceKind::Http(http) => *http,
        other => panic!("{other:?}"),
    }
}

#[cfg(feature = "tls")]
#[test]
fn each_service_needs_only_what_it_must() {
    let wikimedia = http_of("type = 'wikimedia'");
    assert_eq!(wikimedia.url.reveal(), "https://stream.wikimedia.org/v2/stream/recentchange");
    assert!(source_of("type = 'wikimedia'").unwrap().can_resume());
    assert_eq!(source_of("type = 'x_filtered_stream'").unwrap_err(), ["source.bearer_token_file"]);
    assert_eq!(source_of("type = 'mastodon'").unwrap_err(), ["source.url"]);
    assert_eq!(source_of("type = 'http_sse'").unwrap_err(), ["source.url"]);
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "secret").unwrap();
    let x = format!("type = 'x_filtered_stream'\nbearer_token_file = {:?}", token.path());
    let config = http_of(&x);
    assert_eq!((config.link.idle_timeout, config.backfill), (Duration::from_secs(20), false));
    assert!(
        config.id.is_some() && config.time.is_some() && http_of(&format!("{x}\nbackfill = true")).backfill
    );
    let x = source_of(&x).unwrap();
    assert!(x.keeps_cursor() && !x.can_resume());
    // X's own rules cannot be loosened.
    assert_eq!(
        source_of("type = 'wikimedia'\nreconnect_max = '5s'\nbackfill = true").unwrap_err(),
        ["source.backfill"]
    );
}

#[test]
fn a_proxy_is_checked_and_keeps_its_password_out_of_the_address() {
    let base = "type = 'http_ndjson'\nurl = 'http://h/'";
    let proxied = http_of(&format!("{base}\nproxy = 'socks5h://p:1080'\nproxy_user = 'u'"));
    assert_eq!(proxied.link.proxy.and_then(|proxy| proxy.user).as_deref(), Some("u"));
    for bad in ["proxy = 'ftp://p'", "proxy = 'http://u:p@p'"] {
        assert_eq!(source_of(&format!("{base}\n{bad}")).unwrap_err(), ["source.proxy"], "{bad}");
    }
    assert_eq!(source_of(&format!("{base}\nproxy_user = 'u'")).unwrap_err(), ["source.proxy_user"]);
}

#[test]
fn a_proxy_of_a_websocket_is_one_that_it_can_speak_to() {
    let base = "type = 'websocket'\nurl = 'ws://h/'";
    let proxied = socket_of(&format!("{base}\nproxy = 'socks5h://p:1080'\nproxy_user = 'u'"));
    assert_eq!(format!("{:?}", proxied.proxy.unwrap()), "Proxy(Socks5 { remote_names: true }, p:1080)");
    assert!(socket_of(base).proxy.is_none());
    let long = format!("proxy = 'http://p'\nproxy_user = '{}'", "u".repeat(256));
    for bad in
        ["proxy = 'https://p'", "proxy = 'socks4://p'", "proxy = 'http://u:p@p'", "proxy = 'http://'", &long]
    {
        assert_eq!(source_of(&format!("{base}\n{bad}")).unwrap_err(), ["source.proxy"], "{bad}");
    }
}

#[test]
fn a_websocket_sends_the_message_with_the_key_first_and_never_shows_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "{\"key\":\"hunter2\"}\n").unwrap();
    let text = format!(
        "type = 'websocket'\nurl = 'ws://h/?token=hunter2'\nsend = ['a', 'b']\nsend_secret_file = {:?}\nheaders = {{ X-Team = 'edge' }}",
        file.path()
    );
    let socket = socket_of(&text);
    let sent: Vec<_> = socket.sent().iter().map(spillway_service::secret::Secret::reveal).collect();
    assert_eq!(sent, ["{\"key\":\"hunter2\"}", "a", "b"]);
    assert_eq!((socket.headers[0].0.as_str(), socket.headers[0].1.reveal()), ("X-Team", "edge"));
    assert!(!format!("{socket:?}").contains("hunter2"));
    let source = source_of(&text).unwrap();
    assert!(source.keeps_cursor() && !source.can_resume(), "the gap across a restart is known");
}

#[test]
fn a_websocket_with_mistakes_gives_all_of_them() {
    for (text, problems) in [
        ("type = 'websocket'", &["source.url"][..]),
        ("type = 'websocket'\nurl = 'https://h/'", &["source.url"]),
        ("type = 'websocket'\nurl = 'ws://u:p@h/'", &["source.url"]),
        ("type = 'websocket'\nurl = 'ws://h/'\nheaders = { Host = 'a' }", &["source.headers"]),
        ("type = 'websocket'\nurl = 'ws://h/'\nheaders = { Authorization = 'Basic a' }", &["source.headers"]),
        ("type = 'websocket'\nurl = 'ws://h/'\nheaders = { 'a b' = 'c' }", &["source.headers"]),
        (
            "type = 'websocket'\nurl = 'ws://h/'\nsend = 'one'\nid = 'id'\nrewind = '1s'",
            &["source.send", "source.id", "source.rewind"],
        ),
        ("type = 'bluesky_jetstream'\nurls = []\nid = '/did'", &["source.urls", "source.id"]),
        ("type = 'bluesky_jetstream'\nurl = 'ws://a/'\nurls = ['ws://b/']", &["source.urls"]),
        ("type = 'bluesky_jetstream'\nurls = ['ws://a/', 'http://b/']", &["source.urls"]),
        (
            "type = 'bluesky_jetstream'\nurl = 'ws://a/'\nwanted_collections = ['posts']\nwanted_dids = ['me']\ncompress = true",
            &["source.wanted_collections", "source.wanted_dids", "source.compress"],
        ),
        ("type = 'bluesky_jetstream'\nurl = 'ws://a/'\nzstd_dictionary = '/d'", &["source.zstd_dictionary"]),
    ] {
        let mut expected: Vec<_> = problems.to_vec();
        let mut found = source_of(text).unwrap_err();
        found.sort();
        expected.sort_unstable();
        assert_eq!(found, expected, "{text}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn a_jetstream_has_its_addresses_and_resumes() {
    let of = |text: &str| match socket_of(&format!("type = 'bluesky_jetstream'\n{text}")).speech {
        Speech::Jetstream(settings) => settings.instances.iter().map(|a| a.reveal().to_owned()).collect(),
        Speech::Plain { .. } => Vec::new(),
    };
    assert_eq!(of(""), INSTANCES);
    assert_eq!(of("url = 'ws://a/'"), ["ws://a/"]);
    assert_eq!(of("urls = ['ws://a/', 'wss://b/']"), ["ws://a/", "wss://b/"]);
    let source = source_of("type = 'bluesky_jetstream'").unwrap();
    assert!(source.can_resume() && source.keeps_cursor());
    assert!(socket_of("type = 'bluesky_jetstream'").uses_tls());
    assert!(!socket_of("type = 'bluesky_jetstream'\nurl = 'ws://a/'").uses_tls());
}

#[cfg(not(feature = "tls"))]
#[test]
fn without_tls_an_address_that_needs_it_is_told() {
    assert_eq!(source_of("type = 'websocket'\nurl = 'wss://h/'").unwrap_err(), ["source.url"]);
    assert!(!source_of("type = 'bluesky_jetstream'").unwrap_err().is_empty());
}
