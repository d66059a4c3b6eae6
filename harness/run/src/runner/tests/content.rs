//! What requests carry, and what is claimed of what an answer says: a gateway that does otherwise turns each claim red.

use rstest::rstest;

use super::*;
use crate::probe::tls::Shown;
use crate::probe::{Ask, Echo, Exchange, FailureKind};
use meshproof_model::vantage::Vantage;

fn steps(subject: &str, becomes: &str) -> String {
    format!("{SETUP}- request: {{gateway: g{subject}}}\n  becomes: {{{becomes}}}\n  within: 1s\n")
}

/// What comes of a claim about such answers, and what was asked.
async fn ran(answer: Answer, subject: &str, becomes: &str) -> (Ran, Vec<Ask>) {
    let world = Arc::new(World { answers: given([answer]), ..World::default() });
    let certificate = json!({"kind": "ConfigMap", "data": {"ca.crt": "PEM of the authority"}});
    world.insert("configmap/our-ca in ns", certificate);
    // `PEM`, in base64.
    let client = json!({"kind": "Secret", "data": {"tls.crt": "UEVN", "tls.key": "UEVN"}});
    world.insert("secret/client in ns", client);
    let ran = run_until(world.clone(), &steps(subject, becomes), Keep::Never, CancellationToken::new()).await;
    let asked = world.asked.lock().unwrap().clone();
    (ran, asked)
}

/// A right answer to everything that is claimed below.
fn right() -> Answer {
    let echo = Echo {
        path: "/new?x=1".into(),
        host: "b.example".into(),
        headers: serde_json::from_value(json!({"X-Added": ["one"]})).unwrap(),
        ..answer(200, "backend-v1").echo.unwrap()
    };
    let headers = [("x-added", "one"), ("location", "/new"), ("grpc-status", "0")];
    Answer {
        echo: Some(echo),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        body: "SERVING".into(),
        certificate: Some(Shown {
            names: vec!["a.example".into()],
            subject: "CN=a".into(),
            issuer: "CN=our-ca, O=x".into(),
            issued_by: Some("our-ca".into()),
        }),
        ..answer(200, "backend-v1")
    }
}

fn with_status(status: u16) -> Answer {
    Answer { status: Some(status), ..right() }
}

fn without(name: &str) -> Answer {
    let mut answer = right();
    answer.headers.remove(name);
    answer
}

fn with(name: &str, value: &str) -> Answer {
    let mut answer = right();
    answer.headers.insert(name.into(), value.into());
    answer
}

fn saying(body: &str) -> Answer {
    Answer { body: body.into(), ..right() }
}

fn shown(change: impl FnOnce(&mut Shown)) -> Answer {
    let mut answer = right();
    if let Some(shown) = &mut answer.certificate {
        change(shown);
    }
    answer
}

fn received(change: impl FnOnce(&mut Echo)) -> Answer {
    let mut answer = right();
    if let Some(echo) = &mut answer.echo {
        change(echo);
    }
    answer
}

fn broken(kind: FailureKind) -> Answer {
    Answer::failed(Vantage::Outside, kind, "it broke", Duration::ZERO)
}

