//! What the implementation puts for `${…}` in scenarios, their manifests and expected statuses.

use super::Implementation;

/// Placeholders that scenarios may hold, for messages: those in brackets stand for any name.
pub const PLACEHOLDERS: &str = "images.echo, images.alb-controller-istio-extension.tag, charts.<release>, implementation.class, \
implementation.controller, address.type, address.value, messages.<object>.<condition>, principal.<gateway>, vars.<variable>";

/// Stands for the trust domain of the mesh that is there.
pub(super) const TRUST_DOMAIN: &str = "${mesh.trust-domain}";

/// The principal of a gateway that shows no identity. Nobody has it: a SPIFFE id has a trust domain and a path.
const NOBODY: &str = "no-identity";

impl Implementation {
    /// The value of a placeholder of a scenario whose objects are in `namespace`; nothing if it has none.
    pub fn placeholder(&self, name: &str, namespace: &str) -> Option<String> {
        match name {
            "implementation.class" => return Some(self.gateway_class.clone()),
            "implementation.controller" => return Some(self.controller.clone()),
            "address.type" => return Some(self.address.kind.clone()),
            "address.value" => return Some(self.address.value.clone()),
            _ => {}
        }
        match name.split_once('.')? {
            ("messages", message) => self.messages.get(message).cloned(),
            // A principal of Istio's policies is a SPIFFE id without its scheme.
            ("principal", gateway) => {
                let spiffe = self.identity_of(namespace, gateway);
                let principal = spiffe.map(|spiffe| spiffe.trim_start_matches("spiffe://").to_owned());
                Some(principal.unwrap_or_else(|| NOBODY.to_owned()))
            }
            _ => None,
        }
    }
}

/// Fills `${gateway.namespace}` and `${gateway.name}` in a text of the implementation.
pub fn about_gateway(text: &str, namespace: &str, name: &str) -> String {
    text.replace("${gateway.namespace}", namespace).replace("${gateway.name}", name)
}
