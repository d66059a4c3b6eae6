//! Golden tests of the translation: each file of `tests/golden` is a cluster, as manifests; its snapshot beside it is
//! what the controller makes of it. A manifest of kind `Proxies` says what the proxies have made of their
//! configuration: `state` is `Programmed` (the default), `Pending`, `NoProxy`, or `Rejected` with a `message` and
//! optionally the one `resource` that was refused. What objects refer to and the file does not hold does not exist; with
//! `unanswered: true` the API server has not answered for it yet.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use alb_config::server::ResourceState;
use alb_controller::plan::{Action, plan};
use alb_controller::translate::{Progress, ProxyTemplate, Settings, Translation, translate};
use alb_controller::world::{CaBundle, TlsSecret, Watched, World};
use kube::core::DynamicObject;
use rstest::rstest;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Proxies {
    state: String,
    message: String,
    resource: Option<String>,
    unanswered: bool,
    /// They are of a version that has no capability.
    old: bool,
}

impl Progress for Proxies {
    fn resource(&self, _: &str, name: &str, _: &str) -> ResourceState {
        match self.state.as_str() {
            _ if self.resource.as_deref().is_some_and(|resource| resource != name) => {
                ResourceState::Programmed
            }
            "NoProxy" => ResourceState::NoProxy,
            "Pending" => ResourceState::Pending { acknowledged: 1, connected: 2 },
            "Rejected" => ResourceState::Rejected { message: self.message.clone() },
            _ => ResourceState::Programmed,
        }
    }

    fn can(&self, _: &str, _: &str) -> bool {
        !self.old
    }
}

fn settings() -> Settings {
    Settings {
        zone: "alb.internal".to_owned(),
        proxy: ProxyTemplate {
            image: "localhost/meshproof/alb-proxy:test".to_owned(),
            pull_policy: "IfNotPresent".to_owned(),
            replicas: 2,
            resources: json!({}),
            log: "info".to_owned(),
            drain_seconds: 20,
            ..ProxyTemplate::default()
        },
    }
}

fn documents(path: &PathBuf) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect()
}

fn load(path: &PathBuf) -> (World, Proxies) {
    build(documents(path))
}

fn build(documents: Vec<Value>) -> (World, Proxies) {
    let (mut world, mut proxies) = (World::default(), Proxies::default());
    for value in documents {
        let kind = value["kind"].as_str().unwrap().to_owned();
        if kind == "Proxies" {
            proxies = serde_json::from_value(value).unwrap();
            continue;
        }
        let object: DynamicObject = serde_json::from_value(value).unwrap();
        let is_identity = object.metadata.name.as_deref() == Some(alb_api::names::IDENTITY_SECRET);
        let watched = Watched::ALL.into_iter().find(|watched| {
            watched.resource().kind == kind
                && (*watched != Watched::Identity || is_identity)
                && (*watched != Watched::Certificate || !is_identity)
        });
        world.apply(watched.unwrap_or_else(|| panic!("{kind} is not watched")), object);
    }
    // The API server has answered for everything that is referred to, which may be found out in two steps.
    for _ in 0..2 {
        let references = translate(&world, &settings(), &proxies).references;
        for (kind, key) in references.into_iter().filter(|_| !proxies.unanswered) {
            match kind {
                Watched::Pod => drop(world.know_pods(&key.namespace)),
                Watched::Certificate if !world.tls_secrets.contains_key(&key) => {
                    world.set_tls_secret(key, TlsSecret::Absent);
                }
                Watched::ConfigMap if !world.ca_bundles.contains_key(&key) => {
                    world.set_ca_bundle(key, CaBundle::Absent);
                }
                _ => {}
            }
        }
    }
    (world, proxies)
}

