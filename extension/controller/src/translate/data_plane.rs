//! The proxies' Deployments.

use super::model::LoadBalancer;
use super::settings::{ProxyTemplate, Settings};
use super::template::finished;
use crate::world::{Key, World};
use alb_api::frontend;
use alb_api::names::{self, annotation, label};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Seconds between a pod's removal from its Service and SIGTERM: until then new connections still arrive.
const LAME_DUCK_SECONDS: u32 = 3;
/// Seconds after SIGTERM in which a proxy, unready by then, still takes new connections.
const DRAIN_NOTICE_SECONDS: u32 = 5;
/// Seconds between the end of the drain and SIGKILL: for closing connections and the last lines of the logs.
const SLACK_SECONDS: u32 = 10;

/// What is made for each load balancer.
pub(super) struct Objects {
    pub(super) deployments: BTreeMap<Key, Value>,
    pub(super) disruption_budgets: BTreeMap<Key, Value>,
    pub(super) autoscalers: BTreeMap<Key, Value>,
}

/// The objects of all load balancers.
pub(super) fn objects(load_balancers: &[Arc<LoadBalancer>], world: &World, settings: &Settings) -> Objects {
    let template = &settings.proxy;
    let each = |manifest: &dyn Fn(&str, &str) -> Option<Value>| -> BTreeMap<Key, Value> {
        let manifests = load_balancers.iter().filter_map(|lb| {
            let name = frontend::proxy_deployment_name(&lb.id);
            let manifest = finished(manifest(&name, &lb.id)?, world);
            Some((Key::new(names::DATA_PLANE_NAMESPACE, name), manifest))
        });
        manifests.collect()
    };
    let mut deployments = each(&|name, id| Some(deployment(name, id, template)));
    if let Some(autoscaling) = &template.autoscaling {
        // As many as there are: the number is the autoscaler's. It is no part of what the manifest's hash is of.
        for (key, manifest) in &mut deployments {
            let current = world.deployments.get(key).map_or(0, |object| object.spec.replicas);
            let least = autoscaling.min_replicas;
            manifest["spec"]["replicas"] = current.clamp(least, autoscaling.max_replicas.max(least)).into();
        }
    }
    Objects {
        deployments,
        disruption_budgets: each(&|name, id| {
            let max_unavailable = template.max_unavailable.as_ref()?;
            let selector = json!({"matchLabels": selector(id)});
            let spec = json!({"maxUnavailable": max_unavailable, "selector": selector});
            Some(manifest("policy/v1", "PodDisruptionBudget", name, id, spec))
        }),
        autoscalers: each(&|name, id| {
            let autoscaling = template.autoscaling.as_ref()?;
            let target = autoscaling.target_cpu_utilization_percentage;
            let spec = json!({
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "minReplicas": autoscaling.min_replicas,
                "maxReplicas": autoscaling.max_replicas,
                "metrics": [{
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": target}},
                }],
            });
            Some(manifest("autoscaling/v2", "HorizontalPodAutoscaler", name, id, spec))
        }),
    }
}

/// Labels of the proxies of a load balancer, by which they are known.
fn selector(load_balancer: &str) -> Value {
    let value = frontend::load_balancer_label(load_balancer);
    json!({"app.kubernetes.io/name": "alb-proxy", label::LOAD_BALANCER: value})
}

fn manifest(api_version: &str, kind: &str, name: &str, load_balancer: &str, spec: Value) -> Value {
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": names::DATA_PLANE_NAMESPACE,
            "labels": {
                label::MANAGED_BY: label::MANAGED_BY_VALUE,
                "app.kubernetes.io/name": "alb-proxy",
                label::LOAD_BALANCER: frontend::load_balancer_label(load_balancer),
            },
            "annotations": {annotation::LOAD_BALANCER: load_balancer},
        },
        "spec": spec,
    })
}

fn deployment(name: &str, load_balancer: &str, template: &ProxyTemplate) -> Value {
    let value = frontend::load_balancer_label(load_balancer);
    let selector = selector(load_balancer);
    // Never in the mesh, whatever becomes of the namespace's labels: the proxy speaks mTLS itself.
    let pod_labels = json!({
        "app.kubernetes.io/name": "alb-proxy",
        label::LOAD_BALANCER: value,
        "sidecar.istio.io/inject": "false",
    });
    let mut spec = json!({
        "revisionHistoryLimit": 2,
        "selector": {"matchLabels": selector},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {
            "metadata": {
                "labels": pod_labels,
                "annotations": {annotation::LOAD_BALANCER: load_balancer},
            },
            "spec": pod(load_balancer, &selector, template),
        },
    });
    if template.autoscaling.is_none() {
        spec["replicas"] = template.replicas.into();
    }
    manifest("apps/v1", "Deployment", name, load_balancer, spec)
}

