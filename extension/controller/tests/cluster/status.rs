//! What is written, when, and by whom.

use crate::support::*;
use serde_json::{Value, json};

#[tokio::test]
async fn a_gateway_is_programmed_once_it_has_an_address_and_the_proxies_have_acknowledged() {
    let api = document();
    let replica = Replica::start(&api, "replica-0", [10, 0, 0, 1]).await;
    within(api.until(|api| api.get(PROXIES).is_some() && api.get(FRONTEND).is_some())).await;
    within(api.until(|api| api.get(GATEWAY).is_some_and(|gateway| gateway["status"].is_object()))).await;
    let owner = &api.get(FRONTEND).unwrap()["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["uid"]), (&json!("ServiceAccount"), &json!("uid-account")));
    let gateway = api.get(GATEWAY).unwrap();
    let (status, reason, _) = condition(&gateway, "/status/conditions", "Programmed").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("False", "AddressNotAssigned"));
    assert_eq!(gateway.pointer("/status/addresses"), None);

    data_plane_comes_up(&api).await;
    let _proxy = replica.proxy("");
    all_programmed(&api).await;
    let gateway = api.get(GATEWAY).unwrap();
    assert_eq!(
        gateway["status"]["addresses"],
        json!([{"type": "Hostname", "value": "fe-dqzu19xe.alb.internal"}])
    );
    assert_eq!(gateway["status"]["listeners"][0]["attachedRoutes"], 1);
    let types: Vec<&str> = gateway["status"]["listeners"][0]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|condition| condition["type"].as_str())
        .collect();
    assert_eq!(types, ["ResolvedRefs", "Accepted", "Programmed"], "the document's order");
    within(replica.stop()).await;
}

#[tokio::test]
async fn nothing_is_written_when_nothing_changes() {
    let api = document();
    let replica = Replica::start(&api, "replica-0", [10, 0, 0, 1]).await;
    data_plane_comes_up(&api).await;
    let _proxy = replica.proxy("");
    all_programmed(&api).await;
    let before = writes(&api);

    // Changes that matter to nobody, and, to know when they have been looked at, one that does.
    let pod = "/api/v1/namespaces/isto-example-namespace/pods/backend-v1-a";
    let mut object = api.get(pod).unwrap();
    object["status"] = json!({"phase": "Running"});
    api.put(pod, object);
    let mut namespace = api.get("/api/v1/namespaces/isto-example-namespace").unwrap();
    namespace["metadata"]["labels"]["team"] = json!("a");
    api.put("/api/v1/namespaces/isto-example-namespace", namespace);
    api.put(&ROUTE.replace("traffic-split-mesh-route", "marker"), {
        let mut route = api.get(ROUTE).unwrap();
        route["metadata"] = json!({"name": "marker", "namespace": "isto-example-namespace", "generation": 1});
        route["spec"]["parentRefs"] = json!([{"name": "gateway-01", "sectionName": "none"}]);
        route["status"] = Value::Null;
        route
    });
    within(api.until(|api| {
        let route = api.get(&ROUTE.replace("traffic-split-mesh-route", "marker")).unwrap();
        condition(&route, "/status/parents/0/conditions", "Accepted").is_some()
    }))
    .await;
    let new: Vec<String> = writes(&api).split_off(before.len());
    let new: Vec<&String> = new.iter().filter(|write| !write.contains("/events")).collect();
    assert_eq!(new.len(), 1, "{new:?}");
    assert!(new[0].contains("httproutes/marker/status"), "{new:?}");
    within(replica.stop()).await;
}

#[tokio::test]
async fn a_refusal_of_the_proxies_shows_in_the_status_of_the_route() {
    let api = document();
    let replica = Replica::start(&api, "replica-0", [10, 0, 0, 1]).await;
    data_plane_comes_up(&api).await;
    let _proxy = replica.proxy("route/");
    within(api.until(|api| {
        let route = api.get(ROUTE).unwrap();
        let programmed = condition(&route, "/status/parents/0/conditions", "Programmed");
        programmed
            .is_some_and(|(_, reason, message)| reason == "Invalid" && message.contains("not to my taste"))
    }))
    .await;
    within(api.until(|api| is_programmed(api, GATEWAY, "/status/conditions"))).await;
    within(replica.stop()).await;
}

