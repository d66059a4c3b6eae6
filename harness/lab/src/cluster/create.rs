//! Makes a cluster. What can happen at the same time does: pod network and images go into the nodes while kubeadm runs,
//! and everything that needs only the API server starts when that answers, long before kind is done.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use futures::future::try_join_all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::Api;
use kube::runtime::conditions::is_crd_established;
use kube::{Client, ResourceExt};
use tokio::sync::SetOnce;

use super::api::{self, ApiError};
use super::implementation::{
    Helm, Implementation, InstallOptions, Release, image_values, ready_within, wait_until_populated,
    wait_until_ready,
};
use super::network::{Pool, network_name};
use super::node::{self, Node, Starts};
use super::state::StateDir;
use super::{ClusterError, addons, audit, docker, kind, owner};
use crate::cache::Cache;
use crate::command::Tool;
use crate::engine::{self, Engine};
use crate::supply::{Artifacts, LoadImage};
use meshproof_model::progress::Progress;

mod mesh;

/// From the start of kubeadm to an API server that answers; 8 s is usual.
const SERVING: Duration = Duration::from_secs(120);
/// For nodes, DNS and the load balancer to be ready once the API server answers.
const READY: Duration = Duration::from_secs(120);
/// For a resource definition to be established.
const ESTABLISHED: Duration = Duration::from_secs(30);
/// Longest silence of docker's events before the containers are counted instead.
const SILENCE: Duration = Duration::from_secs(3);

/// Everything the making of a cluster needs to know.
pub(crate) struct Creation<'a> {
    pub(crate) name: &'a str,
    pub(crate) cache: &'a Cache,
    pub(crate) engine: &'a Engine,
    pub(crate) artifacts: &'a Artifacts,
    pub(crate) state: &'a StateDir,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) nodes: u8,
    pub(crate) istio: bool,
    pub(crate) kind_config: &'a str,
    /// Pods are kept on this host.
    pub(crate) keep_in: bool,
    pub(crate) pool: Pool,
    pub(crate) implementation: Option<&'a Implementation>,
}

/// What must have happened before something else can begin.
#[derive(Default)]
struct Gates {
    /// The container of the control-plane node runs.
    control_plane: SetOnce<()>,
    /// The API server answers; with a client and the kubeconfig it was made from.
    answering: SetOnce<(Client, PathBuf)>,
    /// The API server calls itself ready: what it makes at its start (namespaces, roles) is there.
    serving: SetOnce<()>,
    /// Every node has the workspace's images.
    images: SetOnce<()>,
    /// Every node reaches Services.
    services: SetOnce<()>,
    /// The Gateway API's definitions are established.
    definitions: SetOnce<()>,
    /// Istio injects.
    istio: SetOnce<()>,
    /// All pods that must have been injected are there.
    injected: SetOnce<()>,
}

