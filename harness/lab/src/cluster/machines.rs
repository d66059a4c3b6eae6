//! What happens to nodes and processes without the API server's knowledge: power cuts and SIGKILL.

use std::net::Ipv4Addr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;

use super::api::{request, wait_for_node};
use super::docker::{self, docker};
use super::network::pod_subnet;
use super::node::{self, Node};
use super::{Cluster, ClusterError, kind};

/// From the start of a node's container to a Ready node: containerd, kubelet, and a lease renewed.
const READY: Duration = Duration::from_secs(120);

/// Sends a signal to the processes of a pod's containers, not to its sandbox.
fn signal_script(signal: &str, namespace: &str, pod: &str) -> String {
    let label = |name: &str, value: &str| format!("labels.\"{name}\"=={value}");
    let filter = [
        label("io.kubernetes.pod.namespace", namespace),
        label("io.kubernetes.pod.name", pod),
        label("io.cri-containerd.kind", "container"),
    ]
    .join(",");
    format!(
        "reached=0\n\
         for container in $(ctr -n k8s.io containers ls -q '{filter}'); do\n\
           if ctr -n k8s.io tasks kill -s {signal} \"$container\" 2>/dev/null; then reached=$((reached + 1)); fi\n\
         done\n\
         if [ \"$reached\" = 0 ]; then echo 'no running container of {namespace}/{pod} on this node' >&2; exit 1; fi\n"
    )
}

/// Forgets the connections to the pods of a node that has lost its power. Nobody has ended them: a new connection from a port of
/// an old one would be led to a pod that is no more.
fn forget_script(address: Ipv4Addr) -> String {
    let subnet = pod_subnet(address);
    let prefix = subnet.trim_end_matches("0/24").replace('.', "\\.");
    // Deleting fails where there is none any more.
    format!(
        "for pod in $(conntrack -L 2>/dev/null | grep -oE 'src={prefix}[0-9]+' | cut -d= -f2 | sort -u); do\n\
           conntrack -D --reply-src \"$pod\" >/dev/null 2>&1 || true\n\
         done\n"
    )
}

impl Cluster {
    /// Ends all processes of a pod at once, with SIGKILL. The kubelet starts them again, as after a crash; unless the pod is to
    /// be gone: then its object goes as well, and whatever made the pod makes another.
    ///
    /// # Errors
    /// There is no such pod, or none of its containers runs.
    pub async fn kill_pod(&self, namespace: &str, pod: &str, gone: bool) -> Result<(), ClusterError> {
        let doing = format!("killing the processes of {namespace}/{pod}");
        let pods: Api<Pod> = Api::namespaced(self.client().await?, namespace);
        let found = pods.get(pod).await.map_err(request(doing.clone()))?;
        let node = found.spec.and_then(|spec| spec.node_name).unwrap_or_default();
        let send = |signal: &str| {
            let script = signal_script(signal, namespace, pod);
            let (engine, doing, node) = (&self.engine, &doing, &node);
            async move { node::script(engine, doing, node, &script).await }
        };
        if !gone {
            send("SIGKILL").await?;
            return Ok(());
        }
        // Stopped first: a process that ran on would hear from the kubelet that its pod goes, and put things in order; one that
        // was killed first would be started again.
        send("SIGSTOP").await?;
        let at_once = DeleteParams::default().grace_period(0);
        pods.delete(pod, &at_once).await.map_err(request(doing.clone()))?;
        if let Err(error) = send("SIGKILL").await {
            tracing::debug!(%error, "the kubelet was quicker");
        }
        Ok(())
    }

    /// Takes the power from a node: its container is killed, without a word to anything in it.
    ///
    /// # Errors
    /// It is the control plane, without which nothing can be asked any more, or docker refused.
    pub async fn stop_node(&self, name: &str) -> Result<(), ClusterError> {
        if name == kind::control_plane(&self.name) {
            return Err(ClusterError::ControlPlane(name.to_owned()));
        }
        docker(&self.engine, format!("stopping node {name}"), &["kill", name]).run().await?;
        Ok(())
    }

