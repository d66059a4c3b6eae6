//! What is watched because other objects refer to it, what is served in several versions, and what goes away.

use crate::support::*;
use alb_runtime::fake_api::{FakeApi, Lost, Weather};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const POLICY: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/plain/backendtlspolicies/backend-v2";
const CA: &str = "/api/v1/namespaces/plain/configmaps/ca";

/// Reason of `Accepted` in our entry of the policy's status.
fn accepted(api: &FakeApi) -> Option<String> {
    let policy = api.get(POLICY)?;
    let ancestors = policy["status"]["ancestors"].as_array()?;
    let ours = |entry: &&Value| {
        entry["controllerName"] == alb_api::names::CONTROLLER_NAME
            && entry["ancestorRef"]["name"] == "gateway-01"
    };
    let (_, reason, _) = condition(ancestors.iter().find(ours)?, "/conditions", "Accepted")?;
    Some(reason)
}

#[tokio::test]
async fn a_policy_follows_its_config_map_and_no_other_is_asked_for() {
    let api = cluster("backend_tls");
    let ca = api.get(CA).unwrap();
    api.put("/api/v1/namespaces/plain/configmaps/private", json!({"data": {"password": "1234"}}));
    let replica = Replica::start(&api, "replica-0", [10, 0, 0, 1]).await;
    within(api.until(|api| accepted(api).as_deref() == Some("Accepted"))).await;
    let of_policy = |write: &String| write.contains("backendtlspolicies");
    assert_eq!(writes(&api).iter().filter(|write| of_policy(write)).count(), 1, "right from the start");
    let entries = &api.get(POLICY).unwrap()["status"]["ancestors"];
    let theirs = json!("other.example/controller");
    assert_eq!(entries[0]["controllerName"], alb_api::names::CONTROLLER_NAME, "it is found first");
    assert!(entries.as_array().unwrap().iter().any(|entry| entry["controllerName"] == theirs));

    api.delete(CA);
    within(api.until(|api| accepted(api).as_deref() == Some("NoValidCACertificate"))).await;
    api.put(CA, ca);
    within(api.until(|api| accepted(api).as_deref() == Some("Accepted"))).await;
    assert_eq!(writes(&api).iter().filter(|write| of_policy(write)).count(), 3);

    let asked = api.requests().into_iter().filter(|(_, path)| path.contains("/configmaps"));
    for (_, path) in asked.filter(|(_, path)| !path.contains("alb-controller-config-ca")) {
        assert!(path.starts_with("/api/v1/namespaces/plain/configmaps?"), "{path}");
        assert!(path.contains("fieldSelector=metadata.name%3Dca"), "{path}");
    }
    let world = replica.world().await["world"].to_string();
    assert!(!world.contains("password"), "{world}");

    api.delete(POLICY);
    // Anything that is translated after the deletion; by then the ConfigMap is forgotten.
    while replica.world().await["world"]["ca_bundles"] != json!({}) {
        tokio::task::yield_now().await;
    }
    within(replica.stop()).await;
}

#[tokio::test]
async fn config_maps_that_may_not_be_read_hold_up_nothing_but_their_policy() {
    let api = cluster("backend_tls");
    let client = api.client_with(|_, path| {
        let forbidden = path.contains("/namespaces/plain/configmaps");
        Weather { refuse: forbidden.then_some(http::StatusCode::FORBIDDEN), ..Weather::default() }
    });
    let replica = Replica::with(client, "replica-0", [10, 0, 0, 1]).await;
    within(api.until(|api| accepted(api).as_deref() == Some("NoValidCACertificate"))).await;
    within(replica.stop()).await;
}

/// The API server takes a request for a ConfigMap and never answers it.
#[tokio::test]
async fn a_config_map_that_is_not_answered_for_holds_up_nothing_but_its_policy() {
    let api = cluster("backend_tls");
    let status = api.get(POLICY).unwrap()["status"].clone();
    let client = api.client_with(|_, path| {
        let silent = path.contains("/namespaces/plain/configmaps");
        Weather { lost: if silent { Lost::Request } else { Lost::No }, ..Weather::default() }
    });
    let replica = Replica::with(client, "replica-0", [10, 0, 0, 1]).await;
    let proxies = "/apis/apps/v1/namespaces/azure-alb-dataplane/deployments/alb-proxy-4vsb1fw1";
    within(api.until(|api| {
        api.get(proxies).is_some_and(|object| object["spec"].is_object())
            && api.list("/api/v1/namespaces/azure-alb-dataplane/services").len() == 1
    }))
    .await;
    let mut service = api.list("/api/v1/namespaces/azure-alb-dataplane/services").remove(0);
    service["status"] = json!({"loadBalancer": {"ingress": [{"ip": "172.18.255.200"}]}});
    let name = service["metadata"]["name"].as_str().unwrap().to_owned();
    api.put(&format!("/api/v1/namespaces/azure-alb-dataplane/services/{name}"), service);
    let _proxy = replica.proxy("");
    let gateway = "/apis/gateway.networking.k8s.io/v1/namespaces/plain/gateways/gateway-01";
    let route = "/apis/gateway.networking.k8s.io/v1/namespaces/plain/httproutes/route";
    within(api.until(|api| {
        is_programmed(api, gateway, "/status/conditions")
            && is_programmed(api, route, "/status/parents/0/conditions")
    }))
    .await;
    assert_eq!(api.get(POLICY).unwrap()["status"], status, "nothing is known of it");
    within(replica.stop()).await;
}

