//! A certificate with its key, to be shown to whoever asks for one.

use super::{dns_sans, not_after, subject, uri_sans};
use crate::upstream::secret::{SecretError, certificates, provider};
use alb_config::proto;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// The certificate.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) key: Arc<CertifiedKey>,
    /// DNS names it is for, in lower case; one may begin with `*.`.
    pub(crate) names: Vec<String>,
    /// Whose it is, for logs.
    pub(crate) identity: Option<Arc<str>>,
    /// End of its life, in seconds since the epoch.
    pub(crate) not_after: Option<i64>,
}

impl Certificate {
    /// Reads a resource.
    ///
    /// # Errors
    /// When it is no certificate with its key.
    pub(crate) fn new(given: &proto::Certificate) -> Result<Self, SecretError> {
        let chain = certificates(&given.certificate_chain, "the certificate chain")?;
        let key = PrivateKeyDer::from_pem_slice(&given.private_key)
            .map_err(|source| SecretError::Pem { what: "the private key", source })?;
        let of_leaf = chain.first();
        let names = of_leaf.and_then(dns_sans).unwrap_or_default();
        let identity = of_leaf.and_then(identity);
        let not_after = of_leaf.and_then(not_after);
        let key = CertifiedKey::from_der(chain, key, &provider())
            .map_err(|source| SecretError::Rustls { what: "the certificate with its key", source })?;
        let names = names.into_iter().map(|name| name.to_ascii_lowercase()).collect();
        Ok(Self { key: Arc::new(key), names, identity, not_after })
    }
}

/// Whom a certificate names, in a few words: its first URI, else its first DNS name, else its subject.
pub(crate) fn identity(certificate: &rustls::pki_types::CertificateDer<'_>) -> Option<Arc<str>> {
    let first = |names: Option<Vec<String>>| names.and_then(|names| names.into_iter().next());
    let named = first(uri_sans(certificate)).or_else(|| first(dns_sans(certificate)));
    named.or_else(|| subject(certificate)).map(Arc::from)
}
