//! Clients that stay with the pod which has served them.

use crate::pods::{Pod, read_head, respond};
use crate::support::{PORT, Wanted, World};
use alb_config::proto;
use http::Request;
use http_body_util::Full;
use std::collections::HashSet;

/// Answers with what it is called.
async fn named(name: &'static str) -> Pod {
    Pod::start(move |_, mut stream| async move {
        while read_head(&mut stream).await.is_some() {
            respond(&mut stream, name).await;
        }
    })
    .await
}

/// One frontend with a rule that has affinity.
fn sticky(backends: &[(&str, u32)]) -> Wanted {
    Wanted::default().frontend("fe", PORT).rule_with("fe", "/", backends, |rule| {
        rule.session_affinity =
            Some(proto::SessionAffinity { cookie: "AGCAffinity".into(), max_age_seconds: 86_400 });
    })
}

/// Who answers, and the cookie that comes with it.
async fn ask(world: &World, cookie: Option<&str>) -> (String, Option<String>) {
    let mut request = Request::get("/").header("host", "fe.alb.internal");
    if let Some(cookie) = cookie {
        request = request.header("cookie", format!("own=1; {cookie}"));
    }
    let answer = world.send(request.body(Full::default()).unwrap()).await;
    assert_eq!(answer.status, 200);
    let told = answer.headers.get("set-cookie").map(|value| value.to_str().unwrap().to_owned());
    (answer.text().to_owned(), told)
}

fn value(told: &str) -> &str {
    let (value, attributes) = told.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Max-Age=86400; HttpOnly");
    assert!(value.starts_with("AGCAffinity="), "{value}");
    value
}

#[tokio::test]
async fn a_client_stays_with_its_pod_until_that_is_gone() {
    let pods = [named("a").await, named("b").await, named("c").await];
    let addresses: Vec<_> = pods.iter().map(|pod| pod.address).collect();
    let world = World::serving(&sticky(&[("b", 1)]).clear_text("b", &addresses));
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let (first, told) = ask(&world, None).await;
        let told = told.expect("a cookie");
        for _ in 0..4 {
            assert_eq!(ask(&world, Some(value(&told))).await, (first.clone(), None), "and it is told once");
        }
        seen.insert(first);
    }
    assert_eq!(seen.len(), 3, "those without a cookie take turns");

    let (first, told) = ask(&world, None).await;
    let cookie = value(told.as_deref().unwrap()).to_owned();
    let left: Vec<_> =
        addresses.iter().zip(["a", "b", "c"]).filter(|(_, name)| *name != first).map(|(a, _)| *a).collect();
    world.apply(&sticky(&[("b", 1)]).clear_text("b", &left));
    let (second, told) = ask(&world, Some(&cookie)).await;
    assert_ne!(second, first);
    assert_eq!(ask(&world, Some(value(told.as_deref().unwrap()))).await, (second, None));
}

#[tokio::test]
async fn the_shares_of_backends_are_for_clients_that_have_no_pod_yet() {
    let (old, new) = (named("old").await, named("new").await);
    let canary = |weights: [u32; 2]| {
        sticky(&[("old", weights[0]), ("new", weights[1])])
            .clear_text("old", &[old.address])
            .clear_text("new", &[new.address])
    };
    let world = World::serving(&canary([0, 1]));
    let (first, told) = ask(&world, None).await;
    assert_eq!(first, "new");
    let cookie = value(told.as_deref().unwrap()).to_owned();
    world.apply(&canary([1_000_000, 1]));
    for _ in 0..10 {
        assert_eq!(ask(&world, Some(&cookie)).await, ("new".to_owned(), None));
    }
    assert_eq!(ask(&world, None).await.0, "old");
    // Where nobody is to go any more nobody stays.
    world.apply(&canary([1, 0]));
    assert_eq!(ask(&world, Some(&cookie)).await.0, "old");
}

#[tokio::test]
async fn a_pod_that_does_not_answer_is_not_waited_for() {
    let (dead, good) = (crate::pods::nobody().await, named("good").await);
    let world = World::serving(&sticky(&[("b", 1)]).clear_text("b", &[dead, good.address]));
    let (answered, told) = ask(&world, Some("AGCAffinity=0000000000000000")).await;
    assert_eq!(
        (answered.as_str(), told.is_some()),
        ("good", true),
        "a cookie that leads nowhere is replaced"
    );
}

#[tokio::test]
async fn a_name_that_no_cookie_can_have_is_refused() {
    let mut wanted = sticky(&[]);
    wanted = wanted.rule_with("fe", "/other", &[], |rule| {
        rule.session_affinity = Some(proto::SessionAffinity { cookie: "a b".into(), max_age_seconds: 1 });
    });
    let rejection = World::new().refuses(&wanted);
    assert_eq!(rejection.resources, ["route/fe/other"]);
}
