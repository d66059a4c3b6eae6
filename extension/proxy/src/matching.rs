//! The stage that finds the rule a request belongs to, and the backend that its share falls on.

use crate::account::Account;
use crate::config::{Destination, Port, Rule, Target};
use crate::error::{ProxyError, Reason};
use crate::filters::Arrival;
use crate::tls_info::ClientTls;
use crate::upstream::{Backend, PodToken};
use alb_route::{Lookup, RequestParts, Weighted};
use http::{HeaderValue, request};
use std::sync::Arc;

/// Finds the rule, and which of its paths, and notes in the log what was found.
///
/// A client that speaks TLS has named a host already when it opened the connection, and has been let in, or not, by the
/// listener for that one: the request has to be for the same (Gateway API, `Listener.hostname`).
///
/// # Errors
/// `no_route`, and `misdirected_request`.
pub(crate) fn rule(
    port: &Port,
    host: &HeaderValue,
    request: &request::Parts,
    tls: Option<&ClientTls>,
    account: &mut Account,
) -> Result<(Arc<Rule>, Arrival), ProxyError> {
    let parts = RequestParts {
        host: host.to_str().unwrap_or_default(),
        path: request.uri.path(),
        query: request.uri.query(),
        method: &request.method,
        headers: &request.headers,
    };
    if port.tls.is_some() != tls.is_some() {
        return Err(misdirected("the port speaks TLS, or no longer does"));
    }
    let found = port.table.lookup(&parts);
    if let Some(tls) = tls {
        let is_same = match &found {
            Lookup::Found(found) => *found.listener == tls.listener,
            Lookup::NoRule { listener } => **listener == tls.listener,
            Lookup::NoListener => false,
        };
        if !is_same {
            return Err(misdirected(format!("the handshake was for listener {}", tls.listener)));
        }
    }
    match found {
        Lookup::Found(found) => {
            account.update(|record| {
                record.listener = Some(found.listener.clone());
                record.route = Some(found.target.route.clone());
            });
            let arrival = Arrival {
                https: port.tls.is_some(),
                port: port.seen,
                matched: found.path.matched(parts.path),
            };
            Ok((found.target.clone(), arrival))
        }
        Lookup::NoRule { listener } => {
            account.update(|record| record.listener = Some(listener.clone()));
            Err(ProxyError::new(Reason::NoRoute, format!("no rule of listener {listener} matches")))
        }
        Lookup::NoListener => Err(ProxyError::new(Reason::NoRoute, "no listener is for this host")),
    }
}

fn misdirected(detail: impl Into<String>) -> ProxyError {
    ProxyError::new(Reason::Misdirected, detail)
}

/// Picks among a rule's weighted backends: the one with the pod that is wanted, if any has it.
///
/// # Errors
/// `backend_invalid`: there is none.
pub(crate) fn destination(rule: &Rule, wanted: Option<PodToken>) -> Result<&Destination, ProxyError> {
    let has = |token| {
        move |destination: &&Destination| match &destination.target {
            Target::Backend(backend) => backend.has(token),
            Target::Invalid(_) => false,
        }
    };
    if let Some(found) = wanted.and_then(|token| rule.destinations.iter().find(has(token))) {
        return Ok(found);
    }
    let picked = rule.destinations.pick(rand::random());
    picked.ok_or_else(|| ProxyError::new(Reason::BackendInvalid, "the rule has no backend of weight above 0"))
}

/// The backend that requests to there are for.
///
/// # Errors
/// `backend_invalid`.
pub(crate) fn backend(destination: &Destination) -> Result<&Arc<Backend>, ProxyError> {
    known(&destination.target)
}

/// Picks among what has weighted backends and nothing else.
///
/// # Errors
/// `backend_invalid`.
pub(crate) fn target(targets: &Weighted<Target>) -> Result<&Arc<Backend>, ProxyError> {
    match targets.pick(rand::random()) {
        Some(target) => known(target),
        None => Err(ProxyError::new(Reason::BackendInvalid, "there is no backend of weight above 0")),
    }
}

fn known(target: &Target) -> Result<&Arc<Backend>, ProxyError> {
    match target {
        Target::Backend(backend) => Ok(backend),
        Target::Invalid(why) => Err(ProxyError::new(Reason::BackendInvalid, &**why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Timeouts;

    fn rule(targets: Vec<(u32, Target)>) -> Rule {
        let destinations =
            targets.into_iter().map(|(weight, target)| (weight, Destination { target, filters: None }));
        Rule {
            route: "ns/r".into(),
            destinations: Weighted::new(destinations),
            timeouts: Timeouts::default(),
            filters: None,
            affinity: None,
        }
    }

    #[test]
    fn a_share_that_goes_nowhere_is_an_error_and_so_is_having_none() {
        let invalid = || Target::Invalid("BackendNotFound".into());
        let error = backend(destination(&rule(vec![(1, invalid())]), None).unwrap()).unwrap_err();
        assert_eq!((error.reason, &*error.detail), (Reason::BackendInvalid, "BackendNotFound"));
        for targets in [vec![], vec![(0, invalid())]] {
            assert_eq!(destination(&rule(targets), None).unwrap_err().reason, Reason::BackendInvalid);
        }
    }
}
