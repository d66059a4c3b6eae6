//! What is done inside the nodes while kubeadm runs: pod network, load-balancer addresses, routes, images.
//!
//! The scripts are safe to run again.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;

use super::docker::docker;
use super::network::{POD_SUBNET, Pool, SERVICE_SUBNET, pod_subnet};
use crate::command::{CommandError, Tool};
use crate::engine::Engine;
use crate::supply::LoadImage;

/// A node's container and its address on the cluster's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Container name, which is also the node's name in Kubernetes.
    pub(crate) name: String,
    /// Its address.
    pub(crate) address: Ipv4Addr,
}

/// Watches docker's events for containers of `cluster` that start; kill it by dropping.
pub(crate) struct Starts {
    names: mpsc::UnboundedReceiver<String>,
    reader: std::sync::Arc<duct::ReaderHandle>,
}

impl Starts {
    /// Subscribes. What starts afterwards is reported.
    pub(crate) fn subscribe(engine: &Engine, cluster: &str) -> std::io::Result<Self> {
        use std::io::BufRead;
        let filter = format!("label=io.x-k8s.kind.cluster={cluster}");
        let args = ["events", "--filter", "type=container", "--filter", "event=start", "--filter", &filter];
        let format = ["--format", "{{.Actor.Attributes.name}}"];
        let reader = engine.docker(args.into_iter().chain(format)).stderr_null().unchecked().reader()?;
        let reader = std::sync::Arc::new(reader);
        let (send, names) = mpsc::unbounded_channel();
        let lines = std::sync::Arc::clone(&reader);
        std::thread::spawn(move || {
            for line in std::io::BufReader::new(&*lines).lines() {
                let Ok(name) = line else { break };
                if send.send(name).is_err() {
                    break;
                }
            }
        });
        Ok(Self { names, reader })
    }

    /// The next container that started; nothing when the engine hung up.
    pub(crate) async fn next(&mut self) -> Option<String> {
        self.names.recv().await
    }
}

impl Drop for Starts {
    fn drop(&mut self) {
        let _ = self.reader.kill();
    }
}

/// The node's address on its (only) network.
pub(crate) async fn address(engine: &Engine, name: &str) -> Result<Option<Ipv4Addr>, CommandError> {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
    let args = ["inspect", "--type", "container", "--format", format, name];
    let answer = docker(engine, format!("asking for the address of node {name}"), &args).run().await?;
    Ok(answer.split_whitespace().find_map(|word| word.parse().ok()))
}

/// Runs a script in a node; returns what it prints.
pub(crate) async fn script(
    engine: &Engine,
    doing: &str,
    node: &str,
    script: &str,
) -> Result<String, CommandError> {
    let shell = ["exec", node, "bash", "-eu", "-o", "pipefail", "-c", script];
    docker(engine, format!("{doing} ({node})"), &shell).run().await
}

