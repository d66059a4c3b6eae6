//! The translation followed change by change is that of everything at once, whatever changes, and costs what the change
//! concerns. The worlds are those of `tests/golden`, mixed: their objects come, go and change in random order.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use alb_config::server::{AckChanges, ResourceState};
use alb_controller::plan;
use alb_controller::references::Reference;
use alb_controller::translate::{Progress, ProxyTemplate, Settings, Translation, Translator, translate};
use alb_controller::world::{CaBundle, Changes, Key, TlsSecret, Watched, World};
use kube::core::DynamicObject;
use proptest::prelude::*;
use serde::Deserialize as _;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Proxies that hold everything but what is behind, or refused.
#[derive(Default, Clone)]
struct Proxies {
    behind: BTreeSet<String>,
    refused: BTreeSet<String>,
}

impl Progress for Proxies {
    fn resource(&self, _: &str, name: &str, _: &str) -> ResourceState {
        if self.refused.contains(name) {
            return ResourceState::Rejected { message: "no".to_owned() };
        }
        match self.behind.contains(name) {
            true => ResourceState::Pending { acknowledged: 0, connected: 1 },
            false => ResourceState::Programmed,
        }
    }

    fn can(&self, _: &str, _: &str) -> bool {
        true
    }
}

fn settings() -> Settings {
    let proxy = ProxyTemplate { replicas: 2, resources: json!({}), ..ProxyTemplate::default() };
    Settings { zone: "alb.internal".to_owned(), proxy, ..Settings::default() }
}

fn watched(object: &Value) -> Option<Watched> {
    let is_identity = object["metadata"]["name"] == alb_api::names::IDENTITY_SECRET;
    Watched::ALL.into_iter().find(|watched| {
        object["kind"] == watched.resource().kind
            && match watched {
                Watched::Identity => is_identity,
                Watched::Certificate => !is_identity,
                _ => true,
            }
    })
}

/// The objects of all golden files.
fn objects() -> Vec<(Watched, Value)> {
    let mut all = Vec::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "yaml")) {
        let text = std::fs::read_to_string(file).unwrap();
        for document in serde_yaml::Deserializer::from_str(&text) {
            let object = Value::deserialize(document).unwrap();
            all.extend(watched(&object).map(|kind| (kind, object)));
        }
    }
    all
}

fn apply(world: &mut World, kind: Watched, object: &Value) {
    world.apply(kind, serde_json::from_value::<DynamicObject>(object.clone()).unwrap());
}

#[derive(Debug, Clone)]
enum Step {
    /// An object comes, or takes the place of one of the same name from another file.
    Put(prop::sample::Index),
    /// An object goes.
    Delete(prop::sample::Index),
    /// What is referred to and not known yet becomes known, or some of it is forgotten.
    Answer(prop::sample::Index),
    Forget(prop::sample::Index),
    /// A namespace's label changes.
    Label(prop::sample::Index, bool),
    /// A resource is not acknowledged, refused, or all is well again.
    Behind(prop::sample::Index),
    Refuse(prop::sample::Index),
    Acknowledge,
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        12 => index().prop_map(Step::Put),
        4 => index().prop_map(Step::Delete),
        3 => index().prop_map(Step::Answer),
        1 => index().prop_map(Step::Forget),
        2 => (index(), any::<bool>()).prop_map(|(index, on)| Step::Label(index, on)),
        2 => index().prop_map(Step::Behind),
        1 => index().prop_map(Step::Refuse),
        2 => Just(Step::Acknowledge),
    ]
}

/// Everything that a translation says, in a form that can be compared.
fn said(translation: &Translation) -> Value {
    let snapshots: BTreeMap<&String, BTreeMap<&str, &str>> =
        translation.snapshots.iter().map(|(id, snapshot)| (id, snapshot.versions().collect())).collect();
    json!({
        "snapshots": snapshots,
        "deployments": translation.deployments.keys().collect::<Vec<_>>(),
        "services": translation.services.values().collect::<Vec<_>>(),
        "statuses": translation.statuses,
        "warnings": translation.warnings,
        "references": translation.references,
    })
}

/// What has changed between two states of the proxies, told as the hub tells it.
fn told(before: &Proxies, now: &Proxies, translation: &Translation) -> AckChanges {
    if before.behind == now.behind && before.refused == now.refused {
        return AckChanges::default();
    }
    let load_balancers: BTreeSet<String> = translation.snapshots.keys().cloned().collect();
    // That something is behind which was not means that another proxy has come.
    let everything = match now.behind.is_subset(&before.behind) {
        true => BTreeSet::new(),
        false => load_balancers.clone(),
    };
    AckChanges { load_balancers, everything, refused: before.refused.union(&now.refused).cloned().collect() }
}

fn answer(world: &mut World, (kind, key): Reference, forget: bool) {
    match (kind, forget) {
        (Watched::Pod, true) => world.forget_pods(&key.namespace),
        (Watched::Pod, false) => drop(world.know_pods(&key.namespace)),
        (kind, true) => drop(world.remove(kind, &key)),
        (Watched::Certificate, false) => drop(world.set_tls_secret(key, TlsSecret::Absent)),
        (_, false) => drop(world.set_ca_bundle(key, CaBundle::Absent)),
    }
}