impl Creation<'_> {
    /// Makes the cluster and waits until everything in it is ready.
    pub(crate) async fn run(&self) -> Result<(), ClusterError> {
        let starts = Starts::subscribe(self.engine, self.name).map_err(ClusterError::Events)?;
        let gates = Gates::default();
        tokio::try_join!(
            self.machines(starts, &gates),
            self.serve(&gates),
            self.addons(&gates),
            self.istio(&gates),
            self.implementation(&gates),
        )?;
        Ok(())
    }

    async fn phase<T>(
        &self,
        name: &str,
        work: impl Future<Output = Result<T, ClusterError>>,
    ) -> Result<T, ClusterError> {
        self.cache.timed(name, self.progress, work).await
    }

    async fn machines(&self, starts: Starts, gates: &Gates) -> Result<(), ClusterError> {
        let kind = self.phase("kind create cluster", self.kind());
        let ((), nodes) = tokio::try_join!(kind, self.nodes(starts, gates))?;
        // kind removes a taint of its own from the list it has read, and could have brought back ours.
        let (client, _) = gates.answering.wait().await;
        try_join_all(nodes.iter().map(|node| api::admit_pods(client, &node.name))).await?;
        Ok(())
    }

    async fn kind(&self) -> Result<(), ClusterError> {
        let config = self.state.write_file("kind.json", self.kind_config.as_bytes())?;
        for (name, patch) in kind::static_pod_patches() {
            self.state.write_file(&format!("{}/{name}", kind::PATCHES), patch.to_string().as_bytes())?;
        }
        self.state.write_file(&format!("{}/{}", audit::FOLDER, audit::FILE), audit::POLICY.as_bytes())?;
        let mut kind = Tool::new("creating the cluster with kind", &self.artifacts.kind)
            .args([
                "create",
                "cluster",
                "--retain",
                "--name",
                self.name,
                "--image",
                &self.artifacts.node_image,
            ])
            .arg("--config")
            .arg(config)
            .arg("--kubeconfig")
            .arg(self.state.kubeconfig())
            .env("KIND_EXPERIMENTAL_DOCKER_NETWORK", network_name(self.name));
        for (name, value) in self.engine.env() {
            kind = kind.env(name, value);
        }
        kind.run().await?;
        Ok(())
    }

    /// Prepares each node as it starts.
    async fn nodes(&self, mut starts: Starts, gates: &Gates) -> Result<Vec<Node>, ClusterError> {
        let mut names = Vec::new();
        while names.len() < usize::from(self.nodes) {
            let started = match tokio::time::timeout(SILENCE, starts.next()).await {
                Ok(Some(name)) => vec![name],
                // An engine that says nothing, or has hung up, is asked.
                _ => self.running().await?,
            };
            names.extend(started.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
            if names.contains(&kind::control_plane(self.name)) {
                let _ = gates.control_plane.set(());
            }
        }
        drop(starts);
        let nodes = try_join_all(names.iter().map(|name| self.pod_network(name))).await?;
        let images: Vec<&LoadImage> = self.artifacts.images.iter().collect();
        self.phase("images into the nodes", async {
            try_join_all(nodes.iter().map(|node| self.network_and_images(node, &nodes, &images))).await
        })
        .await?;
        let _ = gates.images.set(());
        gates.serving.wait().await;
        let (client, _) = gates.answering.wait().await;
        let services = nodes.iter().map(|node| async {
            node::script(self.engine, "waiting for kube-proxy", &node.name, node::SERVICES_SCRIPT).await?;
            Ok::<_, ClusterError>(api::admit_pods(client, &node.name).await?)
        });
        try_join_all(services).await?;
        let _ = gates.services.set(());
        Ok(nodes)
    }

    async fn running(&self) -> Result<Vec<String>, ClusterError> {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let nodes = docker::containers(self.engine, self.name).await?;
        Ok(nodes.into_iter().filter(|node| node.state.runs()).map(|node| node.name).collect())
    }

    async fn pod_network(&self, name: &str) -> Result<Node, ClusterError> {
        let address: Ipv4Addr = node::address(self.engine, name)
            .await?
            .ok_or_else(|| ClusterError::NoAddress(name.to_owned()))?;
        let node = Node { name: name.to_owned(), address };
        node::script(self.engine, "configuring the pod network", name, &node::cni_script(&node)).await?;
        Ok(node)
    }

    async fn network_and_images(
        &self,
        node: &Node,
        nodes: &[Node],
        images: &[&LoadImage],
    ) -> Result<(), ClusterError> {
        node::script(self.engine, "waiting for containerd", &node.name, node::CONTAINERD_SCRIPT).await?;
        // The node is up and has no pods yet. Sooner would hold it up: a booting node asks for names that only the
        // outside could know, and waits for an answer.
        if self.keep_in {
            engine::egress::block(self.engine, &network_name(self.name)).await?;
        }
        let pool = (node.name == kind::control_plane(self.name)).then_some(self.pool);
        let script = node::network_script(node, nodes, pool);
        let routes = node::script(self.engine, "setting routes and addresses", &node.name, &script);
        tokio::try_join!(routes, node::import_all(self.engine, &node.name, images))?;
        Ok(())
    }

    /// Waits for the API server, with the administrator's kubeconfig of the node itself.
    async fn serve(&self, gates: &Gates) -> Result<(), ClusterError> {
        gates.control_plane.wait().await;
        let node = kind::control_plane(self.name);
        self.phase("API server", async {
            let kubeconfig = node::script(self.engine, "waiting for kubeadm", &node, ADMIN_SCRIPT).await?;
            let port = ["port", &node, "6443/tcp"];
            let server = docker::docker(self.engine, "asking for the API server's port", &port).run().await?;
            let server = server.lines().next().unwrap_or_default().trim().to_owned();
            let kubeconfig = api::reached_from_host(&kubeconfig, &format!("https://{server}"))?;
            let kubeconfig = self.state.write_file("kubeconfig.setup", kubeconfig.as_bytes())?;
            let client = api::client(&kubeconfig).await?;
            api::wait_until_answering(&client, SERVING).await?;
            let _ = gates.answering.set((client.clone(), kubeconfig));
            api::wait_until_serving(&client, SERVING).await?;
            let _ = gates.serving.set(());
            Ok(())
        })
        .await
    }

    /// Gateway API, DNS and load-balancer addresses; then the nodes, which depend on nothing else.
    async fn addons(&self, gates: &Gates) -> Result<(), ClusterError> {
        gates.control_plane.wait().await;
        let control_plane = kind::control_plane(self.name);
        let coredns = dns_image(self.engine, self.artifacts, &control_plane).await?;
        let balancer =
            addons::image(&self.artifacts.images, "load-balancer").ok_or(ClusterError::NoLoadBalancer)?;
        let own = addons::own_objects(&coredns, &balancer.reference, self.pool)?;
        let definitions = addons::gateway_api(&self.artifacts.gateway_api_crds)?;
        let (client, _) = gates.answering.wait().await;
        self.phase("Gateway API, DNS, load balancer", async {
            let established = async {
                let crds: Vec<String> = definitions
                    .iter()
                    .filter(|o| addons::is_definition(o))
                    .map(ResourceExt::name_any)
                    .collect();
                api::apply(client, definitions).await?;
                wait_until_established(client, &crds).await?;
                let _ = gates.definitions.set(());
                Ok::<_, ClusterError>(())
            };
            let ready = async {
                gates.images.wait().await;
                gates.services.wait().await;
                api::apply(client, own).await?;
                let nodes = docker::containers(self.engine, self.name).await?;
                tokio::try_join!(
                    try_join_all(nodes.iter().map(|node| api::wait_for_node(client, &node.name, READY))),
                    api::wait_for_deployment(client, "kube-system", "coredns", READY),
                    api::wait_for_deployment(client, "meshproof-system", "load-balancer", READY),
                )?;
                Ok::<_, ClusterError>(())
            };
            tokio::try_join!(established, ready)
        })
        .await?;
        // There are pods now, and while the rest comes up there is a second to spare.
        if self.keep_in { super::check_egress(self.engine, self.name).await } else { Ok(()) }
    }

    async fn implementation(&self, gates: &Gates) -> Result<(), ClusterError> {
        let Some(implementation) = self.implementation else {
            let _ = gates.injected.set(());
            return Ok(());
        };
        let options = InstallOptions { without_extension: !self.istio, ..InstallOptions::default() };
        let istio_proxy = self.artifacts.istio.proxy();
        let image = image_values(&self.artifacts.images, istio_proxy.as_deref());
        let releases = options.selected(implementation, &image)?;
        let within = ready_within(implementation);
        let (client, kubeconfig) = gates.answering.wait().await;
        gates.images.wait().await;
        gates.definitions.wait().await;
        gates.services.wait().await;
        let helm = Helm::new(&self.artifacts.helm, self.state, kubeconfig, owner::UP);
        for release in &releases {
            self.release(&helm, client, release, gates).await?;
        }
        let in_mesh = releases.iter().filter(|release| release.in_mesh);
        try_join_all(in_mesh.map(|release| wait_until_populated(client, release))).await?;
        let _ = gates.injected.set(());
        self.phase("implementation ready", async {
            try_join_all(releases.iter().map(|release| wait_until_ready(client, release, within))).await?;
            Ok(())
        })
        .await
    }

    async fn release(
        &self,
        helm: &Helm,
        client: &Client,
        release: &Release,
        gates: &Gates,
    ) -> Result<(), ClusterError> {
        if release.in_mesh {
            gates.istio.wait().await;
        }
        self.phase(&format!("helm install {}", release.name), async {
            Ok(helm.install(client, release).await?)
        })
        .await?;
        Ok(())
    }
}

