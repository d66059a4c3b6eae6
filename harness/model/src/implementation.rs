//! The gateway under test, as data: how to install it, what it calls itself, and where its behaviour is rightly another than
//! the document's. `implementations/alb.yaml` shows every field with what it is for; `implementations/istio.yaml` is a
//! gateway that differs.

mod conformance;
mod election;
pub mod expectation;
pub mod fields;
mod parse;
mod placeholders;
mod resolution;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::pack::Pack;
use crate::scenario::labels::Labels;
use crate::scenario::node::{self, Key, Problem};
use crate::scenario::placeholder::substitute_by;
use crate::vars::{Declarations, Vars};
use crate::{digest, pack, workspace};
pub use conformance::{ConformanceOf, merge};
pub use election::LeaderElection;
pub use expectation::{Expectation, Waived};
pub use placeholders::{PLACEHOLDERS, about_gateway};
pub use resolution::Resolution;

/// The gateway of this workspace, as it was when this program was built.
const ALB: &str = include_str!("../../../implementations/alb.yaml");
/// Folder of the implementations, below the workspace's root.
const FOLDER: &str = "implementations";

/// A gateway under test.
#[derive(Debug, Clone, PartialEq)]
pub struct Implementation {
    /// Short name, e.g. `alb`; also a folder of snapshots.
    pub name: String,
    /// Its version; nothing for one that comes with Istio and has Istio's.
    pub version: Option<String>,
    /// Its GatewayClass.
    pub gateway_class: String,
    /// `spec.controllerName` of that class, which its entries in a route's status carry.
    pub controller: String,
    /// Its helm releases, in the order of installation.
    pub releases: Vec<Release>,
    /// Namespaces that are its own: emptied after its releases.
    pub namespaces: Vec<String>,
    /// The address in a Gateway's status.
    pub address: Address,
    /// Its data plane.
    pub proxies: Proxies,
    /// Who it is to the mesh.
    pub identity: Identity,
    /// What the Gateway API's conformance suite is told of it; nothing if it cannot be put to it.
    pub conformance: Option<ConformanceOf>,
    /// Deployments of whose pods one at a time is active.
    pub leader_election: Vec<LeaderElection>,
    /// Messages of its conditions, by `<kind of object>.<type of condition>`. They may hold `*` and `?`.
    pub messages: BTreeMap<String, String>,
    /// What it does not promise; of requirements and steps nothing, if its file is about those of another pack.
    pub waived: Waived,
    /// What its file, and the pack that it is put to, leave to whoever runs it.
    pub vars: Vars,
    /// Every label of a step that its file names, where it names it.
    labels: Vec<Key>,
    /// What is expected instead of what the scenarios say, by the step's label.
    pub expectations: BTreeMap<String, Expectation>,
}

/// One helm release.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// Name of the release.
    pub name: String,
    /// Chart: a directory, or what `helm install` takes.
    pub chart: String,
    /// Version of the chart.
    pub version: String,
    /// Namespace of the release; created if missing.
    pub namespace: String,
    /// Values, as an object. May hold `${images.<name>}`, and `.repository` or `.tag` of it.
    pub values: Value,
    /// Its pods are injected by Istio, so Istio comes first. A service-mesh extension, in other words.
    pub in_mesh: bool,
    /// Deployments (namespace, name) whose readiness means that the release is.
    pub deployments: Vec<(String, String)>,
}

/// The address a Gateway's status gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `Hostname` or `IPAddress`.
    pub kind: String,
    /// What it looks like; `*` and `?` stand for what differs.
    pub value: String,
    /// How it leads to an address this host can connect to.
    pub resolution: Resolution,
}

/// The pods of the data plane. Both texts may hold `${gateway.namespace}` and `${gateway.name}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxies {
    /// Their namespace.
    pub namespace: String,
    /// Their label selector.
    pub selector: String,
    /// The access log they keep on standard output; nothing if they keep none that can be read.
    pub access_log: Option<LogFormat>,
}

/// Istio's trust domain unless a mesh has another one (`meshConfig.trustDomain`).
const TRUST_DOMAIN: &str = "cluster.local";

/// The form of an access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// alb-proxy's own: a JSON object in the words of the harness.
    Alb,
    /// Envoy's, with the fields that `kind-config/istio/values.yaml` asks for.
    Istio,
}

/// The identity the gateway shows to the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// SPIFFE id; may hold `${mesh.trust-domain}`, `${gateway.namespace}` and `${gateway.name}`.
    pub spiffe: String,
    /// The mesh's trust domain.
    pub trust_domain: String,
    /// Where the certificate can be seen.
    pub certificate: Certificate,
}

/// Where the gateway's client certificate can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// In a Secret, under the key `tls.crt`.
    Secret {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// In the Envoy of a proxy, as Istio's agent gave it (secret `default`).
    Envoy,
}

impl Proxies {
    /// Whether each Gateway has proxies of its own.
    pub fn differ_by_gateway(&self) -> bool {
        [&self.namespace, &self.selector].iter().any(|text| text.contains("${gateway."))
    }
}

impl Identity {
    /// The SPIFFE id of a Gateway.
    pub fn of(&self, namespace: &str, gateway: &str) -> String {
        about_gateway(&self.spiffe.replace(parse::TRUST_DOMAIN, &self.trust_domain), namespace, gateway)
    }
}

