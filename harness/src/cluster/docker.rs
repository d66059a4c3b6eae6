//! What is asked of the docker engine about one cluster: its containers and its network.

use serde_json::Value;

use super::network::{NETWORK_LABEL, network_name};
use super::state::NodeContainer;
use crate::engine::Engine;
use crate::supply::command::{CommandError, Tool};

/// kind's label on the containers of a cluster.
const KIND_LABEL: &str = "io.x-k8s.kind.cluster";

/// A docker command line; `doing` says what for.
pub(crate) fn docker(engine: &Engine, doing: impl Into<String>, args: &[&str]) -> Tool {
    engine.tool(doing).args(args)
}

/// The containers of kind's cluster `name`, whoever made them, sorted by name.
pub(crate) async fn containers(engine: &Engine, name: &str) -> Result<Vec<NodeContainer>, CommandError> {
    let filter = format!("label={KIND_LABEL}={name}");
    let list = ["ps", "--all", "--no-trunc", "--quiet", "--filter", &filter];
    let ids = docker(engine, "listing the nodes of the cluster", &list).run().await?;
    if ids.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut inspect = vec!["inspect", "--type", "container"];
    inspect.extend(ids.split_whitespace());
    let json = docker(engine, "looking at the nodes of the cluster", &inspect).run().await?;
    Ok(parse_containers(&json))
}

/// Reads `docker inspect`'s answer; what has no id or name is left out.
fn parse_containers(json: &str) -> Vec<NodeContainer> {
    let all: Vec<Value> = serde_json::from_str(json).unwrap_or_default();
    let mut nodes: Vec<NodeContainer> = all
        .iter()
        .filter_map(|container| {
            Some(NodeContainer {
                name: container["Name"].as_str()?.trim_start_matches('/').to_owned(),
                id: container["Id"].as_str()?.to_owned(),
                started_at: container["State"]["StartedAt"].as_str().unwrap_or_default().to_owned(),
                running: container["State"]["Running"].as_bool().unwrap_or_default(),
                networks: container["NetworkSettings"]["Networks"]
                    .as_object()
                    .map(|networks| networks.keys().cloned().collect())
                    .unwrap_or_default(),
            })
        })
        .collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    nodes
}

/// Stops and removes containers with their anonymous volumes.
pub(crate) async fn remove_containers(engine: &Engine, nodes: &[NodeContainer]) -> Result<(), CommandError> {
    if nodes.is_empty() {
        return Ok(());
    }
    let mut args = vec!["rm", "--force", "--volumes"];
    args.extend(nodes.iter().map(|node| node.id.as_str()));
    docker(engine, "removing the nodes of the cluster", &args).run().await?;
    Ok(())
}

/// Makes the network of the cluster unless it is there, and returns its subnet as docker prints it.
pub(crate) async fn ensure_network(engine: &Engine, cluster: &str) -> Result<String, CommandError> {
    let name = network_name(cluster);
    if let Some(subnet) = subnet(engine, &name).await? {
        return Ok(subnet);
    }
    let label = format!("{NETWORK_LABEL}={cluster}");
    let create = ["network", "create", "--driver", "bridge", "--label", &label, &name];
    docker(engine, "making the network of the cluster", &create).run().await?;
    Ok(subnet(engine, &name).await?.unwrap_or_default())
}

/// Whether the network of the cluster is there.
pub(crate) async fn has_network(engine: &Engine, cluster: &str) -> Result<bool, CommandError> {
    Ok(subnet(engine, &network_name(cluster)).await?.is_some())
}

/// Removes the network of the cluster, which must be there and empty.
pub(crate) async fn remove_network(engine: &Engine, cluster: &str) -> Result<(), CommandError> {
    let name = network_name(cluster);
    docker(engine, "removing the network of the cluster", &["network", "rm", &name]).run().await?;
    Ok(())
}

async fn subnet(engine: &Engine, network: &str) -> Result<Option<String>, CommandError> {
    // `ls` answers an empty list where `inspect` fails; its filter matches parts of names, hence the anchors.
    let filter = format!("name=^{network}$");
    let list = ["network", "ls", "--quiet", "--no-trunc", "--filter", &filter];
    let id = docker(engine, "looking for the network of the cluster", &list).run().await?;
    let id = id.trim();
    if id.is_empty() {
        return Ok(None);
    }
    let format = "{{range .IPAM.Config}}{{.Subnet}} {{end}}";
    let inspect = ["network", "inspect", "--format", format, id];
    let subnets = docker(engine, "reading the network of the cluster", &inspect).run().await?;
    let first = subnets.split_whitespace().find(|subnet| !subnet.contains("::"));
    Ok(Some(first.unwrap_or_default().to_owned()))
}

/// Version of the engine's cgroups is 1.
pub(crate) async fn cgroup_v1(engine: &Engine) -> Result<bool, CommandError> {
    let info = ["info", "--format", "{{.CgroupVersion}}"];
    let version = docker(engine, "asking the engine for its cgroup version", &info).run().await?;
    Ok(version.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inspected_containers_are_read_and_sorted() {
        let json = r#"[
          {"Id": "2", "Name": "/m-worker", "State": {"Running": false, "StartedAt": "t2"},
           "NetworkSettings": {"Networks": {"meshproof-m": {}}}},
          {"Id": "1", "Name": "/m-control-plane", "State": {"Running": true, "StartedAt": "t1"},
           "NetworkSettings": {"Networks": {"meshproof-m": {}, "other": {}}}}
        ]"#;
        let nodes = parse_containers(json);
        assert_eq!(
            nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(),
            ["m-control-plane", "m-worker"]
        );
        assert!(nodes[0].running && !nodes[1].running);
        assert_eq!(nodes[0].networks, ["meshproof-m", "other"]);
    }

    #[test]
    fn an_answer_that_is_no_json_means_no_containers() {
        assert!(parse_containers("").is_empty());
    }
}
