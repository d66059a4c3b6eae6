//! Mirrored requests: sent whole, and forgotten.

use crate::pods::{Pod, nobody, read_head};
use crate::support::{Client, PORT, Wanted, World, soon};
use alb_config::proto::filter::Kind;
use alb_config::proto::{HeaderModifier, Mirror, NameValue};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Channel, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

fn mirror(backend: &str, numerator: u32) -> Kind {
    Kind::Mirror(Mirror { backend: format!("backend/{backend}"), numerator, denominator: 100 })
}

/// A pod that says what it is sent, and answers with more than anybody wants.
async fn witness() -> (Pod, mpsc::UnboundedReceiver<String>) {
    let (told, all) = mpsc::unbounded_channel();
    let pod = Pod::start(move |_, stream| {
        let told = told.clone();
        async move {
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                let told = told.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let field = |name: &str| {
                        let value = parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
                        value.unwrap_or_default()
                    };
                    let (method, uri, body) =
                        (parts.method, parts.uri, String::from_utf8(body.to_vec()).unwrap());
                    told.send(format!("{method} {uri} {} x={} {body}", field("host"), field("x"))).unwrap();
                    Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(vec![b'm'; 100_000]))))
                }
            });
            let builder = hyper::server::conn::http1::Builder::new();
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await;
    (pod, all)
}

fn post(body: &str) -> Request<Full<Bytes>> {
    let request = Request::post("/f/a?b").header("host", "fe.alb.internal");
    request.body(Full::from(body.to_owned())).unwrap()
}

/// Waits until so many mirrored requests have come to an end, in this way.
async fn ended(world: &World, result: &str, count: f64) {
    let name = format!("alb_proxy_mirrored_requests_total{{result=\"{result}\"}}");
    soon("mirrored requests", async {
        while world.metric(&name) < count {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(world.metric(&name), count);
}

#[tokio::test]
async fn a_request_goes_to_every_mirror_as_it_is_when_the_filters_turn_comes() {
    let pod = Pod::echo().await;
    let ((one, mut at_one), (two, mut at_two)) = (witness().await, witness().await);
    let set = Kind::RequestHeaders(HeaderModifier {
        set: vec![NameValue { name: "x".into(), value: "1".into() }],
        ..HeaderModifier::default()
    });
    let wanted = Wanted::new()
        .filtered("fe", "/f", &[("b", 1)], vec![mirror("one", 100), set, mirror("two", 100)])
        .clear_text("b", &[pod.address])
        .clear_text("one", &[one.address])
        .clear_text("two", &[two.address]);
    let world = World::serving(&wanted);
    for body in ["", "hello"] {
        let answer = world.send(post(body)).await;
        assert_eq!(answer.json()["body"], body, "the pod's answer is the client's");
        let told = |x: &str| format!("POST /f/a?b fe.alb.internal x={x} {body}");
        assert_eq!(soon("the first mirror", at_one.recv()).await.unwrap(), told(""));
        assert_eq!(soon("the second mirror", at_two.recv()).await.unwrap(), told("1"));
    }
    ended(&world, "answered", 4.0).await;
}

#[tokio::test]
async fn a_mirror_that_hangs_or_is_not_there_costs_its_request_nothing() {
    let pod = Pod::echo().await;
    let hung = Pod::start(|_, mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let wanted = Wanted::new()
        .filtered(
            "fe",
            "/f",
            &[("b", 1)],
            vec![mirror("hung", 100), mirror("dead", 100), mirror("empty", 100), mirror("unknown", 100)],
        )
        .clear_text("b", &[pod.address])
        .clear_text("hung", &[hung.address])
        .clear_text("dead", &[nobody().await])
        .clear_text("empty", &[]);
    let world = World::serving(&wanted);
    let mut client = Client::http1(world.address(PORT)).await;
    // More than may be under way at a time.
    for _ in 0..70 {
        assert_eq!(client.send(post("x")).await.status, 200);
    }
    ended(&world, "skipped", 6.0).await;
    ended(&world, "failed", 140.0).await;
    hung.until_open(64).await;
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_mirrored_and_reaches_the_pod() {
    let pod = Pod::echo().await;
    let (one, mut at_one) = witness().await;
    let wanted = Wanted::new()
        .filtered("fe", "/f", &[("b", 1)], vec![mirror("one", 100)])
        .clear_text("b", &[pod.address])
        .clear_text("one", &[one.address]);
    let world = World::serving(&wanted);
    let long = "a".repeat(64 * 1024 + 1);
    assert_eq!(world.send(post(&long)).await.json()["body"], long);
    ended(&world, "skipped", 1.0).await;
    // The same when only its end tells how long it is.
    let stream = TokioIo::new(TcpStream::connect(world.address(PORT)).await.unwrap());
    let (mut requests, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    for (size, result) in [(64 * 1024 + 1, "skipped"), (64 * 1024, "answered")] {
        let (mut pieces, body) = Channel::<Bytes, Infallible>::new(1);
        let request = Request::post("http://fe.alb.internal/f").body(body).unwrap();
        let answer = tokio::spawn(requests.send_request(request));
        for piece in vec![b'a'; size].chunks(10_000) {
            pieces.send_data(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        drop(pieces);
        assert_eq!(soon("the answer", answer).await.unwrap().unwrap().status(), 200);
        ended(&world, result, if result == "skipped" { 2.0 } else { 1.0 }).await;
    }
    assert!(soon("the mirror", at_one.recv()).await.unwrap().len() > 64 * 1024);
    assert!(at_one.try_recv().is_err());
}

#[tokio::test]
async fn a_share_is_mirrored() {
    let pod = Pod::echo().await;
    let (one, _at_one) = witness().await;
    let wanted = Wanted::new()
        .filtered("fe", "/none", &[("b", 1)], vec![mirror("one", 0)])
        .filtered("fe", "/some", &[("b", 1)], vec![mirror("one", 30)])
        .clear_text("b", &[pod.address])
        .clear_text("one", &[one.address]);
    let world = World::serving(&wanted);
    let mut client = Client::http1(world.address(PORT)).await;
    for _ in 0..50 {
        assert_eq!(client.get("/none").await.status, 200);
    }
    let counted = || {
        world
            .series("alb_proxy_mirrored_requests")
            .iter()
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
            .sum::<f64>()
    };
    assert_eq!(counted(), 0.0);
    for _ in 0..500 {
        assert_eq!(client.get("/some").await.status, 200);
    }
    // 150, and less than one in a million that it is not within six standard deviations.
    assert!((counted() - 150.0).abs() < 62.0, "{}", counted());
}
