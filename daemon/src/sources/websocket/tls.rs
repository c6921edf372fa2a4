//! TLS for WebSockets: rustls with the platform's roots, and the operator's own beside them.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use super::broken::Broken;
use super::dial::SetupError;
use super::io::Io;

/// A TLS set-up, made once and used for every connection.
#[derive(Clone)]
pub(super) struct Tls(Arc<ClientConfig>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Trusts the platform's roots, and those of the PEM file `ca_file`.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, SetupError> {
        let extra = ca_file.map(read_roots).transpose()?.unwrap_or_default();
        crate::sources::http::choose_cryptography();
        let provider = CryptoProvider::get_default()
            .cloned()
            .unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
        let verifier =
            Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).map_err(SetupError::Tls)?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(SetupError::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        // A WebSocket is opened over HTTP/1.1.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// Sets up a session over `io`.
    pub(super) async fn wrap(&self, io: Box<dyn Io>, host: &str) -> Result<Box<dyn Io>, Broken> {
        let failed = |source| Broken::Tls { host: host.to_owned(), source };
        let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other).map_err(failed)?;
        let session = TlsConnector::from(Arc::clone(&self.0)).connect(name, io).await.map_err(failed)?;
        Ok(Box::new(session))
    }
}

fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let failed = |source| SetupError::CaFile { path: path.to_owned(), source };
    let roots: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(failed)?.collect();
    let roots = roots.map_err(failed)?;
    if roots.is_empty() {
        return Err(SetupError::NoCertificate { path: path.to_owned() });
    }
    Ok(roots)
}
