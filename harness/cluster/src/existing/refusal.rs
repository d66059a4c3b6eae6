//! What speaks against running scenarios on somebody else's cluster.
//!
//! What the scenarios would write is known from their manifests and from the implementation's file before anything is done.

mod mesh;

use std::collections::BTreeSet;

use crate::mesh::{Injector, Mesh, Policy};
use crate::witness::without_the_gateways_log;
pub use mesh::Made;
use meshproof_lab::cluster::implementation::Implementation;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::limits;
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::vantage::Vantage;
use meshproof_run::scenario::Scenario;

/// Everything that will be made and removed again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Namespaces: the scenarios', the implementation's and the harness's.
    pub namespaces: BTreeSet<String>,
    /// Objects the scenarios apply, with the scenario: those in no namespace, and those in a namespace that nobody here makes.
    pub objects: Vec<(String, ObjectRef)>,
    /// Objects that steps would change or remove and nobody here makes, with the scenario.
    pub changed: Vec<(String, ObjectRef)>,
    /// helm releases, by name.
    pub releases: Vec<String>,
    /// Steps that take nodes or Istio apart, read its key, or change what is not known beforehand, with the scenario.
    pub unsuitable: Vec<(String, String)>,
    /// The GatewayClass that comes with the releases.
    pub class: Option<String>,
    /// Witnesses that are heard, with the scenario.
    pub witnesses: BTreeSet<(String, String)>,
    /// The identity that the implementation shows to the mesh.
    pub identity: String,
    /// The namespaces that scenarios make, with their labels.
    pub made: Vec<Made>,
    /// Namespaces of the implementation whose pods Istio injects.
    pub in_mesh: BTreeSet<String>,
    /// Namespaces of the implementation of which none of the pods is injected for its namespace's sake.
    pub outside: BTreeSet<String>,
    /// Scenarios that wait until connections from before a change are gone.
    pub drains: BTreeSet<String>,
    /// Scenarios with ports that are named after HTTP.
    pub http: BTreeSet<String>,
    /// Ports of pods to which their Services lead, with the scenario.
    pub ports: BTreeSet<(String, u16)>,
    /// Scenarios with constant traffic, of which every failure counts.
    pub traffic: BTreeSet<String>,
    /// Versions of kinds that the scenarios' manifests are written in: `apiVersion` and `kind`, with the scenario.
    pub versions: BTreeSet<(String, String, String)>,
}

