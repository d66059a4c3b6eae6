//! Finding the facts: watches on single objects, and one question to istiod where an image's tag says nothing.

use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::version::Version;
use super::{ControlPlane, Facts, Injection, Names};

/// Name of the container the injector adds.
const SIDECAR: &str = "istio-proxy";
/// Label selector of istiod's Deployments, of every revision.
const ISTIOD: &str = "app=istiod";
/// Longest time to wait for the API server's answer.
const LIMIT: Duration = Duration::from_secs(5);
/// istiod's monitoring port, where `/version` is.
const MONITORING_PORT: u16 = 15014;

/// Keeps the facts up to date for as long as somebody listens. `pod` is this pod's name.
#[must_use]
pub fn facts(client: Client, names: Names, pod: String) -> watch::Receiver<Facts> {
    let (sender, receiver) = watch::channel(Facts::default());
    tokio::spawn(async move {
        let set = |change: &dyn Fn(&mut Facts)| {
            sender.send_if_modified(|facts| {
                let before = facts.clone();
                change(facts);
                *facts != before
            });
        };
        let custom_resources: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(client.clone());
        let deployments: Api<PartialObjectMeta<Deployment>> =
            Api::namespaced(client.clone(), &names.namespace);
        let all = async {
            tokio::join!(
                async {
                    let injection = injection(&client, &names.namespace, &pod).await;
                    set(&|facts| facts.injection = Some(injection.clone()));
                },
                exists(custom_resources, &names.custom_resource, |is| {
                    set(&|facts| facts.custom_resource = Some(is));
                }),
                exists(deployments, &names.controller, |is| set(&|facts| facts.controller = Some(is))),
                control_planes(client.clone(), |planes| {
                    set(&|facts| facts.control_planes = Some(planes.clone()));
                }),
            )
        };
        tokio::select! {
            _ = all => {}
            () = sender.closed() => {}
        }
    });
    receiver
}

/// What the injector made of this pod. Asked once: it acts when a pod is created, and never again.
async fn injection(client: &Client, namespace: &str, pod: &str) -> Injection {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut pause = Duration::from_millis(200);
    loop {
        let error = match timeout(LIMIT, pods.get(pod)).await {
            Ok(Ok(pod)) => return read_injection(&pod),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {LIMIT:?}"),
        };
        tracing::warn!(namespace, pod, error, "reading this pod failed; trying again in {pause:?}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
}

fn read_injection(pod: &Pod) -> Injection {
    let spec = pod.spec.as_ref();
    // A native sidecar is an init container that keeps running.
    let containers =
        spec.into_iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    if containers.into_iter().any(|container| container.name == SIDECAR) {
        Injection::Sidecar(pod.annotations().get("istio.io/rev").cloned())
    } else {
        Injection::None
    }
}

/// Tells whether the object exists, now and whenever that changes.
async fn exists<K>(api: Api<K>, name: &str, tell: impl Fn(bool))
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = pin!(watcher(api, only).default_backoff());
    let mut seen = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => seen = false,
            Ok(watcher::Event::InitApply(_)) => seen = true,
            Ok(watcher::Event::InitDone) => tell(seen),
            Ok(watcher::Event::Apply(_)) => tell(true),
            Ok(watcher::Event::Delete(_)) => tell(false),
            Err(error) => tracing::warn!(name, %error, "watching failed; watching again"),
        }
    }
}

/// Tells which control planes there are, now and whenever that changes.
async fn control_planes(client: Client, tell: impl Fn(Vec<ControlPlane>)) {
    let config = watcher::Config::default().labels(ISTIOD);
    let events = watcher(Api::<Deployment>::all(client), config).default_backoff();
    follow_control_planes(events, tell).await;
}

async fn follow_control_planes(
    events: impl Stream<Item = watcher::Result<watcher::Event<Deployment>>>,
    tell: impl Fn(Vec<ControlPlane>),
) {
    let mut events = pin!(events);
    let mut planes = HashMap::new();
    let mut complete = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => {
                planes.clear();
                complete = false;
            }
            Ok(watcher::Event::InitDone) => complete = true,
            Ok(watcher::Event::InitApply(deployment) | watcher::Event::Apply(deployment)) => {
                let plane = control_plane(&deployment).await;
                planes.insert(deployment.uid(), plane);
            }
            Ok(watcher::Event::Delete(deployment)) => {
                planes.remove(&deployment.uid());
            }
            Err(error) => {
                tracing::warn!(%error, "watching Istio's Deployments failed; watching again");
                continue;
            }
        }
        if complete {
            let mut planes: Vec<ControlPlane> = planes.values().cloned().collect();
            planes.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
            tell(planes);
        }
    }
}

async fn control_plane(deployment: &Deployment) -> ControlPlane {
    let namespace = deployment.namespace().unwrap_or_default();
    let name = deployment.name_any();
    let spec = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let container =
        spec.and_then(|spec| spec.containers.iter().find(|container| container.name == "discovery"));
    let image = container.and_then(|container| container.image.as_deref());
    let mut version = image.and_then(Version::of_image);
    if version.is_none() {
        // Its Service has the Deployment's name.
        let host = format!("{name}.{namespace}.svc");
        version = match ask_version(&host, MONITORING_PORT).await {
            Ok(answer) => Version::find(&answer),
            Err(error) => {
                tracing::info!(image, %host, %error, "neither the image's tag nor istiod tells Istio's version");
                None
            }
        };
    }
    ControlPlane { revision: deployment.labels().get("istio.io/rev").cloned(), namespace, name, version }
}

/// What istiod answers to GET `/version`. Straight to it: the sidecar captures nothing.
async fn ask_version(host: &str, port: u16) -> anyhow::Result<String> {
    let exchange = async {
        let stream = TcpStream::connect((host, port)).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::get("/version").header("host", host).body(Empty::<Bytes>::new())?;
        let answer = async {
            let response = sender.send_request(request).await?;
            anyhow::ensure!(response.status().is_success(), "status {}", response.status());
            let body = Limited::new(response.into_body(), 4096).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("reading the answer: {error}"))?;
            Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
        };
        let mut answer = pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            _ = connection => answer.await,
        }
    };
    timeout(Duration::from_secs(2), exchange).await?
}

#[cfg(test)]
mod tests;
