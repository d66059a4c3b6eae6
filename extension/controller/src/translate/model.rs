//! What the steps of the translation share: each reads what the ones before it have found out, and none calls another.

use super::addresses::Wanted;
use super::condition::{Refusal, Verdict};
use crate::world::{Gateway, HttpRoute, Key, Listener, ListenerSet, Object, ParentRef, Watched, World};
use alb_api::messages::reason;
use alb_config::proto::TlsMode;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// API group of the Gateway API.
pub(crate) const GROUP: &str = "gateway.networking.k8s.io";

/// A load balancer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LoadBalancer {
    /// By what proxies and snapshots refer to it.
    pub(super) id: String,
    /// Resource id as Azure would give it.
    pub(super) resource_id: String,
    /// Where it comes from.
    pub(super) origin: Origin,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Origin {
    /// An ApplicationLoadBalancer.
    Managed(Key),
    /// A TrafficController, with the names of its frontends.
    Brought(BTreeSet<String>),
}

/// A Gateway and what becomes of it.
#[derive(Debug, Clone)]
pub(super) struct GatewayPlan {
    pub(super) key: Key,
    pub(super) object: Arc<Object<Gateway>>,
    /// Its load balancer and the name of its frontend; an error refuses the Gateway as a whole.
    pub(super) association: Verdict<Association>,
    /// Its frontend, once assigned; an error leaves the Gateway accepted and not programmed.
    pub(super) frontend: Verdict<Frontend>,
    /// Its own listeners, and after them those of the ListenerSets that it takes.
    pub(super) listeners: Vec<ListenerPlan>,
    /// The ListenerSets that name it, taken or not.
    pub(super) sets: Vec<ListenerSetPlan>,
    /// The certificate that it shows to backends.
    pub(super) client_certificate: Option<ClientCertificate>,
}

/// A ListenerSet that names a Gateway of ours.
#[derive(Debug, Clone)]
pub(super) struct ListenerSetPlan {
    pub(super) key: Key,
    pub(super) object: Arc<Object<ListenerSet>>,
    /// Whether the Gateway takes it.
    pub(super) allowed: Verdict,
}

/// The certificate that a Gateway shows to backends.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClientCertificate {
    /// The Secret, if it can be used.
    pub(super) secret: Verdict<Key>,
    /// Whether the API server has answered for it.
    pub(super) is_known: bool,
}

/// Where a Gateway belongs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Association {
    pub(super) load_balancer: Arc<LoadBalancer>,
    pub(super) frontend_name: String,
    /// Whether the load balancer has this frontend. A managed one makes it.
    pub(super) exists: bool,
    /// The address that the Gateway asks for.
    pub(super) address: Wanted,
}

/// The frontend of a Gateway.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frontend {
    /// Name, first label of the FQDN and name of its Service.
    pub(super) name: String,
    /// Fully qualified name.
    pub(super) fqdn: String,
    /// The addresses of its Service that lead to the Gateway: none yet, or an error when it has not got the one that was asked
    /// for.
    pub(super) addresses: Verdict<Vec<String>>,
}

/// A listener and what becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ListenerPlan {
    pub(super) listener: Listener,
    pub(super) accepted: Verdict,
    /// The Conflicted condition, when it applies.
    pub(super) conflicted: Option<Refusal>,
    pub(super) resolved_refs: Verdict,
    /// Whether HTTPRoutes may attach.
    pub(super) serves_http_routes: bool,
    /// Whether GRPCRoutes may attach.
    pub(super) serves_grpc_routes: bool,
    /// Whether TLSRoutes may attach.
    pub(super) serves_tls_routes: bool,
    /// What becomes of TLS; none where clients speak clear text.
    pub(super) tls: Option<TlsMode>,
    /// Port on the proxies; 0 until assigned.
    pub(super) bind_port: u16,
    /// Which TLS is spoken, by the name of a policy; empty for whatever there is.
    pub(super) tls_policy: String,
    /// Where TLS ends at the gateway.
    pub(super) certificates: Option<Certificates>,
    /// How clients prove who they are, if they are asked.
    pub(super) client_validation: Option<ClientValidation>,
    /// The ListenerSet that it comes from; none for the Gateway's own.
    pub(super) set: Option<Key>,
}

/// How the clients of a listener prove who they are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClientValidation {
    /// ConfigMaps with certificates of authorities, and those not known yet.
    pub(super) config_maps: Vec<Key>,
    pub(super) allow_insecure_fallback: bool,
    pub(super) accepted: Verdict,
    pub(super) resolved_refs: Verdict,
    /// Whether the API server has answered for all of them.
    pub(super) are_known: bool,
}

/// The certificates of an HTTPS listener.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Certificates {
    /// Secrets with a certificate that can be shown, in the order of the references, and those not known yet.
    pub(super) secrets: Vec<Key>,
    /// Whether the API server has answered for all of them.
    pub(super) are_known: bool,
}

