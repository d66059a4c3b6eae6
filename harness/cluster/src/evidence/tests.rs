//! Collecting from an API server that is half dead, on paused time.

use http::{Request, Response};
use kube::client::Body;
use serde_json::json;

use super::*;
use meshproof_model::scenario::kinds::Kind;
use meshproof_run::ports::WitnessContext;

/// An API server that lists the pods of one namespace, and never answers anything else.
fn half_dead(namespace: &'static str, pod: serde_json::Value) -> Client {
    let server = tower::service_fn(move |request: Request<Body>| {
        let list = json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [pod]});
        async move {
            if request.uri().path() != format!("/api/v1/namespaces/{namespace}/pods") {
                std::future::pending::<()>().await;
            }
            let body = Body::from(serde_json::to_vec(&list).unwrap());
            Ok::<_, std::convert::Infallible>(Response::new(body))
        }
    });
    Client::new(server, "default")
}

#[tokio::test(start_paused = true)]
async fn what_came_in_time_names_the_cause_although_the_rest_did_not() {
    let waiting = json!({"reason": "ImagePullBackOff", "message": "no such image"});
    let pod = json!({
        "metadata": {"name": "backend-v1-a", "namespace": "shop"},
        "spec": {"containers": [{"name": "app", "image": "echo:1"}]},
        "status": {"phase": "Pending", "containerStatuses": [{"name": "app", "state": {"waiting": waiting}}]},
    });
    let implementation = Arc::new(Implementation::built_in().unwrap());
    let collector = Collector::new(half_dead("shop", pod), implementation, Keeping::All);
    let directory = tempfile::tempdir().unwrap();
    let request = EvidenceRequest {
        word: "pods".into(),
        namespace: "shop".into(),
        namespaces: vec!["shop".into()],
        directory: directory.path().to_owned(),
        ..EvidenceRequest::default()
    };
    let begun = tokio::time::Instant::now();
    let evidence = Collector::collect(&collector, &request).await;
    assert_eq!(begun.elapsed().as_secs(), LIMIT.as_secs());
    let diagnosis = evidence.diagnosis.unwrap();
    assert_eq!(diagnosis.id, "image-missing", "{diagnosis:?}");
    assert_eq!(diagnosis.because.last().unwrap(), "it rests on what could be collected within 45 s");
    assert!(
        evidence.missing.contains(&"what was not collected within 45 s".to_owned()),
        "{:?}",
        evidence.missing
    );
    assert!(evidence.files.contains(&"objects/shop/pods.yaml".into()), "{:?}", evidence.files);
}

#[test]
fn a_claim_is_looked_into_where_its_object_is() {
    let of = |kind: &str, namespace: Option<&str>, name: &str| {
        let kind = Kind::by_word(kind).unwrap();
        let about = ObjectRef { kind, namespace: namespace.map(str::to_owned), name: name.into() };
        let request =
            EvidenceRequest { namespace: "routes".into(), about: Some(about), ..EvidenceRequest::default() };
        let claim = claim(&request, &["gateway-system".into()]);
        (claim.scenario_namespace, claim.namespace, claim.gateway, claim.route)
    };
    let wanted = |namespace: &str, gateway: &str, route: &str| {
        ("routes".to_owned(), namespace.to_owned(), gateway.to_owned(), route.to_owned())
    };
    assert_eq!(of("gateway", Some("infra"), "g"), wanted("infra", "g", ""));
    assert_eq!(of("httproute", Some("routes"), "r"), wanted("routes", "", "r"));
    assert_eq!(of("namespace", None, "infra"), wanted("infra", "", ""), "pods of a namespace");
    assert_eq!(of("gatewayclass", None, "c"), wanted("routes", "", ""));
    let own = of("deployment", Some("gateway-system"), "controller");
    assert_eq!(own, wanted("routes", "", ""), "what serves the scenario depends on what is in it");
}

#[test]
fn a_request_is_looked_into_where_its_gateway_is() {
    let witness =
        WitnessContext { namespace: "infra".into(), gateway: "g".into(), ..WitnessContext::default() };
    let request =
        EvidenceRequest { namespace: "routes".into(), witness: Some(witness), ..EvidenceRequest::default() };
    let claim = claim(&request, &[]);
    assert_eq!((claim.namespace.as_str(), claim.gateway.as_str()), ("infra", "g"));
    assert_eq!(gateway_of(&claim), ("infra", "g"));
}
