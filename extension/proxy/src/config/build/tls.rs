//! Certificates: those that clients are shown and those that pods are, and the ports whose clients speak TLS.

use super::super::StreamRule;
use super::{Builder, Streams, port};
use crate::config::ClientCertificate;
use crate::config::parse::hostname;
use crate::error::{ProxyError, Reason};
use crate::termination::{Handshake, Standing, TlsListener, TlsPort};
use crate::tls_info::Mode;
use crate::upstream::{Certificate, Protocol, Security, server_tls};
use alb_config::proto::{self, TlsMode};
use alb_route::HostMap;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// TLS of a port, and where the connections go that are not looked into.
type Tls = (Arc<TlsPort>, HashMap<Arc<str>, HostMap<Arc<StreamRule>>>);

impl Builder<'_> {
    pub(super) fn certificate(&mut self, name: &str, version: &str, given: &proto::Certificate) {
        let certificate = match self.previous.certificates.get(name) {
            Some((known, certificate)) if known == version => Ok(certificate.clone()),
            _ => Certificate::new(given).map(Arc::new),
        };
        match certificate {
            Ok(certificate) => {
                self.config.certificates.insert(name.into(), (version.to_owned(), certificate));
            }
            Err(error) => self.fault(name, error),
        }
    }

    /// TLS as a BackendTLSPolicy asks for it. One that cannot be used must fail every connection (Gateway API,
    /// `BackendTLSPolicyValidation`), and so must a client certificate that is not there.
    pub(super) fn by_policy(
        &self,
        tls: &proto::ServerTls,
        protocol: Protocol,
        client: &ClientCertificate,
    ) -> Security {
        let unusable = |reason, detail| Security::Unusable(Mode::Tls, ProxyError::new(reason, detail));
        if !tls.problem.is_empty() {
            return unusable(Reason::TlsPolicyInvalid, tls.problem.clone());
        }
        let certificate = match client {
            None => None,
            Some((name, _)) => match self.config.certificates.get(name) {
                Some((_, certificate)) => Some(&**certificate),
                None => {
                    let detail = format!("{name}, the Gateway's certificate for backends, is missing");
                    return unusable(Reason::NoClientCertificate, detail);
                }
            },
        };
        match server_tls(tls, protocol, certificate) {
            Ok(client) => Security::Tls(client),
            Err(error) => unusable(Reason::TlsPolicyInvalid, error.to_string()),
        }
    }

    /// The ports of a frontend whose clients speak TLS.
    pub(super) fn tls_ports<'r>(
        &mut self,
        name: &'r str,
        frontend: &'r proto::Frontend,
        streams: &mut Streams<'r>,
    ) -> HashMap<u16, Tls> {
        let mut ports: BTreeMap<u16, (Vec<_>, HashMap<_, _>)> = BTreeMap::new();
        for given in &frontend.tls_listeners {
            let Some(listener) = &given.listener else {
                self.fault(name, "a TLS listener without a listener");
                continue;
            };
            let made = port(listener.bind_port).and_then(|port| {
                Ok((port, hostname(&listener.hostname)?, self.tls_listener(name, listener, given)?))
            });
            let (bind_port, hostname, made) = match made {
                Ok(made) => made,
                Err(message) => {
                    self.fault(name, format!("listener {}: {message}", listener.name));
                    continue;
                }
            };
            let clear = frontend.listeners.iter().find(|other| other.bind_port == listener.bind_port);
            if let Some(clear) = clear {
                let message = format!(
                    "listeners {} and {} share bind port {bind_port}, one in clear text and one with TLS",
                    clear.name, listener.name
                );
                self.fault(name, message);
                continue;
            }
            let (listeners, rules) = ports.entry(bind_port).or_default();
            let attached = streams.remove(&(name, listener.name.as_str())).unwrap_or_default();
            if !attached.is_empty() {
                rules.insert(made.name.clone(), super::streams::index(&hostname, attached));
            }
            listeners.push((hostname, made));
        }
        let port = |(listeners, rules): (Vec<(_, Arc<TlsListener>)>, _)| {
            let is_for_http = listeners.iter().all(|(_, listener)| listener.mode == TlsMode::TerminateHttp);
            (Arc::new(TlsPort::new(HostMap::new(listeners), is_for_http)), rules)
        };
        ports.into_iter().map(|(bind_port, of_port)| (bind_port, port(of_port))).collect()
    }

    fn tls_listener(
        &mut self,
        frontend: &str,
        listener: &proto::Listener,
        given: &proto::TlsListener,
    ) -> Result<Arc<TlsListener>, String> {
        let mode = TlsMode::try_from(given.mode).map_err(|_| format!("{} is no mode of TLS", given.mode))?;
        // Those that are not there yet are not waited for: the others are shown.
        let certificates: Vec<Arc<Certificate>> = given
            .certificates
            .iter()
            .filter_map(|name| self.config.certificates.get(name.as_str()))
            .map(|(_, certificate)| certificate.clone())
            .collect();
        let key: (Arc<str>, Arc<str>) = (frontend.into(), listener.name.as_str().into());
        let known = self.previous.tls_listeners.get(&key);
        let validation = given.client_validation.as_ref();
        let standing =
            known.map(|known| &known.standing).filter(|known| known.is_for(validation, mode, &given.policy));
        let made = match (known, standing) {
            (Some(known), Some(_)) if known.shows(&certificates) => known.clone(),
            (_, standing) => {
                let standing = match standing {
                    Some(standing) => standing.clone(),
                    None => Arc::new(Standing::new(validation, mode, &given.policy)?),
                };
                let handshake = match mode {
                    TlsMode::Passthrough => None,
                    _ => Some(Handshake::new(certificates.clone(), &standing)?),
                };
                Arc::new(TlsListener { name: key.1.clone(), mode, handshake, certificates, standing })
            }
        };
        self.config.tls_listeners.insert(key, made.clone());
        Ok(made)
    }
}
