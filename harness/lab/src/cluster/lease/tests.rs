//! Against an API server that knows one Lease and its versions.

use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

type Kept = Arc<Mutex<Option<Value>>>;

fn server(kept: Kept) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let kept = kept.clone();
        async move {
            let method = request.method().clone();
            let body = request.into_body().collect_bytes().await?;
            let sent: Value = serde_json::from_slice(&body).unwrap_or_default();
            let (code, answer) = answer(&method, sent, &mut kept.lock().unwrap());
            let response = Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()));
            Ok::<_, tower::BoxError>(response?)
        }
    });
    Client::new(service, "default")
}

fn answer(method: &Method, mut sent: Value, kept: &mut Option<Value>) -> (u16, Value) {
    let refused = |code: u16, reason: &str| {
        (
            code,
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason}),
        )
    };
    let version = |value: &Value| value["metadata"]["resourceVersion"].as_str().map(str::to_owned);
    match (method, kept.clone()) {
        (&Method::GET, Some(lease)) => (200, lease),
        (&Method::GET, None) => refused(404, "NotFound"),
        (&Method::POST, Some(_)) => refused(409, "AlreadyExists"),
        (&Method::PUT, None) => refused(404, "NotFound"),
        (&Method::PUT, Some(lease)) if version(&sent) != version(&lease) => refused(409, "Conflict"),
        (&Method::DELETE, Some(lease)) => {
            if sent["preconditions"]["resourceVersion"] != lease["metadata"]["resourceVersion"] {
                return refused(409, "Conflict");
            }
            *kept = None;
            (200, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
        }
        (_, before) => {
            let next = before.and_then(|lease| version(&lease)?.parse::<u32>().ok()).unwrap_or_default() + 1;
            sent["metadata"]["resourceVersion"] = next.to_string().into();
            sent["metadata"]["uid"] = "u".into();
            *kept = Some(sent.clone());
            (200, sent)
        }
    }
}

/// Makes a Lease somebody else's.
fn foreign(kept: &Kept, renewed: jiff::Timestamp) {
    let mut kept = kept.lock().unwrap();
    let lease = kept.get_or_insert_with(|| json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}));
    lease["metadata"] = json!({"name": NAME, "namespace": NAMESPACE, "resourceVersion": "40", "uid": "u"});
    lease["spec"] = json!({"holderIdentity": "far/9/r-9", "leaseDurationSeconds": 60, "renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()});
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_held_renewed_and_given_back() {
    let kept = Kept::default();
    let held = hold(&server(kept.clone()), "r-1", CancellationToken::new()).await.unwrap();
    let version = |kept: &Kept| kept.lock().unwrap().as_ref().unwrap()["metadata"]["resourceVersion"].clone();
    let first = version(&kept);
    sleep(RENEWAL * 3).await;
    assert_ne!(version(&kept), first);
    held.release().await.unwrap();
    assert!(kept.lock().unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_second_run_is_refused_by_name() {
    let kept = Kept::default();
    foreign(&kept, jiff::Timestamp::now());
    let error = hold(&server(kept), "r-1", CancellationToken::new()).await.unwrap_err();
    assert!(matches!(&error, LeaseError::Held(why) if why.contains("run r-9 (process 9 on far)")), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_has_run_out_is_watched_and_taken() {
    let kept = Kept::default();
    foreign(&kept, jiff::Timestamp::now() - jiff::SignedDuration::from_secs(3600));
    let begun = Instant::now();
    let held = hold(&server(kept.clone()), "r-1", CancellationToken::new()).await.unwrap();
    assert!(begun.elapsed() >= WATCHED);
    assert!(
        kept.lock().unwrap().as_ref().unwrap()["spec"]["holderIdentity"].as_str().unwrap().ends_with("/r-1")
    );
    held.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_lease_was_taken_ends_and_leaves_it() {
    let (kept, lost) = (Kept::default(), CancellationToken::new());
    let held = hold(&server(kept.clone()), "r-1", lost.clone()).await.unwrap();
    sleep(RENEWAL).await;
    foreign(&kept, jiff::Timestamp::now());
    lost.cancelled().await;
    held.release().await.unwrap();
    assert_eq!(kept.lock().unwrap().as_ref().unwrap()["spec"]["holderIdentity"], "far/9/r-9");
}

#[tokio::test(start_paused = true)]
async fn no_right_to_it_names_the_verbs() {
    let service = tower::service_fn(|_: Request<Body>| async {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "no"});
        let body = Body::from(status.to_string().into_bytes());
        Ok::<_, tower::BoxError>(Response::builder().status(403).body(body)?)
    });
    let error = hold(&Client::new(service, "default"), "r", CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("get, create, update and delete"), "{error}");
}
