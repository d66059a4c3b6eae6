//! View on GRPCRoute: it is kept as an HTTPRoute with the same meaning, which its data plane needs anyway.

use super::{BackendRef, Filter, HttpRoute, NamedMatch, ParentRef, PathMatch, RouteMatch, Rule};
use serde::Deserialize;

/// Type of a path match that stands for a method of whatever service; its value is the method.
pub const GRPC_METHOD: &str = "GRPCMethod";
const EXACT: &str = "Exact";

/// GRPCRoute.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct GrpcRoute {
    parent_refs: Vec<ParentRef>,
    hostnames: Vec<String>,
    rules: Vec<GrpcRule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GrpcRule {
    matches: Vec<GrpcMatch>,
    filters: Vec<Filter>,
    backend_refs: Vec<BackendRef>,
    session_persistence: Option<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GrpcMatch {
    method: Option<MethodMatch>,
    headers: Vec<NamedMatch>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MethodMatch {
    r#type: Option<String>,
    service: Option<String>,
    method: Option<String>,
}

impl From<GrpcRoute> for HttpRoute {
    fn from(route: GrpcRoute) -> Self {
        let rule = |rule: GrpcRule| Rule {
            matches: rule.matches.into_iter().map(RouteMatch::from).collect(),
            filters: rule.filters,
            backend_refs: rule.backend_refs,
            session_persistence: rule.session_persistence,
            ..Rule::default()
        };
        Self {
            parent_refs: route.parent_refs,
            hostnames: route.hostnames,
            rules: route.rules.into_iter().map(rule).collect(),
        }
    }
}

impl From<GrpcMatch> for RouteMatch {
    fn from(one: GrpcMatch) -> Self {
        Self { path: one.method.and_then(path), headers: one.headers, ..Self::default() }
    }
}

/// The path `/service/method` that a match stands for; none for any.
fn path(one: MethodMatch) -> Option<PathMatch> {
    let path =
        |r#type: &str, value: String| PathMatch { r#type: Some(r#type.to_owned()), value: Some(value) };
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    if let Some(other) = one.r#type.filter(|kind| kind != EXACT) {
        return Some(PathMatch { r#type: Some(other), value: None });
    }
    match (given(one.service), given(one.method)) {
        (Some(service), Some(method)) => Some(path(EXACT, format!("/{service}/{method}"))),
        (Some(service), None) => Some(path("PathPrefix", format!("/{service}"))),
        (None, Some(method)) => Some(path(GRPC_METHOD, method)),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_method_is_a_path() {
        let path = |method: serde_json::Value| {
            let route = json!({"rules": [{"matches": [{"method": method}]}]});
            let route: GrpcRoute = serde_json::from_value(route).unwrap();
            let path = HttpRoute::from(route).rules[0].matches[0].path.clone();
            path.map(|path| (path.r#type.unwrap(), path.value.unwrap_or_default()))
        };
        let is = |kind: &str, value: &str| Some((kind.to_owned(), value.to_owned()));
        assert_eq!(path(json!({"service": "a.B", "method": "C", "type": "Exact"})), is("Exact", "/a.B/C"));
        assert_eq!(path(json!({"service": "a.B"})), is("PathPrefix", "/a.B"));
        assert_eq!(path(json!({"method": "C", "service": ""})), is("GRPCMethod", "C"));
        assert_eq!(path(json!({"method": "C", "type": "RegularExpression"})), is("RegularExpression", ""));
        assert_eq!(path(json!(null)), None);
    }
}
