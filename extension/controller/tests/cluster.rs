//! The controller against an API server in this process, with proxies on loopback. (TLS is covered by the tests of
//! `authority` and by those of alb-config; the stream is clear text here.)
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use alb_config::client::{self, ClientOptions, ConnectionState, Store};
use alb_config::proto::Node;
use alb_config::server::{Authenticate, Caller, Hub, Refusal};
use alb_controller::controller::{Controller, Inquiry};
use alb_controller::events::Reporter;
use alb_controller::leader::Leader;
use alb_controller::metrics::Metrics;
use alb_controller::translate::{ProxyTemplate, Settings};
use alb_runtime::Readiness;
use alb_runtime::fake_api::{FakeApi, Lost, Weather};
use alb_runtime::lease::{Election, LeaseConfig};
use prometheus_client::registry::Registry;
use serde::Deserialize as _;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

const GATEWAY: &str =
    "/apis/gateway.networking.k8s.io/v1/namespaces/isto-example-namespace/gateways/gateway-01";
const ROUTE: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/isto-example-namespace/httproutes/traffic-split-mesh-route";
const FRONTEND: &str = "/api/v1/namespaces/azure-alb-dataplane/services/fe-dqzu19xe";
const PROXIES: &str = "/apis/apps/v1/namespaces/azure-alb-dataplane/deployments/alb-proxy-4vsb1fw1";
const SLICE: &str =
    "/apis/discovery.k8s.io/v1/namespaces/azure-alb-system/endpointslices/alb-controller-config";

/// Everybody is the proxy of the only load balancer.
struct Anyone;

#[tonic::async_trait]
impl Authenticate for Anyone {
    async fn authenticate(&self, _: &str) -> Result<Caller, Refusal> {
        Ok(Caller { pod: "alb-proxy-0".to_owned(), load_balancer: "alb-test-infra/alb-test".to_owned() })
    }
}

struct Replica {
    hub: Hub,
    port: u16,
    inquiries: mpsc::Sender<Inquiry>,
    shutdown: CancellationToken,
    stopped: tokio::task::JoinHandle<()>,
}

impl Replica {
    async fn start(api: &FakeApi, name: &str, address: [u8; 4]) -> Self {
        Self::with(api.client(), name, address).await
    }

    async fn with(client: kube::Client, name: &str, address: [u8; 4]) -> Self {
        alb_runtime::install_crypto_provider();
        let mut config = LeaseConfig::new("azure-alb-system", "alb-controller", name);
        config.retry_period = Duration::from_millis(20);
        let (election, leadership) = Election::new(client.clone(), config).unwrap();
        let hub = Hub::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tls, _) = watch::channel(None);
        let (shutdown, last, lease) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let server = tonic::transport::Server::builder().add_service(hub.service(Arc::new(Anyone)));
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        tokio::spawn(server.serve_with_incoming_shutdown(incoming, last.clone().cancelled_owned()));
        let (changes, receiver) = mpsc::channel(64);
        let watches = alb_controller::watch::spawn(&client, &changes);
        let (reporter, events) = Reporter::new(client.clone(), name);
        tokio::spawn(events);
        let leader = Leader {
            client: client.clone(),
            hub: hub.clone(),
            leadership: leadership.clone(),
            tls,
            address: IpAddr::V4(Ipv4Addr::from(address)),
        };
        let leader = tokio::spawn(leader.run(shutdown.clone()));
        let election = tokio::spawn(election.run(lease.clone()));
        let (inquiries, questions) = mpsc::channel(1);
        let controller = Controller {
            client,
            settings: Settings {
                zone: "alb.internal".to_owned(),
                proxy: ProxyTemplate { replicas: 1, resources: json!({}), ..ProxyTemplate::default() },
            },
            hub: hub.clone(),
            leadership,
            blocker: Readiness::new().block("watches", ""),
            reporter,
            metrics: Metrics::new(&mut Registry::default()),
        };
        let stop = shutdown.clone();
        let stopped = tokio::spawn(async move {
            let _watches = watches;
            controller.run(receiver, questions, stop).await;
            leader.await.unwrap();
            lease.cancel();
            let _ = election.await;
            last.cancel();
        });
        Self { hub, port, inquiries, shutdown, stopped }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.stopped.await.unwrap();
    }

    /// A proxy that takes everything but what `refuse` names.
    fn proxy(&self, refuse: &'static str) -> CancellationToken {
        let options = ClientOptions {
            url: format!("http://127.0.0.1:{}", self.port),
            ca_file: None,
            token_file: None,
            node: Node {
                id: "alb-proxy-0".into(),
                load_balancer: "alb-test-infra/alb-test".into(),
                version: "test".into(),
                ..Node::default()
            },
        };
        let stop = CancellationToken::new();
        tokio::spawn({
            let stop = stop.clone();
            async move {
                let (state, _) = watch::channel(ConnectionState::default());
                let mut store = Store::default();
                let apply = |resources: &client::Resources| {
                    let bad: Vec<String> = resources
                        .keys()
                        .filter(|name| !refuse.is_empty() && name.contains(refuse))
                        .map(ToString::to_string)
                        .collect();
                    if bad.is_empty() {
                        return Ok(());
                    }
                    Err(client::Rejection { message: "not to my taste".into(), resources: bad })
                };
                client::run(options, &mut store, apply, &state, stop).await;
            }
        });
        stop
    }

    async fn world(&self) -> Value {
        let (answer, receiver) = tokio::sync::oneshot::channel();
        self.inquiries.send(answer).await.unwrap();
        receiver.await.unwrap().page()
    }
}

