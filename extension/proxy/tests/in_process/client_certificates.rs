//! Certificates of clients (Gateway API, `FrontendTLSValidation`), and the gateway's own for pods (`GatewayBackendTLS`).

use crate::pods::Pod;
use crate::support::{Authority, Client, GATEWAY, PORT, Wanted, World, soon};
use crate::tls_client::{TlsClient, alert, at, certificate, connect, https, request, tls_listener};
use alb_config::Kind;
use alb_config::proto::{self, ClientValidation};
use http_body_util::Full;
use rustls::AlertDescription;
use serde_json::json;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const NAME: &str = "a.example";

fn validating(pod: &Pod, server: &Authority, ca: &str, allow_insecure_fallback: bool) -> Wanted {
    let validation = ClientValidation { ca_certificates: ca.as_bytes().to_vec(), allow_insecure_fallback };
    let listener =
        proto::TlsListener { client_validation: Some(validation), ..tls_listener(("l", "", &["a"])) };
    let wanted = Wanted::default().clear_text("b", &[pod.address]);
    certificate(at(https(wanted, vec![listener]), "l", "/", "b"), "a", &server.issue(NAME))
}

/// Asks once. With TLS 1.3 a client learns that it was refused when it reads.
async fn ask(world: &World, client: &TlsClient<'_>) -> Result<u16, Option<AlertDescription>> {
    let mut stream = client.connect(world.address(PORT)).await.map_err(|error| alert(&error))?;
    let get = format!("GET / HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\n\r\n");
    // Whoever is refused may notice it here already; why, it learns by reading.
    let _ = stream.write_all(get.as_bytes()).await;
    let mut all = Vec::new();
    soon("an answer", stream.read_to_end(&mut all)).await.map_err(|error| alert(&error))?;
    Ok(std::str::from_utf8(&all[9..12]).unwrap().parse().unwrap())
}

#[tokio::test]
async fn only_clients_of_the_authority_are_let_in() {
    let (server, clients, other, pod) =
        (Authority::new(), Authority::new(), Authority::new(), Pod::echo().await);
    let mut world = World::serving(&validating(&pod, &server, &clients.pem, false));
    let (good, bad) = (clients.issue("client.example"), other.issue("client.example"));
    let client = |issued| TlsClient { certificate: issued, ..TlsClient::new(&server, NAME) };
    assert_eq!(ask(&world, &client(Some(&good))).await, Ok(200));
    let line = serde_json::to_value(world.logged().await).unwrap();
    assert_eq!(line["downstream_tls"]["client_identity"], "client.example");
    let refused = ask(&world, &client(None)).await;
    assert_eq!(refused, Err(Some(AlertDescription::CertificateRequired)));
    let refused = ask(&world, &client(Some(&bad))).await;
    // Its authority has the same name; what the key has signed tells the two apart.
    assert_eq!(refused, Err(Some(AlertDescription::DecryptError)));
    assert_eq!(pod.connections(), 1);
}

#[tokio::test]
async fn with_insecure_fallback_everybody_is_let_in_and_only_who_has_proved_it_is_named() {
    let (server, clients, other, pod) =
        (Authority::new(), Authority::new(), Authority::new(), Pod::echo().await);
    let mut world = World::serving(&validating(&pod, &server, &clients.pem, true));
    let (good, bad) = (clients.issue("client.example"), other.issue("client.example"));
    for (issued, named) in
        [(None, json!(null)), (Some(&bad), json!(null)), (Some(&good), json!("client.example"))]
    {
        let client = TlsClient { certificate: issued, ..TlsClient::new(&server, NAME) };
        assert_eq!(ask(&world, &client).await, Ok(200));
        let line = serde_json::to_value(world.logged().await).unwrap();
        assert_eq!(line["downstream_tls"]["client_identity"], named);
    }
}

#[tokio::test]
async fn while_the_authority_is_not_known_nobody_is_let_in() {
    let (server, clients, pod) = (Authority::new(), Authority::new(), Pod::echo().await);
    let issued = clients.issue("client.example");
    for fallback in [false, true] {
        let world = World::serving(&validating(&pod, &server, "", fallback));
        let client = TlsClient { certificate: Some(&issued), ..TlsClient::new(&server, NAME) };
        assert_eq!(ask(&world, &client).await, Err(Some(AlertDescription::AccessDenied)));
    }
    assert_eq!(pod.connections(), 0);
}