/// Waits until kubeadm has written all kubeconfigs, and prints the one whose user needs no RBAC objects (before
/// Kubernetes 1.29 there was one administrator only).
const ADMIN_SCRIPT: &str = "\
cd /etc/kubernetes\n\
for attempt in $(seq 1200); do\n\
  if [ -s scheduler.conf ]; then cat super-admin.conf 2>/dev/null || cat admin.conf; exit 0; fi\n\
  sleep 0.1\n\
done\n\
echo 'kubeadm has written no kubeconfig within 120 s' >&2\n\
exit 1\n";

/// Names the images of this Kubernetes, without asking anybody for the newest version.
const IMAGES_SCRIPT: &str = "kubeadm config images list --kubernetes-version \"$(cat /kind/version)\"\n";

/// CoreDNS's image in the nodes: that of the node image built here, else the one kubeadm would take.
pub(super) async fn dns_image(
    engine: &Engine,
    artifacts: &Artifacts,
    node: &str,
) -> Result<String, ClusterError> {
    if let Some(image) = &artifacts.coredns {
        return Ok(image.clone());
    }
    let list = node::script(engine, "listing kubeadm's images", node, IMAGES_SCRIPT).await?;
    Ok(addons::coredns_image(&list).ok_or(ClusterError::NoDnsImage)?.to_owned())
}

async fn wait_until_established(client: &Client, names: &[String]) -> Result<(), ApiError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    try_join_all(names.iter().map(|name| {
        let api = api.clone();
        async move {
            if api::wait(api, name, is_crd_established(), ESTABLISHED).await? {
                return Ok(());
            }
            Err(ApiError::Late {
                doing: format!("waiting for the definition {name}"),
                limit: ESTABLISHED,
                seen: "it is not established".to_owned(),
            })
        }
    }))
    .await?;
    Ok(())
}
