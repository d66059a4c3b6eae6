//! Against an API server in memory that keeps objects by their paths.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use kube::client::Body;
use serde_json::json;

use super::*;

#[derive(Default)]
struct Server {
    objects: BTreeMap<String, Value>,
    /// How often it answers an object with this before it takes one.
    refusals: Vec<(u16, String)>,
    /// Somebody who makes the object just before it is applied.
    quicker: Option<Value>,
    log: Vec<String>,
    made: usize,
}

type Shared = Arc<Mutex<Server>>;

fn client(server: &Shared) -> Client {
    let server = server.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let server = server.clone();
        async move {
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            let body = request.into_body().collect_bytes().await?;
            let sent: Value = serde_json::from_slice(&body).unwrap_or_default();
            let (code, answer) = server.lock().unwrap().answer(&method, &path, &sent);
            Ok::<_, tower::BoxError>(
                Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()))?,
            )
        }
    });
    Client::new(service, "default")
}

fn status(code: u16, message: &str) -> (u16, Value) {
    let reason = if code == 404 { "NotFound" } else { "Other" };
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}),
    )
}

impl Server {
    fn answer(&mut self, method: &Method, path: &str, sent: &Value) -> (u16, Value) {
        if path == "/api" {
            return (200, json!({"metadata": {}, "items": []}));
        }
        if path == "/apis" {
            return (200, json!({"metadata": {}, "items": []}));
        }
        if *method != Method::GET {
            self.log.push(format!("{method} {path}"));
        }
        match *method {
            Method::GET => match self.objects.get(path) {
                Some(object) => (200, object.clone()),
                None => status(404, "not found"),
            },
            Method::PATCH => self.apply(path, sent),
            Method::DELETE => match self.objects.get(path) {
                Some(object) if sent["preconditions"]["uid"] != object["metadata"]["uid"] => {
                    status(409, "another")
                }
                Some(_) => {
                    self.objects.remove(path);
                    (200, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
                }
                None => status(404, "not found"),
            },
            _ => status(405, "no"),
        }
    }

    fn apply(&mut self, path: &str, sent: &Value) -> (u16, Value) {
        if !self.refusals.is_empty() {
            let (code, message) = self.refusals.remove(0);
            return status(code, &message);
        }
        if let Some(object) = self.quicker.take() {
            self.objects.insert(path.to_owned(), object);
        }
        let mut object = self.objects.get(path).cloned().unwrap_or_else(|| {
            self.made += 1;
            json!({"metadata": {"uid": format!("uid-{}", self.made), "managedFields": []}})
        });
        for field in ["apiVersion", "kind"] {
            if !sent[field].is_null() {
                object[field] = sent[field].clone();
            }
        }
        object["metadata"]["name"] = path.rsplit('/').next().unwrap_or_default().into();
        if !sent["metadata"]["labels"].is_null() {
            object["metadata"]["labels"] = sent["metadata"]["labels"].clone();
        }
        let managers = object["metadata"]["managedFields"].as_array_mut();
        if let Some(managers) = managers.filter(|all| all.iter().all(|one| one["manager"] != "meshproof")) {
            managers.push(json!({"manager": "meshproof", "operation": "Apply"}));
        }
        self.objects.insert(path.to_owned(), object.clone());
        (200, object)
    }
}

const GATEWAY: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/gateways/g";
const NAMESPACE: &str = "/api/v1/namespaces/shop";

fn id(word: &str, namespace: Option<&str>, name: &str) -> ObjectRef {
    ObjectRef { kind: Kind::by_word(word).unwrap(), namespace: namespace.map(Into::into), name: name.into() }
}

fn gateway() -> ObjectRef {
    id("gateway", Some("shop"), "g")
}

fn manifest() -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "g"}})
}

fn theirs(uid: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "g", "uid": uid, "managedFields": [{"manager": "kubectl"}]}})
}

fn left_by(run: &str, uid: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "g", "uid": uid, "labels": {owner::LABEL: run}}})
}

fn objects(server: &Shared) -> KubeObjects {
    KubeObjects::new(client(server), Provider::Kind, "r-2")
}