impl Implementation {
    /// The same as it is in a mesh that somebody else has set up: with identities of its trust domain, and, if its proxies keep the
    /// mesh's own access log, perhaps with one that cannot be read.
    #[must_use]
    pub fn in_mesh(mut self, trust_domain: &str, log_can_be_read: bool) -> Self {
        trust_domain.clone_into(&mut self.identity.trust_domain);
        self.proxies.access_log = self.proxies.access_log.filter(|_| log_can_be_read);
        self
    }

    /// The gateway of this workspace.
    ///
    /// # Errors
    /// When the file was not well formed at build time; a test guards against that.
    pub fn built_in() -> Result<Self, Problem> {
        Self::parse(&Self::built_in_file(), ALB.to_owned())
    }

    /// Where its file is, or was: charts are seen from there. An installed program may no longer have them; helm then says so.
    fn built_in_file() -> PathBuf {
        let folder = workspace::root().map_or_else(|| PathBuf::from(FOLDER), |root| root.join(FOLDER));
        folder.join("alb.yaml")
    }

    /// The one in `file`, or the built-in one.
    ///
    /// # Errors
    /// See [`Self::load`].
    pub fn choose(file: Option<&Path>) -> Result<Self, Problem> {
        file.map_or_else(Self::built_in, Self::load)
    }

    /// The one in `file`, or the built-in one, as it is put to a pack: what a file says of the requirements and steps of another
    /// pack (`pack: NAME`) says nothing here.
    ///
    /// # Errors
    /// See [`Self::load`].
    pub fn choose_for(file: Option<&Path>, pack: &Pack) -> Result<Self, Problem> {
        match file {
            Some(file) => parse::implementation(file, parse::read(file)?, Some(pack)),
            None => parse::implementation(&Self::built_in_file(), ALB.to_owned(), Some(pack)),
        }
    }

    /// What the one in `file`, or the built-in one, leaves to whoever runs it.
    ///
    /// # Errors
    /// The file cannot be read, or its `vars` are not well formed.
    pub fn declares(file: Option<&Path>) -> Result<Declarations, Problem> {
        match file {
            Some(file) => parse::declared(file, parse::read(file)?),
            None => parse::declared(&Self::built_in_file(), ALB.to_owned()),
        }
    }

    /// Reads an implementation from a file. A chart given as a directory must be there.
    ///
    /// # Errors
    /// What is wrong with it, with file, line and column.
    pub fn load(file: &Path) -> Result<Self, Problem> {
        Self::parse(file, parse::read(file)?)
    }

    /// Digest of the file an implementation is read from; of the built-in one without.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn digest(file: Option<&Path>) -> std::io::Result<String> {
        match file {
            None => Ok(digest::bytes(ALB.as_bytes())),
            Some(file) => digest::tree(file),
        }
    }

    /// Reads an implementation from the text of a file, as it is put to the built-in pack. A chart given as a directory must be
    /// there.
    ///
    /// # Errors
    /// What is wrong with it, with file, line and column.
    pub fn parse(file: &Path, text: String) -> Result<Self, Problem> {
        let pack = Pack::built_in(Path::new(pack::FOLDER));
        parse::implementation(file, text, pack.as_ref().ok())
    }

    /// Names of the workspace's images that its charts want.
    pub fn images(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for release in &self.releases {
            // Only to see which there are: nothing is put in.
            let seen = RefCell::new(Vec::new());
            let _ = substitute_by(&release.values, &|name| {
                seen.borrow_mut().push(name.to_owned());
                Some(String::new())
            });
            names.extend(seen.take().iter().filter_map(|name| {
                Some(name.strip_prefix("images.")?.split('.').next().unwrap_or_default().to_owned())
            }));
        }
        names
    }

    /// Whether every step it names is one of these, the labels of all scenarios, and proves what it is said to prove still.
    ///
    /// # Errors
    /// Each label that no step has, and each requirement that no step of the label proves, at its place: what it says would be
    /// about nothing.
    pub fn names_steps_of(&self, labels: &Labels) -> Result<(), Vec<Problem>> {
        let all: Vec<&str> = labels.keys().map(String::as_str).collect();
        let unknown = self.labels.iter().filter(|key| !labels.contains_key(&key.name)).map(|key| {
            let problem = key.span.problem(format!("no scenario has a step `{}`", key.name));
            match node::closest(&key.name, &all) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem.help(format!("labels (`as:`) there are: {}", all.join(", "))),
            }
        });
        let beside = self.expectations.iter().flat_map(|(label, expectation)| {
            let proves = labels.get(label).cloned().unwrap_or_default();
            let others = expectation.still_proves.iter().filter(move |(key, _)| !proves.contains(&key.name));
            others.filter(|_| labels.contains_key(label)).map(move |(key, _)| {
                key.span.problem(format!("no step `{label}` is to prove {}, whoever is asked", key.name))
            })
        });
        let unknown: Vec<Problem> = unknown.chain(beside).collect();
        if unknown.is_empty() { Ok(()) } else { Err(unknown) }
    }

    /// Why a claim about these requirements cannot be put to this gateway: it promises none of them.
    pub fn waives(&self, requirements: &[String]) -> Option<String> {
        let reasons: Option<Vec<&String>> =
            requirements.iter().map(|id| self.waived.requirements.get(id)).collect();
        let mut reasons = reasons.filter(|reasons| !reasons.is_empty())?;
        let mut seen = BTreeSet::new();
        reasons.retain(|reason| seen.insert(*reason));
        Some(reasons.into_iter().map(String::as_str).collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests;
