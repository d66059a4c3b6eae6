//! The real outside: a cluster that is there, whoever made it.

mod child;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use kube::Client;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::objects::KubeObjects;
use crate::evidence::Collector;
use crate::probe::Prober;
use crate::witness::ClusterWitnesses;
use meshproof_lab::cluster::{InstallOptions, Target, addons, owner};
use meshproof_model::event::{Basis, ClusterInfo, Event, EventSink, ImplementationInfo, PhaseEvents};
use meshproof_model::implementation::Implementation;
use meshproof_model::provider::Provider;
use meshproof_model::scenario::limits;
use meshproof_model::scenario::needs::Needs;
use meshproof_model::vantage::Vantage;
use meshproof_run::context::Outside;
use meshproof_run::ports::{
    InstallRequest, Installer, Machines, Mesh, MeshRequest, PortError, PortFuture, Script, Tool, ToolOutput,
    Tools,
};
use meshproof_run::scenario::Scenario;

/// A cluster, attached to.
pub struct Live {
    /// What the runner needs of it.
    pub outside: Outside,
    /// What reports say of it.
    pub cluster: ClusterInfo,
    /// What reports say of the gateway under test.
    pub implementation: ImplementationInfo,
    target: Target,
    under_test: Arc<Implementation>,
    prober: Arc<Prober>,
    /// Makes the first vantage pod while the first steps run.
    ahead: JoinHandle<()>,
}

impl Live {
    /// Attaches to a cluster; listeners hear of the installs.
    ///
    /// # Errors
    /// The cluster gives no client, or the echo image is missing.
    pub async fn attach(
        target: &Target,
        implementation: Arc<Implementation>,
        sink: Arc<dyn EventSink>,
    ) -> Result<Self, PortError> {
        let attaching = || format!("attaching to cluster {}", target.name);
        let client = target.client().await.map_err(|error| PortError::new(attaching(), error))?;
        let echo = image(target, "echo")?;
        let resolution = implementation.address.resolution.clone();
        let prober =
            Arc::new(Prober::new(client.clone(), echo.clone(), target.local, resolution, &target.run));
        // Witnesses need it later; its pod starts while the first steps run. It belongs to a cluster of ours and stays.
        let pods = prober.clone();
        let ahead = tokio::spawn(async move {
            if let Err(error) = pods.pods().ensure(Vantage::Plain).await {
                tracing::debug!(%error, "the plain vantage is not ready yet");
            }
        });
        let istio = target.istio.clone().unwrap_or_default();
        let info = ImplementationInfo {
            name: implementation.name.clone(),
            version: implementation.version.clone().unwrap_or_else(|| istio.clone()),
            gateway_class: implementation.gateway_class.clone(),
            reaches_pods: implementation.reaches_pods.map(|reach| reach.in_words().to_owned()),
        };
        let tools =
            Arc::new(ClusterTools { target: target.clone(), implementation: implementation.clone(), sink });
        let placeholders = placeholders(target, &implementation, echo);
        let outside = outside(client, target, &prober, &implementation, tools, placeholders);
        let cluster = ClusterInfo {
            provider: target.provider.to_string(),
            kubernetes: target.kubernetes.clone(),
            istio,
            nodes: target.nodes,
        };
        Ok(Self {
            outside,
            cluster,
            implementation: info,
            target: target.clone(),
            under_test: implementation,
            prober,
            ahead,
        })
    }

    /// Leaves an existing cluster as it was found; nothing to do for one of ours.
    ///
    /// # Errors
    /// Something could not be removed.
    pub async fn leave(self) -> Result<(), PortError> {
        if self.target.provider == Provider::Kind {
            return Ok(());
        }
        // It must not make what is about to be removed.
        self.ahead.abort();
        let _ = self.ahead.await;
        let leaving = || format!("leaving cluster {} as it was", self.target.name);
        self.prober.remove().await.map_err(|error| PortError::new(leaving(), error))?;
        self.target.leave(&self.under_test).await.map_err(|error| PortError::new(leaving(), error))
    }

    /// Why this cluster, or the implementation, is not what the scenario needs.
    pub fn unfit_for(&self, scenario: &Scenario) -> Option<String> {
        unfit(&scenario.needs, &self.cluster, &self.implementation)
            .map(|why| format!("{}: {why}", scenario.id))
    }
}

fn outside(
    client: Client,
    target: &Target,
    prober: &Arc<Prober>,
    implementation: &Arc<Implementation>,
    tools: Arc<ClusterTools>,
    placeholders: BTreeMap<String, String>,
) -> Outside {
    let own = target.provider == Provider::Kind;
    let witnesses = ClusterWitnesses::new(client.clone(), prober.clone(), implementation.clone(), own);
    Outside {
        objects: Arc::new(KubeObjects::new(client.clone(), target.provider, &target.run)),
        requests: prober.clone(),
        witnesses: Arc::new(witnesses),
        evidence: Arc::new(Collector::new(client, implementation.clone(), target.keeping.clone())),
        installer: tools.clone(),
        mesh: tools.clone(),
        machines: tools.clone(),
        tools,
        placeholders,
        gone: implementation.limits.get(limits::OWN_GONE).copied().unwrap_or(limits::GONE),
    }
}

