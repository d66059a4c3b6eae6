//! TLS to pods as a BackendTLSPolicy asks for it: names, authorities, changes at run time; never clear text instead.

use crate::pods::Pod;
use crate::support::{Authority, Client, PORT, Wanted, World};
use alb_config::proto::{ServerTls, SubjectAltName, subject_alt_name};
use rstest::rstest;
use serde_json::json;

const HOSTNAME: &str = "pod.example";
const URI: &str = "spiffe://cluster.local/ns/other/sa/server";

fn policy(hostname: &str, ca: &str) -> ServerTls {
    ServerTls { hostname: hostname.into(), ca_certificates: ca.as_bytes().to_vec(), ..ServerTls::default() }
}

fn to(pod: &Pod, policy: ServerTls) -> Wanted {
    Wanted::new().server_tls("b", &[pod.address], policy)
}

fn alternative(name: &str) -> SubjectAltName {
    let name = match name.contains("://") {
        true => subject_alt_name::Name::Uri(name.into()),
        false => subject_alt_name::Name::Hostname(name.into()),
    };
    SubjectAltName { name: Some(name) }
}

async fn pod_of(authority: &Authority, name: &str) -> Pod {
    Pod::tls_echo(Authority::tls_server(&authority.issue(name))).await
}

#[tokio::test]
async fn the_pod_proves_its_name_and_is_asked_for_it() {
    let authority = Authority::new();
    let mut tls = (*Authority::tls_server(&authority.issue(HOSTNAME))).clone();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let pod = Pod::tls_echo(tls.into()).await;
    let mut world = World::serving(&to(&pod, policy(HOSTNAME, &authority.pem)));
    let answer = world.get("/").await;
    assert_eq!(answer.status, 200);
    let told = answer.json();
    assert_eq!(told["tls"], json!({"client": null, "alpn": "http/1.1", "sni": HOSTNAME}));
    let line = serde_json::to_value(world.logged().await).unwrap();
    let tls = json!({
        "mode": "tls", "server_name": HOSTNAME, "server_identity": HOSTNAME, "client_identity": null,
        "alpn": "http/1.1",
    });
    assert_eq!(line["upstream_tls"], tls);
}

#[tokio::test]
async fn a_wildcard_in_the_certificate_stands_for_the_name() {
    let authority = Authority::new();
    let pod = pod_of(&authority, "*.pods.example").await;
    let world = World::serving(&to(&pod, policy("a.pods.example", &authority.pem)));
    assert_eq!(world.get("/").await.status, 200);
    world.apply(&to(&pod, policy("a.b.pods.example", &authority.pem)));
    assert_eq!(world.get("/").await.reason(), (503, "upstream_identity_mismatch"));
}

enum Server {
    OtherName,
    OtherAuthority,
    ClearText,
    OnlyHttp2,
}

#[rstest]
#[case::another_name(Server::OtherName, "upstream_identity_mismatch")]
#[case::another_authority(Server::OtherAuthority, "upstream_tls_handshake_failed")]
#[case::no_tls_at_all(Server::ClearText, "upstream_tls_handshake_failed")]
#[case::no_http_1_1(Server::OnlyHttp2, "upstream_tls_handshake_failed")]
#[tokio::test]
async fn a_pod_that_does_not_satisfy_the_policy_gets_nothing(#[case] server: Server, #[case] reason: &str) {
    let authority = Authority::new();
    let pod = match server {
        Server::OtherName => pod_of(&authority, "other.example").await,
        Server::OtherAuthority => pod_of(&Authority::new(), HOSTNAME).await,
        Server::ClearText => Pod::echo().await,
        Server::OnlyHttp2 => {
            let mut tls = (*Authority::tls_server(&authority.issue(HOSTNAME))).clone();
            tls.alpn_protocols = vec![b"h2".to_vec()];
            Pod::tls_echo(tls.into()).await
        }
    };
    let mut world = World::serving(&to(&pod, policy(HOSTNAME, &authority.pem)));
    for _ in 0..3 {
        assert_eq!(world.get("/").await.reason(), (503, reason));
        let line = serde_json::to_value(world.logged().await).unwrap();
        assert_eq!(line["upstream_tls"]["mode"], "tls", "never anything else");
        assert_eq!(line["upstream_tls"]["server_name"], HOSTNAME);
        assert_eq!(line["upstream_tls"]["server_identity"], json!(null), "nothing was proved");
    }
}

