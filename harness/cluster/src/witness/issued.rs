//! `issued-by-istio`: the identity the gateway shows was issued by istiod.
//!
//! The chain it published, or that its Envoy holds, is verified, as a TLS server would, against the root that istiod itself
//! distributes (ConfigMap `istio-ca-root-cert`), not against the bundle published beside it.

mod envoy;
pub(super) mod new_root;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use serde_json::json;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{NO_IDENTITY, nothing_to_see, testimony, trouble};
use meshproof_lab::chain::{certificates, leads_to};
use meshproof_model::event::Testimony;
use meshproof_model::implementation::{Certificate, Implementation};
use meshproof_run::ports::{PortError, WitnessContext};

pub(super) const NAME: &str = "issued-by-istio";

pub(super) async fn hear(
    client: &Client,
    implementation: &Implementation,
    context: &WitnessContext,
) -> Result<Testimony, PortError> {
    let (namespace, chain) = match shown(client, implementation, context).await? {
        Ok(seen) => seen,
        Err(missing) => return Ok(nothing_to_see(NAME, missing)),
    };
    let Some(root) = root(client, &namespace).await? else {
        return Ok(nothing_to_see(
            NAME,
            format!("istiod has put no root (istio-ca-root-cert) into {namespace}"),
        ));
    };
    let Some(spiffe_id) = implementation.identity_of(&context.namespace, &context.gateway) else {
        return Ok(nothing_to_see(NAME, NO_IDENTITY));
    };
    Ok(judge(&chain, &root, &spiffe_id, Timestamp::now()))
}

/// The root that istiod has put into a namespace, PEM.
pub(super) async fn root(client: &Client, namespace: &str) -> Result<Option<Vec<u8>>, PortError> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = maps.get_opt("istio-ca-root-cert").await;
    let map = map.map_err(trouble(format!("reading ConfigMap {namespace}/istio-ca-root-cert")))?;
    Ok(map.and_then(|map| map.data?.remove("root-cert.pem")).map(String::into_bytes))
}

/// The namespace where a certificate was seen and its chain in PEM, or what is missing.
pub(super) type Seen = Result<(String, Vec<u8>), String>;

/// The certificate that the gateway shows to the mesh now.
pub(super) async fn shown(
    client: &Client,
    implementation: &Implementation,
    context: &WitnessContext,
) -> Result<Seen, PortError> {
    let Some(identity) = &implementation.identity else { return Ok(Err(NO_IDENTITY.to_owned())) };
    match &identity.certificate {
        Certificate::Secret { namespace, name } => published(client, namespace, name).await,
        Certificate::Envoy | Certificate::Sidecar => {
            envoy::certificate(client, &implementation.proxies, context).await
        }
        Certificate::Unseen => {
            Ok(Err("its file says that the gateway's certificate is seen nowhere but on the wire".to_owned()))
        }
    }
}

/// The certificate published in a Secret.
async fn published(client: &Client, namespace: &str, name: &str) -> Result<Seen, PortError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret =
        secrets.get_opt(name).await.map_err(trouble(format!("reading Secret {namespace}/{name}")))?;
    let Some(secret) = secret else {
        return Ok(Err(format!("there is no Secret {namespace}/{name}: nothing was published")));
    };
    // Only the certificates are looked at; the key stays where it is.
    let chain = secret.data.as_ref().and_then(|data| data.get("tls.crt")).map(|bytes| bytes.0.clone());
    Ok(Ok((namespace.to_owned(), chain.unwrap_or_default())))
}

/// What the chain and the root amount to at a time.
fn judge(chain: &[u8], root: &[u8], spiffe_id: &str, now: Timestamp) -> Testimony {
    match verify(chain, root, spiffe_id, now) {
        Ok(certificate) => {
            let summary = format!("the gateway's certificate chains to istiod's root and names {spiffe_id}");
            let detail = json!({
                "issuer": certificate.issuer, "serial": certificate.serial, "not_after": certificate.not_after,
            });
            testimony(NAME, true, summary, detail)
        }
        Err(reason) => nothing_to_see(NAME, format!("the gateway's certificate is not istiod's: {reason}")),
    }
}

pub(super) struct Leaf {
    issuer: String,
    serial: String,
    not_after: String,
}

pub(super) fn verify(chain: &[u8], root: &[u8], spiffe_id: &str, now: Timestamp) -> Result<Leaf, String> {
    let chain = certificates(chain, "the chain")?;
    leads_to(&chain, &certificates(root, "istiod's root")?, now)?;
    let leaf = chain.first().ok_or("the chain is empty")?;
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|error| format!("it cannot be read: {error}"))?;
    let names = uri_names(&leaf);
    if names != [spiffe_id] {
        return Err(format!("it names {names:?}, expected only {spiffe_id}"));
    }
    Ok(Leaf {
        issuer: leaf.issuer().to_string(),
        serial: leaf.raw_serial_as_string(),
        not_after: Timestamp::from_second(leaf.validity().not_after.timestamp())
            .map_or_else(|_| leaf.validity().not_after.to_string(), |time| time.to_string()),
    })
}

fn uri_names<'a>(certificate: &'a X509Certificate<'_>) -> Vec<&'a str> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
        date_time_ymd,
    };

    use super::*;

    pub(in super::super) const SPIFFE: &str =
        "spiffe://cluster.local/ns/azure-alb-system/sa/alb-controller-istio-extension";

    pub(in super::super) struct Authority {
        pub(in super::super) pem: String,
        issuer: Issuer<'static, KeyPair>,
    }

    pub(in super::super) fn authority() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Authority { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    pub(in super::super) fn leaf(authority: &Authority, uri: &str) -> String {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 12, 31);
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &authority.issuer).unwrap().pem()
    }

    pub(in super::super) fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn a_leaf_of_istiods_root_with_the_right_name_is_istios() {
        let istiod = authority();
        let testimony = judge(
            leaf(&istiod, SPIFFE).as_bytes(),
            istiod.pem.as_bytes(),
            SPIFFE,
            at("2026-06-01T00:00:00Z"),
        );
        assert!(testimony.held, "{}", testimony.summary);
        assert_eq!(testimony.detail["not_after"], "2026-12-31T00:00:00Z");
    }

    #[test]
    fn a_leaf_of_somebody_elses_root_is_not() {
        let (istiod, other) = (authority(), authority());
        let testimony =
            judge(leaf(&other, SPIFFE).as_bytes(), istiod.pem.as_bytes(), SPIFFE, at("2026-06-01T00:00:00Z"));
        assert!(!testimony.held);
        assert!(testimony.summary.contains("does not verify against istiod's root"), "{}", testimony.summary);
    }

    #[test]
    fn another_identity_is_named() {
        let istiod = authority();
        let other = "spiffe://cluster.local/ns/default/sa/default";
        let testimony =
            judge(leaf(&istiod, other).as_bytes(), istiod.pem.as_bytes(), SPIFFE, at("2026-06-01T00:00:00Z"));
        assert!(!testimony.held && testimony.summary.contains(other), "{}", testimony.summary);
    }

    #[test]
    fn an_expired_leaf_is_no_identity() {
        let istiod = authority();
        let testimony = judge(
            leaf(&istiod, SPIFFE).as_bytes(),
            istiod.pem.as_bytes(),
            SPIFFE,
            at("2027-01-01T00:00:00Z"),
        );
        assert!(!testimony.held);
    }

    #[test]
    fn an_empty_chain_says_so() {
        let testimony = judge(b"", authority().pem.as_bytes(), SPIFFE, at("2026-06-01T00:00:00Z"));
        assert!(testimony.summary.contains("the chain is empty"));
    }
}
