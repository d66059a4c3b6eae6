//! Which images of this workspace are needed: what nobody asks for is not compiled.

use std::collections::BTreeSet;

use meshproof_model::implementation::Implementation;
use meshproof_model::workspace::IMAGES;

/// The backend of the scenarios, and the client inside the cluster.
const ECHO: &str = "echo";
/// What hands out load-balancer addresses on a cluster of ours.
const LOAD_BALANCER: &str = "load-balancer";

/// Images of this workspace, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted(BTreeSet<&'static str>);

impl Default for Wanted {
    fn default() -> Self {
        Self::all()
    }
}

impl Wanted {
    /// All of them.
    pub fn all() -> Self {
        Self(IMAGES.into())
    }

    /// None.
    pub fn none() -> Self {
        Self(BTreeSet::new())
    }

    /// On a cluster of ours: what every one of them has, and what the gateway under test is made of.
    pub fn on_ours(implementation: &Implementation) -> Self {
        Self::with(implementation, &[ECHO, LOAD_BALANCER])
    }

    /// On somebody else's cluster, which has its own load-balancer addresses.
    pub fn on_existing(implementation: &Implementation) -> Self {
        Self::with(implementation, &[ECHO])
    }

    fn with(implementation: &Implementation, always: &[&str]) -> Self {
        let named = implementation.images();
        Self(IMAGES.into_iter().filter(|name| always.contains(name) || named.contains(*name)).collect())
    }

    /// Whether it is among them.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshproof_model::pack::{FOLDER, Pack};
    use meshproof_model::workspace;

    fn of(name: &str) -> Implementation {
        let root = workspace::root().unwrap();
        let mut pack = Pack::load(&root.join(FOLDER)).unwrap();
        // What its file leaves to whoever runs it makes no difference to images.
        let file = root.join(format!("implementations/{name}.yaml"));
        let declared = Implementation::declares(Some(&file)).unwrap();
        pack.vars.given = declared.keys().map(|name| (name.clone(), "x".to_owned())).collect();
        Implementation::choose_for(Some(&file), &pack).unwrap()
    }

    fn names(wanted: &Wanted) -> Vec<&'static str> {
        wanted.0.iter().copied().collect()
    }

    #[test]
    fn for_somebody_elses_gateway_nothing_of_ours_is_built() {
        for name in
            ["istio", "envoy-gateway-mtls", "envoy-gateway-istio-alpn", "envoy-gateway-plain", "traefik"]
        {
            let of = of(name);
            assert_eq!(names(&Wanted::on_existing(&of)), ["echo"], "{name}");
            assert_eq!(names(&Wanted::on_ours(&of)), ["echo", "load-balancer"], "{name}");
        }
    }

    #[test]
    fn for_the_gateway_of_this_workspace_everything_is() {
        let of = Implementation::built_in().unwrap();
        assert_eq!(Wanted::on_ours(&of), Wanted::all());
        let there = Wanted::on_existing(&of);
        assert!(there.has("alb-proxy") && there.has("echo") && !there.has("load-balancer"));
        assert!(Wanted::none().is_empty() && !there.is_empty());
    }

    #[test]
    fn one_that_is_installed_already_needs_the_backend_alone() {
        let text = "name: g\ngateway-class: c\ncontroller: example/c\naddress: {type: IPAddress, value: '*', resolve: itself}\n\
                    proxies: {namespace: p, selector: a=b, access-log: none}\nidentity: none\ninstalled: true\n";
        let of = Implementation::parse(std::path::Path::new("g.yaml"), text.to_owned()).unwrap();
        assert_eq!(names(&Wanted::on_existing(&of)), ["echo"]);
    }
}
