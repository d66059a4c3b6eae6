//! A cluster in this process, a replica of the controller, and proxies.

use alb_config::client::{self, ClientOptions, ConnectionState, Store};
use alb_config::proto::Node;
use alb_config::server::{Authenticate, Caller, Hub, Refusal};
use alb_controller::controller::{Controller, Inquiry};
use alb_controller::events::Reporter;
use alb_controller::leader::Leader;
use alb_controller::metrics::Metrics;
use alb_controller::translate::{ProxyTemplate, Settings};
use alb_runtime::Readiness;
use alb_runtime::fake_api::FakeApi;
use alb_runtime::lease::{Election, LeaseConfig};
use prometheus_client::registry::Registry;
use serde::Deserialize as _;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub(crate) const GATEWAY: &str =
    "/apis/gateway.networking.k8s.io/v1/namespaces/isto-example-namespace/gateways/gateway-01";
pub(crate) const ROUTE: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/isto-example-namespace/httproutes/traffic-split-mesh-route";
pub(crate) const FRONTEND: &str = "/api/v1/namespaces/azure-alb-dataplane/services/fe-dqzu19xe";
pub(crate) const PROXIES: &str =
    "/apis/apps/v1/namespaces/azure-alb-dataplane/deployments/alb-proxy-4vsb1fw1";
pub(crate) const SLICE: &str =
    "/apis/discovery.k8s.io/v1/namespaces/azure-alb-system/endpointslices/alb-controller-config";

/// Everybody is the proxy of the only load balancer.
pub(crate) struct Anyone;

#[tonic::async_trait]
impl Authenticate for Anyone {
    async fn authenticate(&self, _: &str) -> Result<Caller, Refusal> {
        Ok(Caller { pod: "alb-proxy-0".to_owned(), load_balancer: "alb-test-infra/alb-test".to_owned() })
    }
}

pub(crate) struct Replica {
    pub(crate) hub: Hub,
    port: u16,
    inquiries: mpsc::Sender<Inquiry>,
    shutdown: CancellationToken,
    stopped: tokio::task::JoinHandle<()>,
}

impl Replica {
    pub(crate) async fn start(api: &FakeApi, name: &str, address: [u8; 4]) -> Self {
        Self::with(api.client(), name, address).await
    }

    pub(crate) async fn with(client: kube::Client, name: &str, address: [u8; 4]) -> Self {
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
                ..Settings::default()
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

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.stopped.await.unwrap();
    }

    /// A proxy that takes everything but what `refuse` names.
    pub(crate) fn proxy(&self, refuse: &'static str) -> CancellationToken {
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

    pub(crate) async fn world(&self) -> Value {
        let (answer, receiver) = tokio::sync::oneshot::channel();
        self.inquiries.send(answer).await.unwrap();
        receiver.await.unwrap().page()
    }
}

/// The objects of a golden file.
pub(crate) fn load(api: &FakeApi, golden: &str) {
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

pub(crate) fn put(api: &FakeApi, kind: alb_controller::world::Watched, object: Value) {
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
pub(crate) fn document() -> FakeApi {
    let api = cluster("document");
    api.delete(FRONTEND);
    api.delete(PROXIES);
    api
}

/// A cluster with the objects of a golden file, and what the charts bring.
pub(crate) fn cluster(golden: &str) -> FakeApi {
    let api = FakeApi::new();
    load(&api, golden);
    let service = json!({"kind": "Service", "metadata": {"uid": "uid-config"}, "spec": {"ports": []}});
    api.put("/api/v1/namespaces/azure-alb-system/services/alb-controller-config", service);
    let account = json!({"kind": "ServiceAccount", "metadata": {"uid": "uid-account"}});
    api.put("/api/v1/namespaces/azure-alb-dataplane/serviceaccounts/alb-proxy", account);
    api
}

/// What kubelet and load balancer do once the controller has made its objects.
pub(crate) async fn data_plane_comes_up(api: &FakeApi) {
    within(api.until(|api| api.get(PROXIES).is_some() && api.get(FRONTEND).is_some())).await;
    let mut deployment = api.get(PROXIES).unwrap();
    deployment["status"] = json!({"readyReplicas": 1});
    api.put(PROXIES, deployment);
    let mut service = api.get(FRONTEND).unwrap();
    service["status"] = json!({"loadBalancer": {"ingress": [{"ip": "172.18.255.200"}]}});
    api.put(FRONTEND, service);
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap()
}

/// Status, reason and message of a condition of a Gateway.
pub(crate) fn condition(object: &Value, pointer: &str, r#type: &str) -> Option<(String, String, String)> {
    let all = object.pointer(pointer)?.as_array()?;
    let one = all.iter().find(|condition| condition["type"] == r#type)?;
    let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason"), text("message")))
}

pub(crate) fn is_programmed(api: &FakeApi, path: &str, pointer: &str) -> bool {
    let object = api.get(path).unwrap_or_default();
    condition(&object, pointer, "Programmed").is_some_and(|(status, _, _)| status == "True")
}

pub(crate) async fn all_programmed(api: &FakeApi) {
    within(api.until(|api| {
        is_programmed(api, GATEWAY, "/status/conditions")
            && is_programmed(api, ROUTE, "/status/parents/0/conditions")
    }))
    .await;
}

/// Writes of anything but Leases.
pub(crate) fn writes(api: &FakeApi) -> Vec<String> {
    let writes = api.writes().into_iter().map(|(method, path)| format!("{method} {path}"));
    writes.filter(|write| !write.contains("/leases")).collect()
}
