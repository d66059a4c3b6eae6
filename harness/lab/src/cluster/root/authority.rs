//! Certificate authorities as istiod takes them. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// As long as Istio's own root lives.
const LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// The clock of a node may be behind.
const BACKDATE: Duration = Duration::from_secs(3600);

/// A root, and what istiod needs to issue under it.
pub(super) struct Authority {
    /// Name for people.
    pub(super) name: &'static str,
    /// The root, PEM.
    pub(super) root: String,
    /// The certificate that issues, PEM: an intermediate, or the root itself.
    certificate: String,
    /// From that certificate to the root, PEM.
    chain: String,
    /// The issuing certificate's key, PEM.
    key: String,
}

impl Authority {
    /// The one that istiod has made itself: its root issues.
    pub(super) fn own(certificate: String, key: String) -> Self {
        Self { name: "the old root", root: certificate.clone(), chain: certificate.clone(), certificate, key }
    }

    /// A new root, whose key is thrown away, and an intermediate certificate that issues: what Istio's guide to plugging in a
    /// CA recommends.
    pub(super) fn make(now: SystemTime) -> Result<Self, rcgen::Error> {
        let (params, key) = (params("Root CA", 1, now), KeyPair::generate()?);
        let root = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate()?;
        let certificate = self::params("Intermediate CA", 0, now).signed_by(&key, &issuer)?.pem();
        let chain = format!("{certificate}{root}");
        Ok(Self { name: "the new root", root, certificate, chain, key: key.serialize_pem() })
    }

    /// The data of Secret `cacerts` with which istiod issues under this one and has everybody trust these roots.
    pub(super) fn cacerts(&self, trusted: &str) -> BTreeMap<String, ByteString> {
        let files = [
            ("ca-cert.pem", self.certificate.as_str()),
            ("ca-key.pem", &self.key),
            ("cert-chain.pem", &self.chain),
            ("root-cert.pem", trusted),
        ];
        files.map(|(name, text)| (name.to_owned(), ByteString(text.as_bytes().to_vec()))).into()
    }
}

fn params(name: &str, below: u8, now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "meshproof");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = ((now - BACKDATE).into(), (now + LIFE).into());
    params
}

#[cfg(test)]
pub(super) mod tests {
    use rcgen::ExtendedKeyUsagePurpose;

    use super::*;
    use crate::chain::{certificates, leads_to};

    /// A chain as istiod answers a signing request: the leaf, and the chain of the one that issues.
    pub(in super::super) fn issued_by(authority: &Authority) -> String {
        let issuer = KeyPair::from_pem(&authority.key)
            .and_then(|key| Issuer::from_ca_cert_pem(&authority.certificate, key))
            .unwrap();
        let mut leaf = CertificateParams::default();
        leaf.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().pem();
        format!("{leaf}{}", authority.chain)
    }

    #[test]
    fn what_the_intermediate_issues_leads_to_its_root_and_to_no_other() {
        let (one, other) =
            (Authority::make(SystemTime::now()).unwrap(), Authority::make(SystemTime::now()).unwrap());
        let chain = certificates(issued_by(&one).as_bytes(), "chain").unwrap();
        let leads = |authority: &Authority| {
            leads_to(
                &chain,
                &certificates(authority.root.as_bytes(), "root").unwrap(),
                jiff::Timestamp::now(),
            )
        };
        assert_eq!(chain.len(), 3);
        leads(&one).unwrap();
        assert!(leads(&other).is_err());
    }

    #[test]
    fn an_old_root_issues_itself_while_a_new_one_is_trusted_already() {
        let own = Authority::own("old".into(), "key".into());
        let files = own.cacerts("old+new");
        let text = |name: &str| String::from_utf8(files[name].0.clone()).unwrap();
        assert_eq!([text("ca-cert.pem"), text("ca-key.pem")], ["old", "key"]);
        assert_eq!([text("cert-chain.pem"), text("root-cert.pem")], ["old", "old+new"]);
    }
}