impl Certificates {
    /// Name of the resource with the certificate of a Secret.
    pub(super) fn resource_name(secret: &Key) -> String {
        format!("certificate/{secret}")
    }
}

impl Frontend {
    /// Name of its resource in the proxies' configuration.
    pub(super) fn resource_name(&self) -> String {
        format!("frontend/{}", self.name)
    }
}

impl ListenerPlan {
    /// Its name in the proxies' configuration, and among all listeners of its Gateway: names of listeners hold no slash.
    pub(super) fn id(&self) -> String {
        match &self.set {
            None => self.listener.name.clone(),
            Some(set) => format!("{set}/{}", self.listener.name),
        }
    }

    /// Namespace of the object that it is part of, which may be a ListenerSet of the Gateway in `gateway`.
    pub(super) fn namespace<'a>(&'a self, gateway: &'a Key) -> &'a str {
        self.set.as_ref().map_or(&gateway.namespace, |set| &set.namespace)
    }

    /// Whether routes of a kind may attach.
    pub(super) fn serves(&self, kind: Watched) -> bool {
        match kind {
            Watched::GrpcRoute => self.serves_grpc_routes,
            Watched::TlsRoute => self.serves_tls_routes,
            _ => self.serves_http_routes,
        }
    }

    /// Whether clients can be answered there: accepted, and with a certificate if it needs one.
    pub(super) fn is_servable(&self) -> bool {
        let has_certificate = self.certificates.as_ref().is_none_or(|all| !all.secrets.is_empty());
        self.accepted.is_ok() && has_certificate
    }
}

impl GatewayPlan {
    /// Whether this listener carries traffic.
    pub(super) fn is_served(&self, listener: &ListenerPlan) -> bool {
        self.association.is_ok() && self.frontend.is_ok() && listener.is_servable()
    }

    /// Whether it answers only clients that speak TLS.
    pub(super) fn is_for_tls_only(&self) -> bool {
        let mut served = self.listeners.iter().filter(|listener| self.is_served(listener)).peekable();
        served.peek().is_some() && served.all(|listener| listener.tls.is_some())
    }

    /// Whether all that it refers to is known.
    pub(super) fn is_known(&self) -> bool {
        let certificates = self.listeners.iter().filter_map(|listener| listener.certificates.as_ref());
        let mut validations =
            self.listeners.iter().filter_map(|listener| listener.client_validation.as_ref());
        certificates.into_iter().all(|certificates| certificates.are_known)
            && validations.all(|validation| validation.are_known)
            && self.client_certificate.as_ref().is_none_or(|certificate| certificate.is_known)
    }

    /// The listeners of a ListenerSet, or the Gateway's own.
    pub(super) fn listeners_of<'a>(&'a self, set: Option<&'a Key>) -> impl Iterator<Item = &'a ListenerPlan> {
        self.listeners.iter().filter(move |plan| plan.set.as_ref() == set)
    }

    /// The load balancer and the frontend, when there are both.
    pub(super) fn place(&self) -> Option<(&LoadBalancer, &Frontend)> {
        let association = self.association.as_ref().ok()?;
        Some((&association.load_balancer, self.frontend.as_ref().ok()?))
    }

    /// `Accepted` of the Gateway: its own verdict, and whether any of its listeners is good.
    pub(super) fn accepted(&self) -> Verdict<Vec<&str>> {
        if let Err(refusal) = &self.association {
            return Err(refusal.clone());
        }
        let bad: Vec<&str> = self
            .listeners_of(None)
            .filter(|listener| listener.accepted.is_err() || listener.resolved_refs.is_err())
            .map(|listener| listener.listener.name.as_str())
            .collect();
        if self.listeners_of(None).any(|listener| listener.accepted.is_ok()) {
            Ok(bad)
        } else {
            let message = format!("No listener is valid: {}", bad.join(", "));
            Err(Refusal::new(reason::LISTENERS_NOT_VALID, message))
        }
    }

    /// Whether routes have the same of it as of another plan of the same Gateway.
    pub(super) fn is_same_to_routes(&self, other: &Self) -> bool {
        self.association == other.association
            && self.frontend == other.frontend
            && self.listeners == other.listeners
            && self.sets.len() == other.sets.len()
            && self.sets.iter().zip(&other.sets).all(|(one, other)| one.key == other.key)
    }
}

/// All Gateways of our classes, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Gateways {
    pub(super) all: Vec<GatewayPlan>,
    /// ConfigMaps with the authorities of their clients.
    pub(super) config_maps: BTreeSet<Key>,
    /// Places of the Gateways that ListenerSets name.
    of_sets: BTreeMap<Key, usize>,
    places: BTreeMap<Key, usize>,
}

