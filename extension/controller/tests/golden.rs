//! Golden tests of the translation: each file of `tests/golden` is a cluster, as manifests; its snapshot beside it is
//! what the controller makes of it. A manifest of kind `Proxies` says what the proxies have made of their
//! configuration: `state` is `Programmed` (the default), `Pending`, `NoProxy`, or `Rejected` with a `message` and
//! optionally the one `resource` that was refused; one of kind `Edition`, which `edition` of the document is followed. What objects refer to and the file does not hold does not exist; with
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
        ..Settings::default()
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
        if kind == "Edition" {
            world.edition = value["edition"].as_str().unwrap().parse().unwrap();
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
    if !translation.statuses.grpc_routes.is_empty() {
        rendered["statuses"]["grpcRoutes"] = named(&translation.statuses.grpc_routes);
    }
    if !translation.statuses.tls_routes.is_empty() {
        rendered["statuses"]["tlsRoutes"] = named(&translation.statuses.tls_routes);
    }
    for (kind, statuses) in
        translation.statuses.own_policies.iter().filter(|(_, of_kind)| !of_kind.is_empty())
    {
        rendered["statuses"][kind.resource().plural] = named(statuses);
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

#[test]
fn the_view_of_filters_reads_what_the_gateway_api_types_write() {
    use gateway_api::apis::standard::httproutes as api;
    let filter = |r#type, change: fn(&mut api::HttpRouteRulesFilters)| {
        let mut filter = api::HttpRouteRulesFilters { r#type, ..Default::default() };
        change(&mut filter);
        serde_json::from_value::<alb_controller::world::Filter>(serde_json::to_value(&filter).unwrap())
            .unwrap()
    };
    let redirect = filter(api::HttpRouteRulesFiltersType::RequestRedirect, |filter| {
        filter.request_redirect = Some(api::HttpRouteRulesFiltersRequestRedirect {
            hostname: Some("a.example".into()),
            port: Some(8443),
            scheme: Some(api::HttpRouteRulesFiltersRequestRedirectScheme::Https),
            status_code: Some(308),
            path: Some(api::HttpRouteRulesFiltersRequestRedirectPath {
                r#type: api::HttpRouteRulesFiltersRequestRedirectPathType::ReplacePrefixMatch,
                replace_prefix_match: Some("/a".into()),
                ..Default::default()
            }),
        });
    });
    let given = redirect.request_redirect.unwrap();
    let path = given.path.unwrap();
    assert_eq!((given.scheme.as_deref(), given.hostname.as_deref()), (Some("https"), Some("a.example")));
    assert_eq!((given.port, given.status_code), (Some(8443), Some(308)));
    assert_eq!(
        (path.r#type.as_str(), path.replace_prefix_match.as_deref()),
        ("ReplacePrefixMatch", Some("/a"))
    );
    let rewrite = filter(api::HttpRouteRulesFiltersType::UrlRewrite, |filter| {
        filter.url_rewrite = Some(api::HttpRouteRulesFiltersUrlRewrite {
            path: Some(api::HttpRouteRulesFiltersUrlRewritePath {
                r#type: api::HttpRouteRulesFiltersUrlRewritePathType::ReplaceFullPath,
                replace_full_path: Some("/b".into()),
                ..Default::default()
            }),
            ..Default::default()
        });
    });
    assert_eq!(rewrite.r#type, "URLRewrite");
    let path = rewrite.url_rewrite.unwrap().path.unwrap();
    assert_eq!((path.r#type.as_str(), path.replace_full_path.as_deref()), ("ReplaceFullPath", Some("/b")));
    let mirror = filter(api::HttpRouteRulesFiltersType::RequestMirror, |filter| {
        filter.request_mirror = Some(api::HttpRouteRulesFiltersRequestMirror {
            backend_ref: api::HttpRouteRulesFiltersRequestMirrorBackendRef {
                name: "mirror".into(),
                port: Some(8080),
                ..Default::default()
            },
            fraction: Some(api::HttpRouteRulesFiltersRequestMirrorFraction {
                numerator: 3,
                denominator: None,
            }),
            percent: Some(7),
        });
    });
    let given = mirror.request_mirror.unwrap();
    let fraction = given.fraction.unwrap();
    assert_eq!((given.backend_ref.name.as_str(), given.backend_ref.port), ("mirror", Some(8080)));
    assert_eq!((fraction.numerator, fraction.denominator, given.percent), (3, 100, Some(7)));
    let cors = filter(api::HttpRouteRulesFiltersType::Cors, |filter| {
        filter.cors = Some(api::HttpRouteRulesFiltersCors {
            allow_credentials: Some(true),
            allow_origins: Some(vec!["https://a.example".into()]),
            max_age: Some(60),
            ..Default::default()
        });
    });
    assert_eq!(cors.r#type, "CORS");
    let given = cors.cors.unwrap();
    assert_eq!((given.allow_credentials, given.max_age), (Some(true), Some(60)));
    assert_eq!(given.allow_origins, ["https://a.example"]);
    let headers = filter(api::HttpRouteRulesFiltersType::ResponseHeaderModifier, |filter| {
        filter.response_header_modifier = Some(api::HttpRouteRulesFiltersResponseHeaderModifier {
            remove: Some(vec!["x".into()]),
            ..Default::default()
        });
    });
    assert_eq!(headers.response_header_modifier.unwrap().remove, ["x"]);
}

#[test]
fn a_grpc_route_is_read_as_the_gateway_api_types_write_it() {
    use gateway_api::apis::standard::grpcroutes as api;
    let spec = api::GrpcRouteSpec {
        parent_refs: Some(vec![api::GrpcRouteParentRefs { name: "gateway".into(), ..Default::default() }]),
        rules: Some(vec![api::GrpcRouteRules {
            name: Some("named".into()),
            matches: Some(vec![api::GrpcRouteRulesMatches {
                method: Some(api::GrpcRouteRulesMatchesMethod {
                    r#type: Some(api::GrpcRouteRulesMatchesMethodType::Exact),
                    service: Some("a.B".into()),
                    method: Some("C".into()),
                }),
                headers: Some(vec![api::GrpcRouteRulesMatchesHeaders {
                    name: "x".into(),
                    value: "1".into(),
                    ..Default::default()
                }]),
            }]),
            backend_refs: Some(vec![api::GrpcRouteRulesBackendRefs {
                name: "backend".into(),
                port: Some(8080),
                ..Default::default()
            }]),
            ..Default::default()
        }]),
        ..Default::default()
    };
    let object = json!({"metadata": {"namespace": "ns", "name": "route"}, "spec": spec});
    let mut world = World::default();
    world.apply(Watched::GrpcRoute, serde_json::from_value(object).unwrap());
    let route = &world.grpc_routes.values().next().unwrap().spec;
    let (parent, rule) = (&route.parent_refs[0], &route.rules[0]);
    assert_eq!(parent.name, "gateway");
    assert_eq!(rule.matches[0].path.as_ref().unwrap().value.as_deref(), Some("/a.B/C"));
    assert_eq!((rule.matches[0].headers[0].name.as_str(), rule.backend_refs[0].port), ("x", Some(8080)));
}
