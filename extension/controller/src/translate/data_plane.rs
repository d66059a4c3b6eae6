//! The proxies' Deployments.

use super::Settings;
use super::load_balancers::LoadBalancer;
use crate::world::{Key, World};
use alb_api::frontend;
use alb_api::names::{self, annotation, label};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Parameters of the proxies' Deployment, from the chart.
#[derive(Debug, Clone, Default)]
pub struct ProxyTemplate {
    /// Image reference.
    pub image: String,
    /// `imagePullPolicy`.
    pub pull_policy: String,
    /// Replicas of each load balancer.
    pub replicas: u32,
    /// `resources` of the container, as in a pod specification.
    pub resources: Value,
    /// ALPN protocol towards mesh services; only tests set it.
    pub upstream_alpn_for_tests: String,
    /// What the proxies log (a tracing filter).
    pub log: String,
    /// Seconds a terminating proxy lets running requests end.
    pub drain_seconds: u32,
    /// What the proxies make of requests, by environment variable of alb-proxy; an empty value leaves its default.
    pub request_policy: Vec<(&'static str, String)>,
}

/// Seconds between a pod's removal from its Service and SIGTERM: until then new connections still arrive.
const LAME_DUCK_SECONDS: u32 = 3;
/// Seconds after SIGTERM in which a proxy, unready by then, still takes new connections.
const DRAIN_NOTICE_SECONDS: u32 = 5;
/// Seconds between the end of the drain and SIGKILL: for closing connections and the last lines of the logs.
const SLACK_SECONDS: u32 = 10;

/// The Deployments of all load balancers.
pub(super) fn deployments(
    load_balancers: &[LoadBalancer],
    world: &World,
    settings: &Settings,
) -> BTreeMap<Key, Value> {
    load_balancers
        .iter()
        .map(|lb| {
            let name = frontend::proxy_deployment_name(&lb.id);
            (
                Key::new(names::DATA_PLANE_NAMESPACE, &name),
                finished(deployment(&name, &lb.id, &settings.proxy), world),
            )
        })
        .collect()
}

fn deployment(name: &str, load_balancer: &str, template: &ProxyTemplate) -> Value {
    let value = frontend::load_balancer_label(load_balancer);
    let selector = json!({"app.kubernetes.io/name": "alb-proxy", label::LOAD_BALANCER: value});
    // Never in the mesh, whatever becomes of the namespace's labels: the proxy speaks mTLS itself.
    let pod_labels = json!({
        "app.kubernetes.io/name": "alb-proxy",
        label::LOAD_BALANCER: value,
        "sidecar.istio.io/inject": "false",
    });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": names::DATA_PLANE_NAMESPACE,
            "labels": {
                label::MANAGED_BY: label::MANAGED_BY_VALUE,
                "app.kubernetes.io/name": "alb-proxy",
                label::LOAD_BALANCER: value,
            },
            "annotations": {annotation::LOAD_BALANCER: load_balancer},
        },
        "spec": {
            "replicas": template.replicas,
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
        },
    })
}

fn pod(load_balancer: &str, selector: &Value, template: &ProxyTemplate) -> Value {
    json!({
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
    })
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

/// Names the owner of a manifest, so that the object goes when the chart does, and puts its hash into the annotations:
/// what does not carry the same hash must be written.
pub(super) fn finished(mut manifest: Value, world: &World) -> Value {
    if let (Some(owner), Some(metadata)) = (&world.owner, manifest["metadata"].as_object_mut()) {
        let reference = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "name": names::PROXY_SERVICE_ACCOUNT,
            "uid": owner,
        });
        metadata.insert("ownerReferences".to_owned(), json!([reference]));
    }
    let hash = Sha256::digest(manifest.to_string());
    let hash = hash.iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    if let Some(annotations) = manifest.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.insert(annotation::TEMPLATE_HASH.to_owned(), Value::String(hash));
    }
    manifest
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
}
