//! The leader's duties against a fake API server, on tokio's paused clock.

use super::*;
use crate::authority::SPREAD;
use crate::request::LIMIT;
use alb_runtime::fake_api::{FakeApi, Lost, Weather};
use alb_runtime::lease::{Election, LeaseConfig};
use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

const SLICE: &str =
    "/apis/discovery.k8s.io/v1/namespaces/azure-alb-system/endpointslices/alb-controller-config";
const BUNDLE: &str = "/api/v1/namespaces/azure-alb-dataplane/configmaps/alb-controller-config-ca";
const SECRET: &str = "/api/v1/namespaces/azure-alb-system/secrets/alb-controller-config-tls";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/azure-alb-system/leases/alb-controller";

/// Longer than everything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(300);

/// A cluster with what the charts bring.
fn cluster() -> FakeApi {
    let api = FakeApi::new();
    let service = json!({"metadata": {"uid": "uid-config"}, "spec": {"ports": []}});
    api.put("/api/v1/namespaces/azure-alb-system/services/alb-controller-config", service);
    let account = json!({"metadata": {"uid": "uid-account"}});
    api.put("/api/v1/namespaces/azure-alb-dataplane/serviceaccounts/alb-proxy", account);
    api
}

/// Starts a leader whose requests go through `client`; its Lease is nobody else's. Returns what it serves with.
fn lead(api: &FakeApi, client: kube::Client) -> watch::Receiver<Option<Arc<rustls::ServerConfig>>> {
    let config = LeaseConfig::new(names::CONTROLLER_NAMESPACE, names::CONTROLLER_LEASE, "pod");
    let (election, leadership) = Election::new(api.client(), config).unwrap();
    tokio::spawn(election.run(CancellationToken::new()));
    let (tls, serving) = watch::channel(None);
    let leader =
        Leader { client, hub: Hub::new(), leadership, tls, address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)) };
    tokio::spawn(leader.run(CancellationToken::new()));
    serving
}

async fn within(limit: Duration, api: &FakeApi, condition: impl FnMut(&FakeApi) -> bool) {
    timeout(limit, api.until(condition)).await.unwrap();
}

/// The last of the leader's duties is done.
fn is_set_up(api: &FakeApi) -> bool {
    api.get(LEASE).is_some_and(|lease| lease["metadata"]["ownerReferences"][0]["uid"] == "uid-config")
}

