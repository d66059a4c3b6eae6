//! Connections that are not looked into (Gateway API, TLSRoute): TLS that ends at a pod, and TLS that ends here around something
//! that is no business of the gateway's.

use crate::pods::{Pod, nobody};
use crate::support::{Authority, GATEWAY, Issued, POD, PORT, Wanted, World, soon};
use crate::tls_client::{TlsClient, certificate, https, shown, tls_listener};
use alb_config::Kind;
use alb_config::proto::{self, TlsMode, weighted_backend};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

/// Routes by name: hostname and backend.
fn streams(mode: TlsMode, hostname: &str, routes: &[(&str, i64, &str)]) -> Wanted {
    let certificates: &[&str] = if mode == TlsMode::Passthrough { &[] } else { &["a"] };
    let listener = proto::TlsListener { mode: mode.into(), ..tls_listener(("l", hostname, certificates)) };
    let mut wanted = https(Wanted::default(), vec![listener]);
    for (index, (hostname, created, backend)) in routes.iter().enumerate() {
        let route = proto::TlsRoute {
            route: format!("ns/tls-{index}"),
            created: *created,
            listeners: vec![proto::ListenerRef { frontend: "frontend/fe".into(), listener: "l".into() }],
            hostnames: [*hostname].iter().filter(|name| !name.is_empty()).map(|n| (*n).into()).collect(),
            backends: vec![proto::WeightedBackend {
                weight: 1,
                target: Some(match *backend {
                    "invalid" => weighted_backend::Target::Invalid("BackendNotFound".into()),
                    backend => weighted_backend::Target::Backend(format!("backend/{backend}")),
                }),
            }],
        };
        wanted.put(format!("tls-route/{index}"), Kind::TlsRoute(route));
    }
    wanted
}

/// A pod that answers what it is sent with what it is called, to the end of the connection.
async fn caller(name: &'static str) -> Pod {
    Pod::start(move |_, mut stream| async move {
        let mut all = Vec::new();
        if stream.read_to_end(&mut all).await.is_ok() {
            let _ = stream.write_all(format!("{name}: {}", String::from_utf8_lossy(&all)).as_bytes()).await;
        }
    })
    .await
}

/// The same behind TLS of its own.
async fn tls_caller(issued: &Issued, name: &'static str) -> Pod {
    let acceptor = TlsAcceptor::from(Authority::tls_server(issued));
    Pod::start(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut all = Vec::new();
            if stream.read_to_end(&mut all).await.is_ok() {
                let answer = format!("{name}: {}", String::from_utf8_lossy(&all));
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        }
    })
    .await
}

async fn call(client: &TlsClient<'_>, world: &World) -> std::io::Result<String> {
    let mut stream = client.connect(world.address(PORT)).await?;
    // More than is read at once.
    stream.write_all("x".repeat(100_000).as_bytes()).await?;
    stream.shutdown().await?;
    let mut all = String::new();
    soon("an answer", stream.read_to_string(&mut all)).await?;
    assert_eq!(all.len(), all.find(": ").unwrap() + 2 + 100_000);
    Ok(all.split(": ").next().unwrap().to_owned())
}

#[tokio::test]
async fn tls_that_ends_at_a_pod_goes_where_its_name_leads() {
    let authority = Authority::new();
    let (a, b) = (authority.issue("a.shop.example"), authority.issue("*.shop.example"));
    let (first, second) = (tls_caller(&a, "first").await, tls_caller(&b, "second").await);
    let routes =
        [("a.shop.example", 2, "first"), ("*.shop.example", 1, "second"), ("a.shop.example", 3, "second")];
    let wanted = streams(TlsMode::Passthrough, "*.shop.example", &routes)
        .clear_text("first", &[first.address])
        .clear_text("second", &[second.address]);
    let mut world = World::serving(&wanted);
    for (name, expected, route) in
        [("a.shop.example", "first", "ns/tls-0"), ("b.shop.example", "second", "ns/tls-1")]
    {
        let client = TlsClient::new(&authority, name);
        assert_eq!(call(&client, &world).await.unwrap(), expected, "the older of two for one name");
        let line = serde_json::to_value(world.logged().await).unwrap();
        assert_eq!(line["route"], route);
        assert_eq!(
            (&line["host"], &line["status"], &line["reason"]),
            (&json!(name), &json!(0), &json!("ok"))
        );
        assert_eq!(line["downstream_tls"]["version"], "passthrough");
        assert!(
            line["bytes_in"].as_u64().unwrap() > 100_000 && line["bytes_out"].as_u64().unwrap() > 100_000
        );
    }
    // The pod's certificate, not one of ours.
    let stream = TlsClient::new(&authority, "a.shop.example").connect(world.address(PORT)).await.unwrap();
    assert_eq!(shown(&stream), a.chain_der[0]);
    for name in ["example", "a.test"] {
        let error = TlsClient::new(&authority, name).connect(world.address(PORT)).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{name}: {error}");
    }
}

