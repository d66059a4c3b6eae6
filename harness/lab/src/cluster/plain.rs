//! The plain sequential way to the same cluster: what a person types, one command after the other. Only a yardstick for
//! `meshproof bench startup`.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde_json::json;

use super::create::dns_image;
use super::implementation::{Helm, Implementation, InstallOptions, Release, image_values};
use super::network::{Pool, Subnet, network_name};
use super::node::{self, Node};
use super::state::StateDir;
use super::{Cluster, ClusterError, ClusterSpec, addons, docker, istio, kind, owner, remove};
use crate::cache::Cache;
use crate::command::{CommandError, Tool};
use crate::engine;
use meshproof_model::progress::Progress;

/// Brings up `spec` with the artifacts of `like`, each step to its end before the next begins, and with it the built-in
/// implementation. One node only.
///
/// # Errors
/// Those of the commands.
pub async fn bring_up(
    spec: &ClusterSpec,
    like: &Cluster,
    progress: &dyn Progress,
) -> Result<(), ClusterError> {
    let cache = Cache::open_default()?;
    let state = StateDir::new(cache.root(), &spec.name);
    state.create()?;
    remove::nodes_and_network(&like.engine, &spec.name).await?;
    let subnet = docker::ensure_network(&like.engine, &spec.name).await?;
    let pool = subnet.parse::<Subnet>()?.pool()?;
    let implementation = Implementation::built_in().map_err(Box::new)?;
    let image = image_values(&like.artifacts.images, None);
    let releases = InstallOptions::default().selected(&implementation, &image)?;
    let way = Way { name: &spec.name, like, cache: &cache, state: &state, progress };
    way.kind(docker::cgroup_v1(&like.engine).await?).await?;
    if like.open.is_none() {
        engine::egress::block(&like.engine, &network_name(&spec.name)).await?;
    }
    way.kind_load().await?;
    way.manifests(pool).await?;
    if like.istio.is_some() {
        way.phase("istioctl install", way.istio()).await?;
    }
    for release in &releases {
        way.phase(&format!("helm install --wait {}", release.name), way.helm(release)).await?;
    }
    Ok(())
}

/// Removes what [`bring_up`] made, except the record that keeps the engine running.
///
/// # Errors
/// What docker said.
pub async fn remove(spec: &ClusterSpec, like: &Cluster) -> Result<(), ClusterError> {
    remove::nodes_and_network(&like.engine, &spec.name).await
}

struct Way<'a> {
    name: &'a str,
    like: &'a Cluster,
    cache: &'a Cache,
    state: &'a StateDir,
    progress: &'a dyn Progress,
}

