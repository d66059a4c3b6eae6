//! One line of an audit log: an `Event` of `audit.k8s.io/v1`, of which only requests that have changed an object matter here.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// What the API server adds to the user of a token that is bound to a pod.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
/// How the API server calls a service account: this, its namespace, its name.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
/// Requests that change objects.
const WRITING: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];
/// Questions that are sent as if an object were created: nothing is kept of them.
const QUESTIONS: [&str; 2] = ["authentication.k8s.io", "authorization.k8s.io"];
/// Ways into a pod, and tokens: no object changes.
const NO_CHANGE: [&str; 5] = ["exec", "attach", "portforward", "proxy", "token"];

/// A pod, as its token names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pod {
    /// Its namespace: that of the service account.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// API group; empty for the core group.
    pub group: String,
    /// Plural, with the subresource: `gateways/status`.
    pub resource: String,
    /// Namespace; empty for cluster-wide objects.
    pub namespace: String,
    /// Name; empty where all objects of a kind were meant.
    pub name: String,
}

/// A Lease after it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// `spec.holderIdentity`; empty if nobody holds it.
    pub identity: String,
    /// `spec.leaseDurationSeconds`: how long it holds without a renewal.
    pub seconds: Option<u32>,
    /// `spec.renewTime`, by the holder's clock: good for telling one renewal from the next only.
    pub renewed: String,
    /// `metadata.resourceVersion`, which grows with each write; nothing if the log does not have it.
    pub version: Option<u64>,
}

/// A write that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// When the request came.
    pub received: Timestamp,
    /// When it had been answered. It took effect some time between.
    pub done: Timestamp,
    /// Who asked, as the API server calls him.
    pub user: String,
    /// Which pod, if the token says so.
    pub pod: Option<Pod>,
    /// `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// What was written.
    pub target: Target,
    /// A Lease: as it was afterwards, if the log has that.
    pub holding: Option<Holding>,
}

impl std::fmt::Display for Pod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { resource, namespace, name, .. } = self;
        match name.is_empty() {
            true => write!(f, "{resource}")?,
            false => write!(f, "{resource} {name}")?,
        }
        if namespace.is_empty() { Ok(()) } else { write!(f, " in {namespace}") }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    #[serde(rename = "requestURI", default)]
    uri: String,
    #[serde(default)]
    user: User,
    #[serde(default)]
    object_ref: Option<ObjectRef>,
    #[serde(default)]
    response_status: ResponseStatus,
    #[serde(default)]
    request_object: Value,
    #[serde(default)]
    response_object: Value,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Deserialize, Default)]
struct User {
    #[serde(default)]
    username: String,
    #[serde(default)]
    extra: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    resource: String,
    namespace: String,
    name: String,
    api_group: String,
    subresource: String,
}

#[derive(Deserialize, Default)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

/// When the request of a line came; of any line of the log.
///
/// # Errors
/// It is no entry of an audit log.
pub fn received(line: &str) -> Result<Timestamp, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Received {
        request_received_timestamp: Timestamp,
    }
    serde_json::from_str::<Received>(line).map(|entry| entry.request_received_timestamp)
}

/// The write that a line tells of; nothing for a request that changed nothing: it was refused, only tried (`dryRun`), or a question.
/// Nor for Events, in which everybody speaks for himself.
///
/// # Errors
/// It is no entry of an audit log.
pub fn write(line: &str) -> Result<Option<Write>, serde_json::Error> {
    let event: Event = serde_json::from_str(line)?;
    Ok(done(event))
}

fn done(event: Event) -> Option<Write> {
    let of = event.object_ref?;
    let changes = event.stage == "ResponseComplete"
        && (200..300).contains(&event.response_status.code)
        && WRITING.contains(&event.verb.as_str())
        && !is_dry_run(&event.uri)
        && of.resource != "events"
        && !QUESTIONS.contains(&of.api_group.as_str())
        && !NO_CHANGE.contains(&of.subresource.as_str());
    if !changes {
        return None;
    }
    let holding = (of.api_group == "coordination.k8s.io" && of.resource == "leases")
        .then(|| holding(&event.response_object).or_else(|| asked(&event.request_object)))
        .flatten();
    let resource = match of.subresource.is_empty() {
        true => of.resource,
        false => format!("{}/{}", of.resource, of.subresource),
    };
    Some(Write {
        received: event.request_received_timestamp,
        done: event.stage_timestamp,
        pod: pod(&event.user),
        user: event.user.username,
        verb: event.verb,
        target: Target { group: of.api_group, resource, namespace: of.namespace, name: of.name },
        holding,
    })
}

fn is_dry_run(uri: &str) -> bool {
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|pair| pair.starts_with("dryRun="))
}

fn pod(user: &User) -> Option<Pod> {
    let (namespace, _) = user.username.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')?;
    let name = user.extra.get(POD_NAME)?.first().filter(|name| !name.is_empty())?;
    Some(Pod { namespace: namespace.to_owned(), name: name.clone() })
}

