//! Two gateways side by side, and the cluster they are on; for benchmarks of traffic with the same backends in the mesh.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use gateway_api::apis::standard::gateways::Gateway;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Client, ResourceExt};

use meshproof_cluster::probe::Prober;
use meshproof_lab::cache::Cache;
use meshproof_lab::cluster::api::{ApiError, apply, objects, request, wait, wait_for_deployment};
use meshproof_lab::cluster::usage::{self, Usage};
use meshproof_lab::cluster::{
    Cluster, ClusterError, ClusterSpec, Implementation, InstallError, addons, ensure_cluster_with, owner,
};
use meshproof_lab::supply::{Wanted, peers};
use meshproof_model::progress::Progress;

use super::load::{Connection, Target};

const MANIFEST: &str = include_str!("../../../../../fixtures/manifests/bench-traffic.yaml");
/// Of everything that a benchmark makes.
pub(super) const NAMESPACE: &str = "meshproof-bench";
/// Classes of both Gateways: the one under test first, then the one it is held against.
pub(super) const CLASSES: [&str; 2] = ["azure-alb-external", "istio"];
/// A gateway with a running data plane, and backends with their sidecars.
const PROGRAMMED: Duration = Duration::from_secs(120);
/// Everything in the namespace.
const GONE: Duration = Duration::from_secs(120);
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// One of the two.
pub(super) struct Side {
    /// Class of its Gateway.
    pub(super) class: &'static str,
    /// Where it listens for the backend that answers.
    pub(super) address: SocketAddr,
    /// Where the same proxies listen for the backend that never does.
    pub(super) hung: SocketAddr,
    /// The pods of its data plane: node and uid.
    pods: Vec<(String, String)>,
}

/// What the data plane of one of them takes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Taken {
    /// Processor time of all its pods.
    pub(super) cpu: Duration,
    /// Bytes of the pod that has most.
    pub(super) memory: u64,
}

impl Side {
    /// Of the backend that answers, so many bytes.
    pub(super) fn bytes(&self, count: usize) -> Target {
        Target { address: self.address, path: format!("/bytes/{count}") }
    }

    /// Of the backend that takes every request and answers none.
    pub(super) fn never(&self) -> Target {
        Target { address: self.hung, path: "/never".to_owned() }
    }

    /// What its data plane takes at this moment.
    pub(super) async fn taken(&self, cluster: &Cluster) -> Result<Taken, ClusterError> {
        let mut by_node: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (node, uid) in &self.pods {
            by_node.entry(node).or_default().push(uid.clone());
        }
        let mut all: Vec<Usage> = Vec::new();
        for (node, uids) in by_node {
            all.extend(usage::of_pods(&cluster.engine, node, &uids).await?.into_values());
        }
        if all.len() < self.pods.len() {
            let doing = format!("reading what the pods of {} take", self.class);
            let seen = format!("control groups of {} pods of {}", all.len(), self.pods.len());
            return Err(ApiError::Late { doing, limit: Duration::ZERO, seen }.into());
        }
        Ok(Taken {
            cpu: all.iter().map(|usage| usage.cpu).sum(),
            memory: all.iter().map(|usage| usage.memory).max().unwrap_or_default(),
        })
    }
}

/// The cluster of a benchmark, with a gateway and Istio's own; made if it is not there.
pub(super) async fn cluster(
    name: &str,
    implementation: &Implementation,
    progress: &dyn Progress,
) -> Result<(Cluster, Client), ClusterError> {
    let images = Wanted::on_ours(implementation);
    let spec = ClusterSpec { name: name.to_owned(), images, ..ClusterSpec::default() };
    let provided = peers::provide(&Cache::open_default()?, implementation, progress).await?;
    let cluster = ensure_cluster_with(&spec, &provided.implementation, &provided.images, progress).await?;
    let client = cluster.client().await?;
    Ok((cluster, client))
}

/// The same with the gateway of this workspace.
pub(super) async fn of_this_workspace(
    name: &str,
    progress: &dyn Progress,
) -> Result<(Cluster, Client), ClusterError> {
    cluster(name, &Implementation::built_in().map_err(Box::new)?, progress).await
}

