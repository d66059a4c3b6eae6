//! The Gateway that a claim is about, the routes that name it, and the backend behind them.

use serde_json::Value;

use super::{Claim, Facts, items, text};

impl Facts {
    /// The Gateway the claim was about: where it was about a route, the one that the route names; where it names none, the
    /// only one of its namespace.
    pub fn gateway(&self) -> Option<&Value> {
        let named_by_route = || {
            let route = self.get("httproutes", &self.claim.namespace, &self.claim.route)?;
            parents(route).find_map(|(namespace, name)| self.get("gateways", namespace, name))
        };
        let of_the_namespace = || self.of("gateways", &self.claim.namespace);
        // A claim about an object says in words which it is about.
        let named = |gateway: &&Value| {
            let object = format!("gateway/{}", text(&gateway["metadata"]["name"]));
            let mut words = self.claim.expected.split_whitespace();
            words.any(|word| word.trim_end_matches([',', ';', ':', '.']) == object)
        };
        match self.claim.gateway.as_str() {
            "" => named_by_route()
                .or_else(|| of_the_namespace().find(named))
                .or_else(|| of_the_namespace().next()),
            name => self.get("gateways", &self.claim.namespace, name),
        }
    }

    /// Routes that what the claim says may depend on: the one it was about, or those that name its Gateway, in whatever
    /// namespace they are. Pods do not depend on any.
    pub fn routes(&self) -> Vec<&Value> {
        let claim = &self.claim;
        if claim.word == "pods" {
            return Vec::new();
        }
        if let Some(route) = self.get("httproutes", &claim.namespace, &claim.route) {
            return vec![route];
        }
        let own = self.gateway().map(|gateway| &gateway["metadata"]);
        let own = own.map(|metadata| (text(&metadata["namespace"]), text(&metadata["name"])));
        // A Gateway that is gone is still named by its routes.
        let named = (claim.namespace.as_str(), claim.gateway.as_str());
        match own.or_else(|| (!claim.gateway.is_empty()).then_some(named)) {
            Some(gateway) => self.routes_of(gateway).collect(),
            None => self.of("httproutes", &claim.namespace).collect(),
        }
    }

    /// Routes that name a Gateway (namespace, name) as a parent.
    pub fn routes_of<'a>(&'a self, gateway: (&'a str, &'a str)) -> impl Iterator<Item = &'a Value> {
        let routes = self.list("httproutes").iter();
        routes.filter(move |route| parents(route).any(|parent| parent == gateway))
    }

    /// Where the backend is, if the claim says it by a name alone: in its Gateway's namespace, or else where the Gateway's
    /// routes have it.
    pub fn look_for_backend(&mut self) {
        let Claim { namespace, backend, backend_namespace, .. } = &self.claim;
        if backend.is_empty()
            || backend_namespace.is_some()
            || self.get("services", namespace, backend).is_some()
        {
            return;
        }
        let routes = self.routes().into_iter();
        let elsewhere = routes
            .flat_map(backend_refs)
            .find(|(other, service)| service == backend && self.get("services", other, service).is_some());
        let elsewhere = elsewhere.map(|(namespace, _)| namespace.to_owned());
        self.claim.backend_namespace = elsewhere;
    }
}

/// Namespace and name of each parent that a route names.
fn parents(route: &Value) -> impl Iterator<Item = (&str, &str)> {
    named(route, items(&route["spec"]["parentRefs"]).iter())
}

/// Namespace and name of each backend that a route names.
fn backend_refs(route: &Value) -> impl Iterator<Item = (&str, &str)> {
    named(route, items(&route["spec"]["rules"]).iter().flat_map(|rule| items(&rule["backendRefs"])))
}

/// Namespace and name of what a route refers to; its own namespace where a reference names none.
fn named<'a>(
    route: &'a Value,
    references: impl Iterator<Item = &'a Value>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let own = text(&route["metadata"]["namespace"]);
    references
        .map(move |reference| (reference["namespace"].as_str().unwrap_or(own), text(&reference["name"])))
}
