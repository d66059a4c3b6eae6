//! The gateway under test, as data: how to install it, what it calls itself, and where its behaviour is rightly another than
//! the document's. `implementations/alb.yaml` shows every field with what it is for; `implementations/istio.yaml` is a
//! gateway that differs.

mod conformance;
mod election;
pub mod expectation;
mod extends;
pub mod fields;
pub mod find;
mod installation;
mod log_format;
mod parse;
mod placeholders;
mod reach;
mod resolution;
mod templates;
mod words;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::diagnoses::KnownCause;
use crate::pack::Pack;
use crate::scenario::labels::Labels;
use crate::scenario::node::{self, Key, Problem};
use crate::scenario::placeholder::substitute_by;
use crate::vars::{Declarations, Vars};
use crate::{digest, pack, workspace};
pub use conformance::{ConformanceOf, NOBODYS_ADDRESS, merge};
pub use election::LeaderElection;
pub use expectation::{Expectation, Waived, WaivedWitness};
pub use installation::{EditionValue, Installed, Manifests, Release};
pub use log_format::{LogFields, LogFormat};
pub use placeholders::{PLACEHOLDERS, about_gateway};
pub use reach::Reach;
pub use resolution::Resolution;
pub use templates::{Occasion, Templates};
pub use words::{FINDING_IDS, Finding, Words};

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
    /// What must be there of one that is installed already, and that nobody here installs or removes.
    pub installed: Option<Installed>,
    /// Its helm releases, in the order of installation.
    pub releases: Vec<Release>,
    /// Its plain manifests, installed after the releases.
    pub manifests: Vec<Manifests>,
    /// Namespaces that are its own: emptied after its releases.
    pub namespaces: Vec<String>,
    /// Objects that it needs beside its releases.
    pub objects: Templates,
    /// Objects that it needs in every namespace that a scenario makes.
    pub per_namespace: Templates,
    /// Objects that it needs for every Service that a scenario makes in a namespace of the mesh.
    pub per_service: Templates,
    /// The address in a Gateway's status.
    pub address: Address,
    /// Its data plane.
    pub proxies: Proxies,
    /// Who it is to the mesh; nothing for one that shows no identity.
    pub identity: Option<Identity>,
    /// The mesh's trust domain.
    pub trust_domain: String,
    /// How it reaches the pods behind it, if its file says so.
    pub reaches_pods: Option<Reach>,
    /// Its own time limits, by the names of [`crate::scenario::limits::NAMED`].
    pub limits: BTreeMap<String, Duration>,
    /// What the Gateway API's conformance suite is told of it; nothing if it cannot be put to it.
    pub conformance: Option<ConformanceOf>,
    /// Deployments of whose pods one at a time is active.
    pub leader_election: Vec<LeaderElection>,
    /// Messages of its conditions, by `<kind of object>.<type of condition>`. They may hold `*` and `?`.
    pub messages: BTreeMap<String, String>,
    /// Causes that its file, and the pack that it is put to, know.
    pub diagnoses: Vec<KnownCause>,
    /// Its own words, by which a diagnosis knows what it says.
    pub words: Words,
    /// What it does not promise; of requirements and steps nothing, if its file is about those of another pack.
    pub waived: Waived,
    /// What its file, and the pack that it is put to, leave to whoever runs it.
    pub vars: Vars,
    /// Every label of a step that its file names, where it names it.
    labels: Vec<Key>,
    /// What is expected instead of what the scenarios say, by the step's label.
    pub expectations: BTreeMap<String, Expectation>,
    /// The edition of the document that it is put to; nothing if each scenario follows its own.
    pub edition: Option<String>,
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
    /// The container that keeps the access log; nothing if there is one only.
    pub container: Option<String>,
    /// The access log they keep on standard output; nothing if they keep none that can be read.
    pub access_log: Option<LogFormat>,
}