proptest! {
    // A case is a hundred translations: a fifth of the usual number (PROPTEST_CASES) has to do.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 5,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn following_changes_comes_to_the_same_as_translating_everything(
        steps in proptest::collection::vec(step(), 20..120),
        together in 1..4_usize,
    ) {
        let objects = objects();
        let (mut world, mut proxies) = (World::default(), Proxies::default());
        let mut translator = Translator::new(settings());
        for steps in steps.chunks(together) {
            let before = proxies.clone();
            for step in steps {
                let translation = translator.translation().clone();
                let names: Vec<String> = translation
                    .snapshots
                    .values()
                    .flat_map(|snapshot| snapshot.versions().map(|(name, _)| name.to_owned()))
                    .collect();
                let references: Vec<Reference> = translation.references.iter().cloned().collect();
                match step {
                    Step::Put(index) => {
                        let (kind, object) = index.get(&objects);
                        apply(&mut world, *kind, object);
                    }
                    Step::Delete(index) => {
                        let (kind, object) = index.get(&objects);
                        let name = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
                        world.remove(*kind, &Key::new(name("namespace"), name("name")));
                    }
                    Step::Answer(index) if !references.is_empty() => {
                        answer(&mut world, index.get(&references).clone(), false);
                    }
                    Step::Forget(index) if !references.is_empty() => {
                        answer(&mut world, index.get(&references).clone(), true);
                    }
                    Step::Label(index, on) => {
                        let namespaces = ["plain", "apps", "isto-example-namespace", "test-infra"];
                        let labels = if *on { json!({"istio-injection": "enabled"}) } else { json!({}) };
                        let object = json!({"metadata": {"name": index.get(&namespaces), "labels": labels}});
                        apply(&mut world, Watched::Namespace, &object);
                    }
                    Step::Behind(index) if !names.is_empty() => {
                        proxies.behind.insert(index.get(&names).clone());
                    }
                    Step::Refuse(index) if !names.is_empty() => {
                        proxies.refused.insert(index.get(&names).clone());
                    }
                    Step::Acknowledge => proxies = Proxies::default(),
                    _ => {}
                }
            }
            let changes = std::mem::take(&mut world.changes);
            let acks = told(&before, &proxies, translator.translation());
            let written = plan::plan(&world, translator.translation(), jiff::Timestamp::UNIX_EPOCH);
            let delta = translator.update(&world, &changes, &acks, &proxies);
            let whole = translate(&world, &settings(), &proxies);
            prop_assert_eq!(said(translator.translation()), said(&whole), "after {:?}", steps);

            // What is to be written differs only where the translator says so.
            let now = plan::plan(&world, &whole, jiff::Timestamp::UNIX_EPOCH);
            for write in now.iter().filter(|write| !written.contains(write)) {
                prop_assert!(delta.targets.contains(&write.target), "{:?} after {:?}", write.target, steps);
            }
        }
    }
}

/// Routes of a world that is large enough for a scan to show.
const ROUTES: usize = 5000;
const NAMESPACES: usize = 50;

fn large() -> World {
    let mut world = World::default();
    let group = "gateway.networking.k8s.io";
    apply(
        &mut world,
        Watched::GatewayClass,
        &json!({
            "metadata": {"name": "azure-alb-external"},
            "spec": {"controllerName": "alb.networking.azure.io/alb-controller"},
        }),
    );
    apply(&mut world, Watched::LoadBalancer, &json!({"metadata": {"name": "alb", "namespace": "infra"}}));
    apply(
        &mut world,
        Watched::Gateway,
        &json!({
            "metadata": {"name": "gateway", "namespace": "infra", "annotations": {
                "alb.networking.azure.io/alb-namespace": "infra", "alb.networking.azure.io/alb-name": "alb",
            }},
            "spec": {"gatewayClassName": "azure-alb-external", "listeners": [
                {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}},
            ]},
        }),
    );
    for index in 0..NAMESPACES {
        let namespace = format!("ns-{index}");
        let labels = if index % 2 == 0 { json!({"istio-injection": "enabled"}) } else { json!({}) };
        apply(&mut world, Watched::Namespace, &json!({"metadata": {"name": namespace, "labels": labels}}));
        let grant = json!({
            "metadata": {"name": "grant", "namespace": namespace},
            "spec": {"from": [{"group": group, "kind": "HTTPRoute", "namespace": "elsewhere"}],
                     "to": [{"group": "", "kind": "Service"}]},
        });
        apply(&mut world, Watched::ReferenceGrant, &grant);
        world.know_pods(&namespace);
    }
    for index in 0..ROUTES {
        let namespace = format!("ns-{}", index % NAMESPACES);
        let name = format!("it-{index}");
        apply(
            &mut world,
            Watched::Service,
            &json!({
                "metadata": {"name": name, "namespace": namespace}, "spec": {"ports": [{"port": 8080}]},
            }),
        );
        apply(
            &mut world,
            Watched::Pod,
            &json!({
                "metadata": {"name": name, "namespace": namespace}, "spec": {"serviceAccountName": "default"},
            }),
        );
        apply(
            &mut world,
            Watched::EndpointSlice,
            &json!({
                "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
                "addressType": "IPv4",
                "ports": [{"port": 3000}],
                "endpoints": [{
                    "addresses": [format!("10.{}.{}.{}", index / 65536, index / 256 % 256, index % 256)],
                    "conditions": {"ready": true},
                    "targetRef": {"kind": "Pod", "namespace": namespace, "name": name},
                }],
            }),
        );
        apply(&mut world, Watched::HttpRoute, &route(index, "/", 1));
    }
    world
}

