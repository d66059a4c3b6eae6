//! How to speak to a backend: clear text, Istio mutual TLS, or TLS as a BackendTLSPolicy asks for it.

use super::certificate::{Certificate, not_after, uri_sans};
use super::protocol::Protocol;
use super::secret::{SecretError, certificates, provider, roots};
use super::verify::{Expected, Name, Verifier};
use crate::error::ProxyError;
use crate::tls_info::{Mode, TlsInfo};
use alb_config::proto::{Secret, ServerTls, subject_alt_name};
use alb_route::Hostname;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{DnsName, PrivateKeyDer};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use std::sync::{Arc, LazyLock};

/// The only way to speak to an endpoint. There is no fallback from one to another.
#[derive(Debug)]
pub(crate) enum Security {
    ClearText,
    Tls(TlsClient),
    /// It cannot be spoken to in this mode: every request gets this answer.
    Unusable(Mode, ProxyError),
}

#[derive(Debug)]
pub(crate) struct TlsClient {
    pub(crate) mode: Mode,
    pub(crate) config: Arc<ClientConfig>,
    /// Sent as SNI; none means the endpoint's address, which sends no SNI.
    pub(crate) server_name: Option<DnsName<'static>>,
    /// What the server must prove to be.
    pub(crate) expected: Arc<Expected>,
    pub(crate) client_identity: Option<Arc<str>>,
}

impl Security {
    pub(crate) fn mode(&self) -> Mode {
        match self {
            Self::ClearText => Mode::None,
            Self::Tls(tls) => tls.mode,
            Self::Unusable(mode, _) => *mode,
        }
    }

    /// What is known before a handshake.
    pub(crate) fn intended(&self) -> TlsInfo {
        let mut info = TlsInfo {
            mode: self.mode(),
            server_name: None,
            server_identity: None,
            client_identity: None,
            alpn: None,
        };
        if let Self::Tls(tls) = self {
            info.server_name = tls.server_name.as_ref().map(|name| Arc::from(name.as_ref()));
            info.client_identity.clone_from(&tls.client_identity);
            info.alpn = offered(&tls.config);
        }
        info
    }
}

fn offered(config: &ClientConfig) -> Option<String> {
    let names: Vec<_> = config.alpn_protocols.iter().map(|name| String::from_utf8_lossy(name)).collect();
    (!names.is_empty()).then(|| names.join(","))
}

/// One generation of the client certificate.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Offers the certificate; verifies nobody until a verifier is set.
    base: ClientConfig,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    pub(crate) spiffe_id: Option<Arc<str>>,
    /// Seconds since the epoch.
    pub(crate) not_after: Option<i64>,
}

impl Identity {
    /// Reads a secret. `alpn` is empty but in tests.
    pub(crate) fn new(secret: &Secret, alpn: &[Vec<u8>]) -> Result<Self, SecretError> {
        let provider = provider();
        let chain = certificates(&secret.certificate_chain, "the certificate chain")?;
        let leaf = chain.first();
        let spiffe_id = leaf.and_then(uri_sans).and_then(|sans| sans.into_iter().next()).map(Arc::from);
        let not_after = leaf.and_then(not_after);
        let key = PrivateKeyDer::from_pem_slice(&secret.private_key)
            .map_err(|source| SecretError::Pem { what: "the private key", source })?;
        let roots = roots(&secret.trust_bundle, "the trust bundle")?;
        #[cfg(feature = "faults")]
        let roots = crate::faults::and_former(roots);
        // The verifier is replaced for every use; an empty set of roots would trust nobody.
        let mut base = builder(&provider)?
            .with_root_certificates(RootCertStore::empty())
            .with_client_auth_cert(chain, key)
            .map_err(|source| SecretError::Rustls { what: "the certificate with its key", source })?;
        base.alpn_protocols = alpn.to_vec();
        // A resumed session would skip the verification of the server, and addresses are used again by other pods.
        base.resumption = Resumption::disabled();
        Ok(Self { base, roots: Arc::new(roots), provider, spiffe_id, not_after })
    }

    /// The way to speak to the workload `expected` with this certificate.
    pub(crate) fn mutual_tls(&self, expected: &str) -> TlsClient {
        let expected = Arc::new(Expected::SpiffeId(expected.into()));
        let verifier = Verifier::new(self.roots.clone(), expected.clone(), &self.provider);
        let mut config = self.base.clone();
        config.dangerous().set_certificate_verifier(Arc::new(verifier));
        TlsClient {
            mode: Mode::Mtls,
            config: Arc::new(config),
            server_name: None,
            expected,
            client_identity: self.spiffe_id.clone(),
        }
    }
}

/// The application protocol that is spoken to pods, and no other (RFC 9113 section 3.2).
fn application_protocol(protocol: Protocol) -> Vec<u8> {
    match protocol {
        Protocol::Http1 => b"http/1.1".to_vec(),
        Protocol::Http2 => b"h2".to_vec(),
    }
}

/// Public authorities: those Mozilla trusts, compiled in, because the proxy's image holds nothing but the proxy.
static SYSTEM_ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    Arc::new(roots)
});

/// TLS with the names and the roots given (Gateway API, BackendTLSPolicy), and with a client certificate for servers that ask
/// for one (Gateway API, GatewayBackendTLS).
pub(crate) fn server_tls(
    tls: &ServerTls,
    protocol: Protocol,
    client: Option<&Certificate>,
) -> Result<TlsClient, SecretError> {
    let server_name = host(&tls.hostname)?;
    let expected = Arc::new(expected(tls, &server_name)?);
    let roots = match tls.system_ca_certificates {
        true => SYSTEM_ROOTS.clone(),
        false => Arc::new(roots(&tls.ca_certificates, "the CA bundle")?),
    };
    let provider = provider();
    let verifier = Verifier::new(roots, expected.clone(), &provider);
    let config = builder(&provider)?.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match client {
        Some(client) => {
            config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(client.key.clone())))
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![application_protocol(protocol)];
    config.resumption = Resumption::disabled();
    Ok(TlsClient {
        mode: Mode::Tls,
        config: Arc::new(config),
        server_name: Some(server_name),
        expected,
        client_identity: client.and_then(|client| client.identity.clone()),
    })
}

/// The hostname counts only when no other names are given.
fn expected(tls: &ServerTls, server_name: &DnsName<'static>) -> Result<Expected, SecretError> {
    if tls.subject_alt_names.is_empty() {
        return Ok(Expected::OneOf(vec![Name::Host(server_name.clone())]));
    }
    let names = tls.subject_alt_names.iter().map(|given| match &given.name {
        Some(subject_alt_name::Name::Hostname(name)) if name.starts_with('*') => match name.parse() {
            Ok(pattern @ Hostname::Wildcard(_)) => Ok(Name::Below(pattern)),
            _ => Err(SecretError::Hostname(name.clone())),
        },
        Some(subject_alt_name::Name::Hostname(name)) => host(name).map(Name::Host),
        Some(subject_alt_name::Name::Uri(uri)) if !uri.is_empty() => Ok(Name::Uri(uri.as_str().into())),
        Some(subject_alt_name::Name::Uri(_)) | None => Err(SecretError::SubjectAltName),
    });
    Ok(Expected::OneOf(names.collect::<Result<_, _>>()?))
}

fn host(name: &str) -> Result<DnsName<'static>, SecretError> {
    DnsName::try_from(name.to_owned()).map_err(|_| SecretError::Hostname(name.to_owned()))
}

fn builder(
    provider: &Arc<CryptoProvider>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, SecretError> {
    ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|source| SecretError::Rustls { what: "TLS versions", source })
}
