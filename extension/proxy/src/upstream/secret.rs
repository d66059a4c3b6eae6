//! Certificates and keys as the configuration gives them, PEM, and what is wrong with them.

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::sync::Arc;

/// What is wrong with certificates or keys in the configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("{what} is not PEM: {source}")]
    Pem { what: &'static str, source: rustls::pki_types::pem::Error },
    #[error("{0} holds no certificate")]
    Empty(&'static str),
    #[error("{what}: {source}")]
    Rustls { what: &'static str, source: rustls::Error },
    #[error("{0:?} is not a host name")]
    Hostname(String),
    #[error("a subject alternative name is neither a host name nor a URI")]
    SubjectAltName,
}

/// The process's provider of cryptography.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
}

/// The certificates of a PEM text, one at least. `what` names the text in errors.
pub(crate) fn certificates(
    pem: &[u8],
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, SecretError> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| SecretError::Pem { what, source })?;
    if certificates.is_empty() { Err(SecretError::Empty(what)) } else { Ok(certificates) }
}

/// The authorities of a PEM bundle, one at least. `what` names the bundle in errors.
pub(crate) fn roots(pem: &[u8], what: &'static str) -> Result<RootCertStore, SecretError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, what)? {
        roots.add(certificate).map_err(|source| SecretError::Rustls { what, source })?;
    }
    Ok(roots)
}
