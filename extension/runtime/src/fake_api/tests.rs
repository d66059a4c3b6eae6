use k8s_openapi::api::core::v1::{Secret, Service};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher;

use super::*;

const SECRET: &str = "/api/v1/namespaces/ns/secrets/a";

#[tokio::test]
async fn of_two_writers_who_read_the_same_version_one_fails() {
    let server = FakeApi::new();
    let api: Api<Secret> = Api::namespaced(server.client(), "ns");
    let mut secret = Secret::default();
    secret.metadata.name = Some("a".to_owned());
    let read = api.create(&PostParams::default(), &secret).await.unwrap();
    let mut mine = read.clone();
    mine.type_ = Some("mine".to_owned());
    let mut theirs = read;
    theirs.type_ = Some("theirs".to_owned());
    api.replace("a", &PostParams::default(), &mine).await.unwrap();
    let error = api.replace("a", &PostParams::default(), &theirs).await.unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.code == 409));
    assert_eq!(server.get(SECRET).unwrap()["type"], "mine");
}

#[tokio::test]
async fn patches_of_the_status_leave_the_rest_alone() {
    let server = FakeApi::new();
    server.put("/api/v1/namespaces/ns/services/a", json!({"spec": {"type": "LoadBalancer"}}));
    let api: Api<Service> = Api::namespaced(server.client(), "ns");
    let patch = json!({"spec": {"type": "x"}, "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}});
    api.patch_status("a", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    let service = server.get("/api/v1/namespaces/ns/services/a").unwrap();
    assert_eq!(service["spec"]["type"], "LoadBalancer");
    assert_eq!(service["status"]["loadBalancer"]["ingress"][0]["ip"], "10.0.0.1");
}

#[tokio::test]
async fn a_watch_tells_what_is_and_what_happens() {
    let server = FakeApi::new();
    server.put(SECRET, json!({"type": "one"}));
    server.put("/api/v1/namespaces/other/secrets/b", json!({}));
    let api: Api<Secret> = Api::namespaced(server.client(), "ns");
    let mut events = std::pin::pin!(watcher::watch_object(api.clone(), "a"));
    let mut next = async || events.next().await.unwrap().unwrap().map(|secret| secret.type_.unwrap());
    assert_eq!(next().await.as_deref(), Some("one"));
    server.put(SECRET, json!({"type": "two"}));
    assert_eq!(next().await.as_deref(), Some("two"));
    server.delete(SECRET);
    assert_eq!(next().await, None);
    assert_eq!(api.list(&ListParams::default()).await.unwrap().items.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_acted_upon_and_a_lost_request_is_not() {
    let server = FakeApi::new();
    for (lost, arrives) in [(Lost::Request, false), (Lost::Answer, true)] {
        let client = server.client_with(move |_, _| Weather { lost, ..Weather::default() });
        let api: Api<Secret> = Api::namespaced(client, "ns");
        let mut secret = Secret::default();
        secret.metadata.name = Some("a".to_owned());
        let parameters = PostParams::default();
        let create = api.create(&parameters, &secret);
        assert!(tokio::time::timeout(Duration::from_secs(60), create).await.is_err());
        assert_eq!(server.get(SECRET).is_some(), arrives);
    }
}
