//! The client's side of TLS: who is believed, what is shown, and what the other side has shown.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::AsyncBufRead;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::classify::Broken;
use crate::probe::ProbeError;
use meshproof_run::probe::tls::{ClientCertificate, Shown, Tls};

/// How long a server that has asked for the client's certificate may take to say what it makes of it. With TLS 1.3 that is after
/// the client's part of the handshake; one that says nothing is content.
const VERDICT: Duration = Duration::from_millis(500);

/// What a client offers.
pub(super) struct Offer {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    verifier: Arc<Verifier>,
    client: Arc<Client>,
    http2: bool,
}

impl Offer {
    /// For a request to this host.
    ///
    /// # Errors
    /// Certificates that are none, or do not fit their key; a name that cannot be asked for.
    pub(super) fn new(tls: &Tls, host: &str, http2: bool) -> Result<Self, ProbeError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let asked = tls.server_name.as_deref().unwrap_or(host).to_owned();
        let bad = |what: &str, reason: String| ProbeError::Tls { what: what.to_owned(), reason };
        let name = ServerName::try_from(asked.clone());
        let name = name.map_err(|error| bad("the name in the handshake", format!("{asked}: {error}")))?;
        let believed = tls.authorities.as_deref().map(|pem| believed(pem, &provider)).transpose()?;
        let verifier =
            Arc::new(Verifier { provider: Arc::clone(&provider), believed, shown: OnceLock::new() });
        let shows = tls.client.as_ref().map(|client| shows(client, &provider)).transpose()?;
        let client = Arc::new(Client { shows, asked: AtomicBool::new(false) });
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| bad("versions of TLS", error.to_string()))?;
        let (verify, show): (Arc<Verifier>, Arc<Client>) = (Arc::clone(&verifier), Arc::clone(&client));
        let mut config =
            config.dangerous().with_custom_certificate_verifier(verify).with_client_cert_resolver(show);
        config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        Ok(Self { config: Arc::new(config), name, verifier, client, http2 })
    }

    /// The certificate that was shown, whatever became of the handshake.
    pub(super) fn shown(&self) -> Option<Shown> {
        Shown::read(self.verifier.shown.get()?).ok()
    }

    /// Makes the handshake, and waits until it is known what the server makes of the client's certificate.
    pub(super) async fn connect(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Broken> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let connected = connector.connect(self.name.clone(), stream).await;
        let failed = |error: &std::io::Error| {
            let shown = self.shown().map(|shown| format!(" ({shown})")).unwrap_or_default();
            Broken::of(format!("TLS handshake{shown}"), error).in_handshake()
        };
        let mut stream = connected.map_err(|error| failed(&error))?;
        if self.client.asked.load(Ordering::Relaxed) {
            let mut first = [0];
            // What comes is read below; nothing may come at all.
            let _ = tokio::time::timeout(VERDICT, stream.get_ref().0.peek(&mut first)).await;
            poll_fn(|context| match Pin::new(&mut stream).poll_fill_buf(context) {
                Poll::Ready(Ok([])) => Poll::Ready(Err(Broken::tls(
                    "the server has closed the connection at the end of the handshake, after it had asked for a certificate",
                ))),
                Poll::Ready(Err(error)) => Poll::Ready(Err(failed(&error))),
                Poll::Ready(Ok(_)) | Poll::Pending => Poll::Ready(Ok(())),
            })
            .await?;
        }
        if self.http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(Broken::tls("the server does not agree on HTTP/2 (ALPN h2)"));
        }
        Ok(stream)
    }
}

fn certificates(pem: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, ProbeError> {
    let bad = |reason: String| ProbeError::Tls { what: what.to_owned(), reason };
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(all) if all.is_empty() => Err(bad("there is none in it".into())),
        Ok(all) => Ok(all),
        Err(error) => Err(bad(error.to_string())),
    }
}

fn believed(pem: &str, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, ProbeError> {
    let what = "the authority's certificate";
    let bad = |reason: String| ProbeError::Tls { what: what.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, what)? {
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    verifier.build().map_err(|error| bad(error.to_string()))
}

fn shows(client: &ClientCertificate, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, ProbeError> {
    let what = "the client's certificate";
    let bad = |reason: String| ProbeError::Tls { what: what.to_owned(), reason };
    let chain = certificates(&client.chain, what)?;
    let key = PrivateKeyDer::from_pem_slice(client.key.as_bytes());
    let key = key.map_err(|error| bad(format!("its key: {error}")))?;
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| bad(error.to_string()))?;
    Ok(Arc::new(key))
}

/// Keeps the certificate that was shown, and believes whom it is told to.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// Nothing believes anybody.
    believed: Option<Arc<WebPkiServerVerifier>>,
    shown: OnceLock<Vec<u8>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let _ = self.shown.set(certificate.to_vec());
        match &self.believed {
            None => Ok(ServerCertVerified::assertion()),
            Some(believed) => believed.verify_server_cert(certificate, chain, name, ocsp, now),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Shows what it has, and remembers that it was asked.
#[derive(Debug)]
struct Client {
    shows: Option<Arc<CertifiedKey>>,
    asked: AtomicBool,
}

impl ResolvesClientCert for Client {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.shows.clone()
    }

    /// Always, so that it is told when it is asked.
    fn has_certs(&self) -> bool {
        true
    }
}
