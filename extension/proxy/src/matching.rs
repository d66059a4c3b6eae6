//! The stage that finds the rule a request belongs to, and the backend that its share falls on.

use crate::account::Account;
use crate::config::{Destination, Port, Rule, Target};
use crate::error::{ProxyError, Reason};
use crate::filters::Arrival;
use crate::upstream::Backend;
use alb_route::{Lookup, RequestParts};
use http::{HeaderValue, request};
use std::sync::Arc;

/// Finds the rule, and which of its paths, and notes in the log what was found.
///
/// # Errors
/// `no_route`.
pub(crate) fn rule(
    port: &Port,
    host: &HeaderValue,
    request: &request::Parts,
    account: &mut Account,
) -> Result<(Arc<Rule>, Arrival), ProxyError> {
    let parts = RequestParts {
        host: host.to_str().unwrap_or_default(),
        path: request.uri.path(),
        query: request.uri.query(),
        method: &request.method,
        headers: &request.headers,
    };
    match port.table.lookup(&parts) {
        Lookup::Found(found) => {
            account.update(|record| {
                record.listener = Some(found.listener.clone());
                record.route = Some(found.target.route.clone());
            });
            let arrival =
                Arrival { https: port.https, port: port.seen, matched: found.path.matched(parts.path) };
            Ok((found.target.clone(), arrival))
        }
        Lookup::NoRule { listener } => {
            account.update(|record| record.listener = Some(listener.clone()));
            Err(ProxyError::new(Reason::NoRoute, format!("no rule of listener {listener} matches")))
        }
        Lookup::NoListener => Err(ProxyError::new(Reason::NoRoute, "no listener is for this host")),
    }
}

/// Picks among a rule's weighted backends.
///
/// # Errors
/// `backend_invalid`: there is none.
pub(crate) fn destination(rule: &Rule) -> Result<&Destination, ProxyError> {
    let picked = rule.destinations.pick(rand::random());
    picked.ok_or_else(|| ProxyError::new(Reason::BackendInvalid, "the rule has no backend of weight above 0"))
}

/// The backend that requests to there are for.
///
/// # Errors
/// `backend_invalid`.
pub(crate) fn backend(destination: &Destination) -> Result<&Arc<Backend>, ProxyError> {
    match &destination.target {
        Target::Backend(backend) => Ok(backend),
        Target::Invalid(why) => Err(ProxyError::new(Reason::BackendInvalid, &**why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Timeouts;
    use alb_route::Weighted;

    fn rule(targets: Vec<(u32, Target)>) -> Rule {
        let destinations =
            targets.into_iter().map(|(weight, target)| (weight, Destination { target, filters: None }));
        Rule {
            route: "ns/r".into(),
            destinations: Weighted::new(destinations),
            timeouts: Timeouts::default(),
            filters: None,
        }
    }

    #[test]
    fn a_share_that_goes_nowhere_is_an_error_and_so_is_having_none() {
        let invalid = || Target::Invalid("BackendNotFound".into());
        let error = backend(destination(&rule(vec![(1, invalid())])).unwrap()).unwrap_err();
        assert_eq!((error.reason, &*error.detail), (Reason::BackendInvalid, "BackendNotFound"));
        for targets in [vec![], vec![(0, invalid())]] {
            assert_eq!(destination(&rule(targets)).unwrap_err().reason, Reason::BackendInvalid);
        }
    }
}
