//! Istio mutual TLS to pods: identities, refusals, rotation; never clear text instead.

use crate::pods::{Pod, read_head};
use crate::support::{Authority, Client, GATEWAY, OTHER_POD, POD, PORT, Wanted, World};
use rstest::rstest;

fn mesh(pod: &Pod, authority: &Authority) -> Wanted {
    Wanted::new().mutual_tls("b", &[pod.address], POD).secret(authority.issue(GATEWAY).secret())
}

#[tokio::test]
async fn both_sides_prove_who_they_are_without_an_application_protocol() {
    let authority = Authority::new();
    let mut tls = (*Authority::mutual_tls_server(&authority.issue(POD), &authority)).clone();
    // The server would gladly agree on Istio's protocols: none is offered.
    tls.alpn_protocols = vec![b"istio".to_vec(), b"h2".to_vec(), b"http/1.1".to_vec()];
    let pod = Pod::tls_echo(tls.into()).await;
    let mut world = World::serving(&mesh(&pod, &authority));
    let answer = world.get("/").await;
    assert_eq!(answer.status, 200);
    let told = answer.json();
    assert!(told["tls"]["client"].is_string());
    assert!(told["tls"]["alpn"].is_null() && told["tls"]["sni"].is_null(), "{told}");
    let line = serde_json::to_value(world.logged().await).unwrap();
    assert_eq!(
        line["upstream_tls"],
        serde_json::json!({"mode": "mtls", "server_identity": POD, "client_identity": GATEWAY, "alpn": null})
    );
}

#[tokio::test]
async fn the_flag_for_tests_offers_a_protocol() {
    let authority = Authority::new();
    let mut tls = (*Authority::mutual_tls_server(&authority.issue(POD), &authority)).clone();
    tls.alpn_protocols = vec![b"istio".to_vec()];
    let pod = Pod::tls_echo(tls.into()).await;
    let mut world = World::with(|settings| settings.upstream_alpn = vec![b"istio".to_vec()]);
    world.apply(&mesh(&pod, &authority));
    assert_eq!(world.get("/").await.json()["tls"]["alpn"], "istio");
    let line = serde_json::to_value(world.logged().await).unwrap();
    assert_eq!(line["upstream_tls"]["alpn"], "istio");
}

enum Server {
    OtherWorkload,
    OtherAuthority,
    RefusesOurAuthority,
    ClearText,
    DnsNameOnly,
    ClosesAtOnce,
}

#[rstest]
#[case::another_workload(Server::OtherWorkload, "upstream_identity_mismatch")]
#[case::a_certificate_of_another_mesh(Server::OtherAuthority, "upstream_tls_handshake_failed")]
#[case::a_server_that_refuses_our_certificate(Server::RefusesOurAuthority, "upstream_tls_handshake_failed")]
#[case::an_application_without_sidecar(Server::ClearText, "upstream_tls_handshake_failed")]
#[case::a_certificate_without_spiffe_id(Server::DnsNameOnly, "upstream_identity_mismatch")]
#[case::a_listener_without_a_matching_chain(Server::ClosesAtOnce, "upstream_tls_handshake_failed")]
#[tokio::test]
async fn a_peer_that_is_not_the_expected_workload_gets_nothing(#[case] server: Server, #[case] reason: &str) {
    let (authority, other) = (Authority::new(), Authority::new());
    let pod = match server {
        Server::OtherWorkload => {
            Pod::tls_echo(Authority::mutual_tls_server(&authority.issue(OTHER_POD), &authority)).await
        }
        Server::OtherAuthority => {
            Pod::tls_echo(Authority::mutual_tls_server(&other.issue(POD), &authority)).await
        }
        // With TLS 1.3 the client learns of it only when it reads the response.
        Server::RefusesOurAuthority => {
            Pod::tls_echo(Authority::mutual_tls_server(&authority.issue(POD), &other)).await
        }
        Server::ClearText => Pod::echo().await,
        Server::DnsNameOnly => {
            Pod::tls_echo(Authority::mutual_tls_server(&authority.issue("pod.example"), &authority)).await
        }
        Server::ClosesAtOnce => Pod::start(|_, stream| async move { drop(stream) }).await,
    };
    let mut world = World::serving(&mesh(&pod, &authority));
    for _ in 0..5 {
        assert_eq!(world.get("/").await.reason(), (503, reason));
        let record = world.logged().await;
        assert_eq!(record.upstream_pod.as_deref(), Some("ns/b-0"));
        let line = serde_json::to_value(&record).unwrap();
        assert_eq!(line["upstream_tls"]["mode"], "mtls", "never anything else");
        assert_eq!(line["upstream_tls"]["client_identity"], GATEWAY);
    }
}

