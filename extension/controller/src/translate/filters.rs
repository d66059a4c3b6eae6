//! Filters of rules and of their backends (Gateway API, `HTTPRouteFilter`): what the proxies are told of them, and those they
//! cannot be told.

use super::condition::Verdict;
use crate::world::{
    BackendRef, Cors, Filter, Fraction, Header, HeaderModifier, PathModifier, RequestMirror, RequestRedirect,
    Rule, UrlRewrite,
};
use alb_config::proto::{self, filter::Kind, path_modifier::Replace};
use alb_config::{Origin, is_changeable_header, is_header_value, is_path};

const REQUEST_HEADERS: &str = "RequestHeaderModifier";
const RESPONSE_HEADERS: &str = "ResponseHeaderModifier";
const MIRROR: &str = "RequestMirror";
const REDIRECT: &str = "RequestRedirect";
const REWRITE: &str = "URLRewrite";
const CORS: &str = "CORS";

/// Status of a redirect that names none.
const FOUND: i64 = 302;
/// Seconds for which a preflight request's answer holds that names none.
const MAX_AGE: i64 = 5;

/// What of the filters of a rule cannot be done.
#[derive(Default)]
pub(super) struct Problems {
    pub(super) unsupported: Vec<String>,
    /// Filters that do not go together.
    pub(super) incompatible: Vec<String>,
}

/// The backends that the filters of a rule refer to.
pub(super) fn references(rule: &Rule) -> impl Iterator<Item = &BackendRef> {
    let mirrors = lists(rule).flatten().filter_map(|filter| match filter.r#type.as_str() {
        MIRROR => filter.request_mirror.as_ref(),
        _ => None,
    });
    mirrors.map(|mirror| &mirror.backend_ref)
}

/// The filters of a rule, and those of each of its backends.
fn lists(rule: &Rule) -> impl Iterator<Item = &Vec<Filter>> {
    std::iter::once(&rule.filters).chain(rule.backend_refs.iter().map(|backend| &backend.filters))
}

/// Whether a rule, or one of its backends, has any.
pub(super) fn has_any(rule: &Rule) -> bool {
    lists(rule).any(|filters| !filters.is_empty())
}

/// What of a rule's filters cannot be done.
pub(super) fn problems(rule: &Rule) -> Problems {
    let mut problems = Problems::default();
    for filters in lists(rule) {
        for (index, filter) in filters.iter().enumerate() {
            let kind = filter.r#type.as_str();
            if kind != MIRROR && filters.iter().take(index).any(|other| other.r#type == kind) {
                problems.incompatible.push(format!("filter {kind} stands twice"));
            }
            if let Err(problem) = check(filter, rule) {
                problems.unsupported.push(format!("filter {kind}{problem}"));
            }
        }
        let has = |kind: &str| filters.iter().any(|filter| filter.r#type == kind);
        if has(REDIRECT) && has(REWRITE) {
            problems.incompatible.push(format!("filters {REDIRECT} and {REWRITE} together"));
        }
    }
    problems
}

/// What is wrong with a filter, to be put behind its type; nothing more to be said of one whose type is not known.
fn check(filter: &Filter, rule: &Rule) -> Result<(), String> {
    let missing = || " without what it should do".to_owned();
    match filter.r#type.as_str() {
        REQUEST_HEADERS => check_headers(filter.request_header_modifier.as_ref().ok_or_else(missing)?),
        RESPONSE_HEADERS => check_headers(filter.response_header_modifier.as_ref().ok_or_else(missing)?),
        MIRROR => share(filter.request_mirror.as_ref().ok_or_else(missing)?).map(|_| ()),
        REDIRECT => check_redirect(filter.request_redirect.as_ref().ok_or_else(missing)?, rule),
        REWRITE => {
            let rewrite = filter.url_rewrite.as_ref().ok_or_else(missing)?;
            check_hostname(rewrite.hostname.as_deref())?;
            check_path(rewrite.path.as_ref(), rule)
        }
        CORS => check_cors(filter.cors.as_ref().ok_or_else(missing)?),
        _ => Err(String::new()),
    }
}