/// Istio's trust domain unless a mesh has another one (`meshConfig.trustDomain`).
const TRUST_DOMAIN: &str = "cluster.local";

/// The identity the gateway shows to the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// SPIFFE id; may hold `${mesh.trust-domain}`, `${gateway.namespace}` and `${gateway.name}`.
    pub spiffe: String,
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
    /// In the Envoy that runs beside a proxy, its sidecar, in the same way.
    Sidecar,
    /// Nowhere but on the wire.
    Unseen,
}

impl Proxies {
    /// Whether each Gateway has proxies of its own.
    pub fn differ_by_gateway(&self) -> bool {
        [&self.namespace, &self.selector].iter().any(|text| text.contains("${gateway."))
    }
}

impl Implementation {
    /// The SPIFFE id of a Gateway; nothing if it shows none.
    pub fn identity_of(&self, namespace: &str, gateway: &str) -> Option<String> {
        let identity = self.identity.as_ref()?;
        Some(about_gateway(&self.in_its_mesh(&identity.spiffe), namespace, gateway))
    }

    /// Whether something of it is put into a cluster, and taken out again.
    pub fn is_installed_by_us(&self) -> bool {
        !(self.releases.is_empty() && self.manifests.is_empty() && self.objects.is_empty())
    }

    /// The same as it is in a mesh that somebody else has set up: with identities of its trust domain, and, if its proxies keep the
    /// mesh's own access log, perhaps with one that cannot be read.
    #[must_use]
    pub fn in_mesh(mut self, trust_domain: &str, log_can_be_read: bool) -> Self {
        trust_domain.clone_into(&mut self.trust_domain);
        self.proxies.access_log = self.proxies.access_log.filter(|_| log_can_be_read);
        self
    }

    /// The same as it is installed to follow an edition of the document. What its values say themselves stays.
    #[must_use]
    pub fn following(&self, edition: &str) -> Self {
        let mut following = self.clone();
        for release in &mut following.releases {
            let value = release.edition.as_ref().filter(|value| value.default != edition);
            let Some(EditionValue { value, versions, .. }) = value else { continue };
            if let Value::Object(values) = &mut release.values {
                values.entry(value.clone()).or_insert_with(|| edition.into());
            }
            if let Some(version) = versions.get(edition) {
                release.version.clone_from(version);
            }
        }
        following
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

    /// Digest of the file an implementation is read from, and of those that it extends; of the built-in one without.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn digest(file: Option<&Path>) -> std::io::Result<String> {
        let Some(file) = file else { return Ok(digest::bytes(ALB.as_bytes())) };
        let texts = parse::texts(file).map_err(|problem| std::io::Error::other(problem.to_string()))?;
        if texts.len() < 2 {
            return digest::tree(file);
        }
        let named = texts.into_iter().map(|(path, text)| (named_from(file, &path), text.into_bytes()));
        Ok(digest::contents(&named.collect()))
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

    /// Names of the images that its charts and objects want, of those that are made here.
    pub fn images(&self) -> BTreeSet<String> {
        let seen = RefCell::new(Vec::new());
        let note = |name: &str| {
            seen.borrow_mut().push(name.to_owned());
            Some(String::new())
        };
        // Only to see which there are: nothing is put in.
        for release in &self.releases {
            let _ = substitute_by(&release.values, &note);
        }
        for template in
            [&self.objects, &self.per_namespace, &self.per_service].into_iter().flat_map(Templates::values)
        {
            let _ = substitute_by(&template.value(), &note);
        }
        for text in self.manifests.iter().filter_map(|manifests| manifests.text().ok()) {
            let _ = substitute_by(&text.into(), &note);
        }
        let image = |name: &String| Some(name.strip_prefix("images.")?.split('.').next()?.to_owned());
        seen.take().iter().filter_map(image).collect()
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

/// A file's name as seen from the folder of another one.
fn named_from(file: &Path, path: &Path) -> String {
    let folder = file.parent().unwrap_or(Path::new(""));
    path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
