//! Pods that do not take what they are sent: busy ones are waited for, dead ones are not.
#![cfg(target_os = "linux")] // the kernel is who notices

use crate::pods::{Pod, read_head, respond};
use crate::support::{Client, PORT, Wanted, World};
use http::Request;
use http_body_util::Full;
use std::time::Duration;
use tokio::io::{AsyncReadExt, copy, sink};
use tokio::net::TcpSocket;
use tokio::sync::watch;

/// How long the proxies here let a pod acknowledge nothing.
const UNACKNOWLEDGED: Duration = Duration::from_millis(200);
/// A pause that a proxy of little patience would not survive.
const PAUSE: Duration = Duration::from_secs(1);
/// More than any socket buffers hold.
const LARGE: usize = 32 << 20;

fn world(pod: &Pod) -> World {
    World::with(|settings| settings.unacknowledged_timeout = UNACKNOWLEDGED)
        .applied(&Wanted::new().clear_text("b", &[pod.address]))
}

#[tokio::test]
async fn a_pod_that_pauses_before_it_reads_a_large_body_is_waited_for() {
    let resume = watch::Sender::new(false);
    let resumed = resume.clone();
    let pod = Pod::start(move |_, mut stream| {
        let mut resumed = resumed.subscribe();
        async move {
            read_head(&mut stream).await;
            resumed.wait_for(|resumed| *resumed).await.unwrap();
            copy(&mut (&mut stream).take(LARGE as u64), &mut sink()).await.unwrap();
            respond(&mut stream, "taken").await;
        }
    })
    .await;
    let mut world = world(&pod);
    let mut client = Client::http1(world.address(PORT)).await;
    let upload = Request::post("/").header("host", "h").body(Full::from(vec![0; LARGE])).unwrap();
    let mut upload = tokio::spawn(async move { client.send(upload).await });
    let early = tokio::time::timeout(PAUSE, &mut upload).await;
    assert!(early.is_err(), "{early:?}");
    resume.send_replace(true);
    assert_eq!(upload.await.unwrap().text(), "taken");
    assert_eq!(world.logged().await.bytes_in, LARGE as u64);
}

#[tokio::test]
async fn a_pod_that_takes_nothing_of_a_request_without_body_is_given_up_even_after_an_upload() {
    let socket = TcpSocket::new_v4().unwrap();
    // Room for less than a header.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let body = 64 * 1024;
    let pod = Pod::on(socket.listen(8).unwrap(), move |_, mut stream| async move {
        read_head(&mut stream).await;
        copy(&mut (&mut stream).take(body), &mut sink()).await.unwrap();
        respond(&mut stream, "taken").await;
        std::future::pending::<()>().await;
    });
    let mut world = world(&pod);
    let mut client = Client::http1(world.address(PORT)).await;
    let upload = Request::post("/").header("host", "h").body(Full::from(vec![0; body as usize])).unwrap();
    assert_eq!(client.send(upload).await.text(), "taken");
    world.logged().await;
    let get =
        Request::get("/").header("host", "h").header("x", "y".repeat(60_000)).body(Full::default()).unwrap();
    assert_eq!(client.send(get).await.reason(), (503, "upstream_reset"));
    assert!(world.logged().await.connection_reused);
}
