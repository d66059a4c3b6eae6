//! alb-proxy against a real Envoy that has the filter chains which Istio gives a sidecar's inbound listener: the whole
//! table of peer authentication mode, kind of port, and what the client offers.
//!
//! Needs a Docker Engine and an Envoy, as `meshproof up` does; it fails, and never skips, where there is none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed helper is a failed test

#[path = "envoy/chains.rs"]
mod chains;
#[path = "envoy/sidecar.rs"]
mod sidecar;
#[path = "in_process/support.rs"]
mod support;

use chains::{Mode, PortKind};
use sidecar::Sidecar;
use support::{Authority, GATEWAY, POD, Wanted, World};

/// What the proxy offers to the pod.
#[derive(Debug, Clone, Copy)]
enum Offer {
    /// Istio mutual TLS without an application protocol: what the gateway under test does.
    Nothing,
    /// Istio mutual TLS with these protocols.
    Alpn(&'static str),
    ClearText,
}

const OFFERS: [Offer; 7] = [
    Offer::Nothing,
    Offer::Alpn("http/1.1"),
    Offer::Alpn("h2"),
    Offer::Alpn("istio"),
    Offer::Alpn("istio-http/1.1"),
    Offer::Alpn("istio-peer-exchange,istio"),
    Offer::ClearText,
];

const OK: (u16, &str) = (200, "ok");
/// The peer does not speak TLS, or has no chain for it.
const HANDSHAKE: (u16, &str) = (503, "upstream_tls_handshake_failed");
const RESET: (u16, &str) = (503, "upstream_reset");

/// The table.
fn expected(mode: Mode, port: PortKind, offer: Offer) -> (u16, &'static str) {
    match (mode, port, offer) {
        (Mode::Strict, _, Offer::ClearText) => RESET,
        // Envoy agrees on h2 and then gets HTTP/1.1.
        (Mode::Strict, PortKind::Http, Offer::Alpn("h2")) => RESET,
        (Mode::Strict, _, _) => OK,
        (Mode::Permissive | Mode::Disable, _, Offer::ClearText) => OK,
        (Mode::Permissive, _, Offer::Alpn(alpn)) if alpn.starts_with("istio") => OK,
        (Mode::Permissive | Mode::Disable, _, _) => HANDSHAKE,
    }
}

/// A proxy that offers `offer` to the pod behind one port.
fn proxy(offer: Offer, address: std::net::SocketAddr, authority: &Authority) -> World {
    let world = World::with(|settings| {
        if let Offer::Alpn(alpn) = offer {
            settings.upstream_alpn = alpn.split(',').map(|name| name.as_bytes().to_vec()).collect();
        }
    });
    world.apply(&match offer {
        Offer::ClearText => Wanted::new().clear_text("b", &[address]),
        Offer::Nothing | Offer::Alpn(_) => {
            Wanted::new().mutual_tls("b", &[address], POD).secret(authority.issue(GATEWAY).secret())
        }
    });
    world
}

/// One container for both parts: what they share costs more than what they do.
#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_answers_as_istios_filter_chains_say() {
    if !sidecar::in_engine() {
        return sidecar::again_in_engine("a_sidecar_answers_as_istios_filter_chains_say").await;
    }
    let authority = Authority::new();
    let sidecar = Sidecar::start(&authority.issue(POD), &authority.pem).await;
    the_alpn_table_holds_for_every_mode_port_and_offer(&sidecar, &authority).await;
    deleting_the_peer_authentication_turns_200_into_503_and_back(&sidecar, &authority).await;
}

async fn the_alpn_table_holds_for_every_mode_port_and_offer(sidecar: &Sidecar, authority: &Authority) {
    let mut wrong = 0;
    for mode in Mode::ALL {
        for port in PortKind::ALL {
            for offer in OFFERS {
                let mut world = proxy(offer, sidecar.address(mode, port).await, authority);
                let wanted = expected(mode, port, offer);
                // Twice: the second request may reuse what the first one left.
                for _ in 0..2 {
                    let answer = world.get("/").await;
                    let record = world.logged().await;
                    let seen = (record.status, record.reason);
                    let mark = if seen == wanted { "" } else { "  <-- expected " };
                    wrong += usize::from(seen != wanted);
                    let wanted = if seen == wanted { String::new() } else { format!("{wanted:?}") };
                    let detail = record.detail.unwrap_or_default();
                    // At once, so that a hang shows where it is.
                    println!("{mode:?} {port:?} {offer:?}: {seen:?}{mark}{wanted} {detail}");
                    assert_eq!(answer.status.as_u16(), record.status);
                    if seen == OK {
                        assert_eq!(answer.text(), "app", "the application answers, not its sidecar");
                        let http_chain = answer.headers.get("x-seen-client-cert");
                        let told =
                            http_chain.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
                        assert_eq!(
                            told.contains(GATEWAY),
                            chains::forwards_client_certificate(mode, port, offer_alpn(offer)),
                            "{mode:?} {port:?} {offer:?}: {told}"
                        );
                    }
                }
            }
        }
    }
    assert_eq!(wrong, 0, "combinations that are not as expected: marked above");
}

/// First protocol offered over mutual TLS; none for clear text.
fn offer_alpn(offer: Offer) -> Option<&'static str> {
    match offer {
        Offer::ClearText => None,
        Offer::Nothing => Some(""),
        Offer::Alpn(alpn) => Some(alpn),
    }
}

async fn deleting_the_peer_authentication_turns_200_into_503_and_back(
    sidecar: &Sidecar,
    authority: &Authority,
) {
    let strict = sidecar.address(Mode::Strict, PortKind::Unnamed).await;
    let permissive = sidecar.address(Mode::Permissive, PortKind::Unnamed).await;
    let wanted =
        |address| Wanted::new().mutual_tls("b", &[address], POD).secret(authority.issue(GATEWAY).secret());
    let world = World::serving(&wanted(strict));
    let mut client = support::Client::http1(world.address(support::PORT)).await;
    for _ in 0..3 {
        world.apply(&wanted(strict));
        for _ in 0..20 {
            assert_eq!(client.get("/").await.status, 200);
        }
        world.apply(&wanted(permissive));
        for _ in 0..20 {
            assert_eq!(client.get("/").await.reason(), HANDSHAKE);
        }
    }
}
