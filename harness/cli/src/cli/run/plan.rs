//! `meshproof run --plan`: what a run would do and claim, in order, with everything filled in that is known before there is a
//! cluster. Made of what was read alone: nothing is asked, made or built.

mod text;

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::cli::exit;
use meshproof_model::event::{Instead, StepKind};
use meshproof_model::implementation::{
    Certificate, Implementation, Manifests, Release, Resolution, Templates,
};
use meshproof_model::scenario::needs::Istio;
use meshproof_model::scenario::node::Node;
use meshproof_model::visible;
use meshproof_run::scenario::{Scenario, Step};

/// Everything that a run would do.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    gateway: Gateway,
    /// What has to be there of one that is installed already.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    requires: Vec<String>,
    installs: Vec<Install>,
    scenarios: Vec<Planned>,
}

/// The gateway under test, as its file has it.
#[derive(Debug, Serialize)]
struct Gateway {
    name: String,
    version: Option<String>,
    class: String,
    controller: String,
    /// Who it is to the mesh.
    identity: String,
    /// Where its certificate is looked for.
    certificate: String,
    /// How it reaches the pods behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reaches_pods: Option<String>,
    /// Its own time limits, in milliseconds.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    limits_ms: std::collections::BTreeMap<String, u64>,
    /// What its addresses look like, and how they lead to one that can be connected to.
    address: String,
    /// Where the pods of its data plane are.
    proxies: String,
    /// Images of this workspace that it is made of.
    images: Vec<String>,
    /// Namespaces that are emptied after it is removed.
    namespaces: Vec<String>,
    /// What it does not promise, by requirement.
    waives: std::collections::BTreeMap<String, String>,
    /// Values of variables that were used.
    variables: std::collections::BTreeMap<String, String>,
}

/// What installs a part of it.
#[derive(Debug, Serialize)]
struct Install {
    /// A command, or in words what is applied and when.
    what: String,
    /// Values of a chart.
    #[serde(skip_serializing_if = "Value::is_null")]
    values: Value,
    /// Objects that are applied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    objects: Vec<Value>,
    /// What is waited for.
    ready: Vec<String>,
    /// It comes after Istio.
    in_mesh: bool,
}

#[derive(Debug, Serialize)]
struct Planned {
    id: String,
    title: String,
    document: String,
    file: String,
    /// What the cluster has to be.
    needs: Vec<String>,
    /// Namespace of everything that names none.
    namespace: String,
    steps: Vec<Planning>,
}

/// A step.
#[derive(Debug, Serialize)]
struct Planning {
    number: usize,
    /// File and line.
    place: String,
    /// The vocabulary's word.
    word: String,
    kind: StepKind,
    does: String,
    /// The longest it may take, in milliseconds.
    within_ms: u64,
    /// How a claim has to go on holding.
    #[serde(skip_serializing_if = "Option::is_none")]
    stays: Option<String>,
    /// It is awaited while objects are applied.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    meanwhile: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    witnesses: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    proves: Vec<String>,
    /// Why it is not taken with this gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    waived: Option<String>,
    /// Why something else is expected of this gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    instead: Option<Instead>,
    /// What it makes, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    creates: Vec<String>,
    /// What it applies, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    objects: Vec<Value>,
}

/// Prints the plan; the exit code.
pub(super) fn show(implementation: &Implementation, scenarios: &[Scenario], json: bool) -> u8 {
    let plan = of(implementation, scenarios);
    let text = if json {
        visible::pretty(&plan).map(|text| text + "\n").map_err(|error| error.to_string())
    } else {
        text::of(&plan)
    };
    match text {
        Ok(text) => {
            print!("{text}");
            exit::PROVED
        }
        Err(error) => {
            eprintln!("writing the plan: {error}");
            exit::SETUP
        }
    }
}

/// What running these scenarios against this implementation would do.
fn of(implementation: &Implementation, scenarios: &[Scenario]) -> Plan {
    let scenarios = scenarios.iter().map(planned).collect();
    Plan {
        gateway: gateway(implementation),
        requires: requires(implementation),
        installs: installs(implementation),
        scenarios,
    }
}