/// A Lease as the API server answered with it.
fn holding(lease: &Value) -> Option<Holding> {
    if lease["kind"] != "Lease" {
        return None;
    }
    let version = lease["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok());
    Some(of_spec(&lease["spec"], version))
}

fn of_spec(spec: &Value, version: Option<u64>) -> Holding {
    let text = |name: &str| spec[name].as_str().unwrap_or_default().to_owned();
    let seconds = spec["leaseDurationSeconds"].as_u64().and_then(|seconds| u32::try_from(seconds).ok());
    Holding { identity: text("holderIdentity"), seconds, renewed: text("renewTime"), version }
}

/// A Lease as it was sent, where the log has no answers. A patch that is silent about the holder leaves it as it was.
fn asked(lease: &Value) -> Option<Holding> {
    let spec = &lease["spec"];
    spec.get("holderIdentity").map(|_| of_spec(spec, None))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn entry() -> Value {
        json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "1",
            "stage": "ResponseComplete", "requestURI": "/api/v1/namespaces/ns/secrets/s", "verb": "update",
            "user": {"username": "system:serviceaccount:ns:web", "extra": {POD_NAME: ["web-6c8f9d7b54-aaaaa"]}},
            "objectRef": {"resource": "secrets", "namespace": "ns", "name": "s", "apiVersion": "v1"},
            "responseStatus": {"metadata": {}, "code": 200},
            "requestReceivedTimestamp": "2026-12-01T07:10:00.100000Z",
            "stageTimestamp": "2026-12-01T07:10:00.200000Z",
        })
    }

    fn read(entry: &Value) -> Option<Write> {
        write(&entry.to_string()).unwrap()
    }

    #[test]
    fn an_entry_tells_who_wrote_what_when() {
        let write = read(&entry()).unwrap();
        assert_eq!(write.pod.unwrap().to_string(), "ns/web-6c8f9d7b54-aaaaa");
        assert_eq!(write.target.to_string(), "secrets s in ns");
        assert_eq!((write.verb.as_str(), write.holding), ("update", None));
        assert!(write.received < write.done);
        assert_eq!(received(&entry().to_string()).unwrap(), write.received);
    }

    #[rstest]
    #[case::refused(&[("/responseStatus/code", json!(409))])]
    #[case::only_tried(&[("/requestURI", json!("/api/v1/namespaces/ns/secrets/s?fieldManager=x&dryRun=All"))])]
    #[case::read(&[("/verb", json!("list"))])]
    #[case::not_over_yet(&[("/stage", json!("RequestReceived"))])]
    #[case::an_event(&[("/objectRef/resource", json!("events"))])]
    #[case::a_question(&[("/objectRef/apiGroup", json!("authentication.k8s.io"))])]
    #[case::a_token(&[("/objectRef/subresource", json!("token"))])]
    #[case::no_object(&[("/objectRef", Value::Null)])]
    fn what_changes_nothing_is_no_write(#[case] changes: &[(&str, Value)]) {
        let mut entry = entry();
        entry["objectRef"]["apiGroup"] = json!("");
        entry["objectRef"]["subresource"] = json!("");
        assert!(read(&entry).is_some());
        for (path, value) in changes {
            *entry.pointer_mut(path).unwrap() = value.clone();
        }
        assert_eq!(read(&entry), None);
    }

    #[test]
    fn a_user_who_is_no_pod_is_nobodys_pod() {
        let mut entry = entry();
        entry["user"]["username"] = json!("kubernetes-admin");
        assert_eq!(read(&entry).unwrap().pod, None);
        entry["user"] = json!({"username": "system:serviceaccount:ns:web"});
        assert_eq!(read(&entry).unwrap().pod, None);
    }

    #[test]
    fn a_lease_tells_its_holder_by_the_answer_or_else_by_what_was_sent() {
        let mut entry = entry();
        entry["objectRef"] =
            json!({"resource": "leases", "apiGroup": "coordination.k8s.io", "namespace": "ns", "name": "l"});
        assert_eq!(read(&entry).unwrap().holding, None, "a log without contents");
        entry["requestObject"] = json!({"metadata": {"labels": {"a": "b"}}});
        assert_eq!(read(&entry).unwrap().holding, None, "a patch of something else");
        entry["requestObject"] = json!({"spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}});
        let holding = |entry: &Value| read(entry).unwrap().holding.unwrap();
        assert_eq!((holding(&entry).identity.as_str(), holding(&entry).version), ("a", None));
        entry["responseObject"] =
            json!({"kind": "Lease", "metadata": {"resourceVersion": "812"}, "spec": {"holderIdentity": "b"}});
        assert_eq!((holding(&entry).identity.as_str(), holding(&entry).version), ("b", Some(812)));
        entry["responseObject"]["spec"] = json!({"leaseDurationSeconds": 1});
        assert_eq!(holding(&entry).identity, "", "given up");
    }

    #[test]
    fn what_is_no_entry_is_an_error() {
        assert!(write("2026-12-01 plain text").is_err());
        assert!(write("{}").is_err());
    }
}
