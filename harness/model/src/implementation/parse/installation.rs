//! How a gateway gets into a cluster: not at all, because it is there, or by helm and manifests, and by what objects beside them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Implementation, Kind, list, map, only, optional_text, text_of};
use crate::implementation::templates::{self, Templates};
use crate::implementation::{EditionValue, Installed, Manifests, Release};
use crate::scenario::node::{Fields, Node, Problem};
use crate::workspace;

/// `installed: true` with `requires`.
pub(super) fn installed(fields: &mut Fields<'_>) -> Result<Option<Installed>, Problem> {
    let there = fields.take("installed").map_or(Ok(false), Node::bool)?;
    let requires = fields.take("requires");
    let mut required = Installed::default();
    if let Some(node) = requires {
        let mut own = node.fields()?;
        let text = |node: &Node| node.text().map(str::to_owned);
        required.namespaces = list(&mut own, "namespaces", text)?;
        required.deployments = list(&mut own, "deployments", |node| deployment(node, None))?;
        required.definitions = list(&mut own, "definitions", text)?;
        own.finish()?;
    }
    Ok(there.then_some(required))
}

/// What is said twice, or of something that is not so.
pub(super) fn agree(implementation: &Implementation, node: &Node) -> Result<(), Problem> {
    if implementation.installed.is_none() {
        return Ok(());
    }
    let own =
        ["releases", "manifests", "namespaces"].iter().find_map(|key| node.get(key).map(|node| (key, node)));
    match own {
        None => Ok(()),
        Some((key, node)) => Err(node
            .problem(format!(
                "`installed: true` and `{key}`: what is there already is neither installed nor removed"
            ))
            .help("leave one of the two out; a file that extends another takes a key out with `~`")),
    }
}

/// A Deployment, with its namespace in front where it is not the release's.
fn deployment(node: &Node, namespace: Option<&str>) -> Result<(String, String), Problem> {
    let text = node.text()?;
    match (text.split_once('/'), namespace) {
        (Some((namespace, name)), _) if !namespace.is_empty() && !name.is_empty() => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        (None, Some(namespace)) => Ok((namespace.to_owned(), text.to_owned())),
        _ => Err(node.problem(format!("`{text}` names no Deployment")).help("<namespace>/<name>")),
    }
}

pub(super) fn release(node: &Node) -> Result<Release, Problem> {
    let mut fields = node.fields()?;
    let namespace = text_of(&mut fields, "namespace")?;
    let deployments = list(&mut fields, "deployments", |node| deployment(node, Some(&namespace)))?;
    let none = || Ok(Value::Object(serde_json::Map::new()));
    let values = fields.take("values").map_or_else(none, image_values)?;
    let release = Release {
        name: text_of(&mut fields, "name")?,
        chart: chart(fields.need("chart")?)?,
        version: text_of(&mut fields, "version")?,
        edition: fields.take("edition").map(edition).transpose()?,
        in_mesh: fields.take("in-mesh").map_or(Ok(false), Node::bool)?,
        namespace,
        values,
        deployments,
    };
    fields.finish()?;
    Ok(release)
}

/// Values of a chart, which may name images that are made here.
pub(super) fn image_values(node: &Node) -> Result<Value, Problem> {
    node.fields()?;
    only(node, &is_image, IMAGES)?;
    Ok(node.value())
}

fn edition(node: &Node) -> Result<EditionValue, Problem> {
    let mut fields = node.fields()?;
    let edition = EditionValue {
        value: text_of(&mut fields, "value")?,
        default: text_of(&mut fields, "default")?,
        versions: map(fields.take("versions"), |_, node| Ok(node.text()?.to_owned()))?,
    };
    fields.finish()?;
    Ok(edition)
}

/// Plain manifests.
pub(super) fn manifests(node: &Node) -> Result<Manifests, Problem> {
    let mut fields = node.fields()?;
    let files = fields.need("files")?.one_or_more().iter().map(|node| {
        let path = seen_from_its_file(node, node.text()?);
        // Where the folder itself is gone nothing can be said.
        match path.exists() || !folder_of(node).is_dir() {
            true => Ok(path.canonicalize().unwrap_or(path)),
            false => Err(node.problem(format!("there is no {}", path.display()))),
        }
    });
    let manifests = Manifests {
        files: files.collect::<Result<_, Problem>>()?,
        namespace: optional_text(&mut fields, "namespace")?,
        in_mesh: fields.take("in-mesh").map_or(Ok(false), Node::bool)?,
        deployments: list(&mut fields, "deployments", |node| deployment(node, None))?,
    };
    fields.finish()?;
    Ok(manifests)
}

/// Objects by names.
pub(super) fn templates(fields: &mut Fields<'_>, name: &str) -> Result<Templates, Problem> {
    let known = templates::placeholders(name);
    map(fields.take(name), |_, node| {
        let help = format!("{}, {IMAGES}", known.join(", "));
        only(node, &|name| known.contains(&name) || is_image(name), &help)?;
        let of = |outer: &Node, name: &str| match outer.get(name) {
            Some(field) => field.text().map(str::to_owned),
            None => Err(outer.problem(format!("the object has no `{name}`"))),
        };
        let (version, kind) = (of(node, "apiVersion")?, of(node, "kind")?);
        let metadata = node.get("metadata").ok_or_else(|| node.problem("the object has no `metadata`"))?;
        of(metadata, "name")?;
        // Those that scenarios own are looked for and removed by their kind.
        if name != "objects" && Kind::of(&version, &kind).is_none() {
            let place = node.get("kind").unwrap_or(node);
            return Err(Kind::unknown(&place.span, format!("unknown kind {kind} of {version}"), &kind));
        }
        Ok(node.clone())
    })
}

/// A chart: a directory seen from the file if it begins with a dot, one that is made from a pinned module, or whatever helm takes.
fn chart(node: &Node) -> Result<String, Problem> {
    let chart = node.text()?;
    if chart.starts_with("${") {
        let known =
            |name: &str| name.strip_prefix("charts.").is_some_and(|name| workspace::CHARTS.contains(&name));
        only(node, &known, &format!("charts.<name>: {}", workspace::CHARTS.join(", ")))?;
        return Ok(chart.to_owned());
    }
    if !chart.starts_with('.') {
        return Ok(chart.to_owned());
    }
    let directory = seen_from_its_file(node, chart);
    // Where the folder itself is gone (an installed program's built-in file) nothing can be said.
    if folder_of(node).is_dir() && !directory.join("Chart.yaml").is_file() {
        return Err(node.problem(format!("there is no chart in {}", directory.display())));
    }
    Ok(directory.canonicalize().unwrap_or(directory).display().to_string())
}

pub(super) fn folder_of(node: &Node) -> &Path {
    let folder = node.span.source.path.parent().unwrap_or(Path::new("."));
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

pub(super) fn seen_from_its_file(node: &Node, path: &str) -> PathBuf {
    folder_of(node).join(path)
}

/// What is known of images, for messages.
const IMAGES: &str = "images.<name>, images.<name>.repository, images.<name>.tag";

/// Whether a placeholder names an image that is made here, or a part of its reference.
fn is_image(name: &str) -> bool {
    let Some(name) = name.strip_prefix("images.") else { return false };
    let name = name.strip_suffix(".repository").or_else(|| name.strip_suffix(".tag")).unwrap_or(name);
    workspace::IMAGES.contains(&name) || workspace::PEER_IMAGES.contains(&name)
}
