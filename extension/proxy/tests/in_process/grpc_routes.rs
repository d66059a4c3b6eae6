//! Rules of GRPCRoutes, and what gRPC is told of errors.

use crate::pods::Pod;
use crate::pods::nobody;
use crate::support::{Answer, Client, PORT, Wanted, World};
use alb_config::proto::r#match::Path;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;

/// A pod of HTTP/2 that says who it is.
async fn pod(name: &'static str) -> Pod {
    Pod::start(move |_, stream| async move {
        let service = service_fn(move |_| async move {
            let response = Response::builder().header("pod", name).header("grpc-status", "0");
            Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap())
        });
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(TokioIo::new(stream), service).await;
    })
    .await
}

async fn call(client: &mut Client, path: &str, kind: &str) -> Answer {
    let request = Request::post(format!("http://fe.alb.internal{path}")).header("te", "trailers");
    client.send(request.header("content-type", kind).body(Full::default()).unwrap()).await
}

fn answered_by(answer: &Answer) -> &str {
    answer.headers.get("pod").map_or("nobody", |pod| pod.to_str().unwrap())
}

#[tokio::test]
async fn a_request_goes_where_its_service_and_method_say() {
    let (exact, service, method, any) =
        (pod("exact").await, pod("service").await, pod("method").await, pod("any").await);
    let wanted = Wanted::default()
        .frontend("fe", PORT)
        .grpc_rule("exact", "exact", Some(Path::Exact("/a.Greeter/Greet".into())))
        .grpc_rule("service", "service", Some(Path::Prefix("/a.Greeter".into())))
        .grpc_rule("method", "method", Some(Path::GrpcMethod("Greet".into())))
        .clear_text("exact", &[exact.address])
        .http2("exact")
        .clear_text("service", &[service.address])
        .http2("service")
        .clear_text("method", &[method.address])
        .http2("method")
        .clear_text("any", &[any.address])
        .http2("any");
    let mut world = World::serving(&wanted);
    let mut client = Client::http2(world.address(PORT)).await;
    for (path, wanted) in [
        ("/a.Greeter/Greet", "exact"),
        ("/a.Greeter/Other", "service"),
        ("/a.GreeterToo/Greet", "method"),
        ("/a.GreeterToo/Other", "nobody"),
    ] {
        let answer = call(&mut client, path, "application/grpc+proto").await;
        assert_eq!(answered_by(&answer), wanted, "{path}");
        let status = if wanted == "nobody" { "12" } else { "0" };
        assert_eq!((answer.status.as_u16(), &answer.headers["grpc-status"]), (200, &status.parse().unwrap()));
        let record = world.logged().await;
        assert_eq!(record.route.as_deref(), (wanted != "nobody").then_some("ns/grpc"));
    }
    world.apply(&wanted.grpc_rule("any", "any", None));
    assert_eq!(answered_by(&call(&mut client, "/x/y", "application/grpc").await), "any");
}

#[tokio::test]
async fn what_is_not_grpc_is_not_a_grpc_routes() {
    let pod = pod("pod").await;
    let wanted = Wanted::default().frontend("fe", PORT).grpc_rule("any", "b", None);
    let world = World::serving(&wanted.clear_text("b", &[pod.address]).http2("b"));
    let mut client = Client::http2(world.address(PORT)).await;
    for kind in ["application/json", "application/grpc-web+proto"] {
        assert_eq!(call(&mut client, "/a.B/C", kind).await.reason(), (404, "no_route"));
    }
    assert_eq!(world.get("/a.B/C").await.reason(), (404, "no_route"));
}

#[tokio::test]
async fn an_error_is_a_status_of_grpc() {
    let wanted = Wanted::new()
        .rule("fe", "/invalid", &[("invalid", 1)])
        .rule("fe", "/empty", &[("empty", 1)])
        .rule("fe", "/dead", &[("dead", 1)])
        .clear_text("empty", &[])
        .clear_text("dead", &[nobody().await]);
    let mut world = World::serving(&wanted);
    let mut client = Client::http2(world.address(PORT)).await;
    for (path, status, reason) in [
        ("/invalid/x", "14", "backend_invalid"),
        ("/empty/x", "14", "no_endpoint"),
        ("/dead/x", "14", "upstream_connect_failed"),
        ("/a%2Fb", "13", "bad_request"),
    ] {
        let answer = call(&mut client, path, "application/grpc").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, ""), "{path}");
        assert_eq!(answer.headers["content-type"], "application/grpc");
        assert_eq!(answer.headers["grpc-status"], status, "{path}");
        assert!(!answer.headers["grpc-message"].is_empty());
        let record = world.logged().await;
        assert_eq!((record.status, record.reason), (200, reason));
    }
    // Whoever does not speak gRPC is told as ever.
    assert_eq!(call(&mut client, "/invalid/x", "text/plain").await.reason(), (500, "backend_invalid"));
}
