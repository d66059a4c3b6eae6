//! Objects and events, redacted.

use std::collections::{BTreeMap, BTreeSet};

use futures::{FutureExt, StreamExt, future::BoxFuture};
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams},
};
use serde_json::Value;

use super::{
    QUESTION,
    folder::Folder,
    in_parallel,
    kinds::{CLUSTER_WIDE, Kind, NAMESPACED},
    redact,
};
use meshproof_model::scenario::kinds::KINDS;
use meshproof_model::yaml;

/// Objects of one kind are asked for up to this number.
const MOST: u32 = 500;

/// A kind, a namespace (if it is one of those), and what was listed.
type Listed<'a> = (Kind, Option<&'a str>, Result<Vec<Value>, String>);

/// Lists every kind in every namespace, and `more` of them, writes what there is and adds it, by plural, to `all`: answer by answer, for time may
/// run out.
pub(super) async fn collect(
    client: &Client,
    namespaces: &BTreeSet<String>,
    more: &[Kind],
    all: &mut BTreeMap<String, Vec<Value>>,
    folder: &mut Folder,
) {
    let mut questions: Vec<BoxFuture<'_, Listed<'_>>> = Vec::new();
    let is_namespaced = |kind: &&Kind| {
        let known = KINDS.iter().find(|known| known.group == kind.0 && known.plural == kind.3);
        known.is_some_and(|known| known.namespaced)
    };
    let (namespaced, cluster_wide): (Vec<&Kind>, Vec<&Kind>) = more.iter().partition(is_namespaced);
    for kind in CLUSTER_WIDE.iter().chain(cluster_wide) {
        questions.push(async { (*kind, None, list(client, *kind, None).await) }.boxed());
    }
    for kind in NAMESPACED.iter().chain(namespaced) {
        for namespace in namespaces {
            questions.push(
                async move { (*kind, Some(namespace.as_str()), list(client, *kind, Some(namespace)).await) }
                    .boxed(),
            );
        }
    }
    let mut lists = in_parallel(questions);
    while let Some((Kind(_, _, _, plural), namespace, listed)) = lists.next().await {
        let path = format!("objects/{}/{plural}.yaml", namespace.unwrap_or("cluster"));
        match listed {
            Ok(objects) if objects.is_empty() => {}
            Ok(objects) => {
                // Who else is in the cluster is nobody's business.
                let about = |object: &&Value| {
                    plural != "namespaces"
                        || object["metadata"]["name"].as_str().is_some_and(|name| namespaces.contains(name))
                };
                let text: Vec<String> =
                    objects.iter().filter(about).filter_map(|object| yaml::to_string(object).ok()).collect();
                folder.write(&path, &text.join("---\n"));
                all.entry(plural.to_string()).or_default().extend(objects);
            }
            Err(reason) => folder.missing(format!("{path}: {reason}")),
        }
    }
}

async fn list(client: &Client, kind: Kind, namespace: Option<&str>) -> Result<Vec<Value>, String> {
    let resource = kind.resource();
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let parameters = ListParams::default().limit(MOST);
    let list = match tokio::time::timeout(QUESTION, api.list(&parameters)).await {
        Ok(Ok(list)) => list,
        // The kind is not installed: there is nothing of it.
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => return Ok(Vec::new()),
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err("no answer in time".into()),
    };
    let mut objects: Vec<Value> = Vec::with_capacity(list.items.len());
    for item in list.items {
        let mut object = serde_json::to_value(item).map_err(|error| error.to_string())?;
        // Lists leave out what their items are.
        if let Some(map) = object.as_object_mut() {
            map.insert("apiVersion".into(), resource.api_version.as_str().into());
            map.insert("kind".into(), resource.kind.as_str().into());
        }
        redact::object(&mut object);
        objects.push(object);
    }
    Ok(objects)
}