#[rstest]
#[case::uri(URI, &[URI], Some(URI))]
#[case::host_name("a.example", &["a.example"], Some("a.example"))]
#[case::any_of_them("a.example", &[URI, "a.example"], Some("a.example"))]
#[case::below_a_pattern("a.example", &["*.example"], Some("a.example"))]
#[case::the_same_pattern("*.example", &["*.example"], Some("*.example"))]
#[case::another_uri(URI, &["spiffe://cluster.local/ns/other/sa/somebody"], None)]
#[case::the_hostname_alone_does_not_count(HOSTNAME, &["a.example"], None)]
#[case::not_below_the_pattern("example", &["*.example"], None)]
#[tokio::test]
async fn subject_alternative_names_are_verified_instead_of_the_hostname(
    #[case] shown: &str,
    #[case] wanted: &[&str],
    #[case] proved: Option<&str>,
) {
    let authority = Authority::new();
    let pod = pod_of(&authority, shown).await;
    let subject_alt_names = wanted.iter().map(|name| alternative(name)).collect();
    let policy = ServerTls { subject_alt_names, ..policy(HOSTNAME, &authority.pem) };
    let mut world = World::serving(&to(&pod, policy));
    let answer = world.get("/").await;
    match proved {
        Some(_) => {
            assert_eq!(answer.json()["tls"]["sni"], HOSTNAME, "the hostname is asked for all the same")
        }
        None => assert_eq!(answer.reason(), (503, "upstream_identity_mismatch")),
    }
    let line = serde_json::to_value(world.logged().await).unwrap();
    assert_eq!(line["upstream_tls"]["server_identity"], json!(proved));
}

#[tokio::test]
async fn public_authorities_do_not_vouch_for_a_private_one() {
    let authority = Authority::new();
    let pod = pod_of(&authority, HOSTNAME).await;
    let policy = ServerTls { system_ca_certificates: true, ..policy(HOSTNAME, "") };
    let world = World::serving(&to(&pod, policy));
    assert_eq!(world.get("/").await.reason(), (503, "upstream_tls_handshake_failed"));
}

#[rstest]
#[case::a_problem_the_controller_found(|policy: &mut ServerTls| policy.problem = "BackendTLSPolicy ns/p: no ConfigMap".into(), "no ConfigMap")]
#[case::no_certificate(|policy: &mut ServerTls| policy.ca_certificates.clear(), "the CA bundle holds no certificate")]
#[case::no_host_name(|policy: &mut ServerTls| policy.hostname = "10.0.0.1".into(), "is not a host name")]
#[case::no_alternative_name(|policy: &mut ServerTls| policy.subject_alt_names = vec![SubjectAltName::default()], "neither a host name nor a URI")]
#[tokio::test]
async fn a_policy_that_cannot_be_used_keeps_every_byte_from_the_pod(
    #[case] spoil: fn(&mut ServerTls),
    #[case] detail: &str,
) {
    let authority = Authority::new();
    let pod = pod_of(&authority, HOSTNAME).await;
    let mut policy = policy(HOSTNAME, &authority.pem);
    spoil(&mut policy);
    let mut world = World::serving(&to(&pod, policy));
    assert_eq!(world.get("/").await.reason(), (503, "tls_policy_invalid"));
    let record = world.logged().await;
    assert!(record.detail.as_deref().is_some_and(|told| told.contains(detail)), "{:?}", record.detail);
    let line = serde_json::to_value(&record).unwrap();
    assert_eq!(line["upstream_tls"]["mode"], "tls");
    assert_eq!(pod.connections(), 0);
}

#[tokio::test]
async fn a_change_of_policy_or_authority_opens_new_connections() {
    let (authority, other) = (Authority::new(), Authority::new());
    let pod = pod_of(&authority, HOSTNAME).await;
    let both = format!("{}{}", authority.pem, other.pem);
    let world = World::serving(&to(&pod, policy(HOSTNAME, &authority.pem)));
    let mut client = Client::http1(world.address(PORT)).await;
    let mut connections = 0;
    for trusted in [&authority.pem, &both, &authority.pem] {
        world.apply(&to(&pod, policy(HOSTNAME, trusted)));
        assert_eq!(client.get("/").await.status, 200);
        assert_eq!(client.get("/").await.status, 200);
        connections += 1;
        assert_eq!(pod.connections(), connections, "one connection for each bundle");
        // No open connection hides that the authority is not trusted any more.
        world.apply(&to(&pod, policy(HOSTNAME, &other.pem)));
        pod.until_open(0).await;
        assert_eq!(client.get("/").await.reason(), (503, "upstream_tls_handshake_failed"));
        connections += 1;
    }
}

#[tokio::test]
async fn requests_in_flight_survive_changes_of_the_authority() {
    let (authority, other) = (Authority::new(), Authority::new());
    let pod = pod_of(&authority, HOSTNAME).await;
    let both = format!("{}{}", authority.pem, other.pem);
    let world = World::serving(&to(&pod, policy(HOSTNAME, &authority.pem)));
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
    let mut bundles = [&authority.pem, &both].into_iter().cycle();
    while !clients.iter().all(tokio::task::JoinHandle::is_finished) {
        world.apply(&to(&pod, policy(HOSTNAME, bundles.next().unwrap())));
        world.get("/").await;
    }
    for client in clients {
        client.await.unwrap();
    }
}
