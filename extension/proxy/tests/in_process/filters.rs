//! Filters of rules and of backends: what pods see, and what clients are answered.

use crate::pods::Pod;
use crate::support::{Answer, Client, PORT, Wanted, World};
use alb_config::proto::filter::Kind;
use alb_config::proto::path_modifier::Replace;
use alb_config::proto::{self, Cors, Filter, HeaderModifier, NameValue, PathModifier, Redirect, Rewrite};
use http::Request;
use http::request::Builder;
use http_body_util::Full;

fn field(name: &str, value: &str) -> NameValue {
    NameValue { name: name.to_owned(), value: value.to_owned() }
}

fn headers(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> HeaderModifier {
    let fields = |given: &[(&str, &str)]| given.iter().map(|(name, value)| field(name, value)).collect();
    HeaderModifier {
        set: fields(set),
        add: fields(add),
        remove: remove.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn prefix(replacement: &str) -> Option<PathModifier> {
    Some(PathModifier { replace: Some(Replace::Prefix(replacement.to_owned())) })
}

fn redirect(change: impl FnOnce(&mut Redirect)) -> Kind {
    let mut redirect = Redirect { status: 302, ..Redirect::default() };
    change(&mut redirect);
    Kind::Redirect(redirect)
}

fn get(path: &str) -> Builder {
    Request::get(path).header("host", "fe.alb.internal:1234")
}

async fn ask(world: &World, request: Builder) -> Answer {
    world.send(request.body(Full::default()).unwrap()).await
}

/// Values of a field that a pod has seen.
fn seen(answer: &Answer, name: &str) -> String {
    let told = answer.json();
    let values = told["headers"][name].as_array().cloned().unwrap_or_default();
    values.iter().map(|value| value.as_str().unwrap().to_owned()).collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn fields_of_requests_and_of_responses_are_changed() {
    let pod = Pod::echo().await;
    let filters = vec![
        Kind::RequestHeaders(headers(
            &[("X-Set", "new"), ("x-forwarded-for", "a proxy")],
            &[("X-Add", "b")],
            &["X-Gone", "x-forwarded-proto"],
        )),
        Kind::ResponseHeaders(headers(&[("X-Answer", "1")], &[], &["content-type"])),
    ];
    let wanted = Wanted::new()
        .filtered("fe", "/f", &[("b", 1)], filters)
        .clear_text("b", &[pod.address])
        .clear_text("empty", &[]);
    let world = World::serving(&wanted);
    let request =
        get("/f").header("x-set", "1").header("x-set", "2").header("x-add", "a").header("x-gone", "1");
    let answer = ask(&world, request).await;
    assert_eq!((seen(&answer, "x-set"), seen(&answer, "x-add")), ("new".into(), "a,b".into()));
    assert_eq!(seen(&answer, "x-gone"), "");
    // What the gateway itself says can be changed, too.
    assert_eq!(
        (seen(&answer, "x-forwarded-for"), seen(&answer, "x-forwarded-proto")),
        ("a proxy".into(), String::new())
    );
    assert_eq!(answer.headers["x-answer"], "1");
    assert!(!world.get("/").await.headers.contains_key("x-answer"), "another rule");
}

#[tokio::test]
async fn an_answer_of_the_gateway_is_the_rules_as_well() {
    let filters =
        vec![Kind::ResponseHeaders(headers(&[("strict-transport-security", "max-age=1")], &[], &[]))];
    let mut redirected = filters.clone();
    redirected.push(redirect(|redirect| redirect.scheme = "https".to_owned()));
    let wanted = Wanted::new()
        .filtered("fe", "/down", &[("empty", 1)], filters)
        .filtered("fe", "/redirect", &[], redirected)
        .clear_text("empty", &[]);
    let world = World::serving(&wanted);
    for (path, status) in [("/down", 503), ("/redirect", 302)] {
        let answer = ask(&world, get(path)).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers["strict-transport-security"], "max-age=1", "{path}");
    }
}

#[tokio::test]
async fn host_and_path_are_rewritten() {
    let pod = Pod::echo().await;
    let rewrite = |hostname: &str, path| vec![Kind::Rewrite(Rewrite { hostname: hostname.into(), path })];
    let full = Some(PathModifier { replace: Some(Replace::Full("/x".into())) });
    let wanted = Wanted::new()
        .filtered("fe", "/prefix/one", &[("b", 1)], rewrite("", prefix("/one")))
        .filtered("fe", "/strip/", &[("b", 1)], rewrite("", prefix("/")))
        .filtered("fe", "/full", &[("b", 1)], rewrite("other.example", full))
        .clear_text("b", &[pod.address]);
    let world = World::serving(&wanted);
    for (path, sent, host) in [
        ("/prefix/one/two?a=b", "/one/two?a=b", "fe.alb.internal:1234"),
        ("/strip/three", "/three", "fe.alb.internal:1234"),
        ("/strip", "/", "fe.alb.internal:1234"),
        ("/%73trip/%61//b", "/a/b", "fe.alb.internal:1234"),
        ("/full/anything?c", "/x?c", "other.example"),
    ] {
        let answer = ask(&world, get(path)).await;
        assert_eq!(answer.json()["path"], sent, "{path}");
        assert_eq!(seen(&answer, "host"), host, "{path}");
    }
}

#[tokio::test]
async fn a_request_is_redirected_and_no_pod_asked() {
    let pod = Pod::echo().await;
    let wanted = Wanted::new()
        .filtered(
            "fe",
            "/a",
            &[("b", 1)],
            vec![redirect(|redirect| {
                redirect.path = prefix("/new");
                redirect.status = 308;
            })],
        )
        .filtered("fe", "/secure", &[], vec![redirect(|redirect| redirect.scheme = "https".to_owned())])
        .clear_text("b", &[pod.address]);
    let mut world = World::serving(&wanted);
    let post = Request::post("/a/b?c=d").header("host", "fe.alb.internal:1234").body("body".into()).unwrap();
    let answer = world.send(post).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (308, ""));
    assert_eq!(answer.headers["location"], "http://fe.alb.internal/new/b?c=d", "the listener's port");
    let record = world.logged().await;
    assert_eq!((record.status, record.reason, record.upstream_pod), (308, "filter", None));
    assert_eq!(record.request_id, answer.headers["x-request-id"].to_str().unwrap());
    let mut client = Client::http2(world.address(PORT)).await;
    assert_eq!(client.get("/secure").await.headers["location"], "https://fe.alb.internal/secure");
    assert_eq!(client.get("/secure").await.status, 302, "the connection goes on");
    assert_eq!(pod.connections(), 0);
}

#[tokio::test]
async fn filters_of_a_backend_are_for_its_requests_alone() {
    let pods = [Pod::echo().await, Pod::echo().await];
    let of = |name: &str, kinds: Vec<Kind>| proto::FilteredBackend {
        backend: Some(proto::WeightedBackend {
            weight: 1,
            target: Some(proto::weighted_backend::Target::Backend(format!("backend/{name}"))),
        }),
        filters: kinds.into_iter().map(|kind| Filter { kind: Some(kind) }).collect(),
    };
    let one = vec![
        Kind::RequestHeaders(headers(&[("backend", "one")], &[], &[])),
        Kind::ResponseHeaders(headers(&[("answer", "one")], &[], &[])),
        Kind::Rewrite(Rewrite { hostname: String::new(), path: prefix("/z") }),
    ];
    let both = vec![
        Kind::RequestHeaders(headers(&[("backend", "both")], &[], &[])),
        Kind::ResponseHeaders(headers(&[], &[("answer", "both")], &[])),
        Kind::Rewrite(Rewrite { hostname: String::new(), path: prefix("/x/y") }),
    ];
    let wanted = Wanted::new().rule_with("fe", "/f", &[], |rule| {
        rule.filtered = Some(proto::Filtered {
            filters: both.into_iter().map(|kind| Filter { kind: Some(kind) }).collect(),
            backends: vec![of("one", one), of("two", Vec::new())],
        });
    });
    let wanted = wanted.clear_text("one", &[pods[0].address]).clear_text("two", &[pods[1].address]);
    let world = World::serving(&wanted);
    let mut told = std::collections::BTreeSet::new();
    for _ in 0..64 {
        let answer = ask(&world, get("/f/g")).await;
        let answers: Vec<_> = answer.headers.get_all("answer").iter().map(|v| v.to_str().unwrap()).collect();
        let path = answer.json()["path"].as_str().unwrap().to_owned();
        told.insert(format!("{} {path} {}", seen(&answer, "backend"), answers.join(",")));
    }
    // Requests pass the rule's first, responses the backend's.
    let wanted = ["both /x/y/g both", "one /z/g one,both"];
    assert_eq!(told.iter().map(String::as_str).collect::<Vec<_>>(), wanted);
}

fn cors(methods: &[&str]) -> Kind {
    Kind::Cors(Cors {
        allow_origins: vec!["https://*.example".to_owned()],
        allow_credentials: true,
        allow_methods: methods.iter().map(|method| (*method).to_owned()).collect(),
        max_age: 60,
        ..Cors::default()
    })
}

fn preflight(path: &str, origin: &str) -> Builder {
    let request = Request::options(path).header("host", "fe.alb.internal").header("origin", origin);
    request.header("access-control-request-method", "PUT")
}

#[tokio::test]
async fn other_origins_are_told_what_they_may_do() {
    let pod = Pod::echo().await;
    let wanted = Wanted::new()
        .filtered("fe", "/cors", &[("b", 1)], vec![cors(&["PUT"])])
        .filtered("fe", "/down", &[("empty", 1)], vec![cors(&["PUT"])])
        .clear_text("b", &[pod.address])
        .clear_text("empty", &[]);
    let mut world = World::serving(&wanted);
    let answer = ask(&world, preflight("/cors/a", "https://a.example")).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (204, &b""[..]));
    for (name, value) in [
        ("access-control-allow-origin", "https://a.example"),
        ("access-control-allow-methods", "PUT"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "60"),
        ("vary", "Origin"),
    ] {
        assert_eq!(answer.headers[name], value);
    }
    assert_eq!((world.logged().await.reason, pod.connections()), ("filter", 0));
    let refused = ask(&world, preflight("/cors/a", "https://a.other")).await;
    assert_eq!(
        (refused.status.as_u16(), refused.headers.contains_key("access-control-allow-origin")),
        (204, false)
    );

    let origin = |path: &str, origin: &str| get(path).header("origin", origin);
    let answer = ask(&world, origin("/cors", "https://a.example")).await;
    assert_eq!(answer.json()["path"], "/cors");
    assert_eq!(answer.headers["access-control-allow-origin"], "https://a.example");
    assert!(
        !ask(&world, origin("/cors", "https://a.other"))
            .await
            .headers
            .contains_key("access-control-allow-origin")
    );
    // A script has to be able to read errors, too.
    let down = ask(&world, origin("/down", "https://a.example")).await;
    assert_eq!(
        (down.status.as_u16(), &down.headers["access-control-allow-origin"]),
        (503, &"https://a.example".parse().unwrap())
    );
    // An OPTIONS request that is no preflight is the backend's.
    let options =
        Request::options("/cors").header("host", "fe.alb.internal").header("origin", "https://a.example");
    assert_eq!(ask(&world, options).await.json()["method"], "OPTIONS");
}

#[tokio::test]
async fn a_preflight_request_is_answered_for_a_rule_with_a_method() {
    let pod = Pod::echo().await;
    let wanted = Wanted::new().filtered("fe", "/cors", &[("b", 1)], vec![cors(&["PUT"])]);
    let mut put = wanted.clone();
    put = put.rule_with("fe", "/put", &[], |rule| {
        rule.matches[0].method = "PUT".to_owned();
        rule.matches[0].headers = vec![field("x", "1")];
        rule.filtered = Some(proto::Filtered {
            filters: vec![Filter { kind: Some(cors(&["PUT"])) }],
            backends: Vec::new(),
        });
    });
    let world = World::serving(&put.clear_text("b", &[pod.address]));
    assert_eq!(ask(&world, preflight("/put", "https://a.example")).await.status, 204);
    let get = preflight("/put", "https://a.example");
    let mut get = get.body(Full::default()).unwrap();
    get.headers_mut().insert("access-control-request-method", "DELETE".parse().unwrap());
    assert_ne!(world.send(get).await.status, 204, "a request that the rule is not for");
}

#[tokio::test]
async fn a_filter_that_cannot_be_used_refuses_the_rule_by_name() {
    let host = Kind::RequestHeaders(headers(&[("host", "other.example")], &[], &[]));
    let wanted = Wanted::new().filtered("fe", "/f", &[("b", 1)], vec![host]).clear_text("b", &[]);
    let rejection = World::new().refuses(&wanted);
    assert_eq!(rejection.resources, ["route/fe/f"]);
    assert!(
        rejection.message.contains("host is no header that a filter may change"),
        "{}",
        rejection.message
    );
    let unknown = Wanted::new().rule_with("fe", "/f", &[], |rule| {
        rule.filtered = Some(proto::Filtered { filters: vec![Filter { kind: None }], backends: Vec::new() });
    });
    assert!(World::new().refuses(&unknown).message.contains("a kind that is not known"));
}