impl Gateways {
    pub(super) fn new(all: Vec<GatewayPlan>, config_maps: BTreeSet<Key>) -> Self {
        let places = all.iter().enumerate().map(|(place, plan)| (plan.key.clone(), place)).collect();
        let sets = |(place, plan): (usize, &GatewayPlan)| -> Vec<(Key, usize)> {
            plan.sets.iter().map(|set| (set.key.clone(), place)).collect()
        };
        let of_sets = all.iter().enumerate().flat_map(sets).collect();
        Self { all, config_maps, of_sets, places }
    }

    /// The Gateway that a ListenerSet names, whether that takes it or not.
    pub(super) fn of_listener_set(&self, set: &Key) -> Option<&GatewayPlan> {
        self.all.get(*self.of_sets.get(set)?)
    }

    pub(super) fn get(&self, key: &Key) -> Option<&GatewayPlan> {
        self.all.get(self.place(key)?)
    }

    /// Its place in the order.
    pub(super) fn place(&self, key: &Key) -> Option<usize> {
        self.places.get(key).copied()
    }
}

/// A route: its kind (HTTPRoute, GRPCRoute or TLSRoute) and its name.
pub(super) type RouteId = (Watched, Key);

/// A route, if it exists and is to go on existing.
pub(super) fn route<'a>(world: &'a World, (kind, key): &RouteId) -> Option<&'a Arc<Object<HttpRoute>>> {
    world.routes_of_kind(*kind).get(key).filter(|object| !object.meta.deleting)
}

/// What its kind is called.
pub(super) fn kind_of_route((kind, _): &RouteId) -> &'static str {
    match kind {
        Watched::GrpcRoute => "GRPCRoute",
        Watched::TlsRoute => "TLSRoute",
        _ => "HTTPRoute",
    }
}

/// A route and what becomes of it.
#[derive(Debug, Clone)]
pub(super) struct RoutePlan {
    pub(super) id: RouteId,
    /// Its parents among our Gateways, in the order of the specification.
    pub(super) parents: Vec<ParentPlan>,
    /// Whether all of its references resolve: the same for every parent.
    pub(super) resolved_refs: Verdict,
    /// Namespace of a backend that asks for ambient mode and for nothing else, which is not supported (R51).
    pub(super) ambient: Option<String>,
    /// The PartiallyInvalid condition, when it applies: what some of its rules ask for is not offered.
    pub(super) partially_invalid: Option<Refusal>,
    /// Names of the resources with its rules, in their order.
    pub(super) rules: Vec<String>,
    /// What proxies must be able to do to serve them.
    pub(super) needs: BTreeSet<&'static str>,
    /// The load balancers that get them.
    pub(super) load_balancers: BTreeSet<String>,
    /// Names of the Backend resources that its rules refer to.
    pub(super) backends: BTreeSet<String>,
    /// The Services it may refer to and does, whether they exist or not.
    pub(super) services: BTreeSet<Key>,
    /// Namespaces other than its own that it refers to.
    pub(super) namespaces: BTreeSet<String>,
    /// Gateways that it names, ours or not, there or not.
    pub(super) named: BTreeSet<Key>,
    /// ListenerSets that it names, likewise.
    pub(super) named_sets: BTreeSet<Key>,
    /// Listeners that it counts at: Gateway and name.
    pub(super) attached: BTreeSet<(Key, String)>,
}

/// One parent of a route.
#[derive(Debug, Clone)]
pub(super) struct ParentPlan {
    /// As published in the status: everything filled in (R41).
    pub(super) reference: ParentRef,
    /// The Gateway, or that of the ListenerSet.
    pub(super) gateway: Key,
    /// The listeners it attaches to, by index.
    pub(super) accepted: Verdict<Vec<usize>>,
}

/// Fills in what a reference leaves to its defaults.
pub(crate) fn complete(reference: &ParentRef, namespace: &str) -> ParentRef {
    ParentRef {
        group: Some(reference.group.clone().unwrap_or_else(|| GROUP.to_owned())),
        kind: Some(reference.kind.clone().unwrap_or_else(|| "Gateway".to_owned())),
        namespace: Some(reference.namespace.clone().unwrap_or_else(|| namespace.to_owned())),
        ..reference.clone()
    }
}

/// The Gateway that a complete reference names, if it names one.
pub(super) fn parent(reference: &ParentRef) -> Option<Key> {
    let is_gateway =
        reference.group.as_deref() == Some(GROUP) && reference.kind.as_deref() == Some("Gateway");
    is_gateway.then(|| Key::new(reference.namespace.clone().unwrap_or_default(), &reference.name))
}

/// The ListenerSet that a complete reference names, if it names one.
pub(super) fn parent_set(reference: &ParentRef) -> Option<Key> {
    let is_set =
        reference.group.as_deref() == Some(GROUP) && reference.kind.as_deref() == Some("ListenerSet");
    is_set.then(|| Key::new(reference.namespace.clone().unwrap_or_default(), &reference.name))
}

/// A kind as people write it: `Kind`, or `Kind.group`.
pub(super) fn kind_of(kind: &str, group: &str) -> String {
    if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") }
}
