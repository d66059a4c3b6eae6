//! Configurations that come and go under open connections, and the end.

use crate::pods::{Pod, read_head, respond};
use crate::support::{Authority, Client, GATEWAY, LIMIT, PORT, Wanted, World, soon};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

const OTHER_PORT: u16 = 10_001;

#[tokio::test]
async fn a_route_is_served_as_soon_as_it_is_applied_and_no_longer_once_it_is_removed() {
    let pod = Pod::echo().await;
    let base = Wanted::default().frontend("fe", PORT).clear_text("b", &[pod.address]);
    let world = World::serving(&base);
    let mut client = Client::http1(world.address(PORT)).await;
    for round in 0..20 {
        let path = format!("/route/{round}");
        assert_eq!(client.get(&path).await.reason(), (404, "no_route"));
        world.apply(&base.clone().rule("fe", &path, &[("b", 1)]));
        assert_eq!(client.get(&path).await.status, 200);
    }
    world.apply(&base);
    assert_eq!(client.get("/route/19").await.status, 404);
}

#[tokio::test]
async fn a_route_added_to_thousands_takes_effect_at_once() {
    let pod = Pod::echo().await;
    let many = (0..2000)
        .fold(Wanted::default().frontend("fe", PORT).clear_text("b", &[pod.address]), |wanted, route| {
            wanted.rule("fe", &format!("/many/{route}"), &[("b", 1)])
        });
    let world = World::serving(&many);
    let more = many.clone().rule("fe", "/new", &[("b", 1)]).resources();
    let started = std::time::Instant::now();
    world.proxy.apply(&more).unwrap();
    let elapsed = started.elapsed();
    assert_eq!(world.get("/new").await.status, 200);
    assert_eq!(world.get("/many/1999/x").await.status, 200);
    // Unoptimised and on a busy machine it takes a tenth of this.
    assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
    println!("applied in {elapsed:?}");
}

#[tokio::test]
async fn a_port_that_is_removed_closes_its_connections_and_no_others() {
    let pod = Pod::echo().await;
    let one = Wanted::new().clear_text("b", &[pod.address]);
    let both = one.clone().frontend("other", OTHER_PORT).rule("other", "/", &[("b", 1)]);
    let world = World::serving(&both);
    let mut kept = Client::http1(world.address(PORT)).await;
    let mut ends = TcpStream::connect(world.address(OTHER_PORT)).await.unwrap();
    assert_eq!(kept.get("/").await.status, 200);

    world.apply(&one);
    let mut rest = Vec::new();
    soon("the idle connection's end", ends.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(kept.get("/").await.status, 200);

    // And back again, on a new socket.
    world.apply(&both);
    let mut again = Client::http1(world.address(OTHER_PORT)).await;
    assert_eq!(again.get("/").await.status, 200);
    assert_eq!(kept.get("/").await.status, 200);
}

#[tokio::test]
async fn a_configuration_at_fault_changes_nothing_and_names_the_resource() {
    let pod = Pod::echo().await;
    let good = Wanted::new().clear_text("b", &[pod.address]);
    let world = World::serving(&good);
    let bad = good.clone().rule_with("fe", "/x", &[("b", 1)], |rule| rule.hostnames = vec!["a b".into()]);
    let rejection = world.refuses(&bad);
    assert_eq!(rejection.resources, ["route/fe/x"]);
    let taken = good.clone().frontend("other", PORT);
    assert_eq!(world.refuses(&taken).resources, ["frontend/other"]);
    assert_eq!(world.get("/").await.status, 200);
    assert_eq!(world.metric("alb_proxy_config_updates_total{result=\"refused\"}"), 2.0);
}

#[tokio::test]
async fn a_port_that_cannot_be_bound_is_the_frontends_fault() {
    let world = World::with(|settings| {
        settings.bind = std::sync::Arc::new(|_| Err(std::io::ErrorKind::AddrInUse.into()));
    });
    let rejection = world.refuses(&Wanted::new());
    assert_eq!(rejection.resources, ["frontend/fe"]);
    assert!(rejection.message.contains("listening on port 10000"), "{rejection}");
}

/// A pod that answers only when it is let.
async fn held() -> (Pod, watch::Sender<bool>) {
    let release = watch::Sender::new(false);
    let released = release.clone();
    let pod = Pod::start(move |_, mut stream| {
        let mut released = released.subscribe();
        async move {
            while read_head(&mut stream).await.is_some() {
                released.wait_for(|released| *released).await.unwrap();
                respond(&mut stream, "done").await;
            }
        }
    })
    .await;
    (pod, release)
}

#[tokio::test]
async fn at_the_end_requests_in_flight_finish_and_clients_are_told_to_go() {
    let (pod, release) = held().await;
    let world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let address = world.address(PORT);
    let in_flight = tokio::spawn(async move { Client::http1(address).await.get("/").await });
    pod.until_open(1).await;

    let proxy = world.proxy.clone();
    let ended = tokio::spawn(async move { proxy.shutdown(Duration::ZERO, LIMIT).await });
    // The port is closed first.
    soon("new connections are refused", async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!ended.is_finished());
    release.send_replace(true);
    let answer = in_flight.await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "done"));
    soon("the end", ended).await.unwrap();
}

