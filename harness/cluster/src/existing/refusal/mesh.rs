//! What of somebody else's mesh speaks against running scenarios on it, by the names of its settings: what cannot be seen, or
//! cannot come about there whatever the gateway does, is not the gateway's fault.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Found, Plan};
use crate::mesh::injection::labels_of_namespace;
use crate::mesh::selector::Labels;
use crate::mesh::whole::Does;
use crate::mesh::{LogForm, Mesh, PastSidecars, responsible};
use crate::witness::{needs_of_access_log, needs_of_access_log_on_http, needs_of_policies};

/// Labels by which a namespace asks for sidecars.
const ASKS: [&str; 2] = ["istio-injection", "istio.io/rev"];
/// Connections from before are to be gone well before the longest limit that scenarios name (`within: drain`).
const LONGEST_DRAIN: Duration = Duration::from_secs(60);

/// A namespace that a scenario makes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Made {
    /// Id of the scenario.
    pub scenario: String,
    /// Its name.
    pub name: String,
    /// Its labels, as the manifest gives them.
    pub labels: Labels,
}

impl Made {
    /// Whether its pods are to get sidecars.
    fn asks(&self) -> bool {
        ASKS.iter().any(|label| self.labels.get(*label).is_some_and(|value| value != "disabled"))
    }

    fn all_labels(&self) -> Labels {
        labels_of_namespace(&self.name, &self.labels)
    }

    /// The label by which it asks, in words.
    fn label(&self) -> String {
        let found = ASKS.iter().find_map(|label| Some((label, self.labels.get(*label)?)));
        found.map(|(label, value)| format!("{label}: {value}")).unwrap_or_default()
    }
}

/// Everything that speaks against it, a line each.
pub(super) fn reasons(plan: &Plan, found: &Found) -> Vec<String> {
    let mut reasons = Vec::new();
    for mesh in concerned(plan, found) {
        reasons.extend(identity(plan, mesh));
        reasons.extend(access_log(plan, mesh));
        reasons.extend(discovery(plan, found, mesh));
        reasons.extend(drain(plan, mesh));
        reasons.extend(past_sidecars(plan, mesh));
    }
    reasons.extend(injection(plan, found));
    reasons.extend(policies(plan, found));
    reasons
}

/// The control planes that the scenarios have to do with: those responsible for the namespaces they make.
fn concerned<'a>(plan: &Plan, found: &'a Found) -> Vec<&'a Mesh> {
    let injectors = found.injectors.as_deref().unwrap_or_default();
    let mut asked: BTreeSet<Labels> =
        plan.made.iter().filter(|made| made.asks()).map(Made::all_labels).collect();
    if asked.is_empty() {
        asked.insert(Labels::from([(ASKS[0].to_owned(), "enabled".to_owned())]));
    }
    let mut meshes: Vec<&Mesh> = Vec::new();
    for labels in asked {
        if let Some(mesh) = responsible(&found.meshes, injectors, &labels)
            && !meshes.contains(&mesh)
        {
            meshes.push(mesh);
        }
    }
    meshes
}

fn of(mesh: &Mesh) -> String {
    format!("Istio's control plane {} in {}", mesh.revision, mesh.namespace)
}

fn identity(plan: &Plan, mesh: &Mesh) -> Option<String> {
    let (domain, _) = plan.identity.strip_prefix("spiffe://")?.split_once('/')?;
    (domain != mesh.trust_domain).then(|| {
        format!(
            "the implementation's identity.spiffe is of the trust domain {domain}; {} gives identities of {} \
             (meshConfig.trustDomain): write ${{mesh.trust-domain}} for it in a file for --implementation",
            of(mesh),
            mesh.trust_domain
        )
    })
}

/// What witnesses need of the access log and it lacks. Scenarios that lack the same are named together.
fn access_log(plan: &Plan, mesh: &Mesh) -> Vec<String> {
    let log = &mesh.access_log;
    let mut lacking: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (scenario, witness) in &plan.witnesses {
        let on_http = if plan.http.contains(scenario) { needs_of_access_log_on_http(witness) } else { &[] };
        let needed = needs_of_access_log(witness, plan.traffic.contains(scenario)).iter().chain(on_http);
        let missing: Vec<_> = needed.filter(|operator| !log.form.has(operator)).collect();
        if missing.is_empty() {
            continue;
        }
        let why = match log.form {
            LogForm::Off if log.by == "meshConfig.accessLogFile" => format!(
                "sidecars of {} keep no access log on their standard output: set meshConfig.accessLogFile to /dev/stdout",
                of(mesh)
            ),
            LogForm::Off => format!(
                "sidecars of {} do not write of every connection to their standard output: {} decides that",
                of(mesh),
                log.by
            ),
            _ => {
                let missing: Vec<_> = missing.iter().map(|operator| format!("%{operator}%")).collect();
                let lacks = missing.join(", ");
                format!(
                    "the access log of sidecars of {} does not hold {lacks}: add it to {}",
                    of(mesh),
                    log.form_by
                )
            }
        };
        lacking.entry(format!("the witness {witness}, and {why}")).or_default().push(scenario.clone());
    }
    lacking.into_iter().map(|(why, scenarios)| format!("{} hears {why}", scenarios.join(", "))).collect()
}