fn pod(load_balancer: &str, selector: &Value, template: &ProxyTemplate) -> Value {
    let mut pod = json!({
        "serviceAccountName": names::PROXY_SERVICE_ACCOUNT,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds":
            LAME_DUCK_SECONDS + DRAIN_NOTICE_SECONDS + template.drain_seconds + SLACK_SECONDS,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [{
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector},
        }],
        "containers": [{
            "name": "alb-proxy",
            "image": template.image,
            "imagePullPolicy": template.pull_policy,
            "env": environment(load_balancer, template),
            "ports": [{"name": "admin", "containerPort": 8081, "protocol": "TCP"}],
            "readinessProbe": {
                "httpGet": {"path": "/readyz", "port": "admin"},
                "periodSeconds": 1,
                "timeoutSeconds": 1,
                "failureThreshold": 2,
            },
            "livenessProbe": {
                "httpGet": {"path": "/healthz", "port": "admin"},
                "periodSeconds": 10,
                "timeoutSeconds": 5,
                "failureThreshold": 3,
            },
            "lifecycle": {"preStop": {"sleep": {"seconds": LAME_DUCK_SECONDS}}},
            "resources": template.resources,
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [{"name": "config", "mountPath": "/var/run/alb", "readOnly": true}],
        }],
        "volumes": [{
            "name": "config",
            "projected": {"sources": [
                {"serviceAccountToken": {
                    "audience": names::PROXY_TOKEN_AUDIENCE,
                    "expirationSeconds": 3600,
                    "path": "token",
                }},
                {"configMap": {
                    "name": names::CONFIG_CA_CONFIG_MAP,
                    "items": [{"key": "ca.crt", "path": "ca.crt"}],
                }},
            ]},
        }],
    });
    for (field, value) in template.scheduling.as_object().into_iter().flatten() {
        pod[field] = value.clone();
    }
    // Whom to spread is not for the chart's user to know.
    for constraint in pod["topologySpreadConstraints"].as_array_mut().into_iter().flatten() {
        if constraint["labelSelector"].is_null() {
            constraint["labelSelector"] = json!({"matchLabels": selector});
        }
    }
    pod
}

