//! From the text of an implementation's file to the model, strict like the scenarios.

mod conformance;
mod installation;
mod leader_election;
mod log;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::expectation::{expectation, known, reason};
use super::placeholders::TRUST_DOMAIN;
use super::words;
use super::{
    Address, Certificate, Identity, Implementation, Proxies, Reach, Resolution, Waived, WaivedWitness, Words,
    extends,
};
use crate::diagnoses;
use crate::pack::Pack;
use crate::requirement::Catalogue;
use crate::scenario::kinds::Kind;
use crate::scenario::limits;
use crate::scenario::node::{Data, Fields, Key, Node, Problem, Source, Span};
use crate::scenario::placeholder;
use crate::vars::{self, Declarations};

/// Reads the text of a file.
pub(super) fn read(file: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(file).map_err(|error| {
        let source = Arc::new(Source { path: file.to_owned(), text: String::new() });
        Span { source, start: 0, length: 0 }.problem(format!("cannot be read: {error}"))
    })
}

/// Reads an implementation from the text of `file`, as it is put to a pack. Requirements are looked up if there is one.
pub(super) fn implementation(
    file: &Path,
    text: String,
    pack: Option<&Pack>,
) -> Result<Implementation, Problem> {
    let node = extends::whole(Source { path: file.to_owned(), text })?;
    let vars = pack.map(|pack| pack.vars.clone()).unwrap_or_default();
    let vars = vars.with(vars::declarations(node.get("vars"))?);
    let node = vars.fill(&node)?;
    let mut fields = node.fields()?;
    fields.take("vars");
    // What it extends is in it by now.
    fields.take(extends::KEY);
    let about = fields.take("pack").map(Node::text).transpose()?;
    let is_about = |pack: &&Pack| about.is_none_or(|name| name == pack.name);
    let catalogue = pack.filter(is_about).map(|pack| &pack.catalogue);
    let mut labels = keys(fields.take("waived").and_then(|node| node.get("steps")));
    labels.extend(keys(fields.take("expectations")));
    let releases = list(&mut fields, "releases", installation::release)?;
    let suite = fields.take("conformance");
    let mut implementation = Implementation {
        vars,
        labels,
        name: name(fields.need("name")?)?,
        version: optional_text(&mut fields, "version")?,
        gateway_class: text_of(&mut fields, "gateway-class")?,
        controller: text_of(&mut fields, "controller")?,
        conformance: suite.map(|node| conformance::part(node, &releases)).transpose()?,
        installed: installation::installed(&mut fields)?,
        releases,
        manifests: list(&mut fields, "manifests", installation::manifests)?,
        namespaces: list(&mut fields, "namespaces", |node| node.text().map(str::to_owned))?,
        objects: installation::templates(&mut fields, "objects")?,
        per_namespace: installation::templates(&mut fields, "per-namespace")?,
        per_service: installation::templates(&mut fields, "per-service")?,
        address: address(fields.need("address")?)?,
        proxies: proxies(fields.need("proxies")?)?,
        identity: identity(fields.need("identity")?)?,
        trust_domain: super::TRUST_DOMAIN.to_owned(),
        reaches_pods: fields.take("reaches-pods").map(reach).transpose()?,
        limits: fields.take("limits").map_or(Ok(BTreeMap::new()), limits::own)?,
        leader_election: leader_election::all(&mut fields)?,
        messages: fields.take("messages").map_or(Ok(BTreeMap::new()), messages)?,
        diagnoses: known_causes(fields.take(diagnoses::KEY), pack)?,
        words: fields.take(words::KEY).map_or(Ok(Words::default()), words::read)?,
        waived: fields.take("waived").map_or(Ok(Waived::default()), |node| waived(node, catalogue))?,
        expectations: map(fields.take("expectations"), |_, node| expectation(node, catalogue))?,
        edition: None,
    };
    fields.finish()?;
    installation::agree(&implementation, &node)?;
    if pack.is_some_and(|pack| !is_about(&pack)) {
        implementation.labels.clear();
        implementation.expectations.clear();
        implementation.waived.requirements.clear();
        implementation.waived.witnesses.clear();
        implementation.waived.steps.clear();
    }
    Ok(implementation)
}

/// Causes that the file knows, and those of the pack: each once.
fn known_causes(node: Option<&Node>, pack: Option<&Pack>) -> Result<Vec<diagnoses::KnownCause>, Problem> {
    let mut all = diagnoses::all(node)?;
    let of_pack = pack.map(|pack| pack.diagnoses.as_slice()).unwrap_or_default();
    if let Some((at, both)) = all.iter().enumerate().find(|(_, own)| of_pack.iter().any(|of| of.id == own.id))
    {
        let one = node.and_then(|node| node.one_or_more().get(at)?.get("id")).or(node);
        let what = format!("the pack has a diagnosis {} as well", both.id);
        return one.map_or(Ok(Vec::new()), |place| Err(place.problem(what)));
    }
    all.extend_from_slice(of_pack);
    Ok(all)
}

