//! The HTTP client of a source: timeouts, proxy, certificate authority. Without I/O but for the CA file.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Proxy};

use crate::config::HttpConfig;

/// Why there is no HTTP client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The library refuses the settings.
    #[error("cannot set up an HTTP client")]
    Setup(#[source] reqwest::Error),
    /// The proxy's address is of no use.
    #[error("cannot use source.proxy")]
    Proxy(#[source] reqwest::Error),
    /// The CA file cannot be read.
    #[error("cannot read source.ca_file {path:?}")]
    ReadAuthority {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The CA file holds no certificate.
    #[error("source.ca_file {path:?} holds no certificate in PEM")]
    NoAuthority {
        /// Its path.
        path: PathBuf,
    },
    /// The CA file holds something that is no certificate.
    #[error("source.ca_file {path:?} cannot be used")]
    Authority {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        source: reqwest::Error,
    },
}

/// Builds the client.
///
/// # Errors
/// When the proxy or the CA file cannot be used, or the TLS setup fails.
pub(crate) fn build(config: &HttpConfig) -> Result<Client, ClientError> {
    choose_cryptography();
    let mut client = Client::builder()
        .connect_timeout(config.link.connect_timeout)
        .user_agent(concat!("spillwayd/", env!("CARGO_PKG_VERSION")))
        .tcp_keepalive(Duration::from_secs(30));
    if let Some(proxy) = &config.link.proxy {
        let mut through = Proxy::all(proxy.address.reveal()).map_err(ClientError::Proxy)?;
        if let Some(user) = &proxy.user {
            let password = proxy.password.as_ref().map_or("", |password| password.reveal());
            through = through.basic_auth(user, password);
        }
        client = client.proxy(through);
    }
    trust(client, config)?.build().map_err(ClientError::Setup)
}

#[cfg(feature = "tls")]
fn trust(client: ClientBuilder, config: &HttpConfig) -> Result<ClientBuilder, ClientError> {
    let Some(path) = config.link.ca_file.clone() else { return Ok(client) };
    let pem = match std::fs::read(&path) {
        Ok(pem) => pem,
        Err(source) => return Err(ClientError::ReadAuthority { path, source }),
    };
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if certificates.is_empty() => Err(ClientError::NoAuthority { path }),
        Ok(certificates) => Ok(client.tls_certs_merge(certificates)),
        Err(source) => Err(ClientError::Authority { path, source }),
    }
}

/// The configuration has no `ca_file` in a build without TLS.
#[cfg(not(feature = "tls"))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature as with TLS")]
fn trust(client: ClientBuilder, _config: &HttpConfig) -> Result<ClientBuilder, ClientError> {
    Ok(client)
}

/// Chooses the cryptography for HTTPS, which must be done before the first client of a process is built;
/// whoever chose before keeps the choice. Does nothing in a build without TLS.
pub fn choose_cryptography() {
    #[cfg(feature = "tls")]
    {
        // An error means that it was chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
