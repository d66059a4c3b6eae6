//! Reading the log from an API server in process.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::Response;
use serde_json::{Value, json};

use super::*;

/// A node with files below `/var/log/kubernetes`, and the API servers there are.
#[derive(Default)]
struct Node {
    servers: Vec<Value>,
    files: BTreeMap<&'static str, String>,
    /// What was asked of the kubelet: file, range.
    asked: Mutex<Vec<String>>,
}

fn server(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {
            "nodeName": "a",
            "containers": [{
                "name": "kube-apiserver",
                "command": ["kube-apiserver", "--audit-log-path=/var/log/kubernetes/audit.log"],
                "volumeMounts": [{"name": "logs", "mountPath": "/var/log/kubernetes"}],
            }],
            "volumes": [{"name": "logs", "hostPath": {"path": "/var/log/kubernetes"}}],
        },
    })
}

/// An entry of so many seconds ago, and so long.
fn line(id: usize, ago: i64, padding: usize) -> String {
    let at = Timestamp::now() - SignedDuration::from_secs(ago);
    let entry = json!({
        "kind": "Event", "auditID": id.to_string(), "stage": "ResponseComplete", "verb": "update",
        "requestURI": "/api/v1/namespaces/ns/secrets/s", "user": {"username": "system:serviceaccount:ns:web"},
        "objectRef": {"resource": "secrets", "namespace": "ns", "name": "s"}, "responseStatus": {"code": 200},
        "requestReceivedTimestamp": at, "stageTimestamp": at, "annotations": {"padding": "x".repeat(padding)},
    });
    format!("{entry}\n")
}

impl Node {
    fn client(self: &Arc<Self>) -> Client {
        let node = self.clone();
        let answer = move |request: Request<Body>| {
            let node = node.clone();
            async move { Ok::<_, Infallible>(node.answer(&request)) }
        };
        Client::new(tower::service_fn(answer), "default")
    }

    fn answer(&self, request: &Request<Body>) -> Response<Body> {
        let path = request.uri().path();
        if path == "/api/v1/namespaces/kube-system/pods" {
            let list = json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": self.servers});
            return Response::new(Body::from(list.to_string().into_bytes()));
        }
        let file = path.strip_prefix("/api/v1/nodes/a/proxy/logs/kubernetes/").unwrap_or("?");
        let range = request.headers().get(RANGE).and_then(|range| range.to_str().ok()).unwrap_or("all");
        self.asked.lock().unwrap().push(format!("{file} {range}"));
        if file.is_empty() {
            let links: String = self.files.keys().map(|name| format!("<a href=\"{name}\">x</a>\n")).collect();
            return Response::new(Body::from(links.into_bytes()));
        }
        let Some(text) = self.files.get(file) else {
            return Response::builder().status(404).body(Body::empty()).unwrap();
        };
        let last: usize = range.trim_start_matches("bytes=-").parse().unwrap();
        let from = text.len().saturating_sub(last);
        let answer = Response::builder().status(206);
        let answer = answer.header(CONTENT_RANGE, format!("bytes {from}-{}/{}", text.len() - 1, text.len()));
        answer.body(Body::from(text.as_bytes()[from..].to_vec())).unwrap()
    }
}

fn node(files: impl IntoIterator<Item = (&'static str, String)>) -> Arc<Node> {
    Arc::new(Node {
        servers: vec![server("kube-apiserver-a")],
        files: files.into_iter().collect(),
        ..Node::default()
    })
}

async fn log(node: &Arc<Node>, own: bool, since: u64) -> AuditLog {
    match read(&node.client(), own, Duration::from_secs(since)).await {
        Ok(Audited::Log(log)) => log,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_log_that_is_short_is_read_from_its_beginning() {
    let node = node([("audit.log", line(1, 20, 0) + &line(2, 10, 0))]);
    let ours = log(&node, true, 60).await;
    assert_eq!((ours.writes.len(), ours.from), (2, None), "since the API server began");
    let theirs = log(&node, false, 60).await;
    assert_eq!((theirs.writes.len(), theirs.from.is_some()), (2, true), "nobody knows since when it is kept");
}

#[tokio::test]
async fn no_more_is_read_than_the_time_takes() {
    // Three quarters of a megabyte each, one a second.
    let text: String = (0..20).map(|id| line(id, 20 - id as i64, 750_000)).collect();
    let node = node([("audit.log", text)]);
    let log = log(&node, true, 3).await;
    assert!(log.from.is_some_and(|from| from <= log.now - SignedDuration::from_secs(3)), "{:?}", log.from);
    assert!((3..7).contains(&log.writes.len()), "{}", log.writes.len());
    assert_eq!(*node.asked.lock().unwrap(), ["audit.log bytes=-1048576", "audit.log bytes=-4194304"]);
}

#[tokio::test]
async fn files_that_are_full_are_read_as_far_as_is_needed_and_nothing_twice() {
    // The file became an old one while it was read.
    let both = line(3, 40, 0);
    let (old, full, new) = (line(1, 90, 0), line(2, 50, 0) + &both, both + &line(4, 5, 0));
    let node = node([
        ("audit-2026-12-01T06-00-00.000.log", old),
        ("audit-2026-12-01T07-00-00.000.log", full),
        ("audit.log", new),
    ]);
    let near = log(&node, true, 45).await;
    assert_eq!(near.writes.len(), 3);
    assert!(!node.asked.lock().unwrap().iter().any(|asked| asked.contains("T06")));
    let far = log(&node, true, 60).await;
    assert_eq!(far.writes.len(), 4);
    assert!(far.writes.is_sorted_by_key(|write| write.received));
}

#[tokio::test]
async fn a_log_that_is_not_there_is_told_on_a_cluster_of_somebody_else_and_an_error_on_ours() {
    let none = Arc::new(Node::default());
    let empty = node([]);
    let two = Arc::new(Node { servers: vec![server("a"), server("b")], ..Node::default() });
    for (node, what) in [(none, "runs elsewhere"), (empty, "404"), (two, "2 API servers")] {
        let theirs = read(&node.client(), false, Duration::from_secs(60)).await.unwrap();
        assert!(matches!(&theirs, Audited::NotKept(why) if why.contains(what)), "{theirs:?}");
        let ours = read(&node.client(), true, Duration::from_secs(60)).await.unwrap_err();
        assert!(ours.seen.contains(what) && ours.next.is_some(), "{ours:?}");
    }
}

#[tokio::test]
async fn what_is_no_audit_log_is_told() {
    let node = node([("audit.log", "2026-12-01 an other form\n".to_owned())]);
    let theirs = read(&node.client(), false, Duration::from_secs(60)).await.unwrap();
    assert!(matches!(&theirs, Audited::NotKept(why) if why.contains("no audit log in JSON")), "{theirs:?}");
}

#[test]
fn clocks_that_differ_are_told_apart_from_whole_seconds() {
    let at = |second: i64| Timestamp::from_second(second).unwrap();
    assert_eq!(clock(at(1000), Some(at(999))), at(1000));
    assert_eq!(clock(at(1000), Some(at(970))), at(970));
    assert_eq!(clock(at(1000), Some(at(1030))), at(1030));
    assert_eq!(clock(at(1000), None), at(1000));
}