#[tokio::test]
async fn no_byte_in_clear_text_reaches_a_mesh_service() {
    let authority = Authority::new();
    let (seen, mut first_bytes) = tokio::sync::mpsc::unbounded_channel();
    let pod = Pod::start(move |_, mut stream| {
        let seen = seen.clone();
        async move {
            let mut byte = [0];
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut byte).await.unwrap();
            seen.send(byte[0]).unwrap();
        }
    })
    .await;
    let world = World::serving(&mesh(&pod, &authority));
    assert_eq!(world.get("/").await.reason(), (503, "upstream_tls_handshake_failed"));
    assert_eq!(first_bytes.recv().await, Some(22), "a TLS handshake record");
}

#[tokio::test]
async fn a_rotated_certificate_is_used_at_once_and_no_request_fails() {
    let authority = Authority::new();
    let pod = Pod::tls_echo(Authority::mutual_tls_server(&authority.issue(POD), &authority)).await;
    let world = World::serving(&mesh(&pod, &authority));
    let mut client = Client::http1(world.address(PORT)).await;
    let shown = |answer: crate::support::Answer| answer.json()["tls"]["client"].as_str().unwrap().to_owned();
    let mut last = String::new();
    for rotation in 1..=5 {
        let first = shown(client.get("/").await);
        assert_ne!(first, last, "the new certificate is shown");
        last = first;
        assert_eq!(shown(client.get("/").await), last);
        assert_eq!(pod.connections(), rotation, "one connection for each certificate");
        world.apply(&mesh(&pod, &authority));
        pod.until_open(0).await;
    }
}

#[tokio::test]
async fn requests_in_flight_survive_rotations() {
    let authority = Authority::new();
    let pod = Pod::tls_echo(Authority::mutual_tls_server(&authority.issue(POD), &authority)).await;
    let world = World::serving(&mesh(&pod, &authority));
    let address = world.address(PORT);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = Client::http1(address).await;
                for _ in 0..50 {
                    assert_eq!(client.get("/").await.status, 200);
                }
            })
        })
        .collect();
    while !clients.iter().all(tokio::task::JoinHandle::is_finished) {
        world.apply(&mesh(&pod, &authority));
        world.get("/").await;
    }
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_refused_and_the_old_one_stays() {
    let authority = Authority::new();
    let pod = Pod::tls_echo(Authority::mutual_tls_server(&authority.issue(POD), &authority)).await;
    let good = mesh(&pod, &authority);
    let world = World::serving(&good);
    let (one, two) = (authority.issue(GATEWAY), authority.issue(GATEWAY));
    let mixed = crate::support::Issued { key: two.key, ..one };
    let rejection = world.refuses(&good.clone().secret(mixed.secret()));
    assert_eq!(rejection.resources, ["secret/istio"]);
    assert!(rejection.message.contains("secret/istio"), "{rejection}");
    assert_eq!(world.get("/").await.status, 200);
}

#[tokio::test]
async fn a_service_whose_namespace_loses_its_label_is_spoken_to_in_clear_text_from_then_on() {
    let authority = Authority::new();
    let pod = Pod::start(|_, mut stream| async move {
        if read_head(&mut stream).await.is_some() {
            crate::pods::respond(&mut stream, "clear").await;
        }
    })
    .await;
    let world = World::serving(&mesh(&pod, &authority));
    let clear = Wanted::new().clear_text("b", &[pod.address]);
    world.apply(&clear);
    assert_eq!(world.get("/").await.text(), "clear");
}