#[rstest]
#[case::header(
    "",
    "status: 200, headers: {X-Added: one}",
    right(),
    without("x-added"),
    "the answer has no x-added"
)]
#[case::other_header(
    "",
    "status: 200, headers: {x-added: \"o*\"}",
    right(),
    with("x-added", "two"),
    "the answer has x-added: two"
)]
#[case::no_header(
    "",
    "status: 200, headers: {server: ~}",
    right(),
    with("server", "x"),
    "the answer has server: x, which it must not have"
)]
#[case::redirect("", "status: 301, redirect: \"http://fe-1.alb.internal/new\"", with_status(301), Answer { status: Some(301), ..with("location", "/old") }, "the answer leads to http://fe-1.alb.internal/old")]
#[case::nowhere("", "status: 302, redirect: /new", with_status(302), Answer { status: Some(302), ..without("location") }, "the answer has no location")]
#[case::another_redirect(
    "",
    "status: 301, redirect: /new",
    with_status(301),
    with_status(302),
    "the answer is 302 from backend-v1-5d9c7b6f4d-x2x7f"
)]
#[case::body(
    "",
    "status: 200, body: [SERV, ING]",
    right(),
    saying("SERVE"),
    "the body of the answer 200 from backend-v1-5d9c7b6f4d-x2x7f does not contain \"ING\""
)]
#[case::name_of_certificate(", tls: {ca: any}", "status: 200, certificate: {names: A.example}", right(), shown(|shown| shown.names = vec!["b.example".into()]), "the gateway shows a certificate for b.example, issued by our-ca")]
#[case::issuer(", tls: {ca: any}", "status: 200, certificate: {issuer: our-ca}", right(), shown(|shown| shown.issued_by = Some("other".into())), "the gateway shows a certificate for a.example, issued by other")]
#[case::no_certificate("", "status: 200, certificate: {issuer: \"CN=our-ca, O=x\"}", right(), Answer { certificate: None, ..right() }, "no certificate was shown")]
#[case::failure(
    ", tls: {ca: any}",
    "failure: tls",
    broken(FailureKind::Tls),
    right(),
    "the answer is 200 from backend-v1-5d9c7b6f4d-x2x7f"
)]
#[case::another_failure(
    ", tls: {ca: any}",
    "failure: tls",
    broken(FailureKind::Tls),
    broken(FailureKind::Timeout),
    "the answer is timeout: it broke"
)]
#[case::health(
    ", grpc-health: \"\"",
    "status: 200",
    right(),
    saying("NOT_SERVING"),
    "the health check says \"NOT_SERVING\""
)]
#[case::other_health(
    "",
    "status: 200, health: NOT_SERVING",
    saying("NOT_SERVING"),
    right(),
    "the health check says \"SERVING\""
)]
#[case::grpc(
    ", grpc-health: a.B",
    "status: 200",
    right(),
    with("grpc-status", "14"),
    "the call ended with UNAVAILABLE"
)]
#[case::no_grpc(
    ", grpc-health: a.B",
    "status: 200",
    right(),
    without("grpc-status"),
    "the answer is 200 without a grpc-status"
)]
#[case::failing_call(
    "",
    "status: 200, grpc-status: UNAVAILABLE",
    with("grpc-status", "14"),
    right(),
    "the call ended with OK"
)]
#[case::message(", websocket: hello", "status: 101", Answer { status: Some(101), ..saying("hello") }, Answer { status: Some(101), ..saying("other") }, "what came back for \"hello\" is \"other\"")]
#[case::no_upgrade(", websocket: hello", "status: 101", Answer { status: Some(101), ..saying("hello") }, right(), "the answer is 200 from backend-v1-5d9c7b6f4d-x2x7f")]
#[case::path("", "status: 200, received: {path: \"/new?*\"}", right(), received(|echo| echo.path = "/old".into()), "the backend received the path /old")]
#[case::host("", "status: 200, received: {host: b.example}", right(), received(|echo| echo.host = "a.example".into()), "the backend received the host a.example")]
#[case::received("", "status: 200, received: {headers: {x-added: one}}", right(), received(|echo| echo.headers.clear()), "what the backend received has no x-added")]
#[case::nobody("", "status: 200, received: {host: b.example}", right(), Answer { echo: None, ..right() }, "no backend says what it received")]
#[tokio::test(start_paused = true)]
async fn each_claim_is_red_for_a_gateway_that_does_otherwise(
    #[case] subject: &str,
    #[case] becomes: &str,
    #[case] wanted: Answer,
    #[case] other: Answer,
    #[case] seen: &str,
) {
    let (proved, _) = ran(wanted, subject, becomes).await;
    assert_eq!(proved.result.verdict, Verdict::Proved, "{:?}", proved.result.culprit());
    let (failed, _) = ran(other, subject, becomes).await;
    assert_eq!(failed.result.verdict, Verdict::Failed);
    let failure = failed.result.culprit().and_then(|step| step.failure.clone()).unwrap();
    assert_eq!(failure.seen, seen);
}