/// The pod network of one node, as CNI wants it.
pub(crate) fn cni_config(node: &Node) -> String {
    let config = serde_json::json!({
        "cniVersion": "0.4.0",
        "name": "meshproof",
        "plugins": [
            {
                "type": "ptp", "ipMasq": false, "mtu": 1500,
                "ipam": {
                    "type": "host-local", "dataDir": "/run/cni-ipam-state",
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "ranges": [[{"subnet": pod_subnet(node.address)}]],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    format!("{config:#}\n")
}

/// Writes the pod network of a node: containerd reads it whenever it appears, so this runs first.
pub(crate) fn cni_script(node: &Node) -> String {
    let config = cni_config(node);
    format!(
        "mkdir -p /etc/cni/net.d\n\
         cat >/etc/cni/net.d/.meshproof <<'EOF'\n{config}EOF\n\
         mv /etc/cni/net.d/.meshproof /etc/cni/net.d/10-meshproof.conflist\n"
    )
}

/// Waits until containerd answers: from then on the node's own set-up of its network is over, and images can come.
/// Ends with an error after half a minute.
pub(crate) const CONTAINERD_SCRIPT: &str = "\
for attempt in $(seq 300); do\n\
  if [ -S /run/containerd/containerd.sock ] && ctr version >/dev/null 2>&1; then exit 0; fi\n\
  sleep 0.1\n\
done\n\
echo 'containerd does not answer; its log ends with:' >&2\n\
journalctl --no-pager -n 15 -u containerd >&2 || true\n\
exit 1\n";

/// Waits until the node reaches the API server by its Service's address, that is, until kube-proxy has written its rules.
/// A pod that asks earlier is answered by nobody, and its connection hangs: it has no rule either once there is one.
/// Every attempt is a connection of its own. Gives up silently after a minute: pods then say themselves what they lack.
pub(crate) const SERVICES_SCRIPT: &str = "\
for attempt in $(seq 120); do\n\
  if timeout 0.3 bash -c '</dev/tcp/10.96.0.1/443' 2>/dev/null; then exit 0; fi\n\
  sleep 0.2\n\
done\n";

/// Routes to the pods of the other nodes, masquerading towards everything that is no pod, and the load-balancer
/// addresses if this node holds them. What still has a Service's address when it leaves a pod's node was sent before kube-proxy
/// had written its rules, or to no Service: it is refused, so that who asked asks again, and not left without an answer. The same
/// holds for the address of a pod that has just gone: without a route of its own it would leave by the default one, and who
/// connects to it would wait for 20 s.
pub(crate) fn network_script(node: &Node, nodes: &[Node], pool: Option<Pool>) -> String {
    let mut script = format!(
        "rule=(POSTROUTING -s {POD_SUBNET} ! -d {POD_SUBNET} -m comment --comment meshproof -j MASQUERADE)\n\
         iptables -w -t nat -C \"${{rule[@]}}\" 2>/dev/null || iptables -w -t nat -A \"${{rule[@]}}\"\n\
         rule=(FORWARD -d {SERVICE_SUBNET} -m comment --comment meshproof -j REJECT)\n\
         iptables -w -C \"${{rule[@]}}\" 2>/dev/null || iptables -w -A \"${{rule[@]}}\"\n\
         ip route replace unreachable {}\n",
        pod_subnet(node.address)
    );
    for other in nodes.iter().filter(|other| other.name != node.name) {
        script += &format!("ip route replace {} via {}\n", pod_subnet(other.address), other.address);
    }
    if let Some(pool) = pool {
        script += "ip -batch - <<'EOF'\n";
        for address in pool.addresses() {
            script += &format!("address replace {address}/32 dev eth0\n");
        }
        script += "EOF\n";
    }
    script
}

/// Imports an image archive into a node's containerd.
pub(crate) fn import(engine: &Engine, node: &str, archive: &Path) -> Tool {
    let args = ["exec", "--interactive", node, "ctr", "--namespace", "k8s.io", "images", "import", "-"];
    let name = archive.file_name().unwrap_or(archive.as_os_str()).to_string_lossy().into_owned();
    docker(engine, format!("importing {name} into node {node}"), &args).stdin(archive)
}

/// Imports all images into a node, one after the other: two at once only fight for the disk.
pub async fn import_all(engine: &Engine, node: &str, images: &[&LoadImage]) -> Result<(), CommandError> {
    for image in images {
        import(engine, node, &image.archive).run().await?;
    }
    Ok(())
}

/// Outside address for the egress check: reserved for documentation, so nobody's.
const NOBODY: &str = "203.0.113.1";
/// A refused connection is an error at once; one that goes out runs into this.
const EGRESS_TIMEOUT: Duration = Duration::from_secs(2);

/// Tries to reach the outside from a pod's network namespace. Prints `closed` when that is refused at once, `open` when
/// the packet went out, `no-pod` when the node has no pod yet. The network of a pod that is just being made answers nothing
/// either, so it is the oldest pod's, and only silence that lasts counts.
pub(crate) fn egress_script() -> String {
    let limit = EGRESS_TIMEOUT.as_secs();
    format!(
        "for attempt in 1 2 3; do\n\
           space=$(ls -tr /run/netns 2>/dev/null | grep -m1 '^cni-' || true)\n\
           if [ -z \"$space\" ]; then echo no-pod; exit 0; fi\n\
           code=0\n\
           timeout {limit} nsenter --net=/run/netns/\"$space\" bash -c '</dev/tcp/{NOBODY}/9' 2>/dev/null || code=$?\n\
           case $code in 0) break;; 124) ;; *) echo closed; exit 0;; esac\n\
         done\n\
         echo open\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, last: u8) -> Node {
        Node { name: name.into(), address: Ipv4Addr::new(172, 18, 0, last) }
    }

    #[test]
    fn each_node_gets_a_pod_network_of_its_own() {
        assert!(cni_script(&node("a", 2)).contains("\"subnet\": \"10.244.2.0/24\""));
        assert!(cni_script(&node("b", 3)).contains("\"subnet\": \"10.244.3.0/24\""));
    }

    #[test]
    fn a_node_has_routes_to_the_pods_of_the_others_and_refuses_what_is_sent_to_no_pod_of_its_own() {
        let nodes = [node("a", 2), node("b", 3), node("c", 4)];
        let script = network_script(&nodes[1], &nodes, None);
        let routes: Vec<&str> = script.lines().filter(|line| line.starts_with("ip route")).collect();
        assert_eq!(
            routes,
            [
                "ip route replace unreachable 10.244.3.0/24",
                "ip route replace 10.244.2.0/24 via 172.18.0.2",
                "ip route replace 10.244.4.0/24 via 172.18.0.4"
            ]
        );
        assert!(!script.contains("address replace"));
    }

    #[test]
    fn the_control_plane_holds_every_address_of_the_pool() {
        let pool = Pool { first: Ipv4Addr::new(172, 18, 255, 200), last: Ipv4Addr::new(172, 18, 255, 202) };
        let script = network_script(&node("a", 2), &[node("a", 2)], Some(pool));
        assert_eq!(script.matches("/32 dev eth0").count(), 3);
        assert!(script.contains("address replace 172.18.255.202/32 dev eth0"));
    }
}
