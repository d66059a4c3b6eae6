use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alb_runtime::fake_api::{FakeApi, Weather};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const POD: &str = "/api/v1/namespaces/azure-alb-system/pods/pod-1";
const CONTROLLER: &str = "/apis/apps/v1/namespaces/azure-alb-system/deployments/alb-controller";
const ISTIOD: &str = "/apis/apps/v1/namespaces/istio-system/deployments/istiod";
const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/applicationloadbalancers.alb.networking.azure.io";

fn names() -> Names {
    Names {
        namespace: "azure-alb-system".to_owned(),
        deployment: "alb-controller-istio-extension".to_owned(),
        controller: "alb-controller".to_owned(),
        custom_resource: "applicationloadbalancers.alb.networking.azure.io".to_owned(),
        edition: alb_api::Edition::default(),
    }
}

fn istiod(tag: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "istiod", "istio.io/rev": "default"}},
        "spec": {"selector": {}, "template": {"spec": {"containers": [
            {"name": "discovery", "image": format!("localhost/istio/pilot:{tag}")},
        ]}}},
    })
}

fn pod(containers: &Value, init: &Value) -> Value {
    json!({
        "metadata": {"annotations": {"istio.io/rev": "default"}},
        "spec": {"containers": containers, "initContainers": init},
    })
}

async fn until(facts: &mut watch::Receiver<Facts>, condition: impl Fn(&Facts) -> bool) -> Facts {
    timeout(Duration::from_secs(60), facts.wait_for(condition)).await.unwrap().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn finds_what_is_there_and_follows_it() {
    let api = FakeApi::new();
    api.put(POD, pod(&json!([{"name": "extension"}, {"name": "istio-proxy"}]), &json!([])));
    api.put(ISTIOD, istiod("1.27.1"));
    let mut facts = facts(api.client(), names(), "pod-1".to_owned());
    let found = until(&mut facts, |facts| {
        facts.injection.is_some()
            && facts.controller.is_some()
            && facts.custom_resource.is_some()
            && facts.control_planes.is_some()
    })
    .await;
    assert_eq!(found.injection, Some(Injection::Sidecar(Some("default".to_owned()))));
    assert_eq!((found.custom_resource, found.controller), (Some(false), Some(false)));
    let plane = ControlPlane {
        namespace: "istio-system".to_owned(),
        name: "istiod".to_owned(),
        revision: Some("default".to_owned()),
        version: Version::find("1.27.1"),
    };
    assert_eq!(found.control_planes, Some(vec![plane]));
    api.put(CRD, json!({}));
    api.put(CONTROLLER, json!({}));
    api.put(ISTIOD, istiod("1.28.0"));
    until(&mut facts, |facts| {
        facts.custom_resource == Some(true)
            && facts.controller == Some(true)
            && facts
                .control_planes
                .as_ref()
                .is_some_and(|planes| planes[0].version == Version::find("1.28.0"))
    })
    .await;
    api.delete(CONTROLLER);
    api.delete(ISTIOD);
    until(&mut facts, |facts| {
        facts.controller == Some(false) && facts.control_planes.as_ref().is_some_and(Vec::is_empty)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn survives_an_api_server_that_fails_for_a_while() {
    let api = FakeApi::new();
    api.put(POD, pod(&json!([{"name": "extension"}]), &json!([])));
    let broken = Arc::new(AtomicBool::new(true));
    let forecast = Arc::clone(&broken);
    let client = api.client_with(move |_, _| {
        let refuse = forecast.load(Ordering::Relaxed).then_some(StatusCode::SERVICE_UNAVAILABLE);
        Weather { refuse, ..Weather::default() }
    });
    let mut facts = facts(client, names(), "pod-1".to_owned());
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(*facts.borrow(), Facts::default());
    broken.store(false, Ordering::Relaxed);
    until(&mut facts, |facts| facts.injection == Some(Injection::None) && facts.control_planes.is_some())
        .await;
}

#[test]
fn a_native_sidecar_is_an_init_container() {
    let read = |value: Value| read_injection(&serde_json::from_value(value).unwrap());
    let native = json!([{"name": "istio-init"}, {"name": "istio-proxy", "restartPolicy": "Always"}]);
    let sidecar = Injection::Sidecar(Some("default".to_owned()));
    assert_eq!(read(pod(&json!([{"name": "extension"}]), &native)), sidecar);
    assert_eq!(read(pod(&json!([{"name": "extension"}]), &json!([]))), Injection::None);
}

#[tokio::test]
async fn asks_istiod_for_its_version() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 1024];
        let read = stream.read(&mut request).await.unwrap();
        assert!(request[..read].starts_with(b"GET /version HTTP/1.1"));
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-length: 21\r\nconnection: close\r\n\r\n1.27.1-0123abcd-Clean";
        stream.write_all(answer).await.unwrap();
    });
    let answer = ask_version("127.0.0.1", port).await.unwrap();
    assert_eq!(Version::find(&answer), Version::find("1.27.1"));
    assert!(ask_version("127.0.0.1", port).await.is_err(), "nobody listens any more");
}