    /// Forgets the connections that the other nodes have to the pods of a stopped one.
    ///
    /// # Errors
    /// The API server knows no address of the node, or a script failed.
    pub async fn forget_node(&self, name: &str) -> Result<(), ClusterError> {
        let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(self.client().await?);
        let failed = request(format!("looking for the address of node {name}"));
        // Docker has taken the address from a container that does not run; Kubernetes remembers it.
        let status = nodes.get(name).await.map_err(failed)?.status.unwrap_or_default();
        let addresses = status.addresses.unwrap_or_default();
        let address = addresses
            .iter()
            .find(|address| address.type_ == "InternalIP")
            .and_then(|address| address.address.parse().ok())
            .ok_or_else(|| ClusterError::NoAddress(name.to_owned()))?;
        let others = self.running_nodes().await?;
        self.forget(name, address, &others).await
    }

    /// Makes all of the nodes but that of this name forget their connections to its pods; it has, or had, this address.
    async fn forget(&self, name: &str, address: Ipv4Addr, nodes: &[Node]) -> Result<(), ClusterError> {
        let script = forget_script(address);
        for other in nodes.iter().filter(|node| node.name != name) {
            node::script(&self.engine, "forgetting connections", &other.name, &script).await?;
        }
        Ok(())
    }

    /// The nodes that run, with their addresses.
    async fn running_nodes(&self) -> Result<Vec<Node>, ClusterError> {
        let mut nodes = Vec::new();
        for seen in docker::containers(&self.engine, &self.name).await? {
            let address = node::address(&self.engine, &seen.name).await?;
            nodes.extend(address.map(|address| Node { name: seen.name, address }));
        }
        Ok(nodes)
    }

    /// Starts a stopped node and waits until it is Ready, with routes to the pods of the others.
    ///
    /// # Errors
    /// docker refused, or the node is not Ready in time.
    pub async fn start_node(&self, name: &str) -> Result<(), ClusterError> {
        let engine = &self.engine;
        docker(engine, format!("starting node {name}"), &["start", name]).run().await?;
        node::script(engine, "waiting for containerd", name, node::CONTAINERD_SCRIPT).await?;
        let nodes = self.running_nodes().await?;
        let Some(own) = nodes.iter().find(|node| node.name == name) else {
            return Err(ClusterError::NoAddress(name.to_owned()));
        };
        let script = node::network_script(own, &nodes, None);
        node::script(engine, "setting routes", name, &script).await?;
        self.forget(name, own.address, &nodes).await?;
        wait_for_node(&self.client().await?, name, READY).await?;
        self.note_restart(name).await
    }

    /// A node that was restarted here has all it needs again: it is no sign of a reboot to whoever uses the cluster next.
    async fn note_restart(&self, name: &str) -> Result<(), ClusterError> {
        let Some(mut record) = self.state.read() else { return Ok(()) };
        let seen = docker::containers(&self.engine, &self.name).await?;
        for node in record.nodes.iter_mut().filter(|node| node.name == name) {
            if let Some(now) = seen.iter().find(|other| other.id == node.id) {
                *node = now.clone();
            }
        }
        self.state.write(&record)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_to_the_pods_of_one_node_are_forgotten() {
        assert!(forget_script(Ipv4Addr::new(172, 18, 0, 3)).contains(r"grep -oE 'src=10\.244\.3\.[0-9]+'"));
    }

    #[test]
    fn only_containers_of_the_pod_are_killed() {
        let script = signal_script("SIGKILL", "ns", "web-1");
        assert!(script.contains(
            "labels.\"io.kubernetes.pod.name\"==web-1,labels.\"io.cri-containerd.kind\"==container"
        ));
        assert!(script.contains("ns/web-1 on this node"));
    }
}
