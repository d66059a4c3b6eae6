//! Certificates of listeners, from Secrets. They are looked at when they arrive, not in every translation.

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// Keys of a Secret of type `kubernetes.io/tls`.
const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";

/// The certificate in a Secret that a listener refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum TlsSecret {
    /// It can be shown to clients.
    Certificate(KeyPair),
    /// Why it cannot be used.
    Unusable(String),
    /// There is no such Secret.
    Absent,
}

/// A certificate and its key, both PEM. Debug output and serialisation never show the key.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct KeyPair {
    /// Leaf first.
    #[serde(skip)]
    pub chain: Vec<u8>,
    /// PKCS#8, PKCS#1 or SEC1.
    #[serde(skip)]
    pub key: Vec<u8>,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").finish_non_exhaustive()
    }
}

impl TlsSecret {
    /// The certificate of a Secret, which is given without its metadata.
    pub fn of_secret(data: &Value) -> Self {
        let entry = |name: &str| -> Result<Vec<u8>, String> {
            let value = data.get("data").and_then(|data| data.get(name)).cloned();
            let value = value.ok_or_else(|| format!("has no key {name}"))?;
            let bytes: k8s_openapi::ByteString =
                serde_json::from_value(value).map_err(|_| format!("has no base64 in key {name}"))?;
            Ok(bytes.0)
        };
        let read = || {
            let (chain, key) = (entry(CHAIN)?, entry(KEY)?);
            examine(&chain, &key)?;
            Ok(KeyPair { chain, key })
        };
        match read() {
            Ok(pair) => Self::Certificate(pair),
            Err(problem) => Self::Unusable(problem),
        }
    }
}

/// Whether the proxies will be able to show a certificate and sign with its key.
fn examine(chain: &[u8], key: &[u8]) -> Result<(), String> {
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("holds no certificates in key {CHAIN}: {error}"))?;
    let Some(leaf) = certificates.first() else {
        return Err(format!("holds no PEM certificate in key {CHAIN}"));
    };
    x509_parser::parse_x509_certificate(leaf)
        .map_err(|error| format!("holds no certificate in key {CHAIN}: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| format!("holds no private key in key {KEY}: {error}"))?;
    let key =
        any_supported_type(&key).map_err(|error| format!("holds no private key in key {KEY}: {error}"))?;
    match CertifiedKey::new(certificates, key).keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(format!("holds in {KEY} another key than that of the certificate in {CHAIN}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;
    use serde_json::json;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn secret(chain: &str, key: &str) -> Value {
        let bytes = |text: &str| serde_json::to_value(ByteString(text.as_bytes().to_vec())).unwrap();
        json!({"type": "kubernetes.io/tls", "data": {CHAIN: bytes(chain), KEY: bytes(key)}})
    }

    fn problem(data: &Value) -> String {
        match TlsSecret::of_secret(data) {
            TlsSecret::Unusable(problem) => problem,
            other => panic!("taken for {other:?}"),
        }
    }

    #[test]
    fn a_certificate_with_its_key_can_be_used_and_the_key_appears_in_no_dump() {
        let (chain, key) = pair();
        let read = TlsSecret::of_secret(&secret(&chain, &key));
        let expected = KeyPair { chain: chain.clone().into_bytes(), key: key.clone().into_bytes() };
        assert_eq!(read, TlsSecret::Certificate(expected));
        for dump in [format!("{read:?}"), serde_json::to_string(&read).unwrap()] {
            assert!(!dump.contains("PRIVATE") && !dump.contains("45,45"), "{dump}");
        }
    }

    #[test]
    fn what_is_none_says_why() {
        let ((chain, key), (_, other)) = (pair(), pair());
        assert_eq!(problem(&json!({})), "has no key tls.crt");
        assert_eq!(problem(&json!({"data": {CHAIN: ""}})), "has no key tls.key");
        assert_eq!(problem(&json!({"data": {CHAIN: "%", KEY: ""}})), "has no base64 in key tls.crt");
        assert!(problem(&secret("Hello world", &key)).contains("no PEM certificate"));
        assert!(problem(&secret(&chain, "Hello world")).contains("private key"));
        assert!(problem(&secret(&key, &key)).contains("no PEM certificate"));
        assert!(problem(&secret(&chain, &other)).contains("another key"));
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(problem(&secret(nonsense, &key)).contains("no certificate in key tls.crt"));
    }
}
