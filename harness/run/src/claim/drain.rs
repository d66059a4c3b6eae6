//! How long the mesh's proxies go on with connections whose configuration has changed: nothing that a claim sees before then
//! can be told from what was there before.

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
    let Some(kind) = Kind::by_word("configmap") else {
        return Err(Trouble::error(doing, expected, "ConfigMaps are unknown"));
    };
    // istiod's own, whatever its namespace: it is called so unless it has a revision.
    let query = Query { kind, namespace: None, name: Some("istio".to_owned()) };
    let mut maps = context.outside.objects.observe(&query);
    let maps = match timeout_at(context.deadline(), maps.next()).await {
        Ok(Some(maps)) => maps?,
        Ok(None) | Err(_) => {
            return Err(Trouble::error(doing, expected, "the API server listed nothing in time"));
        }
    };
    let mut longest = None;
    for map in &maps {
        let given = given(map).map_err(|because| Trouble::error(doing, expected, because))?;
        longest = longest.max(given);
    }
    Ok(longest.unwrap_or(limits::DRAIN))
}

/// What one ConfigMap gives.
fn given(map: &Value) -> Result<Option<Duration>, String> {
    let Some(mesh) = map["data"]["mesh"].as_str() else { return Ok(None) };
    let mesh: Vec<Value> = yaml::documents(mesh).map_err(|error| format!("ConfigMap istio: {error}"))?;
    let Some(given) = mesh.first().and_then(|mesh| mesh["defaultConfig"]["drainDuration"].as_str()) else {
        return Ok(None);
    };
    limits::duration(given)
        .map(Some)
        .ok_or_else(|| format!("`{given}` in ConfigMap istio is no duration such as 45s"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_mesh_says_how_long_it_drains() {
        let map = |mesh: &str| json!({"data": {"mesh": mesh}});
        assert_eq!(given(&map("defaultConfig:\n  drainDuration: 5s\n")), Ok(Some(Duration::from_secs(5))));
        assert_eq!(given(&map("trustDomain: cluster.local\n")), Ok(None));
        assert_eq!(given(&json!({"data": {"other": "x"}})), Ok(None));
        assert!(given(&map("defaultConfig: {drainDuration: soon}")).unwrap_err().contains("`soon`"));
    }
}