fn route(index: usize, path: &str, generation: u32) -> Value {
    let (namespace, name) = (format!("ns-{}", index % NAMESPACES), format!("it-{index}"));
    json!({
        "metadata": {"name": name, "namespace": namespace, "generation": generation},
        "spec": {
            "parentRefs": [{"name": "gateway", "namespace": "infra"}],
            "hostnames": [format!("{name}.example")],
            "rules": [{
                "matches": [{"path": {"type": "PathPrefix", "value": path}}],
                "backendRefs": [{"name": name, "port": 8080}],
            }],
        },
    })
}

/// Processor time of this thread: other tests run beside.
fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let value = work();
    (begun.elapsed(), value)
}

/// The least of several: what is more is somebody else's.
fn least(mut work: impl FnMut(usize)) -> Duration {
    (0..9).map(|round| timed(|| work(round)).0).min().unwrap()
}

#[test]
fn what_one_change_costs_does_not_grow_with_what_there_is() {
    let mut world = large();
    let (settings, proxies) = (settings(), Proxies::default());
    let mut translator = Translator::new(settings.clone());
    let changes = std::mem::take(&mut world.changes);
    translator.update(&world, &changes, &AckChanges::default(), &proxies);
    assert_eq!(translator.translation().snapshots["infra/alb"].len(), 2 * ROUTES + 1);
    let whole = (0..3).map(|_| timed(|| translate(&world, &settings, &proxies)).0).min().unwrap();

    let mut follow = |world: &mut World| {
        let before = translator.translation().snapshots["infra/alb"].clone();
        let changes: Changes = std::mem::take(&mut world.changes);
        let delta = translator.update(world, &changes, &AckChanges::default(), &proxies);
        let translation = translator.translation();
        let now = jiff::Timestamp::UNIX_EPOCH;
        let writes = delta.targets.iter().filter_map(|target| plan::write(world, translation, target, now));
        (writes.count(), before.differences(&translation.snapshots["infra/alb"]).len())
    };
    let mut parts = BTreeMap::new();
    parts.insert(
        "a route",
        least(|round| {
            apply(&mut world, Watched::HttpRoute, &route(17, &format!("/{round}"), 2 + round as u32));
            // Its Gateway has as many routes as before.
            assert_eq!(follow(&mut world), (1, 1));
        }),
    );
    parts.insert("a pod that comes or goes", least(|round| {
        let conditions = json!({"ready": round % 2 == 1});
        let slice = json!({
            "metadata": {"name": "it-18", "namespace": "ns-18", "labels": {"kubernetes.io/service-name": "it-18"}},
            "addressType": "IPv4",
            "ports": [{"port": 3000}],
            "endpoints": [{"addresses": ["10.9.9.9"], "conditions": conditions,
                           "targetRef": {"kind": "Pod", "namespace": "ns-18", "name": "it-18"}}],
        });
        apply(&mut world, Watched::EndpointSlice, &slice);
        assert_eq!(follow(&mut world), (0, 1));
    }));
    parts.insert(
        "a Service that nobody refers to",
        least(|round| {
            apply(
                &mut world,
                Watched::Service,
                &json!({
                    "metadata": {"name": "other", "namespace": "other"}, "spec": {"ports": [{"port": round}]},
                }),
            );
            assert_eq!(follow(&mut world), (0, 0));
        }),
    );
    parts.insert(
        "a grant",
        least(|round| {
            let spec =
                json!({"from": [], "to": [{"group": "", "kind": "Service", "name": round.to_string()}]});
            let grant = json!({"metadata": {"name": "grant", "namespace": "ns-3"}, "spec": spec});
            apply(&mut world, Watched::ReferenceGrant, &grant);
            assert_eq!(follow(&mut world).1, 0);
        }),
    );
    println!("everything: {whole:?}");
    for (what, cost) in &parts {
        println!("{what}: {cost:?}, 1/{:.0} of everything", whole.as_secs_f64() / cost.as_secs_f64());
        assert!(*cost * 50 < whole, "{what} took {cost:?}, everything {whole:?}");
    }
    assert!(parts["a route"] <= Duration::from_millis(2), "{:?}", parts["a route"]);
}
