//! Whatever the controller says: a configuration, or the resources at fault.

use super::*;
use alb_config::proto::filter::Kind as Filter;
use alb_config::proto::path_modifier::Replace;
use proptest::prelude::*;
use prost::Message as _;

fn built(resources: Vec<proto::Resource>) -> Result<Config, Rejection> {
    let resources = resources
        .into_iter()
        .map(|resource| (Arc::from(resource.name.as_str()), Arc::new(resource)))
        .collect();
    let settings = Settings::default();
    let result = build(&resources, &Config::default(), &settings, &Limits::new(&settings));
    if let Err(rejection) = &result {
        assert!(!rejection.resources.is_empty() && !rejection.message.is_empty());
    }
    result
}

fn resource(name: &str, kind: Kind) -> proto::Resource {
    proto::Resource { name: name.to_owned(), version: "1".to_owned(), kind: Some(kind) }
}

/// A frontend, a rule, a backend of each kind, and a secret.
fn sensible() -> Vec<proto::Resource> {
    let listener =
        proto::Listener { name: "http".into(), bind_port: 10_000, port: 80, hostname: "*.a.example".into() };
    let frontend = proto::Frontend {
        fqdn: "fe.example".into(),
        gateway: "ns/fe".into(),
        listeners: vec![listener],
        ..proto::Frontend::default()
    };
    let rule = proto::RouteRule {
        route: "ns/route".into(),
        listeners: vec![proto::ListenerRef { frontend: "frontend/fe".into(), listener: "http".into() }],
        hostnames: vec!["b.a.example".into()],
        matches: vec![proto::Match {
            path: Some(proto::r#match::Path::Prefix("/a".into())),
            headers: vec![proto::NameValue { name: "x".into(), value: "1".into() }],
            ..proto::Match::default()
        }],
        backends: vec![proto::WeightedBackend {
            weight: 1,
            target: Some(weighted_backend::Target::Backend("backend/b".into())),
        }],
        timeouts: Some(proto::Timeouts { request_ms: 1, backend_request_ms: 2 }),
        ..proto::RouteRule::default()
    };
    let backend = |security| proto::Backend {
        service: "ns/b".into(),
        port: 80,
        endpoints: vec![proto::Endpoint {
            address: "192.0.2.1".into(),
            port: 80,
            pod: "ns/b-0".into(),
            spiffe_id: "spiffe://cluster.local/ns/ns/sa/b".into(),
            node: String::new(),
        }],
        protocol: proto::Protocol::Http2.into(),
        security: Some(security),
    };
    let filter = |kind| proto::Filter { kind: Some(kind) };
    let path = |replace| Some(proto::PathModifier { replace: Some(replace) });
    let filters = vec![
        filter(Filter::RequestHeaders(proto::HeaderModifier {
            set: vec![proto::NameValue { name: "x".into(), value: "1".into() }],
            remove: vec!["y".into()],
            ..proto::HeaderModifier::default()
        })),
        filter(Filter::Rewrite(proto::Rewrite {
            hostname: "c.example".into(),
            path: path(Replace::Prefix("/b".into())),
        })),
        filter(Filter::Mirror(proto::Mirror { backend: "backend/m".into(), numerator: 1, denominator: 2 })),
        filter(Filter::Cors(proto::Cors {
            allow_origins: vec!["https://*.example:8443".into()],
            ..proto::Cors::default()
        })),
    ];
    let redirect = proto::Redirect {
        scheme: "https".into(),
        status: 301,
        path: path(Replace::Full("/c".into())),
        ..proto::Redirect::default()
    };
    let behind = proto::FilteredBackend {
        backend: rule.backends.first().cloned(),
        filters: vec![filter(Filter::Redirect(redirect))],
    };
    let filtered = proto::RouteRule {
        backends: Vec::new(),
        filtered: Some(proto::Filtered { filters, backends: vec![behind] }),
        ..rule.clone()
    };
    let grpc =
        proto::Match { path: Some(proto::r#match::Path::GrpcMethod("m".into())), ..proto::Match::default() };
    let grpc = proto::RouteRule { matches: vec![grpc], ..rule.clone() };
    let istio = proto::IstioMtls { secret: "secret/istio".into() };
    let tls = proto::ServerTls { hostname: "b.example".into(), ..proto::ServerTls::default() };
    vec![
        resource("frontend/fe", Kind::Frontend(frontend)),
        resource("route/r", Kind::RouteRule(rule)),
        resource("backend/b", Kind::Backend(backend(backend::Security::ClearText(proto::ClearText {})))),
        resource("backend/m", Kind::Backend(backend(backend::Security::IstioMtls(istio)))),
        resource("backend/t", Kind::Backend(backend(backend::Security::ServerTls(tls)))),
        resource("route/f", Kind::RouteRule(filtered)),
        resource("grpc-route/g", Kind::GrpcRouteRule(grpc)),
    ]
}

#[test]
fn limits_outlive_configurations() {
    let settings = Settings::default();
    let limits = Limits::new(&settings);
    let resources = || -> Resources {
        sensible()
            .into_iter()
            .map(|resource| (Arc::from(resource.name.as_str()), Arc::new(resource)))
            .collect()
    };
    let first = build(&resources(), &Config::default(), &settings, &limits).unwrap();
    let second = build(&resources(), &first, &settings, &limits).unwrap();
    for (name, limit) in &first.backend_limits {
        assert!(Arc::ptr_eq(limit, &second.backend_limits[name]), "{name}");
    }
    assert!(Arc::ptr_eq(&first.ports[&10_000].limits, &second.ports[&10_000].limits));
    assert_eq!(second.frontends(), 1);
}

/// At least so many cases; `PROPTEST_CASES` asks for more.
fn at_least(cases: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(cases), ..config }
}

proptest! {
    #![proptest_config(at_least(1000))]

    #[test]
    fn no_bytes_from_the_controller_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(response) = proto::DeltaResponse::decode(bytes.as_slice()) {
            let _ = built(response.resources);
        }
    }

    #[test]
    fn no_damage_to_resources_makes_it_panic(
        which in 0..7_usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut resources = sensible();
        let mut bytes = resources[which].encode_to_vec();
        for (place, byte) in changes {
            *place.get_mut(&mut bytes) = byte;
        }
        if let Ok(damaged) = proto::Resource::decode(bytes.as_slice()) {
            resources[which] = damaged;
            let _ = built(resources);
        }
    }
}