/// Writes of anything but Leases.
fn writes(api: &FakeApi) -> Vec<String> {
    let writes = api.writes().into_iter().map(|(method, path)| format!("{method} {path}"));
    writes.filter(|write| !write.contains("/leases")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_answers_is_made_again() {
    for lost in [Lost::Request, Lost::Answer] {
        let api = cluster();
        // Each of the requests is lost once.
        let made = Mutex::new(HashSet::new());
        let client = api.client_with(move |method, path| {
            let first = made.lock().unwrap().insert((method.clone(), path.to_owned()));
            Weather { lost: if first { lost } else { Lost::No }, ..Weather::default() }
        });
        let _serving = lead(&api, client);
        within(PATIENCE, &api, |api| is_set_up(api) && api.get(SLICE).is_some()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_and_no_certificate_issued_when_nothing_differs() {
    let api = cluster();
    let mut serving = lead(&api, api.client());
    within(PATIENCE, &api, is_set_up).await;
    serving.mark_unchanged();
    let (before, asked) = (writes(&api), api.requests().len());
    sleep(LOOK * 10).await;
    assert!(api.requests().len() > asked + 10, "it has looked");
    assert_eq!(writes(&api), before);
    assert!(!serving.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_was_published_is_repaired_soon() {
    let api = cluster();
    let _serving = lead(&api, api.client());
    within(PATIENCE, &api, is_set_up).await;
    let (slice, bundle) = (api.get(SLICE).unwrap(), api.get(BUNDLE).unwrap());
    let limit = LOOK + LIMIT;

    api.delete(SLICE);
    api.delete(BUNDLE);
    within(limit, &api, |api| api.get(SLICE).is_some() && api.get(BUNDLE).is_some()).await;
    assert_eq!(api.get(BUNDLE).unwrap()["data"], bundle["data"]);

    for (pointer, wrong) in [
        ("/endpoints/0/addresses/0", json!("10.0.0.9")),
        ("/endpoints/0/conditions/ready", json!(false)),
        ("/ports/0/port", json!(1)),
        ("/metadata/labels/kubernetes.io~1service-name", json!("other")),
    ] {
        let mut changed = api.get(SLICE).unwrap();
        *changed.pointer_mut(pointer).unwrap() = wrong;
        api.put(SLICE, changed);
        within(limit, &api, |api| {
            api.get(SLICE).is_some_and(|now| now.pointer(pointer) == slice.pointer(pointer))
        })
        .await;
    }

    let mut changed = bundle.clone();
    changed["data"]["ca.crt"] = json!("nobody");
    api.put(BUNDLE, changed);
    within(limit, &api, |api| api.get(BUNDLE).is_some_and(|now| now["data"] == bundle["data"])).await;
}

fn secret(authority: &Authority) -> Value {
    let entry = |text: &str| serde_json::to_value(ByteString(text.as_bytes().to_vec())).unwrap();
    json!({"data": {"ca.crt": entry(&authority.certificate), "ca.key": entry(&authority.key)}})
}

#[tokio::test(start_paused = true)]
async fn a_stored_authority_is_used_if_it_is_whole_and_replaced_if_it_is_not() {
    let now = Timestamp::now();
    let whole = Authority::generate(now).unwrap();
    let api = cluster();
    api.put(SECRET, secret(&whole));
    let _serving = lead(&api, api.client());
    within(PATIENCE, &api, is_set_up).await;
    assert_eq!(api.get(BUNDLE).unwrap()["data"]["ca.crt"], whole.certificate.as_str());

    let other = Authority::generate(now).unwrap();
    for key in [other.key, "damaged".to_owned(), String::new()] {
        let damaged = Authority { key, ..whole.clone() };
        let api = cluster();
        api.put(SECRET, secret(&damaged));
        let mut serving = lead(&api, api.client());
        within(PATIENCE, &api, is_set_up).await;
        assert!(serving.borrow_and_update().is_some());
        let made: Secret = serde_json::from_value(api.get(SECRET).unwrap()).unwrap();
        let made = stored(&made).unwrap();
        assert!(made.certificate != whole.certificate && made.previous.is_empty());
        assert_eq!(api.get(BUNDLE).unwrap()["data"]["ca.crt"], made.certificate.as_str());
    }
}

/// Clients trust it: it is put back as it was, and nobody notices.
#[tokio::test(start_paused = true)]
async fn an_authority_that_is_damaged_or_deleted_while_it_is_used_is_put_back_soon() {
    let api = cluster();
    let mut serving = lead(&api, api.client());
    within(PATIENCE, &api, is_set_up).await;
    let (bundle, whole) = (api.get(BUNDLE).unwrap(), api.get(SECRET).unwrap()["data"].clone());
    serving.mark_unchanged();
    for damage in ["key", "object"] {
        let begun = Instant::now();
        match damage {
            "key" => {
                let mut damaged = api.get(SECRET).unwrap();
                damaged["data"]["ca.key"] = json!("");
                api.put(SECRET, damaged);
            }
            _ => api.delete(SECRET),
        }
        within(PATIENCE, &api, |api| api.get(SECRET).is_some_and(|now| now["data"] == whole)).await;
        assert!(begun.elapsed() <= LOOK + LIMIT, "{:?}", begun.elapsed());
        assert_eq!(api.get(BUNDLE).unwrap(), bundle);
        assert!(!serving.has_changed().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_successor_issues_after_its_certificate_has_been_in_the_config_map_for_a_while() {
    let old = Authority::generate(Timestamp::now() - Duration::from_secs(300 * 24 * 3600)).unwrap();
    let api = cluster();
    api.put(SECRET, secret(&old));
    let mut serving = lead(&api, api.client());
    within(PATIENCE, &api, is_set_up).await;
    let current = || stored(&serde_json::from_value(api.get(SECRET).unwrap()).unwrap()).unwrap();
    let announced = current();
    assert!(announced.issues_as(&old) && !announced.next.certificate.is_empty());
    let bundle = api.get(BUNDLE).unwrap();
    assert_eq!(bundle["data"]["ca.crt"], announced.bundle());
    serving.mark_unchanged();
    let begun = Instant::now();
    timeout(SPREAD * 2, serving.changed()).await.unwrap().unwrap();
    assert!(begun.elapsed() >= SPREAD - LOOK, "{:?}", begun.elapsed());
    assert_eq!(current().certificate, announced.next.certificate);
    assert_eq!(current().previous, old.certificate);
}
