//! What the proxy serves at one moment: built whole from the resources, swapped in one step, never changed.

mod build;
mod parse;

pub(crate) use build::build;

use crate::affinity::Affinity;
use crate::filters::Filters;
use crate::limits::{BackendLimit, FrontendLimits};
use crate::termination::{TlsListener, TlsPort};
use crate::upstream::{Backend, Certificate, Identity, Protocol, Security, Timeouts, Upstream};
use alb_config::proto::ServerTls;
use alb_route::{HostMap, Table, Weighted};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

/// A whole configuration.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// By the port that the proxy binds.
    pub(crate) ports: HashMap<u16, Port>,
    /// Routes of each frontend, by FQDN.
    routes: HashMap<Arc<str>, HashSet<Arc<str>>>,
    /// Every endpoint in use, to be found again by the next configuration.
    pub(crate) upstreams: HashMap<UpstreamKey, Arc<Upstream>>,
    security: HashMap<SecurityKey, Arc<Security>>,
    /// What each frontend and each backend may use, by resource name: requests that are in flight count on.
    frontend_limits: HashMap<Arc<str>, Arc<FrontendLimits>>,
    backend_limits: HashMap<Arc<str>, Arc<BackendLimit>>,
    /// Certificates for clients and for pods, by resource name, with the version.
    pub(crate) certificates: HashMap<Arc<str>, (String, Arc<Certificate>)>,
    /// Listeners whose clients speak TLS, by resource name of the frontend and name.
    tls_listeners: HashMap<(Arc<str>, Arc<str>), Arc<TlsListener>>,
    /// By resource name, with the version.
    pub(crate) identities: HashMap<Arc<str>, (String, Arc<Identity>)>,
    /// Names and versions of the resources, for the debug page.
    pub(crate) versions: Vec<(Arc<str>, String)>,
}

/// What is served on one bound port.
#[derive(Debug)]
pub(crate) struct Port {
    /// Resource name of the frontend.
    pub(crate) frontend: Arc<str>,
    pub(crate) fqdn: Arc<str>,
    pub(crate) gateway: Arc<str>,
    pub(crate) limits: Arc<FrontendLimits>,
    /// The port that clients see.
    pub(crate) seen: u16,
    pub(crate) table: Table<Arc<str>, Arc<Rule>>,
    /// Its clients speak TLS.
    pub(crate) tls: Option<Arc<TlsPort>>,
    /// Where connections go that are not looked into, by name of the listener.
    pub(crate) streams: HashMap<Arc<str>, HostMap<Arc<StreamRule>>>,
}

/// Where the connections for one name go: a TLSRoute.
#[derive(Debug)]
pub(crate) struct StreamRule {
    /// "<namespace>/<name>" of the TLSRoute.
    pub(crate) route: Arc<str>,
    pub(crate) targets: Weighted<Target>,
}

/// One rule of a route.
#[derive(Debug)]
pub(crate) struct Rule {
    /// "<namespace>/<name>" of the route.
    pub(crate) route: Arc<str>,
    pub(crate) destinations: Weighted<Destination>,
    pub(crate) timeouts: Timeouts,
    pub(crate) filters: Option<Arc<Filters>>,
    pub(crate) affinity: Option<Affinity>,
}

/// One of the places that a rule sends requests to.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    pub(crate) target: Target,
    /// Of requests that go there.
    pub(crate) filters: Option<Arc<Filters>>,
}

#[derive(Debug, Clone)]
pub(crate) enum Target {
    Backend(Arc<Backend>),
    /// Why the reference is invalid.
    Invalid(Arc<str>),
}

/// The same key means: connections may be shared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct UpstreamKey {
    pub(crate) address: SocketAddr,
    pub(crate) pod: String,
    pub(crate) security: SecurityKey,
    pub(crate) protocol: Protocol,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum SecurityKey {
    ClearText,
    /// Version of the secret, and the identity expected.
    Istio {
        version: String,
        spiffe_id: String,
    },
    /// Resource name of the secret that is missing.
    IstioWithoutSecret {
        secret: String,
    },
    IstioWithoutIdentity,
    /// Everything about it: a change of policy or CA opens new connections.
    ServerTls(TlsKey, Protocol, ClientCertificate),
    Unspecified,
}

/// The certificate that is shown to a pod: its resource name, and the version unless it is missing.
pub(crate) type ClientCertificate = Option<(Arc<str>, Option<String>)>;

/// TLS as a policy asks for it. It may hold a whole bundle of authorities, which is hashed once and not for every endpoint.
#[derive(Debug, Clone)]
pub(crate) struct TlsKey {
    hash: u64,
    tls: Arc<ServerTls>,
}

impl TlsKey {
    fn new(tls: &ServerTls) -> Self {
        let mut hasher = DefaultHasher::new();
        tls.hash(&mut hasher);
        Self { hash: hasher.finish(), tls: Arc::new(tls.clone()) }
    }
}

impl PartialEq for TlsKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && (Arc::ptr_eq(&self.tls, &other.tls) || self.tls == other.tls)
    }
}

impl Eq for TlsKey {}

impl Hash for TlsKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Config {
    /// How many frontends it has.
    pub(crate) fn frontends(&self) -> usize {
        self.frontend_limits.len()
    }

    /// Whether the frontend of this FQDN is there and the route, if one is given, is attached to it.
    pub(crate) fn serves(&self, fqdn: &str, route: &str) -> bool {
        self.routes.get(fqdn).is_some_and(|routes| route.is_empty() || routes.contains(route))
    }

    /// When the life of each certificate ends, by resource name, in seconds since the epoch.
    pub(crate) fn certificates_end(&self) -> HashMap<&Arc<str>, i64> {
        let identities = self.identities.iter().map(|(name, (_, identity))| (name, identity.not_after));
        let certificates = self.certificates.iter().map(|(name, (_, one))| (name, one.not_after));
        identities.chain(certificates).filter_map(|(name, end)| Some((name, end?))).collect()
    }

    /// Ends what the next configuration no longer has: idle connections to endpoints, and connections to listeners that are
    /// gone or let in others.
    pub(crate) fn retire_for(&self, next: &Config) {
        for (key, upstream) in &self.upstreams {
            if !next.upstreams.contains_key(key) {
                upstream.retire();
            }
        }
        let standing: HashSet<_> =
            next.tls_listeners.values().map(|listener| Arc::as_ptr(&listener.standing)).collect();
        for listener in self.tls_listeners.values() {
            if !standing.contains(&Arc::as_ptr(&listener.standing)) {
                listener.standing.retired.cancel();
            }
        }
    }
}