#[tokio::test]
async fn what_is_inside_of_tls_that_ends_here_goes_to_a_pod_as_it_is() {
    let (authority, pod) = (Authority::new(), caller("pod").await);
    let wanted = streams(TlsMode::TerminateStream, "", &[("a.example", 1, "b")]);
    let wanted = certificate(wanted, "a", &authority.issue("a.example")).clear_text("b", &[pod.address]);
    let mut world = World::serving(&wanted);
    let client = TlsClient { alpn: &["anything"], ..TlsClient::new(&authority, "a.example") };
    assert_eq!(call(&client, &world).await.unwrap(), "pod");
    let line = serde_json::to_value(world.logged().await).unwrap();
    assert_eq!(line["downstream_tls"]["version"], "TLSv1.3");
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&json!(100_000), &json!(100_005)));
    let error = TlsClient::new(&authority, "b.example").connect(world.address(PORT)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
}

#[tokio::test]
async fn the_meshs_mutual_tls_is_put_around_it() {
    let authority = Authority::new();
    let inner = authority.issue("a.example");
    let (outer, inside) = (
        TlsAcceptor::from(Authority::mutual_tls_server(&authority.issue(POD), &authority)),
        TlsAcceptor::from(Authority::tls_server(&inner)),
    );
    let pod = Pod::start(move |_, stream| {
        let (outer, inside) = (outer.clone(), inside.clone());
        async move {
            let stream = outer.accept(stream).await.unwrap();
            let mut stream = inside.accept(stream).await.unwrap();
            stream.write_all(b"inside").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    })
    .await;
    let wanted = streams(TlsMode::Passthrough, "", &[("", 1, "b")])
        .mutual_tls("b", &[pod.address], POD)
        .secret(authority.issue(GATEWAY).secret());
    let mut world = World::serving(&wanted);
    let mut stream = TlsClient::new(&authority, "a.example").connect(world.address(PORT)).await.unwrap();
    let mut all = String::new();
    soon("an answer", stream.read_to_string(&mut all)).await.unwrap();
    assert_eq!(all, "inside");
    drop(stream);
    let line = serde_json::to_value(world.logged().await).unwrap();
    assert_eq!(line["upstream_tls"]["mode"], "mtls");
    assert_eq!(line["upstream_tls"]["server_identity"], POD);
}

#[tokio::test]
async fn a_connection_that_leads_nowhere_is_closed_and_logged_and_other_endpoints_are_asked() {
    let authority = Authority::new();
    let pod = tls_caller(&authority.issue("a.example"), "pod").await;
    let nobody = nobody().await;
    let wanted = streams(
        TlsMode::Passthrough,
        "",
        &[("a.example", 1, "some"), ("b.example", 1, "none"), ("c.example", 1, "invalid")],
    )
    .clear_text("some", &[nobody, pod.address])
    .clear_text("none", &[]);
    let mut world = World::serving(&wanted);
    for _ in 0..4 {
        assert_eq!(call(&TlsClient::new(&authority, "a.example"), &world).await.unwrap(), "pod");
        assert_eq!(world.logged().await.reason, "ok");
    }
    for (name, reason) in [("b.example", "no_endpoint"), ("c.example", "backend_invalid")] {
        assert!(TlsClient::new(&authority, name).connect(world.address(PORT)).await.is_err());
        let record = world.logged().await;
        assert_eq!((record.status, record.reason), (0, reason));
    }
}

#[tokio::test]
async fn connections_of_a_listener_that_is_gone_have_the_drain_to_end() {
    let authority = Authority::new();
    let pod = caller("pod").await;
    let mut world = World::with(|settings| settings.tunnel_drain = std::time::Duration::from_millis(50));
    let wanted = streams(TlsMode::TerminateStream, "", &[("", 1, "b")]);
    let wanted = certificate(wanted, "a", &authority.issue("a.example")).clear_text("b", &[pod.address]);
    world.apply(&wanted);
    let client = TlsClient::new(&authority, "a.example");
    let mut stream = client.connect(world.address(PORT)).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    pod.until_open(1).await;
    let other = proto::TlsListener {
        client_validation: Some(proto::ClientValidation::default()),
        mode: TlsMode::TerminateStream.into(),
        ..tls_listener(("l", "", &["a"]))
    };
    world.apply(&https(wanted, vec![other]));
    let mut rest = Vec::new();
    let _ = soon("the end", stream.read_to_end(&mut rest)).await;
    assert_eq!(world.logged().await.reason, "shutting_down");
}
