//! Rules of a route as the proxies see them, and the features they do not offer.

use super::condition::{Refusal, Verdict};
use super::gateways::GatewayPlan;
use super::routes::RoutePlan;
use crate::world::{Filter, HttpRoute, NamedMatch, RouteMatch, Rule, Timeouts};
use alb_api::messages::reason;
use alb_config::proto::{self, r#match::Path, weighted_backend::Target};
use std::collections::BTreeMap;

/// "No time limit" (`0s` in the Gateway API), for a protocol in which 0 is the default: a year.
const NO_LIMIT_MS: u64 = 365 * 24 * 3600 * 1000;

/// Whether the proxies offer everything a route asks for. What they do not offer is named: ignoring it in
/// silence would serve something else than what was asked for.
pub(super) fn supported(route: &HttpRoute) -> Verdict {
    let problems: Vec<String> = route
        .rules
        .iter()
        .enumerate()
        .flat_map(|(index, rule)| {
            problems(rule).into_iter().map(move |problem| format!("rule {index}: {problem}"))
        })
        .collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(reason::UNSUPPORTED_VALUE, format!("Not supported: {}", problems.join("; "))))
}

fn problems(rule: &Rule) -> Vec<String> {
    let mut problems = Vec::new();
    let filter = |filter: &Filter| format!("filter {}", filter.r#type);
    problems.extend(rule.filters.iter().map(filter));
    problems.extend(rule.backend_refs.iter().flat_map(|backend| &backend.filters).map(filter));
    if rule.retry.is_some() {
        problems.push("retry".to_owned());
    }
    if rule.session_persistence.is_some() {
        problems.push("sessionPersistence".to_owned());
    }
    for one in &rule.matches {
        if let Some(kind) = one.path.as_ref().and_then(|path| path.r#type.as_deref())
            && !matches!(kind, "Exact" | "PathPrefix")
        {
            problems.push(format!("path match of type {kind}"));
        }
        let not_exact = |what: &str, matches: &[NamedMatch]| -> Vec<String> {
            let kinds =
                matches.iter().filter_map(|one| one.r#type.as_deref()).filter(|kind| *kind != "Exact");
            kinds.map(|kind| format!("{what} match of type {kind}")).collect()
        };
        problems.extend(not_exact("header", &one.headers));
        problems.extend(not_exact("query parameter", &one.query_params));
    }
    let Timeouts { request, backend_request } = rule.timeouts.clone().unwrap_or_default();
    for text in [request, backend_request].into_iter().flatten() {
        if milliseconds(&text).is_none() {
            problems.push(format!("time limit {text}"));
        }
    }
    problems
}

/// The rules of a route for each load balancer it reaches: load balancer, resource name, content.
pub(super) fn resources<'a>(
    route: &RoutePlan<'_>,
    gateways: &[GatewayPlan<'a>],
) -> Vec<(&'a str, String, proto::RouteRule)> {
    let mut listeners: BTreeMap<&'a str, Vec<proto::ListenerRef>> = BTreeMap::new();
    for parent in &route.parents {
        let (Ok(indices), Some(gateway)) = (&parent.accepted, gateways.get(parent.gateway)) else { continue };
        let (Ok(association), Ok(frontend)) = (&gateway.association, &gateway.frontend) else { continue };
        let of_load_balancer = listeners.entry(association.load_balancer.id.as_str()).or_default();
        for plan in indices.iter().filter_map(|index| gateway.listeners.get(*index)) {
            let reference = proto::ListenerRef {
                frontend: frontend.resource_name(),
                listener: plan.listener.name.clone(),
            };
            if gateway.is_served(plan) && !of_load_balancer.contains(&reference) {
                of_load_balancer.push(reference);
            }
        }
    }
    listeners.retain(|_, listeners| !listeners.is_empty());
    let rules = route.object.spec.rules.iter().zip(&route.backends).enumerate();
    rules
        .flat_map(|(index, (rule, backends))| {
            let rule = resource(route, index, rule, backends);
            let name = name(route, index);
            listeners
                .iter()
                .map(|(load_balancer, listeners)| {
                    let rule = proto::RouteRule { listeners: listeners.clone(), ..rule.clone() };
                    (*load_balancer, name.clone(), rule)
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Name of a rule's resource.
pub(super) fn name(route: &RoutePlan<'_>, index: usize) -> String {
    format!("route/{}/{index}", route.key)
}

fn resource(
    route: &RoutePlan<'_>,
    index: usize,
    rule: &Rule,
    backends: &[Result<String, Refusal>],
) -> proto::RouteRule {
    let backends =
        rule.backend_refs.iter().zip(backends).map(|(reference, resolved)| proto::WeightedBackend {
            weight: reference.weight.unwrap_or(1),
            target: Some(match resolved {
                Ok(name) => Target::Backend(name.clone()),
                Err(refusal) => Target::Invalid(refusal.reason.to_owned()),
            }),
        });
    let limit = |text: Option<String>| text.and_then(|text| milliseconds(&text)).unwrap_or_default();
    proto::RouteRule {
        route: route.key.to_string(),
        index: u32::try_from(index).unwrap_or(u32::MAX),
        created: route.object.meta.created,
        listeners: Vec::new(),
        hostnames: route.object.spec.hostnames.clone(),
        matches: rule.matches.iter().map(matches).collect(),
        backends: backends.collect(),
        timeouts: rule.timeouts.clone().map(|timeouts| proto::Timeouts {
            request_ms: limit(timeouts.request),
            backend_request_ms: limit(timeouts.backend_request),
        }),
    }
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
