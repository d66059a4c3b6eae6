//! What a pod is told of the client, and of the path it asked for.

use crate::pods::{Pod, respond};
use crate::support::{Client, PORT, Wanted, World};
use http::Request;
use http_body_util::Full;
use rstest::rstest;

const CLAIM: &str = "By=spiffe://a;URI=spiffe://cluster.local/ns/x/sa/admin";

#[rstest]
#[case::anybody(None::<&str>, false)]
#[case::somebody_else(Some("192.0.2.0/24"), false)]
#[case::a_trusted_proxy(Some("127.0.0.0/8"), true)]
#[tokio::test]
async fn a_client_says_who_it_is_only_when_it_is_trusted(
    #[case] trusted: Option<&str>,
    #[case] believed: bool,
) {
    let pod = Pod::echo().await;
    let world = World::with(|settings| {
        settings.trusted_clients = trusted.iter().map(|network| network.parse().unwrap()).collect();
    })
    .applied(&Wanted::new().clear_text("b", &[pod.address]));
    let names = ["x-forwarded-client-cert", "x-forwarded-host", "forwarded", "x-envoy-external-address"];
    let mut request = Request::get("/").header("host", "h").header("x-forwarded-for", "198.51.100.1");
    for name in names {
        request = request.header(name, CLAIM);
    }
    let told = world.send(request.body(Full::default()).unwrap()).await.json();
    for name in names {
        let expected = if believed { serde_json::json!([CLAIM]) } else { serde_json::Value::Null };
        assert_eq!(told["headers"][name], expected, "{name}");
    }
    let origin = if believed { "198.51.100.1, 127.0.0.1" } else { "127.0.0.1" };
    assert_eq!(told["headers"]["x-forwarded-for"][0], origin);
    assert_eq!(told["headers"]["via"][0], "1.1 alb");
}

#[tokio::test]
async fn a_route_is_found_by_the_path_that_is_meant_and_the_pod_gets_that() {
    let (admin, other) = (Pod::echo().await, Pod::echo().await);
    let wanted = Wanted::default()
        .frontend("fe", PORT)
        .rule("fe", "/%61dmin", &[("admin", 1)])
        .rule("fe", "/", &[("other", 1)])
        .clear_text("admin", &[admin.address])
        .clear_text("other", &[other.address]);
    let mut world = World::serving(&wanted);
    let address = world.address(PORT);
    for path in ["//admin", "/%61dmin", "/x/../admin", "/%2e/admin", "/x/%2E%2e//admin"] {
        let told = Client::http1(address).await.get(&format!("{path}?q=%2F")).await.json();
        assert_eq!(told["path"], "/admin?q=%2F", "{path}");
        let record = world.logged().await;
        assert_eq!((&*record.path, record.upstream_pod.as_deref()), (path, Some("ns/admin-0")));
    }
    for path in ["/a%2Fb", "/../admin", "/%00", "/%zz", "/a/..;/admin"] {
        assert_eq!(Client::http1(address).await.get(path).await.reason(), (400, "bad_request"), "{path}");
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn of_a_response_with_two_lengths_all_of_it_arrives() {
    let pod = Pod::start(|_, mut stream| async move {
        crate::pods::read_head(&mut stream).await;
        let both = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, both).await.unwrap();
        respond(&mut stream, "").await;
    })
    .await;
    let world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let answer = world.get("/").await;
    assert_eq!(answer.text(), "hello");
    assert!(!answer.headers.contains_key("content-length"));
}
