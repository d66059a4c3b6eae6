//! What kind and kubeadm are told (pure). JSON, which both accept as YAML.
//!
//! Every setting beyond kind's defaults is here for speed or because the host needs it; the cluster stays the one that
//! kubeadm makes.

use std::path::Path;

use serde_json::{Value, json};

use super::audit;
use super::network::{POD_SUBNET, SERVICE_SUBNET};

/// What the configuration depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindOptions {
    /// Number of nodes; the first is the control plane.
    pub nodes: u8,
    /// The host lacks CAP_SYS_RESOURCE: the kubelet must not insist on lowering OOM scores.
    pub without_sys_resource: bool,
    /// The engine's cgroups are version 1: Kubernetes 1.35 and later must be told to accept that.
    pub cgroup_v1: bool,
    /// kubeadm writes a kubeconfig whose user needs no RBAC objects: [`has_super_admin`].
    pub super_admin: bool,
}

/// Whether kubeadm of this version (`v1.34.4`) writes `super-admin.conf`: from Kubernetes 1.29 on.
pub fn has_super_admin(kubernetes: &str) -> bool {
    let mut numbers =
        kubernetes.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (1, 29)
}

/// Name of the container of the control-plane node.
pub fn control_plane(cluster: &str) -> String {
    format!("{cluster}-control-plane")
}

/// Where the control-plane node finds patches of the static pods, and their directory in the cluster's state.
pub(crate) const PATCHES: &str = "patches";
const PATCHES_IN_NODE: &str = "/kind/meshproof-patches";

/// Files for kubeadm's `patches` directory.
pub(crate) fn static_pod_patches() -> Vec<(String, Value)> {
    ["kube-apiserver", "kube-controller-manager", "kube-scheduler"]
        .into_iter()
        .map(|name| {
            // A fifth of the processor time of their start goes into collecting garbage; memory is plentiful then. Later the
            // API server holds 300 MiB: with a lower limit it would never get as far as 400 %, and collect all the time.
            let env = json!([{"name": "GOGC", "value": "400"}, {"name": "GOMEMLIMIT", "value": "2GiB"}]);
            let patch = json!({"spec": {"containers": [{"name": name, "env": env}]}});
            (format!("{name}+strategic.json"), patch)
        })
        .collect()
}

/// Configuration for `kind create cluster --config`; `state` is the directory of the cluster's state, with
/// [`static_pod_patches`] in [`PATCHES`] and the audit policy in [`audit::FOLDER`].
pub fn config(options: KindOptions, state: &Path) -> String {
    let mut patches = Vec::new();
    for (version, arguments) in KUBEADM_VERSIONS {
        patches.push(cluster_patch(version, arguments, options));
        patches.push(init_patch(version, options.nodes));
        patches.push(join_patch(version));
    }
    patches.push(kubelet_patch(options));
    let nodes: Vec<Value> = (0..options.nodes.max(1))
        .map(|n| match n {
            0 => json!({
                "role": "control-plane",
                "extraMounts": [
                    {"hostPath": state.join(PATCHES), "containerPath": PATCHES_IN_NODE, "readOnly": true},
                    {"hostPath": state.join(audit::FOLDER), "containerPath": audit::FOLDER_IN_NODE, "readOnly": true},
                ],
            }),
            _ => json!({"role": "worker"}),
        })
        .collect();
    let config = json!({
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"disableDefaultCNI": true, "podSubnet": POD_SUBNET, "serviceSubnet": SERVICE_SUBNET},
        "nodes": nodes,
        "kubeadmConfigPatches": patches.iter().map(Value::to_string).collect::<Vec<_>>(),
    });
    format!("{config:#}\n")
}

/// How an API version of kubeadm's configuration writes a component's arguments.
type Arguments = fn(&[(&str, &str)]) -> Value;

/// kind writes the first for Kubernetes before 1.36 and the second from then on; patches of another version than the one
/// written are ignored.
const KUBEADM_VERSIONS: [(&str, Arguments); 2] =
    [("kubeadm.k8s.io/v1beta3", as_map), ("kubeadm.k8s.io/v1beta4", as_list)];

