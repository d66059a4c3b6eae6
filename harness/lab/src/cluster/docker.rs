//! What is asked of the docker engine about one cluster: its containers and its network.

use std::time::Duration;

use serde::Deserialize as _;
use serde_json::Value;

use super::network::{NETWORK_LABEL, network_name};
use super::state::{ContainerState, NodeContainer};
use crate::command::{CommandError, Failure, Tool};
use crate::engine::Engine;

/// kind's label on the containers of a cluster.
const KIND_LABEL: &str = "io.x-k8s.kind.cluster";
/// An engine that has not said by then which containers there are says nothing; a busy machine takes seconds.
const LISTED: Duration = Duration::from_secs(120);

/// A docker command line; `doing` says what for.
pub fn docker(engine: &Engine, doing: impl Into<String>, args: &[&str]) -> Tool {
    engine.tool(doing).args(args)
}

/// The containers of kind's cluster `name`, whoever made them, sorted by name.
pub async fn containers(engine: &Engine, name: &str) -> Result<Vec<NodeContainer>, CommandError> {
    let filter = format!("label={KIND_LABEL}={name}");
    let list = ["ps", "--all", "--no-trunc", "--quiet", "--filter", &filter];
    let ids = docker(engine, "listing the nodes of the cluster", &list).limit(LISTED).run().await?;
    if ids.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut inspect = vec!["inspect", "--type", "container"];
    inspect.extend(ids.split_whitespace());
    let doing = "looking at the nodes of the cluster";
    let json = docker(engine, doing, &inspect).limit(LISTED).run().await?;
    parse_containers(&json).ok_or_else(|| {
        // Nodes that were not understood are not nodes that are gone.
        let argv = format!("docker {}", inspect.join(" "));
        let outcome = "gave an answer that does not describe containers".to_owned();
        let tail = format!("\n{}", json.chars().take(400).collect::<String>());
        let (elapsed, advice) = (Duration::ZERO, String::new());
        Box::new(Failure { doing: doing.to_owned(), argv, outcome, elapsed, tail, advice }).into()
    })
}

/// Reads `docker inspect`'s answer; nothing if it is not one.
fn parse_containers(json: &str) -> Option<Vec<NodeContainer>> {
    let all: Vec<Value> = serde_json::from_str(json).ok()?;
    let mut nodes = all
        .iter()
        .map(|container| {
            let state = &container["State"]["Status"];
            Some(NodeContainer {
                name: container["Name"].as_str()?.trim_start_matches('/').to_owned(),
                id: container["Id"].as_str()?.to_owned(),
                started_at: container["State"]["StartedAt"].as_str().unwrap_or_default().to_owned(),
                state: ContainerState::deserialize(state).unwrap_or(ContainerState::Unknown),
                networks: container["NetworkSettings"]["Networks"]
                    .as_object()
                    .map(|networks| networks.keys().cloned().collect())
                    .unwrap_or_default(),
            })
        })
        .collect::<Option<Vec<NodeContainer>>>()?;
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    Some(nodes)
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
          {"Id": "2", "Name": "/m-worker", "State": {"Status": "exited", "StartedAt": "t2"},
           "NetworkSettings": {"Networks": {"meshproof-m": {}}}},
          {"Id": "1", "Name": "/m-control-plane", "State": {"Status": "paused", "Running": true, "StartedAt": "t1"},
           "NetworkSettings": {"Networks": {"meshproof-m": {}, "other": {}}}}
        ]"#;
        let nodes = parse_containers(json).unwrap();
        assert_eq!(
            nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>(),
            ["m-control-plane", "m-worker"]
        );
        assert_eq!(
            nodes.iter().map(|n| n.state).collect::<Vec<_>>(),
            [ContainerState::Paused, ContainerState::Exited]
        );
        assert_eq!(nodes[0].networks, ["meshproof-m", "other"]);
    }

    #[test]
    fn an_answer_that_is_not_understood_does_not_mean_that_there_are_no_containers() {
        for answer in ["", "{}", "[{}]", r#"[{"Id": "1"}]"#] {
            assert_eq!(parse_containers(answer), None, "{answer}");
        }
        assert_eq!(parse_containers("[]"), Some(Vec::new()));
    }

    #[test]
    fn a_state_that_is_not_known_proves_nothing() {
        let json =
            r#"[{"Id": "1", "Name": "/m", "State": {"Status": "stopping"}}, {"Id": "2", "Name": "/n"}]"#;
        let nodes = parse_containers(json).unwrap();
        assert!(nodes.iter().all(|node| node.state == ContainerState::Unknown && !node.state.has_ended()));
    }
}
