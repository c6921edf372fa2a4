//! Where the daemon to be watched is: given on the command line, or read from its configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use reqwest::Url;
use spillway_daemon::config::ADMIN_LISTEN;
use spillway_service::admin::Listen;
use spillway_service::settings::{self, ENV_PREFIX, Environment, Problems};

/// An address of an admin endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// HTTP or HTTPS.
    Url(Url),
    /// A socket of the file system.
    Unix(PathBuf),
}

/// Why text is no address.
#[derive(Debug, thiserror::Error)]
#[error("an address is like http://127.0.0.1:9464, https://host/edge-1/ or unix:/run/spillway/admin.sock")]
pub(crate) struct NoAddress;

/// Why a configuration does not say where the daemon is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// It cannot be read, or its `[admin]` is wrong.
    #[error("{0}")]
    Wrong(Problems),
    /// The endpoint is switched off.
    #[error("{0} has admin.listen = \"none\": this daemon cannot be watched")]
    Off(PathBuf),
}

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(NoAddress) };
        }
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let mut url = Url::parse(&text).map_err(|_| NoAddress)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(NoAddress);
        }
        // What is asked for lies below it.
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self::Url(url))
    }
}

impl Address {
    /// The address where a daemon with this configuration listens. Nothing but `[admin]` is looked at: the
    /// rest may name secrets that only the service can read.
    pub(crate) fn of_config(path: &Path) -> Result<Self, ConfigError> {
        let text = settings::read_text(path).map_err(ConfigError::Wrong)?;
        let name = format!("{ENV_PREFIX}ADMIN_LISTEN");
        let env: Environment = std::env::var(&name).into_iter().map(|value| (name.clone(), value)).collect();
        let listen = settings::parse(&path.display().to_string(), &text, &env, |root| {
            root.ignore_the_rest();
            Listen::read(&root.section("admin"), ADMIN_LISTEN)
        });
        let listen = listen.map_err(ConfigError::Wrong)?;
        listen.and_then(|listen| Self::of(&listen)).ok_or_else(|| ConfigError::Off(path.to_owned()))
    }

    /// Who listens at all addresses of a host answers at its loopback.
    fn of(listen: &Listen) -> Option<Self> {
        let mut address = match listen {
            Listen::Unix(path) => return Some(Self::Unix(path.clone())),
            Listen::Tcp(address) => *address,
        };
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        address.to_string().parse().ok()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => {
                // A password is not for a screen. Neither fails for an address with a host.
                let mut url = url.clone();
                let _ = (url.set_username(""), url.set_password(None));
                f.write_str(url.as_str().trim_end_matches('/'))
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_shown() {
        for (text, shown) in [
            ("127.0.0.1:9464", "http://127.0.0.1:9464"),
            ("localhost:9464/", "http://localhost:9464"),
            ("https://host/edge-1", "https://host/edge-1"),
            ("http://[::1]:80", "http://[::1]"),
            ("https://me:secret@host/", "https://host"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for bad in ["", "unix:a.sock", "ftp://host", "http://", "file:///etc", "a b"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_configuration_says_where_its_daemon_listens_whatever_else_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        let read = |admin: &str| {
            let rest = "[kafka]\npassword_credential = 'not-here'\n[nonsense]\na = 1\n";
            std::fs::write(&path, format!("{rest}{admin}")).unwrap();
            Address::of_config(&path)
        };
        let shown = |admin: &str| read(admin).unwrap().to_string();
        assert_eq!(shown(""), "http://127.0.0.1:9464");
        assert_eq!(shown("[admin]\nlisten = '0.0.0.0:7'\n"), "http://127.0.0.1:7");
        assert_eq!(shown("[admin]\nlisten = '[::]:7'\n"), "http://[::1]:7");
        assert_eq!(shown("[admin]\nlisten = 'unix:/run/a.sock'\n"), "unix:/run/a.sock");
        assert!(matches!(read("[admin]\nlisten = 'none'\n"), Err(ConfigError::Off(_))));
        let wrong = read("[admin]\nlistn = '[::]:7'\n").unwrap_err().to_string();
        assert!(wrong.contains("c.toml:6: admin.listn: unknown setting"), "{wrong}");
    }
}