impl Plan {
    /// What these scenarios and this implementation will make.
    pub fn new<'a>(
        scenarios: impl IntoIterator<Item = &'a Scenario>,
        implementation: &Implementation,
    ) -> Self {
        let installed = implementation.installed.is_none() && !implementation.releases.is_empty();
        let releases = implementation.releases.iter();
        let releases: Vec<_> = releases.map(|release| release.name.clone()).collect();
        let mut namespaces: BTreeSet<String> = implementation.namespaces.iter().cloned().collect();
        namespaces.extend(
            [Vantage::Plain, Vantage::Mesh].into_iter().filter_map(Vantage::namespace).map(String::from),
        );
        let (mut all, mut unsuitable, mut witnesses) = (Vec::new(), Vec::new(), BTreeSet::new());
        let mut changed = Vec::new();
        let (mut made, mut drains, mut versions) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let (mut http, mut ports, mut traffic) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for scenario in scenarios {
            let taken = scenario.steps.iter().filter(|step| step.info.waived.is_none());
            if taken.clone().any(|step| limits::is_drain(step.within, &implementation.limits)) {
                drains.insert(scenario.id.clone());
            }
            if taken.clone().any(|step| step.info.word == TRAFFIC) {
                traffic.insert(scenario.id.clone());
            }
            for object in taken.clone().flat_map(|step| step.word.applies()) {
                let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
                let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
                if kind == "Namespace" {
                    let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
                    let labels = labels.map(|(label, value)| (label.clone(), text(value))).collect();
                    let name = text(&object["metadata"]["name"]);
                    made.push(Made { scenario: scenario.id.clone(), name, labels });
                }
                if kind == "Service" && names_http(object) {
                    http.insert(scenario.id.clone());
                }
                if kind == "Service" {
                    ports.extend(ports_of(object).map(|port| (scenario.id.clone(), port)));
                }
                versions.insert((version, kind, scenario.id.clone()));
            }
            let heard = taken.clone().flat_map(|step| &step.witnesses);
            for witness in heard {
                witnesses.insert((scenario.id.clone(), witness.clone()));
                if implementation.proxies.access_log.is_none() {
                    let instead = without_the_gateways_log(witness).iter();
                    witnesses.extend(instead.map(|other| (scenario.id.clone(), (*other).to_owned())));
                }
            }
            let own = taken.clone().filter(|step| step.word.needs_own_cluster());
            unsuitable.extend(own.map(|step| (scenario.id.clone(), step.info.name.clone())));
            namespaces.extend(taken.clone().filter_map(|step| step.word.installs_into()).map(str::to_owned));
            for id in taken.clone().flat_map(|step| step.word.changes()) {
                if !changed.iter().any(|(_, known)| *known == id) {
                    changed.push((scenario.id.clone(), id));
                }
            }
            for id in taken.flat_map(|step| step.word.creates()) {
                if id.kind.word == "namespace" {
                    namespaces.insert(id.name);
                } else if !all.iter().any(|(_, known)| *known == id) {
                    all.push((scenario.id.clone(), id));
                }
            }
        }
        changed.retain(|(_, id)| {
            let namespace = if id.kind.word == "namespace" { Some(&id.name) } else { id.namespace.as_ref() };
            let own = namespace.is_some_and(|namespace| namespaces.contains(namespace));
            !own && !all.iter().any(|(_, made)| made == id)
        });
        all.retain(|(_, id)| id.namespace.as_ref().is_none_or(|namespace| !namespaces.contains(namespace)));
        let class = installed.then(|| implementation.gateway_class.clone());
        let identity = implementation.identity_of("namespace", "gateway").unwrap_or_default();
        let in_mesh = implementation.releases.iter().filter(|release| release.in_mesh);
        let in_mesh = in_mesh.flat_map(|release| release.deployments.iter().map(|(namespace, _)| namespace));
        let (in_mesh, outside) =
            (in_mesh.cloned().collect(), implementation.namespaces.iter().cloned().collect());
        Self {
            namespaces,
            objects: all,
            changed,
            releases,
            unsuitable,
            class,
            witnesses,
            identity,
            made,
            in_mesh,
            outside,
            drains,
            http,
            ports,
            traffic,
            versions,
        }
    }

    /// Every object whose existence would speak against it.
    pub fn must_not_exist(&self) -> Vec<ObjectRef> {
        let named = |word: &str, name: &str| {
            Kind::by_word(word).map(|kind| ObjectRef { kind, namespace: None, name: name.to_owned() })
        };
        let namespaces = self.namespaces.iter().filter_map(|name| named("namespace", name));
        let class = self.class.iter().filter_map(|name| named("gatewayclass", name));
        namespaces.chain(class).chain(self.objects.iter().map(|(_, id)| id.clone())).collect()
    }

    /// Objects in namespaces that nobody here makes: they would change what others have there.
    pub fn in_foreign_namespaces(&self) -> Vec<String> {
        let foreign = self.objects.iter().filter(|(_, id)| id.namespace.is_some());
        foreign
            .map(|(scenario, id)| format!("{scenario} would make {id}, which is not its own namespace"))
            .collect()
    }
}

/// The word of a step that sends constant traffic.
const TRAFFIC: &str = "traffic";

/// Whether Istio takes a port of a Service for HTTP without looking.
fn names_http(service: &serde_json::Value) -> bool {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let is_http = |name: &serde_json::Value| {
        let name = name.as_str().unwrap_or_default().split('-').next().unwrap_or_default();
        ["http", "http2", "grpc", "kubernetes.io/h2c"].contains(&name)
    };
    ports.into_iter().any(|port| is_http(&port["name"]) || is_http(&port["appProtocol"]))
}

/// The pods' ports that a Service leads to, as far as they are numbers.
fn ports_of(service: &serde_json::Value) -> impl Iterator<Item = u16> {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    ports.filter_map(|port| {
        let target = if port["targetPort"].is_null() { &port["port"] } else { &port["targetPort"] };
        u16::try_from(target.as_u64()?).ok()
    })
}

/// What a cluster has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Which of [`Plan::must_not_exist`] exist, and the run that left them, if one did.
    pub objects: Vec<(ObjectRef, Option<String>)>,
    /// Which of the releases exist, as namespace (any) and name, and whether a run left them.
    pub releases: Vec<(String, String, bool)>,
    /// Which of the definitions that are needed are missing.
    pub missing_definitions: Vec<String>,
    /// Istio's control planes.
    pub meshes: Vec<Mesh>,
    /// The webhooks by which they inject, where the user may see them.
    pub injectors: Option<Vec<Injector>>,
    /// Their policies for the whole mesh.
    pub policies: Vec<Policy>,
    /// Which of [`Plan::versions`] are not served, as they are told.
    pub missing_versions: Vec<String>,
    /// What could not be found out of the mesh.
    pub lacking: Vec<String>,
}

