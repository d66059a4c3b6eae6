//! Which TLS listeners speak with clients, by the name of a policy.

use crate::pods::Pod;
use crate::support::{Authority, PORT, Wanted, World};
use crate::tls_client::{alert, at, certificate, connect, https, tls_listener};
use alb_config::proto;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CipherSuite, ClientConfig, NamedGroup, RootCertStore};
use std::sync::Arc;

fn wanted(pod: &Pod, policy: &str) -> Wanted {
    let listener = proto::TlsListener { policy: policy.into(), ..tls_listener(("l", "", &["a"])) };
    at(https(Wanted::default().clear_text("b", &[pod.address]), vec![listener]), "l", "/", "b")
}

/// A client that offers these and no others.
fn client(authority: &Authority, suites: &[CipherSuite], curves: &[NamedGroup]) -> Arc<ClientConfig> {
    let mut provider: CryptoProvider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| suites.contains(&suite.suite()));
    provider.kx_groups.retain(|group| curves.contains(&group.name()));
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

#[tokio::test]
async fn what_a_policy_does_not_name_is_not_spoken() {
    const CURVES: [NamedGroup; 2] = [NamedGroup::secp256r1, NamedGroup::X25519];
    let (authority, pod) = (Authority::new(), Pod::echo().await);
    let issued = authority.issue("a.example");
    let serving = |policy| certificate(wanted(&pod, policy), "a", &issued);
    let world = World::serving(&serving("2023-06-S"));
    let suites =
        [CipherSuite::TLS13_AES_128_GCM_SHA256, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256];
    let good = client(&authority, &suites, &CURVES);
    let stream = connect(&good, "a.example", world.address(PORT)).await.unwrap();
    let agreed = stream.get_ref().1.negotiated_key_exchange_group().map(|group| group.name());
    assert_eq!(agreed, Some(NamedGroup::secp256r1), "whatever the client prefers");

    let others = [
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    let other_suites = client(&authority, &others, &CURVES);
    let other_curve = client(&authority, &suites, &[NamedGroup::X25519]);
    for bad in [&other_suites, &other_curve] {
        let error = connect(bad, "a.example", world.address(PORT)).await.unwrap_err();
        assert!(alert(&error).is_some(), "{error}");
    }
    world.apply(&serving(""));
    for config in [&good, &other_suites, &other_curve] {
        connect(config, "a.example", world.address(PORT)).await.unwrap();
    }
}

#[tokio::test]
async fn a_policy_that_nobody_knows_is_refused() {
    let (authority, pod) = (Authority::new(), Pod::echo().await);
    let issued = authority.issue("a.example");
    let rejection = World::new().refuses(&certificate(wanted(&pod, "2099-01"), "a", &issued));
    assert!(rejection.message.contains("2099-01"), "{}", rejection.message);
}
