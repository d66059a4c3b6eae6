//! What a sidecar holds of the mesh's authority: asked by a script in it, and judged. Pure.

use jiff::Timestamp;
use k8s_openapi::ByteString;
use rustls_pki_types::CertificateDer;
use serde_json::Value;

use crate::chain::{certificates, leads_to};

/// Prints the roots with which the agent verifies istiod, then what it has for its workload: the files it writes, or what
/// its Envoy was given.
pub(super) const SCRIPT: &str = "\
cat /var/run/secrets/istio/root-cert.pem\n\
if [ -n \"${OUTPUT_CERTS:-}\" ]; then\n\
  echo '== trusted'; cat \"$OUTPUT_CERTS/root-cert.pem\"\n\
  echo '== shown'; cat \"$OUTPUT_CERTS/cert-chain.pem\"\n\
else\n\
  echo '== envoy'; pilot-agent request GET 'config_dump?resource=dynamic_active_secrets'\n\
fi\n";

/// The authority as a sidecar knows it, PEM.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Knows {
    /// Whom it trusts to be istiod.
    istiod: Vec<u8>,
    /// Whom it trusts to be in the mesh.
    trusted: Vec<u8>,
    /// The certificate it shows, and its chain.
    shown: Vec<u8>,
}

/// What the mesh's authority is to be.
pub(super) struct Wanted<'a> {
    /// The roots, PEM: these and no others.
    pub(super) trusted: &'a str,
    /// The root of the certificates that are shown, PEM.
    pub(super) issuing: &'a str,
}

impl Knows {
    /// Reads what [`SCRIPT`] has printed.
    ///
    /// # Errors
    /// What is missing in it.
    pub(super) fn read(printed: &str) -> Result<Self, String> {
        let (istiod, rest) =
            printed.split_once("== ").ok_or("the sidecar says nothing of its certificates")?;
        let istiod = istiod.as_bytes().to_vec();
        if let Some(dump) = rest.strip_prefix("envoy\n") {
            let dump: Value =
                serde_json::from_str(dump).map_err(|error| format!("its Envoy's secrets: {error}"))?;
            let trusted = secret(&dump, "ROOTCA", "/validation_context/trusted_ca");
            let shown = secret(&dump, "default", "/tls_certificate/certificate_chain");
            return match (trusted, shown) {
                (Some(trusted), Some(shown)) => Ok(Self { istiod, trusted, shown }),
                _ => Err("its Envoy holds no secrets ROOTCA and default".into()),
            };
        }
        let files = rest.strip_prefix("trusted\n").and_then(|files| files.split_once("== shown\n"));
        let (trusted, shown) = files.ok_or("the sidecar has written no certificates")?;
        Ok(Self { istiod, trusted: trusted.as_bytes().to_vec(), shown: shown.as_bytes().to_vec() })
    }

    /// Why this is not what is wanted yet.
    pub(super) fn against(&self, wanted: &Wanted<'_>, now: Timestamp) -> Result<(), String> {
        let roots = set(wanted.trusted.as_bytes(), "the roots")?;
        if set(&self.istiod, "its root-cert.pem")? != roots {
            return Err("its ConfigMap istio-ca-root-cert, as the kubelet mounts it, has other roots".into());
        }
        if set(&self.trusted, "its trust bundle")? != roots {
            return Err("it trusts other roots; that changes when its certificate is renewed".into());
        }
        let chain = certificates(&self.shown, "its chain")?;
        leads_to(&chain, &set(wanted.issuing.as_bytes(), "the root")?, now)
            .map_err(|error| format!("its certificate was not renewed yet: {error}"))
    }
}

/// The certificates of a PEM text, each once, in one order.
pub(super) fn set(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut all = certificates(pem, what)?;
    all.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
    all.dedup();
    Ok(all)
}

/// A piece of a secret in a dump of Envoy's.
fn secret(dump: &Value, name: &str, path: &str) -> Option<Vec<u8>> {
    let secret = dump["configs"].as_array()?.iter().find(|secret| secret["name"] == name)?;
    let bytes = secret["secret"].pointer(path)?["inline_bytes"].clone();
    serde_json::from_value::<ByteString>(bytes).ok().map(|bytes| bytes.0)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::json;

    use super::super::authority::Authority;
    use super::super::authority::tests::issued_by;
    use super::*;

    fn authority() -> Authority {
        Authority::make(SystemTime::now()).unwrap()
    }

    fn against(istiod: &str, trusted: &str, shown: &str, wanted: &Wanted<'_>) -> Result<(), String> {
        let printed = format!("{istiod}== trusted\n{trusted}== shown\n{shown}");
        Knows::read(&printed).unwrap().against(wanted, Timestamp::now())
    }

    #[test]
    fn a_sidecar_has_followed_once_it_trusts_the_roots_and_shows_the_right_one() {
        let (old, new) = (authority(), authority());
        let (one, both) = (old.root.clone(), format!("{}{}", old.root, new.root));
        let turned = format!("{}{}", new.root, old.root);
        let wanted = Wanted { trusted: &both, issuing: &new.root };
        let (before, after) = (issued_by(&old), issued_by(&new));
        assert_eq!(against(&both, &turned, &after, &wanted), Ok(()));
        assert!(against(&one, &both, &after, &wanted).unwrap_err().contains("istio-ca-root-cert"));
        assert!(against(&both, &one, &after, &wanted).unwrap_err().contains("trusts other roots"));
        assert!(against(&both, &both, &before, &wanted).unwrap_err().contains("not renewed yet"));
    }

    #[test]
    fn what_envoy_was_given_counts_where_there_is_one() {
        let authority = authority();
        let bytes = |text: &str| json!({"inline_bytes": ByteString(text.as_bytes().to_vec())});
        let dump = json!({"configs": [
            {"name": "default", "secret": {"tls_certificate": {"certificate_chain": bytes(&issued_by(&authority))}}},
            {"name": "ROOTCA", "secret": {"validation_context": {"trusted_ca": bytes(&authority.root)}}},
        ]});
        let wanted = Wanted { trusted: &authority.root, issuing: &authority.root };
        let knows = Knows::read(&format!("{}== envoy\n{dump}", authority.root)).unwrap();
        assert_eq!(knows.against(&wanted, Timestamp::now()), Ok(()));
        let printed = format!("{}== envoy\n{}", authority.root, json!({"configs": []}));
        assert!(Knows::read(&printed).unwrap_err().contains("ROOTCA"));
        assert!(Knows::read("").is_err());
    }
}
