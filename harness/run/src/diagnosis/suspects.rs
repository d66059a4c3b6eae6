//! Which pods can be at fault for a claim that did not hold.

use serde_json::Value;

use super::{
    Facts,
    facts::{condition, items, text},
};

/// Pods that the claim may need. Where the gateway has answered, the backend's and the implementation's; for a claim about a
/// status, all but those of the scenario's namespaces, on which no status depends.
pub(super) fn suspects(facts: &Facts) -> impl Iterator<Item = &Value> {
    let status = facts.claim.word == "status";
    let answered = facts.last_account().is_some() || (!status && facts.claim.last_status.is_some());
    facts.list("pods").iter().filter(move |pod| match () {
        () if answered => concerns(facts, pod),
        () if status => !facts.claim.is_of_scenario(text(&pod["metadata"]["namespace"])),
        () => true,
    })
}

/// Whether the claim cannot hold without pods that are Ready: it is about pods, or the gateway found none, or it said nothing.
pub(super) fn needs_pods(facts: &Facts) -> bool {
    let about_pods = matches!(facts.claim.word.as_str(), "pods" | "status" | "install");
    facts.last_account().is_none_or(|entry| about_pods || entry.reason == "no_endpoint")
}

/// Whether a pod is one of the backend's or of the implementation's.
fn concerns(facts: &Facts, pod: &Value) -> bool {
    let namespace = text(&pod["metadata"]["namespace"]);
    let name = &pod["metadata"]["name"];
    facts.names.owns(namespace) || facts.backend_pods().any(|backend| backend["metadata"]["name"] == *name)
}

/// Statuses of all containers of a pod, the init containers' first.
pub(super) fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    let status = &pod["status"];
    items(&status["initContainerStatuses"]).iter().chain(items(&status["containerStatuses"]))
}

/// Whether a pod is Ready, or has done its work.
pub(super) fn is_ready(pod: &Value) -> bool {
    let finished = pod["status"]["phase"] == "Succeeded";
    finished
        || condition(&pod["status"]["conditions"], "Ready").is_some_and(|ready| ready["status"] == "True")
}
