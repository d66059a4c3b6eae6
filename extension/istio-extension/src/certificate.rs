//! The workload certificate: parsed, and checked to be whole. Pure.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The three files as the sidecar writes them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// `key.pem`.
    pub key: Vec<u8>,
    /// `cert-chain.pem`: leaf first, root last.
    pub chain: Vec<u8>,
    /// `root-cert.pem`: one or more roots.
    pub roots: Vec<u8>,
}

/// Sizes only: the key must not reach a log.
impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, chain, roots } = self;
        write!(f, "Files(key {} bytes, chain {} bytes, roots {} bytes)", key.len(), chain.len(), roots.len())
    }
}

/// What is worth knowing of a leaf certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The SPIFFE id, such as `spiffe://cluster.local/ns/azure-alb-system/sa/alb-controller-istio-extension`.
    pub spiffe_id: String,
    /// The serial number in hexadecimal, bytes separated by colons.
    pub serial: String,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
}

/// A certificate and the key that belongs to it, with the roots it chains to: ready to publish.
#[derive(Clone, PartialEq, Eq)]
pub struct WorkloadIdentity {
    /// The leaf.
    pub leaf: Leaf,
    /// PEM: leaf first, then intermediates, without the root.
    pub chain_pem: String,
    /// PEM. Not to be logged.
    pub key_pem: String,
    /// PEM of the roots.
    pub roots_pem: String,
}

/// The leaf only: the key must not reach a log.
impl fmt::Debug for WorkloadIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkloadIdentity({:?})", self.leaf)
    }
}

/// Why the files are no identity (yet).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The file holds nothing of the kind.
    #[error("{0} holds no PEM block of the kind expected")]
    Empty(&'static str),
    /// The file is not what it should be.
    #[error("{file}: {why}")]
    Malformed {
        /// Which file.
        file: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The files are of two generations, most likely: the sidecar replaces them one after the other.
    #[error("the key in key.pem does not belong to the certificate in cert-chain.pem")]
    KeyMismatch,
    /// Likewise, or the certificate is not Istio's.
    #[error("the certificate does not chain to the roots in root-cert.pem: {0}")]
    NotTrusted(String),
}

const KEY: &str = "key.pem";
const CHAIN: &str = "cert-chain.pem";
const ROOTS: &str = "root-cert.pem";

impl WorkloadIdentity {
    /// Checks that the files are one whole identity: a key, its certificate with a SPIFFE id, and roots it chains to.
    ///
    /// An expired certificate is accepted: whether it is of use is the caller's question.
    ///
    /// # Errors
    /// Says which file is wrong and how. The two mismatches are normal for a moment during a rotation.
    pub fn parse(files: &Files, now: Timestamp) -> Result<Self, CertificateError> {
        let mut chain = certificates(CHAIN, &files.chain)?;
        let roots = certificates(ROOTS, &files.roots)?;
        let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|_| CertificateError::Empty(KEY))?;
        let leaf = leaf(CHAIN, &chain[0])?;
        let pair = CertifiedKey::from_der(chain.clone(), key, &aws_lc_rs::default_provider());
        match pair.map(|pair| pair.keys_match()) {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(CertificateError::KeyMismatch);
            }
            Err(error) => return Err(CertificateError::Malformed { file: KEY, why: error.to_string() }),
        }
        verify(&chain, &roots, now.clamp(leaf.not_before, leaf.not_after))?;
        // The one who verifies has the root; a chain that carries it only grows the handshake (RFC 8446, 4.4.2).
        while chain.len() > 1 && chain.last().is_some_and(|last| roots.contains(last) || is_self_issued(last))
        {
            chain.pop();
        }
        Ok(Self {
            leaf,
            chain_pem: pem_blocks(&files.chain, chain.len()),
            key_pem: String::from_utf8_lossy(&files.key).into_owned(),
            roots_pem: pem_blocks(&files.roots, roots.len()),
        })
    }
}

impl Leaf {
    /// Reads the first certificate of a PEM text, unverified.
    ///
    /// # Errors
    /// When there is none, or it has no SPIFFE id.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        leaf("tls.crt", &certificates("tls.crt", pem)?[0])
    }

    /// Whether it is valid at `now`, or will be.
    #[must_use]
    pub fn expires_after(&self, now: Timestamp) -> bool {
        now < self.not_after
    }
}

/// All certificates of a PEM text; at least one.
fn certificates(file: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| CertificateError::Malformed { file, why: error.to_string() })?;
    if found.is_empty() { Err(CertificateError::Empty(file)) } else { Ok(found) }
}

