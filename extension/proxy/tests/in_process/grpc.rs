//! Backends that speak HTTP/2: conversations in both directions, trailers, one connection for many.

use crate::pods::{Pod, read_head};
use crate::support::{Answer, Authority, Client, GATEWAY, POD, PORT, Wanted, World, soon};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// Says what it was asked, then sends back what it is sent, piece by piece, and a status behind it.
async fn converse(request: Request<Incoming>) -> Result<Response<Channel<Bytes, Infallible>>, Infallible> {
    let (parts, mut body) = request.into_parts();
    let (mut sender, answer) = Channel::new(1);
    tokio::spawn(async move {
        let asked = format!("{} {:?} te={:?};", parts.uri, parts.version, parts.headers.get("te"));
        let _ = sender.send_data(Bytes::from(asked)).await;
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data()
                && sender.send_data(data).await.is_err()
            {
                return;
            }
        }
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let _ = sender.send_trailers(trailers).await;
    });
    Ok(Response::new(answer))
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let _ = builder.serve_connection(TokioIo::new(stream), service_fn(converse)).await;
}

async fn pod() -> Pod {
    Pod::start(|_, stream| serve(stream)).await
}

fn wanted(pod: &Pod) -> Wanted {
    Wanted::new().clear_text("b", &[pod.address]).http2("b")
}

#[tokio::test]
async fn a_conversation_goes_both_ways_at_once_and_ends_with_a_status() {
    let pod = pod().await;
    let mut world = World::serving(&wanted(&pod));
    let stream = TokioIo::new(TcpStream::connect(world.address(PORT)).await.unwrap());
    let (mut requests, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let (mut pieces, body) = Channel::<Bytes, Infallible>::new(1);
    let request = Request::post("http://fe.alb.internal/greet").header("te", "trailers").body(body).unwrap();
    let response = soon("the header", requests.send_request(request)).await.unwrap();
    let mut body = response.into_body();
    let mut next = async || {
        let frame = soon("a piece", body.frame()).await.unwrap().unwrap();
        frame.into_data().map_err(|frame| frame.into_trailers().unwrap())
    };
    let asked = next().await.unwrap();
    assert_eq!(asked, "http://fe.alb.internal/greet HTTP/2.0 te=Some(\"trailers\");");
    for piece in ["one", "two", "three"] {
        pieces.send_data(Bytes::from(piece)).await.unwrap();
        assert_eq!(next().await.unwrap(), piece);
    }
    drop(pieces);
    assert_eq!(next().await.unwrap_err()["grpc-status"], "0");
    drop(requests);
    let record = world.logged().await;
    assert_eq!((record.reason, record.bytes_in), ("ok", 11));
}

#[tokio::test]
async fn many_clients_share_a_connection() {
    let pod = pod().await;
    let world = World::serving(&wanted(&pod));
    world.get("/first").await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let address = world.address(PORT);
        clients.spawn(async move {
            let mut client = Client::http1(address).await;
            for _ in 0..10 {
                let post = Request::post("/x").header("host", "fe.alb.internal").body(Full::from("hello"));
                let answer: Answer = client.send(post.unwrap()).await;
                assert!(answer.text().ends_with(";hello"), "{answer:?}");
            }
        });
    }
    clients.join_all().await;
    assert_eq!(pod.connections(), 1);
    world.apply(&Wanted::new());
    pod.until_open(0).await;
}

#[tokio::test]
async fn a_connection_that_has_ended_is_replaced() {
    // Closes after each answer.
    let pod = Pod::start(|_, stream| async move {
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let connection = builder.serve_connection(TokioIo::new(stream), service_fn(converse));
        tokio::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => {}
            () = tokio::time::sleep(std::time::Duration::from_millis(50)) => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    })
    .await;
    let world = World::serving(&wanted(&pod));
    for _ in 0..4 {
        assert_eq!(world.get("/").await.status, 200);
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
    }
    assert!(pod.connections() > 1);
}

#[tokio::test]
async fn http2_is_spoken_over_mutual_tls_without_an_application_protocol() {
    let authority = Authority::new();
    let tls = Authority::mutual_tls_server(&authority.issue(POD), &authority);
    let pod = Pod::start(move |_, stream| {
        let acceptor = TlsAcceptor::from(tls.clone());
        async move {
            let stream = acceptor.accept(stream).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), None);
            serve(stream).await;
        }
    })
    .await;
    let wanted = Wanted::new().mutual_tls("b", &[pod.address], POD).secret(authority.issue(GATEWAY).secret());
    let world = World::serving(&wanted.http2("b"));
    assert!(world.get("/").await.text().starts_with("http://fe.alb.internal/ HTTP/2.0"));
}

#[tokio::test]
async fn a_pod_that_speaks_no_http2_is_503() {
    let pod = Pod::start(|_, mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    })
    .await;
    let mut world = World::serving(&wanted(&pod));
    assert_eq!(world.get("/").await.reason(), (503, "upstream_reset"));
    assert_eq!(world.logged().await.reason, "upstream_reset");
}
