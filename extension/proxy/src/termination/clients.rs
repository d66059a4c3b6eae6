//! Which clients a listener lets in by their certificates (Gateway API, `FrontendTLSValidation`).

use crate::upstream::{provider, roots};
use alb_config::proto::ClientValidation;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::sync::Arc;

/// The clients that are let in.
#[derive(Debug)]
pub(super) struct Clients {
    /// None: no authority is known, and nobody has a certificate of one.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    allow_insecure_fallback: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Clients {
    pub(super) fn new(validation: &ClientValidation) -> Result<Self, String> {
        let ClientValidation { ca_certificates, allow_insecure_fallback } = validation;
        let verifier = match ca_certificates.is_empty() {
            true => None,
            false => {
                let roots = roots(ca_certificates, "the CA bundle for clients").map_err(|e| e.to_string())?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
                Some(verifier.build().map_err(|error| format!("the CA bundle for clients: {error}"))?)
            }
        };
        let algorithms = provider().signature_verification_algorithms;
        Ok(Self { verifier, allow_insecure_fallback: *allow_insecure_fallback, algorithms })
    }

    /// Whether there is any client that is let in. While it is not known by which authorities to tell, there is none, whatever
    /// else is allowed.
    pub(super) fn lets_in_anybody(&self) -> bool {
        self.verifier.is_some()
    }

    /// Whether this chain leads to the authorities. The handshake has shown already that the client holds the key.
    pub(super) fn have_proved(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some((leaf, intermediates)) = chain.split_first() else { return false };
        !self.allow_insecure_fallback || self.verify(leaf, intermediates, UnixTime::now()).is_ok()
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match &self.verifier {
            Some(verifier) => verifier.verify_client_cert(leaf, intermediates, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        !self.allow_insecure_fallback
    }

    /// Whoever may come without a valid certificate is not told which ones are valid: clients that have another show it, and
    /// the log has it.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.verifier {
            Some(verifier) if !self.allow_insecure_fallback => verifier.root_hint_subjects(),
            _ => &[],
        }
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.verify(leaf, intermediates, now) {
            Err(_) if self.allow_insecure_fallback => Ok(ClientCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
