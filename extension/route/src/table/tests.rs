//! The index gives the same answer as trying every rule.

use super::*;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use proptest::sample::select;

type Names = Table<&'static str, u32>;

fn hostname() -> impl Strategy<Value = Hostname> {
    select(vec!["", "*.b", "*.a.b", "a.b", "b.a.b", "b"]).prop_map(|text| text.parse().unwrap())
}

fn path_match() -> impl Strategy<Value = PathMatch> {
    let path = select(vec!["/", "/a", "/a/", "/a/b", "/ab", "/b"]);
    (0..5_u8, path).prop_map(|(kind, path)| match kind {
        0 | 1 => PathMatch::Exact(path.into()),
        2 | 3 => PathMatch::Prefix(path.into()),
        _ => PathMatch::GrpcMethod("b".into()),
    })
}

fn one_match() -> impl Strategy<Value = Match> {
    let method = proptest::option::of(select(vec![Method::GET, Method::POST]));
    let headers = proptest::collection::vec(select(vec!["x", "y"]), 0..2).prop_map(|names| {
        names.into_iter().map(|name| (HeaderName::from_static(name), "1".to_owned())).collect()
    });
    let query = proptest::collection::vec(select(vec!["p", "q"]), 0..2)
        .prop_map(|names| names.into_iter().map(|name| (name.to_owned(), "1".to_owned())).collect());
    (path_match(), method, headers, query).prop_map(|(path, method, headers, query)| Match {
        path,
        method,
        headers,
        query,
        grpc: false,
    })
}

fn rules() -> impl Strategy<Value = Vec<Rule<u32>>> {
    let hostnames = proptest::collection::vec(hostname().prop_filter("given", |h| *h != Hostname::Any), 0..3);
    let rule =
        (hostnames, proptest::collection::vec(one_match(), 0..3), 0..3_i64, select(vec!["n/a", "n/b"]));
    proptest::collection::vec(rule, 0..12).prop_map(|rules| {
        rules
            .into_iter()
            .enumerate()
            .map(|(index, (hostnames, matches, created, route))| Rule {
                // Unique, as a rule's index in its route is.
                order: Order { created, route: route.into(), rule: index as u32 },
                hostnames: hostnames.into(),
                matches: matches.into(),
                target: index as u32,
            })
            .collect()
    })
}

/// The specification, word by word: the most specific hostname, then the precedence of matches.
fn by_trying_all(listener: &Hostname, rules: &[Rule<u32>], request: &RequestParts<'_>) -> Option<u32> {
    let host = HostName::new(request.host);
    let mut best: Option<((u8, usize), Precedence, u32)> = None;
    for rule in rules {
        let any = [Hostname::Any];
        let names = if rule.hostnames.is_empty() { &any[..] } else { &rule.hostnames[..] };
        let anything = [Match::default()];
        let matches = if rule.matches.is_empty() { &anything[..] } else { &rule.matches[..] };
        for name in names
            .iter()
            .filter_map(|name| name.intersect(listener))
            .filter(|name| name.matches(host.as_str()))
        {
            let specificity = match &name {
                Hostname::Any => (0, 0),
                Hostname::Wildcard(name) => (1, name.len()),
                Hostname::Exact(name) => (2, name.len()),
            };
            for (index, matched) in matches.iter().enumerate().filter(|(_, matched)| matched.matches(request))
            {
                let precedence = Precedence::new(rule.order.clone(), index, &matched.clone().normalized());
                let wins = best.as_ref().is_none_or(|(other, other_precedence, _)| {
                    specificity > *other || (specificity == *other && precedence < *other_precedence)
                });
                if wins {
                    best = Some((specificity, precedence, rule.target));
                }
            }
        }
    }
    best.map(|(_, _, target)| target)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]
    #[test]
    fn the_index_finds_what_trying_every_rule_finds(
        listener in hostname(),
        rules in rules(),
        host in select(vec!["a.b", "A.B:80", "b.a.b", "c.b.a.b", "b", "c"]),
        path in select(vec!["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/b//", "//a"]),
        query in select(vec!["", "p=1", "p=1&q=1"]),
        method in select(vec![Method::GET, Method::PUT]),
        header in proptest::option::of(select(vec!["x", "y"])),
    ) {
        let mut headers = HeaderMap::new();
        if let Some(name) = header {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        let request = RequestParts { host, path, query: Some(query), method: &method, headers: &headers };
        let table = Table::new([Listener { hostname: listener.clone(), label: "l", rules: rules.clone() }]);
        let found = match table.lookup(&request) {
            Lookup::Found(found) => {
                prop_assert!(found.path.matches(path));
                Some(*found.target)
            }
            Lookup::NoRule { .. } => None,
            Lookup::NoListener => {
                prop_assert!(!listener.matches(HostName::new(host).as_str()));
                None
            }
        };
        prop_assert_eq!(found, by_trying_all(&listener, &rules, &request));
    }
}

