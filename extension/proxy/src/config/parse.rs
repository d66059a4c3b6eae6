//! Resources into the types of routing; pure.

use alb_config::proto;
use alb_route::{Hostname, Match, PathMatch, PathPolicy};
use http::{HeaderName, Method};

/// One match of a rule. Its path is written as those of requests will be.
pub(super) fn route_match(given: &proto::Match, policy: &PathPolicy) -> Result<Match, String> {
    let path = match &given.path {
        None => PathMatch::Prefix("/".to_owned()),
        Some(proto::r#match::Path::Exact(path)) => PathMatch::Exact(normal(path, policy)?),
        Some(proto::r#match::Path::Prefix(path)) => PathMatch::Prefix(normal(path, policy)?),
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
    Ok(Match { path, method, headers, query })
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
    fn a_rules_path_is_written_as_those_of_requests_are() {
        assert_eq!(prefix("/%61/b%2d"), Ok(PathMatch::Prefix("/a/b-".into())));
        assert_eq!(prefix("/a%2fb"), Ok(PathMatch::Prefix("/a%2fb".into())));
        assert!(prefix("a").unwrap_err().contains("does not start"));
    }
}