fn check_headers(modifier: &HeaderModifier) -> Result<(), String> {
    let fields = || modifier.set.iter().chain(&modifier.add);
    let mut names = fields().map(|field| &field.name).chain(&modifier.remove);
    if let Some(name) = names.find(|name| !is_changeable_header(name)) {
        return Err(format!(" of header {name}"));
    }
    match fields().find(|field| !is_header_value(&field.value)) {
        Some(field) => Err(format!(" with a value of header {} that is none", field.name)),
        None => Ok(()),
    }
}

/// The share of requests that is mirrored.
fn share(mirror: &RequestMirror) -> Result<(u32, u32), String> {
    let Fraction { numerator, denominator } = match (&mirror.fraction, mirror.percent) {
        (Some(fraction), _) => fraction.clone(),
        (None, percent) => Fraction { numerator: percent.unwrap_or(100), denominator: 100 },
    };
    let share = u32::try_from(numerator).ok().zip(u32::try_from(denominator).ok());
    share
        .filter(|(numerator, denominator)| *denominator > 0 && numerator <= denominator)
        .ok_or_else(|| format!(" of {numerator} in {denominator} requests"))
}

fn check_redirect(redirect: &RequestRedirect, rule: &Rule) -> Result<(), String> {
    if let Some(scheme) = redirect.scheme.as_deref().filter(|scheme| !matches!(*scheme, "http" | "https")) {
        return Err(format!(" to scheme {scheme}"));
    }
    if let Some(port) = redirect.port.filter(|port| !(1..=65_535).contains(port)) {
        return Err(format!(" to port {port}"));
    }
    let status = redirect.status_code.unwrap_or(FOUND);
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Err(format!(" with status {status}"));
    }
    check_hostname(redirect.hostname.as_deref())?;
    check_path(redirect.path.as_ref(), rule)
}

fn check_hostname(hostname: Option<&str>) -> Result<(), String> {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    match hostname.filter(|name| name.is_empty() || !name.bytes().all(is_of_name)) {
        Some(name) => Err(format!(" with hostname {name:?}")),
        None => Ok(()),
    }
}

