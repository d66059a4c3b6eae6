//! How long the mesh's proxies go on with connections whose configuration has changed: nothing that a claim sees before then
//! can be told from what was there before.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use tokio::time::timeout_at;

use crate::context::{Context, Trouble};
use crate::ports::Query;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::limits;
use meshproof_model::yaml;

/// The mesh's drain time; Istio's default where the mesh says nothing, or where there is none.
///
/// # Errors
/// The mesh's configuration cannot be read, or is not understood.
pub(super) async fn time(context: &Context<'_>) -> Result<Duration, Trouble> {
    let doing = "reading the drain time of the mesh";
    let expected = "meshConfig.defaultConfig.drainDuration, if it is set";
    let (Some(maps), Some(deployments)) = (Kind::by_word("configmap"), Kind::by_word("deployment")) else {
        return Err(Trouble::error(doing, expected, "ConfigMaps are unknown"));
    };
    // istiod's own, whatever its namespace: it is called so unless it has a revision.
    let mut names = BTreeSet::from(["istio".to_owned()]);
    for istiod in listed(context, deployments, None).await? {
        names.extend(of_revision(&istiod));
    }
    let mut longest = None;
    for name in names {
        for map in listed(context, maps, Some(name)).await? {
            let given = given(&map).map_err(|because| Trouble::error(doing, expected, because))?;
            longest = longest.max(given);
        }
    }
    Ok(longest.unwrap_or(limits::DRAIN))
}

/// The objects of a kind in all namespaces.
async fn listed(
    context: &Context<'_>,
    kind: &'static Kind,
    name: Option<String>,
) -> Result<Vec<Value>, Trouble> {
    let query = Query { kind, namespace: None, name };
    let mut found = context.outside.objects.observe(&query);
    match timeout_at(context.deadline(), found.next()).await {
        Ok(Some(found)) => Ok(found?),
        Ok(None) | Err(_) => Err(Trouble::error(
            "reading the drain time of the mesh",
            format!("{} of all namespaces", kind.plural),
            "the API server listed nothing in time",
        )),
    }
}

/// Name of the ConfigMap of a control plane that has a revision.
fn of_revision(istiod: &Value) -> Option<String> {
    let labels = &istiod["metadata"]["labels"];
    let revision = labels["istio.io/rev"].as_str().filter(|revision| !revision.is_empty())?;
    (labels["app"] == "istiod" && revision != "default").then(|| format!("istio-{revision}"))
}

/// What one ConfigMap gives.
fn given(map: &Value) -> Result<Option<Duration>, String> {
    let Some(mesh) = map["data"]["mesh"].as_str() else { return Ok(None) };
    let mesh: Vec<Value> = yaml::documents(mesh).map_err(|error| format!("ConfigMap istio: {error}"))?;
    let Some(given) = mesh.first().and_then(|mesh| mesh["defaultConfig"]["drainDuration"].as_str()) else {
        return Ok(None);
    };
    let seconds = given.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok());
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .map(Some)
        .ok_or_else(|| format!("`{given}` in ConfigMap istio is no duration such as 45s"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_revisions_config_has_its_name() {
        let istiod = |labels: Value| of_revision(&json!({"metadata": {"labels": labels}}));
        assert_eq!(
            istiod(json!({"app": "istiod", "istio.io/rev": "canary"})).as_deref(),
            Some("istio-canary")
        );
        assert_eq!(istiod(json!({"app": "istiod", "istio.io/rev": "default"})), None);
        assert_eq!(istiod(json!({"app": "web", "istio.io/rev": "canary"})), None);
    }

    #[test]
    fn the_mesh_says_how_long_it_drains() {
        let map = |mesh: &str| json!({"data": {"mesh": mesh}});
        assert_eq!(given(&map("defaultConfig:\n  drainDuration: 5s\n")), Ok(Some(Duration::from_secs(5))));
        assert_eq!(
            given(&map("defaultConfig: {drainDuration: 1.5s}")),
            Ok(Some(Duration::from_millis(1500)))
        );
        assert_eq!(given(&map("trustDomain: cluster.local\n")), Ok(None));
        assert_eq!(given(&json!({"data": {"other": "x"}})), Ok(None));
        assert!(given(&map("defaultConfig: {drainDuration: soon}")).unwrap_err().contains("`soon`"));
    }
}
