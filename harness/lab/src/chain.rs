//! Certificates in PEM, and whether a chain leads to a root. Pure.

use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// All certificates of a PEM text. `what` names it in errors.
///
/// # Errors
/// It is not PEM.
pub fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("{what} is not PEM: {error}"))
}

/// Whether a client's chain, leaf first, leads to one of the roots at a time, as a TLS server verifies it.
///
/// # Errors
/// Why it does not.
pub fn leads_to(
    chain: &[CertificateDer<'_>],
    roots: &[CertificateDer<'_>],
    now: Timestamp,
) -> Result<(), String> {
    let (leaf, intermediates) = chain.split_first().ok_or("the chain is empty")?;
    let anchors: Vec<_> = roots
        .iter()
        .map(anchor_from_trusted_cert)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("istiod's root cannot be used: {error}"))?;
    let seconds = u64::try_from(now.as_second()).map_err(|_| "this host's clock is before 1970")?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    EndEntityCert::try_from(leaf)
        .and_then(|certificate| {
            let usage = KeyUsage::client_auth();
            certificate
                .verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, intermediates, time, usage, None, None)
                .map(|_| ())
        })
        .map_err(|error| format!("it does not verify against istiod's root: {error}"))
}