/// What the text of a file leaves to whoever runs it.
pub(super) fn declared(file: &Path, text: String) -> Result<Declarations, Problem> {
    let node = extends::whole(Source { path: file.to_owned(), text })?;
    vars::declarations(node.get("vars"))
}

/// The texts of a file and of everything that it extends, by path.
pub(super) fn texts(file: &Path) -> Result<BTreeMap<PathBuf, String>, Problem> {
    extends::files(Source { path: file.to_owned(), text: read(file)? })
}

/// A name that can stand in the path of a snapshot.
fn name(node: &Node) -> Result<String, Problem> {
    let name = node.text()?;
    match is_plain(name) {
        true => Ok(name.to_owned()),
        false => Err(node.problem(format!("`{name}` is no name")).help("lower-case letters, digits and -")),
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn text_of(fields: &mut Fields<'_>, name: &str) -> Result<String, Problem> {
    Ok(fields.need(name)?.text()?.to_owned())
}

fn optional_text(fields: &mut Fields<'_>, name: &str) -> Result<Option<String>, Problem> {
    Ok(fields.take(name).map(Node::text).transpose()?.map(str::to_owned))
}

pub(super) fn list<T>(
    fields: &mut Fields<'_>,
    name: &str,
    each: impl Fn(&Node) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    fields.take(name).map_or(Ok(Vec::new()), |node| node.list()?.iter().map(each).collect())
}

/// Reads a mapping with keys of its own.
fn map<T>(
    node: Option<&Node>,
    each: impl Fn(&Key, &Node) -> Result<T, Problem>,
) -> Result<BTreeMap<String, T>, Problem> {
    let Some(node) = node else { return Ok(BTreeMap::new()) };
    match &node.data {
        Data::Map(entries) => {
            entries.iter().map(|(key, node)| Ok((key.name.clone(), each(key, node)?))).collect()
        }
        _ => Err(node.problem(format!("expected a mapping, found {}", node.what()))),
    }
}

/// The keys of a mapping; none of anything else, which is told where it is read.
fn keys(node: Option<&Node>) -> Vec<Key> {
    match node.map(|node| &node.data) {
        Some(Data::Map(entries)) => entries.iter().map(|(key, _)| key.clone()).collect(),
        _ => Vec::new(),
    }
}

fn reach(node: &Node) -> Result<Reach, Problem> {
    let word = node.text()?;
    Reach::by_word(word).ok_or_else(|| {
        let known: Vec<_> = Reach::ALL.iter().map(|(word, _)| *word).collect();
        node.problem(format!("`{word}` is no way to reach a pod")).help(known.join(", "))
    })
}

fn is_about_gateway(name: &str) -> bool {
    matches!(name, "gateway.namespace" | "gateway.name")
}

/// Complains about placeholders that will have no value.
fn only(node: &Node, known: &dyn Fn(&str) -> bool, help: &str) -> Result<(), Problem> {
    placeholder::fill(node, &|name| known(name).then(String::new))
        .map(drop)
        .map_err(|problem| problem.help(format!("known: {help}")))
}

/// A text that may hold `${gateway.namespace}` and `${gateway.name}`.
fn gateway_text(fields: &mut Fields<'_>, name: &str) -> Result<String, Problem> {
    let node = fields.need(name)?;
    only(node, &is_about_gateway, "gateway.namespace, gateway.name")?;
    Ok(node.text()?.to_owned())
}

fn address(node: &Node) -> Result<Address, Problem> {
    let mut fields = node.fields()?;
    let kind = fields.need("type")?;
    if !matches!(kind.text()?, "Hostname" | "IPAddress") {
        let problem = kind.problem(format!("`{}` is no type of address", kind.text()?));
        return Err(problem.help("Hostname or IPAddress"));
    }
    let address = Address {
        kind: kind.text()?.to_owned(),
        value: text_of(&mut fields, "value")?,
        resolution: resolution(fields.need("resolve")?)?,
    };
    fields.finish()?;
    Ok(address)
}

fn resolution(node: &Node) -> Result<Resolution, Problem> {
    let help = "itself, dns, service, or {zone: …, namespace: …}";
    match &node.data {
        Data::Text(text) => match text.as_str() {
            "itself" => Ok(Resolution::Itself),
            "dns" => Ok(Resolution::Dns),
            "service" => Ok(Resolution::ClusterService),
            other => Err(node.problem(format!("an address cannot be resolved by `{other}`")).help(help)),
        },
        _ => {
            let mut fields = node.fields().map_err(|problem| problem.help(help))?;
            let resolution = Resolution::Zone {
                zone: zone(fields.need("zone")?)?,
                namespace: text_of(&mut fields, "namespace")?,
            };
            fields.finish()?;
            Ok(resolution)
        }
    }
}

/// Names are compared with it and DNS is configured with it, so it is written one way only.
fn zone(node: &Node) -> Result<String, Problem> {
    let zone = node.text()?;
    match zone.split('.').all(is_plain) {
        true => Ok(zone.to_owned()),
        false => Err(node
            .problem(format!("`{zone}` is no DNS zone"))
            .help("labels of lower-case letters, digits and `-`, joined by dots: alb.internal")),
    }
}

fn proxies(node: &Node) -> Result<Proxies, Problem> {
    let mut fields = node.fields()?;
    let proxies = Proxies {
        namespace: gateway_text(&mut fields, "namespace")?,
        selector: gateway_text(&mut fields, "selector")?,
        container: optional_text(&mut fields, "container")?,
        access_log: log::format(fields.need("access-log")?)?,
    };
    fields.finish()?;
    Ok(proxies)
}

fn identity(node: &Node) -> Result<Option<Identity>, Problem> {
    if matches!(&node.data, Data::Text(text) if text == "none") {
        return Ok(None);
    }
    let mut fields = node.fields().map_err(|problem| problem.help("none, or {spiffe: …, certificate: …}"))?;
    let place = node.get("spiffe").unwrap_or(node);
    let text = fields.need("spiffe")?;
    let known = |name: &str| is_about_gateway(name) || TRUST_DOMAIN == format!("${{{name}}}");
    only(text, &known, "mesh.trust-domain, gateway.namespace, gateway.name")?;
    let spiffe = text.text()?.to_owned();
    if !spiffe.starts_with("spiffe://") {
        return Err(place
            .problem(format!("`{spiffe}` is no SPIFFE id"))
            .help("spiffe://<domain>/ns/<ns>/sa/<sa>"));
    }
    let certificate = certificate(fields.need("certificate")?)?;
    fields.finish()?;
    Ok(Some(Identity { spiffe, certificate }))
}

fn certificate(node: &Node) -> Result<Certificate, Problem> {
    let help = "envoy, sidecar, none, or {secret: <namespace>/<name>}";
    match &node.data {
        Data::Text(text) if text == "envoy" => return Ok(Certificate::Envoy),
        Data::Text(text) if text == "sidecar" => return Ok(Certificate::Sidecar),
        Data::Text(text) if text == "none" => return Ok(Certificate::Unseen),
        _ => {}
    }
    let mut fields = node.fields().map_err(|problem| problem.help(help))?;
    let secret = fields.need("secret")?;
    let (namespace, name) =
        secret.text()?.split_once('/').ok_or_else(|| secret.problem("expected <namespace>/<name>"))?;
    let certificate = Certificate::Secret { namespace: namespace.to_owned(), name: name.to_owned() };
    fields.finish()?;
    Ok(certificate)
}

/// Messages by object and condition, as `gateway.Accepted`.
fn messages(node: &Node) -> Result<BTreeMap<String, String>, Problem> {
    let mut fields = node.fields()?;
    let mut all = BTreeMap::new();
    for object in ["gateway", "listener", "httproute"] {
        for (condition, message) in map(fields.take(object), |_, node| node.text().map(str::to_owned))? {
            all.insert(format!("{object}.{condition}"), message);
        }
    }
    fields.finish()?;
    Ok(all)
}

fn waived(node: &Node, catalogue: Option<&Catalogue>) -> Result<Waived, Problem> {
    let mut fields = node.fields()?;
    let waived = Waived {
        requirements: map(fields.take("requirements"), |key, node| {
            known(key, catalogue).and_then(|()| reason(node))
        })?,
        steps: map(fields.take("steps"), |_, node| reason(node))?,
        witnesses: map(fields.take("witnesses"), |_, node| waived_witness(node, catalogue))?,
        kinds: map(fields.take("kinds"), |key, node| match Kind::by_word(&key.name) {
            None => Err(Kind::unknown(&key.span, format!("unknown kind `{}`", key.name), &key.name)),
            Some(_) => reason(node),
        })?,
    };
    fields.finish()?;
    for (name, witness) in &waived.witnesses {
        if let Some(key) = witness.shows.iter().find(|key| !waived.requirements.contains_key(&key.name)) {
            let what =
                format!("{} stands on the witness {name}, which is not heard, and is not waived", key.name);
            return Err(key.span.problem(what).help("add it to `waived.requirements` with the reason"));
        }
    }
    Ok(waived)
}

/// A witness that is not heard: why, and which requirements would have stood on it.
fn waived_witness(node: &Node, catalogue: Option<&Catalogue>) -> Result<WaivedWitness, Problem> {
    let mut fields = node.fields()?;
    let shows = fields.need("shows")?;
    let shows = shows.one_or_more().iter().map(|node| {
        let key = Key { name: node.text()?.to_owned(), span: node.span.clone() };
        known(&key, catalogue)?;
        Ok(key)
    });
    let shows = shows.collect::<Result<Vec<_>, Problem>>()?;
    let witness = WaivedWitness { shows, because: reason(fields.need("because")?)? };
    fields.finish()?;
    Ok(witness)
}