#[tokio::test]
async fn who_was_let_in_by_another_rule_has_to_come_again() {
    let (server, old, new, pod) = (Authority::new(), Authority::new(), Authority::new(), Pod::echo().await);
    let world = World::serving(&validating(&pod, &server, &old.pem, false));
    let issued = old.issue("client.example");
    let client = TlsClient { certificate: Some(&issued), ..TlsClient::new(&server, NAME) };
    // It could come again with a ticket.
    let config = Arc::new(client.config());
    let mut stream = connect(&config, NAME, world.address(PORT)).await.unwrap();
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: {NAME}\r\n\r\n").as_bytes()).await.unwrap();
    soon("an answer", stream.read_u8()).await.unwrap();

    world.apply(&validating(&pod, &server, &new.pem, false));
    let mut rest = Vec::new();
    let _ = soon("the connection's end", stream.read_to_end(&mut rest)).await;
    let refused = async {
        let mut stream = connect(&config, NAME, world.address(PORT)).await?;
        stream.write_all(format!("GET / HTTP/1.1\r\nhost: {NAME}\r\n\r\n").as_bytes()).await?;
        soon("an answer", stream.read_u8()).await
    };
    assert_eq!(alert(&refused.await.unwrap_err()), Some(AlertDescription::DecryptError));
}

#[tokio::test]
async fn an_unreadable_bundle_is_refused_by_name() {
    let (server, pod) = (Authority::new(), Pod::echo().await);
    let world = World::new();
    let rejection = world.refuses(&validating(&pod, &server, "nonsense", false));
    assert_eq!(rejection.resources, ["frontend/fe"]);
    assert!(rejection.message.contains("the CA bundle for clients"), "{}", rejection.message);
}

const OTHER_PORT: u16 = 10_001;

/// Two frontends with routes to one backend; the first shows pods a certificate of its own.
fn showing(policy: &proto::ServerTls, pod: &Pod, client_certificate: &str) -> Wanted {
    let mut wanted = Wanted::new()
        .server_tls("b", &[pod.address], policy.clone())
        .frontend("other", OTHER_PORT)
        .rule_with("fe", "/", &[("b", 1)], |rule| {
            let other = proto::ListenerRef { frontend: "frontend/other".into(), listener: "http".into() };
            rule.listeners.push(other);
        });
    wanted.put(
        "frontend/fe".into(),
        Kind::Frontend(proto::Frontend {
            fqdn: "fe.alb.internal".into(),
            gateway: "ns/fe".into(),
            listeners: vec![proto::Listener {
                name: "http".into(),
                bind_port: PORT.into(),
                port: 80,
                hostname: String::new(),
            }],
            backend_client_certificate: client_certificate.into(),
            ..proto::Frontend::default()
        }),
    );
    wanted
}

#[tokio::test]
async fn pods_are_shown_the_certificate_of_the_gateway_that_asks_and_of_no_other() {
    let authority = Authority::new();
    let pod = Pod::tls_echo(Authority::mutual_tls_server(&authority.issue("pod.example"), &authority)).await;
    let policy = proto::ServerTls {
        hostname: "pod.example".into(),
        ca_certificates: authority.pem.clone().into_bytes(),
        ..proto::ServerTls::default()
    };
    let wanted = showing(&policy, &pod, "certificate/gateway");
    let mut world = World::serving(&certificate(wanted.clone(), "gateway", &authority.issue(GATEWAY)));
    let answer = world.get("/").await;
    assert_eq!(answer.status, 200);
    assert!(answer.json()["tls"]["client"].is_string(), "{:?}", answer.json());
    let line = serde_json::to_value(world.logged().await).unwrap();
    assert_eq!(line["upstream_tls"]["client_identity"], GATEWAY);

    // The same route, the same pod, another Gateway: no connection of the first is used.
    let mut other = Client::http1(world.address(OTHER_PORT)).await;
    let refused =
        other.send(http::Request::get("/").header("host", "h").body(Full::default()).unwrap()).await;
    assert_eq!(refused.reason(), (503, "upstream_tls_handshake_failed"));
    world.logged().await;

    // One that is not there closes the backend to its Gateway.
    world.apply(&wanted);
    assert_eq!(world.get("/").await.reason(), (503, "no_client_certificate"));
    let line = world.logged().await;
    assert!(line.detail.unwrap().contains("certificate/gateway"));

    // A new one is shown at once.
    let connections = pod.connections();
    let renewed = authority.issue("gateway.example");
    world.apply(&certificate(wanted, "gateway", &renewed));
    assert_eq!(world.get("/").await.status, 200);
    assert_eq!(pod.connections(), connections + 1);
    let line = serde_json::to_value(world.logged().await).unwrap();
    assert_eq!(line["upstream_tls"]["client_identity"], "gateway.example");
}

#[tokio::test]
async fn a_backend_in_clear_text_is_nobody_to_show_a_certificate_to() {
    let pod = Pod::echo().await;
    let authority = Authority::new();
    let mut wanted = showing(&proto::ServerTls::default(), &pod, "certificate/missing");
    wanted = wanted.clear_text("b", &[pod.address]);
    let world = World::serving(&certificate(wanted, "other", &authority.issue(NAME)));
    assert_eq!(world.get("/").await.status, 200);
    let mut client = Client::http1(world.address(OTHER_PORT)).await;
    assert_eq!(client.send(request("h", "/")).await.status, 200);
}