#[tokio::test]
async fn while_load_balancers_are_still_to_notice_requests_are_served_and_connections_closed() {
    let pod = Pod::echo().await;
    let world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut open = Client::http1(world.address(PORT)).await;
    assert!(!open.get("/").await.headers.contains_key("connection"));
    let proxy = world.proxy.clone();
    let ended = tokio::spawn(async move { proxy.shutdown(LIMIT, Duration::ZERO).await });
    tokio::task::yield_now().await;
    let answer = open.get("/").await;
    assert_eq!((answer.status.as_u16(), &answer.headers["connection"]), (200, &"close".parse().unwrap()));
    assert_eq!(world.get("/").await.status, 200, "a new connection");
    ended.abort();
}

#[tokio::test]
async fn what_does_not_finish_by_the_deadline_is_cut_off() {
    let (pod, _release) = held().await;
    let mut world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    let mut stream = TcpStream::connect(world.address(PORT)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    pod.until_open(1).await;
    soon("the end", world.proxy.shutdown(Duration::ZERO, Duration::from_millis(10))).await;
    assert_eq!(world.logged().await.reason, "client_closed");
}

#[tokio::test]
async fn what_is_gone_leaves_no_metrics_behind() {
    let authority = Authority::new();
    let pod = Pod::echo().await;
    let one = Wanted::new().clear_text("b", &[pod.address]);
    let both = one
        .clone()
        .frontend("other", OTHER_PORT)
        .rule("other", "/", &[("b", 1)])
        .secret(authority.issue(GATEWAY).secret());
    let world = World::serving(&both);
    assert_eq!(world.get("/").await.status, 200);
    assert_eq!(Client::http1(world.address(OTHER_PORT)).await.get("/").await.status, 200);
    let requests = |frontend: &str| {
        world.series(&format!("alb_proxy_requests_total{{frontend=\"{frontend}.alb.internal\"")).len()
    };
    let certificates = || world.series("alb_proxy_certificate_not_after_timestamp_seconds{").len();
    assert_eq!((requests("fe"), requests("other"), certificates()), (1, 1, 1));

    // Again the same: nothing is lost.
    world.apply(&both);
    assert_eq!((requests("fe"), requests("other"), certificates()), (1, 1, 1));

    world.apply(&one);
    assert_eq!((requests("fe"), requests("other"), certificates()), (1, 0, 0));
    assert_eq!(world.get("/").await.status, 200);
    assert_eq!(world.metric("alb_proxy_requests_total{frontend=\"fe.alb.internal\""), 2.0);

    world.apply(&Wanted::default().frontend("fe", PORT));
    assert_eq!(requests("fe"), 0, "the route is gone");
}
