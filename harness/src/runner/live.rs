//! The real outside: a cluster that is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use kube::Client;
use serde_json::Value;

use super::context::Outside;
use super::objects::KubeObjects;
use crate::cluster::implementation::{Implementation, InstallOptions};
use crate::cluster::{Cluster, addons};
use crate::event::{ClusterInfo, EventSink, ImplementationInfo, PhaseEvents};
use crate::evidence::Collector;
use crate::ports::{
    InstallRequest, Installer, Machines, Mesh, MeshRequest, PortError, PortFuture, Tool, ToolOutput, Tools,
};
use crate::probe::{Prober, Vantage};
use crate::scenario::{Needs, Scenario};
use crate::witness::{ClusterWitnesses, Settings};

/// A cluster, attached to.
pub struct Live {
    /// What the runner needs of it.
    pub outside: Outside,
    /// What reports say of it.
    pub cluster: ClusterInfo,
    /// What reports say of the gateway under test.
    pub implementation: ImplementationInfo,
}

impl Live {
    /// Attaches to a cluster; listeners hear of the installs.
    ///
    /// # Errors
    /// The cluster gives no client, or the implementation's images are missing.
    pub async fn attach(cluster: &Cluster, sink: Arc<dyn EventSink>) -> Result<Self, PortError> {
        let attaching = || format!("attaching to cluster {}", cluster.name);
        let client = cluster.client().await.map_err(|error| PortError::new(attaching(), error))?;
        let implementation = cluster.built_in().map_err(|error| PortError::new(attaching(), error))?;
        let echo = image(cluster, "echo")?;
        let prober = Arc::new(Prober::new(client.clone(), echo.clone(), true));
        // Witnesses need it later; its pod starts while the first steps run. It belongs to the cluster and stays.
        let ahead = prober.clone();
        tokio::spawn(async move {
            if let Err(error) = ahead.pods().ensure(Vantage::Plain).await {
                tracing::debug!(%error, "the plain vantage is not ready yet");
            }
        });
        let info = ImplementationInfo {
            name: implementation.name.clone(),
            version: implementation.releases.first().map(|r| r.version.clone()).unwrap_or_default(),
            gateway_class: implementation.gateway_class.clone(),
        };
        let tools = Arc::new(ClusterTools { cluster: cluster.clone(), implementation, sink });
        let outside = outside(client, &prober, tools, echo);
        let cluster = ClusterInfo {
            provider: "kind".into(),
            kubernetes: cluster.kubernetes.clone(),
            istio: cluster.istio.clone().unwrap_or_default(),
            nodes: usize::from(cluster.nodes),
        };
        Ok(Self { outside, cluster, implementation: info })
    }

    /// Why this cluster is not what the scenario needs.
    pub fn unfit_for(&self, scenario: &Scenario) -> Option<String> {
        unfit(&scenario.needs, &self.cluster).map(|why| format!("{}: {why}", scenario.id))
    }
}

fn outside(client: Client, prober: &Arc<Prober>, tools: Arc<ClusterTools>, echo: String) -> Outside {
    Outside {
        objects: Arc::new(KubeObjects::new(client.clone())),
        requests: prober.clone(),
        witnesses: Arc::new(ClusterWitnesses::new(client.clone(), prober.clone(), Settings::default())),
        evidence: Arc::new(Collector::new(client, Settings::default())),
        installer: tools.clone(),
        mesh: tools.clone(),
        machines: tools.clone(),
        tools,
        placeholders: BTreeMap::from([("images.echo".to_owned(), echo)]),
    }
}

/// The reference of an image built in the workspace.
fn image(cluster: &Cluster, name: &str) -> Result<String, PortError> {
    addons::image(&cluster.artifacts.images, name).map(|image| image.reference.clone()).ok_or_else(|| {
        PortError::new(format!("looking for the image {name}"), "it is not among what was built")
            .next("meshproof doctor says what is built")
    })
}

fn unfit(needs: &Needs, cluster: &ClusterInfo) -> Option<String> {
    if cluster.nodes < usize::from(needs.nodes) {
        return Some(format!("needs {} nodes, the cluster has {}", needs.nodes, cluster.nodes));
    }
    let wanted = needs.istio.as_ref()?;
    match (version(wanted.trim_start_matches(">=")), version(&cluster.istio)) {
        (Some(wanted), Some(found)) if found >= wanted => None,
        // A build without a version number (`latest`, a commit) is a recent one.
        (Some(_), None) if !cluster.istio.is_empty() => None,
        _ if cluster.istio.is_empty() => Some(format!("needs Istio {wanted}, the cluster has none")),
        _ => Some(format!("needs Istio {wanted}, the cluster has {}", cluster.istio)),
    }
}

/// Major and minor.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// helm and kubectl, and the implementation by helm.
struct ClusterTools {
    cluster: Cluster,
    implementation: Implementation,
    sink: Arc<dyn EventSink>,
}

