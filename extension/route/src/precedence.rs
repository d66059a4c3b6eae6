//! Which of several matching rules wins, as an order.

use crate::{Match, PathMatch};
use std::cmp::Reverse;
use std::sync::Arc;

/// The tie-breaks that do not depend on what is matched: age, name, position.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    /// Creation of the route in seconds since the epoch: the oldest first.
    pub created: i64,
    /// "<namespace>/<name>" of the route, alphabetically.
    pub route: Arc<str>,
    /// Index of the rule in its route.
    pub rule: u32,
}

/// Gateway API precedence of one match (HTTPRouteRule.matches): the smallest wins.
///
/// Field order is the specification's: exact path, longest prefix, method, number of header fields, number of
/// query parameters, then [`Order`], then the position of the match in its rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precedence {
    path: PathRank,
    method: Reverse<bool>,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    order: Order,
    index: usize,
}

/// Of two of the same kind the longer one wins. A trailing slash of a prefix does not count: `/a` and `/a/` are the same.
///
/// The method of any gRPC service comes after all services, which have more characters than none (GRPCRouteRule.matches),
/// and before what matches everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PathRank {
    Exact,
    Prefix(Reverse<usize>),
    GrpcMethod(Reverse<usize>),
    Everything,
}

impl Precedence {
    /// Precedence of the match at `index` of its rule.
    pub fn new(order: Order, index: usize, matched: &Match) -> Self {
        let path = match &matched.path {
            PathMatch::Exact(_) => PathRank::Exact,
            PathMatch::Prefix(prefix) => match prefix.strip_suffix('/').unwrap_or(prefix).len() {
                0 => PathRank::Everything,
                length => PathRank::Prefix(Reverse(length)),
            },
            PathMatch::GrpcMethod(method) => PathRank::GrpcMethod(Reverse(method.len())),
        };
        Self {
            path,
            method: Reverse(matched.method.is_some()),
            headers: Reverse(matched.headers.len()),
            query: Reverse(matched.query.len()),
            order,
            index,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, Method};

    fn rank(route: &str, created: i64, index: usize, matched: &Match) -> Precedence {
        Precedence::new(Order { created, route: route.into(), rule: 0 }, index, matched)
    }

    #[test]
    fn the_specifications_order_holds() {
        let any = Match::default();
        let query = Match { query: vec![("q".into(), "1".into())], ..any.clone() };
        let header = Match { headers: vec![(HeaderName::from_static("x"), "1".into())], ..any.clone() };
        let method = Match { method: Some(Method::GET), ..any.clone() };
        let prefix = Match { path: PathMatch::Prefix("/a".into()), ..any.clone() };
        let grpc = Match { path: PathMatch::GrpcMethod("m".into()), ..any.clone() };
        let exact = Match { path: PathMatch::Exact("/".into()), ..any.clone() };
        // Each older and earlier in the alphabet than the one before, which must not matter.
        let winners_first = [&exact, &prefix, &grpc, &method, &header, &query, &any];
        let ranks: Vec<_> = winners_first
            .iter()
            .enumerate()
            .map(|(position, matched)| {
                rank(&format!("{}", 9 - position), 9 - position as i64, 9 - position, matched)
            })
            .collect();
        assert!(ranks.is_sorted(), "{ranks:#?}");
    }

    #[test]
    fn ties_go_to_the_older_then_the_alphabetically_first_then_the_earlier() {
        let any = Match::default();
        assert!(rank("b", 1, 0, &any) < rank("a", 2, 0, &any));
        assert!(rank("a", 1, 1, &any) < rank("b", 1, 0, &any));
        assert!(rank("a", 1, 0, &any) < rank("a", 1, 1, &any));
    }
}
