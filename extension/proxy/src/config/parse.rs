//! Resources into the types of routing; pure.

use alb_config::proto;
use alb_route::{Hostname, Match, PathMatch};
use http::{HeaderName, Method};

/// One match of a rule.
pub(super) fn route_match(given: &proto::Match) -> Result<Match, String> {
    let path = match &given.path {
        None => PathMatch::Prefix("/".to_owned()),
        Some(proto::r#match::Path::Exact(path)) => PathMatch::Exact(absolute(path)?),
        Some(proto::r#match::Path::Prefix(path)) => PathMatch::Prefix(absolute(path)?),
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

fn absolute(path: &str) -> Result<String, String> {
    match path.starts_with('/') {
        true => Ok(path.to_owned()),
        false => Err(format!("the path {path:?} does not start with \"/\"")),
    }
}

/// Hostnames of a route.
pub(super) fn hostnames(given: &[String]) -> Result<Vec<Hostname>, String> {
    given.iter().map(|name| hostname(name)).collect()
}

/// Hostname of a listener.
pub(super) fn hostname(given: &str) -> Result<Hostname, String> {
    given.parse().map_err(|error: alb_route::InvalidHostname| error.to_string())
}