impl Installer for ClusterTools {
    fn install<'a>(&'a self, request: &'a InstallRequest) -> PortFuture<'a, Vec<String>> {
        async move {
            let options = InstallOptions {
                values: by_release(&request.values),
                namespace: request.namespace.clone(),
                without_extension: request.without_extension,
                no_wait: !request.wait,
            };
            let progress = PhaseEvents(self.sink.as_ref());
            let installed =
                self.cluster.install_implementation(&self.implementation, &options, &progress).await;
            installed.map_err(|error| PortError::new("installing the implementation", error))
        }
        .boxed()
    }

    fn ensure(&self) -> PortFuture<'_, Vec<String>> {
        async move {
            let progress = PhaseEvents(self.sink.as_ref());
            let ready = self.cluster.ensure_implementation(&self.implementation, &progress).await;
            ready.map_err(|error| PortError::new("making sure that the implementation is installed", error))
        }
        .boxed()
    }

    fn uninstall(&self) -> PortFuture<'_, Vec<String>> {
        async move {
            let options = InstallOptions::default();
            let gone = self.cluster.uninstall_implementation(&self.implementation, &options).await;
            gone.map_err(|error| PortError::new("uninstalling the implementation", error))
        }
        .boxed()
    }
}

impl Mesh for ClusterTools {
    fn install<'a>(&'a self, request: &'a MeshRequest) -> PortFuture<'a, String> {
        async move {
            let revision = request.revision.as_deref();
            let installed = self.cluster.install_istio(&request.namespace, revision).await;
            installed.map_err(|error| PortError::new("installing Istio", error))
        }
        .boxed()
    }

    fn uninstall<'a>(&'a self, namespaces: &'a [String]) -> PortFuture<'a, ()> {
        async move {
            let gone = self.cluster.uninstall_istio(namespaces).await;
            gone.map_err(|error| PortError::new("uninstalling Istio", error))
        }
        .boxed()
    }
}

impl Machines for ClusterTools {
    fn kill<'a>(&'a self, namespace: &'a str, pod: &'a str) -> PortFuture<'a, ()> {
        let doing = move || format!("killing {pod} in {namespace}");
        let kill = self.cluster.kill_pod(namespace, pod);
        async move { kill.await.map_err(|error| PortError::new(doing(), error)) }.boxed()
    }

    fn stop<'a>(&'a self, node: &'a str) -> PortFuture<'a, ()> {
        let stop = self.cluster.stop_node(node);
        async move { stop.await.map_err(|error| PortError::new(format!("stopping node {node}"), error)) }
            .boxed()
    }

    fn start<'a>(&'a self, node: &'a str) -> PortFuture<'a, ()> {
        let start = self.cluster.start_node(node);
        async move { start.await.map_err(|error| PortError::new(format!("starting node {node}"), error)) }
            .boxed()
    }
}

fn by_release(values: &Value) -> BTreeMap<String, Value> {
    let releases = values.as_object().into_iter().flatten();
    releases.map(|(release, values)| (release.clone(), values.clone())).collect()
}

impl Tools for ClusterTools {
    fn run<'a>(&'a self, tool: Tool, args: &'a [String]) -> PortFuture<'a, ToolOutput> {
        async move {
            let (name, command) = match tool {
                Tool::Kubectl => ("kubectl", self.cluster.kubectl(args)),
                Tool::Helm => ("helm", self.cluster.helm(args)),
            };
            let doing = || format!("running {name} {}", args.join(" "));
            let since = Instant::now();
            let command = command.stdin_null().stdout_capture().stderr_capture().unchecked();
            let output = tokio::task::spawn_blocking(move || command.run()).await;
            let output = output.map_err(|error| PortError::new(doing(), error))?;
            let output = output.map_err(|error| PortError::new(doing(), error))?;
            Ok(ToolOutput {
                code: output.status.code().unwrap_or(-1),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
                took: since.elapsed(),
            })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(istio: &str, nodes: usize) -> ClusterInfo {
        ClusterInfo { provider: "kind".into(), kubernetes: "v1.34.4".into(), istio: istio.into(), nodes }
    }

    #[test]
    fn a_cluster_must_have_what_a_scenario_needs() {
        let needs = Needs { istio: Some(">=1.24".into()), nodes: 2 };
        assert_eq!(unfit(&needs, &with("1.24.0", 2)), None);
        assert_eq!(unfit(&needs, &with("1.31-dev", 3)), None);
        assert_eq!(unfit(&needs, &with("latest", 2)), None);
        assert_eq!(unfit(&needs, &with("1.9.2", 2)).unwrap(), "needs Istio >=1.24, the cluster has 1.9.2");
        assert_eq!(unfit(&needs, &with("", 2)).unwrap(), "needs Istio >=1.24, the cluster has none");
        assert_eq!(unfit(&needs, &with("1.24.0", 1)).unwrap(), "needs 2 nodes, the cluster has 1");
        assert_eq!(unfit(&Needs { istio: None, nodes: 1 }, &with("", 1)), None);
    }
}
