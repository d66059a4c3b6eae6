//! The chart carries the custom resource definitions as YAML; the Rust types are the source.

use std::path::PathBuf;

fn chart_crds() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../charts/alb-controller/crds")
}

/// After a deliberate change of a type: `UPDATE_CRDS=1 cargo test -p alb-api --test crds`.
#[test]
fn the_chart_carries_the_definitions_of_the_rust_types() {
    for crd in alb_api::custom_resource_definitions() {
        let name = crd.metadata.name.clone().unwrap();
        let path = chart_crds().join(format!("{}.yaml", crd.spec.names.plural));
        let expected = serde_yaml::to_string(&crd).unwrap();
        if std::env::var_os("UPDATE_CRDS").is_some() {
            std::fs::create_dir_all(chart_crds()).unwrap();
            std::fs::write(&path, &expected).unwrap();
        }
        let actual = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(actual, expected, "{name}: {} differs; run with UPDATE_CRDS=1", path.display());
    }
}

#[test]
fn the_status_of_a_load_balancer_is_a_subresource() {
    let crds = alb_api::custom_resource_definitions();
    let alb = crds.iter().find(|crd| crd.spec.names.kind == "ApplicationLoadBalancer").unwrap();
    assert_eq!(alb.metadata.name.as_deref(), Some("applicationloadbalancers.alb.networking.azure.io"));
    assert!(alb.spec.versions.iter().all(|v| v.subresources.as_ref().is_some_and(|s| s.status.is_some())));
}