fn get<'a>(host: &'a str, path: &'a str, headers: &'a HeaderMap) -> RequestParts<'a> {
    RequestParts { host, path, query: None, method: &Method::GET, headers }
}

fn rule(target: u32, hostnames: &[&str], prefix: &str) -> Rule<u32> {
    Rule {
        order: Order { created: 0, route: format!("ns/{target}").into(), rule: 0 },
        hostnames: hostnames.iter().map(|name| name.parse().unwrap()).collect(),
        matches: [Match { path: PathMatch::Prefix(prefix.into()), ..Match::default() }].into(),
        target,
    }
}

#[test]
fn a_request_belongs_to_the_listener_with_the_most_specific_hostname_alone() {
    let listener =
        |hostname: &str, label, rules| Listener { hostname: hostname.parse().unwrap(), label, rules };
    let table: Names = Table::new([
        listener("", "any", vec![rule(1, &[], "/")]),
        listener("*.example.com", "wildcard", vec![rule(2, &[], "/")]),
        listener("a.example.com", "exact", vec![rule(3, &[], "/only")]),
    ]);
    let headers = HeaderMap::new();
    let target = |host, path| match table.lookup(&get(host, path, &headers)) {
        Lookup::Found(found) => (*found.listener, Some(*found.target)),
        Lookup::NoRule { listener } => (*listener, None),
        Lookup::NoListener => ("none", None),
    };
    assert_eq!(target("other.net", "/"), ("any", Some(1)));
    assert_eq!(target("b.example.com", "/"), ("wildcard", Some(2)));
    assert_eq!(target("a.example.com", "/only"), ("exact", Some(3)));
    assert_eq!(target("a.example.com", "/"), ("exact", None), "not the wildcard listener's");
}

#[test]
fn a_path_of_very_many_elements_costs_no_more_than_the_longest_prefix() {
    let table: Names =
        Table::new([Listener { hostname: Hostname::Any, label: "l", rules: vec![rule(1, &[], "/a/b")] }]);
    let headers = HeaderMap::new();
    let path = format!("/a/b{}", "/x".repeat(4000));
    let started = std::time::Instant::now();
    for _ in 0..100 {
        assert!(matches!(table.lookup(&get("h", &path, &headers)), Lookup::Found(_)));
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(1), "{:?}", started.elapsed());
}

#[test]
fn ten_thousand_routes_are_looked_up_as_quickly_as_one() {
    let rules =
        (0..10_000).map(|n| rule(n, &[&format!("h{}.example.com", n % 100)], &format!("/p/{n}"))).collect();
    let table: Names = Table::new([Listener { hostname: Hostname::Any, label: "l", rules }]);
    let headers = HeaderMap::new();
    for n in [0, 4711, 9999] {
        let (host, path) = (format!("h{}.example.com", n % 100), format!("/p/{n}/x"));
        let Lookup::Found(found) = table.lookup(&get(&host, &path, &headers)) else { panic!("{n}") };
        assert_eq!(*found.target, n);
    }
}
