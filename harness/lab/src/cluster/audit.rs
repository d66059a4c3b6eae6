//! The audit log of a cluster of ours: what the API server is told, and where the log is (pure). A witness reads it.

use serde_json::{Value, json};

/// What is written down.
pub(crate) const POLICY: &str = include_str!("../../../../kind-config/cluster/audit-policy.yaml");
/// Directory of the policy in the cluster's state, and its file there.
pub(crate) const FOLDER: &str = "audit";
pub(crate) const FILE: &str = "policy.yaml";
/// Where the control-plane node finds that directory.
pub(super) const FOLDER_IN_NODE: &str = "/kind/meshproof-audit";
/// The kubelet hands out what is below `/var/log`.
const LOGS: &str = "/var/log/kubernetes";

/// Arguments of the API server. A file of 64 MB holds hours; two more are kept when it is full.
pub(super) const ARGUMENTS: [(&str, &str); 4] = [
    ("audit-policy-file", "/kind/meshproof-audit/policy.yaml"),
    ("audit-log-path", "/var/log/kubernetes/audit.log"),
    ("audit-log-maxsize", "64"),
    ("audit-log-maxbackup", "2"),
];

/// Volumes of the API server, as kubeadm takes them.
pub(super) fn volumes() -> Value {
    json!([
        {"name": "audit-policy", "hostPath": FOLDER_IN_NODE, "mountPath": FOLDER_IN_NODE, "readOnly": true,
            "pathType": "Directory"},
        {"name": "audit-log", "hostPath": LOGS, "mountPath": LOGS, "readOnly": false,
            "pathType": "DirectoryOrCreate"},
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(name: &str) -> &'static str {
        ARGUMENTS.iter().find(|(known, _)| *known == name).unwrap().1
    }

    #[test]
    fn policy_and_log_are_where_the_api_server_is_told() {
        assert_eq!(argument("audit-policy-file"), format!("{FOLDER_IN_NODE}/{FILE}"));
        assert!(argument("audit-log-path").starts_with(&format!("{LOGS}/")));
        assert!(LOGS.starts_with("/var/log/"), "the kubelet hands out nothing else");
        let paths: Vec<Value> =
            volumes().as_array().unwrap().iter().map(|v| v["mountPath"].clone()).collect();
        assert_eq!(paths, [FOLDER_IN_NODE, LOGS]);
    }

    #[test]
    fn the_policy_keeps_holders_of_leases_and_no_content_of_anything_else() {
        let policy: Vec<Value> = meshproof_model::yaml::documents(POLICY).unwrap();
        let rules = policy[0]["rules"].as_array().unwrap().clone();
        let with_content: Vec<&Value> =
            rules.iter().filter(|rule| rule["level"].as_str().unwrap().starts_with("Request")).collect();
        let [leases] = with_content.as_slice() else { panic!("{with_content:?}") };
        assert_eq!(leases["resources"], json!([{"group": "coordination.k8s.io", "resources": ["leases"]}]));
        let last = rules.last().unwrap();
        assert_eq!(
            (&last["level"], &last["userGroups"]),
            (&json!("Metadata"), &json!(["system:serviceaccounts"]))
        );
    }
}