fn gateway(implementation: &Implementation) -> Gateway {
    let (address, proxies) = (&implementation.address, &implementation.proxies);
    let leads = match &address.resolution {
        Resolution::Itself => "is connected to as it is".to_owned(),
        Resolution::Zone { zone, namespace } => {
            format!("its first label names a Service in {namespace} (zone {zone})")
        }
        Resolution::Dns => "DNS resolves, for each connection".to_owned(),
        Resolution::ClusterService => "names a Service of the cluster".to_owned(),
    };
    let log = if proxies.access_log.is_some() {
        "with an access log"
    } else {
        "without an access log that can be read"
    };
    let waives = &implementation.waived.requirements;
    let identity = implementation.identity_of("${gateway.namespace}", "${gateway.name}");
    Gateway {
        name: implementation.name.clone(),
        version: implementation.version.clone(),
        class: implementation.gateway_class.clone(),
        controller: implementation.controller.clone(),
        identity: identity.unwrap_or_else(|| "none".to_owned()),
        certificate: match implementation.identity.as_ref().map(|identity| &identity.certificate) {
            None => String::new(),
            Some(Certificate::Secret { namespace, name }) => format!("Secret {namespace}/{name}"),
            Some(Certificate::Envoy) => "the Envoy of a proxy".to_owned(),
            Some(Certificate::Sidecar) => "the sidecar of a proxy".to_owned(),
            Some(Certificate::Unseen) => "nowhere but on the wire".to_owned(),
        },
        reaches_pods: implementation.reaches_pods.map(|reach| reach.in_words().to_owned()),
        limits_ms: implementation.limits.iter().map(|(name, limit)| (name.clone(), millis(*limit))).collect(),
        address: format!("{} {}, which {leads}", address.kind, address.value),
        proxies: format!("{} in {}, {log}", proxies.selector, proxies.namespace),
        images: implementation.images().into_iter().collect(),
        namespaces: implementation.namespaces.clone(),
        waives: waives.iter().map(|(id, why)| (id.clone(), why.clone())).collect(),
        variables: implementation.vars.given.clone(),
    }
}

/// What has to be there of one that nobody here installs.
fn requires(implementation: &Implementation) -> Vec<String> {
    let Some(installed) = &implementation.installed else { return Vec::new() };
    let (class, controller) = (&implementation.gateway_class, &implementation.controller);
    let mut all = vec![format!("gatewayclass/{class} of {controller}, accepted")];
    all.extend(installed.namespaces.iter().map(|name| format!("namespace/{name}")));
    all.extend(
        installed
            .deployments
            .iter()
            .map(|(namespace, name)| format!("deployment/{name} in {namespace}, ready")),
    );
    all.extend(installed.definitions.iter().map(|name| format!("customresourcedefinition/{name}")));
    all
}

fn installs(implementation: &Implementation) -> Vec<Install> {
    let ready = |deployments: &[(String, String)]| {
        deployments.iter().map(|(namespace, name)| format!("deployment/{name} in {namespace}")).collect()
    };
    let release = |release: &Release| Install {
        what: format!(
            "$ helm install {} {} --version {} --namespace {} --create-namespace --values -",
            release.name, release.chart, release.version, release.namespace
        ),
        values: release.values.clone(),
        objects: Vec::new(),
        ready: ready(&release.deployments),
        in_mesh: release.in_mesh,
    };
    let manifests = |manifests: &Manifests| Install {
        what: format!(
            "apply {}",
            manifests.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
        ),
        values: Value::Null,
        objects: Vec::new(),
        ready: ready(&manifests.deployments),
        in_mesh: manifests.in_mesh,
    };
    let templates = |what: &str, templates: &Templates| Install {
        what: what.to_owned(),
        values: Value::Null,
        objects: templates.values().map(Node::value).collect(),
        ready: Vec::new(),
        in_mesh: false,
    };
    let mut all: Vec<Install> = implementation.releases.iter().map(release).collect();
    all.extend(implementation.manifests.iter().map(manifests));
    for (what, objects) in [
        ("apply, once", &implementation.objects),
        ("apply, in each namespace that a scenario makes", &implementation.per_namespace),
        (
            "apply, for each Service that a scenario makes in a namespace of the mesh",
            &implementation.per_service,
        ),
    ] {
        if !objects.is_empty() {
            all.push(templates(what, objects));
        }
    }
    all
}

fn planned(scenario: &Scenario) -> Planned {
    let needs = &scenario.needs;
    let mut needed = vec![match needs.istio {
        Istio::Any => "Istio or none".to_owned(),
        Istio::None => "no Istio when it begins".to_owned(),
        Istio::AtLeast(major, minor) => format!("Istio {major}.{minor} or later"),
    }];
    needed.push(meshproof_report::count(usize::from(needs.nodes), "node"));
    Planned {
        id: scenario.id.clone(),
        title: scenario.title.clone(),
        document: scenario.document.to_string(),
        file: scenario.path.display().to_string(),
        needs: needed,
        namespace: scenario.namespace.clone(),
        steps: scenario.steps.iter().map(|step| planning(scenario, step)).collect(),
    }
}

fn planning(scenario: &Scenario, step: &Step) -> Planning {
    let info = &step.info;
    let is_taken = info.waived.is_none();
    Planning {
        number: info.index + 1,
        place: format!("{}:{}", scenario.path.display(), info.line),
        word: info.word.clone(),
        kind: info.kind,
        does: info.name.clone(),
        within_ms: millis(step.within),
        stays: step.stays.map(|stays| stays.to_string()),
        meanwhile: step.meanwhile,
        witnesses: step.witnesses.clone(),
        proves: info.proves.clone(),
        waived: info.waived.clone(),
        instead: info.instead.clone(),
        creates: step.word.creates().iter().filter(|_| is_taken).map(ToString::to_string).collect(),
        objects: step.word.applies().into_iter().filter(|_| is_taken).cloned().collect(),
    }
}

fn millis(time: Duration) -> u64 {
    meshproof_run::context::millis(time)
}

#[cfg(test)]
mod tests;