#[tokio::test(start_paused = true)]
async fn a_request_carries_what_it_is_said_to() {
    let subject = ", host: a.example, headers: {X-Version: two}, body: hello, \
                   tls: {ca: configmap/our-ca, client: secret/client, server-name: b.example}";
    let (ran, asked) = ran(right(), subject, "status: 200").await;
    let ask = &asked[0];
    assert_eq!((ask.method.as_str(), ask.url.as_str()), ("POST", "https://a.example/"));
    assert_eq!(ask.connect_to.map(|address| address.port()), Some(443));
    assert_eq!(ask.headers, [("X-Version".to_owned(), "two".to_owned())]);
    assert_eq!(ask.body.as_ref().map(|body| body.bytes()).as_deref(), Some(&b"hello"[..]));
    let tls = ask.tls.clone().unwrap();
    assert_eq!(
        (tls.authorities.as_deref(), tls.server_name.as_deref()),
        (Some("PEM of the authority"), Some("b.example"))
    );
    assert_eq!(tls.client.map(|client| (client.chain, client.key)), Some(("PEM".into(), "PEM".into())));
    assert_eq!(
        ran.result.steps[2].info.name,
        "https://a.example/ of <g>, X-Version: two, with the body \"hello\", issued by configmap/our-ca, for the name \
         b.example, with the client's secret/client from outside becomes 200"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_claimed_says_how_it_is_asked_for() {
    let (_, asked) = ran(right(), ", port: 8443", "status: 200, certificate: {issuer: our-ca}").await;
    assert_eq!((asked[0].url.as_str(), asked[0].tls.is_some()), ("https://fe-1.alb.internal:8443/", true));
    let (_, asked) = ran(right(), "", "status: 200, health: SERVING").await;
    assert_eq!(asked[0].url, "http://fe-1.alb.internal/grpc.health.v1.Health/Check");
    assert_eq!(
        (asked[0].method.as_str(), &asked[0].exchange),
        ("POST", &Exchange::GrpcHealth(String::new()))
    );
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_is_not_there_is_no_fault_of_the_gateways() {
    let (ran, asked) = ran(right(), ", tls: {ca: configmap/none}", "status: 200").await;
    assert_eq!((ran.result.verdict, asked.len()), (Verdict::Error, 0));
    let failure = ran.result.culprit().and_then(|step| step.failure.clone()).unwrap();
    assert_eq!(
        (failure.doing.as_str(), failure.seen.as_str()),
        ("reading configmap/none in ns", "there is no configmap/none in ns")
    );
}

#[rstest]
#[case::from_a_pod(
    ", from: plain, tls: {ca: any}",
    "status: 200",
    "requests from plain are GET in clear text"
)]
#[case::two_talks(", websocket: a, grpc-health: b", "status: 200", "a WebSocket asks for no health")]
#[case::two_messages(", websocket: a, body: b", "status: 101", "what is sent is the message of the exchange")]
#[case::header(", headers: {\"a b\": c}", "status: 200", "`a b` is no name of a header")]
#[case::line(", headers: {a: \"b\\r\\nc: d\"}", "status: 200", "a header is one line")]
#[case::kind(", tls: {ca: pod/a}", "status: 200", "no certificate is in a Pod")]
#[case::both("", "status: 200, failure: tls", "a request that fails has no status")]
#[case::neither("", "backend: a", "`status` is missing")]
#[case::answered("", "failure: reset, body: a", "a request that fails is not answered")]
#[case::by_whom("", "failure: reset, backend: a", "nobody answers a request that fails")]
#[case::redirect("", "status: 200, redirect: /a", "only an answer 3xx redirects")]
#[case::health(
    "",
    "status: 200, grpc-status: UNKNOWN, health: SERVING",
    "a call that fails says nothing of the health"
)]
#[case::certificate("", "status: 200, certificate: {}", "any certificate would do")]
#[case::received("", "status: 200, received: {}", "any request would do")]
#[case::no_word("", "status: 200, grpc-status: FINE", "unknown word `FINE`")]
fn what_contradicts_itself_is_refused(#[case] subject: &str, #[case] becomes: &str, #[case] why: &str) {
    assert_eq!(refused(HEAD, &steps(subject, becomes)), why);
}
