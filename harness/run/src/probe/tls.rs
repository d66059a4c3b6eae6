//! TLS between a client and the gateway: what a request offers, and the certificate that it is shown.

use std::fmt;

use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};

/// How a request over TLS is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Name the gateway is asked for (SNI) and whose certificate it has to show; nothing for the host of the URL.
    pub server_name: Option<String>,
    /// Certificates of the authorities that are believed, PEM; nothing takes whatever is shown.
    pub authorities: Option<String>,
    /// What the client shows, if the gateway asks for it.
    pub client: Option<ClientCertificate>,
}

/// A client's certificate with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its certificate and those that lead to its authority, PEM.
    pub chain: String,
    /// Its private key, PEM.
    pub key: String,
}

impl fmt::Debug for ClientCertificate {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// A certificate that a gateway has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Subject alternative names: host names, addresses and URIs.
    pub names: Vec<String>,
    /// Distinguished name of its subject.
    pub subject: String,
    /// Distinguished name of whoever issued it.
    pub issuer: String,
    /// The issuer's common name, if it has one.
    pub issued_by: Option<String>,
}

impl Shown {
    /// Reads a certificate, DER.
    ///
    /// # Errors
    /// It is none.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let names = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
        let names = names.iter().flat_map(|extension| &extension.value.general_names);
        Ok(Self {
            names: names.filter_map(name).collect(),
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            issued_by: common_name(certificate.issuer()),
        })
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = if self.names.is_empty() { "no name".to_owned() } else { self.names.join(", ") };
        write!(f, "a certificate for {names}, issued by {}", self.issued_by.as_ref().unwrap_or(&self.issuer))
    }
}

fn common_name(name: &X509Name<'_>) -> Option<String> {
    name.iter_common_name().next()?.as_str().ok().map(str::to_owned)
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
            let sixteen = || <[u8; 16]>::try_from(*bytes).map(std::net::IpAddr::from);
            four.or_else(|_| sixteen()).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, Issuer, KeyPair};

    use super::*;

    #[test]
    fn a_certificate_is_told_by_its_names_and_its_issuer() {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "the-ca");
        let issuer = Issuer::new(authority, KeyPair::generate().unwrap());
        let names = ["a.example".to_owned(), "192.0.2.7".to_owned()];
        let leaf = CertificateParams::new(names).unwrap();
        let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        let shown = Shown::read(leaf.der()).unwrap();
        assert_eq!(shown.names, ["a.example", "192.0.2.7"]);
        assert_eq!(shown.issued_by.as_deref(), Some("the-ca"));
        assert_eq!(shown.to_string(), "a certificate for a.example, 192.0.2.7, issued by the-ca");
        assert!(Shown::read(b"no certificate").is_err());
    }

    #[test]
    fn a_private_key_is_not_written_by_chance() {
        let client = ClientCertificate { chain: "public".into(), key: "private".into() };
        assert!(!format!("{client:?}").contains("private"));
    }
}
