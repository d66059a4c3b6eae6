use serde_json::{Value, json};

use super::*;

fn thing(kind: &str, metadata: Value) -> Thing {
    let kind = ApiResource {
        group: String::new(),
        version: "v1".into(),
        api_version: "v1".into(),
        kind: kind.into(),
        plural: format!("{}s", kind.to_lowercase()),
    };
    Thing { kind, metadata: serde_json::from_value(metadata).unwrap() }
}

fn names(things: &[Thing]) -> Vec<String> {
    things.iter().map(ToString::to_string).collect()
}

fn by(run: &str) -> Value {
    json!({owner::LABEL: run})
}

const OF_HELM: &str = "meta.helm.sh/release-name";

fn all() -> Vec<Thing> {
    let of = |release: &str| json!({OF_HELM: release, "meta.helm.sh/release-namespace": "gw"});
    let record = |name: &str, labels: Value| {
        let mut labels = labels;
        labels["owner"] = "helm".into();
        labels["name"] = name.into();
        thing(
            "Secret",
            json!({"name": format!("sh.helm.release.v1.{name}.v1"), "namespace": "gw", "labels": labels}),
        )
    };
    vec![
        thing("ConfigMap", json!({"name": "theirs", "namespace": "shop"})),
        thing("Namespace", json!({"name": "shop", "labels": by("r-1")})),
        thing("Gateway", json!({"name": "g", "namespace": "shop", "labels": by("r-1")})),
        thing("GatewayClass", json!({"name": "c", "annotations": of("ours")})),
        thing("Deployment", json!({"name": "d", "namespace": "gw", "annotations": of("theirs")})),
        record("ours", by("r-1")),
        record("theirs", json!({})),
        thing("Namespace", json!({"name": "gw", "annotations": of("ours")})),
        thing("CustomResourceDefinition", json!({"name": "as.b", "labels": by("r-1")})),
        thing("Namespace", json!({"name": "of-the-cluster", "labels": by(owner::UP)})),
        thing("Deployment", json!({"name": "of-the-cluster", "namespace": "x", "labels": by(owner::UP)})),
        thing(
            "Namespace",
            json!({"name": "changed", "managedFields": [{"manager": owner::MANAGER, "operation": "Update"}]}),
        ),
    ]
}

#[test]
fn what_bears_a_runs_label_goes_and_what_helm_made_for_such_a_release() {
    let leftovers = sort(all(), Provider::Existing);
    assert_eq!(names(&leftovers.applied), ["gateway/g in shop"]);
    assert_eq!(names(&leftovers.installed), ["gatewayclass/c", "secret/sh.helm.release.v1.ours.v1 in gw"]);
    assert_eq!(names(&leftovers.namespaces), ["namespace/shop", "namespace/gw"]);
    assert_eq!(names(&leftovers.definitions), ["customresourcedefinition/as.b"]);
}

#[test]
fn what_stays_although_meshproof_has_to_do_with_it_is_told() {
    let others = sort(all(), Provider::Existing).others;
    assert_eq!(others.len(), 2, "{others:?}");
    assert!(
        others[0].starts_with("namespace/of-the-cluster is left alone: `meshproof up` made it"),
        "{others:?}"
    );
    assert!(others[1].starts_with("namespace/changed is left alone: a run has changed it"), "{others:?}");
    assert_eq!(sort(all(), Provider::Kind).others.len(), 1, "its own clusters are full of what it wrote");
}

#[test]
fn after_a_run_goes_what_it_made_and_what_it_installed_stays() {
    let mut all = all();
    all.push(thing("Gateway", json!({"name": "of-another", "namespace": "shop", "labels": by("r-2")})));
    all.push(thing(
        "Namespace",
        json!({"name": "gw-2", "labels": {owner::LABEL: "r-1", "dev.meshproof/for": "releases"}}),
    ));
    all.retain(|thing| is_made_by(thing, "r-1"));
    assert_eq!(names(&all), ["namespace/shop", "gateway/g in shop"]);
}
