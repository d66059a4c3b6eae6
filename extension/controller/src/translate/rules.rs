//! Rules of a route as the proxies see them, and the features they do not offer.

use super::condition::{Refusal, Verdict};
use super::filters;
use super::model::RouteId;
use super::route_policies::Given;
use crate::world::{
    BackendRef, GRPC_METHOD, HttpRoute, Key, NamedMatch, Object, RouteMatch, Rule, Timeouts, Watched,
};
use alb_api::messages::reason;
use alb_config::proto::{self, r#match::Path, weighted_backend::Target};

/// "No time limit" (`0s` in the Gateway API), for a protocol in which 0 is the default: a year.
const NO_LIMIT_MS: u64 = 365 * 24 * 3600 * 1000;

/// Whether the proxies offer what a route asks for. What they do not offer is named, and its requests are answered with an
/// error: ignoring it in silence would serve something else than what was asked for.
pub(super) struct Support {
    /// Whether any of the rules can be served as it is.
    pub(super) accepted: Verdict,
    /// The others, when some can (Gateway API, `RouteConditionPartiallyInvalid`).
    pub(super) partially_invalid: Option<Refusal>,
    rules: Vec<Problems>,
}

/// What one rule asks for and does not get.
#[derive(Default)]
struct Problems {
    /// Which requests it is about cannot be told: it is left out.
    matches: Vec<String>,
    /// What is to be done with its requests.
    rest: Vec<String>,
    /// Of that, filters that do not go together.
    incompatible: Vec<String>,
}

impl Problems {
    fn all(&self) -> impl Iterator<Item = &String> {
        self.incompatible.iter().chain(&self.rest).chain(&self.matches)
    }

    /// Whether its requests cannot be treated as they should be.
    fn has_rest(&self) -> bool {
        !self.rest.is_empty() || !self.incompatible.is_empty()
    }

    fn is_none(&self) -> bool {
        self.all().next().is_none()
    }
}

/// What of a route is offered.
pub(super) fn support(route: &HttpRoute) -> Support {
    let rules: Vec<Problems> = route.rules.iter().map(problems).collect();
    let (mut accepted, mut partially_invalid) = (Ok(()), None);
    let list = |prefix: &str| {
        let rules = rules.iter().enumerate().flat_map(|(index, problems)| {
            problems.all().map(move |problem| format!("{prefix} {index}: {problem}"))
        });
        rules.collect::<Vec<_>>().join("; ")
    };
    // The reason for filters alone is their own.
    let is_of_filters = |rule: &Problems| rule.rest.is_empty() && rule.matches.is_empty();
    let reason = match rules.iter().all(is_of_filters) {
        true => reason::INCOMPATIBLE_FILTERS,
        false => reason::UNSUPPORTED_VALUE,
    };
    if !rules.iter().all(Problems::is_none) {
        if rules.iter().any(Problems::is_none) {
            let message = format!("{}; not supported", list("Dropped Rule"));
            partially_invalid = Some(Refusal::new(reason, message));
        } else {
            let message = format!("Not supported: {}", list("rule"));
            accepted = Err(Refusal::new(reason, message));
        }
    }
    Support { accepted, partially_invalid, rules }
}

fn problems(rule: &Rule) -> Problems {
    let mut problems = Problems::default();
    let of_filters = filters::problems(rule);
    problems.rest.extend(of_filters.unsupported);
    problems.incompatible.extend(of_filters.incompatible);
    if rule.retry.is_some() {
        problems.rest.push("retry".to_owned());
    }
    if rule.session_persistence.is_some() {
        problems.rest.push("sessionPersistence".to_owned());
    }
    for one in &rule.matches {
        if let Some(kind) = one.path.as_ref().and_then(|path| path.r#type.as_deref())
            && !matches!(kind, "Exact" | "PathPrefix" | GRPC_METHOD)
        {
            problems.matches.push(format!("path match of type {kind}"));
        }
        let not_exact = |what: &str, matches: &[NamedMatch]| -> Vec<String> {
            let kinds =
                matches.iter().filter_map(|one| one.r#type.as_deref()).filter(|kind| *kind != "Exact");
            kinds.map(|kind| format!("{what} match of type {kind}")).collect()
        };
        problems.matches.extend(not_exact("header", &one.headers));
        problems.matches.extend(not_exact("query parameter", &one.query_params));
    }
    let Timeouts { request, backend_request } = rule.timeouts.clone().unwrap_or_default();
    for text in [request, backend_request].into_iter().flatten() {
        if milliseconds(&text).is_none() {
            problems.rest.push(format!("time limit {text}"));
        }
    }
    problems
}

/// The rules of a route, without listeners: resource name and content. `resolve` finds the name of a Backend resource.
pub(super) fn resources(
    id: &RouteId,
    route: &Object<HttpRoute>,
    support: &Support,
    given: &Given,
    resolve: &mut impl FnMut(&BackendRef) -> Verdict<String>,
) -> Vec<(String, proto::RouteRule)> {
    let rules = route.spec.rules.iter().zip(&support.rules).enumerate();
    let rules = rules.map(|(index, (rule, problems))| {
        let targets: Vec<Target> = rule
            .backend_refs
            .iter()
            .map(|reference| match resolve(reference) {
                Ok(name) => Target::Backend(name),
                Err(refusal) => Target::Invalid(refusal.reason.to_owned()),
            })
            .collect();
        let filters = filters::resources(&rule.filters, resolve);
        let behind: Vec<_> =
            rule.backend_refs.iter().map(|backend| filters::resources(&backend.filters, resolve)).collect();
        if !problems.matches.is_empty() {
            return None;
        }
        let weights = rule.backend_refs.iter().map(|reference| reference.weight.unwrap_or(1));
        let weighted = weights
            .zip(targets)
            .map(|(weight, target)| proto::WeightedBackend { weight, target: Some(target) });
        let (backends, filtered) = if problems.has_rest() {
            let target = Target::Invalid(reason::UNSUPPORTED_VALUE.to_owned());
            (vec![proto::WeightedBackend { weight: 1, target: Some(target) }], None)
        } else if filters::has_any(rule) {
            let backends = weighted
                .zip(behind)
                .map(|(backend, filters)| proto::FilteredBackend { backend: Some(backend), filters });
            (Vec::new(), Some(proto::Filtered { filters, backends: backends.collect() }))
        } else {
            (weighted.collect(), None)
        };
        let content = proto::RouteRule {
            route: id.1.to_string(),
            index: u32::try_from(index).unwrap_or(u32::MAX),
            created: route.meta.created,
            listeners: Vec::new(),
            hostnames: route.spec.hostnames.clone(),
            matches: rule.matches.iter().map(matches).collect(),
            backends,
            timeouts: timeouts(rule.timeouts.clone(), given),
            filtered,
            session_affinity: given.affinity.clone(),
        };
        Some((name(id, index), content))
    });
    rules.flatten().collect()
}

/// Time limits of a rule: its own, and where it has none that of a RoutePolicy.
fn timeouts(own: Option<Timeouts>, given: &Given) -> Option<proto::Timeouts> {
    if own.is_none() && given.request_ms.is_none() {
        return None;
    }
    let limit = |text: Option<String>| text.and_then(|text| milliseconds(&text));
    let Timeouts { request, backend_request } = own.unwrap_or_default();
    Some(proto::Timeouts {
        request_ms: limit(request).or(given.request_ms).unwrap_or_default(),
        backend_request_ms: limit(backend_request).unwrap_or_default(),
    })
}

/// Kinds of routes, and what the names of their rules' resources begin with.
const PREFIXES: [(Watched, &str); 3] =
    [(Watched::HttpRoute, "route/"), (Watched::GrpcRoute, "grpc-route/"), (Watched::TlsRoute, "tls-route/")];

/// Name of a rule's resource.
fn name((kind, route): &RouteId, index: usize) -> String {
    let prefix = PREFIXES.iter().find(|(other, _)| other == kind).map_or("route/", |(_, prefix)| prefix);
    format!("{prefix}{route}/{index}")
}

/// The route that a resource of that name is a rule of.
pub(super) fn route_of(resource: &str) -> Option<RouteId> {
    let (kind, rest) =
        PREFIXES.iter().find_map(|(kind, prefix)| Some((*kind, resource.strip_prefix(prefix)?)))?;
    let (route, _) = rest.rsplit_once('/')?;
    let (namespace, name) = route.split_once('/')?;
    Some((kind, Key::new(namespace, name)))
}

/// The backends that a rule refers to, those of its filters included.
pub(super) fn references(rule: &Rule) -> impl Iterator<Item = &BackendRef> {
    rule.backend_refs.iter().chain(filters::references(rule))
}

/// Names of the Backend resources that a rule's resource refers to.
pub(super) fn backends(rule: &proto::RouteRule) -> impl Iterator<Item = &String> {
    let filtered = || rule.filtered.iter();
    let behind = || filtered().flat_map(|filtered| &filtered.backends);
    let weighted = rule.backends.iter().chain(behind().filter_map(|one| one.backend.as_ref()));
    let targets = weighted.filter_map(|backend| match &backend.target {
        Some(Target::Backend(name)) => Some(name),
        _ => None,
    });
    let lists = filtered().map(|filtered| &filtered.filters).chain(behind().map(|one| &one.filters));
    targets.chain(lists.flat_map(|filters| filters::mirrored_to(filters)))
}

fn matches(one: &RouteMatch) -> proto::Match {
    let path = one.path.clone().unwrap_or_default();
    let value = path.value.unwrap_or_else(|| "/".to_owned());
    let named = |all: &[NamedMatch]| -> Vec<proto::NameValue> {
        all.iter().map(|one| proto::NameValue { name: one.name.clone(), value: one.value.clone() }).collect()
    };
    proto::Match {
        path: Some(match path.r#type.as_deref() {
            Some("Exact") => Path::Exact(value),
            Some(GRPC_METHOD) => Path::GrpcMethod(value),
            _ => Path::Prefix(value),
        }),
        headers: named(&one.headers),
        query: named(&one.query_params),
        method: one.method.clone().unwrap_or_default(),
    }
}

/// A Gateway API duration (GEP-2257): up to four numbers with units `h`, `m`, `s`, `ms`. Zero is "no limit".
fn milliseconds(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let (unit, scale) = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)]
            .into_iter()
            .find(|(unit, _)| tail.starts_with(unit))?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(scale)?)?;
        rest = tail.get(unit.len()..)?;
    }
    Some(if total == 0 { NO_LIMIT_MS } else { total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rules_name_tells_its_route() {
        for kind in Watched::ROUTES {
            let id = (kind, Key::new("ns", "a.b"));
            assert_eq!(route_of(&name(&id, 12)), Some(id));
        }
        assert_eq!(route_of("frontend/a/b/0"), None);
    }

    #[test]
    fn durations_are_read_as_the_gateway_api_writes_them() {
        assert_eq!(milliseconds("10s"), Some(10_000));
        assert_eq!(milliseconds("1h2m3s4ms"), Some(3_723_004));
        assert_eq!(milliseconds("500ms"), Some(500));
    }

    #[test]
    fn zero_means_no_limit() {
        assert_eq!(milliseconds("0s"), Some(NO_LIMIT_MS));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "10", "s", "-1s", "1.5s", "10d", "99999999999999999999h"] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }
}
