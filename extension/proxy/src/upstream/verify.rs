//! Verification of servers: their chain against the roots given, the names in their certificate against the expected.

use super::certificate::{dns_sans, uri_sans};
use alb_route::Hostname;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, DnsName, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use std::fmt;
use std::sync::Arc;

/// Whom a server's certificate must name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// This SPIFFE id, as its only URI (SPIFFE X509-SVID section 2). Host names mean nothing here: mesh certificates
    /// carry none.
    SpiffeId(Arc<str>),
    /// One of these (Gateway API, `BackendTLSPolicyValidation`).
    OneOf(Vec<Name>),
}

/// A name to be found among a certificate's subject alternative names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    /// A host name; a wildcard in the certificate may stand for it.
    Host(DnsName<'static>),
    /// `*.example`: any host name below.
    Below(Hostname),
    Uri(Arc<str>),
}

/// The certificate is valid but is not the expected server's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected identity {expected}, the certificate carries {}", list(.found))]
pub(crate) struct IdentityMismatch {
    expected: String,
    found: Vec<String>,
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name.as_ref()),
            Self::Below(pattern) => pattern.fmt(f),
            Self::Uri(uri) => f.write_str(uri),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SpiffeId(id) => f.write_str(id),
            Self::OneOf(names) => {
                let names: Vec<_> = names.iter().map(Name::to_string).collect();
                f.write_str(&names.join(" or "))
            }
        }
    }
}

impl Expected {
    /// The expected name that a certificate carries.
    ///
    /// # Errors
    /// It carries none of them, or cannot be read.
    pub(super) fn found_in(&self, certificate: &CertificateDer<'_>) -> Result<Arc<str>, Error> {
        let uris = uri_sans(certificate).ok_or(CertificateError::BadEncoding)?;
        let names = match self {
            Self::SpiffeId(id) => {
                if matches!(uris.as_slice(), [only] if **only == **id) {
                    return Ok(id.clone());
                }
                #[cfg(feature = "faults")]
                if let [only] = uris.as_slice()
                    && crate::faults::takes_for(id, only)
                {
                    return Ok(id.clone());
                }
                Vec::new()
            }
            Self::OneOf(wanted) => {
                let parsed = ParsedCertificate::try_from(certificate)?;
                let names = dns_sans(certificate).ok_or(CertificateError::BadEncoding)?;
                let found = wanted.iter().find_map(|name| name.among(&parsed, &names, &uris));
                if let Some(found) = found {
                    return Ok(found);
                }
                names
            }
        };
        let found = names.into_iter().chain(uris).collect();
        let mismatch = IdentityMismatch { expected: self.to_string(), found };
        Err(CertificateError::Other(OtherError(Arc::new(mismatch))).into())
    }
}

impl Name {
    /// This name as a certificate with these subject alternative names carries it.
    fn among(
        &self,
        certificate: &ParsedCertificate<'_>,
        names: &[String],
        uris: &[String],
    ) -> Option<Arc<str>> {
        match self {
            Self::Host(name) => verify_server_name(certificate, &ServerName::DnsName(name.clone()))
                .is_ok()
                .then(|| Arc::from(name.as_ref())),
            Self::Below(pattern) => names
                .iter()
                .map(|name| name.to_ascii_lowercase())
                .find(|name| pattern.matches(name) || *name == pattern.to_string())
                .map(Arc::from),
            Self::Uri(uri) => uris.iter().any(|other| **other == **uri).then(|| uri.clone()),
        }
    }
}

/// Accepts a server whose chain leads to the roots and whose certificate names whom it must.
#[derive(Debug)]
pub(super) struct Verifier {
    roots: Arc<RootCertStore>,
    expected: Arc<Expected>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(roots: Arc<RootCertStore>, expected: Arc<Expected>, provider: &CryptoProvider) -> Self {
        Self { roots, expected, algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        #[cfg(feature = "faults")]
        let now = crate::faults::time(end_entity, now);
        let chain = verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        );
        #[cfg(feature = "faults")]
        let chain = crate::faults::verified(chain);
        chain?;
        self.expected.found_in(end_entity).map(|_| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