/// A hundred routes: the API server never has more than a handful of writes to deal with, and each is made once.
#[tokio::test]
async fn many_routes_are_a_handful_of_writes_at_a_time() {
    let api = document();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for index in 0..100 {
        let path = ROUTE.replace("traffic-split-mesh-route", &format!("route-{index}"));
        let mut route = api.get(ROUTE).unwrap();
        route["metadata"] =
            json!({"name": format!("route-{index}"), "namespace": "isto-example-namespace", "generation": 1});
        api.put(&path, route);
    }
    let (counter, highest) = (now.clone(), most.clone());
    let client = api.client_with(move |method, path| {
        if *method == http::Method::PATCH && path.contains("/status") {
            let under_way = counter.fetch_add(1, Ordering::SeqCst) + 1;
            highest.fetch_max(under_way, Ordering::SeqCst);
            let counter = counter.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                counter.fetch_sub(1, Ordering::SeqCst);
            });
        }
        Weather { back: Duration::from_millis(25), ..Weather::default() }
    });
    let replica = Replica::with(client, "replica-0", [10, 0, 0, 1]).await;
    data_plane_comes_up(&api).await;
    let _proxy = replica.proxy("");
    all_programmed(&api).await;
    within(api.until(|api| {
        (0..100).all(|index| {
            let path = ROUTE.replace("traffic-split-mesh-route", &format!("route-{index}"));
            is_programmed(api, &path, "/status/parents/0/conditions")
        }) && api.get(GATEWAY).unwrap()["status"]["listeners"][0]["attachedRoutes"] == 101
    }))
    .await;
    assert!((2..=16).contains(&most.load(Ordering::SeqCst)), "{most:?}");
    within(replica.stop()).await;
}

#[tokio::test]
async fn a_cluster_without_backend_tls_policies_is_served() {
    let api = document();
    let client = api.client_with(|_, path| {
        let unknown = path.contains("/backendtlspolicies");
        Weather { refuse: unknown.then_some(http::StatusCode::NOT_FOUND), ..Weather::default() }
    });
    let replica = Replica::with(client, "replica-0", [10, 0, 0, 1]).await;
    data_plane_comes_up(&api).await;
    let _proxy = replica.proxy("");
    all_programmed(&api).await;
    within(replica.stop()).await;
}

const GRANT: &str = "/apis/gateway.networking.k8s.io/v1beta1/namespaces/other/referencegrants/grant";

/// ReferenceGrants are v1 in newer clusters only.
#[tokio::test]
async fn a_cluster_that_knows_only_the_older_version_of_reference_grants_is_served() {
    let api = document();
    let mut route = api.get(ROUTE).unwrap();
    route["spec"]["rules"][0]["backendRefs"][0] = json!({"name": "it", "namespace": "other", "port": 8080});
    api.put(ROUTE, route);
    api.put("/api/v1/namespaces/other/services/it", json!({"spec": {"ports": [{"port": 8080}]}}));
    let client = api.client_with(|_, path| {
        let unknown = path.contains("/v1/referencegrants");
        Weather { refuse: unknown.then_some(http::StatusCode::NOT_FOUND), ..Weather::default() }
    });
    let replica = Replica::with(client, "replica-0", [10, 0, 0, 1]).await;
    let resolved = |api: &FakeApi, wanted: &str| {
        let route = api.get(ROUTE).unwrap();
        let condition = condition(&route, "/status/parents/0/conditions", "ResolvedRefs");
        condition.is_some_and(|(_, reason, _)| reason == wanted)
    };
    within(api.until(|api| resolved(api, "RefNotPermitted"))).await;
    let from = json!([{
        "group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "isto-example-namespace",
    }]);
    api.put(GRANT, json!({"spec": {"from": from, "to": [{"group": "", "kind": "Service"}]}}));
    within(api.until(|api| resolved(api, "ResolvedRefs"))).await;
    api.delete(GRANT);
    within(api.until(|api| resolved(api, "RefNotPermitted"))).await;
    within(replica.stop()).await;
}