fn check_path(path: Option<&PathModifier>, rule: &Rule) -> Result<(), String> {
    let Some(path) = path else { return Ok(()) };
    let Some(replace) = replace(path) else {
        return Err(format!(" with a path of type {:?}", path.r#type));
    };
    let (value, may_be_empty) = match &replace {
        Replace::Full(value) => (value, false),
        Replace::Prefix(value) => (value, true),
    };
    if !(is_path(value) || may_be_empty && value.is_empty()) {
        return Err(format!(" with {value:?} as a path"));
    }
    let is_prefix = |kind: Option<&str>| matches!(kind, None | Some("PathPrefix"));
    let mut kinds = rule.matches.iter().filter_map(|one| one.path.as_ref());
    match may_be_empty && kinds.any(|path| !is_prefix(path.r#type.as_deref())) {
        true => {
            Err(" with ReplacePrefixMatch in a rule that matches something else than PathPrefix".to_owned())
        }
        false => Ok(()),
    }
}

/// What takes the place of a path; none for a type that is not known.
fn replace(path: &PathModifier) -> Option<Replace> {
    match path.r#type.as_str() {
        "ReplaceFullPath" => {
            // An empty path is that of the root.
            let full = path.replace_full_path.clone().filter(|path| !path.is_empty());
            Some(Replace::Full(full.unwrap_or_else(|| "/".to_owned())))
        }
        "ReplacePrefixMatch" => Some(Replace::Prefix(path.replace_prefix_match.clone().unwrap_or_default())),
        _ => None,
    }
}

fn check_cors(cors: &Cors) -> Result<(), String> {
    let is_origin = |origin: &&String| *origin == "*" || Origin::parse(origin).is_some();
    if let Some(origin) = cors.allow_origins.iter().find(|origin| !is_origin(origin)) {
        return Err(format!(" for origin {origin:?}"));
    }
    let mut names = cors.allow_methods.iter().chain(&cors.allow_headers).chain(&cors.expose_headers);
    if let Some(name) = names.find(|name| name.is_empty() || !is_header_value(name)) {
        return Err(format!(" for {name:?}"));
    }
    match cors.max_age.filter(|age| u32::try_from(*age).is_err()) {
        Some(age) => Err(format!(" for {age} s")),
        None => Ok(()),
    }
}

/// Filters without [problems](problems()), as the proxies are told of them. `mirror` finds the name of the Backend resource of a
/// reference; a mirror whose reference leads nowhere is left out (Gateway API, `HTTPRequestMirrorFilter.backendRef`).
pub(super) fn resources(
    filters: &[Filter],
    mirror: &mut impl FnMut(&BackendRef) -> Verdict<String>,
) -> Vec<proto::Filter> {
    let resource = |filter: &Filter| -> Option<Kind> {
        match filter.r#type.as_str() {
            REQUEST_HEADERS => filter.request_header_modifier.as_ref().map(headers).map(Kind::RequestHeaders),
            RESPONSE_HEADERS => {
                filter.response_header_modifier.as_ref().map(headers).map(Kind::ResponseHeaders)
            }
            MIRROR => {
                let given = filter.request_mirror.as_ref()?;
                let (numerator, denominator) = share(given).ok()?;
                let backend = mirror(&given.backend_ref).ok()?;
                Some(Kind::Mirror(proto::Mirror { backend, numerator, denominator }))
            }
            REDIRECT => filter.request_redirect.as_ref().map(redirect).map(Kind::Redirect),
            REWRITE => filter.url_rewrite.as_ref().map(rewrite).map(Kind::Rewrite),
            CORS => filter.cors.as_ref().map(cors).map(Kind::Cors),
            _ => None,
        }
    };
    filters.iter().filter_map(resource).map(|kind| proto::Filter { kind: Some(kind) }).collect()
}

/// Names of the Backend resources to which these filters mirror.
pub(super) fn mirrored_to(filters: &[proto::Filter]) -> impl Iterator<Item = &String> {
    filters.iter().filter_map(|filter| match &filter.kind {
        Some(Kind::Mirror(mirror)) => Some(&mirror.backend),
        _ => None,
    })
}

fn headers(given: &HeaderModifier) -> proto::HeaderModifier {
    let fields = |given: &[Header]| {
        let field = |one: &Header| proto::NameValue { name: one.name.clone(), value: one.value.clone() };
        given.iter().map(field).collect()
    };
    proto::HeaderModifier { set: fields(&given.set), add: fields(&given.add), remove: given.remove.clone() }
}

fn path(given: Option<&PathModifier>) -> Option<proto::PathModifier> {
    given.map(|given| proto::PathModifier { replace: replace(given) })
}

fn redirect(given: &RequestRedirect) -> proto::Redirect {
    let number = |given: i64| u32::try_from(given).unwrap_or_default();
    proto::Redirect {
        scheme: given.scheme.clone().unwrap_or_default(),
        hostname: given.hostname.clone().unwrap_or_default(),
        path: path(given.path.as_ref()),
        port: given.port.map(number).unwrap_or_default(),
        status: number(given.status_code.unwrap_or(FOUND)),
    }
}

fn rewrite(given: &UrlRewrite) -> proto::Rewrite {
    proto::Rewrite { hostname: given.hostname.clone().unwrap_or_default(), path: path(given.path.as_ref()) }
}

fn cors(given: &Cors) -> proto::Cors {
    proto::Cors {
        allow_origins: given.allow_origins.clone(),
        allow_credentials: given.allow_credentials.unwrap_or_default(),
        allow_methods: given.allow_methods.clone(),
        allow_headers: given.allow_headers.clone(),
        expose_headers: given.expose_headers.clone(),
        max_age: u32::try_from(given.max_age.unwrap_or(MAX_AGE)).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn wrong(rule: Value) -> (Vec<String>, Vec<String>) {
        let rule: Rule = serde_json::from_value(rule).unwrap();
        let Problems { unsupported, incompatible } = problems(&rule);
        (unsupported, incompatible)
    }

    fn of_filter(filter: Value) -> Vec<String> {
        wrong(json!({"filters": [filter]})).0
    }

    #[test]
    fn what_cannot_be_done_is_named() {
        let path = |value| json!({"type": "URLRewrite", "urlRewrite": {"path": value}});
        for (filter, problem) in [
            (json!({"type": "ExtensionRef"}), "filter ExtensionRef"),
            (json!({"type": "CORS"}), "filter CORS without what it should do"),
            (
                json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["Host"]}}),
                "filter RequestHeaderModifier of header Host",
            ),
            (
                json!({"type": "RequestMirror", "requestMirror": {"fraction": {"numerator": 3, "denominator": 2}}}),
                "filter RequestMirror of 3 in 2 requests",
            ),
            (
                json!({"type": "RequestRedirect", "requestRedirect": {"statusCode": 300}}),
                "filter RequestRedirect with status 300",
            ),
            (
                json!({"type": "RequestRedirect", "requestRedirect": {"scheme": "ftp"}}),
                "filter RequestRedirect to scheme ftp",
            ),
            (
                path(json!({"type": "ReplaceFullPath", "replaceFullPath": "/a?b"})),
                "filter URLRewrite with \"/a?b\" as a path",
            ),
            (path(json!({"type": "Other"})), "filter URLRewrite with a path of type \"Other\""),
            (
                json!({"type": "CORS", "cors": {"allowOrigins": ["a.example"]}}),
                "filter CORS for origin \"a.example\"",
            ),
        ] {
            assert_eq!(of_filter(filter), [problem]);
        }
    }

    #[test]
    fn a_prefix_is_replaced_only_where_one_matches() {
        let filter = json!({
            "type": "URLRewrite",
            "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/x"}},
        });
        let rule =
            |kind: &str| json!({"filters": [filter], "matches": [{"path": {"type": kind, "value": "/a"}}]});
        assert!(wrong(rule("PathPrefix")).0.is_empty());
        assert_eq!(wrong(rule("Exact")).0.len(), 1);
        assert!(of_filter(filter.clone()).is_empty(), "without matches everything is a prefix");
    }

    #[test]
    fn filters_that_do_not_go_together_are_told_from_those_that_are_not_known() {
        let header = json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {}});
        let mirror = json!({"type": "RequestMirror", "requestMirror": {}});
        let redirect = json!({"type": "RequestRedirect", "requestRedirect": {}});
        let rewrite = json!({"type": "URLRewrite", "urlRewrite": {}});
        let nothing = Vec::<String>::new();
        let twice = vec!["filter RequestHeaderModifier stands twice".to_owned()];
        assert_eq!(wrong(json!({"filters": [header, mirror, mirror]})), (nothing.clone(), nothing.clone()));
        assert_eq!(wrong(json!({"filters": [header, header]})), (nothing.clone(), twice.clone()));
        assert_eq!(wrong(json!({"backendRefs": [{"filters": [header, header]}]})), (nothing.clone(), twice));
        let both = vec!["filters RequestRedirect and URLRewrite together".to_owned()];
        assert_eq!(wrong(json!({"filters": [redirect, rewrite]})), (nothing.clone(), both));
        let apart = json!({"filters": [header], "backendRefs": [{"filters": [header]}]});
        assert_eq!(wrong(apart), (nothing.clone(), nothing));
    }
}