/// What only a cluster knows of the placeholders of manifests and commands
/// (see [`meshproof_model::scenario::manifest::PLACEHOLDERS`]).
fn placeholders(target: &Target, implementation: &Implementation, echo: String) -> BTreeMap<String, String> {
    let charts = implementation.releases.iter().map(|r| (format!("charts.{}", r.name), r.chart.clone()));
    let extension = addons::image(&target.images, "alb-controller-istio-extension");
    let tag = extension.and_then(|image| image.reference.rsplit_once(':'));
    let tag = tag.map(|(_, tag)| ("images.alb-controller-istio-extension.tag".to_owned(), tag.to_owned()));
    charts.chain([("images.echo".to_owned(), echo)]).chain(tag).collect()
}

/// The reference of an image built in the workspace.
fn image(target: &Target, name: &str) -> Result<String, PortError> {
    addons::image(&target.images, name).map(|image| image.reference.clone()).ok_or_else(|| {
        PortError::new(format!("looking for the image {name}"), "it is not among what was built")
            .next("meshproof doctor says what is built")
    })
}

fn unfit(needs: &Needs, cluster: &ClusterInfo, implementation: &ImplementationInfo) -> Option<String> {
    if let Some(wanted) = needs.implementation.as_ref().filter(|wanted| **wanted != implementation.name) {
        return Some(format!("is about the implementation {wanted}, not {}", implementation.name));
    }
    needs.unmet(&cluster.istio, cluster.nodes)
}

/// helm and kubectl, and the implementation by helm.
struct ClusterTools {
    target: Target,
    implementation: Arc<Implementation>,
    sink: Arc<dyn EventSink>,
}

impl ClusterTools {
    /// Tells what the implementation's pods run. That it cannot be looked up is told, too.
    async fn tell_running(&self) {
        match self.target.running(&self.implementation).await {
            Ok(running) => {
                let mut basis = Basis::default();
                basis.digests.running = running
                    .into_iter()
                    .map(|(name, ids)| (name, ids.into_iter().collect::<Vec<_>>().join(", ").into()))
                    .collect();
                self.sink.emit(&Event::RestsOn { basis: Box::new(basis) });
            }
            Err(error) => {
                let (phase, error) = ("digests of what runs".to_owned(), Some(error.to_string()));
                self.sink.emit(&Event::PhaseFinished { phase, elapsed_ms: 0, error });
            }
        }
    }
}

impl Installer for ClusterTools {
    fn install<'a>(&'a self, request: &'a InstallRequest) -> PortFuture<'a, Vec<String>> {
        async move {
            let options = InstallOptions {
                values: by_release(&request.values),
                namespace: request.namespace.clone(),
                without_extension: request.without_extension,
                only: request.only.clone(),
                no_wait: !request.wait,
            };
            let progress = PhaseEvents(self.sink.as_ref());
            let following = self.implementation.following(&request.edition);
            let installed = self.target.install(&following, &options, &progress).await;
            let installed =
                installed.map_err(|error| PortError::new("installing the implementation", error))?;
            if request.wait {
                self.tell_running().await;
            }
            Ok(installed)
        }
        .boxed()
    }

    fn ensure<'a>(&'a self, edition: &'a str) -> PortFuture<'a, Vec<String>> {
        async move {
            let progress = PhaseEvents(self.sink.as_ref());
            let ready = self.target.ensure(&self.implementation.following(edition), &progress).await;
            let ready = ready
                .map_err(|error| PortError::new("making sure that the implementation is installed", error))?;
            self.tell_running().await;
            Ok(ready)
        }
        .boxed()
    }

    fn uninstall(&self) -> PortFuture<'_, Vec<String>> {
        async move {
            let options = InstallOptions::default();
            // What came up after it was installed, proxies above all, is told before it is gone.
            self.tell_running().await;
            let gone = self.target.uninstall(&self.implementation, &options).await;
            gone.map_err(|error| PortError::new("uninstalling the implementation", error))
        }
        .boxed()
    }
}

impl Mesh for ClusterTools {
    fn provide<'a>(&'a self, versions: &'a [String]) -> PortFuture<'a, ()> {
        async move {
            let progress = PhaseEvents(self.sink.as_ref());
            let provide = async { self.target.own()?.provide_istio(versions, &progress).await };
            provide.await.map_err(|error| PortError::new("providing other versions of Istio", error))
        }
        .boxed()
    }

    fn install<'a>(&'a self, request: &'a MeshRequest) -> PortFuture<'a, String> {
        async move {
            let MeshRequest { namespace, revision, version } = request;
            let (revision, version) = (revision.as_deref(), version.as_deref());
            let progress = PhaseEvents(self.sink.as_ref());
            let install =
                async { self.target.own()?.install_istio(namespace, revision, version, &progress).await };
            install.await.map_err(|error| PortError::new("installing Istio", error))
        }
        .boxed()
    }

