//! TLSRoutes: where the connections of a listener go, by the name that clients ask for.

use super::backends::Backends;
use super::{Builder, Streams, target};
use crate::config::StreamRule;
use crate::config::parse::hostnames;
use alb_config::proto;
use alb_route::{HostMap, Hostname, Weighted};
use std::sync::Arc;

/// A route at a listener.
#[derive(Debug, Clone)]
pub(super) struct Attached {
    created: i64,
    hostnames: Arc<[Hostname]>,
    rule: Arc<StreamRule>,
}

impl Builder<'_> {
    pub(super) fn tls_route<'r>(
        &mut self,
        name: &str,
        given: &'r proto::TlsRoute,
        backends: &mut Backends<'_>,
        streams: &mut Streams<'r>,
    ) {
        let hostnames: Arc<[Hostname]> = match hostnames(&given.hostnames) {
            Ok(names) => names.into(),
            Err(message) => return self.fault(name, message),
        };
        for (client, listeners) in backends.by_client_certificate(&given.listeners) {
            let rule = Arc::new(StreamRule {
                route: given.route.as_str().into(),
                targets: {
                    let mut find = |name: &str| self.backend_for(name, client, backends);
                    let targets = given.backends.iter();
                    let targets = targets.map(|one| (one.weight, target(one.target.as_ref(), &mut find)));
                    Weighted::new(targets.collect::<Vec<_>>())
                },
            });
            let attached = Attached { created: given.created, hostnames: hostnames.clone(), rule };
            for listener in listeners {
                let key = (listener.frontend.as_str(), listener.listener.as_str());
                streams.entry(key).or_default().push(attached.clone());
            }
        }
    }
}

/// Where connections to a listener go. Of two routes for one name the older counts, then the first by name.
pub(super) fn index(listener: &Hostname, mut routes: Vec<Attached>) -> HostMap<Arc<StreamRule>> {
    routes.sort_by(|a, b| (a.created, &a.rule.route).cmp(&(b.created, &b.rule.route)));
    let any = [Hostname::Any];
    let mut names = Vec::new();
    for route in &routes {
        let given = if route.hostnames.is_empty() { &any[..] } else { &route.hostnames[..] };
        let common = given.iter().filter_map(|name| name.intersect(listener));
        names.extend(common.map(|name| (name, route.rule.clone())));
    }
    HostMap::new(names)
}