/// What a reviewer wants to see: configuration, Services in short, statuses, warnings.
fn render(translation: &Translation) -> Value {
    let resources = |snapshot: &alb_config::Snapshot| -> serde_json::Map<String, Value> {
        snapshot
            .resources()
            .map(|(name, kind)| {
                let unknown = if snapshot.is_unknown(name) { " (for proxies that hold nothing)" } else { "" };
                (format!("{name}{unknown}"), serde_json::to_value(kind).unwrap())
            })
            .collect()
    };
    let mut rendered = json!({
        "configuration": translation.snapshots.iter()
            .map(|(id, snapshot)| (id.clone(), Value::Object(resources(snapshot))))
            .collect::<serde_json::Map<_, _>>(),
        "deployments": translation.deployments.keys().map(ToString::to_string).collect::<Vec<_>>(),
        "services": translation.services.iter()
            .map(|(key, service)| (key.to_string(), service["spec"]["ports"].clone()))
            .collect::<serde_json::Map<_, _>>(),
        "statuses": {
            "gatewayClasses": named(&translation.statuses.gateway_classes),
            "loadBalancers": named(&translation.statuses.load_balancers),
            "gateways": named(&translation.statuses.gateways),
            "routes": named(&translation.statuses.routes),
        },
        "warnings": translation.warnings.iter()
            .map(|warning| format!("{:?} {}: {}: {}", warning.subject.kind, warning.subject.key, warning.reason, warning.message))
            .collect::<Vec<_>>(),
    });
    let references = |wanted: Watched| -> Value {
        let of_kind = translation.references.iter().filter(|(kind, _)| *kind == wanted);
        of_kind.map(|(_, key)| key.to_string()).collect()
    };
    if references(Watched::Certificate) != json!([]) {
        rendered["secrets"] = references(Watched::Certificate);
    }
    let sets = &translation.statuses.listener_sets;
    if !sets.is_empty() {
        rendered["statuses"]["listenerSets"] = named(sets);
    }
    if references(Watched::ConfigMap) != json!([]) {
        rendered["configMaps"] = references(Watched::ConfigMap);
    }
    let policies = &translation.statuses.backend_tls_policies;
    if !policies.is_empty() {
        rendered["statuses"]["backendTlsPolicies"] = named(policies);
        rendered["configMaps"] = references(Watched::ConfigMap);
    }
    rendered
}

fn named<T: serde::Serialize>(map: &std::collections::BTreeMap<alb_controller::world::Key, T>) -> Value {
    map.iter().map(|(key, value)| (key.to_string(), serde_json::to_value(value).unwrap())).collect()
}

#[rstest]
fn translation_is_as_reviewed(#[files("tests/golden/*.yaml")] path: PathBuf) {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let (world, proxies) = load(&path);
    let translation = translate(&world, &settings(), &proxies);
    insta::with_settings!({snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_yaml_snapshot!(name, render(&translation));
    });
}

#[rstest]
fn the_same_world_gives_the_same_bytes(#[files("tests/golden/*.yaml")] path: PathBuf) {
    let (world, proxies) = load(&path);
    let one = translate(&world, &settings(), &proxies);
    let two = translate(&world, &settings(), &proxies);
    assert_eq!(render(&one), render(&two));
    assert_eq!(one.deployments, two.deployments);
    assert_eq!(one.snapshots, two.snapshots);
}

/// Writing what was planned, and looking again a minute later, leaves nothing to be written.
#[rstest]
fn a_plan_carried_out_leaves_nothing_to_plan(#[files("tests/golden/*.yaml")] path: PathBuf) {
    let mut objects = documents(&path);
    let (world, proxies) = load(&path);
    let at = |second| jiff::Timestamp::from_second(second).unwrap();
    let writes = plan(&world, &translate(&world, &settings(), &proxies), at(0));
    for write in writes {
        let (kind, key) = (write.target.0.resource().kind, write.target.1);
        let position = objects.iter().position(|object| {
            object["kind"] == kind.as_str()
                && object["metadata"]["name"] == key.name.as_str()
                && object["metadata"]["namespace"].as_str().unwrap_or_default() == key.namespace
        });
        match (write.action, position) {
            (Action::PatchStatus(patch), Some(position)) => {
                let status = &mut objects[position]["status"];
                if status.is_null() {
                    *status = json!({});
                }
                for (field, value) in patch["status"].as_object().unwrap() {
                    match value {
                        Value::Null => drop(status.as_object_mut().unwrap().remove(field)),
                        value => status[field] = value.clone(),
                    }
                }
            }
            (Action::Apply(mut manifest), position) => {
                if let Some(position) = position {
                    manifest["status"] = objects.remove(position)["status"].clone();
                }
                objects.push(manifest);
            }
            (Action::Delete { .. }, Some(position)) => drop(objects.remove(position)),
            (action, None) => panic!("{kind} {key} does not exist: {action:?}"),
        }
    }
    let (world, proxies) = build(objects);
    let again = plan(&world, &translate(&world, &settings(), &proxies), at(60));
    assert_eq!(again, []);
}