#[tokio::test]
async fn the_other_replica_takes_over_without_touching_what_is_right() {
    let api = document();
    let first = Replica::start(&api, "replica-0", [10, 0, 0, 1]).await;
    data_plane_comes_up(&api).await;
    let proxy = first.proxy("");
    all_programmed(&api).await;
    within(api.until(|api| api.get(SLICE).is_some())).await;
    let second = Replica::start(&api, "replica-1", [10, 0, 0, 2]).await;
    let before = writes(&api).len();

    within(first.stop()).await;
    proxy.cancel();
    within(api.until(|api| api.get(SLICE).unwrap()["endpoints"][0]["addresses"][0] == "10.0.0.2")).await;
    let _proxy = second.proxy("");
    let mut acks = second.hub.acks();
    let is_back = |acks: &alb_config::server::Acks| {
        acks.proxies("alb-test-infra/alb-test").any(|proxy| proxy.acknowledged.is_some())
    };
    within(acks.wait_for(is_back)).await.unwrap();
    assert_eq!(second.world().await["leader"], true);
    let lease = "/apis/coordination.k8s.io/v1/namespaces/azure-alb-system/leases/alb-controller";
    within(api.until(|api| api.get(lease).unwrap()["metadata"]["ownerReferences"][0]["uid"] == "uid-config"))
        .await;
    let new = writes(&api).split_off(before);
    assert!(new.iter().all(|write| write.contains("/endpointslices/")), "{new:?}");
    within(second.stop()).await;
}

#[tokio::test]
async fn entries_of_other_controllers_survive() {
    let api = document();
    let theirs = json!({
        "parentRef": {"name": "elsewhere"},
        "controllerName": "other.example/controller",
        "conditions": [],
    });
    let mut route = api.get(ROUTE).unwrap();
    route["status"] = json!({"parents": [theirs]});
    api.put(ROUTE, route);
    let replica = Replica::start(&api, "replica-0", [10, 0, 0, 1]).await;
    data_plane_comes_up(&api).await;
    let _proxy = replica.proxy("");
    within(api.until(|api| is_programmed(api, ROUTE, "/status/parents/1/conditions"))).await;
    assert_eq!(api.get(ROUTE).unwrap()["status"]["parents"][0], theirs);
    within(replica.stop()).await;
}

#[tokio::test]
async fn an_object_that_cannot_be_read_gets_an_event_and_stops_nothing() {
    let api = document();
    let bad = ROUTE.replace("traffic-split-mesh-route", "bad");
    api.put(
        &bad,
        json!({
            "kind": "HTTPRoute",
            "metadata": {"name": "bad", "namespace": "isto-example-namespace"},
            "spec": {"parentRefs": 7},
        }),
    );
    let replica = Replica::start(&api, "replica-0", [10, 0, 0, 1]).await;
    data_plane_comes_up(&api).await;
    let _proxy = replica.proxy("");
    all_programmed(&api).await;
    let events = "/apis/events.k8s.io/v1/namespaces/isto-example-namespace/events";
    within(api.until(|api| {
        api.list(events)
            .iter()
            .any(|event| event["reason"] == "Unreadable" && event["regarding"]["name"] == "bad")
    }))
    .await;
    within(replica.stop()).await;
}

#[tokio::test]
async fn a_load_balancer_that_is_deleted_takes_its_data_plane_along() {
    let api = document();
    let replica = Replica::start(&api, "replica-0", [10, 0, 0, 1]).await;
    data_plane_comes_up(&api).await;
    let _proxy = replica.proxy("");
    all_programmed(&api).await;
    api.delete(
        "/apis/alb.networking.azure.io/v1/namespaces/alb-test-infra/applicationloadbalancers/alb-test",
    );
    within(api.until(|api| api.get(PROXIES).is_none() && api.get(FRONTEND).is_none())).await;
    within(api.until(|api| {
        let accepted = condition(&api.get(GATEWAY).unwrap(), "/status/conditions", "Accepted");
        accepted.is_some_and(|(status, reason, _)| status == "False" && reason == "InvalidParameters")
    }))
    .await;
    within(replica.stop()).await;
}