impl Way<'_> {
    async fn phase<T>(
        &self,
        name: &str,
        work: impl Future<Output = Result<T, ClusterError>>,
    ) -> Result<T, ClusterError> {
        // Names of their own: how long a step takes here is no expectation for `up`.
        self.cache.timed(&format!("plain: {name}"), self.progress, work).await
    }

    fn kind_tool(&self, doing: &str) -> Tool {
        let kind = Tool::new(doing, &self.like.artifacts.kind)
            .env("KIND_EXPERIMENTAL_DOCKER_NETWORK", network_name(self.name));
        self.like.engine.env().into_iter().fold(kind, |kind, (name, value)| kind.env(name, value))
    }

    fn kubectl(&self, doing: &str) -> Tool {
        Tool::new(doing, &self.like.artifacts.kubectl).env("KUBECONFIG", self.state.kubeconfig())
    }

    async fn kind(&self, cgroup_v1: bool) -> Result<(), ClusterError> {
        let network = node::cni_config(&Node { name: String::new(), address: Ipv4Addr::new(0, 0, 0, 2) });
        let network = self.state.write_file("pod-network.conflist", network.as_bytes())?;
        let without_sys_resource = self.like.artifacts.shim_needed;
        let options = kind::KindOptions { nodes: 1, without_sys_resource, cgroup_v1, super_admin: false };
        let config = json!({
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "networking": {"disableDefaultCNI": true},
            "nodes": [{
                "role": "control-plane",
                "extraMounts": [{"hostPath": network, "containerPath": "/etc/cni/net.d/10-pods.conflist"}],
            }],
            "kubeadmConfigPatches": [kind::host_patch(options).to_string()],
        });
        let config = self.state.write_file("kind.json", config.to_string().as_bytes())?;
        let create = self
            .kind_tool("creating the cluster with kind")
            .args(["create", "cluster", "--name", self.name, "--image", &self.like.artifacts.node_image])
            .args(["--wait", "180s", "--config"])
            .arg(config)
            .arg("--kubeconfig")
            .arg(self.state.kubeconfig());
        self.phase("kind create cluster --wait", async { Ok(create.run().await?) }).await?;
        Ok(())
    }

    async fn kind_load(&self) -> Result<(), ClusterError> {
        let archives: Vec<&PathBuf> = self.like.artifacts.images.iter().map(|image| &image.archive).collect();
        let load = self
            .kind_tool("loading the images with kind")
            .args(["load", "image-archive", "--name", self.name])
            .args(archives);
        self.phase("kind load image-archive", async { Ok(load.run().await?) }).await?;
        Ok(())
    }

    /// Gateway API, DNS with the gateways' zone, load-balancer addresses.
    async fn manifests(&self, pool: Pool) -> Result<(), ClusterError> {
        let engine = &self.like.engine;
        let control_plane = kind::control_plane(self.name);
        self.phase("kubectl apply", async {
            let coredns = dns_image(engine, &self.like.artifacts, &control_plane).await?;
            let images = &self.like.artifacts.images;
            let balancer = addons::image(images, "load-balancer").ok_or(ClusterError::NoLoadBalancer)?;
            let own = addons::own_objects(&coredns, &balancer.reference, pool)?;
            let own = json!({"apiVersion": "v1", "kind": "List", "items": own});
            let own = self.state.write_file("own.json", own.to_string().as_bytes())?;
            let node = Node { name: control_plane.clone(), address: Ipv4Addr::UNSPECIFIED };
            let addresses = node::network_script(&node, std::slice::from_ref(&node), Some(pool));
            node::script(engine, "setting addresses", &control_plane, &addresses).await?;
            self.apply(&self.like.artifacts.gateway_api_crds).await?;
            self.apply(&own).await?;
            for (namespace, name) in
                [("kube-system", "deployment/coredns"), ("meshproof-system", "deployment/load-balancer")]
            {
                let rollout = ["--namespace", namespace, "rollout", "status", name, "--timeout", "120s"];
                self.kubectl("waiting for a rollout").args(rollout).run().await?;
            }
            Ok(())
        })
        .await
    }

    async fn apply(&self, path: &std::path::Path) -> Result<(), CommandError> {
        let apply = ["apply", "--server-side", "--force-conflicts", "--filename"];
        self.kubectl("applying manifests").args(apply).arg(path).run().await?;
        Ok(())
    }

    async fn istio(&self) -> Result<(), ClusterError> {
        Ok(istio::install(&self.like.artifacts, self.state, &self.state.kubeconfig()).await?)
    }

    async fn helm(&self, release: &Release) -> Result<(), ClusterError> {
        let values = serde_json::to_vec(&release.values).unwrap_or_default();
        let values = self.state.write_file("values.json", &values)?;
        let helm = Helm::new(&self.like.artifacts.helm, self.state, &self.state.kubeconfig(), owner::UP);
        let install = helm
            .tool(format!("installing release {}", release.name))
            .args(["install", &release.name, &release.chart, "--version", &release.version])
            .args(["--namespace", &release.namespace, "--create-namespace", "--wait", "--values"])
            .arg(values);
        install.run().await?;
        Ok(())
    }
}
