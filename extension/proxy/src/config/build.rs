//! Builds a configuration from resources; no I/O.

mod backends;
mod streams;
mod tls;

use super::parse::{hostname, hostnames, only_grpc, preflight, route_match};
use super::{ClientCertificate, Config, Destination, Port, Rule, SecurityKey, Target, TlsKey, UpstreamKey};
use crate::affinity::Affinity;
use crate::error::{ProxyError, Reason};
use crate::filters::Filters;
use crate::limits::Limits;
use crate::settings::Settings;
use crate::tls_info::Mode;
use crate::upstream::{Backend, Identity, Protocol, Security, Timeouts, Upstream};
use alb_config::Kind;
use alb_config::client::{Rejection, Resources};
use alb_config::proto::{self, backend, weighted_backend};
use alb_route::{Hostname, Listener, Order, Table, Weighted};
use backends::Backends;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Rules by listener: resource name of the frontend and name of the listener.
type Attached<'a> = HashMap<(&'a str, &'a str), Vec<alb_route::Rule<Arc<Rule>>>>;
/// TLSRoutes, likewise: with their age.
type Streams<'a> = HashMap<(&'a str, &'a str), Vec<streams::Attached>>;

/// Builds the configuration for `resources`, keeping from `previous` what stays the same: connections to endpoints
/// and parsed certificates.
///
/// References to resources that are not there do not hold up the rest: a route's share for an unknown backend is
/// answered with 500, a backend without its secret with 503.
///
/// # Errors
/// Names every resource that cannot be used, with what is wrong.
pub(crate) fn build(
    resources: &Resources,
    previous: &Config,
    settings: &Settings,
    limits: &Limits,
) -> Result<Config, Rejection> {
    let config = Config::default();
    let mut builder = Builder { previous, settings, limits, config, faults: BTreeMap::new() };
    // In the order of names, so that the same resources always make the same configuration.
    let mut all: Vec<_> = resources.iter().map(|(name, resource)| (&**name, &**resource)).collect();
    all.sort_unstable_by_key(|(name, _)| *name);

    for (name, resource) in &all {
        match &resource.kind {
            Some(Kind::Secret(secret)) => builder.secret(name, &resource.version, secret),
            Some(Kind::Certificate(certificate)) => {
                builder.certificate(name, &resource.version, certificate);
            }
            _ => {}
        }
    }
    let mut backends = Backends::new(&all);
    for (name, resource) in &all {
        if let Some(Kind::Backend(backend)) = &resource.kind {
            backends.insert(name, None, builder.backend(name, backend, None));
        }
    }
    let mut attached = Attached::new();
    let mut streams = Streams::new();
    for (name, resource) in &all {
        match &resource.kind {
            Some(Kind::RouteRule(rule)) => {
                builder.route_rule(name, rule, false, &mut backends, &mut attached);
            }
            Some(Kind::GrpcRouteRule(rule)) => {
                builder.route_rule(name, rule, true, &mut backends, &mut attached);
            }
            Some(Kind::TlsRoute(route)) => builder.tls_route(name, route, &mut backends, &mut streams),
            _ => {}
        }
    }
    for (name, resource) in &all {
        if let Some(Kind::Frontend(frontend)) = &resource.kind {
            builder.frontend(name, frontend, &mut attached, &mut streams);
        }
    }
    builder.config.versions =
        all.iter().map(|(name, resource)| (Arc::from(*name), resource.version.clone())).collect();
    builder.finish()
}

struct Builder<'a> {
    previous: &'a Config,
    settings: &'a Settings,
    limits: &'a Limits,
    config: Config,
    /// What is wrong, by resource name.
    faults: BTreeMap<String, String>,
}