fn environment(load_balancer: &str, template: &ProxyTemplate) -> Vec<Value> {
    let url = format!(
        "https://{}.{}.svc:{}",
        names::CONFIG_SERVICE,
        names::CONTROLLER_NAMESPACE,
        names::CONFIG_PORT
    );
    let mut environment = vec![
        json!({"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
        json!({"name": "ALB_PROXY_LOAD_BALANCER", "value": load_balancer}),
        json!({"name": "ALB_PROXY_CONFIG_URL", "value": url}),
        json!({"name": "ALB_PROXY_CONFIG_CA_FILE", "value": "/var/run/alb/ca.crt"}),
        json!({"name": "ALB_PROXY_CONFIG_TOKEN_FILE", "value": "/var/run/alb/token"}),
        json!({"name": "ALB_PROXY_DRAIN_NOTICE_SECONDS", "value": DRAIN_NOTICE_SECONDS.to_string()}),
        json!({"name": "ALB_PROXY_DRAIN_SECONDS", "value": template.drain_seconds.to_string()}),
        json!({"name": "ALB_PROXY_LOG", "value": template.log}),
    ];
    if !template.upstream_alpn_for_tests.is_empty() {
        environment.push(json!({
            "name": "ALB_PROXY_UPSTREAM_ALPN_FOR_TESTS",
            "value": template.upstream_alpn_for_tests,
        }));
    }
    let given = template.request_policy.iter().filter(|(_, value)| !value.is_empty());
    environment.extend(given.map(|(name, value)| json!({"name": name, "value": value})));
    #[cfg(feature = "faults")]
    environment.extend(crate::faults::environment());
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> ProxyTemplate {
        ProxyTemplate {
            log: "debug".to_owned(),
            drain_seconds: 20,
            upstream_alpn_for_tests: "istio".to_owned(),
            request_policy: vec![
                ("ALB_PROXY_TRUSTED_CLIENTS", "10.0.0.0/8".to_owned()),
                ("ALB_PROXY_PATH_NORMALIZATION", String::new()),
            ],
            ..ProxyTemplate::default()
        }
    }

    fn value(environment: &[Value], name: &str) -> String {
        let variable = environment.iter().find(|variable| variable["name"] == name).expect(name);
        variable["value"].as_str().unwrap_or_default().to_owned()
    }

    #[test]
    fn every_variable_is_one_that_the_proxy_reads() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../proxy/src/options.rs");
        let options = std::fs::read_to_string(path).unwrap();
        let environment = environment("ns/alb", &template());
        for variable in &environment {
            let name = variable["name"].as_str().unwrap();
            assert!(options.contains(&format!("env = \"{name}\"")), "{name} is no option of alb-proxy");
        }
        assert_eq!(value(&environment, "ALB_PROXY_LOG"), "debug");
        assert_eq!(value(&environment, "ALB_PROXY_TRUSTED_CLIENTS"), "10.0.0.0/8");
        let unset = |variable: &Value| variable["name"] == "ALB_PROXY_PATH_NORMALIZATION";
        assert!(!environment.iter().any(unset), "what is not given is left to the proxy");
    }

    #[test]
    fn a_pod_is_given_more_time_than_its_drain_takes() {
        let pod = pod("ns/alb", &json!({}), &template());
        let container = &pod["containers"][0];
        let environment = container["env"].as_array().unwrap();
        let seconds = |name| value(environment, name).parse::<u64>().unwrap();
        let drain = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap()
            + seconds("ALB_PROXY_DRAIN_NOTICE_SECONDS")
            + seconds("ALB_PROXY_DRAIN_SECONDS");
        let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
        assert!(grace >= drain + 10, "{grace} s for {drain} s");
    }

    /// The rules of the Pod Security Standard `restricted` that a pod can break, as of Kubernetes 1.36.
    #[test]
    fn a_pod_is_admitted_where_the_restricted_standard_is_enforced() {
        let pod = pod("ns/alb", &json!({}), &template());
        for field in ["hostNetwork", "hostPID", "hostIPC", "hostUsers"] {
            assert_eq!(pod[field], Value::Null, "{field}");
        }
        let context = &pod["securityContext"];
        assert_eq!(context["runAsNonRoot"], true);
        assert_ne!(context["runAsUser"], 0);
        assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
        for container in pod["containers"].as_array().unwrap() {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
            assert_eq!(context["privileged"], Value::Null);
            let ports = container["ports"].as_array().unwrap();
            assert!(ports.iter().all(|port| port["hostPort"].is_null()));
        }
        let kinds = ["configMap", "emptyDir", "projected", "secret", "downwardAPI"];
        for volume in pod["volumes"].as_array().unwrap() {
            let of_kind = |kind: &&str| *kind != "name" && !kinds.contains(kind);
            let fields: Vec<&str> = volume.as_object().unwrap().keys().map(String::as_str).collect();
            assert!(!fields.iter().any(of_kind), "{fields:?}");
        }
    }

    #[test]
    fn pods_run_where_the_chart_says() {
        let scheduling = json!({
            "nodeSelector": {"pool": "edge"},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"},
            ],
        });
        let selector = selector("ns/alb");
        let pod = pod("ns/alb", &selector, &ProxyTemplate { scheduling, ..template() });
        assert_eq!(pod["nodeSelector"]["pool"], "edge");
        let constraints = pod["topologySpreadConstraints"].as_array().unwrap();
        assert_eq!(constraints.len(), 1, "instead of the default");
        assert_eq!(constraints[0]["labelSelector"]["matchLabels"], selector);
    }

    /// An autoscaler's number of replicas is kept, and is no reason to write.
    #[test]
    fn an_autoscaler_takes_the_number_of_replicas_over() {
        let id = "ns/alb".to_owned();
        let key = Key::new(names::DATA_PLANE_NAMESPACE, frontend::proxy_deployment_name(&id));
        let origin = super::super::model::Origin::Managed(Key::new("ns", "alb"));
        let load_balancers = [Arc::new(LoadBalancer { resource_id: id.clone(), id, origin })];
        let autoscaling = super::super::settings::Autoscaling {
            min_replicas: 2,
            max_replicas: 5,
            target_cpu_utilization_percentage: 70,
        };
        let proxy = ProxyTemplate {
            autoscaling: Some(autoscaling),
            max_unavailable: Some(json!("25%")),
            ..template()
        };
        let settings = Settings { proxy, ..Settings::default() };
        let made = |replicas: u32| {
            let mut world = World::default();
            let object = json!({
                "metadata": {"name": key.name, "namespace": key.namespace}, "spec": {"replicas": replicas},
            });
            world.apply(crate::world::Watched::Deployment, serde_json::from_value(object).unwrap());
            objects(&load_balancers, &world, &settings)
        };
        for (current, wanted) in [(0, 2), (1, 2), (3, 3), (9, 5)] {
            let Objects { deployments, disruption_budgets, autoscalers } = made(current);
            assert_eq!(deployments[&key]["spec"]["replicas"], wanted);
            assert_eq!(deployments[&key]["metadata"], made(0).deployments[&key]["metadata"], "the same hash");
            assert_eq!(autoscalers[&key]["spec"]["maxReplicas"], 5);
            assert_eq!(disruption_budgets[&key]["spec"]["maxUnavailable"], "25%");
        }
        let plain =
            objects(&load_balancers, &World::default(), &Settings { proxy: template(), ..settings.clone() });
        assert!(plain.autoscalers.is_empty() && plain.disruption_budgets.is_empty());
        assert_eq!(plain.deployments[&key]["spec"]["replicas"], 0);
    }
}