/// Makes both, and waits until they answer.
pub(super) async fn make(cluster: &Cluster, client: &Client) -> Result<[Side; 2], ClusterError> {
    let echo = addons::image(&cluster.artifacts.images, "echo")
        .ok_or_else(|| InstallError::ImageMissing("echo".into()))?;
    let manifest = MANIFEST.replace("${IMAGE}", &echo.reference);
    apply(client, objects("bench-traffic.yaml", &manifest)?).await?;
    for backend in ["backend", "hung"] {
        wait_for_deployment(client, NAMESPACE, backend, PROGRAMMED).await?;
    }
    let implementation = Implementation::built_in().map_err(Box::new)?;
    let prober = Prober::new(client.clone(), "", true, implementation.address.resolution.clone(), owner::UP);
    let [ours, theirs] = CLASSES;
    let proxies = &implementation.proxies;
    let ours = Side {
        class: ours,
        address: programmed(client, &prober, (ours, 80), PROGRAMMED).await?,
        hung: programmed(client, &prober, (&format!("{ours}-hung"), 80), PROGRAMMED).await?,
        pods: pods(client, &proxies.namespace, &proxies.selector).await?,
    };
    let selector = format!("gateway.networking.k8s.io/gateway-name={theirs}");
    let theirs = Side {
        class: theirs,
        address: programmed(client, &prober, (theirs, 80), PROGRAMMED).await?,
        hung: programmed(client, &prober, (theirs, 81), PROGRAMMED).await?,
        pods: pods(client, NAMESPACE, &selector).await?,
    };
    let sides = [ours, theirs];
    for side in &sides {
        answers(&side.bytes(1)).await?;
    }
    Ok(sides)
}

/// Waits until a Gateway is Programmed; where it answers on a port. Its name is resolved as a client inside the cluster would: by
/// the Service of the frontend.
pub(super) async fn programmed(
    client: &Client,
    prober: &Prober,
    (name, port): (&str, u16),
    within: Duration,
) -> Result<SocketAddr, ClusterError> {
    let late = |seen: String| ApiError::Late {
        doing: format!("waiting for the Gateway {NAMESPACE}/{name}"),
        limit: within,
        seen,
    };
    let api: Api<Gateway> = Api::namespaced(client.clone(), NAMESPACE);
    let is_programmed = |gateway: Option<&Gateway>| {
        let conditions = gateway.and_then(|gateway| gateway.status.as_ref()?.conditions.clone());
        conditions.unwrap_or_default().iter().any(|c| c.type_ == "Programmed" && c.status == "True")
    };
    if !wait(api.clone(), name, is_programmed, within).await? {
        return Err(late("it is not Programmed; `kubectl describe gateway` says why".to_owned()).into());
    }
    let gateway = api.get(name).await.map_err(request(format!("reading the Gateway {name}")))?;
    let addresses = gateway.status.and_then(|status| status.addresses).unwrap_or_default();
    let address = addresses.first().map(|address| address.value.clone()).unwrap_or_default();
    let frontend = prober.frontend(&address, Some(port)).await.map_err(|error| late(error.to_string()))?;
    Ok(frontend.address)
}

async fn pods(client: &Client, namespace: &str, selector: &str) -> Result<Vec<(String, String)>, ApiError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let doing = format!("listing the pods {selector} in {namespace}");
    let pods = api.list(&ListParams::default().labels(selector)).await.map_err(request(doing.clone()))?;
    let found: Vec<_> =
        pods.iter().filter_map(|pod| Some((pod.spec.as_ref()?.node_name.clone()?, pod.uid()?))).collect();
    if found.is_empty() {
        return Err(ApiError::Late { doing, limit: Duration::ZERO, seen: "there is none".to_owned() });
    }
    Ok(found)
}

/// Waits until the target answers 200: a new route, address or sidecar takes a moment.
async fn answers(target: &Target) -> Result<(), ApiError> {
    let since = tokio::time::Instant::now();
    loop {
        let answer = match Connection::open(target.address).await {
            Ok(mut connection) => connection.ask(target).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(()) => return Ok(()),
            Err(seen) if since.elapsed() > PROGRAMMED => {
                let doing = format!("waiting for 200 from {}{}", target.address, target.path);
                return Err(ApiError::Late { doing, limit: PROGRAMMED, seen });
            }
            Err(_) => tokio::time::sleep(ASK_AGAIN).await,
        }
    }
}

/// Removes everything; whatever happened, nothing stays.
pub(super) async fn remove(client: &Client) -> Result<(), ApiError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let doing = || format!("removing namespace {NAMESPACE}");
    match api.delete(NAMESPACE, &DeleteParams::default()).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
        Err(source) => return Err(ApiError::Request { doing: doing(), source: Box::new(source) }),
    }
    match wait(api, NAMESPACE, |object: Option<&Namespace>| object.is_none(), GONE).await? {
        true => Ok(()),
        false => Err(ApiError::Late { doing: doing(), limit: GONE, seen: "it is still there".to_owned() }),
    }
}