/// The Gateway API's definitions without which no scenario can do anything.
pub const DEFINITIONS: &[&str] = &[
    "gatewayclasses.gateway.networking.k8s.io",
    "gateways.gateway.networking.k8s.io",
    "httproutes.gateway.networking.k8s.io",
];

/// What removes the leftovers of a run.
const CLEAN: &str = "`meshproof clean --context NAME`";

/// Everything that speaks against it, a line each; none means that it can be done.
pub fn reasons(plan: &Plan, found: &Found) -> Vec<String> {
    let mut reasons = Vec::new();
    for (id, left) in &found.objects {
        reasons.push(match left {
            Some(run) => format!("{id} was left by run {run}, which is over: {CLEAN} removes it"),
            None => format!("{id} exists and would be overwritten and removed"),
        });
    }
    for (namespace, name, left) in &found.releases {
        reasons.push(match left {
            true => format!(
                "helm release {name} in {namespace} was left by a run that is over: {CLEAN} removes it"
            ),
            false => {
                format!("helm release {name} in {namespace} exists and would be overwritten and removed")
            }
        });
    }
    reasons.extend(plan.in_foreign_namespaces());
    for (scenario, id) in &plan.changed {
        reasons
            .push(format!("{scenario} would change {id}, which nobody here makes: leave this scenario out"));
    }
    for (scenario, step) in &plan.unsuitable {
        reasons.push(format!(
            "{scenario} takes nodes or Istio apart, signs with its key, or changes what is not known beforehand (`{step}`): leave --context out"
        ));
    }
    for definition in &found.missing_definitions {
        reasons.push(format!(
            "the definition {definition} is missing: install the Gateway API's standard channel"
        ));
    }
    reasons.extend(found.missing_versions.iter().cloned());
    reasons.extend(found.lacking.iter().cloned());
    reasons.extend(mesh::reasons(plan, found));
    reasons
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{Error, ErrorKind};
    use std::path::Path;

    use super::*;
    use meshproof_model::requirement::Catalogue;

    fn scenario(manifest: &'static str, more: &str) -> Scenario {
        let text = format!(
            "title: t\ndocument: {{name: d, edition: e}}\nnamespace: shop\nsteps:\n- install: implementation\n- apply: \
             m.yaml\n{more}"
        );
        let read = move |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
            Some("scenario.yaml") => Ok(text.clone()),
            Some("a.sh") => Ok("helm list\n".to_owned()),
            Some("m.yaml") => Ok(manifest.to_owned()),
            _ => Err(Error::from(ErrorKind::NotFound)),
        };
        let implementation = Implementation::built_in().unwrap();
        Scenario::load_with(Path::new("s"), "s", &Catalogue::built_in().unwrap(), &implementation, &read)
            .unwrap()
    }

    const OWN: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\napiVersion: v1\nkind: Service\nmetadata: \
                       {name: a}\n";
    const FOREIGN: &str = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: \
                           istio-system}\n";

    fn plan(manifest: &'static str) -> Plan {
        plan_with(manifest, "")
    }

    pub(super) fn plan_with(manifest: &'static str, more: &str) -> Plan {
        Plan::new(&[scenario(manifest, more)], &Implementation::built_in().unwrap())
    }

    #[test]
    fn what_will_be_made_is_known_beforehand() {
        let plan = plan(OWN);
        let namespaces: Vec<_> = plan.namespaces.iter().map(String::as_str).collect();
        assert_eq!(
            namespaces,
            ["azure-alb-dataplane", "azure-alb-system", "meshproof-mesh", "meshproof-plain", "shop"]
        );
        assert!(plan.objects.is_empty(), "what is in a namespace of its own goes with it");
        assert_eq!(plan.releases.len(), 2);
        assert_eq!(plan.class.as_deref(), Some("azure-alb-external"));
        assert_eq!(plan.must_not_exist().len(), 6);
    }

    #[test]
    fn nothing_there_and_nothing_missing_is_no_reason() {
        assert!(reasons(&plan(OWN), &Found::default()).is_empty());
    }

    #[test]
    fn all_that_is_there_or_missing_is_listed() {
        let plan = plan(OWN);
        let found = Found {
            objects: plan
                .must_not_exist()
                .into_iter()
                .filter(|id| id.name == "shop")
                .map(|id| (id, None))
                .collect(),
            releases: vec![("elsewhere".into(), plan.releases[0].clone(), false)],
            missing_definitions: vec![DEFINITIONS[1].into()],
            ..Found::default()
        };
        assert_eq!(
            reasons(&plan, &found),
            [
                "namespace/shop exists and would be overwritten and removed",
                "helm release alb-controller in elsewhere exists and would be overwritten and removed",
                "the definition gateways.gateway.networking.k8s.io is missing: install the Gateway API's standard channel",
            ]
        );
    }

    #[test]
    fn what_a_run_left_names_the_command_that_removes_it() {
        let plan = plan(OWN);
        let left = |id| (id, Some("20260101T000000Z-1".to_owned()));
        let found = Found {
            objects: plan.must_not_exist().into_iter().filter(|id| id.name == "shop").map(left).collect(),
            releases: vec![("elsewhere".into(), plan.releases[0].clone(), true)],
            ..Found::default()
        };
        assert_eq!(
            reasons(&plan, &found),
            [
                "namespace/shop was left by run 20260101T000000Z-1, which is over: `meshproof clean --context NAME` removes \
                 it",
                "helm release alb-controller in elsewhere was left by a run that is over: `meshproof clean --context NAME` \
                 removes it",
            ]
        );
    }

    #[test]
    fn what_would_change_somebody_elses_namespace_is_refused() {
        let reasons = reasons(&plan(FOREIGN), &Found::default());
        assert_eq!(
            reasons,
            ["s would make peerauthentication/default in istio-system, which is not its own namespace"]
        );
    }

    #[test]
    fn commands_that_change_something_want_a_cluster_of_our_own() {
        let steps = |more: &str| -> Vec<String> {
            plan_with(OWN, more).unsuitable.into_iter().map(|(_, step)| step).collect()
        };
        let reading =
            "- kubectl: get pods -A\n- kubectl: -n shop rollout status deployment/a\n- helm: list -A\n";
        assert_eq!(steps(reading), [""; 0]);
        let changing = "- kubectl: delete validatingwebhookconfiguration istiod\n  fails: NotFound\n- helm: uninstall \
                        theirs\n- shell: a.sh\n";
        assert_eq!(
            steps(changing),
            [
                "kubectl delete validatingwebhookconfiguration istiod (must fail: NotFound)",
                "helm uninstall theirs",
                "run a.sh",
            ]
        );
        let reasons = reasons(&plan_with(OWN, "- kubectl: cordon a\n"), &Found::default());
        assert_eq!(
            reasons,
            [
                "s takes nodes or Istio apart, signs with its key, or changes what is not known beforehand (`kubectl cordon a`): \
                 leave --context out"
            ]
        );
    }

    #[test]
    fn a_namespace_to_install_into_must_not_be_there() {
        let plan = plan_with(OWN, "- install: implementation\n  namespace: theirs\n");
        assert!(plan.must_not_exist().iter().any(|id| id.to_string() == "namespace/theirs"));
    }

    #[test]
    fn what_nobody_here_makes_is_not_changed_either() {
        let steps = "- restart: deployment/gateway\n  namespace: theirs\n- restart: deployments\n  namespace: theirs\n- scale: \
                     deployment/a\n  to: 2\n- delete: peerauthentication/default\n  namespace: istio-system\n- patch: \
                     namespace/shop\n  with: {metadata: {labels: {a: b}}}\n- delete: service/a\n";
        let plan = plan_with(OWN, steps);
        let changed: Vec<_> = plan.changed.iter().map(|(_, id)| id.to_string()).collect();
        assert_eq!(
            changed,
            [
                "deployment/gateway in theirs",
                "namespace/theirs",
                "peerauthentication/default in istio-system"
            ]
        );
        let reasons = reasons(&plan, &Found::default());
        assert_eq!(
            reasons[0],
            "s would change deployment/gateway in theirs, which nobody here makes: leave this scenario out"
        );
        let own = plan_with(OWN, "- restart: deployment/alb-controller\n  namespace: azure-alb-system\n");
        assert!(own.changed.is_empty(), "the gateway under test is made here");
    }

    #[test]
    fn a_gateway_that_is_installed_already_is_not_restarted() {
        let text = "name: g\ngateway-class: c\ncontroller: example/c\naddress: {type: IPAddress, value: '*', resolve: itself}\n\
                    proxies: {namespace: p, selector: a=b, access-log: none}\nidentity: none\ninstalled: true\n";
        let there = Implementation::parse(Path::new("g.yaml"), text.to_owned()).unwrap();
        let steps = "- restart: deployment/alb-controller\n  namespace: azure-alb-system\n";
        let plan = Plan::new(&[scenario(OWN, steps)], &there);
        assert_eq!(plan.changed.len(), 1, "{:?}", plan.changed);
        assert!(plan.class.is_none() && plan.releases.is_empty());
    }
}
