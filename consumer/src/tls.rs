//! TLS of HTTP clients: they are built without a library of their own and take the process's.

/// Makes sure that there is one.
#[cfg(feature = "tls")]
pub(crate) fn install() {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::trace!("TLS is set up already");
    }
}

/// Built without TLS, there is none.
#[cfg(not(feature = "tls"))]
pub(crate) fn install() {}
