//! Objects that a gateway needs beside its releases, as the file says them: `objects` once, `per-namespace` in every namespace
//! that a scenario makes, `per-service` for every Service that it makes in a namespace of the mesh. Each has a name in the file,
//! by which a file that extends it can change it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Implementation;
use super::placeholders::TRUST_DOMAIN;
use crate::scenario::node::{Node, Problem};
use crate::scenario::placeholder;

/// Objects by their names in the file.
pub type Templates = BTreeMap<String, Node>;

/// What such an object is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion<'a> {
    /// The gateway itself.
    Gateway,
    /// A namespace.
    Namespace(&'a str),
    /// A Service: its namespace, its name, and the service account of the pods behind it.
    Service {
        /// Its namespace.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
        /// The service account of its pods.
        account: &'a str,
    },
}

/// Placeholders of every such object.
const ALWAYS: [&str; 3] = ["implementation.class", "implementation.controller", "mesh.trust-domain"];
/// Those of objects of a namespace.
const OF_NAMESPACE: [&str; 1] = ["namespace"];
/// Those of objects of a Service.
const OF_SERVICE: [&str; 3] = ["namespace", "service.name", "service.account"];

/// The placeholders there are on an occasion, beside those of images.
pub(super) fn placeholders(of: &str) -> Vec<&'static str> {
    let more: &[&str] = match of {
        "per-namespace" => &OF_NAMESPACE,
        "per-service" => &OF_SERVICE,
        _ => &[],
    };
    ALWAYS.iter().chain(more).copied().collect()
}

impl Implementation {
    /// The objects that are made on an occasion, each with its place in the file. Those of images stay to be filled by whoever has
    /// them.
    ///
    /// # Errors
    /// A placeholder that has no value, at its place.
    pub fn objects_for(&self, occasion: Occasion<'_>) -> Result<Vec<Node>, Problem> {
        let templates = match occasion {
            Occasion::Gateway => &self.objects,
            Occasion::Namespace(_) => &self.per_namespace,
            Occasion::Service { .. } => &self.per_service,
        };
        let value = |name: &str| {
            let value = match (name, occasion) {
                ("implementation.class", _) => self.gateway_class.as_str(),
                ("implementation.controller", _) => self.controller.as_str(),
                ("mesh.trust-domain", _) => self.trust_domain.as_str(),
                ("namespace", Occasion::Namespace(namespace) | Occasion::Service { namespace, .. }) => {
                    namespace
                }
                ("service.name", Occasion::Service { name, .. }) => name,
                ("service.account", Occasion::Service { account, .. }) => account,
                (image, _) if image.starts_with("images.") => return Some(format!("${{{image}}}")),
                _ => return None,
            };
            Some(value.to_owned())
        };
        templates.values().map(|node| placeholder::fill(node, &value)).collect()
    }

    /// The same without places.
    ///
    /// # Errors
    /// See [`Self::objects_for`].
    pub fn objects_of(&self, occasion: Occasion<'_>) -> Result<Vec<Value>, Problem> {
        Ok(self.objects_for(occasion)?.iter().map(Node::value).collect())
    }

    /// A text of the file about the mesh that is there.
    pub(super) fn in_its_mesh(&self, text: &str) -> String {
        text.replace(TRUST_DOMAIN, &self.trust_domain)
    }
}
