//! Backends in another namespace than the Gateway's, and requests for other hosts than its own.

use super::*;

const ASK: &str =
    "- request: {gateway: g}\n  becomes: {status: 200, backend: shop/backend-v1}\n  within: 1s\n";

fn from(namespace: &str) -> Answer {
    let mut answer = answer(200, "backend-v1");
    answer.echo.as_mut().unwrap().namespace = namespace.into();
    answer
}

#[tokio::test(start_paused = true)]
async fn the_namespace_of_the_backend_counts() {
    let world = World { answers: given([from("shop")]), ..World::default() };
    let ran = run(world, &format!("{SETUP}{ASK}"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());

    let world = World { answers: given([from("ns")]), ..World::default() };
    let ran = run(world, &format!("{SETUP}{ASK}"), Keep::Never).await;
    let failure = ran.result.culprit().and_then(|step| step.failure.clone()).unwrap();
    assert_eq!(failure.expected, "200 from shop/backend-v1 within 1s");
    assert!(failure.seen.ends_with("from backend-v1-5d9c7b6f4d-x2x7f in ns"), "{}", failure.seen);
}

#[test]
fn witnesses_ask_about_the_backends_namespace() {
    let mut context = crate::ports::WitnessContext { namespace: "ns".into(), ..Default::default() };
    assert_eq!(context.namespace_of_backend(), "ns");
    context.backend_namespace = Some("shop".into());
    assert_eq!(context.namespace_of_backend(), "shop");
}

#[test]
fn a_request_for_another_host_or_port_says_so() {
    let ask = |target: &str| {
        let steps = format!("- request: {{{target}}}\n  becomes: {{status: 200}}\n  within: 1s\n");
        scenario(&steps).steps[0].info.name.clone()
    };
    assert_eq!(ask("gateway: g"), "http://<g>/ from outside becomes 200");
    assert_eq!(ask("gateway: g, port: 8080"), "http://<g>:8080/ from outside becomes 200");
    assert_eq!(
        ask("gateway: g, host: web.example, path: /a"),
        "http://web.example/a of <g> from outside becomes 200"
    );
}
