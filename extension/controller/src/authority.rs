//! Certificate authority of the configuration server, and the server certificates it issues. Pure but for randomness:
//! time comes from outside.

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use std::time::Duration;
use x509_parser::certificate::X509Certificate;

/// Life of the authority. When less than a third remains its successor is made, and trusted; it issues once all clients
/// trust it, and its predecessor stays trusted.
const AUTHORITY_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long a successor has to be published before it issues. The kubelet brings a ConfigMap into a pod within two minutes.
pub(crate) const SPREAD: Duration = Duration::from_secs(15 * 60);
/// Life of a server certificate. It lives in memory only and is replaced when a third remains.
const SERVER_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Clocks of other nodes may be behind.
const BACKDATE: Duration = Duration::from_secs(3600);

/// Why a certificate could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Making a key or certificate failed.
    #[error("making a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The stored authority cannot be used.
    #[error("reading the stored certificate authority: {0}")]
    Read(String),
    /// The TLS library refuses the certificate.
    #[error("setting up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The authority, as stored in its Secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    /// Certificate, PEM.
    pub certificate: String,
    /// Private key, PEM.
    pub key: String,
    /// Certificate of the authority before this one, PEM, or empty.
    pub previous: String,
    /// The authority after this one, once there is one.
    pub next: Next,
}

/// An authority that is trusted and does not issue yet; both empty: there is none.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Next {
    /// Certificate, PEM.
    pub certificate: String,
    /// Private key, PEM.
    pub key: String,
}

/// What is to be done with an authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Keep,
    /// A successor is to be made and published.
    Announce,
    /// The successor is to issue: everybody trusts it.
    Promote,
}

/// A server certificate in use.
pub struct Serving {
    /// For new connections.
    pub config: Arc<rustls::ServerConfig>,
    /// When to replace it.
    pub renew_at: Timestamp,
}

impl Authority {
    /// A new authority.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn generate(now: Timestamp) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let certificate = authority_parameters(now).self_signed(&key)?;
        let next = Next::default();
        Ok(Self { certificate: certificate.pem(), key: key.serialize_pem(), previous: String::new(), next })
    }

    /// What is to be done with it `now`, when its [bundle](Self::bundle) has been published for so long.
    ///
    /// # Errors
    /// When the certificate cannot be read.
    pub fn step(&self, now: Timestamp, published: Duration) -> Result<Step, AuthorityError> {
        if !self.next.certificate.is_empty() {
            return Ok(if published >= SPREAD { Step::Promote } else { Step::Keep });
        }
        Ok(if now >= self.renew_at()? { Step::Announce } else { Step::Keep })
    }

    /// This authority with a successor, which is trusted and does not issue yet.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn announce(&self, now: Timestamp) -> Result<Self, AuthorityError> {
        let Self { certificate, key, .. } = Self::generate(now)?;
        Ok(Self { next: Next { certificate, key }, ..self.clone() })
    }

    /// Its successor, which keeps trust in this one.
    pub fn promote(&self) -> Self {
        let Next { certificate, key } = self.next.clone();
        Self { certificate, key, previous: self.certificate.clone(), next: Next::default() }
    }

    /// Whether what this one issues and what the other does come from the same hand.
    pub fn issues_as(&self, other: &Self) -> bool {
        self.certificate == other.certificate && self.key == other.key
    }

    /// Checks that it is whole: what is stored may have been damaged.
    ///
    /// # Errors
    /// When certificate or key cannot be read, or do not belong together.
    pub fn check(&self) -> Result<(), AuthorityError> {
        whole("ca", &self.certificate, &self.key)?;
        match &self.next {
            Next { certificate, key } if certificate.is_empty() && key.is_empty() => Ok(()),
            Next { certificate, key } => whole("next", certificate, key),
        }
    }

    /// When to replace it.
    ///
    /// # Errors
    /// When the certificate cannot be read: replace it now.
    pub fn renew_at(&self) -> Result<Timestamp, AuthorityError> {
        let der = self.der()?;
        let not_after = parsed("ca.crt", &der)?.validity().not_after.timestamp();
        let not_after = Timestamp::from_second(not_after).map_err(|error| read("ca.crt", error))?;
        Ok(not_after - AUTHORITY_LIFE / 3)
    }

    fn der(&self) -> Result<CertificateDer<'static>, AuthorityError> {
        der("ca.crt", &self.certificate)
    }

    /// What clients trust, PEM.
    pub fn bundle(&self) -> String {
        format!("{}{}{}", self.certificate, self.previous, self.next.certificate)
    }

    /// Issues a server certificate for `names`.
    ///
    /// # Errors
    /// When the stored key cannot be read, or no certificate can be made.
    pub fn serve(&self, names: &[&str], now: Timestamp) -> Result<Serving, AuthorityError> {
        let issuer = Issuer::new(authority_parameters(now), KeyPair::from_pem(&self.key)?);
        let key = KeyPair::generate()?;
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut parameters = CertificateParams::new(names)?;
        parameters.distinguished_name = name("alb-controller");
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.use_authority_key_identifier_extension = true;
        validity(&mut parameters, now, SERVER_LIFE);
        let certificate = parameters.signed_by(&key, &issuer)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let private = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|error| AuthorityError::Tls(rustls::Error::General(error.to_owned())))?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Serving { config: Arc::new(config), renew_at: now + SERVER_LIFE * 2 / 3 })
    }
}

