//! From watch events to the [`World`]. Objects are read one by one: one that cannot be read is remembered as
//! such and never stops the others.

use super::core::{Deployment, Endpoint, EndpointPort, EndpointSlice, Identity, TargetRef};
use super::{CaBundle, Key, Meta, Object, Objects, TlsSecret, Unreadable, Watched, World};
use alb_api::names;
use kube::core::DynamicObject;
use kube::runtime::watcher::Event;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Keys seen during a list, by kind: what is not among them at its end is gone.
pub type Seen = BTreeMap<Watched, BTreeSet<Key>>;

/// One step of a watch.
#[derive(Debug)]
pub struct Change {
    /// Kind watched.
    pub kind: Watched,
    /// What the watch reported.
    pub event: Event<DynamicObject>,
}

/// How much of the world a step of a watch has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Difference {
    /// Nothing.
    #[default]
    None,
    /// What no decision rests on: a status, or the version of an object. What should be is as before, and only what is to
    /// be written may not be.
    Status,
    /// What decisions rest on.
    Content,
}

impl From<bool> for Difference {
    fn from(changed: bool) -> Self {
        if changed { Self::Content } else { Self::None }
    }
}

/// Why an object cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A field has another shape than its API promises.
    #[error("{0}")]
    Shape(#[from] serde_json::Error),
    /// The identity Secret lacks a key, or its value is not base64.
    #[error("key {0} is missing or not valid")]
    SecretKey(&'static str),
}

pub(super) fn serialize_unreadable<S: serde::Serializer>(
    unreadable: &BTreeMap<(Watched, Key), Unreadable>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(unreadable.values())
}

pub(super) fn serialize_objects<S: serde::Serializer, T: serde::Serialize>(
    objects: &Objects<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(objects.iter().map(|(key, object)| (key, &**object)))
}

impl World {
    /// Applies one step of a watch.
    pub fn absorb(&mut self, change: Change, seen: &mut Seen) -> Difference {
        let Change { kind, event } = change;
        match event {
            Event::Apply(object) => self.apply(kind, object),
            Event::Delete(object) => self.remove(kind, &key_of(&object)).into(),
            Event::Init => {
                seen.insert(kind, BTreeSet::new());
                Difference::None
            }
            Event::InitApply(object) => {
                seen.entry(kind).or_default().insert(key_of(&object));
                self.apply(kind, object)
            }
            Event::InitDone => {
                let seen = seen.remove(&kind).unwrap_or_default();
                let gone: Vec<Key> = self.keys(kind).into_iter().filter(|key| !seen.contains(key)).collect();
                (gone.iter().filter(|key| self.remove(kind, key)).count() > 0).into()
            }
        }
    }

    /// Puts an object into the world, or among the unreadable ones.
    pub fn apply(&mut self, kind: Watched, object: DynamicObject) -> Difference {
        let key = key_of(&object);
        let difference = self.put(kind, &key, object);
        self.changes.note(kind, &key, difference);
        difference
    }

    fn put(&mut self, kind: Watched, key: &Key, object: DynamicObject) -> Difference {
        let key = key.clone();
        let uid = object.metadata.uid.clone().unwrap_or_default();
        match self.read(kind, &key, object) {
            Ok(difference) => difference.max(self.unreadable.remove(&(kind, key)).is_some().into()),
            Err(problem) => {
                self.remove(kind, &key);
                let message = problem.to_string();
                let unreadable = Unreadable { kind, key: key.clone(), uid, message };
                let before = self.unreadable.insert((kind, key), unreadable.clone());
                (before.as_ref() != Some(&unreadable)).into()
            }
        }
    }

    fn read(&mut self, kind: Watched, key: &Key, mut object: DynamicObject) -> Result<Difference, Problem> {
        let in_data_plane = key.namespace == names::DATA_PLANE_NAMESPACE;
        let meta = meta_of(kind, &mut object, in_data_plane);
        let mut data = object.data;
        let status = if kind.keeps_status() { data.get_mut("status").map(Value::take) } else { None }
            .unwrap_or_default();
        let key = key.clone();
        Ok(match kind {
            Watched::GatewayClass => put(&mut self.gateway_classes, key, meta, spec(&mut data)?, status),
            Watched::Gateway => put(&mut self.gateways, key, meta, spec(&mut data)?, status),
            Watched::ListenerSet => put(&mut self.listener_sets, key, meta, spec(&mut data)?, status),
            Watched::HttpRoute => put(&mut self.routes, key, meta, spec(&mut data)?, status),
            Watched::GrpcRoute => {
                let route: super::grpc_route::GrpcRoute = spec(&mut data)?;
                put(&mut self.grpc_routes, key, meta, route.into(), status)
            }
            Watched::TlsRoute => put(&mut self.tls_routes, key, meta, spec(&mut data)?, status),
            Watched::ReferenceGrant => put(&mut self.grants, key, meta, spec(&mut data)?, status),
            Watched::BackendTlsPolicy => {
                put(&mut self.backend_tls_policies, key, meta, spec(&mut data)?, status)
            }
            Watched::RoutePolicy => put(&mut self.route_policies, key, meta, spec(&mut data)?, status),
            Watched::FrontendTlsPolicy => {
                put(&mut self.frontend_tls_policies, key, meta, spec(&mut data)?, status)
            }
            Watched::FirewallPolicy => put(&mut self.firewall_policies, key, meta, (), status),
            Watched::ConfigMap => self.set_ca_bundle(key, CaBundle::of_config_map(&data)).into(),
            Watched::Certificate => self.set_tls_secret(key, TlsSecret::of_secret(&data)).into(),
            Watched::LoadBalancer => put(&mut self.load_balancers, key, meta, spec(&mut data)?, status),
            Watched::TrafficController => {
                put(&mut self.traffic_controllers, key, meta, spec(&mut data)?, status)
            }
            Watched::Service => {
                let mut service: super::Service = spec(&mut data)?;
                service.has_address = in_data_plane && has_address(&data);
                if in_data_plane {
                    service.ips =
                        ingress(&data).filter_map(|i| i["ip"].as_str()).map(str::to_owned).collect();
                }
                put(&mut self.services, key, meta, service, status)
            }
            Watched::EndpointSlice => {
                let service = object.metadata.labels.unwrap_or_default();
                let service = service.get("kubernetes.io/service-name").cloned().unwrap_or_default();
                put(&mut self.endpoint_slices, key, meta, endpoint_slice(service, data)?, status)
            }
            Watched::Pod => put(&mut self.pods, key, meta, spec(&mut data)?, status),
            Watched::Namespace => put(&mut self.namespaces, key, meta, (), status),
            Watched::Ingress => put(&mut self.ingresses, key, meta, spec(&mut data)?, status),
            Watched::Deployment => {
                let number = |pointer| {
                    let number = data.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
                    u32::try_from(number).unwrap_or(u32::MAX)
                };
                let (replicas, ready_replicas) = (number("/spec/replicas"), number("/status/readyReplicas"));
                let deployment = Deployment { replicas, ready_replicas };
                put(&mut self.deployments, key, meta, deployment, status)
            }
            Watched::DisruptionBudget => put(&mut self.disruption_budgets, key, meta, (), status),
            Watched::Autoscaler => put(&mut self.autoscalers, key, meta, (), status),
            Watched::Owner => {
                let owner = object.metadata.uid;
                let changed = self.owner != owner;
                self.owner = owner;
                changed.into()
            }
            Watched::Identity => {
                let annotations = object.metadata.annotations.unwrap_or_default();
                let spiffe_id = annotations.get(names::annotation::SPIFFE_ID).cloned().unwrap_or_default();
                let identity = Some(identity(spiffe_id, &data)?);
                let changed = self.identity != identity;
                self.identity = identity;
                changed.into()
            }
        })
    }

    /// Puts the CA certificates of a ConfigMap into the world. Returns whether it differs now.
    pub fn set_ca_bundle(&mut self, key: Key, bundle: CaBundle) -> bool {
        let changed = self.ca_bundles.get(&key) != Some(&bundle);
        self.changes.note(Watched::ConfigMap, &key, changed.into());
        self.ca_bundles.insert(key, bundle);
        changed
    }

    /// Puts the certificate of a Secret into the world. Returns whether it differs now.
    pub fn set_tls_secret(&mut self, key: Key, secret: TlsSecret) -> bool {
        let changed = self.tls_secrets.get(&key) != Some(&secret);
        self.changes.note(Watched::Certificate, &key, changed.into());
        self.tls_secrets.insert(key, secret);
        changed
    }

    /// Takes an object out. Returns whether it was there.
    pub fn remove(&mut self, kind: Watched, key: &Key) -> bool {
        let removed = self.take(kind, key);
        self.changes.note(kind, key, removed.into());
        removed
    }

    fn take(&mut self, kind: Watched, key: &Key) -> bool {
        let unreadable = self.unreadable.remove(&(kind, key.clone())).is_some();
        unreadable
            | match kind {
                Watched::GatewayClass => self.gateway_classes.remove(key).is_some(),
                Watched::Gateway => self.gateways.remove(key).is_some(),
                Watched::ListenerSet => self.listener_sets.remove(key).is_some(),
                Watched::HttpRoute => self.routes.remove(key).is_some(),
                Watched::GrpcRoute => self.grpc_routes.remove(key).is_some(),
                Watched::TlsRoute => self.tls_routes.remove(key).is_some(),
                Watched::ReferenceGrant => self.grants.remove(key).is_some(),
                Watched::BackendTlsPolicy => self.backend_tls_policies.remove(key).is_some(),
                Watched::RoutePolicy => self.route_policies.remove(key).is_some(),
                Watched::FrontendTlsPolicy => self.frontend_tls_policies.remove(key).is_some(),
                Watched::FirewallPolicy => self.firewall_policies.remove(key).is_some(),
                Watched::ConfigMap => self.ca_bundles.remove(key).is_some(),
                Watched::Certificate => self.tls_secrets.remove(key).is_some(),
                Watched::LoadBalancer => self.load_balancers.remove(key).is_some(),
                Watched::TrafficController => self.traffic_controllers.remove(key).is_some(),
                Watched::Service => self.services.remove(key).is_some(),
                Watched::EndpointSlice => self.endpoint_slices.remove(key).is_some(),
                Watched::Pod => self.pods.remove(key).is_some(),
                Watched::Namespace => self.namespaces.remove(key).is_some(),
                Watched::Ingress => self.ingresses.remove(key).is_some(),
                Watched::Deployment => self.deployments.remove(key).is_some(),
                Watched::DisruptionBudget => self.disruption_budgets.remove(key).is_some(),
                Watched::Autoscaler => self.autoscalers.remove(key).is_some(),
                Watched::Identity => self.identity.take().is_some(),
                Watched::Owner => self.owner.take().is_some(),
            }
    }

    pub(super) fn keys(&self, kind: Watched) -> Vec<Key> {
        let mut keys: Vec<Key> = match kind {
            Watched::GatewayClass => self.gateway_classes.keys().cloned().collect(),
            Watched::Gateway => self.gateways.keys().cloned().collect(),
            Watched::ListenerSet => self.listener_sets.keys().cloned().collect(),
            Watched::HttpRoute => self.routes.keys().cloned().collect(),
            Watched::GrpcRoute => self.grpc_routes.keys().cloned().collect(),
            Watched::TlsRoute => self.tls_routes.keys().cloned().collect(),
            Watched::ReferenceGrant => self.grants.keys().cloned().collect(),
            Watched::BackendTlsPolicy => self.backend_tls_policies.keys().cloned().collect(),
            Watched::RoutePolicy => self.route_policies.keys().cloned().collect(),
            Watched::FrontendTlsPolicy => self.frontend_tls_policies.keys().cloned().collect(),
            Watched::FirewallPolicy => self.firewall_policies.keys().cloned().collect(),
            Watched::ConfigMap => self.ca_bundles.keys().cloned().collect(),
            Watched::Certificate => self.tls_secrets.keys().cloned().collect(),
            Watched::LoadBalancer => self.load_balancers.keys().cloned().collect(),
            Watched::TrafficController => self.traffic_controllers.keys().cloned().collect(),
            Watched::Service => self.services.keys().cloned().collect(),
            Watched::EndpointSlice => self.endpoint_slices.keys().cloned().collect(),
            Watched::Pod => self.pods.keys().cloned().collect(),
            Watched::Namespace => self.namespaces.keys().cloned().collect(),
            Watched::Ingress => self.ingresses.keys().cloned().collect(),
            Watched::Deployment => self.deployments.keys().cloned().collect(),
            Watched::DisruptionBudget => self.disruption_budgets.keys().cloned().collect(),
            Watched::Autoscaler => self.autoscalers.keys().cloned().collect(),
            Watched::Identity => vec![Key::new(names::CONTROLLER_NAMESPACE, names::IDENTITY_SECRET)],
            Watched::Owner => vec![Key::new(names::DATA_PLANE_NAMESPACE, names::PROXY_SERVICE_ACCOUNT)],
        };
        keys.extend(self.unreadable.keys().filter(|(other, _)| *other == kind).map(|(_, key)| key.clone()));
        keys
    }
}

/// Namespace and name of an object.
pub(crate) fn key_of(object: &DynamicObject) -> Key {
    Key {
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}

fn meta_of(kind: Watched, object: &mut DynamicObject, in_data_plane: bool) -> Meta {
    let metadata = &mut object.metadata;
    let mut annotations = BTreeMap::new();
    if kind.keeps_annotations(in_data_plane) {
        annotations = metadata.annotations.take().unwrap_or_default();
        annotations.retain(|name, _| name.starts_with(names::GROUP) || name == INGRESS_CLASS_ANNOTATION);
    }
    let mut labels = BTreeMap::new();
    if kind.keeps_labels(in_data_plane) {
        labels = metadata.labels.take().unwrap_or_default();
    }
    let written = kind.is_written() || (kind == Watched::Service && in_data_plane);
    let has_events = written || matches!(kind, Watched::Ingress);
    Meta {
        uid: if has_events { metadata.uid.take() } else { None }.unwrap_or_default(),
        generation: metadata.generation.filter(|_| kind.keeps_status()).unwrap_or_default(),
        resource_version: if written { metadata.resource_version.take() } else { None }.unwrap_or_default(),
        created: metadata.creation_timestamp.as_ref().map(|time| time.0.as_second()).unwrap_or_default(),
        deleting: metadata.deletion_timestamp.is_some(),
        labels,
        annotations,
    }
}

/// The older way of naming an Ingress's class.
pub(crate) const INGRESS_CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

fn put<T: PartialEq>(map: &mut Objects<T>, key: Key, meta: Meta, spec: T, status: Value) -> Difference {
    let object = Object { meta, spec, status };
    let difference = map.get(&key).map_or(Difference::Content, |known| difference(known, &object));
    map.insert(key, Arc::new(object));
    difference
}

fn difference<T: PartialEq>(known: &Object<T>, object: &Object<T>) -> Difference {
    let same_meta = || {
        // All of it but the version. What is added to it must be added here.
        let Meta { uid, generation, resource_version: _, created, deleting, labels, annotations } =
            &known.meta;
        let other = &object.meta;
        *uid == other.uid
            && *generation == other.generation
            && *created == other.created
            && *deleting == other.deleting
            && *labels == other.labels
            && *annotations == other.annotations
    };
    if known.spec != object.spec || !same_meta() {
        Difference::Content
    } else if known.meta.resource_version != object.meta.resource_version || known.status != object.status {
        Difference::Status
    } else {
        Difference::None
    }
}

fn spec<T: DeserializeOwned + Default>(data: &mut Value) -> Result<T, serde_json::Error> {
    match data.get_mut("spec").map(Value::take) {
        None | Some(Value::Null) => Ok(T::default()),
        Some(spec) => serde_json::from_value(spec),
    }
}

fn has_address(data: &Value) -> bool {
    ingress(data).any(|i| i.get("ip").is_some() || i.get("hostname").is_some())
}

fn ingress(data: &Value) -> impl Iterator<Item = &Value> {
    let ingress = data.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
    ingress.into_iter().flatten()
}

fn endpoint_slice(service: String, data: Value) -> Result<EndpointSlice, serde_json::Error> {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Slice {
        address_type: String,
        endpoints: Option<Vec<Raw>>,
        ports: Option<Vec<EndpointPort>>,
    }
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Raw {
        addresses: Vec<String>,
        conditions: Conditions,
        node_name: Option<String>,
        target_ref: Option<Target>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Conditions {
        ready: Option<bool>,
        serving: Option<bool>,
        terminating: Option<bool>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Target {
        kind: String,
        namespace: String,
        name: String,
    }
    let slice: Slice = serde_json::from_value(data)?;
    let endpoints = slice
        .endpoints
        .unwrap_or_default()
        .into_iter()
        .filter_map(|raw| {
            let ready = raw.conditions.ready.unwrap_or(true);
            Some(Endpoint {
                address: raw.addresses.into_iter().next()?,
                ready,
                serving: raw.conditions.serving.unwrap_or(ready),
                terminating: raw.conditions.terminating.unwrap_or(false),
                node: raw.node_name.unwrap_or_default(),
                pod: raw
                    .target_ref
                    .filter(|target| target.kind == "Pod")
                    .map(|target| TargetRef { namespace: target.namespace, name: target.name }),
            })
        })
        .collect();
    Ok(EndpointSlice {
        service,
        address_type: slice.address_type,
        endpoints,
        ports: slice.ports.unwrap_or_default(),
    })
}

fn identity(spiffe_id: String, data: &Value) -> Result<Identity, Problem> {
    let decode = |name: &'static str| -> Result<Vec<u8>, Problem> {
        let value = data.get("data").and_then(|data| data.get(name)).cloned().unwrap_or_default();
        let bytes: k8s_openapi::ByteString =
            serde_json::from_value(value).map_err(|_| Problem::SecretKey(name))?;
        if bytes.0.is_empty() { Err(Problem::SecretKey(name)) } else { Ok(bytes.0) }
    };
    Ok(Identity {
        certificate_chain: decode("tls.crt")?,
        private_key: decode("tls.key")?,
        trust_bundle: decode("ca.crt")?,
        spiffe_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A world that knows an object, and what another version of it is to that world.
    fn difference(kind: Watched, known: &Value, other: &Value) -> Difference {
        let object = |change: &Value| {
            let mut object = json!({
                "metadata": {"namespace": "ns", "name": "it", "generation": 1, "resourceVersion": "1"},
            });
            for (field, value) in change.as_object().unwrap() {
                match field.as_str() {
                    "spec" | "status" => object[field] = value.clone(),
                    field => object["metadata"][field] = value.clone(),
                }
            }
            serde_json::from_value(object).unwrap()
        };
        let mut world = World::default();
        assert_eq!(world.apply(kind, object(known)), Difference::Content, "a new object");
        assert_eq!(world.apply(kind, object(known)), Difference::None, "the same again");
        let difference = world.apply(kind, object(other));
        assert_eq!(world.apply(kind, object(other)), Difference::None, "it is known now");
        difference
    }

    #[test]
    fn a_status_and_a_version_are_no_reason_to_translate() {
        let written = json!({"resourceVersion": "2", "status": {"parents": []}});
        for kind in [
            Watched::HttpRoute,
            Watched::GrpcRoute,
            Watched::TlsRoute,
            Watched::Gateway,
            Watched::GatewayClass,
            Watched::LoadBalancer,
            Watched::BackendTlsPolicy,
            Watched::RoutePolicy,
        ] {
            assert_eq!(difference(kind, &json!({}), &written), Difference::Status, "{kind:?}");
            let touched = json!({"resourceVersion": "2"});
            assert_eq!(difference(kind, &json!({}), &touched), Difference::Status, "{kind:?}");
        }
    }

    #[test]
    fn everything_else_is() {
        for (kind, change) in [
            (Watched::HttpRoute, json!({"generation": 2, "spec": {"hostnames": ["a.example"]}})),
            (Watched::HttpRoute, json!({"generation": 2})),
            (Watched::HttpRoute, json!({"deletionTimestamp": "2026-01-01T00:00:00Z"})),
            (Watched::Gateway, json!({"annotations": {"alb.networking.azure.io/alb-name": "b"}})),
            (Watched::Namespace, json!({"labels": {"istio-injection": "enabled"}})),
            (Watched::Deployment, json!({"status": {"readyReplicas": 1}})),
        ] {
            assert_eq!(difference(kind, &json!({}), &change), Difference::Content, "{kind:?} {change}");
        }
    }
}