/// Pods of namespaces where nobody needs to know whose they are: nobody asks for them.
#[tokio::test]
async fn pods_are_asked_for_where_they_matter_and_nowhere_else() {
    let api = document();
    let replica = Replica::start(&api, "replica-0", [10, 0, 0, 1]).await;
    data_plane_comes_up(&api).await;
    let _proxy = replica.proxy("");
    all_programmed(&api).await;
    let asked = || {
        let all = api.requests().into_iter().map(|(_, path)| path);
        all.filter(|path| path.contains("/pods")).collect::<Vec<_>>()
    };
    within(api.until(|_| !asked().is_empty())).await;
    for path in asked() {
        assert!(path.starts_with("/api/v1/namespaces/isto-example-namespace/pods?"), "{path}");
    }
    let backend = || async {
        let world = replica.world().await;
        let resources = &world["translation"]["configuration"]["alb-test-infra/alb-test"];
        resources["backend/isto-example-namespace/backend-v1:8080"]["Backend"]["endpoints"].clone()
    };
    within(async {
        while backend().await[0]["spiffe_id"] != "spiffe://mesh.example/ns/isto-example-namespace/sa/default"
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // The namespace leaves the mesh: its pods are of no interest any more.
    api.put("/api/v1/namespaces/isto-example-namespace", json!({"metadata": {}}));
    within(async {
        while replica.world().await["world"]["pods"] != json!({}) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    within(replica.stop()).await;
}

/// A certificate is used once it is there, and again when it is another one.
#[tokio::test]
async fn a_listener_follows_its_secret() {
    let api = cluster("https");
    let secret = "/api/v1/namespaces/apps/secrets/own";
    let whole = api.get(secret).unwrap();
    api.delete(secret);
    api.put("/api/v1/namespaces/apps/secrets/private", json!({"data": {"password": "1234"}}));
    let replica = Replica::start(&api, "replica-0", [10, 0, 0, 1]).await;
    let gateway = "/apis/gateway.networking.k8s.io/v1/namespaces/apps/gateways/gateway";
    let reason = |api: &FakeApi| {
        let object = api.get(gateway).unwrap();
        condition(&object, "/status/listeners/1/conditions", "ResolvedRefs").map(|(_, reason, _)| reason)
    };
    within(api.until(|api| reason(api).as_deref() == Some("InvalidCertificateRef"))).await;
    api.put(secret, whole);
    within(api.until(|api| reason(api).as_deref() == Some("ResolvedRefs"))).await;
    let page = replica.world().await.to_string();
    assert!(page.contains("certificate/apps/own") && !page.contains("PRIVATE KEY"), "{page}");
    let asked = api.requests().into_iter().filter(|(_, path)| path.contains("/secrets"));
    for (_, path) in asked.filter(|(_, path)| path.contains("/namespaces/apps/")) {
        assert!(path.contains("fieldSelector=metadata.name%3Down"), "{path}");
    }
    within(replica.stop()).await;
}

/// What a namespace takes along when it goes is nobody's business.
#[tokio::test]
async fn a_namespace_that_goes_away_leaves_no_events() {
    let api = document();
    for index in 0..50 {
        let mut route = api.get(ROUTE).unwrap();
        route["metadata"] = json!({"name": format!("r-{index}"), "namespace": "going", "generation": 1});
        route["spec"]["parentRefs"] = json!([{"name": "gateway-01", "namespace": "isto-example-namespace"}]);
        api.put(&format!("/apis/gateway.networking.k8s.io/v1/namespaces/going/httproutes/r-{index}"), route);
    }
    let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    api.put("/api/v1/namespaces/going", going);
    let replica = Replica::start(&api, "replica-0", [10, 0, 0, 1]).await;
    data_plane_comes_up(&api).await;
    let _proxy = replica.proxy("");
    all_programmed(&api).await;
    assert!(api.list("/apis/events.k8s.io/v1/namespaces/going/events").is_empty());
    assert!(!writes(&api).iter().any(|write| write.contains("/namespaces/going/")));
    within(replica.stop()).await;
}

/// All proxies restart at once, say: nobody is told that nothing works, unless it lasts.
#[tokio::test]
async fn proxies_that_are_not_ready_for_a_moment_change_no_status() {
    let api = document();
    let replica = Replica::start(&api, "replica-0", [10, 0, 0, 1]).await;
    data_plane_comes_up(&api).await;
    let proxy = replica.proxy("");
    all_programmed(&api).await;
    let before = writes(&api);
    let ready = |replicas: u32| {
        let mut deployment = api.get(PROXIES).unwrap();
        deployment["status"] = json!({"readyReplicas": replicas});
        api.put(PROXIES, deployment);
    };
    let says = async |status: &str| {
        let gateway = "isto-example-namespace/gateway-01";
        let programmed = |world: &Value| {
            let conditions = &world["translation"]["statuses"]["gateways"][gateway]["conditions"];
            conditions[1]["status"].as_str().map(str::to_owned)
        };
        while programmed(&replica.world().await).as_deref() != Some(status) {
            tokio::task::yield_now().await;
        }
    };
    proxy.cancel();
    ready(0);
    within(says("False")).await;
    let _proxy = replica.proxy("");
    ready(1);
    within(says("True")).await;
    assert_eq!(writes(&api), before);
    within(replica.stop()).await;
}