/// Namespaces that the control plane would not look at: their policies and endpoints do not count, and they get no root.
fn discovery(plan: &Plan, found: &Found, mesh: &Mesh) -> Option<String> {
    let injectors = found.injectors.as_deref().unwrap_or_default();
    let made = plan.made.iter().filter(|made| {
        let labels = made.all_labels();
        made.asks()
            && responsible(&found.meshes, injectors, &labels) == Some(mesh)
            && !mesh.discovers(&labels)
    });
    let in_mesh = plan.in_mesh.iter();
    let in_mesh = in_mesh.filter(|name| !mesh.discovers(&labels_of_namespace(name, &Labels::new()))).cloned();
    let unseen: BTreeSet<String> = made.map(|made| made.name.clone()).chain(in_mesh).collect();
    (!unseen.is_empty()).then(|| {
        format!(
            "{} does not look at {}: meshConfig.discoverySelectors select other namespaces",
            of(mesh),
            unseen.into_iter().collect::<Vec<_>>().join(", ")
        )
    })
}

fn drain(plan: &Plan, mesh: &Mesh) -> Option<String> {
    let drain = mesh.drain.filter(|drain| *drain > LONGEST_DRAIN)?;
    let scenarios: Vec<_> = plan.drains.iter().map(String::as_str).collect();
    (!scenarios.is_empty()).then(|| {
        format!(
            "{} wait until connections from before a change are gone, and sidecars of {} keep them for {} s \
             (meshConfig.defaultConfig.drainDuration): {} s at most can be waited for",
            scenarios.join(", "),
            of(mesh),
            drain.as_secs(),
            LONGEST_DRAIN.as_secs()
        )
    })
}

/// Settings for all sidecars by which the backends' would see nothing.
fn past_sidecars(plan: &Plan, mesh: &Mesh) -> Vec<String> {
    let labelled: BTreeSet<&str> =
        plan.made.iter().filter(|made| made.asks()).map(|made| made.scenario.as_str()).collect();
    let line = |setting: &PastSidecars| {
        let concerned = |(scenario, port): &&(String, u16)| {
            labelled.contains(scenario.as_str()) && setting.concerns(*port)
        };
        let ports: BTreeSet<u16> = plan.ports.iter().filter(concerned).map(|(_, port)| *port).collect();
        let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
        (!ports.is_empty()).then(|| {
            format!(
                "what comes to port {} of the backends passes the sidecars of {} by ({})",
                ports.join(", "),
                of(mesh),
                setting.setting
            )
        })
    };
    mesh.past_sidecars.iter().filter_map(line).collect()
}

/// Namespaces whose pods would get no sidecar though they ask for one, or one though they do not.
fn injection(plan: &Plan, found: &Found) -> Vec<String> {
    let mut reasons = BTreeSet::new();
    // Without a control plane there is nothing to find fault with: whether one is needed is another question.
    let Some(injectors) = found.injectors.as_deref().filter(|_| !found.meshes.is_empty()) else {
        return Vec::new();
    };
    let taken = |labels: &Labels| injectors.iter().find(|injector| injector.takes(labels, &Labels::new()));
    for made in &plan.made {
        let (scenario, name, label) = (&made.scenario, &made.name, made.label());
        match (made.asks(), taken(&made.all_labels())) {
            (true, None) => {
                let known: Vec<_> = found.meshes.iter().map(|mesh| mesh.revision.as_str()).collect();
                reasons.insert(format!(
                    "{scenario} labels namespace {name} with {label}, and no webhook of Istio's injects there: make one of the \
                     revisions that are there ({}) the default one (revision tag `default`: `istioctl tag set default \
                     --revision {}`)",
                    known.join(", "),
                    known.first().copied().unwrap_or_default()
                ));
            }
            (false, Some(injector)) => {
                reasons.insert(format!(
                    "{scenario} makes namespace {name} outside the mesh, and {} injects there all the same \
                     (sidecarInjectorWebhook.enableNamespacesByDefault, or selectors of its own)",
                    injector.name
                ));
            }
            _ => {}
        }
    }
    for name in &plan.outside {
        if let Some(injector) = taken(&labels_of_namespace(name, &Labels::new())) {
            reasons.insert(format!(
                "the implementation's namespace {name} is outside the mesh, and {} injects there all the same \
                 (sidecarInjectorWebhook.enableNamespacesByDefault, or selectors of its own)",
                injector.name
            ));
        }
    }
    reasons.into_iter().collect()
}

/// Policies for the whole mesh that decide what the scenarios ask about.
fn policies(plan: &Plan, found: &Found) -> Vec<String> {
    let labelled: BTreeSet<&str> =
        plan.made.iter().filter(|made| made.asks()).map(|made| made.scenario.as_str()).collect();
    let hearing = |does: Does| -> BTreeSet<&str> {
        let about = plan.witnesses.iter().filter(|(_, witness)| needs_of_policies(witness) == Some(does));
        about.map(|(scenario, _)| scenario.as_str()).collect()
    };
    let mut reasons = Vec::new();
    for policy in &found.policies {
        let (scenarios, why): (BTreeSet<&str>, _) = match policy.does {
            Does::Strict => (
                hearing(Does::Strict).intersection(&labelled).copied().collect(),
                "asks the whole mesh for mutual TLS (spec.mtls.mode: STRICT), so that clear text is refused without a policy of \
                 the namespace's own as well",
            ),
            Does::Authorizes => (labelled.clone(), "decides about requests to every workload of the mesh"),
            Does::TellsTls => (
                hearing(Does::TellsTls),
                "changes how all proxies of the mesh work, so that it cannot be shown that nobody made anything by hand",
            ),
        };
        if !scenarios.is_empty() {
            let scenarios = scenarios.into_iter().collect::<Vec<_>>().join(", ");
            reasons.push(format!("{} {why}: {scenarios} cannot be run beside it", policy.name));
        }
    }
    reasons
}

#[cfg(test)]
mod tests;
