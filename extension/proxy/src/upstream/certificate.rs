//! What a certificate says of itself.

mod key_pair;

pub(crate) use key_pair::{Certificate, identity};

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// URI subject alternative names of a certificate; none when it cannot be parsed.
pub(super) fn uri_sans(certificate: &CertificateDer<'_>) -> Option<Vec<String>> {
    sans(certificate, |name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    })
}

/// DNS subject alternative names of a certificate; none when it cannot be parsed.
pub(super) fn dns_sans(certificate: &CertificateDer<'_>) -> Option<Vec<String>> {
    sans(certificate, |name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    })
}

fn sans(
    certificate: &CertificateDer<'_>,
    wanted: impl for<'a> Fn(&'a GeneralName<'_>) -> Option<&'a str>,
) -> Option<Vec<String>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let Some(sans) = parsed.subject_alternative_name().ok()? else { return Some(Vec::new()) };
    Some(sans.value.general_names.iter().filter_map(|name| wanted(name).map(str::to_owned)).collect())
}

/// Subject of a certificate, as RFC 4514 writes it; none when it is empty or cannot be parsed.
pub(super) fn subject(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(parsed.subject().to_string()).filter(|subject| !subject.is_empty())
}

/// End of a certificate's life in seconds since the epoch.
pub(super) fn not_after(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(parsed.validity().not_after.timestamp())
}

#[cfg(test)]
mod tests;
