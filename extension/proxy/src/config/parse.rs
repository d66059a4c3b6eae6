//! Resources into the types of routing; pure.

use alb_config::proto;
use alb_route::{Hostname, Match, PathMatch, PathPolicy};
use http::header::ACCESS_CONTROL_REQUEST_METHOD;
use http::{HeaderName, Method};

/// One match of a rule. Its path is written as those of requests will be.
pub(super) fn route_match(given: &proto::Match, policy: &PathPolicy) -> Result<Match, String> {
    let path = match &given.path {
        None => PathMatch::Prefix("/".to_owned()),
        Some(proto::r#match::Path::Exact(path)) => PathMatch::Exact(normal(path, policy)?),
        Some(proto::r#match::Path::Prefix(path)) => PathMatch::Prefix(normal(path, policy)?),
        Some(proto::r#match::Path::GrpcMethod(method)) => PathMatch::GrpcMethod(method.clone()),
    };
    let method = match given.method.as_str() {
        "" => None,
        name => Some(Method::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no method"))?),
    };
    let headers = given
        .headers
        .iter()
        .map(|pair| match HeaderName::try_from(&pair.name) {
            Ok(name) => Ok((name, pair.value.clone())),
            Err(_) => Err(format!("{:?} is no header name", pair.name)),
        })
        .collect::<Result<_, _>>()?;
    let query = given.query.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect();
    Ok(Match { path, method, headers, query, grpc: false })
}

/// Makes the matches of a rule, everything if there are none, match requests that are gRPC and no others.
pub(super) fn only_grpc(matches: &mut Vec<Match>) {
    if matches.is_empty() {
        matches.push(Match::default());
    }
    for matched in matches {
        matched.grpc = true;
    }
}

/// Adds to the matches of a rule with CORS those of the preflight requests for requests of a certain method: such a request has
/// the method OPTIONS, names the other one, and lacks the header fields that the request itself will have.
pub(super) fn preflight(matches: &mut Vec<Match>) {
    let before = |matched: &Match| {
        let method = matched.method.as_ref().filter(|method| **method != Method::OPTIONS)?;
        let headers = vec![(ACCESS_CONTROL_REQUEST_METHOD, method.as_str().to_owned())];
        Some(Match { method: Some(Method::OPTIONS), headers, ..matched.clone() })
    };
    let added: Vec<Match> = matches.iter().filter_map(before).collect();
    matches.extend(added);
}

fn normal(path: &str, policy: &PathPolicy) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err(format!("the path {path:?} does not start with \"/\""));
    }
    // What has no normal form is no request's path: such a rule is there and never matches.
    Ok(policy.apply(path).map_or_else(|_| path.to_owned(), std::borrow::Cow::into_owned))
}

/// Hostnames of a route.
pub(super) fn hostnames(given: &[String]) -> Result<Vec<Hostname>, String> {
    given.iter().map(|name| hostname(name)).collect()
}

/// Hostname of a listener.
pub(super) fn hostname(given: &str) -> Result<Hostname, String> {
    given.parse().map_err(|error: alb_route::InvalidHostname| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(path: &str) -> Result<PathMatch, String> {
        let given = proto::Match {
            path: Some(proto::r#match::Path::Prefix(path.to_owned())),
            ..proto::Match::default()
        };
        route_match(&given, &PathPolicy::default()).map(|matched| matched.path)
    }

    #[test]
    fn a_preflight_request_finds_the_rule_of_the_request_that_it_is_for() {
        let one = |method: Option<Method>, header: bool| {
            let headers = if header { vec![(HeaderName::from_static("x"), "1".to_owned())] } else { vec![] };
            Match { path: PathMatch::Prefix("/a".to_owned()), method, headers, ..Match::default() }
        };
        let mut matches =
            vec![one(None, false), one(Some(Method::PUT), true), one(Some(Method::OPTIONS), false)];
        preflight(&mut matches);
        let [.., added] = &matches[..] else { panic!() };
        assert_eq!(matches.len(), 4, "only one is about requests with another method");
        assert_eq!((added.method.clone(), &added.path), (Some(Method::OPTIONS), &matches[1].path));
        assert_eq!(added.headers, [(ACCESS_CONTROL_REQUEST_METHOD, "PUT".to_owned())]);
    }

    #[test]
    fn a_rules_path_is_written_as_those_of_requests_are() {
        assert_eq!(prefix("/%61/b%2d"), Ok(PathMatch::Prefix("/a/b-".into())));
        assert_eq!(prefix("/a%2fb"), Ok(PathMatch::Prefix("/a%2fb".into())));
        assert!(prefix("a").unwrap_err().contains("does not start"));
    }
}