fn given(objects: impl IntoIterator<Item = (&'static str, Value)>) -> Shared {
    let objects = objects.into_iter().map(|(path, object)| (path.to_owned(), object)).collect();
    Arc::new(Mutex::new(Server { objects, ..Server::default() }))
}

#[tokio::test(start_paused = true)]
async fn what_is_applied_bears_the_label_and_goes_by_its_uid() {
    let server = given([]);
    let objects = objects(&server);
    let applied = objects.apply(&gateway(), &manifest()).await.unwrap();
    assert_eq!((applied.created, applied.uid.as_str(), applied.refused), (true, "uid-1", None));
    assert_eq!(server.lock().unwrap().objects[GATEWAY]["metadata"]["labels"][owner::LABEL], "r-2");
    assert!(
        !objects.apply(&gateway(), &manifest()).await.unwrap().created,
        "the second time it is only configured"
    );
    let gateway = gateway();
    let deleted = objects.delete(&gateway, Whose::Made("uid-1")).await.unwrap();
    assert_eq!(deleted, Deleted::Going("uid-1".into()));
    assert_eq!(objects.delete(&gateway, Whose::Made("uid-1")).await.unwrap(), Deleted::NotThere);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_has_is_neither_overwritten_nor_deleted() {
    let server = given([(GATEWAY, theirs("x"))]);
    let (objects, gateway) = (objects(&server), gateway());
    let error = objects.apply(&gateway, &manifest()).await.unwrap_err();
    assert!(error.seen.contains("no run of meshproof made it"), "{error}");
    for whose in [Whose::Made("uid-1"), Whose::Made("x"), Whose::Marked, Whose::Within] {
        let deleted = objects.delete(&gateway, whose).await.unwrap();
        assert!(matches!(deleted, Deleted::Left(_)), "{whose:?}: {deleted:?}");
    }
    assert_eq!(server.lock().unwrap().log, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn somebody_who_is_quicker_by_a_moment_keeps_what_is_theirs() {
    let server = given([]);
    server.lock().unwrap().quicker = Some(theirs("x"));
    let error = objects(&server).apply(&gateway(), &manifest()).await.unwrap_err();
    assert!(error.seen.contains("kubectl made it at the same moment"), "{error}");
    assert_eq!(server.lock().unwrap().log.len(), 2, "what was written is taken back");
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_run_left_is_this_ones_from_now_on() {
    let server = given([(GATEWAY, left_by("r-1", "x"))]);
    let applied = objects(&server).apply(&gateway(), &manifest()).await.unwrap();
    assert!(applied.created);
    assert_eq!(server.lock().unwrap().objects[GATEWAY]["metadata"]["labels"][owner::LABEL], "r-2");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_a_namespace_of_ours_may_be_written_and_deleted_by_steps_alone() {
    let server = given([(GATEWAY, theirs("x")), (NAMESPACE, left_by("r-2", "n"))]);
    let (objects, gateway) = (objects(&server), gateway());
    assert!(!objects.apply(&gateway, &manifest()).await.unwrap().created);
    server.lock().unwrap().objects.insert(GATEWAY.into(), theirs("x"));
    assert!(matches!(objects.delete(&gateway, Whose::Marked).await.unwrap(), Deleted::Left(_)));
    assert_eq!(objects.delete(&gateway, Whose::Within).await.unwrap(), Deleted::Going("x".into()));
}

#[tokio::test(start_paused = true)]
async fn on_somebody_elses_cluster_nothing_of_theirs_is_patched() {
    let server = given([(GATEWAY, theirs("x"))]);
    let objects = KubeObjects::new(client(&server), Provider::Existing, "r-2");
    let error = objects.patch(&gateway(), &json!({"spec": {}})).await.unwrap_err();
    assert!(error.seen.contains("left alone"), "{error}");
    assert_eq!(server.lock().unwrap().log, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_offered_once() {
    for code in [400, 403, 422] {
        let server = given([]);
        server.lock().unwrap().refusals = vec![(code, "it is not valid".into())];
        let error = objects(&server).apply(&gateway(), &manifest()).await.unwrap_err();
        assert!(error.seen.contains("it is not valid"), "{error}");
        assert_eq!(server.lock().unwrap().log.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_nobody_has_defined_is_not_waited_for() {
    let server = given([]);
    server.lock().unwrap().refusals = vec![(404, "the server could not find the requested resource".into())];
    let error = objects(&server).apply(&gateway(), &manifest()).await.unwrap_err();
    assert!(error.next.unwrap().contains("no kind Gateway of gateway.networking.k8s.io"));
}

#[tokio::test(start_paused = true)]
async fn what_the_server_said_before_it_took_an_object_is_told() {
    let server = given([]);
    server.lock().unwrap().refusals = vec![(503, "busy".into()), (500, "etcdserver: leader changed".into())];
    let applied = objects(&server).apply(&gateway(), &manifest()).await.unwrap();
    assert!(applied.created);
    assert!(applied.refused.unwrap().contains("leader changed"));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_with_nothing_behind_it_is_told_at_once() {
    let server = given([]);
    let message = "Internal error occurred: failed calling webhook \"v.example\": failed to call webhook: Post \
                   \"https://hook.far.svc:443/v\": dial tcp 10.96.0.9:443: connect: connection refused";
    server.lock().unwrap().refusals = vec![(500, message.into())];
    let error = objects(&server).apply(&gateway(), &manifest()).await.unwrap_err();
    assert!(error.seen.contains("failed calling webhook"), "{error}");
    assert!(error.next.unwrap().contains("no pod behind service hook in far"));
}

#[tokio::test(start_paused = true)]
async fn what_literal_commands_made_gets_the_label_once() {
    let server = given([(GATEWAY, theirs("x"))]);
    let objects = objects(&server);
    let gateway = gateway();
    assert_eq!(objects.adopt(&gateway).await.unwrap().as_deref(), Some("x"));
    assert_eq!(objects.adopt(&gateway).await.unwrap().as_deref(), Some("x"));
    server.lock().unwrap().objects.insert(GATEWAY.into(), left_by("r-1", "y"));
    assert_eq!(objects.adopt(&gateway).await.unwrap(), None, "another run's");
    assert_eq!(objects.adopt(&id("gateway", Some("shop"), "none")).await.unwrap(), None);
}