fn leaf(file: &'static str, der: &CertificateDer<'_>) -> Result<Leaf, CertificateError> {
    let malformed = |why: String| CertificateError::Malformed { file, why };
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| malformed(error.to_string()))?;
    let names = certificate.subject_alternative_name().map_err(|error| malformed(error.to_string()))?;
    let spiffe_id = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .find_map(|name| match name {
            GeneralName::URI(uri) if uri.starts_with("spiffe://") => Some((*uri).to_owned()),
            _ => None,
        })
        .ok_or_else(|| malformed("the certificate has no SPIFFE id: it is not a workload's".to_owned()))?;
    let time = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).map_err(|error| malformed(error.to_string()))
    };
    let validity = certificate.validity();
    let (not_before, not_after) = (time(validity.not_before)?, time(validity.not_after)?);
    if not_after < not_before {
        return Err(malformed(format!("the certificate ends ({not_after}) before it begins ({not_before})")));
    }
    Ok(Leaf { spiffe_id, serial: certificate.raw_serial_as_string(), not_before, not_after })
}

fn verify(
    chain: &[CertificateDer<'static>],
    roots: &[CertificateDer<'static>],
    at: Timestamp,
) -> Result<(), CertificateError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        let added = store.add(root.clone());
        added.map_err(|error| CertificateError::Malformed { file: ROOTS, why: error.to_string() })?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider)
        .build()
        .map_err(|error| CertificateError::Malformed { file: ROOTS, why: error.to_string() })?;
    let seconds = u64::try_from(at.as_second()).unwrap_or_default();
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    verifier
        .verify_client_cert(&chain[0], &chain[1..], at)
        .map_err(|error| CertificateError::NotTrusted(error.to_string()))?;
    Ok(())
}

fn is_self_issued(der: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, certificate)| certificate.subject() == certificate.issuer())
}

/// The first `count` certificates of a PEM text, each as it stands there, without what is written around them.
fn pem_blocks(pem: &[u8], count: usize) -> String {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let text = String::from_utf8_lossy(pem);
    let mut blocks = String::new();
    for block in text.split_inclusive(END).filter_map(|part| part.get(part.find(BEGIN)?..)).take(count) {
        blocks.push_str(block);
        blocks.push('\n');
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Authority, SPIFFE_ID, now};

    #[test]
    fn reads_what_the_sidecar_writes_and_leaves_the_root_out_of_the_chain() {
        let authority = Authority::new();
        let files = authority.issue(now(), 3600);
        let identity = WorkloadIdentity::parse(&files, now()).unwrap();
        assert_eq!(identity.leaf.spiffe_id, SPIFFE_ID);
        assert_eq!(
            (identity.leaf.not_before, identity.leaf.not_after.as_second() - now().as_second()),
            (now(), 3600)
        );
        assert_eq!(certificates(CHAIN, identity.chain_pem.as_bytes()).unwrap().len(), 1);
        assert_eq!(certificates(ROOTS, identity.roots_pem.as_bytes()).unwrap().len(), 1);
        assert_eq!(Leaf::from_pem(identity.chain_pem.as_bytes()), Ok(identity.leaf.clone()));
        let shown = format!("{files:?} {identity:?}");
        assert!(!shown.contains("PRIVATE") && shown.contains(SPIFFE_ID), "{shown}");
    }

    #[test]
    fn an_expired_certificate_is_still_read() {
        let files = Authority::new().issue(now(), 60);
        let later = Timestamp::from_second(now().as_second() + 7200).unwrap();
        assert!(!WorkloadIdentity::parse(&files, later).unwrap().leaf.expires_after(later));
    }

    #[test]
    fn half_a_rotation_is_told_from_a_whole_one() {
        let authority = Authority::new();
        let (old, new) = (authority.issue(now(), 60), authority.issue(now(), 60));
        let half = Files { key: new.key.clone(), ..old.clone() };
        assert_eq!(WorkloadIdentity::parse(&half, now()), Err(CertificateError::KeyMismatch));
        let other = Authority::new().issue(now(), 60);
        let half = Files { roots: other.roots, ..old };
        assert!(matches!(WorkloadIdentity::parse(&half, now()), Err(CertificateError::NotTrusted(_))));
    }

    #[test]
    fn says_which_file_is_wrong() {
        let whole = Authority::new().issue(now(), 60);
        let error = |files: &Files| WorkloadIdentity::parse(files, now()).unwrap_err().to_string();
        assert!(error(&Files { key: vec![], ..whole.clone() }).contains("key.pem"));
        assert!(error(&Files { chain: b"text".to_vec(), ..whole.clone() }).contains("cert-chain.pem"));
        assert!(error(&Files { roots: vec![], ..whole }).contains("root-cert.pem"));
    }

    #[test]
    fn keeps_the_certificates_of_a_pem_text_and_nothing_else() {
        let block = |body| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        let text = format!("# a remark\n{}subject=x\n{}{}", block("AA=="), block("BB=="), block("CC=="));
        assert_eq!(pem_blocks(text.as_bytes(), 2), format!("{}{}", block("AA=="), block("BB==")));
        assert_eq!(pem_blocks(b"nothing", 1), "");
    }
}