    fn uninstall<'a>(&'a self, namespaces: &'a [String]) -> PortFuture<'a, ()> {
        async move {
            let uninstall = async { self.target.own()?.uninstall_istio(namespaces).await };
            uninstall.await.map_err(|error| PortError::new("uninstalling Istio", error))
        }
        .boxed()
    }

    fn rotate_root<'a>(&'a self, namespace: &'a str) -> PortFuture<'a, Vec<String>> {
        async move {
            let rotate = async { self.target.own()?.rotate_root(namespace).await };
            rotate.await.map_err(|error| PortError::new("replacing Istio's root", error))
        }
        .boxed()
    }

    fn restore_root<'a>(&'a self, namespace: &'a str) -> PortFuture<'a, ()> {
        async move {
            let restore = async { self.target.own()?.restore_root(namespace).await };
            restore.await.map_err(|error| PortError::new("putting Istio's root back", error))
        }
        .boxed()
    }
}

impl Machines for ClusterTools {
    fn kill<'a>(&'a self, namespace: &'a str, pod: &'a str, gone: bool) -> PortFuture<'a, ()> {
        let doing = move || format!("killing {pod} in {namespace}");
        let kill = async move { self.target.own()?.kill_pod(namespace, pod, gone).await };
        async move { kill.await.map_err(|error| PortError::new(doing(), error)) }.boxed()
    }

    fn stop<'a>(&'a self, node: &'a str) -> PortFuture<'a, ()> {
        let stop = async move { self.target.own()?.stop_node(node).await };
        async move { stop.await.map_err(|error| PortError::new(format!("stopping node {node}"), error)) }
            .boxed()
    }

    fn forget<'a>(&'a self, node: &'a str) -> PortFuture<'a, ()> {
        let forget = async move { self.target.own()?.forget_node(node).await };
        let doing = move || format!("ending the connections to node {node}");
        async move { forget.await.map_err(|error| PortError::new(doing(), error)) }.boxed()
    }

    fn start<'a>(&'a self, node: &'a str) -> PortFuture<'a, ()> {
        let start = async move { self.target.own()?.start_node(node).await };
        async move { start.await.map_err(|error| PortError::new(format!("starting node {node}"), error)) }
            .boxed()
    }
}

fn by_release(values: &Value) -> BTreeMap<String, Value> {
    let releases = values.as_object().into_iter().flatten();
    releases.map(|(release, values)| (release.clone(), values.clone())).collect()
}

impl ClusterTools {
    /// Runs commands that may install releases; those get the run's label.
    async fn owning(
        &self,
        commands: impl Future<Output = Result<ToolOutput, PortError>>,
    ) -> Result<ToolOutput, PortError> {
        let failed = |error| PortError::new("labelling the releases that commands have installed", error);
        let client = self.target.client().await.map_err(failed)?;
        let before = owner::releases::before(&client).await.map_err(failed)?;
        let output = commands.await?;
        owner::releases::adopt(&client, &before, &self.target.run).await.map_err(failed)?;
        Ok(output)
    }
}

impl Tools for ClusterTools {
    fn run<'a>(&'a self, tool: Tool, args: &'a [String]) -> PortFuture<'a, ToolOutput> {
        async move {
            let (name, command) = match tool {
                Tool::Kubectl => ("kubectl", self.target.kubectl(args)),
                Tool::Helm => ("helm", self.target.helm(args)),
            };
            let doing = || format!("running {name} {}", args.join(" "));
            match tool {
                Tool::Kubectl => child::output(command, doing).await,
                Tool::Helm => self.owning(child::output(command, doing)).await,
            }
        }
        .boxed()
    }

    fn shell<'a>(&'a self, script: &'a Script) -> PortFuture<'a, ToolOutput> {
        async move {
            let doing = || "running commands in a shell".to_owned();
            let command = self.target.shell(&script.text, &script.files);
            let (command, folder) = command.map_err(|error| PortError::new(doing(), error))?;
            let output = self.owning(child::output(command, doing)).await;
            drop(folder);
            output
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_node() -> ClusterInfo {
        ClusterInfo { nodes: 1, ..ClusterInfo::default() }
    }

    fn alb() -> ImplementationInfo {
        ImplementationInfo { name: "alb".into(), ..ImplementationInfo::default() }
    }

    #[test]
    fn a_scenario_about_one_implementation_is_not_run_with_another() {
        let needs = |name: &str| Needs { implementation: Some(name.into()), ..Needs::default() };
        assert_eq!(unfit(&needs("alb"), &one_node(), &alb()), None);
        let why = unfit(&needs("istio"), &one_node(), &alb()).unwrap();
        assert_eq!(why, "is about the implementation istio, not alb");
    }
}
