//! Keeps key material out of logs and dumps.

use crate::proto::{Certificate, Secret};
use serde::Serializer;
use std::fmt;

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("certificate_chain", &String::from_utf8_lossy(&self.certificate_chain))
            .field("private_key", &"(redacted)")
            .field("trust_bundle", &String::from_utf8_lossy(&self.trust_bundle))
            .finish()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("certificate_chain", &String::from_utf8_lossy(&self.certificate_chain))
            .field("private_key", &"(redacted)")
            .finish()
    }
}

/// PEM is text: dumps show it as such, not as an array of numbers.
pub(crate) fn pem<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&String::from_utf8_lossy(bytes))
}

pub(crate) fn redacted<S: Serializer>(_: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("(redacted)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_appears_in_no_dump() {
        let secret = Secret {
            certificate_chain: b"chain".to_vec(),
            private_key: b"very secret".to_vec(),
            trust_bundle: b"roots".to_vec(),
        };
        let certificate =
            Certificate { certificate_chain: b"chain".to_vec(), private_key: b"very secret".to_vec() };
        for dump in [
            format!("{secret:?}"),
            serde_json::to_string(&secret).unwrap(),
            format!("{certificate:?}"),
            serde_json::to_string(&certificate).unwrap(),
        ] {
            assert!(dump.contains("chain"), "{dump}");
            assert!(!dump.contains("very secret") && !dump.contains("118,101"), "{dump}");
        }
    }
}