/// What is made for a Gateway carries what it asks for, and what the controller knows it by.
#[test]
fn labels_and_annotations_of_infrastructure_are_those_of_the_frontend() {
    let (world, proxies) =
        load(&concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/infrastructure.yaml").into());
    let translation = translate(&world, &settings(), &proxies);
    let service = translation.services.values().next().unwrap();
    let (labels, annotations) = (&service["metadata"]["labels"], &service["metadata"]["annotations"]);
    assert_eq!(labels["team"], "a");
    assert_eq!(labels["app.kubernetes.io/managed-by"], "alb-controller");
    assert_eq!(annotations["example.com/cost"], "low");
    assert_eq!(annotations["alb.networking.azure.io/gateway"], "apps/gateway");
    assert_eq!(annotations["alb.networking.azure.io/load-balancer"], "alb-test-infra/alb-test");
}

/// The views of `world` are our own; the Gateway API's types are the reference for their field names.
#[test]
fn the_views_read_what_the_gateway_api_types_write() {
    use gateway_api::apis::standard::httproutes as api;
    let route = api::HttpRouteSpec {
        parent_refs: Some(vec![api::HttpRouteParentRefs {
            name: "gateway".into(),
            section_name: Some("http".into()),
            port: Some(80),
            ..Default::default()
        }]),
        rules: Some(vec![api::HttpRouteRules {
            matches: Some(vec![api::HttpRouteRulesMatches {
                path: Some(api::HttpRouteRulesMatchesPath {
                    r#type: Some(api::HttpRouteRulesMatchesPathType::Exact),
                    value: Some("/a".into()),
                }),
                query_params: Some(vec![api::HttpRouteRulesMatchesQueryParams {
                    name: "q".into(),
                    value: "1".into(),
                    ..Default::default()
                }]),
                method: Some(api::HttpRouteRulesMatchesMethod::Get),
                ..Default::default()
            }]),
            backend_refs: Some(vec![api::HttpRouteRulesBackendRefs {
                name: "backend".into(),
                port: Some(8080),
                weight: Some(3),
                ..Default::default()
            }]),
            timeouts: Some(api::HttpRouteRulesTimeouts {
                backend_request: Some("1s".into()),
                ..Default::default()
            }),
            ..Default::default()
        }]),
        ..Default::default()
    };
    let view: alb_controller::world::HttpRoute =
        serde_json::from_value(serde_json::to_value(&route).unwrap()).unwrap();
    let (parent, rule) = (&view.parent_refs[0], &view.rules[0]);
    assert_eq!((parent.section_name.as_deref(), parent.port), (Some("http"), Some(80)));
    assert_eq!(rule.matches[0].path.as_ref().unwrap().r#type.as_deref(), Some("Exact"));
    assert_eq!(rule.matches[0].query_params[0].name, "q");
    assert_eq!(rule.matches[0].method.as_deref(), Some("GET"));
    assert_eq!((rule.backend_refs[0].port, rule.backend_refs[0].weight), (Some(8080), Some(3)));
    assert_eq!(rule.timeouts.as_ref().unwrap().backend_request.as_deref(), Some("1s"));
}

#[test]
fn the_view_of_a_backend_tls_policy_reads_what_the_gateway_api_types_write() {
    use gateway_api::apis::standard::backendtlspolicies as api;
    let policy = api::BackendTlsPolicySpec {
        target_refs: vec![api::BackendTlsPolicyTargetRefs {
            kind: "Service".into(),
            name: "backend".into(),
            section_name: Some("https".into()),
            ..Default::default()
        }],
        validation: api::BackendTlsPolicyValidation {
            ca_certificate_refs: Some(vec![api::BackendTlsPolicyValidationCaCertificateRefs {
                kind: "ConfigMap".into(),
                name: "ca".into(),
                ..Default::default()
            }]),
            hostname: "backend.example".into(),
            subject_alt_names: Some(vec![api::BackendTlsPolicyValidationSubjectAltNames {
                r#type: api::BackendTlsPolicyValidationSubjectAltNamesType::Uri,
                uri: Some("spiffe://mesh.example/backend".into()),
                ..Default::default()
            }]),
            well_known_ca_certificates: Some("System".into()),
        },
        ..Default::default()
    };
    let view: alb_controller::world::BackendTlsPolicy =
        serde_json::from_value(serde_json::to_value(&policy).unwrap()).unwrap();
    let (target, validation) = (&view.target_refs[0], &view.validation);
    assert_eq!((target.kind.as_str(), target.section_name.as_deref()), ("Service", Some("https")));
    assert_eq!(validation.ca_certificate_refs[0].name, "ca");
    assert_eq!(validation.well_known_ca_certificates.as_deref(), Some("System"));
    assert_eq!(validation.hostname, "backend.example");
    assert_eq!(validation.subject_alt_names[0].r#type, "URI");
    assert_eq!(validation.subject_alt_names[0].uri, "spiffe://mesh.example/backend");
}