/// Checks that a certificate and a key can be read and belong together.
fn whole(name: &str, certificate: &str, key: &str) -> Result<(), AuthorityError> {
    let (of_certificate, of_key) = (format!("{name}.crt"), format!("{name}.key"));
    let der = der(&of_certificate, certificate)?;
    let certificate = parsed(&of_certificate, &der)?;
    let key = KeyPair::from_pem(key).map_err(|error| read(&of_key, error))?;
    if *certificate.public_key().subject_public_key.data != *key.public_key_raw() {
        return Err(read(&of_key, format!("it is not the key of the certificate in {of_certificate}")));
    }
    Ok(())
}

fn der(entry: &str, certificate: &str) -> Result<CertificateDer<'static>, AuthorityError> {
    CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|error| read(entry, error))
}

fn parsed<'a>(entry: &str, der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, AuthorityError> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).map_err(|error| read(entry, error))?;
    Ok(certificate)
}

fn read(entry: &str, error: impl std::fmt::Display) -> AuthorityError {
    AuthorityError::Read(format!("{entry}: {error}"))
}

/// The same for every generation but for the key and the time: an issuer is known by its name and key.
fn authority_parameters(now: Timestamp) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = name("alb-controller configuration authority");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity(&mut parameters, now, AUTHORITY_LIFE);
    parameters
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn validity(parameters: &mut CertificateParams, now: Timestamp, life: Duration) {
    parameters.not_before = std::time::SystemTime::from(now - BACKDATE).into();
    parameters.not_after = std::time::SystemTime::from(now + life).into();
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::{ServerName, UnixTime};

    const NAME: &str = "alb-controller-config.azure-alb-system.svc";

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn verify(bundle: &str, serving: &Serving, name: &str) -> Result<(), rustls::Error> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
        let leaf = leaf(serving);
        let time = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_100));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier.verify_server_cert(&leaf, &[], &name, &[], time).map(drop)
    }

    /// The certificate that a TLS handshake in memory shows.
    fn leaf(serving: &Serving) -> CertificateDer<'static> {
        #[derive(Debug)]
        struct Any;
        impl rustls::client::danger::ServerCertVerifier for Any {
            fn verify_server_cert(
                &self,
                _: &CertificateDer<'_>,
                _: &[CertificateDer<'_>],
                _: &ServerName<'_>,
                _: &[u8],
                _: UnixTime,
            ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
                Ok(rustls::client::danger::ServerCertVerified::assertion())
            }
            fn verify_tls12_signature(
                &self,
                _: &[u8],
                _: &CertificateDer<'_>,
                _: &rustls::DigitallySignedStruct,
            ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
                Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
            }
            fn verify_tls13_signature(
                &self,
                _: &[u8],
                _: &CertificateDer<'_>,
                _: &rustls::DigitallySignedStruct,
            ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
                Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
            }
            fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
                vec![rustls::SignatureScheme::ECDSA_NISTP256_SHA256]
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Any))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let mut client =
            rustls::ClientConnection::new(Arc::new(config), ServerName::try_from(NAME).unwrap()).unwrap();
        let mut server = rustls::ServerConnection::new(serving.config.clone()).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            let mut cursor = bytes.as_slice();
            while !cursor.is_empty() {
                server.read_tls(&mut cursor).unwrap();
                server.process_new_packets().unwrap();
            }
            let mut bytes = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut bytes).unwrap();
            }
            let mut cursor = bytes.as_slice();
            while !cursor.is_empty() {
                client.read_tls(&mut cursor).unwrap();
                client.process_new_packets().unwrap();
            }
        }
        client.peer_certificates().unwrap()[0].clone().into_owned()
    }

    #[test]
    fn a_client_with_the_bundle_trusts_the_server_under_its_name_only() {
        let authority = Authority::generate(now()).unwrap();
        let serving = authority.serve(&[NAME], now()).unwrap();
        verify(&authority.bundle(), &serving, NAME).unwrap();
        assert!(verify(&authority.bundle(), &serving, "other.svc").is_err());
    }

    /// A certificate is shown only to those who have been able to learn of its authority.
    #[test]
    fn a_successor_issues_after_its_certificate_has_been_published_for_a_while() {
        let authority = Authority::generate(now()).unwrap();
        assert_eq!(authority.step(now(), SPREAD).unwrap(), Step::Keep);
        let due = authority.renew_at().unwrap();
        assert_eq!(authority.step(due, SPREAD).unwrap(), Step::Announce);
        let announced = authority.announce(now()).unwrap();
        assert!(announced.issues_as(&authority));
        announced.check().unwrap();
        assert_eq!(announced.step(due, SPREAD / 2).unwrap(), Step::Keep);
        assert_eq!(announced.step(due, SPREAD).unwrap(), Step::Promote);
        let successor = announced.promote();
        successor.check().unwrap();

        let old = authority.serve(&[NAME], now()).unwrap();
        let new = successor.serve(&[NAME], now()).unwrap();
        assert!(verify(&authority.bundle(), &new, NAME).is_err());
        for bundle in [announced.bundle(), successor.bundle()] {
            verify(&bundle, &old, NAME).unwrap();
            verify(&bundle, &new, NAME).unwrap();
        }
    }

    #[test]
    fn certificates_are_renewed_when_a_third_of_their_life_remains() {
        let authority = Authority::generate(now()).unwrap();
        assert_eq!(authority.renew_at().unwrap(), now() + AUTHORITY_LIFE * 2 / 3);
        assert_eq!(authority.serve(&[NAME], now()).unwrap().renew_at, now() + SERVER_LIFE * 2 / 3);
    }

    #[test]
    fn a_damaged_authority_is_an_error_and_no_panic() {
        let damaged = Authority {
            certificate: "x".into(),
            key: "y".into(),
            previous: String::new(),
            next: Next::default(),
        };
        assert!(damaged.check().is_err());
        assert!(damaged.renew_at().is_err());
        assert!(damaged.serve(&[NAME], now()).is_err());
    }

    #[test]
    fn a_key_that_is_damaged_or_of_another_certificate_is_noticed() {
        let authority = Authority::generate(now()).unwrap();
        authority.check().unwrap();
        authority.announce(now()).unwrap().promote().check().unwrap();
        let other = Authority::generate(now()).unwrap();
        for key in [String::new(), "x".to_owned(), authority.certificate.clone(), other.key] {
            let error = Authority { key, ..authority.clone() }.check().unwrap_err().to_string();
            assert!(error.contains("ca.key"), "{error}");
            let next = Next { certificate: authority.certificate.clone(), key: "x".to_owned() };
            let error = Authority { next, ..authority.clone() }.check().unwrap_err().to_string();
            assert!(error.contains("next.key"), "{error}");
        }
    }
}
