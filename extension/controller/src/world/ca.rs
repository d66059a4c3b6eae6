//! CA certificates of ConfigMaps. They are looked at when they arrive, not in every translation.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;
use serde_json::Value;

/// Key of the certificates in a ConfigMap (Gateway API, `BackendTLSPolicyValidation.caCertificateRefs`).
const KEY: &str = "ca.crt";

/// CA certificates of a ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum CaBundle {
    /// PEM, one certificate at least.
    Certificates(String),
    /// Why they cannot be used.
    Unusable(String),
    /// There is no such ConfigMap.
    Absent,
}

impl CaBundle {
    /// The certificates of a ConfigMap, which is given without its metadata.
    pub fn of_config_map(data: &Value) -> Self {
        let Some(text) = data.get("data").and_then(|data| data.get(KEY)).and_then(Value::as_str) else {
            return Self::Unusable(format!("has no key {KEY}"));
        };
        match examine(text) {
            Ok(()) => Self::Certificates(text.to_owned()),
            Err(problem) => Self::Unusable(format!("holds no CA certificates in key {KEY}: {problem}")),
        }
    }
}

/// Whether the proxies will be able to trust every certificate of a PEM bundle.
fn examine(text: &str) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in CertificateDer::pem_slice_iter(text.as_bytes()).enumerate() {
        let number = index + 1;
        let certificate = certificate.map_err(|error| format!("certificate {number} is not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("certificate {number}: {error}"))?;
    }
    if roots.is_empty() { Err("there is no PEM certificate".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn certificate() -> String {
        rcgen::generate_simple_self_signed(vec!["ca.example".to_owned()]).unwrap().cert.pem()
    }

    fn problem(data: Value) -> String {
        match CaBundle::of_config_map(&data) {
            CaBundle::Unusable(problem) => problem,
            other => panic!("taken for {other:?}"),
        }
    }

    #[test]
    fn a_bundle_may_hold_several_certificates_and_comments() {
        let pem = format!("# ours\n{}\n{}", certificate(), certificate());
        assert_eq!(CaBundle::of_config_map(&json!({"data": {"ca.crt": pem}})), CaBundle::Certificates(pem));
    }

    #[test]
    fn what_holds_no_certificates_says_why() {
        assert_eq!(problem(json!({})), "has no key ca.crt");
        assert_eq!(problem(json!({"data": {"tls.crt": certificate()}})), "has no key ca.crt");
        assert!(problem(json!({"data": {"ca.crt": ""}})).contains("no PEM certificate"));
        assert!(problem(json!({"data": {"ca.crt": "certificate"}})).contains("no PEM certificate"));
        let cut_off = certificate().replace("-----END CERTIFICATE-----", "");
        assert!(problem(json!({"data": {"ca.crt": cut_off}})).contains("is not PEM"));
    }

    #[test]
    fn one_bad_certificate_spoils_the_bundle() {
        let other = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let pem = format!("{}{other}", certificate());
        assert!(problem(json!({"data": {"ca.crt": pem}})).contains("certificate 2"));
    }
}