fn as_map(arguments: &[(&str, &str)]) -> Value {
    arguments
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn as_list(arguments: &[(&str, &str)]) -> Value {
    arguments.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

/// The life of a node's lease, where nodes may go. The kubelet renews it four times as often.
const NODE_LEASE_SECONDS: u32 = 12;

/// A kubeconfig of kubeadm's whose user needs no RBAC objects.
const SUPER_ADMIN: &str = "/etc/kubernetes/super-admin.conf";

/// The scheduler's arguments and the files it needs more than usually.
fn scheduler(arguments: Arguments, super_admin: bool) -> Value {
    let mut own = vec![("leader-elect", "false"), ("kube-api-qps", "500"), ("kube-api-burst", "1000")];
    if !super_admin {
        return json!({"extraArgs": arguments(&own)});
    }
    // It starts before the API server has made the roles that let it read anything, and each refusal doubles the time until
    // it asks again: the first pods would wait up to five seconds for it.
    own.push(("kubeconfig", SUPER_ADMIN));
    json!({
        "extraArgs": arguments(&own),
        "extraVolumes": [{
            "name": "super-admin", "hostPath": SUPER_ADMIN, "mountPath": SUPER_ADMIN, "readOnly": true, "pathType": "File",
        }],
    })
}

fn cluster_patch(version: &str, arguments: Arguments, options: KindOptions) -> Value {
    // Pod networks follow the nodes' docker addresses, so nobody allocates them. Its many controllers start one after the
    // other, each held up by the default limit of 20 requests per second.
    let mut controller_manager = vec![
        ("allocate-node-cidrs", "false"),
        ("leader-elect", "false"),
        ("kube-api-qps", "500"),
        ("kube-api-burst", "1000"),
    ];
    if options.nodes > 1 {
        // A node that has lost its power is missed after this, not after 50 s: four renewals of its lease.
        controller_manager.extend([("node-monitor-grace-period", "12s"), ("node-monitor-period", "1s")]);
    }
    // One API server: nothing to share fairly, no leader to elect.
    let mut api_server = vec![("enable-priority-and-fairness", "false")];
    api_server.extend(audit::ARGUMENTS);
    let mut patch = json!({
        "apiVersion": version,
        "kind": "ClusterConfiguration",
        "metadata": {"name": "config"},
        // The node's /tmp is a tmpfs: no disk waits for fsync.
        "etcd": {"local": {"dataDir": "/tmp/etcd"}},
        "apiServer": {"extraArgs": arguments(&api_server), "extraVolumes": audit::volumes()},
        "controllerManager": {"extraArgs": arguments(&controller_manager)},
        "scheduler": scheduler(arguments, options.super_admin),
    });
    // Ten RSA keys take a second of processor time, elliptic ones none to speak of.
    if version.ends_with("v1beta3") {
        patch["featureGates"] = json!({"PublicKeysECDSA": true});
    } else {
        patch["encryptionAlgorithm"] = json!("ECDSA-P256");
    }
    patch
}

/// Keeps pods off a node until it reaches Services: [`super::api::admit_pods`] takes it away. What starts sooner is refused, and
/// asks again seconds later.
pub(crate) const STARTING: &str = "dev.meshproof/starting";

fn join_patch(version: &str) -> Value {
    json!({
        "apiVersion": version,
        "kind": "JoinConfiguration",
        "metadata": {"name": "config"},
        "nodeRegistration": {"taints": [{"key": STARTING, "effect": "NoSchedule"}]},
    })
}

fn init_patch(version: &str, nodes: u8) -> Value {
    // kind removes the first from a single node and fails if it is not there; with this effect nothing has to wait for that.
    let effect = if nodes <= 1 { "PreferNoSchedule" } else { "NoSchedule" };
    // A patch replaces the list, so kind's own `preflight` is repeated. DNS is ours (kind-config/cluster/coredns.yaml).
    // What is final for the kubelet is a restart, to read a certificate that can be rotated; the one it has lives a year.
    json!({
        "apiVersion": version,
        "kind": "InitConfiguration",
        "metadata": {"name": "config"},
        "skipPhases": ["preflight", "addon/coredns", "kubelet-finalize", "show-join-command"],
        "patches": {"directory": PATCHES_IN_NODE},
        "nodeRegistration": {"taints": [
            {"key": "node-role.kubernetes.io/control-plane", "effect": effect},
            {"key": STARTING, "effect": "NoSchedule"},
        ]},
    })
}

fn kubelet_patch(options: KindOptions) -> Value {
    let mut patch = host_patch(options);
    patch["serializeImagePulls"] = json!(false);
    // Only the newest file of a log can be read: one of minutes of constant traffic has to fit into it.
    patch["containerLogMaxSize"] = json!("100Mi");
    if options.nodes > 1 {
        // A quarter of it is the time between renewals.
        patch["nodeLeaseDurationSeconds"] = json!(NODE_LEASE_SECONDS);
    }
    patch
}

/// What the host needs the kubelet to be told; nothing on usual hosts.
pub(crate) fn host_patch(options: KindOptions) -> Value {
    let mut patch = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "metadata": {"name": "config"},
    });
    if options.without_sys_resource {
        patch["featureGates"] = json!({"KubeletInUserNamespace": true});
    }
    if options.cgroup_v1 {
        patch["failCgroupV1"] = json!(false);
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: KindOptions =
        KindOptions { nodes: 1, without_sys_resource: false, cgroup_v1: false, super_admin: true };

    fn parsed(options: KindOptions) -> (Value, Vec<Value>) {
        let config: Value = serde_json::from_str(&config(options, Path::new("/state"))).unwrap();
        let patches = config["kubeadmConfigPatches"]
            .as_array()
            .unwrap()
            .iter()
            .map(|patch| serde_json::from_str(patch.as_str().unwrap()).unwrap())
            .collect();
        (config, patches)
    }

    fn patch<'a>(patches: &'a [Value], version: &str, kind: &str) -> &'a Value {
        patches.iter().find(|p| p["kind"] == kind && p["apiVersion"] == version).unwrap()
    }

    #[test]
    fn the_first_node_is_the_control_plane_and_the_rest_are_workers() {
        let (config, _) = parsed(KindOptions { nodes: 3, ..PLAIN });
        let roles: Vec<&str> =
            config["nodes"].as_array().unwrap().iter().map(|n| n["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["control-plane", "worker", "worker"]);
    }

    #[test]
    fn kubeadm_finds_the_patches_where_they_are_mounted() {
        let (config, patches) = parsed(KindOptions { nodes: 2, ..PLAIN });
        let mount = &config["nodes"][0]["extraMounts"][0];
        let init = patch(&patches, "kubeadm.k8s.io/v1beta3", "InitConfiguration");
        assert_eq!(mount["hostPath"], "/state/patches");
        assert_eq!(mount["containerPath"], init["patches"]["directory"]);
        assert!(static_pod_patches().iter().any(|(name, _)| name == "kube-apiserver+strategic.json"));
    }

    #[test]
    fn the_api_server_finds_its_audit_policy_where_it_is_mounted() {
        let (config, patches) = parsed(KindOptions { nodes: 2, ..PLAIN });
        let mount = &config["nodes"][0]["extraMounts"][1];
        assert_eq!(mount["hostPath"], "/state/audit");
        for (version, argument) in [
            ("kubeadm.k8s.io/v1beta3", json!("/kind/meshproof-audit/policy.yaml")),
            (
                "kubeadm.k8s.io/v1beta4",
                json!({"name": "audit-policy-file", "value": "/kind/meshproof-audit/policy.yaml"}),
            ),
        ] {
            let server = &patch(&patches, version, "ClusterConfiguration")["apiServer"];
            assert_eq!(server["extraVolumes"][0]["hostPath"], mount["containerPath"]);
            let arguments = &server["extraArgs"];
            assert!(arguments["audit-policy-file"] == argument || arguments[1] == argument, "{arguments}");
        }
    }

    #[test]
    fn skipped_phases_repeat_kinds_own() {
        for nodes in [1, 3] {
            let (_, patches) = parsed(KindOptions { nodes, ..PLAIN });
            let init = patch(&patches, "kubeadm.k8s.io/v1beta3", "InitConfiguration");
            assert_eq!(init["skipPhases"][0], "preflight");
        }
    }

    #[test]
    fn only_a_single_node_takes_pods_despite_being_the_control_plane() {
        let (_, one) = parsed(PLAIN);
        let (_, two) = parsed(KindOptions { nodes: 2, ..PLAIN });
        let version = "kubeadm.k8s.io/v1beta3";
        let taints =
            |patches: &[Value]| patch(patches, version, "InitConfiguration")["nodeRegistration"].clone();
        assert_eq!(taints(&one)["taints"][0]["effect"], "PreferNoSchedule");
        assert_eq!(taints(&two)["taints"][0]["effect"], "NoSchedule");
    }

    #[test]
    fn every_node_waits_for_its_services() {
        let (_, patches) = parsed(KindOptions { nodes: 2, ..PLAIN });
        for (kind, at) in [("InitConfiguration", 1), ("JoinConfiguration", 0)] {
            let node = &patch(&patches, "kubeadm.k8s.io/v1beta3", kind)["nodeRegistration"];
            assert_eq!(node["taints"][at], json!({"key": STARTING, "effect": "NoSchedule"}), "{kind}");
        }
    }

    #[test]
    fn both_versions_of_kubeadms_configuration_get_their_own_form_of_arguments() {
        let (_, patches) = parsed(PLAIN);
        let old = patch(&patches, "kubeadm.k8s.io/v1beta3", "ClusterConfiguration");
        assert_eq!(old["scheduler"]["extraArgs"]["leader-elect"], "false");
        let new = patch(&patches, "kubeadm.k8s.io/v1beta4", "ClusterConfiguration");
        assert_eq!(new["scheduler"]["extraArgs"][0], json!({"name": "leader-elect", "value": "false"}));
    }

    #[test]
    fn the_scheduler_waits_for_no_role_where_it_need_not() {
        assert_eq!(
            ["v1.28.15", "v1.29.0", "v1.34.4", "v2.0.0", ""].map(has_super_admin),
            [false, true, true, true, false]
        );
        let version = "kubeadm.k8s.io/v1beta3";
        let scheduler = |super_admin| {
            let (_, patches) = parsed(KindOptions { super_admin, ..PLAIN });
            patch(&patches, version, "ClusterConfiguration")["scheduler"].clone()
        };
        assert_eq!(
            scheduler(true)["extraArgs"]["kubeconfig"],
            scheduler(true)["extraVolumes"][0]["mountPath"]
        );
        assert_eq!(scheduler(false)["extraArgs"]["kubeconfig"], Value::Null);
    }

    #[test]
    fn a_node_among_several_is_missed_soon() {
        let version = "kubeadm.k8s.io/v1beta3";
        let grace = |nodes| {
            let (_, patches) = parsed(KindOptions { nodes, ..PLAIN });
            let manager = &patch(&patches, version, "ClusterConfiguration")["controllerManager"];
            manager["extraArgs"]["node-monitor-grace-period"].clone()
        };
        assert_eq!((grace(1), grace(3)), (Value::Null, json!("12s")));
        assert_eq!(kubelet_patch(PLAIN)["nodeLeaseDurationSeconds"], Value::Null);
        assert_eq!(kubelet_patch(KindOptions { nodes: 3, ..PLAIN })["nodeLeaseDurationSeconds"], 12);
    }

    #[test]
    fn hosts_that_lack_nothing_are_left_as_they_are() {
        let kubelet = |options| kubelet_patch(options);
        assert_eq!(kubelet(PLAIN)["featureGates"], Value::Null);
        assert_eq!(kubelet(PLAIN)["failCgroupV1"], Value::Null);
        let special = KindOptions { without_sys_resource: true, cgroup_v1: true, ..PLAIN };
        assert_eq!(kubelet(special)["featureGates"]["KubeletInUserNamespace"], true);
        assert_eq!(kubelet(special)["failCgroupV1"], false);
    }
}
