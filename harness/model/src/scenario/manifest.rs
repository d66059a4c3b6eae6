//! Manifests that scenarios apply: plain Kubernetes YAML, with `${…}` for what the implementation decides and for the images
//! built in the workspace.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::kinds::Kind;
use super::kinds::learned::{Told, learn};
use super::node::{Node, Problem, Source, Span};
use super::parse;
use crate::scenario::object::ObjectRef;

/// Placeholders that are filled later than the others: the harness knows their values when a cluster is there.
pub const PLACEHOLDERS: &[&str] = &["images.echo", "images.alb-controller-istio-extension.tag"];

/// One object of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Its name.
    pub id: ObjectRef,
    /// The object as the file has it.
    pub value: Value,
    /// Where its kind stands.
    pub place: Span,
}

/// The objects of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Path as the scenario gives it.
    pub name: String,
    /// Where it was read.
    pub path: PathBuf,
    /// Its objects, in its order.
    pub objects: Vec<Object>,
}

/// Fills the placeholders of a document.
pub type Fill<'a> = &'a dyn Fn(&Node) -> Result<Node, Problem>;

/// Reads a manifest and fills its placeholders. Objects that name no namespace are in `namespace`.
///
/// # Errors
/// Not YAML, not Kubernetes objects, an unknown kind or an unknown placeholder, each with its place.
pub fn read(
    name: &str,
    path: &Path,
    text: String,
    namespace: &str,
    fill: Fill<'_>,
) -> Result<Manifest, Problem> {
    let source = Arc::new(Source { path: path.to_owned(), text });
    let nodes = parse::documents(&source)?;
    let objects = nodes.iter().map(|node| object(&fill(node)?, namespace));
    let objects = objects.collect::<Result<_, _>>()?;
    Ok(Manifest { name: name.to_owned(), path: path.to_owned(), objects })
}

/// Reads one object. One that names no namespace is in `namespace`.
///
/// # Errors
/// It is no Kubernetes object, or of an unknown kind, at its place.
pub fn object(node: &Node, namespace: &str) -> Result<Object, Problem> {
    let text = |outer: &Node, name: &str| match outer.get(name) {
        Some(field) => field.text().map(str::to_owned),
        None => Err(outer.problem(format!("the object has no `{name}`"))),
    };
    let (version, kind) = (text(node, "apiVersion")?, text(node, "kind")?);
    let place = node.get("kind").unwrap_or(node).span.clone();
    let known = Kind::of_or_assumed(&version, &kind)
        .ok_or_else(|| Kind::unknown(&place, format!("unknown kind {kind} of {version}"), &kind))?;
    let metadata = node.get("metadata").ok_or_else(|| node.problem("the object has no `metadata`"))?;
    let name = text(metadata, "name")?;
    let own = metadata.get("namespace").map(Node::text).transpose()?;
    let namespace = known.namespaced.then(|| own.unwrap_or(namespace).to_owned());
    let value = node.value();
    // What it defines may be spoken of from here on.
    if let Some(told) = Told::by_definition(&value) {
        learn(&told);
    }
    Ok(Object { id: ObjectRef { kind: known, namespace, name }, value, place })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(node: &Node) -> Result<Node, Problem> {
        crate::scenario::placeholder::fill(node, &|_| None)
    }

    fn problem(text: &str) -> String {
        read("m.yaml", Path::new("m.yaml"), text.into(), "ns", &filled).unwrap_err().to_string()
    }

    #[test]
    fn objects_without_a_namespace_are_in_the_scenarios() {
        let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Namespace\n\
                    metadata: {name: b}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: c, namespace: other}\n";
        let manifest = read("m.yaml", Path::new("m.yaml"), text.into(), "ns", &filled).unwrap();
        let ids: Vec<_> = manifest.objects.iter().map(|object| object.id.to_string()).collect();
        assert_eq!(ids, ["service/a in ns", "namespace/b", "service/c in other"]);
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        assert_eq!(
            problem("apiVersion: v1\nkind: Nope\nmetadata: {name: a}\n"),
            "m.yaml:2:7: unknown kind Nope of v1"
        );
        assert_eq!(problem("apiVersion: v1\nkind: Pod\n"), "m.yaml:1:1: the object has no `metadata`");
        assert_eq!(
            problem("apiVersion: v1\nkind: Pod\nmetadata:\n  name: ${who}\n"),
            "m.yaml:4:9: unknown placeholder ${who}"
        );
    }
}