impl Builder<'_> {
    fn fault(&mut self, name: &str, message: impl ToString) {
        self.faults.entry(name.to_owned()).or_insert_with(|| message.to_string());
    }

    fn finish(self) -> Result<Config, Rejection> {
        if self.faults.is_empty() {
            return Ok(self.config);
        }
        let message =
            self.faults.iter().map(|(name, fault)| format!("{name}: {fault}")).collect::<Vec<_>>().join("; ");
        Err(Rejection { message, resources: self.faults.into_keys().collect() })
    }

    fn secret(&mut self, name: &str, version: &str, secret: &proto::Secret) {
        let identity = match self.previous.identities.get(name) {
            Some((known, identity)) if known == version => Ok(identity.clone()),
            #[cfg(feature = "faults")]
            Some((_, identity)) if alb_runtime::faults::acts("certificate-not-renewed") => {
                Ok(identity.clone())
            }
            _ => Identity::new(secret, &self.settings.upstream_alpn).map(Arc::new),
        };
        match identity {
            Ok(identity) => {
                self.config.identities.insert(name.into(), (version.to_owned(), identity));
            }
            Err(error) => self.fault(name, error),
        }
    }

    /// A backend as it is spoken to with this client certificate.
    fn backend(&mut self, name: &str, backend: &proto::Backend, client: ClientCertificate) -> Arc<Backend> {
        let mut endpoints = Vec::with_capacity(backend.endpoints.len());
        let protocol = match backend.protocol() {
            proto::Protocol::Http1 => Protocol::Http1,
            proto::Protocol::Http2 => Protocol::Http2,
        };
        // One for all endpoints: it may hold a whole CA bundle.
        let server_tls = match &backend.security {
            Some(backend::Security::ServerTls(tls)) => Some(TlsKey::new(tls)),
            _ => None,
        };
        for endpoint in &backend.endpoints {
            let key = match &server_tls {
                Some(tls) => SecurityKey::ServerTls(tls.clone(), protocol, client.clone()),
                None => self.security_key(backend.security.as_ref(), &endpoint.spiffe_id),
            };
            match self.endpoint(backend, endpoint, key, protocol) {
                Ok(upstream) => endpoints.push(upstream),
                Err(message) => self.fault(name, message),
            }
        }
        let known =
            self.config.backend_limits.get(name).or_else(|| self.previous.backend_limits.get(name)).cloned();
        let limit = known.unwrap_or_else(|| self.limits.backend());
        self.config.backend_limits.insert(name.into(), limit.clone());
        Arc::new(Backend::new(endpoints, protocol, limit))
    }

    fn endpoint(
        &mut self,
        backend: &proto::Backend,
        endpoint: &proto::Endpoint,
        security: SecurityKey,
        protocol: Protocol,
    ) -> Result<Arc<Upstream>, String> {
        let ip = endpoint.address.parse().map_err(|_| format!("{:?} is no IP address", endpoint.address))?;
        let port = port(endpoint.port)?;
        let (address, pod) = (SocketAddr::new(ip, port), endpoint.pod.clone());
        let key = UpstreamKey { address, pod, security, protocol };
        if let Some(upstream) = self.config.upstreams.get(&key) {
            return Ok(upstream.clone());
        }
        let upstream = match self.previous.upstreams.get(&key) {
            Some(upstream) => upstream.clone(),
            None => {
                let security = self.security(&key.security, backend.security.as_ref())?;
                Arc::new(Upstream::new(key.address, key.pod.clone(), security, protocol))
            }
        };
        // Kept for the next configuration, whichever way it was found.
        self.config.security.insert(key.security.clone(), upstream.security.clone());
        self.config.upstreams.insert(key, upstream.clone());
        Ok(upstream)
    }

    fn security_key(&self, security: Option<&backend::Security>, spiffe_id: &str) -> SecurityKey {
        match security {
            Some(backend::Security::ClearText(_)) => SecurityKey::ClearText,
            // Of these the caller has made a key already: it is for all endpoints.
            Some(backend::Security::ServerTls(_)) | None => SecurityKey::Unspecified,
            Some(backend::Security::IstioMtls(_)) if spiffe_id.is_empty() => {
                SecurityKey::IstioWithoutIdentity
            }
            Some(backend::Security::IstioMtls(mtls)) => {
                match self.config.identities.get(mtls.secret.as_str()) {
                    Some((version, _)) => {
                        SecurityKey::Istio { version: version.clone(), spiffe_id: spiffe_id.to_owned() }
                    }
                    None => SecurityKey::IstioWithoutSecret { secret: mtls.secret.clone() },
                }
            }
        }
    }

    fn security(
        &mut self,
        key: &SecurityKey,
        security: Option<&backend::Security>,
    ) -> Result<Arc<Security>, String> {
        let known = self.config.security.get(key).or_else(|| self.previous.security.get(key));
        if let Some(known) = known {
            return Ok(known.clone());
        }
        let unusable =
            |reason, detail: String| Security::Unusable(Mode::Mtls, ProxyError::new(reason, detail));
        let made = match (key, security) {
            (SecurityKey::ClearText, _) => Security::ClearText,
            (SecurityKey::ServerTls(key, protocol, client), _) => self.by_policy(&key.tls, *protocol, client),
            (SecurityKey::Istio { spiffe_id, .. }, Some(backend::Security::IstioMtls(mtls))) => {
                match self.config.identities.get(mtls.secret.as_str()) {
                    Some((_, identity)) => Security::Tls(identity.mutual_tls(spiffe_id)),
                    None => unusable(Reason::NoClientCertificate, format!("{} is missing", mtls.secret)),
                }
            }
            (SecurityKey::IstioWithoutSecret { secret }, _) => unusable(
                Reason::NoClientCertificate,
                format!("{secret} is missing: the Istio extension has not published its certificate yet"),
            ),
            (SecurityKey::IstioWithoutIdentity, _) => unusable(
                Reason::UpstreamIdentityMismatch,
                "the endpoint has no SPIFFE id, so nobody could be verified".to_owned(),
            ),
            (SecurityKey::Unspecified | SecurityKey::Istio { .. }, _) => {
                return Err("the backend does not say how to speak to it".to_owned());
            }
        };
        Ok(Arc::new(made))
    }

    fn route_rule<'r>(
        &mut self,
        name: &str,
        rule: &'r proto::RouteRule,
        grpc: bool,
        backends: &mut Backends<'_>,
        attached: &mut Attached<'r>,
    ) {
        let parsed = hostnames(&rule.hostnames).and_then(|names| {
            let path = &self.settings.path;
            let matches = rule.matches.iter().map(|matched| route_match(matched, path));
            Ok((names, matches.collect::<Result<Vec<_>, _>>()?))
        });
        let (names, mut matches) = match parsed {
            Ok(parsed) => parsed,
            Err(message) => return self.fault(name, message),
        };
        if grpc {
            only_grpc(&mut matches);
        }
        let mut rules = Vec::new();
        // Frontends that show pods another certificate, or none, speak to them over other connections.
        for (client, listeners) in backends.by_client_certificate(&rule.listeners) {
            let parsed = destinations(rule, &mut |name| self.backend_for(name, client, backends));
            match parsed {
                Ok(parsed) => rules.push((listeners, parsed)),
                Err(message) => return self.fault(name, message),
            }
        }
        if rules.iter().any(|(_, (filters, _))| filters.as_ref().is_some_and(|filters| filters.has_cors())) {
            preflight(&mut matches);
        }
        let affinity = match rule.session_affinity.as_ref().map(Affinity::new).transpose() {
            Ok(affinity) => affinity,
            Err(message) => return self.fault(name, message),
        };
        let (names, matches): (Arc<[_]>, Arc<[_]>) = (names.into(), matches.into());
        let route: Arc<str> = rule.route.as_str().into();
        for (listeners, (filters, destinations)) in rules {
            let target = Arc::new(Rule {
                route: route.clone(),
                destinations,
                timeouts: timeouts(rule.timeouts.as_ref()),
                filters,
                affinity: affinity.clone(),
            });
            let rule_of_route = alb_route::Rule {
                order: Order { created: rule.created, route: route.clone(), rule: rule.index },
                hostnames: names.clone(),
                matches: matches.clone(),
                target,
            };
            for listener in listeners {
                let key = (listener.frontend.as_str(), listener.listener.as_str());
                attached.entry(key).or_default().push(rule_of_route.clone());
            }
        }
    }

    fn frontend<'r>(
        &mut self,
        name: &'r str,
        frontend: &'r proto::Frontend,
        attached: &mut Attached<'r>,
        streams: &mut Streams<'r>,
    ) {
        let mut listeners: BTreeMap<u16, (u16, Vec<_>)> = BTreeMap::new();
        let fqdn: Arc<str> = frontend.fqdn.as_str().into();
        let mut routes = HashSet::new();
        let of_tls = frontend.tls_listeners.iter().filter_map(|tls| tls.listener.as_ref());
        for listener in frontend.listeners.iter().chain(of_tls) {
            let rules = attached.remove(&(name, listener.name.as_str())).unwrap_or_default();
            routes.extend(rules.iter().map(|rule| rule.target.route.clone()));
            let parsed: Result<(u16, Hostname), String> =
                port(listener.bind_port).and_then(|port| Ok((port, hostname(&listener.hostname)?)));
            match parsed {
                Ok((bind_port, hostname)) => {
                    let seen = u16::try_from(listener.port).unwrap_or(bind_port);
                    let (_, all) = listeners.entry(bind_port).or_insert_with(|| (seen, Vec::new()));
                    all.push(Listener { hostname, label: listener.name.as_str().into(), rules });
                }
                Err(message) => self.fault(name, format!("listener {}: {message}", listener.name)),
            }
        }
        self.config.routes.entry(fqdn.clone()).or_default().extend(routes);
        let known = self.previous.frontend_limits.get(name).cloned();
        let limits = known.unwrap_or_else(|| self.limits.frontend());
        self.config.frontend_limits.insert(name.into(), limits.clone());
        let mut tls = self.tls_ports(name, frontend, streams);
        for (bind_port, (seen, listeners)) in listeners {
            let (tls, streams) = tls.remove(&bind_port).unzip();
            if let Some(other) = self.config.ports.get(&bind_port) {
                let message = format!("bind port {bind_port} is taken by {}", other.frontend);
                self.fault(name, message);
                continue;
            }
            let port = Port {
                frontend: name.into(),
                fqdn: fqdn.clone(),
                gateway: frontend.gateway.as_str().into(),
                limits: limits.clone(),
                seen,
                table: Table::new(listeners),
                tls,
                streams: streams.unwrap_or_default(),
            };
            self.config.ports.insert(bind_port, port);
        }
    }
}