/// The objects of a golden file.
fn load(api: &FakeApi, golden: &str) {
    let path = format!("{}/tests/golden/{golden}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let object = Value::deserialize(document).unwrap();
        let kind = object["kind"].as_str().unwrap();
        let watched =
            alb_controller::world::Watched::ALL.into_iter().find(|w| w.resource().kind == kind).unwrap();
        put(api, watched, object);
    }
}

fn put(api: &FakeApi, kind: alb_controller::world::Watched, object: Value) {
    let resource = kind.resource();
    let base =
        if resource.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", resource.group) };
    let name = object["metadata"]["name"].as_str().unwrap();
    let namespace = object["metadata"]["namespace"].as_str().map(|ns| format!("/namespaces/{ns}"));
    let path =
        format!("{base}/{}{}/{}/{name}", resource.version, namespace.unwrap_or_default(), resource.plural);
    api.put(&path, object);
}

/// A cluster with the document's objects, without what the controller makes.
fn document() -> FakeApi {
    let api = cluster("document");
    api.delete(FRONTEND);
    api.delete(PROXIES);
    api
}

/// A cluster with the objects of a golden file, and what the charts bring.
fn cluster(golden: &str) -> FakeApi {
    let api = FakeApi::new();
    load(&api, golden);
    let service = json!({"kind": "Service", "metadata": {"uid": "uid-config"}, "spec": {"ports": []}});
    api.put("/api/v1/namespaces/azure-alb-system/services/alb-controller-config", service);
    let account = json!({"kind": "ServiceAccount", "metadata": {"uid": "uid-account"}});
    api.put("/api/v1/namespaces/azure-alb-dataplane/serviceaccounts/alb-proxy", account);
    api
}

/// What kubelet and load balancer do once the controller has made its objects.
async fn data_plane_comes_up(api: &FakeApi) {
    within(api.until(|api| api.get(PROXIES).is_some() && api.get(FRONTEND).is_some())).await;
    let mut deployment = api.get(PROXIES).unwrap();
    deployment["status"] = json!({"readyReplicas": 1});
    api.put(PROXIES, deployment);
    let mut service = api.get(FRONTEND).unwrap();
    service["status"] = json!({"loadBalancer": {"ingress": [{"ip": "172.18.255.200"}]}});
    api.put(FRONTEND, service);
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap()
}

/// Status, reason and message of a condition of a Gateway.
fn condition(object: &Value, pointer: &str, r#type: &str) -> Option<(String, String, String)> {
    let all = object.pointer(pointer)?.as_array()?;
    let one = all.iter().find(|condition| condition["type"] == r#type)?;
    let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason"), text("message")))
}

fn is_programmed(api: &FakeApi, path: &str, pointer: &str) -> bool {
    let object = api.get(path).unwrap_or_default();
    condition(&object, pointer, "Programmed").is_some_and(|(status, _, _)| status == "True")
}

async fn all_programmed(api: &FakeApi) {
    within(api.until(|api| {
        is_programmed(api, GATEWAY, "/status/conditions")
            && is_programmed(api, ROUTE, "/status/parents/0/conditions")
    }))
    .await;
}

/// Writes of anything but Leases.
fn writes(api: &FakeApi) -> Vec<String> {
    let writes = api.writes().into_iter().map(|(method, path)| format!("{method} {path}"));
    writes.filter(|write| !write.contains("/leases")).collect()
}

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
    assert_eq!(entries[0]["controllerName"], "other.example/controller");

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
