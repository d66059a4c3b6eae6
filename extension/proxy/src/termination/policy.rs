//! Sets of cipher suites and curves by name (Application Gateway for Containers, "TLS policy").

use crate::upstream;
use rustls::crypto::CryptoProvider;
use rustls::{CipherSuite, NamedGroup};
use std::sync::Arc;

/// Of both policies, in the order of preference. The suites with CBC in which the vendor's two differ are not offered at all.
const SUITES: [CipherSuite; 6] = [
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

const CURVES: [NamedGroup; 2] = [NamedGroup::secp384r1, NamedGroup::secp256r1];

/// What is offered under a policy; everything when it has no name.
///
/// # Errors
/// Nobody knows the name.
pub(super) fn provider(policy: &str) -> Result<Arc<CryptoProvider>, String> {
    let all = upstream::provider();
    match policy {
        "" => Ok(all),
        "2023-06" | "2023-06-S" => {
            let suites = SUITES.iter().filter_map(|wanted| {
                all.cipher_suites.iter().find(|suite| suite.suite() == *wanted).copied()
            });
            let curves = CURVES
                .iter()
                .filter_map(|wanted| all.kx_groups.iter().find(|one| one.name() == *wanted).copied());
            let (cipher_suites, kx_groups) = (suites.collect(), curves.collect());
            Ok(Arc::new(CryptoProvider { cipher_suites, kx_groups, ..(*all).clone() }))
        }
        other => Err(format!("TLS policy {other} is not known")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_offers_what_it_says_and_nothing_else() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        for name in ["2023-06", "2023-06-S"] {
            let offered = provider(name).unwrap();
            let suites: Vec<_> = offered.cipher_suites.iter().map(|suite| suite.suite()).collect();
            assert_eq!(suites, SUITES);
            assert_eq!(offered.kx_groups.iter().map(|group| group.name()).collect::<Vec<_>>(), CURVES);
        }
        assert!(provider("").unwrap().cipher_suites.len() > SUITES.len());
        assert!(provider("2099-01").is_err());
    }
}