/// Where a rule leads, and what is done to requests on the way. `find` finds a backend by the name of its resource.
fn destinations(
    rule: &proto::RouteRule,
    find: &mut dyn FnMut(&str) -> Option<Arc<Backend>>,
) -> Result<(Option<Arc<Filters>>, Weighted<Destination>), String> {
    let (mut filters, mut destinations) = (None, Vec::new());
    for backend in &rule.backends {
        let target = target(backend.target.as_ref(), find);
        destinations.push((backend.weight, Destination { target, filters: None }));
    }
    if let Some(filtered) = &rule.filtered {
        filters = Filters::new(&filtered.filters, find)?;
        for one in &filtered.backends {
            let filters = Filters::new(&one.filters, find)?;
            if let Some(backend) = &one.backend {
                let target = target(backend.target.as_ref(), find);
                destinations.push((backend.weight, Destination { target, filters }));
            }
        }
    }
    Ok((filters, Weighted::new(destinations)))
}

fn target(
    given: Option<&weighted_backend::Target>,
    find: &mut dyn FnMut(&str) -> Option<Arc<Backend>>,
) -> Target {
    match given {
        Some(weighted_backend::Target::Backend(backend)) => match find(backend) {
            Some(backend) => Target::Backend(backend),
            None => Target::Invalid(format!("{backend} is unknown").into()),
        },
        Some(weighted_backend::Target::Invalid(reason)) => Target::Invalid(reason.as_str().into()),
        None => Target::Invalid("no target".into()),
    }
}

fn port(given: u32) -> Result<u16, String> {
    u16::try_from(given).ok().filter(|port| *port != 0).ok_or_else(|| format!("{given} is no port"))
}

fn timeouts(given: Option<&proto::Timeouts>) -> Timeouts {
    let limit = |milliseconds| (milliseconds > 0).then(|| Duration::from_millis(milliseconds));
    given.map_or_else(Timeouts::default, |given| Timeouts {
        request: limit(given.request_ms),
        backend_request: limit(given.backend_request_ms),
    })
}

#[cfg(test)]
mod tests;
