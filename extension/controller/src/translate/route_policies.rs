//! RoutePolicies: which one is in force for a route, and what becomes of each.

use super::condition::{Condition, Refusal, Verdict};
use super::model::{RouteId, kind_of_route, route};
use super::policies::{beside, by_precedence, named};
use crate::world::{HttpRoute, Key, Watched, World};
use alb_api::messages::{self, condition, reason};
use alb_api::policy::go_duration;
use alb_api::{RoutePolicyConfig, RoutePolicySpec, SessionAffinity};
use alb_config::{is_token, proto};
use std::collections::BTreeMap;

/// "No time limit", for a protocol in which 0 is the default: a year.
const NO_LIMIT_MS: u64 = 365 * 24 * 3600 * 1000;

/// The cookie that nobody has to name.
const MANAGED_COOKIE: (&str, u64) = ("AGCAffinity", 86_400);

/// All policies.
#[derive(Debug, Default)]
pub(super) struct RoutePolicies {
    plans: BTreeMap<Key, Plan>,
    /// Policies by the route that they are about, in the order of precedence.
    of_route: BTreeMap<RouteId, Vec<Key>>,
}

/// A policy and what becomes of it.
#[derive(Debug)]
struct Plan {
    target: Verdict<RouteId>,
    given: Verdict<Given>,
}

/// What a route is given.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Given {
    /// For rules that have no limit of their own, in milliseconds.
    pub(super) request_ms: Option<u64>,
    pub(super) affinity: Option<proto::SessionAffinity>,
}

impl RoutePolicies {
    pub(super) fn new(world: &World) -> Self {
        let mut all = Self::default();
        for (key, object) in by_precedence(&world.route_policies) {
            let (target, given) = (target(key, &object.spec), given(&object.spec));
            if let Ok(route) = &target {
                all.of_route.entry(route.clone()).or_default().push(key.clone());
            }
            all.plans.insert(key.clone(), Plan { target, given });
        }
        all
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.plans.keys()
    }

    /// The routes that any of them is about.
    pub(super) fn routes(&self) -> impl Iterator<Item = &RouteId> {
        self.of_route.keys()
    }

    /// The policies that are about a route.
    pub(super) fn about(&self, route: &RouteId) -> impl Iterator<Item = &Key> {
        self.of_route.get(route).into_iter().flatten()
    }

    /// What a route is given.
    pub(super) fn of(&self, route: &RouteId) -> Option<&Given> {
        self.in_force(route).map(|(_, given)| given)
    }

    /// The policy that counts for a route, and what it gives.
    fn in_force(&self, route: &RouteId) -> Option<(&Key, &Given)> {
        self.about(route).find_map(|key| Some((key, self.plans.get(key)?.given.as_ref().ok()?)))
    }

    /// Conditions of a policy.
    pub(super) fn status(&self, world: &World, key: &Key) -> Option<Vec<Condition>> {
        let plan = self.plans.get(key).filter(|_| !world.is_terminating(&key.namespace))?;
        let found = plan.target.as_ref().map_err(Refusal::clone).and_then(|id| match route(world, id) {
            Some(object) => Ok((id, &object.spec)),
            None => {
                Err(Refusal::new(invalid_route(id), format!("{} {} does not exist", kind_of_route(id), id.1)))
            }
        });
        let resolved = found.as_ref().map(|_| ()).map_err(Refusal::clone);
        let accepted = found
            .map_err(|refusal| Refusal::new(reason::INVALID_ROUTE_POLICY, refusal.message))
            .and_then(|(id, route)| {
                let given = plan.given.as_ref().map_err(Refusal::clone)?;
                match self.in_force(id) {
                    Some((first, _)) if first != key => {
                        let message =
                            format!("RoutePolicy {first}, which takes precedence, is about the same route");
                        Err(Refusal::new(reason::CONFLICTED, message))
                    }
                    _ => Ok(has_limits_of_its_own(route) && given.request_ms.is_some()),
                }
            });
        let accepted = match accepted {
            Ok(true) => Condition::met(
                condition::ACCEPTED,
                reason::ACCEPTED_WITH_TIMEOUT_CONFLICT,
                "Valid RoutePolicy; time limits of the route's own rules take precedence",
            ),
            verdict => Condition::of(
                condition::ACCEPTED,
                &verdict,
                reason::ACCEPTED,
                messages::ROUTE_POLICY_ACCEPTED,
            ),
        };
        let (type_, met) = (condition::RESOLVED_REFS, reason::RESOLVED_REFS);
        Some(vec![Condition::of(type_, &resolved, met, messages::RESOLVED_REFS), accepted])
    }
}

fn has_limits_of_its_own(route: &HttpRoute) -> bool {
    route.rules.iter().any(|rule| rule.timeouts.as_ref().is_some_and(|timeouts| timeouts.request.is_some()))
}

fn invalid_route((kind, _): &RouteId) -> &'static str {
    match kind {
        Watched::GrpcRoute => reason::INVALID_GRPC_ROUTE,
        _ => reason::INVALID_HTTP_ROUTE,
    }
}

/// The route that a policy is about.
fn target(policy: &Key, spec: &RoutePolicySpec) -> Verdict<RouteId> {
    let target = &spec.target_ref;
    let kind = match named(target, &["HTTPRoute", "GRPCRoute"], "route")? {
        "GRPCRoute" => Watched::GrpcRoute,
        _ => Watched::HttpRoute,
    };
    if !target.section_names.is_empty() {
        return Err(Refusal::new(
            reason::SECTION_NAMES_NOT_PERMITTED,
            "A policy is about all rules of a route",
        ));
    }
    Ok((kind, beside(policy, target, "route")?))
}

/// What a policy gives.
fn given(spec: &RoutePolicySpec) -> Verdict<Given> {
    let invalid = |message: String| Refusal::new(reason::INVALID_ROUTE_POLICY, message);
    if spec.overriding.is_some() {
        return Err(Refusal::new(reason::OVERRIDE_NOT_SUPPORTED, "override is not supported: use default"));
    }
    let RoutePolicyConfig { timeouts, session_affinity } = spec.default.clone().unwrap_or_default();
    let request_ms = match timeouts.and_then(|timeouts| timeouts.route_timeout) {
        None => None,
        Some(text) => match go_duration(&text) {
            None => return Err(invalid(format!("routeTimeout {text} is no duration"))),
            Some(0) => Some(NO_LIMIT_MS),
            Some(milliseconds) => Some(milliseconds),
        },
    };
    let affinity = session_affinity.map(|affinity| cookie(affinity).map_err(invalid)).transpose()?;
    Ok(Given { request_ms, affinity })
}

fn cookie(affinity: SessionAffinity) -> Result<proto::SessionAffinity, String> {
    match affinity.affinity_type.as_str() {
        "managed-cookie" => {
            let (name, max_age_seconds) = MANAGED_COOKIE;
            Ok(proto::SessionAffinity { cookie: name.to_owned(), max_age_seconds })
        }
        "application-cookie" => {
            let cookie = affinity.cookie_name.unwrap_or_default();
            if !is_token(&cookie) {
                return Err(format!("cookieName {cookie:?} is no name of a cookie"));
            }
            let duration = affinity.cookie_duration.unwrap_or_default();
            match go_duration(&duration).map(|milliseconds| milliseconds / 1000) {
                None | Some(0) => {
                    Err(format!("cookieDuration {duration:?} is no duration of a second or more"))
                }
                Some(max_age_seconds) => Ok(proto::SessionAffinity { cookie, max_age_seconds }),
            }
        }
        other => Err(format!("affinityType {other} is not supported")),
    }
}
