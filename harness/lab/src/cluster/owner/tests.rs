use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, OwnerReference, Time};

use serde_json::{Value, json};

use super::*;

fn object(kind: &str, name: &str, managers: &[(&str, Option<&str>)]) -> Seen {
    let managed = managers.iter().map(|(manager, subresource)| ManagedFieldsEntry {
        manager: Some((*manager).to_owned()),
        subresource: subresource.map(str::to_owned),
        ..ManagedFieldsEntry::default()
    });
    let managed_fields = (!managers.is_empty()).then(|| managed.collect());
    let metadata = ObjectMeta { name: Some(name.to_owned()), managed_fields, ..ObjectMeta::default() };
    Seen { kind: kind.to_owned(), metadata }
}

fn ours(kind: &str, name: &str, managers: &[(&str, Option<&str>)]) -> Seen {
    let mut seen = object(kind, name, managers);
    seen.metadata.labels = Some([(LABEL.to_owned(), "r".to_owned())].into());
    seen
}

#[test]
fn the_label_is_added_to_those_an_object_has() {
    let with = |object: Value| labelled(&object, "r-1")["metadata"]["labels"].clone();
    assert_eq!(with(json!({"metadata": {"name": "a"}})), json!({LABEL: "r-1"}));
    assert_eq!(with(json!({"metadata": {"labels": {"a": "b"}}})), json!({"a": "b", LABEL: "r-1"}));
    assert_eq!(with(json!({"metadata": {"labels": null}})), json!({LABEL: "r-1"}));
    let deployment = json!({"metadata": {}, "spec": {"template": {"metadata": {"labels": {"app": "a"}}}}});
    assert_eq!(
        labelled(&deployment, "r")["spec"],
        deployment["spec"],
        "pods keep the labels they were given"
    );
}

#[test]
fn what_a_person_made_is_foreign_whatever_the_tool() {
    for managers in [
        &[("kubectl-create", None)][..],
        &[("helm", None)],
        &[("argocd-controller", None)],
        &[("kubectl-create", None), ("kube-controller-manager", None)],
        &[],
    ] {
        let seen = [ours("Gateway", "g", &[("meshproof", None)]), object("ConfigMap", "notes", managers)];
        assert_eq!(foreign(&seen), ["configmap/notes"], "{managers:?}");
    }
}

#[test]
fn what_programs_of_the_cluster_and_the_gateway_made_is_nobodys() {
    let gateway = ours("Gateway", "g", &[("meshproof", None), ("some-gateway", Some("status"))]);
    let mut owned = object("ReplicaSet", "a-1", &[("anybody", None)]);
    owned.metadata.owner_references = Some(vec![OwnerReference::default()]);
    let mut going = object("ConfigMap", "going", &[("kubectl", None)]);
    going.metadata.deletion_timestamp =
        serde_json::from_value::<Option<Time>>(json!("2026-01-01T00:00:00Z")).unwrap();
    let seen = [
        gateway,
        object("ConfigMap", "kube-root-ca.crt", &[]),
        object("ConfigMap", "istio-ca-root-cert", &[("pilot-discovery", None)]),
        object("ServiceAccount", "default", &[]),
        object("Secret", "of-the-gateway", &[("some-gateway", None)]),
        object("Event", "e", &[("kubectl-create", None)]),
        owned,
        going,
    ];
    assert_eq!(foreign(&seen), [""; 0]);
}

#[test]
fn a_person_who_wrote_a_status_is_no_controller() {
    let gateway = ours("Gateway", "g", &[("kubectl-edit", Some("status"))]);
    let seen = [gateway, object("Secret", "theirs", &[("kubectl-edit", None)])];
    assert_eq!(foreign(&seen), ["secret/theirs"]);
}

#[test]
fn only_what_bears_the_label_is_a_runs() {
    assert_eq!(run_of(&ours("Pod", "p", &[]).metadata), Some("r"));
    assert_eq!(run_of(&object("Pod", "p", &[]).metadata), None);
}

#[test]
fn in_a_namespace_of_the_gateways_only_what_people_wrote_is_theirs() {
    let mut of_theirs = object("ConfigMap", "of-theirs", &[("helm", None)]);
    let annotations = [("meta.helm.sh/release-name", "theirs"), ("meta.helm.sh/release-namespace", "gw")];
    let annotations = annotations.map(|(name, value)| (name.to_owned(), value.to_owned()));
    of_theirs.metadata.annotations = Some(annotations.into());
    let releases = BTreeSet::from([("gw".to_owned(), "theirs".to_owned())]);
    let is = |object: &Seen| is_peoples(object, &releases);
    assert!(is(&of_theirs));
    assert!(!is_peoples(&of_theirs, &BTreeSet::new()), "a release that is gone");
    assert!(is(&object("ConfigMap", "notes", &[("kubectl-create", None)])));
    assert!(!is(&object("Secret", "of-the-gateway", &[("some-gateway", None)])));
    assert!(!is(&ours("Secret", "of-a-run", &[("kubectl-client-side-apply", None)])));
    assert!(!is(&object("Lease", "leader", &[])));
}
